"""Faults of the books of orders, and what a cancellation means, without a wire."""

from __future__ import annotations

from typing import Any

import pytest

from fake_kraken.calls import Calls
from fake_kraken.faults import Fault, Faults
from fake_kraken.params import Refusal
from tests.kits.exchange.engine_kit import NOW, STOP, engine_at


class Desk:
    """An exchange whose clock stands still."""

    def __init__(self, *faults: Fault) -> None:
        self.engine = engine_at("50000.0")
        on = Faults()
        for fault in faults:
            on.switch_on(fault)
        self._calls = Calls(self.engine, on, lambda: NOW)

    def call(self, endpoint: str, **params: str) -> dict[str, Any]:
        """Return the result of a private call of the first account."""
        result: dict[str, Any] = self._calls.private[endpoint](params, self.engine.account)
        return result

    def place(self, **changes: str) -> str:
        """Enter the usual stop, and return its id."""
        (txid,) = self.call("AddOrder", **{**STOP, "volume": "0.001", **changes})["txid"]
        return str(txid)

    def open(self) -> set[str]:
        """Return the ids of the open orders."""
        return set(self.call("OpenOrders")["open"])

    def closed(self) -> set[str]:
        """Return the ids of the closed orders."""
        return set(self.call("ClosedOrders")["closed"])


def test_order_that_is_filled_at_once_is_never_open() -> None:
    """Uniqueness among open orders helps nobody then: the id may be used again."""
    desk = Desk(Fault("filled_at_once"))
    first = desk.place(cl_ord_id="11111111-1111-4111-8111-111111111111")
    assert desk.open() == set()
    assert desk.closed() == {first}
    second = desk.place(cl_ord_id="11111111-1111-4111-8111-111111111111")
    assert desk.closed() == {first, second}


def test_order_of_another_market_is_not_filled_at_once() -> None:
    """The fault is that of one market."""
    desk = Desk(Fault("filled_at_once", symbol="ETH/USD"))
    txid = desk.place()
    assert desk.open() == {txid}
    assert desk.closed() == set()


def test_filling_at_once_wears_off() -> None:
    """A fault of one call strikes one order."""
    desk = Desk(Fault("filled_at_once", count=1))
    first, second = desk.place(), desk.place()
    assert (desk.closed(), desk.open()) == ({first}, {second})


def test_order_that_is_only_checked_is_not_filled() -> None:
    """Nothing stands, so nothing is filled."""
    desk = Desk(Fault("filled_at_once"))
    desk.call("AddOrder", **{**STOP, "volume": "0.001", "validate": "true"})
    assert desk.open() == desk.closed() == set()


def test_book_of_closed_orders_that_never_shows_any() -> None:
    """It is an empty book, and the order is in neither."""
    desk = Desk(Fault("closed_orders_never"))
    txid = desk.place()
    assert desk.call("CancelOrder", txid=txid) == {"count": 1}
    assert desk.open() == desk.closed() == set()
    assert desk.call("ClosedOrders")["count"] == 0


@pytest.mark.parametrize(("userref", "count"), [("7", 2), ("8", 0)])
def test_cancellation_by_userref_means_all_open_orders_of_it(userref: str, count: int) -> None:
    """A number that is nobody's id is looked for among the users' own."""
    desk = Desk()
    desk.place(userref="7")
    desk.place(userref="7")
    other = desk.place()
    if count:
        assert desk.call("CancelOrder", txid=userref) == {"count": count}
        assert desk.open() == {other}
    else:
        with pytest.raises(Refusal, match="Unknown order"):
            desk.call("CancelOrder", txid=userref)


def test_order_without_a_userref_is_not_meant_by_zero() -> None:
    """Kraken shows 0 for none, and 0 names nobody's order."""
    desk = Desk()
    txid = desk.place()
    with pytest.raises(Refusal, match="Unknown order"):
        desk.call("CancelOrder", txid="0")
    assert desk.open() == {txid}


def test_cancelled_order_is_closed_and_cannot_be_cancelled_again() -> None:
    """The second cancellation finds none that is open."""
    desk = Desk()
    txid = desk.place()
    desk.call("CancelOrder", txid=txid)
    assert (desk.open(), desk.closed()) == (set(), {txid})
    with pytest.raises(Refusal, match="Unknown order"):
        desk.call("CancelOrder", txid=txid)
