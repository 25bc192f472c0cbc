"""Measure everything and write BENCHMARKS.md: `python benchmarks/run.py [--quick]`.

The whole run takes about nine minutes, `--quick` about six; `--soak MINUTES` makes the one part
longer that looks for growing memory. Everything stays on this machine: the other side is a lean
exchange in a process of its own (`wire.py`). The peers and the plot are in the extra `bench`.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common import ROOT, Figure, environment

PARTS = (
    "cached",
    "throughput",
    "books",
    "relay",
    "tick_to_order",
    "notify",
    "page",
    "fill",
    "cold",
    "load",
    "rows",
    "detection",
    "whatif",
)
# Seconds that a part may take: some four times what it takes on two cores of 2026.
LIMITS = {"detection": 400.0}
LIMIT = 240.0
PACKAGES = (
    *("requests", "urllib3", "websocket-client", "ccxt", "python-kraken-sdk", "websockets"),
    *("numpy", "pyarrow", "backtesting"),
)
PLOT = "benchmarks/latency.svg"

INTRODUCTION = """\
# Benchmarks

Speed is what the stream is for. Each figure stands beside what a user could pick instead, and
beside the least that is possible; a sentence says what limits it. To measure it yourself, from a
clone:

```sh
.venv/bin/python -m pip install '.[bench]'
.venv/bin/python benchmarks/run.py            # about nine minutes; --quick: about six
```

Ratios are from interleaved runs on the same machine, medians of several runs, and say more than
the absolute figures. Nothing leaves the machine: the other side is a lean exchange in a process
of its own (`benchmarks/wire.py`), which sends frames in Kraken's shape that were built before the
clock starts. Round trips come from a small proxy that holds all bytes back; it does not delay
TCP's own handshake. A *stand-in* is a short imitation of a program that is not at hand, written
for the comparison.
"""


def run_part(name: str, arguments: Sequence[str]) -> list[Figure]:
    """Run one part in a process of its own and return its figures.

    Raises:
        SystemExit: If it fails, or does not end; then its threads have been printed.
    """
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), *arguments]
    process = subprocess.Popen(  # noqa: S603 - our own scripts
        command,
        stdout=subprocess.PIPE,
        text=True,
        env={**environment(), "PYTHONFAULTHANDLER": "1"},  # `abort` makes it say where it stands
        start_new_session=True,
    )
    limit = LIMITS.get(name, LIMIT)
    try:
        told, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        end_all(process)
        raise SystemExit(
            f"{name} did not end in {limit:.0f} s and was ended; the threads above show where it "
            f"stood. Try `benchmarks/run.py --only {name} --quick`"
        ) from None
    except BaseException:  # Ctrl-C does not reach a session of its own
        end_all(process)
        raise
    lines = told.splitlines()
    if process.returncode or not lines:
        raise SystemExit(f"{name} failed with {process.returncode}; see above")
    return [Figure(**fields) for fields in json.loads(lines[-1])]


def end_all(process: subprocess.Popen[str]) -> None:
    """End a part and all that it has started; let it say first where its threads stand."""
    if os.name == "nt":
        process.kill()
    else:
        process.send_signal(signal.SIGABRT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def machine() -> str:
    """Return one line about this machine."""
    model = platform.processor() or platform.machine()
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}{load}"


def versions() -> str:
    """Return one line about what was measured with."""
    found = [f"{platform.python_implementation()} {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a table."""
    rows = [
        "| figure | here | beside it | to reach | floor, and what limits it |",
        "|---|---|---|---|---|",
    ]
    for figure in figures:
        mark = "reached" if figure.is_reached else "**missed**"
        floor = f"Floor: {figure.floor}. " if figure.floor else ""
        rows.append(
            f"| {figure.name} | {figure.value} | {figure.beside} | {figure.goal}: {mark} | "
            f"{floor}{figure.limit} |"
        )
    return "\n".join(rows)


def draw(samples: Mapping[str, Sequence[float]], file: Path) -> bool:
    """Draw the share of samples below each latency; False where matplotlib is not installed."""
    try:
        # By name, because the checks of this project run without the extra `bench`.
        matplotlib: Any = importlib.import_module("matplotlib")
        pyplot: Any = importlib.import_module("matplotlib.pyplot")
    except ImportError:
        return False
    # Text as text, and no random ids or date: the same samples give the same small file.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "ttslo"})
    figure, axes = pyplot.subplots(figsize=(8, 4))
    for name, values in samples.items():
        ordered = sorted(values)[:: max(1, len(values) // 200)]
        axes.plot(ordered, [100 * (n + 1) / len(ordered) for n in range(len(ordered))], label=name)
    axes.set(xscale="log", xlabel="milliseconds", ylabel="% of samples at most", ylim=(0, 101))
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    return True


def page(figures: Sequence[Figure], taken: float, flags: str, *, has_plot: bool) -> str:
    """Return the text of BENCHMARKS.md."""
    facts = [
        f"- date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, `run.py{flags}`, {taken:.0f} s",
        f"- machine: {machine()}",
        f"- versions: {versions()}",
    ]
    plot = f"\n\n![latency distributions]({PLOT})" if has_plot else ""
    return "\n".join([INTRODUCTION, *facts, "", table(figures)]) + plot + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write the page and the plot, and say what was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short runs, six minutes in all")
    parser.add_argument("--soak", metavar="MINUTES", help="look for growing memory this long")
    parser.add_argument("--only", choices=PARTS, help="print one part, write nothing")
    options = parser.parse_args(argv)
    arguments = ["--quick"] * options.quick + (["--soak", options.soak] if options.soak else [])
    started = time.monotonic()
    figures: list[Figure] = []
    for part in [options.only] if options.only else PARTS:
        print(f"{part} ...", file=sys.stderr, flush=True)
        figures += run_part(part, arguments)
    print(table(figures))
    if not options.only:
        samples = {name: values for f in figures for name, values in f.samples.items()}
        has_plot = draw(samples, ROOT / PLOT)
        flags = "".join(f" {argument}" for argument in arguments)
        text = page(figures, time.monotonic() - started, flags, has_plot=has_plot)
        (ROOT / "BENCHMARKS.md").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
