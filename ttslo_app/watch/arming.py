"""How a rule begins to wait: whether it may fire at once, and which price it meets first.

Pure. What it must never do: let a price of before fire a rule that only what comes may fire, or let
a rule fire that its row wants told of and no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from ttslo_app.clocks import Clocks
from ttslo_app.messages import BookArm, Crossing
from ttslo_app.rules.rule import WhenBlind
from ttslo_app.watch.blind import Blind
from ttslo_app.watch.crossings import Armed
from ttslo_app.watch.parking import Parking, Signal


def signal_for(
    armed: Armed, parking: Parking, blind: Blind, held: Crossing | None = None
) -> Signal:
    """Return whether a rule that is armed may fire, or is parked.

    Args:
        armed: The rule.
        parking: How it stood before.
        blind: When nobody looked.
        held: A crossing of it that was seen, and could not be acted upon.
    """
    rule_id, seat = armed.rule.id, parking.seat_of(armed.rule.id)
    if parking.policy_of(armed.rule) is not WhenBlind.NOTIFY:
        return Signal.RELEASE
    if held is not None:
        return Signal.TELL
    if seat is not None and seat.is_parked:
        return Signal.HIDE
    if not armed.is_from_before:
        return Signal.RELEASE
    if parking.was_told(rule_id):
        return Signal.TELL
    return Signal.HIDE if blind.tapes[armed.market.name].is_open else Signal.RELEASE


def price_for(
    change: BookArm,
    armed: Armed,
    present: Decimal | None,
    prices: Mapping[str, tuple[Decimal, float]],
    clocks: Clocks,
) -> Decimal | None:
    """Return the price that a rule meets as it is armed; None where there is none.

    Args:
        change: What arms it.
        armed: The rule.
        present: The proven price of its market.
        prices: The last price that was looked at in each market, and when, on the monotonic clock.
        clocks: The clocks.
    """
    if not change.is_new:
        return present
    last = prices.get(change.market.name)
    # Only what has come since it was armed counts, and that may have come before the word.
    is_later = last is not None and clocks.kraken_ns_of(last[1]) > armed.since_ns
    return last[0] if last is not None and is_later else None
