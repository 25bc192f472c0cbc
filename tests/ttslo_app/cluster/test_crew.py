"""What a session is told at its start."""

from ttslo_app.cluster.crew import Fencing, Part
from ttslo_app.cluster.records import Keys


def test_a_standby_is_patient_for_three_seconds_unless_told_otherwise() -> None:
    """Two missed beats are an accident, six are a death."""
    assert Part(Keys("prod"), "a").patience == 3.0


def test_not_being_answered_is_neither_of_the_answers() -> None:
    """Nobody leads by a call of which nobody knows what became."""
    assert len({Fencing.ANSWERED, Fencing.REFUSED, Fencing.UNASKED}) == 3
