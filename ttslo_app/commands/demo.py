"""The demo: the real program, real sockets, and an exchange of its own. No keys, no network.

It plays a path of prices, made up or recorded, and shows a crossing, the order, the stop that
trails, and its fill. Nothing here is simulated but the exchange.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from fake_kraken import FakeKraken, read_replay
from kraken_api import KrakenAPI
from krakenlink import VERSION
from krakenlink.numbers import readable
from ttslo_app.columns import CONFIG_COLUMNS
from ttslo_app.commands import words
from ttslo_app.face.voice import Console
from ttslo_app.orders.life import OrderSettings
from ttslo_app.rules.rule import Rule, ThresholdType, read_rule
from ttslo_app.run.parts import Options
from ttslo_app.run.program import Program
from ttslo_app.signs.telling import Telling
from ttslo_app.store.manager import ConfigManager

PAIR, SYMBOL = "XXBTZUSD", "BTC/USD"
# The demo is over by then, come what may.
_LONGEST = 19.0
_PATIENCE = 2.0

_MADE_UP_START = Decimal(50000)
_MADE_UP_RULES = (
    "sell_high,BTC/USD,50500,above,sell,0.01,1.0,true",
    "buy_dip,BTC/USD,48000,below,buy,0.01,1.5,true",
)
# Where the path turns: over the first threshold and on, back through its stop, under the second
# threshold and on, up through its stop.
_MADE_UP_TURNS = (Decimal(52000), Decimal(47200), Decimal(48100))
_MADE_UP_STEP = Decimal(50)
_MADE_UP_PAUSE = 0.05
_SWEEP = 12


# Rows for a recording: name, percent from its first price, offset of the stop.
_RECORDED_RULES = (("up_2", 2, "1.5"), ("down_5", -5, "2.0"), ("down_15", -15, "2.5"),
                   ("down_25", -25, "3.0"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bar:
    """What is played at once: prices in order, and what a person calls this moment."""

    prices: Sequence[Decimal]
    name: str = ""
    at: float | None = None
    pause: float = 0.0


def made_up_bars(pause: float) -> Iterator[Bar]:
    """Yield a path that crosses both thresholds and triggers both stops."""
    price = _MADE_UP_START
    for turn in _MADE_UP_TURNS:
        step = _MADE_UP_STEP if turn > price else -_MADE_UP_STEP
        while price != turn:
            price += step
            yield Bar([price], pause=pause)


def recorded_bars(path: str) -> list[Bar]:
    """Return the minutes of a file of recorded prices.

    Raises:
        ValueError, OSError: As `read_replay`; also for a file without a row.
    """
    bars = [
        Bar(minute.prices, f"{minute.at:%Y-%m-%d %H:%M}", minute.at.timestamp())
        for minute in read_replay(path)
    ]
    if not bars:
        raise ValueError(f"{path} holds no prices; it needs rows below its header")
    return bars


def rules_around(start: Decimal) -> tuple[str, ...]:
    """Return rows with thresholds above and below the first price of a recording."""
    rows = []
    for name, percent, offset in _RECORDED_RULES:
        threshold = (start * (100 + percent) / 100).quantize(Decimal("0.1"))
        side, action = ("above", "sell") if percent > 0 else ("below", "buy")
        rows.append(f"{name},BTC/USD,{threshold},{side},{action},0.01,{offset},true")
    return tuple(rows)


def swept(bars: Iterable[Bar], waiting: Sequence[Rule]) -> Iterator[Bar]:
    """Yield `bars` with those joined that touch no threshold of `waiting` and need no pause.

    A month goes by in seconds that way, and each price in it is still printed and looked at.
    """
    joined: list[Bar] = []
    for bar in bars:
        is_quiet = not bar.pause and not _met_by(bar, waiting)
        if joined and (not is_quiet or len(joined) >= _SWEEP):
            yield _joined(joined)
            joined = []
        if is_quiet:
            joined.append(bar)
        else:
            yield bar
    if joined:
        yield _joined(joined)


def _joined(bars: Sequence[Bar]) -> Bar:
    prices = [price for bar in bars for price in bar.prices]
    return Bar(prices, bars[-1].name, bars[-1].at)


def _met_by(bar: Bar, rules: Sequence[Rule]) -> list[Rule]:
    return [rule for rule in rules if any(map(rule.is_met_by, bar.prices))]


def run_demo(
    replay: str | None = None,
    pause: float = _MADE_UP_PAUSE,
    *,
    telling: Telling | None = None,
    console: Console | None = None,
) -> int:
    """Run the demo, on recorded prices where `replay` names a file. Blocks for up to 20 s.

    Args:
        replay: The file of recorded prices; None for made-up ones.
        pause: The time in seconds between two made-up prices.
        telling: Who else is told of it.
        console: Where it speaks beside the program.

    Returns:
        0 if every threshold that was crossed led to its one order; 1 if not.

    Raises:
        ValueError, OSError: If the recording cannot be read.
    """
    bars: Iterable[Bar] = made_up_bars(pause)
    rows: Sequence[str] = _MADE_UP_RULES
    start = _MADE_UP_START
    if replay is not None:
        bars = recorded_bars(replay)
        start = bars[0].prices[0]
        rows = rules_around(start)
    with FakeKraken(prices={PAIR: start}) as exchange, tempfile.TemporaryDirectory() as folder:
        show = Show(exchange, Path(folder), rows, console or Console())
        with (telling or Telling()).over(show.program, "DEMO"):
            return show.run(bars)


class Show:
    """One performance: the program on this thread, the prices on another."""

    def __init__(
        self, exchange: FakeKraken, folder: Path, rows: Sequence[str], console: Console
    ) -> None:
        self._exchange = exchange
        self._console = console
        self._rules = [
            read_rule(dict(zip(CONFIG_COLUMNS, r.split(","), strict=True))) for r in rows
        ]
        self._fired: dict[str, str] = {}
        (folder / "config.csv").write_text(
            "\n".join([",".join(CONFIG_COLUMNS), *rows, ""]), encoding="utf-8"
        )
        files = [folder / name for name in ("config.csv", "state.csv", "logs.csv")]
        self.program = Program(
            ConfigManager(*files),
            KrakenAPI(base_url=exchange.rest_url, ws_url=exchange.ws_url),
            KrakenAPI(
                exchange.api_key,
                exchange.api_secret,
                exchange.rest_url,
                use_websocket=False,
                ws_auth_url=exchange.ws_auth_url,
            ),
            Options(settings=OrderSettings(watch=0.3), is_json=console.is_json),
        )

    def run(self, bars: Iterable[Bar]) -> int:
        """Perform, print the summary, and return the exit code."""
        self._tell(words.demo_opening(self._exchange.rest_url, VERSION) + "\n")
        program = self.program
        program.load_state()
        program.recover()
        program.check_config_file_changed()
        program.validate_and_load_config()
        program.report()
        player = threading.Thread(
            target=self._play, args=(bars,), name="ttslo-demo-prices", daemon=True
        )
        player.start()  # a daemon: Ctrl-C ends the demo, wherever the prices are
        program.run_continuous(1)
        player.join(_PATIENCE)
        provider = program.kraken_api_readonly.price_provider()
        if provider is not None:
            provider.stop()
        return self._summary()

    def _tell(self, text: str) -> None:
        """Speak beside the program, in the order of its own lines."""
        self.program.voice.screen.put(lambda: self._console.tell(text))

    def _play(self, bars: Iterable[Bar]) -> None:
        try:
            self._play_on(bars, time.monotonic() + _LONGEST - 2 * _PATIENCE)
        finally:
            self.program.stop()

    def _play_on(self, bars: Iterable[Bar], end: float) -> None:
        exchange = self._exchange
        # However slow the machine is: a price that nobody listens to yet crosses nothing.
        exchange.wait_for(lambda e: e.is_subscribed(SYMBOL, "trade"), end - time.monotonic())
        waiting = list(self._rules)
        shown_at = time.monotonic()
        for bar in swept(bars, waiting):
            # Dated now: a trade that is older than a row fires nothing, and the rows are of today.
            exchange.set_prices(PAIR, bar.prices)
            for rule in _met_by(bar, waiting):
                # Recorded prices go by a thousand times faster than life: give the program the
                # blink of an eye that it needs, so that its order meets the price of its minute.
                waiting.remove(rule)
                exchange.wait_for(_has_order_of(self.program, rule), end - time.monotonic())
                self._fired[rule.id] = bar.name
            now = time.monotonic()
            if now > end:
                self._tell("(the rest of the recording is left out: time is up)")
                break
            if bar.pause:
                time.sleep(bar.pause)
                if now - shown_at > 0.8:
                    shown_at = now
                    self._show_stops()
        self._wait_for_fills()

    def _wait_for_fills(self) -> None:
        """Let the program see what became of the orders that the last prices filled."""

        def is_seen(exchange: FakeKraken) -> bool:
            closed = [order["txid"] for order in exchange.orders if order["status"] == "closed"]
            lives = list(self.program.state.values())
            seen = {cells.get("order_id") for cells in lives if cells["rule_state"] == "closed"}
            return seen.issuperset(closed)

        self._exchange.wait_for(is_seen, _PATIENCE)

    def _show_stops(self) -> None:
        price = self._exchange.price_of(PAIR)
        for order in self._exchange.orders:
            if order["status"] == "open":
                best, stop = (Decimal(order[name]) for name in ("limitprice", "stopprice"))
                self._tell(
                    f"          at Kraken: price {price}, best since entry {best:.1f}, the stop of "
                    f"{order['txid']} stands at {stop:.1f}"
                )

    def _summary(self) -> int:
        orders = {order["txid"]: order for order in self._exchange.orders}
        self._tell("\nWhat happened:")
        complete = True
        for rule in self._rules:
            cells = self.program.state.get(rule.id, {})
            order = orders.pop(cells.get("order_id", ""), None)
            has_crossed = rule.id in self._fired
            complete = complete and has_crossed == (order is not None)
            self._tell(f"  {rule.id:10} {self._line(rule, cells, order)}")
        if orders:
            complete = False
            self._tell(f"  and orders that no row asked for: {', '.join(orders)}")
        self._tell(
            "Each crossing led to one order." if complete else "THIS IS NOT AS IT SHOULD BE."
        )
        return 0 if complete else 1

    def _line(self, rule: Rule, cells: dict[str, str], order: dict[str, Any] | None) -> str:
        side = "at or above" if rule.threshold_type is ThresholdType.ABOVE else "at or below"
        text = f"{side} {readable(rule.threshold)}: "
        if order is None:
            return text + ("crossed, and NO ORDER" if rule.id in self._fired else "never crossed")
        when = f" in the minute {self._fired[rule.id]}" if self._fired.get(rule.id) else ""
        text += f"crossed at {readable(cells['trigger_price'])}{when}, {order['descr']['order']}, "
        if order["status"] == "closed":
            return text + f"filled at {readable(order['price'])}"
        return text + f"{order['status']}, stop at {readable(order['stopprice'])}"


def _has_order_of(program: Program, rule: Rule) -> Callable[[FakeKraken], bool]:
    def has_order(exchange: FakeKraken) -> bool:
        return bool(program.state.get(rule.id, {}).get("order_id"))

    return has_order
