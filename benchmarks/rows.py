"""A hundred thousand rows on five hundred markets: start, five thousand trades a second, a burst.

The real `ttslo.py` runs as a process of its own, against a lean exchange in another one. Each row
has a volume of its own, so that every order tells which row it is of.
"""

from __future__ import annotations

import collections
import os
import statistics
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from common import END, ROOT, Figure, is_quick, print_figures
from tick_to_order import HEADER, own_folder, program_environment
from wire import (
    START_PRICE,
    Server,
    Wire,
    framed,
    orders_in,
    symbols_of,
    ticker_frame,
    trade_frame,
    trade_row,
)
from wire import main as serve

if TYPE_CHECKING:
    from ttslo_app.watch.rulebook import RuleBook

SYMBOLS = 500
RATE = 5_000  # trades a second
BURST = 1_000  # rows that one trade crosses
NEAR, FAR = 52_000.0, 60_000.0  # thresholds of the burst begin at one, all others at the other
_KEPT_TRADES = 3_000  # of a market, for those who ask REST for what they missed
_PAGE = 1_000
_NEVER = 120.0  # seconds after which a wait is given up


# --- the other side --------------------------------------------------------------------------


class TradingServer(Server):
    """The lean exchange with trades, on the stream and over REST, and orders told apart."""

    def __init__(self, count: int, delay: float) -> None:
        self.trades: dict[str, collections.deque[tuple[int, float, float]]] = {
            symbol: collections.deque(maxlen=_KEPT_TRADES) for symbol in symbols_of(count)
        }
        # Guards the numbers of the trades: they go out in their order.
        self.numbers = threading.Lock()
        super().__init__(count, delay)

    def _note_order(self, target: str, body: bytes, came_at: int, connection: int) -> None:
        self.orders += [
            {"at": came_at, "volume": fields["volume"], "pair": fields["pair"]}
            for fields in orders_in(target, body)
        ]

    def _result(self, target: str, body: bytes) -> Any:
        path, _, query = target.partition("?")
        if not path.endswith("/Trades"):
            return super()._result(target, body)
        self.calls["Trades"] += 1
        fields = dict(urllib.parse.parse_qsl(query))
        (key,) = self._rows_named(fields["pair"])
        since = int(fields.get("since") or 0) / 1e9
        seen = [t for t in list(self.trades[self.rows[key]["symbol"]]) if t[2] > since][:_PAGE]
        page = [[f"{price:.1f}", "0.5", at, "b", "l", "", n] for n, price, at in seen]
        return {key: page, "last": str(int((seen[-1][2] if seen else since) * 1e9))}

    def _trade(self, symbol: str, price: float, at: float, stamp: str) -> bytes:
        kept = self.trades[symbol]
        number = kept[-1][0] + 1 if kept else 1
        kept.append((number, price, at))
        return framed(trade_frame([trade_row(symbol, price, number, stamp)]))

    def _send_trades(self, trades: Sequence[tuple[str, float]]) -> int:
        """Send each trade and the ticker that comes with it; return the moment before."""
        with self.numbers:
            at = time.time()
            stamp = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            frames = [
                frame
                for symbol, price in trades
                for frame in (
                    self._trade(symbol, price, at, stamp),
                    framed(ticker_frame(symbol, price)),
                )
            ]
            sent_at = time.perf_counter_ns()
            self._send_all(b"".join(frames))
        return sent_at

    def do_trade(self, symbol: str, price: float) -> int:
        """Let one trade happen; return the moment before it went out."""
        return self._send_trades([(symbol, price)])

    def do_trades(self, rate: float) -> None:
        """Let `rate` trades a second happen, round the markets, until `stop_flood`."""
        self.flood_stop.clear()
        self.sent = 0
        threading.Thread(target=self._flood_trades, args=(rate,), daemon=True).start()

    def _flood_trades(self, rate: float) -> None:
        random = Random(1)  # noqa: S311 - prices of a measurement
        started = time.perf_counter()
        while not self.flood_stop.wait(0.001):
            due = int((time.perf_counter() - started) * rate)
            self._send_trades(
                [
                    (self.symbols[n % len(self.symbols)], START_PRICE + random.randint(-500, 500))
                    for n in range(self.sent, due)
                ]
            )
            self.sent = due

    def do_sent(self) -> int:
        """Return how many trades the flood has sent."""
        return self.sent


class TradingWire(Wire):
    """Starts this file as the other side."""

    command = (__file__, "serve")


