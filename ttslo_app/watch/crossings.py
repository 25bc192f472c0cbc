"""First crossings in the past: which rules it would have fired, and what becomes of each.

Pure: it fires nothing itself. What it must never do: let a price count for a rule that is younger
than the price.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum

from ttslo_app.messages import Market, Past
from ttslo_app.rules.rule import Rule, ThresholdType, WhenBlind


@dataclass(frozen=True, slots=True)
class Armed:
    """A rule that waits for its crossing, or did until it fired.

    `since_ns` is the moment from which on trades count for it, in nanoseconds since 1970.
    """

    rule: Rule
    market: Market
    since_ns: int

    def is_same_condition(self, other: Armed) -> bool:
        """Tell whether both are fired by the same prices of the same market."""
        mine, yours = self.rule, other.rule
        is_same_level = mine.threshold == yours.threshold
        is_same_side = mine.threshold_type is yours.threshold_type
        return is_same_level and is_same_side and self.market.name == other.market.name


@dataclass(frozen=True, slots=True)
class Touch:
    """The first price of the past that crosses a rule."""

    rule: Rule
    past: Past


@dataclass(slots=True)
class _Records:
    """The record prices of a sequence on one side, each further out, and where they were reached.

    Attributes:
        is_met: Tells of a threshold and a price whether the price is at it or beyond.
    """

    is_met: Callable[[Decimal, Decimal], bool]
    prices: list[Decimal] = field(default_factory=list)
    places: list[int] = field(default_factory=list)

    def add(self, price: Decimal, place: int) -> None:
        # A record is what no price before would have crossed.
        if not self.prices or not self.is_met(price, self.prices[-1]):
            self.prices.append(price)
            self.places.append(place)

    def first_at(self, threshold: Decimal) -> int | None:
        found = bisect_left(self.prices, True, key=lambda price: self.is_met(threshold, price))
        return self.places[found] if found < len(self.places) else None


def first_crossings(past: Sequence[Past], waiting: Iterable[Armed]) -> list[Touch]:
    """Return what `past`, in its order, would have fired, in the order of the crossings.

    Costs the length of `past` once, then O(log n) a rule; only rules that were armed in the
    middle of it look at the rest of it one by one.
    """
    sides = {side: _Records(side.is_met) for side in ThresholdType}
    for records in sides.values():
        for place, one in enumerate(past):
            records.add(one.price, place)
    found: list[tuple[int, Touch]] = []
    for armed in waiting:
        at = sides[armed.rule.threshold_type].first_at(armed.rule.threshold)
        if at is not None and past[at].at_ns < armed.since_ns:
            at = _first_after(past, armed, at)
        if at is not None:
            found.append((at, Touch(armed.rule, past[at])))
    found.sort(key=lambda pair: pair[0])
    return [touch for _, touch in found]


def _first_after(past: Sequence[Past], armed: Armed, start: int) -> int | None:
    # A candle that began before the rule did may have been there before the rule was: it does
    # not count, as its begin is its date.
    for place in range(start, len(past)):
        one = past[place]
        if one.at_ns >= armed.since_ns and armed.rule.is_met_by(one.price):
            return place
    return None


class Deed(Enum):
    """What is done with a rule that was crossed while nobody looked."""

    FIRE = "fire"
    STAY = "stay"  # armed as before
    PARK = "park"  # armed again once the price has been on the near side
    DONE = "done"  # it has fired meanwhile, at a price that was seen


def deed_for(policy: WhenBlind, rule: Rule, present: Decimal | None) -> Deed:
    """Return what becomes of `rule`, crossed while blind, at the proven price `present`.

    None is no proof of any price: what needs one waits for the next.
    """
    if policy is WhenBlind.ALWAYS:
        return Deed.FIRE
    is_beyond = present is not None and rule.is_met_by(present)
    if policy is WhenBlind.NOTIFY:
        return Deed.PARK if is_beyond or present is None else Deed.STAY
    return Deed.FIRE if is_beyond else Deed.STAY
