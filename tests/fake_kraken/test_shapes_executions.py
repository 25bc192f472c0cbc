"""Rows of the account's stream: what each event of an order tells, and what it leaves out."""

from decimal import Decimal
from typing import Any

import pytest

from fake_kraken.engine import Engine
from fake_kraken.orders import Order
from fake_kraken.shapes import OPENINGS_AND_ENDS, Row, row_of, snapshot_row
from tests.kits.exchange.engine_kit import NOW, engine_at, move, place


class Told:
    """An engine whose changes are read as rows while they happen."""

    def __init__(self) -> None:
        self.engine: Engine = engine_at()
        self.rows: list[Row] = []
        self.engine.tell = lambda change: self.rows.append(
            row_of(change, self.engine.listing_of(change.order), NOW)
        )

    def kinds(self) -> list[str]:
        return [row.kind for row in self.rows]

    def cells(self, kind: str) -> dict[str, Any]:
        """Return the last row of a kind."""
        return next(row.cells for row in reversed(self.rows) if row.kind == kind)


@pytest.fixture
def told() -> Told:
    """An engine at 50000, and what is told of it."""
    return Told()


def whole(told: Told, **changes: str) -> Order:
    """Place the usual stop, with an id of its own."""
    order: Order = place(told.engine, **{"cl_ord_id": "mine", **changes})
    return order


def test_life_of_a_trailing_stop_is_told_in_order(told: Told) -> None:
    """Entered, live, moved with the price, triggered, traded, filled; each as it was then."""
    order = whole(told)
    move(told.engine, 60000, 59000, 54000)
    assert told.kinds() == ["pending_new", "new", "status", "status", "trade", "filled"]
    assert {row.cells["order_id"] for row in told.rows} == {order.txid}
    moved, triggered = (row.cells["triggers"] for row in told.rows if row.kind == "status")
    assert (moved["actual_price"], moved["peak_price"]) == (54000.0, 60000.0)
    assert (moved["status"], triggered["status"]) == ("untriggered", "triggered")
    statuses = [row.cells["order_status"] for row in told.rows]
    assert statuses == ["pending_new", "new", "new", "new", "partially_filled", "filled"]


def test_first_row_alone_tells_what_the_order_is(told: Told) -> None:
    """Those after it have the id, the event and what is new."""
    whole(told)
    first, live = told.cells("pending_new"), told.cells("new")
    assert (first["symbol"], first["side"], first["order_type"]) == (
        "BTC/USD",
        "sell",
        "trailing-stop",
    )
    assert (first["order_qty"], first["cum_qty"], first["cl_ord_id"]) == (0.5, 0.0, "mine")
    assert first["triggers"]["price"] == 10.0
    assert (first["triggers"]["price_type"], first["triggers"]["reference"]) == ("pct", "last")
    assert first["stop_price"] == first["triggers"]["actual_price"] == 45000.0
    assert set(live) == {"order_id", "exec_type", "order_status", "order_userref", "timestamp"}


def test_trade_tells_its_part_and_no_sum(told: Told) -> None:
    """Two parts have ids of their own; the end alone tells how much it was in all."""
    order = whole(told)
    told.engine.fill(order, Decimal(49000), NOW, volume=Decimal("0.2"))
    first = told.cells("trade")
    told.engine.fill(order, Decimal(48000), NOW)
    second, end = told.cells("trade"), told.cells("filled")
    assert [(row["last_qty"], row["last_price"]) for row in (first, second)] == [
        (0.2, 49000.0),
        (0.3, 48000.0),
    ]
    assert first["exec_id"] != second["exec_id"]
    assert first["exec_id"].startswith("T")
    assert (first["order_type"], first["fees"]) == ("market", [{"asset": "USD", "qty": 0.0}])
    assert not {"cum_qty", "avg_price"} & first.keys()
    assert (end["cum_qty"], end["avg_price"]) == (0.5, 48400.0)


@pytest.mark.parametrize("status", ["canceled", "expired"])
def test_end_without_a_fill_tells_why(told: Told, status: str) -> None:
    """The reason stands under its old name, too."""
    told.engine.cancel(whole(told), NOW, "User requested", status)
    cells = told.cells(status)
    assert cells["order_status"] == status
    assert (cells["reason"], cells["cancel_reason"]) == ("User requested", "User requested")
    assert cells["cum_qty"] == 0.0


def test_snapshot_shows_an_order_whole(told: Told) -> None:
    """As far as it is filled, and with the price that a limit waits for."""
    order = whole(told)
    told.engine.fill(order, Decimal(49000), NOW, volume=Decimal("0.2"))
    cells = snapshot_row(order, told.engine.listing_of(order))
    assert (cells["exec_type"], cells["order_status"]) == ("new", "partially_filled")
    assert (cells["order_qty"], cells["cum_qty"], cells["avg_price"]) == (0.5, 0.2, 49000.0)
    limit = whole(told, ordertype="limit", price="60000", cl_ord_id="other")
    cells = snapshot_row(limit, told.engine.listing_of(limit))
    assert (cells["limit_price"], cells["limit_price_type"]) == (60000.0, "static")
    assert "triggers" not in cells


def test_market_without_a_stream_is_named_as_rest_names_it(told: Told) -> None:
    """Some pairs have no name on the stream."""
    listing = told.engine.listing("XBTUSD")
    order = whole(told)
    listing.symbol = None
    assert snapshot_row(order, listing)["symbol"] == "XBTUSD"


def test_openings_and_ends_are_four() -> None:
    """What is left where nobody wants to hear of each change."""
    assert {"new", "filled", "canceled", "expired"} == OPENINGS_AND_ENDS
