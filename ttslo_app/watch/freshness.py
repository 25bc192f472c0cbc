"""Whether what came now is of now: a price is as old as itself, however lately it comes.

Pure. What it must never do: call a price newer than it is, or old while nobody knows what time it
is.
"""

from __future__ import annotations

from collections.abc import Sequence

from krakenlink.stream.events import TradePrint
from ttslo_app.clocks import SECOND, Clocks, nanoseconds
from ttslo_app.watch.crossings import Armed

# Our idea of Kraken's clock may be off by this much, in nanoseconds.
DOUBT = 1 * SECOND
# A trade that is older when it comes, in nanoseconds, was held up on its way, and what it says is
# not how things stand; one of so long to come is nonsense.
_OLD, _TO_COME = 30 * SECOND, 600 * SECOND


def is_of_now(prints: Sequence[TradePrint], clocks: Clocks) -> bool:
    """Tell whether no print of a frame is old, or of a time to come; both are no news.

    Before Kraken has said what time it is nobody can tell, and they pass for news.
    """
    if not clocks.is_known():
        return True
    now_ns = clocks.kraken_ns()
    moments = (nanoseconds(one.timestamp) for one in (prints[0], prints[-1]))
    return all(-_TO_COME <= now_ns - at_ns <= _OLD for at_ns in moments if at_ns is not None)


def is_older(armed: Armed, at_ns: int | None, seen_at: float | None, clocks: Clocks) -> bool:
    """Tell whether a price is older than a rule, which it says nothing of then.

    A trade bears Kraken's moment, and Kraken's clock is known to about a second. When a price
    came is known exactly, by the same clock as when the rule was armed.

    Args:
        armed: The rule.
        at_ns: When the price was traded, in nanoseconds since 1970; None where nobody says.
        seen_at: When it came, or was asked for, on the monotonic clock; None for now.
        clocks: The clocks.
    """
    if at_ns is not None:
        return at_ns + DOUBT < armed.since_ns and clocks.is_known()
    return seen_at is not None and clocks.kraken_ns_of(seen_at) < armed.since_ns
