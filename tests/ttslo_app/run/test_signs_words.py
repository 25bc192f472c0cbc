"""What is said of the signs of life and by the watchdog: whole, of its kind, with its row."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sign_kit import NOW, row, snapshot
from watch_kit import rule

from ttslo_app.messages import Crossing, Kind, Sentence
from ttslo_app.run import signs_words as words


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


def test_nothing_there_names_the_states_that_are() -> None:
    """Most likely somebody stands in the right folder with the wrong name."""
    assert "Start ttslo" in words.nothing_there("state.csv", [])
    text = words.nothing_there("state.csv", ["a.csv", "b.csv"])
    assert text.startswith("NOT RUNNING")
    assert "a.csv, b.csv. Name one of them with --state" in text


def test_many_names_are_counted() -> None:
    """The sentence ends."""
    assert "and 4 more" in words.nothing_there("state.csv", [f"{n}.csv" for n in range(9)])


def test_each_sentence_names_what_it_is_about() -> None:
    """File, process, config, and what helps."""
    assert "state.csv.status.json cannot be read: cut" in words.not_readable(
        "state.csv.status.json", "cut"
    )
    other = words.also_runs(snapshot(mode="DRY RUN", started_at=NOW))
    assert "DRY RUN, process 4711 on attic, 2 armed" in other
    assert words.other_config(snapshot(), "mine.csv").endswith("config.csv, not with mine.csv")
    assert "process 7" in words.of_another("x.json", 7).text
    assert "pip install rich" in words.NEEDS_RICH
    assert "plain lines follow" in words.no_terminal("this is a pipe").text
    assert "can be written again" in words.written_again("x.json").text
    assert "cannot be written (full)" in words.not_written("x.json", "full").text


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


def test_reasons_for_no_sign_of_life_name_the_seconds() -> None:
    """They stand in a status line and behind a colon."""
    assert words.loop_hangs(12.3) == "no price has been looked at for 12 s"
    assert words.orders_hang(31.0) == "the order thread has not turned for 31 s"
