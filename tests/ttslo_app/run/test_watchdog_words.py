"""What the watchdog says: whole, of its kind, with its row."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.kits.rows.watch_kit import rule
from ttslo_app.messages import Crossing, Kind, Sentence
from ttslo_app.run import watchdog_words as words

CROSSING = Crossing(rule(), Decimal(51001), "51001")


@pytest.mark.parametrize(
    ("sentence", "kind", "level", "row"),
    [
        (words.no_order_yet(CROSSING, 7.0, "because"), Kind.LATE, "ERROR", "r"),
        (words.order_thread_hangs("sending", 31.0, 2), Kind.LATE, "ERROR", None),
        (words.ORDER_THREAD_GOES_ON, Kind.LATE, "INFO", None),
        (words.order_thread_left("noting"), Kind.STOP, "WARNING", None),
        (words.ends_without_order(CROSSING, 1.0, "turn", "armed"), Kind.STOP, "ERROR", "r"),
    ],
)
def test_sentence_has_its_kind_its_level_and_its_row(
    sentence: Sentence, kind: Kind, level: str, row: str | None
) -> None:
    """Whoever chooses what to be told of goes by the kind."""
    assert (sentence.kind, sentence.level) == (kind, level)
    assert sentence.fields.get("id") == row
    assert ".." not in sentence.text


def test_step_without_a_name_is_told_as_work() -> None:
    """A new step of the protocol needs no sentence to be told of."""
    assert words.at_what("something new") == "the order thread is busy"
    assert words.cause_of_delay("", 1.0, "refused", "") == "it waits to be tried again"


def test_order_that_was_never_sent_is_not_told_to_be_under_way() -> None:
    """An intent that the disk has not taken was followed by no order."""
    said = words.ends_without_order(CROSSING, 9.0, "intending", "intended").text
    assert said.startswith("r: crossed 9 s ago at 51001, and NO ORDER was sent")
    assert "under way" not in said
