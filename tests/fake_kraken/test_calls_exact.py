"""The calls of REST without a wire: pages, bounds of time, deadlines, figures, to the last one."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_kraken.calls import Calls, check_deadline
from fake_kraken.engine import Engine
from fake_kraken.faults import Fault, Faults
from fake_kraken.params import Refusal
from tests.kits.exchange.engine_kit import NOW, STOP, engine_at


class Desk:
    """An exchange whose clock stands where a test puts it."""

    def __init__(self, *faults: Fault) -> None:
        self.engine: Engine = engine_at("50000.0")
        self.now = NOW
        on = Faults()
        for fault in faults:
            on.switch_on(fault)
        self._calls = Calls(self.engine, on, lambda: self.now)

    def ask(self, endpoint: str, **params: str) -> Any:
        """Return the result of a public call."""
        return self._calls.public[endpoint](params)

    def call(self, endpoint: str, **params: str) -> Any:
        """Return the result of a private call of the first account."""
        return self._calls.private[endpoint](params, self.engine.account)

    def place(self, **changes: str) -> str:
        """Enter the usual stop, with changes, and return its id."""
        return str(self.call("AddOrder", **{**STOP, "volume": "0.001", **changes})["txid"][0])

    def refused(self, endpoint: str, **params: str) -> list[str]:
        """Return what a call is refused with."""
        kind = self.ask if endpoint in self._calls.public else self.call
        with pytest.raises(Refusal) as caught:
            kind(endpoint, **params)
        return caught.value.errors


def trades_of(desk: Desk, count: int) -> list[int]:
    """Print a number of trades, one a second, and return their moments."""
    listing = desk.engine.listing("XBTUSD")
    for n in range(count):
        desk.engine.trade(listing, Decimal(50000 + n), Decimal("0.01"), NOW + n)
    return [trade.at_ns for trade in listing.trades]


# --- trades --------------------------------------------------------------------------------------


@given(st.integers(0, 60), st.integers(1, 25))
def test_pages_of_trades_join_without_a_gap_or_a_double(count: int, size: int) -> None:
    """Each `last` is the next `since`; the end is a page of nothing."""
    desk = Desk()
    trades_of(desk, count)
    seen: list[int] = []
    since = "1"
    while True:
        answer = desk.ask("Trades", pair="XBTUSD", since=since, count=str(size))
        page = answer["XXBTZUSD"]
        seen += [row[6] for row in page]
        if not page:
            break
        assert len(page) <= size
        since = answer["last"]
    assert seen == list(range(1, count + 1))
    assert answer["last"] == since if count else answer["last"] == str(10**9)


def test_trades_without_since_are_the_latest() -> None:
    """A thousand at most; their rows have Kraken's seven cells."""
    desk = Desk()
    moments = trades_of(desk, 1003)
    rows = desk.ask("Trades", pair="XBTUSD")["XXBTZUSD"]
    assert [row[6] for row in rows] == list(range(4, 1004))
    assert [row[6] for row in desk.ask("Trades", pair="XBTUSD", count="2")["XXBTZUSD"]] == [
        1002,
        1003,
    ]
    assert len(desk.ask("Trades", pair="XBTUSD", count="5000", since="1")["XXBTZUSD"]) == 1000
    assert rows[-1] == ["51002.0", "0.01000000", moments[-1] / 1e9, "b", "m", "", 1003]


def test_since_leaves_out_its_own_moment() -> None:
    """In nanoseconds."""
    desk = Desk()
    moments = trades_of(desk, 3)
    for shift, numbers in ((-1, [2, 3]), (0, [3]), (1, [3])):
        answer = desk.ask("Trades", pair="XBTUSD", since=str(moments[1] + shift))
        assert [row[6] for row in answer["XXBTZUSD"]] == numbers


# --- candles -------------------------------------------------------------------------------------


def test_candles_are_those_after_since_and_the_last_is_not_committed() -> None:
    """Up to 720 of them; `last` is the newest that is over."""
    desk = Desk()
    listing = desk.engine.listing("XBTUSD")
    begin = int(NOW) // 60 * 60
    for n in range(725):
        desk.engine.trade(listing, Decimal(50000 + n), Decimal(1), begin + n * 60 + 1)
    answer = desk.ask("OHLC", pair="XBTUSD")
    rows = answer["XXBTZUSD"]
    assert (len(rows), rows[-1][0], answer["last"]) == (720, begin + 724 * 60, begin + 723 * 60)
    assert rows[-1][1:] == ["50724.0"] * 5 + ["1.00000000", 1]
    since = str(begin + 722 * 60)
    assert [row[0] for row in desk.ask("OHLC", pair="XBTUSD", since=since)["XXBTZUSD"]] == [
        begin + 723 * 60,
        begin + 724 * 60,
    ]
    assert len(desk.ask("OHLC", pair="XBTUSD", interval="1440")["XXBTZUSD"]) in (1, 2)
    assert desk.ask("OHLC", pair="ETHUSD") == {"XETHZUSD": [], "last": 0}


