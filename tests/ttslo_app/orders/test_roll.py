"""What an edit of config.csv means."""

from __future__ import annotations

import pytest
from order_bench import life, rule

from ttslo_app.orders.life import RuleState
from ttslo_app.orders.roll import Adoption, adoption_of
from ttslo_app.rules.rule import Rule

CHANGED = rule(volume="0.02")


@pytest.mark.parametrize(
    ("state", "row", "fired_in_file", "noted", "expected"),
    [
        (None, rule(), False, False, Adoption.ARM),
        (None, rule(), True, False, Adoption.KEEP),
        (None, None, False, False, Adoption.KEEP),
        (RuleState.DISARMED, rule(), False, False, Adoption.ARM),
        (RuleState.ARMED, rule(), False, False, Adoption.KEEP),
        (RuleState.ARMED, CHANGED, False, False, Adoption.UPDATE),
        (RuleState.ARMED, None, False, False, Adoption.DISARM),
        (RuleState.REFUSED, CHANGED, False, False, Adoption.UPDATE),
        (RuleState.REFUSED, None, False, False, Adoption.DISARM),
        (RuleState.INTENDED, None, False, False, Adoption.KEEP),
        (RuleState.INTENDED, CHANGED, False, False, Adoption.KEEP),
        (RuleState.UNCERTAIN, rule(), False, False, Adoption.KEEP),
        (RuleState.PLACED, rule(), False, False, Adoption.NOTE),
        (RuleState.PLACED, rule(), False, True, Adoption.ARM),
        (RuleState.PLACED, rule(), True, True, Adoption.EXPLAIN),
        (RuleState.PLACED, None, True, True, Adoption.KEEP),
        (RuleState.CLOSED, rule(), False, True, Adoption.ARM),
        (RuleState.CLOSED, rule(), False, False, Adoption.NOTE),
    ],
)
def test_adoption_of_a_row(
    state: RuleState | None,
    row: Rule | None,
    fired_in_file: bool,
    noted: bool,
    expected: Adoption,
) -> None:
    """A row as it stands in the file means one thing for the life of its rule."""
    known = None if state is None else life(state, noted=noted)
    assert adoption_of(known, row, is_fired_in_file=fired_in_file) is expected