# --- the program -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """A row of config.csv and the trade that crosses it."""

    id: str
    symbol: str
    threshold: float
    volume: str

    @property
    def line(self) -> str:
        """The line of config.csv."""
        side = "above,sell" if self.threshold > START_PRICE else "below,buy"
        return f"{self.id},{self.symbol},{self.threshold:.1f},{side},{self.volume},1.5,true"


def rows_of(count: int, symbols: Sequence[str]) -> list[Row]:
    """Return the rows: the first market has those of the burst, the others share the rest."""
    burst = min(BURST, count // 2)
    rows = []
    for number in range(count):
        if number < burst:
            symbol, threshold = symbols[0], NEAR + number
        else:
            place, turn = divmod(number - burst, 2 * (len(symbols) - 1))
            symbol = symbols[1 + turn // 2]
            threshold = FAR + place if turn % 2 else START_PRICE - (FAR - START_PRICE) - place
        rows.append(Row(f"row_{number:06d}", symbol, threshold, f"1.{number:06d}"))
    return rows


class Program:
    """`ttslo.py` in `folder`."""

    def __init__(self, wire: Wire, folder: Path, rows: Sequence[Row]) -> None:
        self.config = folder / "config.csv"
        self._write("\n".join([HEADER, *(row.line for row in rows), ""]))
        self._lines = 0
        self.armed = 0
        self.said: list[str] = []
        self._armings: list[str] = []  # since the last edit
        self._heard = threading.Condition()
        self.started_at = time.perf_counter_ns()
        self._process = subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, str(ROOT / "ttslo.py")],
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
            env=program_environment(wire, folder),
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _write(self, text: str) -> None:
        draft = self.config.with_name("draft")
        draft.write_text(text, encoding="ascii")
        draft.replace(self.config)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._heard:
                if "armed: " in line:
                    self.armed += 1
                    self._armings.append(line)
                elif "order OBENCH" not in line:
                    self.said.append(line)
                self._heard.notify_all()

    def wait(self, is_true: Callable[[], object]) -> int:
        """Wait until what has been said makes `is_true` true; return the moment."""
        with self._heard:
            if not self._heard.wait_for(is_true, _NEVER):
                last = [*self._armings[-2:], *self.said[-3:]]
                raise TimeoutError(f"waited {_NEVER:.0f} s in vain; {self.armed} armed; {last}")
        return time.perf_counter_ns()

    def edit(self, row: Row) -> float:
        """Give a row another threshold, as an editor does; return seconds until that acts."""
        text = self.config.read_text(encoding="ascii")
        start = text.index(f"\n{row.id},") + 1
        cells = text[start : text.index("\n", start)].split(",")
        cells[2] = f"{row.threshold:.1f}"
        with self._heard:
            self._armings.clear()
        self._write(text[:start] + ",".join(cells) + text[text.index("\n", start) :])
        saved_at = time.perf_counter_ns()
        said_at = self.wait(lambda: any(f"{row.id}: armed: " in one for one in self._armings))
        return (said_at - saved_at) / 1e9

    def usage(self) -> dict[str, float]:
        """Return seconds of processor and MB of memory, now and at most; what nobody tells: nan."""
        return _usage(self._process.pid)

    def end(self) -> float:
        """End the program as Ctrl-C does; return the seconds that takes."""
        before = time.perf_counter()
        self._process.send_signal(END)
        self._process.wait(120)
        self._reader.join(5)
        return time.perf_counter() - before

    def kill(self) -> None:
        """End the program at once, if it has not ended."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)


def _usage(pid: int) -> dict[str, float]:
    nan = float("nan")
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return {"cpu": nan, "memory": _memory_by_ps(pid), "peak": nan}
    sizes = {
        name: int(rest.split()[0]) / 1024
        for name, _, rest in (line.partition(":") for line in status.splitlines())
        if name in ("VmRSS", "VmHWM")
    }
    ticks = os.sysconf("SC_CLK_TCK")
    cpu = (int(fields[11]) + int(fields[12])) / ticks
    return {"cpu": cpu, "memory": sizes["VmRSS"], "peak": sizes["VmHWM"]}


def _memory_by_ps(pid: int) -> float:
    """Return what `ps` of macOS and the BSDs tells, in MB."""
    command = ["ps", "-o", "rss=", "-p", str(pid)]
    with suppress(OSError, ValueError):
        found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        return int(found.stdout) / 1024
    return float("nan")


# --- the measurement -------------------------------------------------------------------------


@dataclass(slots=True)
class Run:
    """What one run showed. Times in seconds, lags in milliseconds, memory in MB."""

    rows: int
    started: float
    first_calls: dict[str, int]
    after_start: dict[str, float]
    rate: float
    cpu: float
    lags: list[float]
    burst: list[float]
    edits: list[float]
    end: float
    peak: float
    complaints: list[str]
    is_exact: bool


@contextmanager
def _program(rows: Sequence[Row], symbols: int) -> Iterator[tuple[Wire, Program]]:
    with TradingWire(symbols=symbols) as wire, own_folder() as folder:
        program = Program(wire, Path(folder), rows)
        try:
            yield wire, program
        finally:
            program.kill()


def run(count: int, symbols: int, seconds: float) -> Run:
    """Start the program with so many rows, let trades flow for `seconds`, cross and edit rows."""
    names = symbols_of(symbols)
    rows = rows_of(count, names)
    burst = [row for row in rows if row.symbol == names[0]]
    with _program(rows, symbols) as (wire, program):
        program.wait(lambda: program.armed >= 1)
        first_calls = wire.ask("seen")["calls"]
        program.wait(lambda: program.armed >= count)
        # Ticker and trades of each market.
        seen = wire.wait_until(lambda seen: seen["acked"] >= 2 * symbols, _NEVER)
        started = (seen["subscribed_at"] - program.started_at) / 1e9
        after_start = program.usage()
        edits = [_edit(program, rows[-1], 1.001)]
        wire.ask("trades", rate=RATE)
        time.sleep(1.0)
        before, sent_before, at = program.usage(), wire.ask("sent"), time.perf_counter()
        lags, crossed = _cross_now_and_then(wire, rows[len(burst) :], seconds)
        taken = time.perf_counter() - at
        after, sent = program.usage(), wire.ask("sent")
        sent_at = wire.ask("trade", symbol=names[0], price=NEAR + len(burst))
        seen = wire.wait_until(lambda seen: len(seen["orders"]) >= len(lags) + len(burst), _NEVER)
        orders = seen["orders"]
        arrivals = [(order["at"] - sent_at) / 1e6 for order in orders[len(lags) :]]
        expected = [_plain(row.volume) for row in [*crossed, *burst]]
        edits.append(_edit(program, rows[-2], 1.001))
        wire.ask("stop_flood")
        peak = program.usage()["peak"]
        ended = program.end()
        final = wire.ask("seen")
        is_exact = [_plain(order["volume"]) for order in final["orders"]] == expected
        return Run(
            rows=count,
            started=started,
            first_calls=first_calls,
            after_start=after_start,
            rate=(sent - sent_before) / taken,
            cpu=100 * (after["cpu"] - before["cpu"]) / taken,
            lags=lags,
            burst=arrivals,
            edits=edits,
            end=ended,
            peak=peak,
            complaints=[line.strip() for line in program.said if "WARNING" in line],
            is_exact=is_exact,
        )


def _edit(program: Program, row: Row, factor: float) -> float:
    return program.edit(Row(row.id, row.symbol, row.threshold * factor, row.volume))


def _plain(volume: str) -> str:
    return format(Decimal(volume).normalize(), "f")


def _cross_now_and_then(
    wire: Wire, rows: Sequence[Row], seconds: float
) -> tuple[list[float], list[Row]]:
    """Cross one row after the other for `seconds`; return ms from trade to order, and the rows."""
    lags: list[float] = []
    crossed: list[Row] = []
    end = time.perf_counter() + seconds
    # The nearest thresholds of the markets, so that each trade crosses one row alone.
    nearest = iter(rows)
    while time.perf_counter() < end:
        row = next(nearest)
        sent_at = wire.ask("trade", symbol=row.symbol, price=row.threshold)
        seen = wire.wait_for_orders(len(lags) + 1)
        lags.append((seen["orders"][-1]["at"] - sent_at) / 1e6)
        crossed.append(row)
        time.sleep(0.25)
    return lags, crossed


# --- the cost of a tick ----------------------------------------------------------------------


def tick_costs(sizes: Sequence[int]) -> dict[int, float]:
    """Return the nanoseconds that a price takes which crosses nothing, by how many rows are armed.

    The books are measured in turn, again and again; the least of each counts, as what is more
    than that is other programs' doing.
    """
    books = {size: _book_of(size) for size in sizes}
    prices = [Decimal(number) for number in range(49_000, 51_000)]
    least = dict.fromkeys(sizes, float("inf"))
    for _ in range(15):
        for size, book in books.items():
            before = time.perf_counter_ns()
            for price in prices:
                book.crossed("BTC/USD", price)
            least[size] = min(least[size], (time.perf_counter_ns() - before) / len(prices))
    return least


def _book_of(size: int) -> RuleBook:
    from ttslo_app.rules.rule import ThresholdType
    from ttslo_app.watch.rulebook import RuleBook

    random, book = Random(2), RuleBook()  # noqa: S311 - thresholds of a measurement
    for number in range(size):
        away = Decimal(random.randint(20_000, 10**9)) / 10
        is_above = number % 2
        threshold = 50_000 + away if is_above else 50_000 / away
        kind = ThresholdType.ABOVE if is_above else ThresholdType.BELOW
        book.arm(f"row{number}", "BTC/USD", threshold, kind)
    return book


def tick_figure(costs: dict[int, float]) -> Figure:
    """Return the figure of ticks that cross nothing."""
    ratio = max(costs.values()) / min(costs.values())
    return Figure(
        "a price that crosses nothing, in the rule book",
        ", ".join(f"{cost:.0f} ns with {size:,} rows" for size, cost in costs.items()),
        "",
        "flat: the dearest under 1.5 x the cheapest",
        ratio < 1.5,
        "two comparisons of exact decimals and a call",
        "Only the nearest threshold of each side is looked at, however many there are.",
    )


# --- the figures -----------------------------------------------------------------------------


def figures_of(found: Run, symbols: int) -> list[Figure]:
    """Return the figures of a run."""
    what = f"{found.rows:,} rows over {symbols} pairs"
    median, worst = statistics.median(found.lags), max(found.lags)
    total = found.burst[-1]
    return [
        Figure(
            f"start of `ttslo.py` with {what}, until all are armed and streaming",
            f"{found.started:.1f} s ({found.after_start['cpu']:.1f} s of it at work); AssetPairs "
            f"{found.first_calls['AssetPairs']} x, Ticker {found.first_calls['Ticker']} x",
            "",
            "under 4 s; one AssetPairs and one Ticker before anything is armed",
            found.started < 4 and found.first_calls["AssetPairs"] == 1,
            "",
            "Reading, checking and writing down each row takes about 21 us, a third of it for the "
            "life of the rule in state.csv; telling of it, and watching for it, 5 us each.",
        ),
        Figure(
            f"memory of `ttslo.py` with {what}",
            f"{found.after_start['memory']:.0f} MB once armed, {found.peak:.0f} MB at most in the "
            "whole run",
            "",
            "under 300 MB",
            not found.peak >= 300,
            "",
            "A row costs 1.9 kB: its line as typed, the rule, how it was judged, its life as "
            "state.csv has it, and its place in the rule book. An edit takes a fifth of all of it "
            "besides, for a moment; the allocator keeps some of that.",
        ),
        Figure(
            f"{RATE:,} trades a second, and as many tickers, with {what}",
            f"{found.cpu:.0f} % of a core at {found.rate:,.0f} trades a second; from a trade that "
            f"crosses a row to its order: median {median:.1f} ms, longest {worst:.0f} ms of "
            f"{len(found.lags)}",
            "",
            "one core is enough, nothing is put off",
            found.cpu < 100 and not any("keep up" in line for line in found.complaints),
            "",
            "Two frames a trade, each read, judged and passed from the feed's thread to the "
            "reader's. An order waits for the files that tell of the one before.",
        ),
        Figure(
            f"{len(found.burst):,} crossings in one trade, while the others go on",
            f"{'all placed, in order, none twice' if found.is_exact else 'NOT EXACT'}; the first "
            f"after {found.burst[0]:.0f} ms, the last after {total:,.0f} ms, "
            f"{total / len(found.burst):.2f} ms each",
            "",
            "all of them, in order, none twice, the last after 0.8 s",
            found.is_exact and total < 800,
            "",
            "Fifteen orders a request over one connection, and an interpreter that is shared with "
            "the trades that go on. This exchange takes them all; at Kraken its own limit of "
            "orders on a pair decides the pace.",
        ),
        Figure(
            f"an edit of one of {found.rows:,} rows, from saving it until it acts",
            f"{found.edits[0]:.1f} s, {found.edits[1]:.1f} s at {RATE:,} trades a second",
            "",
            "under 1.2 s",
            found.edits[0] < 1.2,
            "0.6 s: the file is looked at four times a second, and left alone for half of one",
            "The rows that stay are passed over one by one, to see that their pairs and today's "
            "prices say nothing new of them; then those that wait.",
        ),
    ]


def main() -> None:
    """Measure, and print the figures."""
    count, symbols, seconds = (20_000, 200, 3.0) if is_quick() else (100_000, SYMBOLS, 8.0)
    found = run(count, symbols, seconds)
    for line in found.complaints:
        print(line, file=sys.stderr)
    sizes = (10, 1_000, 100_000) if is_quick() else (10, 1_000, 100_000, 1_000_000)
    print_figures([*figures_of(found, symbols), tick_figure(tick_costs(sizes))])


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2:], TradingServer)
    else:
        main()
