"""The messages between threads: what each says of itself, and that none can be changed."""

from dataclasses import FrozenInstanceError, fields, is_dataclass
from decimal import Decimal
from typing import get_args

import pytest

from ttslo_app import messages
from ttslo_app.messages import (
    BookArm,
    BookChange,
    Crossing,
    Kind,
    Market,
    Message,
    Sentence,
    Sighting,
    tell,
)
from ttslo_app.rules.rule import read_rule

RULE = read_rule(
    {
        "id": "btc",
        "pair": "BTC/USD",
        "threshold_price": "50000",
        "threshold_type": "above",
        "direction": "sell",
        "volume": "1",
        "trailing_offset_percent": "5",
    }
)
MARKET = Market("BTC/USD", "XXBTZUSD", "BTC/USD")


def test_a_crossing_is_known_by_its_rule() -> None:
    """A rule crosses once, so its id is the key; the pair is the one that the row names."""
    crossing = Crossing(RULE, Decimal(51000), "51000.0")
    assert (crossing.key, crossing.pair) == ("btc", "BTC/USD")


@pytest.mark.parametrize(
    ("status", "is_final"),
    [
        ("open", False),
        ("pending", False),
        ("closed", True),
        ("canceled", True),
        ("expired", True),
        ("", False),
    ],
)
def test_a_sighting_is_final_where_nothing_more_can_come(status: str, is_final: bool) -> None:
    """Words that are not known are not final: such an order is looked at again."""
    assert Sighting("O1", status).is_final is is_final


@pytest.mark.parametrize(
    ("vol_exec", "has_executed"),
    [("", False), ("0", False), ("0.00000000", False), ("0.00000001", True), ("10", True)],
)
def test_a_sighting_tells_whether_any_part_is_filled(vol_exec: str, has_executed: bool) -> None:
    """The last digit of Kraken's text counts, and a text of zeros is nothing."""
    assert Sighting("O1", "canceled", vol_exec).has_executed is has_executed


def test_arming_twice_the_same_is_the_same_message() -> None:
    """Since when trades count is no part of what is armed."""
    assert BookArm(RULE, MARKET, "2026-11-01T00:00:00+00:00") == BookArm(RULE, MARKET)
    assert BookArm(RULE, MARKET) != BookArm(RULE, Market("ETH/USD", "XETHZUSD"))


def test_when_a_crossing_was_seen_is_no_part_of_what_crossed() -> None:
    """The same price of the same rule is the same crossing, whoever tells of it when."""
    seen = Crossing(RULE, Decimal(51000), "51000", at_ns=1_800_000_000 * 10**9, seen_at=7.0)
    assert seen == Crossing(RULE, Decimal(51000), "51000")
    assert seen != Crossing(RULE, Decimal(51001), "51001")


def test_a_sentence_is_said_with_its_kind_and_its_details() -> None:
    """Whoever hears it may choose by its kind, and finds the row's id beside it."""
    said: list[tuple[tuple[str, ...], dict[str, object]]] = []
    sentence = Sentence(Kind.PLACED, "INFO", "btc: placed", {"id": "btc"})
    tell(lambda *words, **fields: said.append((words, fields)), sentence)
    assert said == [(("INFO", "btc: placed"), {"kind": Kind.PLACED, "id": "btc"})]


def test_what_kraken_did_not_tell_of_a_market_is_none() -> None:
    """What is not known stops no order."""
    assert (MARKET.costmin, MARKET.ordermin, MARKET.lot_decimals) == (None, None, None)


def test_no_message_can_be_changed_on_its_way() -> None:
    """Both threads hold the same object, so nobody may write to it."""
    crossing = Crossing(RULE, Decimal(51000), "51000")
    with pytest.raises(FrozenInstanceError):
        crossing.price = Decimal(1)  # type: ignore[misc]  # which is what is tried
    kinds = [thing for thing in vars(messages).values() if is_dataclass(thing)]
    assert set(kinds) >= {*get_args(Message), *get_args(BookChange)}
    frozen = [kind for kind in kinds if kind.__dataclass_params__.frozen]  # type: ignore[union-attr]  # is_dataclass said so
    assert frozen == kinds
    assert [kind for kind in kinds if fields(kind) and not hasattr(kind, "__slots__")] == []
