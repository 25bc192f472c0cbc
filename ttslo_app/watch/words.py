"""Every sentence of the watch, each with its kind and its level.

Pure: it says nothing itself. What it must never do: tell of an order more than is known.
"""

from __future__ import annotations

from decimal import Decimal

from krakenlink.numbers import plain, readable
from ttslo_app.clocks import SECOND, clock_time, iso_moment
from ttslo_app.messages import Kind, Sentence, of_row
from ttslo_app.rules.rule import WhenBlind
from ttslo_app.watch.crossings import Deed, Touch

# The time in which nobody looked: its begin and its end, in seconds since 1970.
Span = tuple[float, float]


def crossed_while_blind(market: str, touch: Touch, span: Span, done: str) -> Sentence:
    """Say that a rule was crossed while nobody looked, and what becomes of it."""
    text = f"{found_words(market, touch, span)} while blind {span_words(span)}; {done}"
    return _crossed(Kind.CROSSED_BLIND, touch, text)


def crossed_before(market: str, touch: Touch, span: Span, done: str) -> Sentence:
    """Say that a rule was crossed, which an earlier run, or this one, has seen and told."""
    # Until it is a minute old it is tried again, wherever the price is.
    done = done.replace("so no order is placed and the row", "the row")
    text = f"{found_words(market, touch, span)}, which was seen and has no order yet; {done}"
    return _crossed(Kind.CROSSED_BEFORE, touch, text)


def _crossed(kind: Kind, touch: Touch, text: str) -> Sentence:
    rule_id, first = touch.rule.id, touch.past
    details = {"crossed_price": plain(first.price), "crossed_at": iso_moment(first.at_ns)}
    return of_row(kind, "WARNING", rule_id, text, **details)


def not_crossed(
    market: str, span: Span, looked_at: int, *, has_fired: bool, is_reported: bool
) -> Sentence:
    """Say that a blind time held no crossing, or none but those that were seen.

    Args:
        market: Whose time it was.
        span: When it was.
        looked_at: How many prices of it were looked at.
        has_fired: Whether something fired in it.
        is_reported: Whether its end is news to a person.
    """
    which = "no other" if has_fired else "no"
    return Sentence(
        Kind.NOT_CROSSED,
        "INFO" if is_reported else "DEBUG",
        f"{market}: {which} threshold was crossed while blind {span_words(span)}; "
        f"{looked_at} prices of that time were looked at",
    )


def past_unknown(market: str, since: float, now: float, reason: str) -> Sentence:
    """Say that it cannot be found out what was traded since a moment in seconds since 1970."""
    return Sentence(
        Kind.PAST_UNKNOWN,
        "WARNING",
        f"{market}: it is not known yet what was traded while blind since "
        f"{clock_time(since, now)} ({reason}). It is asked for until it is known",
    )


def past_known(market: str) -> Sentence:
    """Say that the past can be asked for again."""
    text = f"{market}: what was traded while blind can be fetched again"
    return Sentence(Kind.PAST_KNOWN, "INFO", text)


def crossed_at(at_ns: int, span: Span, *, was_seen: bool = False) -> str:
    """Return why an order is placed for a crossing of the past."""
    how = "crossed" if was_seen else "crossed while blind"
    return f"{how} ({clock_time(at_ns / SECOND, span[1])})"


def span_words(span: Span) -> str:
    """Return `from 12:03:11 to 12:03:52`, with days where it covers more than one."""
    blind_from, blind_to = span
    return f"from {clock_time(blind_from, blind_to)} to {clock_time(blind_to, blind_from)}"


def found_words(market: str, touch: Touch, span: Span) -> str:
    """Return what was found: market, threshold, and the moment or minutes of the crossing."""
    at = touch.past.at_ns / SECOND
    moment = f"at {clock_time(at, span[1])}"
    if touch.past.bar_seconds:
        end = at + touch.past.bar_seconds
        moment = f"between {clock_time(at, span[1])} and {clock_time(end, span[1])}"
    threshold = readable(touch.rule.threshold)
    return f"{market} crossed {threshold} {moment}"


def deed_words(deed: Deed, policy: WhenBlind, present: Decimal | None) -> str:
    """Return what is done about it."""
    if deed is Deed.DONE:
        # Perhaps with no order: it had expired, or was edited. Who handles orders has told that.
        return "a price that was seen since crossed it, too, and what became of that was told"
    if policy is WhenBlind.ALWAYS:
        return "its order is placed now"
    if policy is WhenBlind.NOTIFY:
        back = "is armed again once the price has come back"
        waits = "stays armed" if deed is Deed.STAY else back
        return f"no order is placed, as the row wants to be told only; it {waits}"
    if present is None:
        return "no price is proven just now, so the next one decides"
    if deed is Deed.FIRE:
        return f"the price is still beyond it at {readable(present)}, so its order is placed now"
    return (
        f"the price is back at {readable(present)}, so no order is placed and the row stays armed"
    )
