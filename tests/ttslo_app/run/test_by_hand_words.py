"""What is said of what was done by hand: which row, what came of it, and what to do."""

from __future__ import annotations

import pytest

from ttslo_app.run import by_hand_words as words


def test_request_and_answer_are_events_of_the_row() -> None:
    """Each begins with the id, once; what was not done is a warning."""
    assert words.asked("btc", "fire").text == "btc: somebody asks by hand to fire it"
    done = words.answered("btc", "btc: order O1 is cancelled", is_done=True)
    assert (done.level, done.text) == ("INFO", "btc: order O1 is cancelled")
    assert done.fields["id"] == "btc"
    assert words.answered("btc", "no", is_done=False).level == "WARNING"


@pytest.mark.parametrize(
    "text",
    [
        words.too_old("btc"),
        words.not_waiting("btc"),
        words.no_price("btc"),
        words.no_standing("btc"),
        words.cannot_cancel("btc"),
        words.failed("btc", ValueError("x")),
        words.fired("btc", "O1"),
        words.cancelled("btc", "O1"),
        words.edited("btc", is_armed=True),
    ],
)
def test_answer_names_its_row_and_fits(text: str) -> None:
    """One line, without an end mark."""
    assert text.startswith("btc: ")
    assert len(text) <= 120
    assert not text.endswith(".")


def test_reason_is_told_where_there_is_one() -> None:
    """And no empty one where there is none."""
    assert "is refused: Insufficient funds. The log" in words.no_order(
        "b", "refused", "Insufficient funds."
    )
    assert "is not settled. The log" in words.no_order("b", "not settled", "")
    assert "no row has the id 'x'" in words.not_edited(
        "x", "c.csv", LookupError("no row has the id 'x'")
    )
    assert "was not cancelled: gone. See at Kraken" in words.not_cancelled(
        "b", "O1", ValueError("gone")
    )


def test_file_that_is_no_command_is_named() -> None:
    """Somebody has to look who writes there."""
    assert "x.json" in words.trouble(words.not_taken("x.json")).text
