"""Sentences on trouble that is no row's own, and on other hosts of an account."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.kits.orders.order_bench import life, rule
from ttslo_app.messages import Crossing, Kind, Sentence, Sighting
from ttslo_app.orders import trouble_words as words
from ttslo_app.orders.life import RuleState


def test_refused_key_names_its_rows() -> None:
    """One row by its name, several by their number, and none as none."""
    texts = [
        words.key_refused(ids, "EAPI:Invalid key", "Mend it", 60).text
        for ids in ([], ["a"], ["a", "b"])
    ]
    assert "so nothing can be placed: EAPI:Invalid key. Mend it. The rows stay" in texts[0]
    assert "the row a is NOT protected" in texts[1]
    assert "NONE of the 2 rows is protected" in texts[2]
    assert all(text.endswith("again in 1 min") for text in texts)


def test_key_that_works_again_tells_of_those_who_wait() -> None:
    """Where nobody waits nothing is told of them."""
    assert words.key_works_again(0).text == "The trading key works again"
    assert "of the 3 crossed before" in words.key_works_again(3).text


def test_crossing_without_an_order_has_row_price_and_reason() -> None:
    """Each has a line of its own."""
    said = words.no_order_yet(Crossing(rule(), Decimal(51001), "51001"), "the disk is full")
    assert said.kind is Kind.WAITING
    assert said.fields == {"id": "btc"}
    assert said.text.endswith("crossed at 51001: NO ORDER yet, because the disk is full")


CROSSED = Crossing(rule(), Decimal(50001), "50001")


PLACED = life(RuleState.PLACED, order_id="O1", trigger_price="50001")


OTHER = Sighting("O1", "open", differs="volume 0.5 instead of 0.01")


@pytest.mark.parametrize(
    ("sentence", "kind", "names"),
    [
        (words.sent_by_another_key(PLACED), Kind.KEY, "Start once with it"),
        (words.stands_unseen(PLACED), Kind.UNCERTAIN, "nothing is sent again"),
        (words.cannot_prove(CROSSED, OSError("why")), Kind.WAITING, "50001"),
        (words.has_an_order(PLACED, OTHER), Kind.PLACED, "O1"),
        (words.stands_otherwise(PLACED, OTHER), Kind.PLACED, "volume 0.5 instead of 0.01"),
        (words.row_differs(PLACED, rule(volume="0.5")), Kind.PLACED, "sell 0.5"),
        (words.as_it_was(PLACED, "yes"), Kind.DISARMED, "enabled=yes"),
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


def test_kept_crossing_is_no_order() -> None:
    """Whoever reads it at night must not think that this host sells."""
    said = words.kept_for_leader(Crossing(rule(), Decimal("50001.0"), "50001.0"))
    assert said.text.startswith("btc: crossed at 50001. The host that leads places its order")
    assert (said.kind, said.level) == (Kind.STANDBY, "INFO")
    assert said.fields["id"] == "btc"


def test_order_that_nobody_knew_is_named() -> None:
    """Its row counts as placed, and a person should look what else the store has lost."""
    said = words.unknown_to_the_store(life(RuleState.ARMED), "OA\x1b")
    assert said.text.startswith("btc: order OA")
    assert "\x1b" not in said.text
    assert said.kind is Kind.DOUBTFUL
