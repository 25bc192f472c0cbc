"""What the account's stream may settle of an order, and what it may not."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from krakenlink.stream.executions import AccountOrder
from tests.kits.orders.order_bench import life
from ttslo_app.messages import Sighting, Stop, Streamed
from ttslo_app.orders.life import RuleState
from ttslo_app.orders.streamed import doubt_of, is_finished, sighting_of

OURS = "10dbbc38-8940-5a21-9d7b-b5c9342ca547"
PLACED = life(RuleState.PLACED, order_id="O1", cl_ord_id=OURS)
ORDER = AccountOrder(
    "O1",
    "new",
    OURS,
    "BTC/USD",
    "sell",
    "trailing-stop",
    Decimal("0.01"),
    offset=Decimal("5"),
    is_percent=True,
    stop=Decimal("47500"),
    best=Decimal("50000"),
    reference="last",
)
FILLED = replace(ORDER, status="filled", executed=Decimal("0.01"), price=Decimal("47499.5"))


def doubt(order: AccountOrder, rest_key: str = "XXBTZUSD") -> str:
    """Return what is doubted of an order that should be ours."""
    return doubt_of(PLACED, Streamed(order, rest_key, lambda: None))


@pytest.mark.parametrize(
    "order",
    [
        ORDER,
        FILLED,
        replace(ORDER, status="canceled", reason="User requested"),
        replace(ORDER, cl_ord_id=""),  # Kraken need not repeat it
        replace(ORDER, cl_ord_id=OURS.upper().replace("-", "")),
        replace(ORDER, offset=None, is_percent=None),
        replace(ORDER, offset=None),
        replace(ORDER, is_percent=None),
        replace(ORDER, volume=Decimal("0.01000000"), offset=Decimal("5.0")),
        replace(ORDER, order_type="market", is_triggered=True),  # as a stop becomes one
        replace(ORDER, status="partially_filled", executed=Decimal("0.004")),
        replace(ORDER, is_certain=False),  # where its stop is has nothing to do with sums
    ],
)
def test_order_that_is_ours_to_the_letter_is_believed(order: AccountOrder) -> None:
    """In Kraken's spellings, and with what it leaves out."""
    assert doubt(order) == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"order_id": "O2"}, "another order"),
        ({"symbol": ""}, "what the order is"),
        ({"volume": None}, "what the order is"),
        ({"cl_ord_id": "20dbbc38-8940-5a21-9d7b-b5c9342ca547"}, "another client order id"),
        ({"side": "buy"}, "buy instead of sell"),
        ({"volume": Decimal("0.02")}, "0.02 instead of 0.01"),
        ({"offset": Decimal(6)}, "6 instead of +5.0%"),
        ({"is_percent": False}, "5 instead of +5.0%"),
        ({"status": ""}, "how the order stands"),
        ({"status": "triggered"}, "how the order stands"),
        ({"is_certain": False, "executed": Decimal("0.004")}, "how much is filled"),
        ({"is_certain": False, "status": "canceled"}, "how much is filled"),
        ({"status": "filled", "executed": Decimal("0.01")}, "price of the fill"),
    ],
)
def test_whatever_differs_or_is_missing_is_doubted(changes: dict[str, Any], said: str) -> None:
    """An id alone is no identity, and no sum of our own ends a row."""
    assert said in doubt(replace(ORDER, **changes))


@pytest.mark.parametrize("rest_key", ["", "XETHZUSD", "XBTUSD"])
def test_pair_that_is_not_known_is_another_one(rest_key: str) -> None:
    """Names come from Kraken's listing, or they prove nothing."""
    assert "BTC/USD instead of XXBTZUSD" in doubt(ORDER, rest_key)


def test_life_without_an_order_believes_nothing() -> None:
    """There is nothing to compare with."""
    assert doubt_of(PLACED._replace(order=None), Streamed(ORDER, "XXBTZUSD", lambda: None))


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ("pending_new", "pending"),
        ("new", "open"),
        ("partially_filled", "open"),
        ("filled", "closed"),
        ("canceled", "canceled"),
        ("expired", "expired"),
    ],
)
def test_states_have_rest_s_names(status: str, shown: str) -> None:
    """So that a look over REST afterwards is no news."""
    seen = sighting_of(replace(FILLED, status=status, reason="why"))
    assert seen == Sighting("O1", shown, "0.01000000", "47499.5", "why")


def test_stop_is_told_while_the_order_stands() -> None:
    """With Kraken's moment as the files hold moments; a moment that is none is left out."""
    seen = sighting_of(replace(ORDER, timestamp="2026-11-25T12:00:00.123456Z"))
    assert seen.stop == Stop(Decimal(47500), Decimal(50000), "last")
    assert seen.stop.at == "2026-11-25T12:00:00.123+00:00"
    for odd in ("", "yesterday", "2026-11-25T12:00:00"):
        again = sighting_of(replace(ORDER, timestamp=odd, is_triggered=True, reference=""))
        assert again.stop == Stop(Decimal(47500), Decimal(50000), "last", is_triggered=True)
        assert again.stop.at == ""
    assert sighting_of(FILLED).stop is None
    assert sighting_of(replace(ORDER, stop=None)).stop is None


@pytest.mark.parametrize(
    ("changes", "is_so"),
    [
        ({"executed": Decimal("0.01")}, True),
        ({"executed": Decimal("0.009")}, False),
        ({"executed": Decimal("0.01"), "status": "filled"}, False),
        ({"executed": Decimal("0.01"), "volume": None}, False),
    ],
)
def test_full_order_waits_for_kraken_s_word(changes: dict[str, Any], is_so: bool) -> None:
    """All of it is filled, and it is not called so yet."""
    assert is_finished(replace(ORDER, **changes)) is is_so


@pytest.mark.parametrize(
    ("known", "executed", "is_doubted"),
    [
        ("0.005", "0", True),
        ("0.005", "0.004", True),
        ("0.005", "0.00500000", False),
        ("", "0", False),
        ("nothing", "0.005", False),
    ],
)
@pytest.mark.parametrize("status", ["canceled", "expired"])
def test_end_with_less_than_was_known_is_doubted(
    known: str, executed: str, is_doubted: bool, status: str
) -> None:
    """What is filled stays filled: REST tells how it ended. On its way it was only overtaken."""
    before = PLACED._replace(vol_exec=known)
    order = replace(ORDER, status=status, executed=Decimal(executed))
    said = doubt_of(before, Streamed(order, "XXBTZUSD", lambda: None))
    assert ("less is filled at its end" in said) is is_doubted
    on_its_way = replace(order, status="partially_filled")
    assert doubt_of(before, Streamed(on_its_way, "XXBTZUSD", lambda: None)) == ""
