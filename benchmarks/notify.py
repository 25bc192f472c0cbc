"""What three mute notification services cost an order: from a tick to AddOrder with and without."""

from __future__ import annotations

import socket
import statistics
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from common import Figure, is_quick, percentile, print_figures
from tick_to_order import one_by_one

SERVICES = 3


@contextmanager
def mute_service() -> Iterator[str]:
    """Serve an address that takes whatever comes and never answers; yield it."""
    listener = socket.create_server(("127.0.0.1", 0))
    taken: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                taken.append(listener.accept()[0])
            except OSError:
                return

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"json://127.0.0.1:{listener.getsockname()[1]}/?rto=600"
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        for one in (listener, *taken):
            one.close()
        thread.join(5)


def crossings(*, is_told: bool) -> list[float]:
    """Return the milliseconds from tick to order of a run, each crossing of which is told."""
    with ExitStack() as stack:
        flags: list[str] = []
        for _ in range(SERVICES if is_told else 0):
            flags += ["--notify", f"all={stack.enter_context(mute_service())}"]
        steps, _, _ = one_by_one(flags)
    return [step["all"] for step in steps]


def main() -> None:
    """Measure, and print the figure."""
    alone: list[float] = []
    told: list[float] = []
    again: list[float] = []
    for _ in range(1 if is_quick() else 2):
        alone += crossings(is_told=False)
        told += crossings(is_told=True)
        again += crossings(is_told=False)
    ours, theirs, noise = map(statistics.median, (told, alone, again))
    ratio = ours / theirs
    print_figures(
        [
            Figure(
                f"tick to AddOrder while {SERVICES} notification services take every message and "
                "never answer",
                f"median {ours:.2f} ms, 99 % {percentile(told, 0.99):.2f} ms of {len(told)}; "
                f"{ratio:.2f} x of the same without notifications",
                f"without notifications: median {theirs:.2f} ms, 99 % "
                f"{percentile(alone, 0.99):.2f} ms; the same once more: {noise / theirs:.2f} x",
                "median under 1.15 x of what the same takes when measured twice",
                ratio < 1.15 * max(1.0, noise / theirs),
                f"{noise / theirs:.2f} x, the same program measured twice",
                "What is said is put into a queue once the order has left; threads of their own "
                "share the interpreter's lock for the blink in which they write a request.",
                {"tick to AddOrder, three mute services": told},
            )
        ]
    )


if __name__ == "__main__":
    main()
