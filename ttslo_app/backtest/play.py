"""One row on the prices of the past: when it would have fired, and what its stop would have done.

Pure. Nothing is decided here: the rule book of a live run says what a price fires, the embedded
exchange's engine trails and fills. What this adds is to hand them only the prices that can decide
anything. What it must never do: give another answer than all prices, one by one, would.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fake_kraken.engine import Engine
from fake_kraken.orders import Order
from fake_kraken.params import Refusal
from krakenlink.numbers import plain, quantize_down, trailing_offset
from ttslo_app.backtest.history import BLOCK, PLACES, History
from ttslo_app.rules.rule import Direction, Rule, ThresholdType
from ttslo_app.rules.terms import Trigger
from ttslo_app.watch.rulebook import RuleBook

_SECOND = 1_000_000_000
# More than any row sells or pays: what an account holds is not the question here.
_PLENTY = "1e15"


@dataclass(frozen=True, slots=True)
class Market:
    """The market that prices are of: its key and its row in AssetPairs."""

    key: str
    row: Mapping[str, Any]

    @property
    def tick(self) -> Decimal:
        """The smallest step of a price, in quote currency."""
        return Decimal(1).scaleb(-int(self.row["pair_decimals"]))


@dataclass(frozen=True, slots=True)
class Step:
    """Where a stop stood from a moment on: nanoseconds since 1970, quote currency."""

    at_ns: int
    best: Decimal
    stop: Decimal


@dataclass(frozen=True, slots=True)
class Played:
    """What became of a row.

    Attributes:
        crossed: Where the price that fired it stands; None where none did.
        crossed_price: That price.
        entered: Where the first price after its order stands.
        refusal: Why Kraken would have refused the order; empty where it would not.
        path: Where the stop stood, oldest first; the last step is where it stood at its end.
        filled: Where the price that met the stop stands; None where none did.
        exit_price: What it was filled at; where it was not, the last price of all.
    """

    rule: Rule
    crossed: int | None = None
    crossed_price: Decimal = Decimal(0)
    entered: int = 0
    refusal: str = ""
    path: tuple[Step, ...] = ()
    filled: int | None = None
    exit_price: Decimal = Decimal(0)


def play(history: History, rule: Rule, market: Market) -> Played:
    """Return what would have become of a row that was armed at the first price.

    Its order stands from the first price on that is of a later moment than the crossing.
    """
    crossed = _crossing(history, rule)
    if crossed is None:
        return Played(rule)
    price, entered = history.price_at(crossed), history.after(crossed)
    engine = _engine(market, history.price_at(entered - 1))
    try:
        order = engine.add_order(_order_of(rule, market), _seconds(history, entered - 1))
    except Refusal as refusal:
        return Played(rule, crossed, price, entered, refusal=str(refusal))
    return _Run(history, engine, order, entered).played(rule, crossed)


def _crossing(history: History, rule: Rule) -> int | None:
    """Return where the price that fires a row stands; the rule book has the last word on it."""
    is_fall = rule.threshold_type is ThresholdType.BELOW
    found = history.first_from(0, rule.threshold, is_fall=is_fall)
    if found is None:
        return None
    book = RuleBook()
    book.arm(rule.id, rule.pair, rule.threshold, rule.threshold_type)
    for index in range(max(0, found - 1), len(history)):
        if book.crossed(rule.pair, history.price_at(index)):
            return index
    return None


def entered_order(market: Market, rule: Rule, price: Decimal) -> Order:
    """Return the order of a row as it stands at once where the last price is `price`.

    Raises:
        Refusal: If Kraken would refuse it.
    """
    return _engine(market, price).add_order(_order_of(rule, market), 0.0)


def _engine(market: Market, price: Decimal) -> Engine:
    funds = {str(market.row["base"]): _PLENTY, str(market.row["quote"]): _PLENTY}
    return Engine({market.key: market.row}, {market.key: price}, funds)


def _order_of(rule: Rule, market: Market) -> dict[str, str]:
    return {
        "pair": market.key,
        "type": rule.direction.value,
        "ordertype": "trailing-stop",
        "volume": plain(volume_of(rule)),
        "price": _offset_of(rule, market),
        "asset_class": str(market.row.get("aclass_base", "currency")),
    }


def unplayable(rule: Rule) -> list[str]:
    """Return the columns of a row that prices alone cannot play."""
    terms = rule.terms
    said = {
        "volume": rule.volume is None,
        "limit_offset": terms.limit is not None,
        "trigger": terms.trigger is not Trigger.LAST,
        "expires": terms.expires is not None,
    }
    return [name for name, is_said in said.items() if is_said]


def volume_of(rule: Rule) -> Decimal:
    """Return the volume of a row that can be played."""
    assert rule.volume is not None  # `unplayable` rows are left out
    return rule.volume


def _offset_of(rule: Rule, market: Market) -> str:
    """Return the trailing offset as a live run writes it."""
    if rule.offset_percent is not None:
        return trailing_offset(rule.offset_percent)
    assert rule.terms.offset_quote is not None  # one of the two is always there
    places = int(market.row["pair_decimals"])
    return f"+{plain(quantize_down(rule.terms.offset_quote, places))}"


def _seconds(history: History, index: int) -> float:
    return int(history.at_ns[index]) / _SECOND


class _Run:
    """One order on its way through the prices after its crossing."""

    def __init__(self, history: History, engine: Engine, order: Order, entered: int) -> None:
        self._history, self._engine, self._order = history, engine, order
        self._listing = engine.listing_of(order)
        self._next = entered
        self._path = [self._step(entered - 1)]
        self._entered = entered

    def _step(self, index: int) -> Step:
        return Step(int(self._history.at_ns[index]), self._order.anchor, self._order.stop)

    def played(self, rule: Rule, crossed: int) -> Played:
        """Play to the end and return what became of the order."""
        filled = self._play()
        history = self._history
        price = self._order.fill_price if filled is not None else history.price_at(-1)
        return Played(
            rule,
            crossed,
            history.price_at(crossed),
            self._entered,
            path=tuple(self._path),
            filled=filled,
            exit_price=price,
        )

    def _play(self) -> int | None:
        """Hand the engine what could decide anything; return where the stop was met."""
        history = self._history
        is_sell = self._order.side == Direction.SELL
        offset = self._least_share()
        filled = self._print_until(-(-self._next // BLOCK) * BLOCK)
        while filled is None and self._next < len(history):
            here = self._next // BLOCK
            there = history.quiet_until(here, self._order.anchor, offset, is_sell)
            # Until then the best price of each block moves the stop, and all others change nothing.
            for index in history.records(here, there, self._order.anchor, is_sell):
                self._print(index, history.price_at(index))
            self._next = there * BLOCK
            filled = self._print_until((there + 1) * BLOCK)
        return filled

    def _least_share(self) -> float:
        """Return how far the stop stays from its best price at least, as a share of that."""
        if self._order.is_percent:
            return float(self._order.offset) / 100
        # An amount of money is the smallest share of the highest price.
        return float(self._order.offset.scaleb(PLACES)) / float(self._history.blocks.high.max())

    def _print_until(self, end: int) -> int | None:
        """Print every price before `end`; return where the stop was met."""
        for index in range(self._next, min(end, len(self._history))):
            self._next = index + 1
            if self._print(index, self._history.price_at(index)):
                return index
        return None

    def _print(self, index: int, price: Decimal) -> bool:
        """Print one price; True where it filled the order."""
        order, stop = self._order, self._order.stop
        self._engine.trade(self._listing, price, Decimal(1), _seconds(self._history, index))
        if order.stop != stop:
            self._path.append(self._step(index))
        return order.status != "open"
