"""A search beside a model of it: when a look settles something, and when the next one comes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krakenlink.errors import KrakenConnectionError
from tests.kits.common.examples import many
from tests.kits.orders.order_bench import (
    ORDER,
    SETTINGS,
    ManualClock,
    MemoryFiles,
    ModelKraken,
    life,
)
from ttslo_app.messages import Looked, Sighting
from ttslo_app.orders.finder import (
    Finder,
    Search,
    Verdict,
    after_look,
    after_silence,
    difference,
    order_in,
)
from ttslo_app.orders.ledger import Ledger, cells_of
from ttslo_app.orders.life import LATE, STANDS, Life, RuleState
from ttslo_app.orders.owed import Owed
from ttslo_app.orders.ports import Tools
from ttslo_app.orders.words import Teller

GAP, MARGIN = SETTINGS.lookup_gap, SETTINGS.deadline_margin
FOUND = Sighting("O1", "open")

# --- what looks settle ---------------------------------------------------------------------------

_looks = st.tuples(st.integers(0, 30), st.integers(0, 15), st.sampled_from(["miss", "silence"]))


@settings(max_examples=many(150))
@given(st.lists(_looks, max_size=8), st.integers(0, 90), st.booleans())
def test_nothing_is_settled_but_by_two_misses_far_enough_apart(
    looks: list[tuple[int, int, str]], settles_at: int, stands: bool
) -> None:
    """The later look began a gap after the earlier one's answer, and not before the books told."""
    search = Search(0.0, settles_at=float(settles_at), stands=stands)
    now, first_miss, silent = 0.0, None, 0
    for pause, lasts, what in looks:
        began, now = now + pause, now + pause + lasts
        if what == "silence":
            wait = min(SETTINGS.ask_again * 2**silent, SETTINGS.ask_again_max)
            silent += 1
            search = after_silence(search, now, SETTINGS)
            assert (search.not_before, search.unanswered) == (now + wait, silent)
            continue
        is_settled = first_miss is not None and began >= max(first_miss + GAP, settles_at)
        verdict, search = after_look(search, None, now, SETTINGS, began)
        assert verdict is (Verdict.NOT_PLACED if is_settled and not stands else Verdict.LOOK_AGAIN)
        if verdict is Verdict.NOT_PLACED:
            return
        silent = 0
        first_miss = now if first_miss is None else first_miss
        assert (search.missed_at, search.unanswered) == (first_miss, 0)
        assert now < search.not_before <= now + GAP
        due = max(first_miss + GAP, settles_at)
        assert search.not_before == (min(now + GAP, due) if due > now else now + GAP)
        assert after_look(search, FOUND, now, SETTINGS)[0] is Verdict.FOUND


@pytest.mark.parametrize("settles_at", [0.0, 5.0, 12.0, 60.0, 61.5])
def test_search_that_looks_when_it_is_due_comes_to_an_end(settles_at: float) -> None:
    """Looking at the named moments alone settles it, at the first moment at which it may."""
    search, verdict, moments = (
        Search(10.0, settles_at=settles_at),
        Verdict.LOOK_AGAIN,
        list[float](),
    )
    while verdict is Verdict.LOOK_AGAIN:
        moments.append(search.not_before)
        verdict, search = after_look(search, None, search.not_before, SETTINGS)
        assert len(moments) < 20
    assert verdict is Verdict.NOT_PLACED
    assert moments[-1] == max(10.0 + GAP, settles_at)


# --- the finder ----------------------------------------------------------------------------------


