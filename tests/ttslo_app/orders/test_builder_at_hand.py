"""What is worked out before a crossing is what would be worked out at it, letter for letter.

A property: rows are edited, read again, put at hand and crossed in any order, and the facts of
their pair change meanwhile. Whatever is sent and written down is compared with what is built of the
row's cells alone, by nothing that keeps anything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from fake_kraken import FakeKraken
from tests.kits.common.examples import many
from tests.kits.orders.order_bench import MARKET, ROW, Bench, MemoryFiles
from tests.kits.orders.order_exchange_kit import OURS, PAIR, deadline_of, kraken, said
from ttslo_app.messages import AcceptedRule, Adopt, Crossing, Market
from ttslo_app.orders.exchange import KrakenExchange
from ttslo_app.orders.ledger import State
from ttslo_app.orders.life import RuleState
from ttslo_app.orders.request import OrderRequest
from ttslo_app.rules.checked import KnownRows
from ttslo_app.rules.rule import read_rule

__all__ = ["kraken", "said"]  # fixtures

NAMES = ("a", "b", "c")
Row = dict[str, str]

# Cells that say the same in other letters, and cells that say another thing.
CELLS = st.fixed_dictionaries(
    {},
    optional={
        "volume": st.sampled_from(["0.01", "0.010", "1E-2", "0.19", "0.123456789", "2"]),
        "direction": st.sampled_from(["buy", "sell"]),
        "threshold_price": st.sampled_from(["50000", "50000.0", "49000"]),
        "trailing_offset_percent": st.sampled_from(["5.0", "5", "5.00", "0.333"]),
        "limit_offset": st.sampled_from(["", "0.5%", "0.50%", "250"]),
        "trigger": st.sampled_from(["", "last", "index"]),
        "fee_currency": st.sampled_from(["", "base", "quote"]),
        "note": st.sampled_from(["", "mine"]),
    },
)
MARKETS = st.builds(
    lambda lots, prices, key: replace(
        MARKET, lot_decimals=lots, price_decimals=prices, rest_key=key
    ),
    st.sampled_from([8, 2, 1, None]),
    st.sampled_from([1, 0, None]),
    st.sampled_from(["XXBTZUSD", "XBTUSD"]),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("edit"), st.tuples(st.sampled_from(NAMES), CELLS)),
        st.tuples(st.just("read"), st.booleans()),
        st.tuples(st.just("told"), MARKETS),
        st.tuples(st.just("shown"), MARKETS),
        st.tuples(
            st.just("cross"),
            st.tuples(
                st.lists(st.sampled_from(NAMES), min_size=1, unique=True),
                st.integers(0, 2),
            ),
        ),
    ),
    max_size=12,
)


@dataclass
class NotingFiles(MemoryFiles):
    """Files that keep each intent as it was written."""

    intents: list[Row] = field(default_factory=list)

    def save_intents(self, state: State, rule_ids: Sequence[str]) -> None:
        self.intents += [dict(state[rule_id]) for rule_id in rule_ids]
        super().save_intents(state, rule_ids)


class AtHand(Bench):
    """A bench whose rows are read as the program reads them: what is the same stays the same.

    Attributes:
        cells: config.csv.
        market: What is known of the pair where rows are read.
        readings: The rows as they were read, the last ones first; by them prices are watched.
    """

    def __init__(self) -> None:
        self.cells: dict[str, Row] = {name: {**ROW, "id": name} for name in NAMES}
        self.market = MARKET
        self.readings: list[dict[str, AcceptedRule]] = []
        self._known = KnownRows()
        super().__init__()
        self.written = NotingFiles(self.files.disk)
        self.files = self.written
        self.restart()
        self.kraken.takes_batches = True

    def adopt(self, *, read_at: float | None = None, undecided: Sequence[str] = ()) -> None:
        entries, before = {}, self.readings[0] if self.readings else {}
        for one in self._known.read(list(self.cells.values())):
            assert one.rule is not None, one.problems
            known = before.get(one.rule.id)
            is_same = known is not None and known.row is one.row and known.market is self.market
            is_noted = one.rule.id in self.files.notes
            new = AcceptedRule(one.rule, self.market, is_noted, one.row)
            entries[one.rule.id] = known if is_same and known is not None and not is_noted else new
        self.readings.insert(0, entries)
        ready = {name: one for name, one in entries.items() if not one.is_fired_in_file}
        self.worker.submit(Adopt(ready, self.clock.monotonic()))
        self.worker.work_off()

    def read_anew(self, *, forgets: bool) -> None:
        """Read the rows again, perhaps each as one that nobody has seen before."""
        if forgets:
            self._known = KnownRows()
            self.cells = {name: dict(cells) for name, cells in self.cells.items()}
        self.adopt()

    def fire(self, crossed: Sequence[AcceptedRule]) -> list[str]:
        """Let rows cross as they were read; return those that have an order to expect.

        None has one whose row says another thing by now.
        """
        self.files.rules = {name: read_rule(cells) for name, cells in self.cells.items()}
        armed = [one.rule for one in crossed if self.state(one.rule.id) == RuleState.ARMED]
        due = [rule.id for rule in armed if rule == self.files.rules[rule.id]]
        for one in crossed:
            self.worker.submit(Crossing(one.rule, Decimal(50001), "50001"))
        self.worker.work_off()
        return due

    def state(self, name: str) -> str:
        """Return what state.csv says, by nothing that keeps lives."""
        return self.worker.state[name]["rule_state"]


def plain(number: Decimal) -> str:
    """Return digits without an exponent, by nothing of ours."""
    return format(number, "f")


def cut(number: Decimal, places: int | None) -> Decimal:
    """Return a number without the digits beyond `places`, by its text."""
    whole, _, digits = plain(number).partition(".")
    if places is None or len(digits) <= places:
        return number
    return Decimal(f"{whole}.{digits[:places]}" if places else whole)


def order_of(cells: Mapping[str, str], market: Market) -> dict[str, str] | None:
    """Return the order that the cells of a row stand for; None where nothing is left of it."""
    volume = cut(Decimal(cells["volume"]), market.lot_decimals)
    percent = cells["trailing_offset_percent"]
    limit, kind = cells.get("limit_offset", ""), "trailing-stop"
    if limit:
        kind = "trailing-stop-limit"
        digits = limit.removesuffix("%")
        if limit == digits:
            digits = plain(cut(Decimal(digits), market.price_decimals))
        sign = "-" if cells["direction"] == "sell" else "+"
        limit = f"{sign}{digits}{'%' if limit.endswith('%') else ''}"
    order = {
        "pair": market.rest_key,
        "type": cells["direction"],
        "volume": plain(volume),
        "price": f"+{percent if '.' in percent else percent + '.0'}%",
        "ordertype": kind,
        "trigger": cells.get("trigger") or "last",
        "price2": limit,
        "oflags": {"base": "fcib", "quote": "fciq"}.get(cells.get("fee_currency", ""), ""),
    }
    return {n: text for n, text in order.items() if text} if volume else None


def digest_of(cells: Mapping[str, str]) -> str:
    """Return the digest of a row to the letter."""
    text = json.dumps([[name, cell] for name, cell in cells.items()])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def look(bench: AtHand, names: Sequence[str], ago: int = 0) -> None:
    """Let rows cross as they were read some readings ago, and compare what left with their cells.

    What is to be written down of the letters is what was read last.
    """
    sent, written = len(bench.kraken.sent), len(bench.written.intents)
    readings = bench.readings[min(ago, len(bench.readings) - 1)], bench.readings[0]
    rows, last = ({n: texts(one[n].row) for n in names} for one in readings)
    ids = {n: bench.worker.state[n]["cl_ord_id"] for n in names}
    due = bench.fire([readings[0][name] for name in names])
    built = {name: order_of(rows[name], bench.kraken.market) for name in due}
    wanted = {name: order for name, order in built.items() if order is not None}
    orders = {cl_ord_id: order.cells for order, cl_ord_id, _ in bench.kraken.sent[sent:]}
    assert orders == {ids[name]: order for name, order in wanted.items()}
    intents = {life["id"]: life for life in bench.written.intents[written:]}
    assert set(intents) == set(wanted)
    for name, life in intents.items():
        assert life["order"] == json.dumps(wanted[name])
        assert life["letters"] == digest_of(last[name])
        assert life["cl_ord_id"] == ids[name]


def texts(row: Mapping[str, object]) -> Row:
    """Return the cells of a row."""
    return {name: str(cell) for name, cell in row.items()}


@settings(max_examples=many(150), deadline=None)
@given(STEPS)
@example(
    [
        ("edit", ("a", {"trailing_offset_percent": "5.00"})),
        ("read", False),
        ("cross", (["a"], 1)),  # as it was read before that
    ]
)
def test_order_that_was_at_hand_is_the_one_that_would_be_built(steps: list[Any]) -> None:
    """Whatever was edited, read or told since it was put there."""
    bench = AtHand()
    for step, what in steps:
        match step:
            case "edit":
                name, cells = what
                bench.cells[name] = {**bench.cells[name], **cells}
            case "read":
                bench.read_anew(forgets=what)
            case "told":
                bench.market = what
            case "shown":
                bench.kraken.market = what
            case "cross":
                look(bench, *what)
    look(bench, NAMES)


ORDERS = st.builds(
    OrderRequest,
    st.just(PAIR),
    st.sampled_from(["buy", "sell"]),
    st.sampled_from(["0.01", "0.02", "0.010"]),
    st.sampled_from(["+1.25%", "+1.250%", "+250"]),
    ordertype=st.sampled_from(["trailing-stop", "trailing-stop-limit"]),
    trigger=st.sampled_from(["last", "index"]),
    price2=st.sampled_from(["", "+0.5%", "-250"]),
    oflags=st.sampled_from(["", "fciq"]),
)


def test_order_that_was_prepared_says_what_any_other_says(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """Of some hundred that differ in a letter each leaves as itself, prepared or not."""

    @settings(max_examples=many(40), deadline=None)
    @given(st.lists(ORDERS, max_size=4), ORDERS)
    def each_leaves_as_itself(ahead: list[OrderRequest], order: OrderRequest) -> None:
        for one in ahead:
            kraken.prepare(one)
        deadline = deadline_of(kraken)
        kraken.place(order, OURS, deadline)
        params = dict(exchange.requests[-1].params)
        assert params == {**order.cells, "cl_ord_id": OURS, "deadline": deadline}

    each_leaves_as_itself()