@pytest.mark.parametrize("interval", ["0", "2", "61", "x", "-1"])
def test_interval_of_candles_is_one_of_krakens(interval: str) -> None:
    """Another is refused by its name."""
    expected = ["EGeneral:Invalid arguments:interval"]
    assert Desk().refused("OHLC", pair="XBTUSD", interval=interval) == expected


# --- books of a market ---------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "levels"), [("1", 1), ("500", 500), ("", 100)])
def test_depth_has_as_many_levels_as_are_asked_for(count: str, levels: int) -> None:
    """A hundred where nothing is said; under the name that the question has."""
    for name, key in (("XBTUSD", "XXBTZUSD"), ("XBT/USD", "XBT/USD"), ("BTC/USD", "BTC/USD")):
        (found, book), *more = Desk().ask("Depth", pair=name, count=count).items()
        assert (found, more) == (key, [])
        assert (len(book["bids"]), len(book["asks"])) == (levels, levels)


@pytest.mark.parametrize("count", ["0", "501", "x"])
def test_depth_has_1_to_500_levels(count: str) -> None:
    """Another count is refused by its name."""
    expected = ["EGeneral:Invalid arguments:count"]
    assert Desk().refused("Depth", pair="XBTUSD", count=count) == expected


@pytest.mark.parametrize("endpoint", ["Depth", "Trades", "OHLC"])
def test_market_that_is_not_listed_is_unknown(endpoint: str) -> None:
    """As it is without any name."""
    for pair in ("NOPE", "", "XBTUSD,ETHUSD"):
        assert Desk().refused(endpoint, pair=pair) == ["EQuery:Unknown asset pair"]


# --- the books of orders -------------------------------------------------------------------------


@given(st.integers(0, 130), st.integers(0, 140))
def test_offset_passes_over_so_many_closed_orders(count: int, offset: int) -> None:
    """A page has fifty, the latest end first, and the count is always that of all."""
    desk = Desk()
    txids = []
    for n in range(count):
        txids.append(desk.place())
        desk.now = NOW + n
        desk.call("CancelOrder", txid=txids[-1])
    answer = desk.call("ClosedOrders", ofs=str(offset))
    assert list(answer["closed"]) == txids[::-1][offset : offset + 50]
    assert answer["count"] == count


def closed_at(desk: Desk, opened: float, closed: float) -> str:
    """Return the id of an order that was open from one moment to another."""
    desk.now = opened
    txid = desk.place()
    desk.now = closed
    desk.call("CancelOrder", txid=txid)
    return txid


@pytest.mark.parametrize(
    ("params", "is_seen"),
    [
        ({}, True),
        ({"start": "1700000100"}, False),
        ({"start": "1700000099.9"}, True),
        ({"end": "1700000100"}, True),
        ({"end": "1700000099.9"}, False),
        ({"closetime": "open", "start": "1700000000"}, False),
        ({"closetime": "open", "start": "1699999999"}, True),
        ({"closetime": "open", "end": "1700000000"}, True),
        ({"closetime": "open", "end": "1699999999"}, False),
        ({"closetime": "close", "end": "1700000000"}, False),
    ],
)
def test_start_is_left_out_and_end_is_in(params: dict[str, str], *, is_seen: bool) -> None:
    """Of the time at which an order ended, or at which it was entered."""
    desk = Desk()
    txid = closed_at(desk, NOW, NOW + 100)
    desk.now = NOW + 200
    assert list(desk.call("ClosedOrders", **params)["closed"]) == ([txid] if is_seen else [])


@pytest.mark.parametrize("name", ["cl_ord_id", "userref"])
def test_orders_are_asked_for_by_their_names(name: str) -> None:
    """In both books; an empty name is none."""
    desk = Desk()
    mine, other = desk.place(**{name: "7"}), desk.place(**{name: "8"})
    assert list(desk.call("OpenOrders", **{name: "7"})["open"]) == [mine]
    assert set(desk.call("OpenOrders", **{name: ""})["open"]) == {mine, other}
    desk.call("CancelOrder", txid=mine)
    assert list(desk.call("ClosedOrders", **{name: "7"})["closed"]) == [mine]
    assert desk.call("ClosedOrders", **{name: "8"}) == {"closed": {}, "count": 0}


def test_open_orders_may_be_late_by_a_lag_and_closed_ones_too() -> None:
    """To the very second: a new order is not seen, and one that ended still is."""
    desk = Desk(
        Fault("open_orders_lag", seconds=10),
        Fault("open_orders_stale", seconds=5),
        Fault("closed_orders_lag", seconds=20),
    )
    txid = desk.place()
    seen = []
    for after in (9.9, 10.0):
        desk.now = NOW + after
        seen.append(list(desk.call("OpenOrders")["open"]))
    assert seen == [[], [txid]]
    desk.call("CancelOrder", txid=txid)
    desk.now = NOW + 14.9
    row = desk.call("OpenOrders")["open"][txid]
    assert (row["status"], row["vol_exec"]) == ("open", "0.00000000")
    assert "closetm" not in row
    desk.now = NOW + 15
    assert desk.call("OpenOrders")["open"] == {}
    desk.now = NOW + 29.9
    assert desk.call("ClosedOrders")["count"] == 0
    desk.now = NOW + 30
    assert list(desk.call("ClosedOrders")["closed"]) == [txid]