class _Bench:
    """A finder with one uncertain order, its deadline so many seconds away."""

    def __init__(self, to_deadline: float = 5.0, *, key: str | None = "key-1", **cells: str):
        self.clock, self.said = ManualClock(), list[str]()
        self.kraken = None if key is None else ModelKraken(self.clock, key_mark=key)
        deadline = datetime.fromtimestamp(self.clock.seconds + to_deadline, UTC).isoformat()
        self.life = life(RuleState.UNCERTAIN)._replace(deadline=deadline, **cells)  # type: ignore[arg-type]
        self.tools = Tools(
            Ledger({"btc": cells_of(self.life)}),
            Owed(SETTINGS),
            MemoryFiles(),
            self.kraken,
            self.clock.clocks,
            Teller(lambda level, text, **fields: self.said.append(text)),
            SETTINGS,
            lambda step: None,
        )
        self.finder = Finder(self.tools)
        self.start = self.clock.seconds

    def due_after(self) -> float | None:
        """Return after how many seconds from the beginning the next look is due."""
        moment = self.finder.next_at()
        return None if moment is None else round(moment - self.start, 3)

    def look(self, sighting: Sighting | None = None) -> tuple[Life, Sighting | None] | None:
        """Go to the moment of the next look and take its answer."""
        moment = self.finder.next_at()
        assert moment is not None
        self.clock.seconds = moment
        assert [one.id for one in self.finder.due()] == ["btc"]
        assert self.finder.due() == []  # it is being asked for
        # Others may be woken, as they wait for it no longer; nobody looks again.
        assert (self.finder.next_at() or float("inf")) > moment
        return self.finder.take(Looked("btc", self.life.cl_ord_id, moment, sighting))


@pytest.mark.parametrize(
    ("to_deadline", "first_look"),
    [(5.0, 5.0), (2.0, 2.0), (0.0, 0.0), (-100.0, 0.0), (400.0, SETTINGS.deadline)],
)
def test_first_look_comes_after_the_deadline_and_its_margin(
    to_deadline: float, first_look: float
) -> None:
    """One that seems far away was written by a clock that was set since."""
    bench = _Bench(to_deadline)
    bench.finder.search_for(bench.life)
    assert bench.due_after() == first_look + MARGIN
    assert bench.finder.is_busy
    assert bench.said == []


@pytest.mark.parametrize(("doubt", "least"), [("", GAP), (LATE, SETTINGS.late_books)])
def test_order_is_given_up_only_once_the_books_must_show_it(doubt: str, least: float) -> None:
    """Where something on the way answered for Kraken, its books may be a minute late."""
    bench = _Bench(doubt=doubt)
    bench.finder.search_for(bench.life)
    first = bench.due_after()
    assert first is not None
    while (settled := bench.look()) is None:
        assert bench.clock.seconds < bench.start + 100
    assert settled == (bench.life, None)
    assert round(bench.clock.seconds - bench.start, 3) == first + least
    assert not bench.finder.is_busy
    assert bench.tools.ledger.must_write


def test_order_that_certainly_stands_is_never_given_up() -> None:
    """However often it is not seen; that is said once, and a sighting settles it."""
    bench = _Bench(doubt=STANDS)
    bench.finder.search_for(bench.life)
    assert [bench.look() for _ in range(30)] == [None] * 30
    assert len(bench.said) == 1
    assert bench.look(FOUND) == (bench.life, FOUND)


@pytest.mark.parametrize(
    ("key", "sent_by", "is_before", "is_first"),
    [
        ("key-1", "key-1", True, True),
        ("key-1", "key-1", False, False),
        ("key-2", "key-1", True, False),  # nobody waits for what this key cannot look up
        ("key-2", "", True, True),
    ],
)
def test_orders_of_before_the_start_are_settled_first(
    key: str, sent_by: str, is_before: bool, is_first: bool
) -> None:
    """But for those that only another key could settle."""
    bench = _Bench(key=key, sent_by=sent_by)
    assert not bench.finder.must_settle_first
    bench.finder.search_for(bench.life, is_from_before=is_before)
    assert bench.finder.must_settle_first is is_first


def test_without_a_key_nobody_searches_and_it_is_said() -> None:
    """Nor where orders cannot be looked up at all; that is said elsewhere."""
    bench = _Bench(key=None)
    bench.finder.search_for(bench.life)
    assert (bench.finder.is_busy, len(bench.said)) == (False, 1)
    bench = _Bench()
    assert bench.kraken is not None
    bench.kraken.can_find = False
    bench.finder.search_for(bench.life)
    assert (bench.finder.is_busy, bench.said) == (False, [])


