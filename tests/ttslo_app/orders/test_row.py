"""A life as cells of state.csv."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from order_bench import life

from ttslo_app.orders.life import RuleState
from ttslo_app.orders.row import UnreadableLife, cells_of, read_life


@pytest.mark.parametrize("state", list(RuleState))
def test_life_survives_the_state_file(state: RuleState) -> None:
    """A life read back is the life that was written, in every state."""
    written = life(state, sends=2, noted=True, order_id="O1", detail="a, b")
    assert read_life("btc", cells_of(written)) == written


def test_rows_of_earlier_versions_are_understood() -> None:
    """Without our columns, `triggered` decides: fired, or not armed yet."""
    assert read_life("btc", {"triggered": "true", "order_id": "O1"}).state is RuleState.PLACED
    assert read_life("btc", {"triggered": "false"}).state is RuleState.DISARMED
    assert read_life("btc", {}).state is RuleState.DISARMED


def test_row_with_an_order_id_has_fired_whatever_triggered_says() -> None:
    """An order id is proof enough not to place another order."""
    assert read_life("btc", {"triggered": "false", "order_id": "O1"}).has_fired


@pytest.mark.parametrize(
    "changes",
    [
        {"triggered": "maybe"},
        {"rule_state": "on fire"},
        {"generation": "two"},
        {"generation": ""},
        {"sends": "many"},
        {"rule_state": "placed", "triggered": "false"},
        {"rule_state": "armed", "triggered": "true"},
        {"rule_state": "intended", "cl_ord_id": ""},
        {"rule_state": "uncertain", "order": ""},
    ],
)
def test_row_that_contradicts_itself_is_refused(changes: dict[str, str]) -> None:
    """From a damaged row nobody can tell whether its rule has fired, and nobody guesses."""
    with pytest.raises(UnreadableLife):
        read_life("btc", {**cells_of(life(RuleState.ARMED)), **changes})


def test_words_of_ours_are_read_in_any_case() -> None:
    """A spreadsheet that saves the state writes TRUE for true."""
    placed = life(RuleState.PLACED, noted=True, order_id="O1")
    shouted = {name: text.upper() for name, text in cells_of(placed).items()}
    names = ("triggered", "noted", "rule_state")
    again = {**cells_of(placed), **{name: f" {shouted[name]} " for name in names}}
    assert read_life("btc", again) == placed


@pytest.mark.parametrize("trace", ["trigger_price", "trigger_time"])
def test_row_of_a_trigger_that_lost_its_word_is_refused(trace: str) -> None:
    """An earlier version's row with an empty `triggered` may have fired all the same."""
    with pytest.raises(UnreadableLife, match="nothing under triggered"):
        read_life("btc", {"triggered": "", trace: "1"})


_cells = st.dictionaries(
    st.sampled_from([*cells_of(life(RuleState.ARMED)), "else"]), st.text(max_size=12)
)


@given(_cells)
def test_read_life_raises_nothing_else(cells: dict[str, str]) -> None:
    """Any text in any cell is a life or an UnreadableLife."""
    with suppress(UnreadableLife):
        assert read_life("btc", cells).id == "btc"
