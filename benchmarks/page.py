"""What the live page costs an order, with nobody and with fifty looking; and how soon it shows."""

from __future__ import annotations

import json
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from common import Figure, environment, is_quick, percentile, print_figures
from tick_to_order import armed_program, one_by_one

LOOKERS = 50
_PATIENCE = 30.0


def free_port() -> int:
    """Return a port that nobody has just now."""
    with closing(socket.create_server(("127.0.0.1", 0))) as sock:
        port: int = sock.getsockname()[1]
        return port


def open_page(port: int) -> socket.socket:
    """Return a page that is open, once there is a server for it."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            page = socket.create_connection(("127.0.0.1", port), _PATIENCE)
            break
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
    page.sendall(f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    return page


def look(port: int) -> None:
    """Keep fifty pages open and read them until the program ends. A process of its own."""
    pages = [open_page(port) for _ in range(LOOKERS)]
    while pages:
        for page in select.select(pages, [], [], 1.0)[0]:
            data = b""
            with suppress(OSError):
                data = page.recv(1 << 20)
            if not data:
                pages.remove(page)
                page.close()


@contextmanager
def lookers(port: int) -> Iterator[None]:
    """Let fifty look for as long as the `with` lasts."""
    process = subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, __file__, "look", str(port)], env=environment()
    )
    try:
        yield
    finally:
        process.kill()
        process.wait(5)


def crossings(*, has_page: bool, is_watched: bool = False) -> list[float]:
    """Return the milliseconds from tick to order of a run."""
    if not has_page:
        return [step["all"] for step in one_by_one()[0]]
    port = free_port()
    flags = ["--web", str(port)]
    if not is_watched:
        return [step["all"] for step in one_by_one(flags)[0]]
    with lookers(port):
        return [step["all"] for step in one_by_one(flags)[0]]


def until_shown(count: int) -> list[float]:
    """Return the milliseconds from a tick on the wire until an open page is told of it."""
    port = free_port()
    with armed_program([99_000.0], ["--web", str(port)]) as (wire, program, _):
        taken = []
        with closing(open_page(port)) as page, page.makefile("rb") as lines:
            for number in range(count):
                price = 50_000.5 + number
                sent = wire.ask("tick", price=price)
                while _price(next(_messages(lines))) != price:
                    pass
                taken.append((time.perf_counter_ns() - sent) / 1e6)
        program.end()
    return taken


def _messages(lines: Any) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line.startswith(b"data: "):
            yield json.loads(line[6:])


def _price(message: dict[str, Any]) -> float | None:
    price = message["snapshot"]["rows"][0]["price"]
    return None if price is None else float(price)


def main() -> None:
    """Measure, and print the figures."""
    alone: list[float] = []
    served: list[float] = []
    watched: list[float] = []
    again: list[float] = []
    for _ in range(1 if is_quick() else 4):
        alone += crossings(has_page=False)
        served += crossings(has_page=True)
        watched += crossings(has_page=True, is_watched=True)
        again += crossings(has_page=False)
    base, open_, many, noise = map(statistics.median, (alone, served, watched, again))
    shown = until_shown(20 if is_quick() else 60)
    print_figures(
        [
            Figure(
                f"tick to AddOrder with the live page, {LOOKERS} looking at it",
                f"median {many:.2f} ms, 99 % {percentile(watched, 0.99):.2f} ms of {len(watched)}; "
                f"{many / base:.2f} x of the same without a page",
                f"without a page: median {base:.2f} ms, 99 % {percentile(alone, 0.99):.2f} ms; the "
                f"same once more: {noise / base:.2f} x; with a page and nobody looking: median "
                f"{open_:.2f} ms, 99 % {percentile(served, 0.99):.2f} ms ({open_ / base:.2f} x)",
                "median under 1.15 x of what the same takes when measured twice",
                many / base < 1.15 * max(1.0, noise / base),
                f"{noise / base:.2f} x, the same program measured twice",
                "The page's thread shares the interpreter's lock: four times a second it takes a "
                f"snapshot, and {LOOKERS} writes of it; the {LOOKERS} who read share the machine.",
                {f"tick to AddOrder, {LOOKERS} looking": watched},
            ),
            Figure(
                "a price on the wire until an open page is told of it",
                f"median {statistics.median(shown):.0f} ms, longest {max(shown):.0f} ms of "
                f"{len(shown)}",
                "",
                "under 1 s",
                max(shown) < 1000,
                "125 ms in the mean, half the time between two snapshots",
                "Snapshots are taken four times a second while somebody looks.",
            ),
        ]
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["look"]:
        look(int(sys.argv[2]))
    else:
        main()
