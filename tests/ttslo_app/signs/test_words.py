"""What is said of the signs of life: whole, of its kind, with its row."""

from __future__ import annotations

import pytest

from tests.kits.signs.sign_kit import row, snapshot
from ttslo_app.messages import Kind
from ttslo_app.signs import words


def test_beat_names_rows_stops_and_the_nearest() -> None:
    """In one line, with how old its proof is."""
    said = words.beat(snapshot())
    assert (said.kind, said.level) == (Kind.STANDING, "INFO")
    assert said.text == (
        "alive for 2 h 4 min: 2 rows are armed, 1 stop stands; nearest btc_top: BTC/USD at or "
        "above 120000, now 118000.1 (1.69 % away, proven 0.2 s ago)"
    )


def test_beat_of_a_rehearsal_cannot_be_mistaken() -> None:
    """It begins with what the run is."""
    assert words.beat(snapshot(mode="DRY RUN")).text.startswith("DRY RUN: alive for")


def test_beat_that_sees_nothing_is_a_warning() -> None:
    """It names the rows whose price is not proven."""
    said = words.beat(snapshot(rows=(row("btc", state="blind", price=None),)))
    assert said.level == "WARNING"
    assert said.text.endswith("NO PROVEN PRICE for btc")


@pytest.mark.parametrize(("armed", "text"), [(0, "0 rows are"), (1, "1 row is"), (9, "9 rows are")])
def test_beat_counts_as_people_do(armed: int, text: str) -> None:
    """One row is; others are."""
    assert f"{text} armed" in words.beat(snapshot(armed=armed, rows=())).text


def test_row_without_a_price_says_so() -> None:
    """And nothing about its distance."""
    said = words.beat_row(row(price=None, away=None))
    assert said.text == "btc_top: armed, BTC/USD at or above 120000, no price yet"
    assert said.fields == {"id": "btc_top"}


def test_each_sentence_names_what_it_is_about() -> None:
    """File, process, and what helps."""
    assert "process 7" in words.of_another("x.json", 7).text
    assert "pip install rich" in words.NEEDS_RICH
    assert "plain lines follow" in words.no_terminal("this is a pipe").text
    assert "can be written again" in words.written_again("x.json").text
    assert "cannot be written (full)" in words.not_written("x.json", "full").text


def test_reasons_for_no_sign_of_life_name_the_seconds() -> None:
    """They stand in a status line and behind a colon."""
    assert words.loop_hangs(12.3) == "no price has been looked at for 12 s"
    assert words.orders_hang(31.0) == "the order thread has not turned for 31 s"
