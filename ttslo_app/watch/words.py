"""What the watch says of a crossing that nobody saw. Pure: it says nothing itself.

What it must never do: tell of an order more than is known.
"""

from __future__ import annotations

from decimal import Decimal

from krakenlink.numbers import plain
from ttslo_app.clocks import SECOND, clock_time
from ttslo_app.rules.rule import WhenBlind
from ttslo_app.watch.crossings import Deed, Touch

# The time in which nobody looked: its begin and its end, in seconds since 1970.
Span = tuple[float, float]


def span_words(span: Span) -> str:
    """Return `from 12:03:11 to 12:03:52`, with days where it covers more than one."""
    blind_from, blind_to = span
    return f"from {clock_time(blind_from, blind_to)} to {clock_time(blind_to, blind_from)}"


def found_words(market: str, touch: Touch, span: Span) -> str:
    """Return what was found: market, threshold, moment, and the time nobody looked."""
    at = touch.past.at_ns / SECOND
    moment = f"at {clock_time(at, span[1])}"
    if touch.past.bar_seconds:
        end = at + touch.past.bar_seconds
        moment = f"between {clock_time(at, span[1])} and {clock_time(end, span[1])}"
    threshold = f"{touch.rule.threshold:,f}"
    return f"{market} crossed {threshold} {moment} while blind {span_words(span)}"


def deed_words(deed: Deed, policy: WhenBlind, present: Decimal | None) -> str:
    """Return what is done about it."""
    if deed is Deed.DONE:
        return "its order was on its way as soon as prices came again"
    if policy is WhenBlind.ALWAYS:
        return "its order is placed now"
    if policy is WhenBlind.NOTIFY:
        back = "is armed again once the price has come back"
        waits = "stays armed" if deed is Deed.STAY else back
        return f"no order is placed, as the row wants to be told only; it {waits}"
    if present is None:
        return "no price is proven just now, so the next one decides"
    if deed is Deed.FIRE:
        return f"the price is still beyond it at {plain(present)}, so its order is placed now"
    return f"the price is back at {plain(present)}, so no order is placed and the row stays armed"
