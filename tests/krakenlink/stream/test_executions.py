"""One order out of many sparse rows: what is joined, what is doubted, what is not believed."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenlink.stream.executions import ENDS, AccountOrder, Repeats, joined, order_id_of

FIRST: dict[str, Any] = {
    "order_id": "O1",
    "exec_type": "pending_new",
    "order_status": "pending_new",
    "cl_ord_id": "mine",
    "symbol": "BTC/USD",
    "side": "sell",
    "order_type": "trailing-stop",
    "order_qty": Decimal("0.5"),
    "cum_qty": 0,
    "triggers": {
        "reference": "last",
        "price": Decimal("5.0"),
        "price_type": "pct",
        "actual_price": Decimal("47500.0"),
        "peak_price": Decimal("50000.0"),
        "status": "untriggered",
    },
    "timestamp": "2026-11-25T12:00:00.000000Z",
}
LIVE: dict[str, Any] = {"order_id": "O1", "exec_type": "new", "order_status": "new"}


def trade(qty: object, exec_id: str = "T1", **changes: object) -> dict[str, Any]:
    """Return a trade as Kraken tells it: its part, and no sum."""
    row = {"order_id": "O1", "exec_type": "trade", "order_status": "partially_filled"}
    return {**row, "exec_id": exec_id, "last_qty": qty, "last_price": 48000, **changes}


def end(kind: str = "filled", **changes: object) -> dict[str, Any]:
    """Return the last row of an order."""
    row: dict[str, Any] = {"order_id": "O1", "exec_type": kind, "order_status": kind}
    if kind == "filled":
        row |= {"cum_qty": Decimal("0.5"), "avg_price": Decimal("48000.5")}
    return {**row, **changes}


def order_of(*rows: dict[str, Any]) -> AccountOrder:
    """Return the order that some rows tell of; a trade of an id that came before is a repeat."""
    order: AccountOrder | None = None
    repeats = Repeats()
    for row in rows:
        is_repeat = row["exec_type"] == "trade" and not repeats.is_new(row.get("exec_id"))
        order = joined(order, "O1", row, 7.0, is_repeat=is_repeat)
    assert order is not None
    return order


def test_first_row_tells_what_the_order_is() -> None:
    """With its digits, and all of its trigger."""
    assert order_of(FIRST) == AccountOrder(
        "O1",
        "pending_new",
        "mine",
        "BTC/USD",
        "sell",
        "trailing-stop",
        Decimal("0.5"),
        offset=Decimal("5.0"),
        is_percent=True,
        stop=Decimal("47500.0"),
        best=Decimal("50000.0"),
        reference="last",
    )
    assert order_of(FIRST).at == 7.0
    assert order_of(FIRST).timestamp.startswith("2026-11-25")


def test_later_rows_leave_what_they_do_not_tell() -> None:
    """A row with a status alone changes the status alone."""
    assert order_of(FIRST, LIVE) == replace(order_of(FIRST), status="new")


def test_ratchet_moves_the_stop_whatever_kraken_calls_the_event() -> None:
    """As a status, a restatement or an amendment; what is not told of the trigger stays."""
    for kind in ("status", "restated", "amended", "something-new"):
        moved = {"order_id": "O1", "exec_type": kind, "triggers": {"actual_price": 48000}}
        order = order_of(FIRST, LIVE, moved)
        assert order.stop == 48000
        assert order.best == 50000
        assert order.reference == "last"
        assert (order.status, order.is_certain) == ("new", True)


def test_trigger_stays_pulled() -> None:
    """A later row that says nothing of it, or something else, does not undo it."""
    pulled = {"order_id": "O1", "exec_type": "status", "triggers": {"status": "triggered"}}
    again = {"order_id": "O1", "exec_type": "status", "triggers": {"status": "untriggered"}}
    assert order_of(FIRST, LIVE, pulled, again).is_triggered
    assert not order_of(FIRST, LIVE).is_triggered


def test_older_names_of_the_stop_are_understood() -> None:
    """Kraken keeps a deprecated twin of it, and a trigger may be missing or damaged."""
    row = {**FIRST, "triggers": None, "stop_price": "47000.5"}
    assert order_of(row).stop == Decimal("47000.5")
    assert order_of({**FIRST, "triggers": ["?"], "stop_price": 0}).stop is None


# --- fills -------------------------------------------------------------------------------------


def test_parts_are_summed_and_each_counts_once() -> None:
    """Whether or not Kraken tells the sum; a trade that comes twice is one."""
    parts = (trade(Decimal("0.1")), trade(Decimal("0.1")), trade("0.2", "T2"))
    order = order_of(FIRST, LIVE, *parts)
    assert (order.executed, order.status, order.is_certain) == (
        Decimal("0.3"),
        "partially_filled",
        True,
    )
    told = order_of(FIRST, LIVE, trade(Decimal("0.1"), cum_qty=Decimal("0.4")))
    assert (told.executed, told.is_certain) == (Decimal("0.4"), True)


def test_trade_ends_no_order_whatever_status_it_has() -> None:
    """Kraken's word for the end is an event of its own, and comes after it."""
    order = order_of(FIRST, LIVE, trade(Decimal("0.5"), order_status="filled"))
    assert (order.status, order.executed, order.is_final) == (
        "partially_filled",
        Decimal("0.5"),
        False,
    )
    order = order_of(FIRST, LIVE, trade(Decimal("0.5")), end())
    assert (order.status, order.executed, order.price) == (
        "filled",
        Decimal("0.5"),
        Decimal("48000.5"),
    )
    assert order.is_final
    assert order.is_certain


