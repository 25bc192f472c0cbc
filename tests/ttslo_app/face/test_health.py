"""Whether a run is well, as an address and signs of life tell it."""

from __future__ import annotations

from ttslo_app.face.health import healthz


def test_health_wants_a_live_price_for_every_armed_row() -> None:
    """Rows without one are named; where nothing is armed, nothing can be missed."""
    assert healthz({}) == (200, "ok: 0 armed rows, each with a live price\n")
    assert healthz({"r": True, "q": True})[0] == 200
    said = 'no live price for 2 of 3 armed rows: ["q", "ü"]\n'
    assert healthz({"ü": False, "r": True, "q": False}) == (503, said)


def test_health_fails_while_a_crossing_waits_for_its_order() -> None:
    """A crossing of a moment ago is no trouble; one that is not placed in seconds is."""
    assert healthz({"r": True}, {"r": 1.0})[0] == 200
    status, text = healthz({"r": True}, {"r": 12.2, "q": 7.0, "new": 0.5})
    assert status == 503
    assert text == 'crossed, and no order yet: ["q", "r"]; the oldest 12 s ago\n'
