"""How fast prices end with a fault and come back after it, with a judge of every price meanwhile.

Each try has a scene of its own, the chaos suite's: an exchange whose price moves all the time, its
proxy, a client with all settings as they come, and readers whose every answer an oracle judges.
`detection.py` runs this and shows the table; by itself: `python benchmarks/recovery.py [--quick]`.
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import Figure, is_quick, print_figures

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    from tests.kits.chaos.chaos_kit import Scene

LANES = 16  # tries at the same time: they mostly wait
HELD = 2.0  # seconds that a fault goes on after it was noticed
UNNOTICED = 5.0  # seconds that one is held which is to change nothing
LONG = 60.0


# --- the faults ----------------------------------------------------------------------------------


@dataclass
class Case:
    """One fault: how it begins and ends, and whether prices are to stop.

    Attributes:
        name: As the table shows it.
        begin: Makes it.
        end: Lifts it.
        is_blinding: Whether prices stop counting.
        lateness: Seconds that a price may be older than its proof, because the line may hold it.
        options: Returns what is special about the scene of a try.
    """

    name: str
    begin: Callable[[Scene], object]
    end: Callable[[Scene], object]
    is_blinding: bool = True
    lateness: float = 0.0
    options: Callable[[], dict[str, Any]] = dict


def weather(*, with_reset: bool = False, **what: Any) -> Callable[[Scene], None]:
    """Return what changes the weather, for new connections only `with_reset`."""

    def change(scene: Scene) -> None:
        from tests.kits.chaos.chaos_proxy import Weather

        scene.proxy.weather = Weather(**what)
        if with_reset:
            scene.proxy.reset()

    return change


def fair(scene: Scene) -> None:
    """Let everything through."""
    from tests.kits.chaos.chaos_proxy import FAIR

    scene.proxy.weather = FAIR


def nothing(scene: Scene) -> None:
    """Change nothing: the fault is over by itself."""


def flap(scene: Scene) -> None:
    """Reset the connection once a second, for a minute."""
    for _ in range(5 if is_quick() else 60):
        scene.proxy.reset()
        time.sleep(1.0)


class Names:
    """Takes a name server away for the addresses of some ports."""

    def __init__(self) -> None:
        self._gone: set[int] = set()
        self._known = socket.getaddrinfo
        socket.getaddrinfo = self._look_up

    def _look_up(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "localhost" and port in self._gone:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self._known(host, port, *args, **kwargs)

    def lose(self, scene: Scene) -> None:
        """Let the name be unknown, and the connection be lost."""
        self._gone.add(scene.proxy.port)
        scene.proxy.reset()

    def find(self, scene: Scene) -> None:
        """Let it be known again."""
        self._gone.discard(scene.proxy.port)


class Clock:
    """A feed's clock that can step."""

    def __init__(self) -> None:
        from ws_price_provider import feed_clock

        self._real = feed_clock
        self.offset = 0.0

    def __call__(self) -> float:
        """Return the moment."""
        return self._real() + self.offset


def sleep(scene: Scene) -> None:
    """Let the feed's clock step an hour ahead, as after sleep."""
    scene.provider._clock.offset += 3600.0  # type: ignore[attr-defined]  # a `Clock`


real_time = time.time


def set_date(scene: Scene) -> None:
    """Set the time of day a day back."""
    time.time = lambda: real_time() - 86_400


def set_right(scene: Scene) -> None:
    """Set it right again."""
    time.time = real_time


def cut_handshakes(scene: Scene) -> None:
    """Reset each connection a moment after it was made, in the middle of its handshake."""
    weather(with_reset=True, is_deaf=True)(scene)
    ending: Any = threading.Event()
    scene.cutting_ends = ending  # type: ignore[attr-defined]  # for the end of this fault alone

    def cut() -> None:
        while not ending.wait(0.1):
            scene.proxy.reset()

    threading.Thread(target=cut, daemon=True).start()


def let_handshakes(scene: Scene) -> None:
    """Let handshakes come to their end."""
    scene.cutting_ends.set()  # type: ignore[attr-defined]  # see above
    fair(scene)