def test_mean_price_is_taken_from_the_cost_where_it_is_not_told() -> None:
    """Of nothing filled there is none."""
    row = end(avg_price=0, cum_cost=Decimal("24000.25"))
    assert order_of(FIRST, row).price == Decimal("48000.5")
    assert order_of(FIRST, end("canceled", cum_qty=0, cum_cost=0, avg_price=0)).price is None


@pytest.mark.parametrize(
    "rows",
    [
        (trade(Decimal("0.1")),),  # it begins in the middle
        (FIRST, LIVE, trade(None)),  # a part without a size
        (FIRST, LIVE, trade(Decimal("0.1"), cum_qty=1)),  # more than there is
        (FIRST, LIVE, trade("0.4"), trade("0.2", "T2")),  # likewise in sum
        (FIRST, LIVE, trade("0.4", cum_qty="0.4"), trade("0.1", "T2", cum_qty="0.1")),  # it shrinks
        (FIRST, end(cum_qty=Decimal("0.4"))),  # filled, and not all of it
        (FIRST, {"order_id": "O1", "exec_type": "filled", "order_status": "filled"}),  # no sum
        (FIRST, end("canceled", order_status="new")),  # ended and open in one breath
        (FIRST, end(order_status="canceled")),
        ({"order_id": "O1", "exec_type": "status"},),
    ],
)
def test_what_does_not_add_up_is_not_certain(rows: tuple[dict[str, Any], ...]) -> None:
    """REST has to tell; what was known to be filled is not less for it, nor more than there is."""
    order = order_of(*rows)
    assert not order.is_certain
    assert 0 <= order.executed <= Decimal("0.5")


def test_sum_of_kraken_s_own_makes_certain_again() -> None:
    """An order that began in the middle is known once its sum is."""
    order = order_of(trade(Decimal("0.1")), trade("0.1", "T2", cum_qty="0.3"))
    assert (order.executed, order.is_certain) == (Decimal("0.3"), True)
    assert not order.is_whole


@pytest.mark.parametrize("kind", sorted(ENDS))
def test_what_has_ended_does_not_live_again(kind: str) -> None:
    """An event of before that comes late changes nothing."""
    ended = order_of(FIRST, LIVE, end(kind, cum_qty=Decimal("0.5")))
    for late in (LIVE, trade("0.1", "T9"), end("expired" if kind != "expired" else "canceled")):
        assert joined(ended, "O1", late, 9.0, is_repeat=False) is ended


def test_end_tells_why_in_either_spelling() -> None:
    """The old name of the reason is understood, and one of absurd length is cut."""
    for name in ("reason", "cancel_reason"):
        order = order_of(FIRST, LIVE, end("canceled", cum_qty=0, **{name: "User requested"}))
        assert (order.status, order.reason, order.is_certain) == (
            "canceled",
            "User requested",
            True,
        )
    assert len(order_of(FIRST, end("canceled", reason="x" * 10_000)).reason) == 200


# --- what is not believed ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [None, "", "x", "NaN", "Infinity", float("nan"), "1e400", -1, True, [], {}, 10**31]
)
def test_number_beyond_all_sense_is_none(value: object) -> None:
    """It changes neither what is filled nor where the stop is."""
    known = order_of(FIRST, LIVE)
    rows: list[dict[str, Any]] = [
        {"order_id": "O1", "exec_type": "status", "cum_qty": value, "avg_price": value},
        {"order_id": "O1", "exec_type": "status", "order_qty": value, "stop_price": value},
        {
            "order_id": "O1",
            "exec_type": "status",
            "triggers": {"actual_price": value, "peak_price": value, "price": value},
        },
    ]
    for row in rows:
        assert joined(known, "O1", row, 8.0, is_repeat=False) == known


@pytest.mark.parametrize("status", [None, "", "open", 7, ["new"], "FILLED"])
def test_unknown_status_leaves_the_one_that_is_known(status: object) -> None:
    """Another word of Kraken's is none of ours to guess at."""
    row = {"order_id": "O1", "exec_type": "status", "order_status": status}
    assert order_of(FIRST, LIVE, row).status == "new"


@pytest.mark.parametrize("txid", [None, "", 7, ["O1"], "O1 O2", "O1\n", "O" * 65, "Ö1"])
def test_row_without_an_id_is_about_no_order(txid: object) -> None:
    """And neither is one whose id could not be Kraken's."""
    assert order_id_of({"order_id": txid}) is None


def test_id_of_a_row() -> None:
    """As Kraken writes them."""
    assert order_id_of({"order_id": "OK4GJX-KSTLS-7DZZO5"}) == "OK4GJX-KSTLS-7DZZO5"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = st.sampled_from([*FIRST, "exec_id", "last_qty", "avg_price", "cum_cost", "stop_price"])


@given(st.lists(st.dictionaries(NAMES, JSON), max_size=5))
def test_no_row_does_harm(rows: list[dict[str, Any]]) -> None:
    """Whatever comes, nothing is raised, and no more is filled than the order is for."""
    order = order_of(FIRST)
    for row in rows:
        order = joined(order, "O1", row, 9.0, is_repeat=False)
        assert order.executed >= 0
        assert order.volume is not None
        assert order.executed <= order.volume or not order.is_certain


def test_repeats_are_forgotten_at_last() -> None:
    """Memory stays bounded, and the newest are still known; without an id each is new."""
    repeats = Repeats()
    assert all(repeats.is_new(f"T{n}") for n in range(10_000))
    assert not repeats.is_new("T9999")
    assert repeats.is_new("T1")
    for odd in (None, "", 7):
        assert repeats.is_new(odd)
        assert repeats.is_new(odd)
