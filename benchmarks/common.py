"""What the measurements share: figures, statistics, child processes, memory."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# What ends a program cleanly; a shell's job in the background is deaf to Ctrl-C.
END = signal.SIGINT if os.name == "nt" else signal.SIGTERM


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes:
        name: What was measured.
        value: The figure with its unit.
        beside: What it stands beside, each with its own figure and the ratio.
        goal: What it is to reach.
        is_reached: Whether it does.
        floor: The least that is possible here, measured in the same run where it can be.
        limit: One sentence on what limits it.
        samples: Latencies in milliseconds by name, for the plot.
    """

    name: str
    value: str
    beside: str
    goal: str
    is_reached: bool
    floor: str
    limit: str
    samples: dict[str, list[float]] = field(default_factory=dict)


def print_figures(figures: Sequence[Figure]) -> None:
    """Hand figures to `run.py`, which reads the last line that a part prints."""
    print(json.dumps([asdict(figure) for figure in figures]), flush=True)


def is_quick() -> bool:
    """Tell whether short runs are wanted."""
    return "--quick" in sys.argv


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios of pairs that were measured one right after the other."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


class Child:
    """A measured program in a process of its own, which prints one JSON value a line."""

    def __init__(self, script: str, *arguments: object, stdin: bool = False) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own scripts
            [sys.executable, str(ROOT / "benchmarks" / script), *map(str, arguments)],
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )

    def read(self) -> Any:
        """Return the next value.

        Raises:
            RuntimeError: If the program ended without one.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a measured program ended with {self._process.wait()}")
        return json.loads(line)

    def tell(self) -> None:
        """Send an empty line."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def ask(self) -> Any:
        """Send an empty line and return the value that it is answered with."""
        self.tell()
        return self.read()

    def end(self) -> None:
        """Wait for the program's end."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait(30)

    def kill(self) -> None:
        """End the program at once."""
        self._process.kill()
        self.end()


def environment() -> dict[str, str]:
    """Return the environment of children: our modules on the path, nobody's keys or proxies."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(("KRAKEN_", "TTSLO_")) and "PROXY" not in name.upper()
    }
    # Where it is set, our modules would be compiled at each start, and those of others not.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**kept, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "benchmarks")))}


def memory_mb() -> float:
    """Return the memory that this process has resident, in MB; the most it ever had elsewhere."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024
    except OSError:
        pass  # not Linux
    try:
        import resource
    except ImportError:
        return float("nan")  # Windows
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1024 * 1024 if sys.platform == "darwin" else 1024)