def never_read(scene: Scene) -> None:
    """Open ten listeners that never read."""
    scene.sleepers = [  # type: ignore[attr-defined]  # a reader that nobody holds is forgotten
        scene.provider.open_feed() for _ in range(10)
    ]


def server_tls(folder: Path) -> ssl.SSLContext:
    """Return the context of a server on this machine that our feed trusts."""
    from tests.kits.chaos.chaos_kit import CERTIFICATE

    file = folder / "localhost.pem"
    file.write_text(CERTIFICATE, encoding="ascii")
    os.environ["SSL_CERT_FILE"] = str(file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def cases(folder: Path) -> list[Case]:
    """Return all faults, the longest first."""
    from krakenlink.stream.settings import FeedSettings
    from tests.kits.chaos.chaos_kit import frame

    names = Names()
    late = FeedSettings().dead_after + FeedSettings().lag_check_every
    huge = weather(with_reset=True, injected=frame(b" " * 10_000_000))
    reset = weather(with_reset=True)
    context = server_tls(folder)
    seconds = 5 if is_quick() else 60
    return [
        Case(f"flapping: reset every second for {seconds} s", flap, nothing),
        Case("black hole: accepted, never answered", weather(with_reset=True, is_deaf=True), fair),
        Case("latency of 4 s, longer than death", weather(latency=4.0), fair, lateness=late),
        Case("half-open: bytes vanish, nobody is told", weather(is_dark=True), fair),
        Case(
            "partial frames: dead in the middle of one, new connections too",
            weather(hole_after=700),
            fair,
        ),
        Case("connection reset", reset, nothing),
        Case("connections refused", lambda s: s.proxy.refuse(), lambda s: s.proxy.listen()),
        Case("name server gone", names.lose, names.find, options=lambda: {"host": "localhost"}),
        Case(
            "TLS handshakes cut",
            cut_handshakes,
            let_handshakes,
            options=lambda: {"tls": context},
        ),
        Case("a frame of 10 MB on each connection", huge, fair),
        Case(
            "server restart, REST gone, too",
            lambda s: s.exchange.stop_listening(),
            lambda s: s.exchange.resume(),
        ),
        Case(
            "an hour of sleep: the feed's clock steps",
            sleep,
            nothing,
            options=lambda: {"clock": Clock()},
        ),
        Case("latency of 0.1 s", weather(latency=0.1), fair, is_blinding=False, lateness=0.2),
        Case(
            "bytes come eight at a time",
            weather(piece=8),
            fair,
            is_blinding=False,
            options=lambda: {"pause": 0.2},  # or the line would fall behind
        ),
        Case("ten listeners that never read", never_read, nothing, is_blinding=False),
        Case("the time of day set a day back", set_date, set_right, is_blinding=False),
    ]


# --- one try -------------------------------------------------------------------------------------


@dataclass
class Result:
    """What the tries of one fault have shown; times are seconds."""

    name: str
    ended: list[float] = field(default_factory=list)
    back: list[float] = field(default_factory=list)
    lies: list[str] = field(default_factory=list)
    judged: int = 0
    failures: list[str] = field(default_factory=list)


def until(is_so: Callable[[], bool], timeout: float = LONG) -> float:
    """Wait until something is so; return how long it took.

    Raises:
        TimeoutError: If it never was.
    """
    began = time.monotonic()
    while not is_so():
        if time.monotonic() - began > timeout:
            raise TimeoutError
        time.sleep(0.001)
    return time.monotonic() - began


def attempt(case: Case, result: Result) -> None:
    """Make the fault once, lift it, and note what was seen."""
    from krakenlink.stream.settings import FeedSettings
    from tests.kits.chaos.chaos_kit import SLACK, SYMBOL, Scene

    options = {"settings": FeedSettings(), "pause": 0.02, "reader_pause": 0.02, "heartbeat": 1.0}
    with ExitStack() as stack:
        scene = Scene(stack, **(options | case.options()))
        scene.readers.allowed = SLACK + case.lateness
        clock = scene.provider._clock

        def is_blind() -> bool:
            return scene.provider.fresh_tick(SYMBOL) is None

        def is_back() -> bool:
            tick = scene.provider.fresh_tick(SYMBOL)
            return tick is not None and tick.at >= lifted_at

        until(lambda: not is_blind())
        scene.sees()
        began = time.monotonic()
        watcher = threading.Thread(target=lambda: _note_end(is_blind, began, case, result))
        watcher.start()
        case.begin(scene)
        watcher.join()
        assert bool(result.ended) == case.is_blinding, "prices went on, or ended without a reason"
        time.sleep(HELD if case.is_blinding and case.end is not nothing else 0)
        lifted_at = clock()
        case.end(scene)
        result.back.append(until(is_back))
        scene.sees()
        result.judged += scene.readers.judged
        result.lies += scene.readers.lies


def _note_end(is_blind: Callable[[], bool], began: float, case: Case, result: Result) -> None:
    """Note when prices ended, or that they ended although they should not."""
    with suppress(TimeoutError):
        until(is_blind, LONG if case.is_blinding else UNNOTICED)
        result.ended.append(time.monotonic() - began)


# --- all of them ---------------------------------------------------------------------------------


def measure() -> list[Result]:
    """Try every fault several times."""
    with tempfile.TemporaryDirectory() as folder:
        all_cases = cases(Path(folder))
        results = {case.name: Result(case.name) for case in all_cases}

        def run(case: Case) -> None:
            result = results[case.name]
            try:
                attempt(case, result)
            except (AssertionError, TimeoutError, OSError) as error:
                result.failures.append(f"{type(error).__name__}: {error}")

        tries = 1 if is_quick() else 2
        with ThreadPoolExecutor(LANES) as lanes:
            list(lanes.map(run, [case for case in all_cases for _ in range(tries)]))
    return list(results.values())


def seconds(times: Sequence[float]) -> str:
    """Return the worst of some times as text."""
    if not times:
        return "they go on"
    worst = max(times)
    return f"{worst * 1000:.0f} ms" if worst < 1 else f"{worst:.1f} s"


def table(results: Sequence[Result]) -> str:
    """Return the table as Markdown."""
    heads = (
        *("fault", "prices stop counting after", "first proven price after its end", "tries"),
        *("prices judged", "older than their proof"),
    )
    rows = [f"| {' | '.join(heads)} |", "|---|---|---|---|---|---|"]
    for r in results:
        told = f"{len(r.lies)}" + f"; {len(r.failures)} FAILED" * bool(r.failures)
        rows.append(
            f"| {r.name} | {seconds(r.ended)} | {seconds(r.back)} | {len(r.back)} | "
            f"{r.judged:,} | {told} |"
        )
    return "\n".join(rows)


def figures(results: Sequence[Result]) -> list[Figure]:
    """Return the one line for the big table."""
    # Flapping makes the pauses longer, and that is what they are for: it is told by itself.
    flapping = [lasted for r in results for lasted in r.back if r.name.startswith("flapping")]
    back = [lasted for r in results for lasted in r.back if not r.name.startswith("flapping")]
    judged, lies = sum(r.judged for r in results), sum(len(r.lies) for r in results)
    failures = [failure for r in results for failure in r.failures]
    return [
        Figure(
            f"{len(results)} faults of a network: from the end of the fault to the first proven "
            "price, worst try",
            f"{seconds(back)} (of {len(back)}); after flapping {seconds(flapping)} (of "
            f"{len(flapping)}); {lies} of {judged:,} prices older than their proof",
            "see benchmarks/faults.md for each of them",
            "no price older than its proof; back in 10 s, but for flapping",
            not lies and not failures and bool(back) and max(back) <= 10.0,
            "",
            "The pause before the next attempt (0, 1, 2, 5 s ... 30 s, longer with each connection "
            "that does not hold), or the 5 s that an attempt may take which nobody answers.",
        )
    ]


def complain(results: Sequence[Result]) -> None:
    """Say what went wrong."""
    for r in results:
        for failure in [*r.failures, *r.lies[:3]]:
            print(f"{r.name}: {failure}", file=sys.stderr)


def main() -> None:
    """Measure, show the table, and print the figures."""
    results = measure()
    print(table(results))
    complain(results)
    print_figures(figures(results))


if __name__ == "__main__":
    main()
