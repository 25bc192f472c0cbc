"""Prices of one connection for ten programs, by `ttslo relay`, beside a connection for each.

Each reader is a process of its own. A frame carries the moment at which the exchange sent it, and
counts once it stands in the reader's cache. Processor time is that of whole processes, from the
first frame to the last.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from common import END, ROOT, Child, Figure, environment, is_quick, percentile, print_figures
from wire import Wire, symbols_of

READERS, SYMBOLS, RATE = 10, 100, 5_000
NAME = "bench"


class Sink:
    """In the place of a queue: takes the time of each price right after the cache has it."""

    def __init__(self) -> None:
        self.delays: list[int] = []

    def put(self, event: Any) -> None:
        """Take an event on the feed's thread."""
        if type(event).__name__ == "Tick" and (event.timestamp or "").isdigit():
            self.delays.append(time.perf_counter_ns() - int(event.timestamp))

    def qsize(self) -> int:
        """Nothing waits."""
        return 0


def run_reader(url: str, expected: int) -> None:
    """Take `expected` prices in, and tell how late they came and what that cost."""
    from ws_price_provider import WebSocketPriceProvider

    provider, sink = WebSocketPriceProvider(url), Sink()
    reader = provider.open_feed(sink=sink)  # type: ignore[arg-type]  # as much of a queue as is used
    for symbol in symbols_of(SYMBOLS):
        provider.subscribe_symbol(symbol)
    ends_at = time.monotonic() + 30.0
    while any(provider.proven(symbol) is None for symbol in symbols_of(SYMBOLS)):
        if time.monotonic() > ends_at:
            raise SystemExit("a symbol has no price")
        time.sleep(0.05)
    print(json.dumps("ready"), flush=True)
    sys.stdin.readline()
    cpu, began = time.process_time(), time.perf_counter()
    while len(sink.delays) < expected and time.perf_counter() - began < 60:
        time.sleep(0.05)
    health = provider.health()
    told = {
        "count": len(sink.delays),
        "cpu": (time.process_time() - cpu) / (time.perf_counter() - began),
        "losses": health.reconnects,
        "delays": [round(delay / 1e6, 3) for delay in sink.delays],
    }
    print(json.dumps(told), flush=True)
    reader.close()
    provider.stop()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


@contextmanager
def broker() -> Iterator[tuple[str, int]]:
    """Start a Redis or Valkey; give the address of a relay on it, and its process."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        raise SystemExit("needs redis-server or valkey-server")
    port = free_port()
    flags = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(  # noqa: S603 - a program of the system
            [program, *flags, "--dir", folder], stdout=subprocess.DEVNULL
        )
        try:
            wait_for(port)
            yield f"redis://127.0.0.1:{port}/{NAME}", process.pid
        finally:
            process.kill()
            process.wait()


def wait_for(port: int) -> None:
    """Wait until somebody listens there."""
    for _ in range(1000):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.01)
    raise SystemExit("the broker does not start")


@contextmanager
def relay(url: str, source: str) -> Iterator[int]:
    """Start `ttslo relay`; give its process."""
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, str(ROOT / "ttslo.py"), "relay", "--publish", url],
        env={**environment(), "KRAKEN_WS_PUBLIC_URL": source},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        process.stdout.readline()
        yield process.pid
    finally:
        process.send_signal(END)
        process.wait(30)
        process.stdout.close()


def cpu_of(process: int) -> float:
    """Return the processor time of another process in seconds; nothing where that is not told."""
    try:
        fields = (
            Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        )
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(url: str, wire: Wire, count: int, watched: Sequence[int]) -> dict[str, Any]:
    """Let ten readers at `url` take `count` prices in; return what they tell, and shares of a core.

    Args:
        url: The exchange's stream or a relay.
        wire: The exchange.
        count: How many prices.
        watched: Other processes whose processor time counts.
    """
    readers = [Child("relay.py", "read", url, count, stdin=True) for _ in range(READERS)]
    try:
        for reader in readers:
            reader.read()
        for reader in readers:
            reader.tell()
        before, began = [cpu_of(process) for process in watched], time.perf_counter()
        wire.ask("stamped", count=count, rate=RATE)
        spent = time.perf_counter() - began
        shares = [
            (cpu_of(process) - cpu) / spent for process, cpu in zip(watched, before, strict=True)
        ]
        told = [reader.read() for reader in readers]
    finally:
        for reader in readers:
            reader.kill()
    delays = [delay for one in told for delay in one["delays"]]
    return {
        "lost": READERS * count - sum(one["count"] for one in told),
        "breaks": sum(one["losses"] for one in told),
        "p50": percentile(delays, 0.5),
        "p99": percentile(delays, 0.99),
        "max": max(delays),
        "reader": statistics.mean(one["cpu"] for one in told),
        "watched": shares,
        "delays": delays[:: max(1, len(delays) // 2000)],
    }


def said(found: dict[str, Any]) -> str:
    """Return delays and losses of one way in words."""
    return (
        f"p50 {found['p50']:.1f}, p99 {found['p99']:.1f}, max {found['max']:.0f} ms, "
        f"{found['lost']} lost, a reader {100 * found['reader']:.0f} %"
    )


def main() -> None:
    """Measure both ways in turns, and print the figure."""
    seconds, rounds = (4, 2) if is_quick() else (8, 3)
    count = seconds * RATE
    by_relay: list[dict[str, Any]] = []
    alone: list[dict[str, Any]] = []
    for _ in range(rounds):
        with ExitStack() as stack:
            wire = stack.enter_context(Wire(symbols=SYMBOLS))
            url, broker_process = stack.enter_context(broker())
            relay_process = stack.enter_context(relay(url, wire.ws_url))
            by_relay.append(measure(url, wire, count, [relay_process, broker_process]))
        with Wire(symbols=SYMBOLS) as wire:
            alone.append(measure(wire.ws_url, wire, count, []))
    ours, other = (sorted(x, key=lambda one: one["p99"])[rounds // 2] for x in (by_relay, alone))
    relay_share, broker_share = ours["watched"]
    lost = sum(found["lost"] + found["breaks"] for found in by_relay)
    print_figures(
        [
            Figure(
                f"exchange to cache through a relay, {READERS} readers, {RATE:,} prices a second",
                f"{said(ours)}; the relay {100 * relay_share:.0f} %, the broker "
                f"{100 * broker_share:.0f} % of a core",
                f"a connection for each reader: {said(other)}",
                "none lost, p99 below 10 ms",
                lost == 0 and ours["p99"] < 10.0,
                "1.5 ms in the mean: one packet each 3 ms",
                "A relay adds a broker and a second program to the way; it spares connections, not "
                "milliseconds. Thirteen processes share the cores of this machine.",
                {"through a relay": ours["delays"], "a connection each": other["delays"]},
            )
        ]
    )


if __name__ == "__main__":
    if len(sys.argv) > 3:
        run_reader(sys.argv[2], int(sys.argv[3]))
    else:
        main()
