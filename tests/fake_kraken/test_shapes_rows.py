"""Rows to the last cell: an order over REST, and what the account's stream tells of its life."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from fake_kraken.engine import Engine
from fake_kraken.orders import Change
from fake_kraken.shapes import (
    CHANNELS,
    row_of,
    shown,
    snapshot_row,
    ticker_row,
)
from tests.kits.exchange.engine_kit import NOW, engine_at, move, place


def told_by(engine: Engine) -> list[Any]:
    """Return a list that every change of an order is added to, as the stream tells it."""
    told: list[Any] = []

    def tell(change: Change) -> None:
        told.append(row_of(change, engine.listing_of(change.order), NOW))

    engine.tell = tell
    return told


# --- over REST -----------------------------------------------------------------------------------


def test_order_is_shown_over_rest_to_its_last_cell() -> None:
    """A stop by percent, open: its best price stands where others have a limit."""
    engine = engine_at("50000.0")
    order = place(engine, cl_ord_id="mine")
    assert shown(order, engine.listing_of(order).row) == {
        "refid": None,
        "userref": 0,
        "status": "open",
        "opentm": NOW,
        "starttm": 0,
        "expiretm": 0,
        "descr": {
            "pair": "XBTUSD",
            "aclass": "forex",
            "type": "sell",
            "ordertype": "trailing-stop",
            "price": "+10.0000%",
            "price2": "0",
            "leverage": "none",
            "order": "sell 0.50000000 XBTUSD @ trailing stop +10.0000%",
            "close": "",
        },
        "vol": "0.50000000",
        "vol_exec": "0.00000000",
        "cost": "0.00000",
        "fee": "0.00000",
        "price": "0.00000",
        "stopprice": "45000.00000",
        "limitprice": "50000.00000",
        "misc": "",
        "oflags": "fcib",
        "trigger": "last",
        "cl_ord_id": "mine",
    }


def test_order_that_has_filled_is_shown_with_its_end() -> None:
    """What it brought, the flag of a stop, and no reason."""
    engine = engine_at("50000.0")
    engine.fee = Decimal(1)
    order = place(engine)
    move(engine, "44000.0")
    row = shown(order, engine.listing_of(order).row)
    assert (row["status"], row["misc"], row["reason"], row["closetm"]) == (
        "closed",
        "stopped",
        None,
        NOW,
    )
    assert (row["vol_exec"], row["cost"], row["fee"], row["price"]) == (
        "0.50000000",
        "22000.00000",
        "220.00000",
        "44000.00000",
    )
    assert "cl_ord_id" not in row


@pytest.mark.parametrize(
    ("changes", "price", "words"),
    [
        ({"price": "+5%"}, "+5.0000%", "trailing stop +5.0000%"),
        ({"price": "+0.12345%"}, "+0.12345%", "trailing stop +0.12345%"),
        ({"price": "+500"}, "+500", "trailing stop +500"),
        ({"ordertype": "limit", "price": "60000"}, "60000", "limit 60000"),
        ({"ordertype": "market", "price": ""}, "0", "market"),
        (
            {"ordertype": "trailing-stop-limit", "price2": "-1%"},
            "+10.0000%",
            "trailing stop +10.0000% -> limit",
        ),
    ],
)
def test_order_is_described_in_words(changes: dict[str, str], price: str, words: str) -> None:
    """Percents have four decimals, and more where more were accepted."""
    engine = engine_at("50000.0")
    order = place(engine, **changes)
    descr = shown(order, engine.listing_of(order).row)["descr"]
    assert descr["price"] == price
    assert descr["order"].startswith(f"sell 0.50000000 XBTUSD @ {words}")
    assert descr["price2"] == changes.get("price2", "0")


def test_ticker_has_each_figure_twice() -> None:
    """Of today and of 24 hours, which are the same here."""
    engine = engine_at("50000.0")
    listing = engine.listing("XBTUSD")
    move(engine, "51000.0", "49000.0")
    assert ticker_row(listing) == {
        "a": ["49000.1", "1", "1.000"],
        "b": ["48999.9", "1", "1.000"],
        "c": ["49000.0", "0.01000000"],
        "v": ["0.02000000"] * 2,
        "p": ["49000.0"] * 2,
        "t": [2] * 2,
        "l": ["49000.0"] * 2,
        "h": ["51000.0"] * 2,
        "o": "50000.0",
    }


# --- over the account's stream -------------------------------------------------------------------


def test_life_of_a_stop_is_told_step_by_step() -> None:
    """Entered, moved, triggered, traded, filled; a trade never says that it was the last."""
    engine = engine_at("50000.0")
    told = told_by(engine)
    place(engine)
    move(engine, "60000.0", "53000.0")
    assert [(row.kind, row.cells["order_status"]) for row in told] == [
        ("pending_new", "pending_new"),
        ("new", "new"),
        ("status", "new"),
        ("status", "new"),
        ("trade", "partially_filled"),
        ("filled", "filled"),
    ]
    assert {row.cells["order_userref"] for row in told} == {0}
    assert {row.cells["timestamp"] for row in told} == {"2023-11-14T22:13:20.000000Z"}
    assert [row.cells["triggers"]["status"] for row in told[2:4]] == ["untriggered", "triggered"]
    assert told[2].cells["triggers"] == {
        "reference": "last",
        "price": 10.0,
        "price_type": "pct",
        "actual_price": 54000.0,
        "peak_price": 60000.0,
        "status": "untriggered",
    }
    trade = told[4].cells
    assert (trade["last_qty"], trade["last_price"], trade["cost"]) == (0.5, 53000.0, 26500.0)
    assert (trade["order_type"], trade["liquidity_ind"], trade["trade_id"]) == ("market", "t", 2)
    assert trade["fees"] == [{"asset": "USD", "qty": 0.0}]
    end = told[5].cells
    assert (end["cum_qty"], end["cum_cost"], end["avg_price"]) == (0.5, 26500.0, 53000.0)
    assert end["fee_usd_equiv"] == trade["fee_usd_equiv"] == 0.0
    assert "reason" not in end


@pytest.mark.parametrize(
    ("price", "kind", "number"), [("+10%", "pct", 10.0), ("+500", "quote", 500.0)]
)
def test_snapshot_has_all_that_an_order_is(price: str, kind: str, number: float) -> None:
    """In one row, as of when it was entered."""
    engine = engine_at("50000.0")
    order = place(engine, price=price, cl_ord_id="mine")
    row = snapshot_row(order, engine.listing_of(order))
    stop = 45000.0 if kind == "pct" else 49500.0
    assert row == {
        "order_id": order.txid,
        "exec_type": "new",
        "order_status": "new",
        "order_userref": 0,
        "timestamp": "2023-11-14T22:13:20.000000Z",
        "symbol": "BTC/USD",
        "side": "sell",
        "order_type": "trailing-stop",
        "order_qty": 0.5,
        "time_in_force": "GTC",
        "fee_usd_equiv": 0.0,
        "fee_ccy_pref": "fcib",
        "cum_qty": 0.0,
        "cum_cost": 0.0,
        "avg_price": 0.0,
        "cl_ord_id": "mine",
        "stop_price": stop,
        "triggers": {
            "reference": "last",
            "price": number,
            "price_type": kind,
            "actual_price": stop,
            "peak_price": 50000.0,
            "status": "untriggered",
        },
    }


def test_order_that_is_filled_in_part_says_so() -> None:
    """In a snapshot, and when its stop moves afterwards."""
    engine = engine_at("50000.0")
    told = told_by(engine)
    order = place(engine)
    engine.fill(order, Decimal(50000), NOW, volume=Decimal("0.2"))
    move(engine, "60000.0")
    assert told[-1].cells["order_status"] == "partially_filled"
    row = snapshot_row(order, engine.listing_of(order))
    assert (row["order_status"], row["cum_qty"], row["avg_price"]) == (
        "partially_filled",
        0.2,
        50000.0,
    )


def test_cancelled_order_tells_its_reason_twice() -> None:
    """Under its old name and its new one."""
    engine = engine_at("50000.0")
    told = told_by(engine)
    engine.cancel(place(engine), NOW, reason="Out of funds")
    row = told[-1]
    assert (row.kind, row.cells["order_status"]) == ("canceled", "canceled")
    assert row.cells["reason"] == row.cells["cancel_reason"] == "Out of funds"


def test_limit_order_tells_its_limit_and_no_trigger() -> None:
    """It is a static one; and it is a limit order that trades."""
    engine = engine_at("50000.0")
    told = told_by(engine)
    order = place(engine, ordertype="limit", price="60000")
    row = snapshot_row(order, engine.listing_of(order))
    assert (row["limit_price"], row["limit_price_type"]) == (60000.0, "static")
    assert not {"triggers", "stop_price"} & set(row)
    move(engine, "60000.0")
    assert told[-2].cells["order_type"] == "limit"


# --- frames that are no prices -------------------------------------------------------------------


@pytest.mark.parametrize(("name", "cell"), [("ticker", "last"), ("trade", "price")])
def test_bad_frames_are_no_json_or_no_price(name: str, cell: str) -> None:
    """Seven of each channel are rows that are sane but for their price."""
    channel = CHANNELS[name]
    assert channel.has_snapshot == (name == "ticker")
    frames = channel.bad_frames("BTC/USD")
    assert frames[:4] == ["{", "[]", "\x00", '"text"']
    prices = []
    for frame in frames[4:]:
        row = json.loads(frame, parse_float=str, parse_int=str, parse_constant=str)["data"][0]
        assert row["symbol"] == "BTC/USD"
        prices.append(row[cell])
    assert prices == ["NaN", "Infinity", "-1", "0", "1e400", None, "x"]