def test_fifty_orders_are_looked_up_at_once_and_no_more() -> None:
    """In the order of the question."""
    desk = Desk()
    txids = [desk.place() for _ in range(51)]
    assert list(desk.call("QueryOrders", txid=",".join(txids[:50]))) == txids[:50]
    expected = ["EGeneral:Invalid arguments:txid"]
    assert desk.refused("QueryOrders", txid=",".join(txids)) == expected


# --- deadlines -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "waited", "error"),
    [
        (2.0, 0.0, ""),
        (60.0, 0.0, ""),
        (1.999, 0.0, "EGeneral:Invalid arguments:deadline"),
        (60.001, 0.0, "EGeneral:Invalid arguments:deadline"),
        (0.0, 0.0, "EService:Deadline elapsed"),
        (-1.0, 0.0, "EService:Deadline elapsed"),
        (10.0, 9.999, ""),
        (10.0, 10.0, "EService:Deadline elapsed"),
        (10.0, 11.0, "EService:Deadline elapsed"),
        (1.0, 2.0, "EService:Deadline elapsed"),
    ],
)
def test_deadline_is_measured_from_the_call_and_kept_when_acted_upon(
    ahead: float, waited: float, error: str
) -> None:
    """2 to 60 s ahead of the call; what is acted upon at it or later is refused."""
    text = datetime.fromtimestamp(NOW + ahead, UTC).isoformat()
    if not error:
        check_deadline(text, NOW, NOW + waited)
        return
    with pytest.raises(Refusal) as caught:
        check_deadline(text, NOW, NOW + waited)
    assert caught.value.errors == [error]


@pytest.mark.parametrize("text", [None, ""])
def test_order_without_a_deadline_waits_for_ever(text: str | None) -> None:
    """However late it is acted upon."""
    check_deadline(text, NOW, NOW + 10**6)


# --- figures -------------------------------------------------------------------------------------


def test_balances_are_told_with_what_is_held() -> None:
    """Ten decimals; what an open sale may use is held, and still owned."""
    desk = Desk()
    desk.place(volume="0.25")
    assert desk.call("Balance")["XXBT"] == "100.0000000000"
    row = {"balance": "100.0000000000", "hold_trade": "0.2500000000"}
    assert desk.call("BalanceEx")["XXBT"] == row
    assert set(desk.call("BalanceEx")) == set(desk.call("Balance"))


def test_trade_balance_is_in_dollars_unless_it_is_asked_otherwise() -> None:
    """Four decimals: what is owned, and nothing on margin."""
    desk = Desk()
    nothing = dict.fromkeys(("m", "n", "c", "v"), "0.0000")
    for params, owned in (
        ({}, "1000000.0000"),
        ({"asset": "XXBT"}, "100.0000"),
        ({"asset": "Q"}, "0.0000"),
    ):
        expected = {**nothing, **dict.fromkeys(("eb", "tb", "e", "mf"), owned)}
        assert desk.call("TradeBalance", **params) == expected


@pytest.mark.parametrize(
    ("info", "names"),
    [
        ("leverage", {"leverage_buy", "leverage_sell"}),
        ("fees", {"fees", "fees_maker", "fee_volume_currency"}),
        ("margin", {"margin_call", "margin_stop"}),
    ],
)
def test_part_of_a_pair_is_told_where_it_is_asked_for(info: str, names: set[str]) -> None:
    """And the whole row otherwise."""
    desk = Desk()
    part, whole = (desk.ask("AssetPairs", pair="XBTUSD", info=kind) for kind in (info, "info"))
    assert set(part["XXBTZUSD"]) == names
    assert part["XXBTZUSD"].items() <= whole["XXBTZUSD"].items()


def test_late_answer_is_that_of_its_moment() -> None:
    """Ticker and time, as they would have been."""
    desk = Desk()
    trades_of(desk, 3)
    desk.now = NOW + 100
    past = desk._calls.as_of(NOW + 1)
    assert past.public["Ticker"]({"pair": "XBTUSD"})["XXBTZUSD"]["c"][0] == "50001.0"
    assert past.public["Time"]({})["unixtime"] == int(NOW) + 1
    assert desk.ask("Time") == {
        "unixtime": int(NOW) + 100,
        "rfc1123": "Tue, 14 Nov 23 22:15:00 +0000",
    }
    assert desk.ask("SystemStatus") == {"status": "online", "timestamp": "2023-11-14T22:15:00Z"}
