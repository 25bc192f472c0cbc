"""What an edit of config.csv means for the life of a rule."""

from __future__ import annotations

from enum import Enum

from ttslo_app.orders.life import Life, RuleState
from ttslo_app.orders.request import fingerprint
from ttslo_app.rules.rule import Rule


class Adoption(Enum):
    """What becomes of a rule when config.csv is read."""

    KEEP = "keep"  # nothing new
    ARM = "arm"  # a new arming begins
    DISARM = "disarm"  # armed until now, and no longer
    UPDATE = "update"  # stays armed, with changed settings
    NOTE = "note"  # fired, and config.csv does not say so yet
    EXPLAIN = "explain"  # enabled although it has fired: say how to arm it again


def adoption_of(life: Life | None, rule: Rule | None, *, is_fired_in_file: bool) -> Adoption:
    """Return what `rule`, as config.csv now has it, means for `life`.

    Args:
        life: What the state file knows of the id; None for an id never seen.
        rule: The accepted row; None where it is gone, refused or not enabled.
        is_fired_in_file: Whether the row's order columns are filled.
    """
    if life is None or life.state is RuleState.DISARMED:
        return Adoption.ARM if rule is not None and not is_fired_in_file else Adoption.KEEP
    if life.is_unsettled:
        return Adoption.KEEP
    if life.has_fired:
        if rule is None:
            return Adoption.KEEP
        if not life.noted and not is_fired_in_file:
            return Adoption.NOTE
        return Adoption.EXPLAIN if is_fired_in_file else Adoption.ARM
    if rule is None:
        return Adoption.DISARM
    return Adoption.KEEP if life.row == fingerprint(rule) else Adoption.UPDATE