@pytest.mark.parametrize(
    "changes", [{"cl_ord_id": "another"}, {"rule_id": "eth"}], ids=["arming", "row"]
)
def test_answer_of_another_arming_settles_nothing(changes: dict[str, str]) -> None:
    """Not even a sighting: the row is not what it was when it was asked."""
    bench = _Bench()
    bench.finder.search_for(bench.life)
    looked = Looked("btc", bench.life.cl_ord_id, 0.0, FOUND)
    assert bench.finder.take(replace(looked, **changes)) is None  # type: ignore[arg-type]
    assert bench.finder.is_busy
    assert bench.due_after() == SETTINGS.deadline + MARGIN


def test_error_is_told_once_and_the_look_repeated_ever_later() -> None:
    """No answer is no miss, however often it does not come."""
    bench = _Bench()
    bench.finder.search_for(bench.life)
    waits = []
    for _ in range(7):
        moment = bench.finder.next_at()
        assert moment is not None
        bench.clock.seconds = moment
        bench.finder.due()
        error = KrakenConnectionError("no route", request_sent=False)
        assert bench.finder.take(Looked("btc", bench.life.cl_ord_id, moment, None, error)) is None
        waits.append((bench.finder.next_at() or 0.0) - moment)
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert len(bench.said) == 1
    assert bench.look() is None  # the first miss, and no more than that


def test_miss_while_a_late_copy_may_still_arrive_begins_the_search_anew() -> None:
    """A look that began before the deadline, by Kraken's clock as it is known now, is none."""
    bench = _Bench(5.0)
    bench.finder.search_for(bench.life, is_from_before=True)
    bench.clock.seconds += 3.0
    assert bench.finder.take(Looked("btc", bench.life.cl_ord_id, bench.start, None)) is None
    assert bench.due_after() == 5.0 + MARGIN
    assert bench.finder.must_settle_first
    assert bench.look() is None
    assert bench.due_after() == 5.0 + MARGIN + GAP


# --- what an answer shows ------------------------------------------------------------------------

DESCR = {"type": "sell", "ordertype": "trailing-stop", "price": "+5.0000%", "pair": "XBTUSD"}
ROW = {"status": "open", "vol": "0.01000000", "descr": DESCR, "cl_ord_id": "an-id"}
TXID = "OAAAAA-BBBBB-CCCCCC"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("type", "buy", "side buy"),
        ("ordertype", "limit", "order type limit"),
        ("price", "+5.1%", "offset +5.1%"),
        ("price", "5", "offset 5"),  # dollars, and no percent
        ("price", None, "offset unknown"),
        ("pair", "ETHUSD", "pair ETHUSD"),
        ("vol", "0.02", "volume 0.02"),
        ("vol", "rubbish", "volume rubbish"),
    ],
)
def test_each_difference_is_named(name: str, value: object, said: str) -> None:
    """An order that looks like ours but in one thing is another, and the sentence says in what."""
    inner = {**DESCR, name: value} if name != "vol" else DESCR
    row = {**ROW, "descr": inner} | ({"vol": value} if name == "vol" else {})
    found = difference(row, ORDER, "XBTUSD".__eq__)
    assert found.startswith(f"{said} instead of ")
    assert "," not in found
    assert difference(ROW, ORDER, "XBTUSD".__eq__) == ""


_kinds = st.sampled_from(["ours", "nameless", "foreign", "other nameless"])


@settings(max_examples=many(80))
@given(st.lists(_kinds, max_size=4))
def test_order_in_a_book_is_ours_or_the_only_one(kinds: list[str]) -> None:
    """By its id, where one alone has it; without ids only the one that is shown, like ours."""
    rows = {
        f"O{number}AAAA-BBBBB-CCCCCC": {
            "ours": ROW,
            "nameless": {**ROW, "cl_ord_id": None},
            "foreign": {**ROW, "cl_ord_id": "another"},
            "other nameless": {**ROW, "cl_ord_id": "", "vol": "7"},
        }[kind]
        for number, kind in enumerate(kinds)
    }
    found: object
    try:
        found = order_in({"open": rows}, "open", "{AN-ID}", ORDER, "XBTUSD".__eq__)
    except Exception as error:  # noqa: BLE001 - its kind is looked at
        found = type(error).__name__
    if kinds.count("ours") == 1:
        assert isinstance(found, Sighting)
        assert found.txid == [*rows][kinds.index("ours")]
    elif kinds == ["nameless"]:
        assert isinstance(found, Sighting)
    else:
        assert found == ("ProtocolError" if kinds else None)
