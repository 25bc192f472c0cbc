"""The gate of the key, step by step with a clock of the test's own."""

from __future__ import annotations

from krakenlink.rest.verdicts import Pause
from ttslo_app.orders.owed import FIRST_WAIT, LOCKOUT_WAIT, LONGEST_WAIT, KeyGate


def test_waits_double_to_ten_minutes_and_begin_anew_after_an_order() -> None:
    """Calling on with a refused key is one step towards a lockout."""
    gate, waits = KeyGate(), []
    for _ in range(6):
        gate.shut(Pause.KEY, 100.0)
        waits.append((gate.next_at() or 0.0) - 100.0)
        gate.reopen()
    assert waits == [FIRST_WAIT, 120.0, 240.0, 480.0, LONGEST_WAIT, LONGEST_WAIT]
    gate.passed()
    gate.shut(Pause.KEY, 100.0)
    assert (gate.is_due(159.9), gate.is_due(160.0)) == (False, True)


def test_lockout_is_waited_out() -> None:
    """Nothing is asked for more than a quarter of an hour."""
    gate = KeyGate()
    gate.shut(Pause.LOCKOUT, 0.0)
    assert gate.next_at() == LOCKOUT_WAIT > 900


def test_silence_is_asked_again_after_a_minute() -> None:
    """That Kraken could not be asked says nothing of the key."""
    gate = KeyGate()
    gate.shut(Pause.LOCKOUT, 0.0)
    gate.put_off(1000.0)
    assert (gate.is_shut, gate.next_at()) == (True, 1000.0 + FIRST_WAIT)
