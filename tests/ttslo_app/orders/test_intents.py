"""The lines of the journal of intents: their text, and what counts of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttslo_app.orders.intents import (
    Intents,
    intent_lines,
    may_have_fired,
    read_intents,
    with_intents,
)

ROW = {"id": "btc", "rule_state": "intended", "generation": "2", "sends": "1", "order": "{}"}


@given(st.lists(st.dictionaries(st.text(), st.text()), max_size=5))
def test_lines_come_back_as_they_were(rows: list[dict[str, str]]) -> None:
    """Any cells, with line ends and quotes in them, are read as they were written."""
    named = [{**row, "id": f"r{number}"} for number, row in enumerate(rows)]
    assert read_intents(intent_lines(named)) == Intents(tuple(named), ())


@given(st.integers(min_value=0))
def test_cut_end_is_a_line_that_was_never_sent(length: int) -> None:
    """Wherever the last line breaks off, the one before it counts and nothing is called damaged."""
    first, last = intent_lines([ROW]), intent_lines([{**ROW, "id": "eth"}])
    cut = (first + last)[: len(first) + length % len(last)]
    assert read_intents(cut) == Intents((ROW,), ())


def test_line_after_a_cut_one_is_read_and_the_cut_one_told() -> None:
    """A line that breaks off before another is damage: its order may have been sent."""
    whole = intent_lines([ROW])
    assert read_intents(whole[:-3] + whole) == Intents((ROW,), (2,))


@pytest.mark.parametrize("flaw", [b"btc", b"buc"])
def test_changed_byte_is_seen(flaw: bytes) -> None:
    """The checksum catches a changed letter, and only that."""
    found = read_intents(intent_lines([ROW]).replace(b"btc", flaw))
    assert len(found.rows) == (flaw == b"btc")


def test_line_with_a_right_checksum_and_no_row_is_no_intent() -> None:
    """What cannot be taken for a row of the state is not taken for one."""
    assert read_intents(intent_lines([{"pair": "BTC/USD"}])) == Intents()


# --- what counts -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "counts"),
    [
        ({"generation": "2", "sends": "0", "rule_state": "armed"}, True),
        ({"generation": "1", "sends": "3", "rule_state": "placed"}, True),
        ({"generation": "2", "sends": "1", "rule_state": "intended"}, True),
        ({"generation": "2", "sends": "1", "rule_state": "placed"}, False),
        ({"generation": "2", "sends": "1", "rule_state": "uncertain"}, False),
        ({"generation": "2", "sends": "2", "rule_state": "intended"}, False),
        ({"generation": "3", "sends": "0", "rule_state": "armed"}, False),
        ({"generation": "two", "sends": "0", "rule_state": "armed"}, False),
    ],
)
def test_intent_counts_only_if_it_is_newer_than_its_row(
    known: dict[str, str], *, counts: bool
) -> None:
    """A later send or generation counts; a row that knows the outcome, or more, stays."""
    row = {"id": "btc", "last_checked": "x", **known}
    after = with_intents({"btc": row}, Intents((ROW,)))
    assert after == {"btc": {**row, **ROW} if counts else row}


def test_intent_of_a_rule_that_the_state_lacks_counts() -> None:
    """A state file that was lost does not take the order under way with it; the last line holds."""
    later = {**ROW, "deadline": "later"}
    assert with_intents({}, Intents((ROW, later))) == {"btc": later}


def test_waiting_rows_are_those_that_damage_may_speak_of() -> None:
    """Rows that have fired, or sleep, are beyond doubt."""
    words = ("armed", "refused", "placed", "closed", "disarmed", "uncertain")
    assert may_have_fired({w: {"rule_state": w} for w in words}) == ("armed", "refused")
