"""The sentences on orders in doubt: what each is about, and that it names row, order and cure."""

from __future__ import annotations

from decimal import Decimal

import pytest
from order_bench import life, rule

from ttslo_app.messages import Crossing, Kind, Sentence, Sighting
from ttslo_app.orders import doubt_words as words
from ttslo_app.orders.life import RuleState

CROSSED = Crossing(rule(), Decimal(50001), "50001")
PLACED = life(RuleState.PLACED, order_id="O1", trigger_price="50001")
OTHER = Sighting("O1", "open", differs="volume 0.5 instead of 0.01")


@pytest.mark.parametrize(
    ("sentence", "kind", "names"),
    [
        (words.sent_by_another_key(PLACED), Kind.KEY, "the key of before"),
        (words.stands_unseen(PLACED), Kind.UNCERTAIN, "nothing is sent again"),
        (words.cannot_prove(CROSSED, OSError("why")), Kind.WAITING, "50001"),
        (words.has_an_order(PLACED, OTHER), Kind.PLACED, "O1"),
        (words.stands_otherwise(PLACED, OTHER), Kind.PLACED, "volume 0.5 instead of 0.01"),
        (words.row_differs(PLACED, rule(volume="0.5")), Kind.PLACED, "sell 0.5"),
        (words.as_it_was(PLACED), Kind.DISARMED, "enabled to yes"),
    ],
)
def test_sentence_names_its_row_and_what_matters(
    sentence: Sentence, kind: Kind, names: str
) -> None:
    """Somebody reads it at night: which row, which order, and what to do."""
    assert sentence.kind is kind
    assert sentence.text.startswith("btc: ")
    assert names in sentence.text
    assert ".." not in sentence.text
