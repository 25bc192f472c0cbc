"""The rule book: which armed rules does this price fire?

Thresholds stand in order, one heap a side of each market, so a price looks only at the rules it
crosses: a tick that crosses nothing costs two comparisons however many rules are armed. Pure: it
neither knows the time nor where prices come from, and it is used by one thread.

A rule that fires leaves the book in the same call; nothing can fire it twice from here.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from ttslo_app.rules.rule import ThresholdType

# (sort key, arming number, rule id, threshold): the number keeps equal thresholds in the order of
# arming. The key is the threshold, negated on the side below: the highest is the next there.
_Entry = tuple[Decimal, int, str, Decimal]
_is_met_above = ThresholdType.ABOVE.is_met
_is_met_below = ThresholdType.BELOW.is_met


@dataclass(slots=True)
class _Market:
    """The armed thresholds of one market, the next one to be crossed on top of each side."""

    above: list[_Entry] = field(default_factory=list)
    below: list[_Entry] = field(default_factory=list)


class RuleBook:
    """Armed thresholds by market. `market` is any name that prices and rules agree on.

    Attributes:
        live: The live entry of each rule; one whose rule has been disarmed or armed anew since is
            dead. Others see here without a call whether anything is armed.
    """

    def __init__(self) -> None:
        self._markets: dict[str, _Market] = {}
        self.live: dict[str, _Entry] = {}
        self._armings = 0
        self._stale = 0

    def __len__(self) -> int:
        return len(self.live)

    def __contains__(self, rule_id: object) -> bool:
        return rule_id in self.live

    def __iter__(self) -> Iterator[str]:
        return iter(self.live)

    def arm(
        self, rule_id: str, market: str, threshold: Decimal, threshold_type: ThresholdType
    ) -> None:
        """Put a rule in, in place of what stood there under the same id. O(log n)."""
        self.disarm(rule_id)
        self._armings += 1
        sides = self._markets.get(market)
        if sides is None:
            sides = self._markets[market] = _Market()
        if threshold_type is ThresholdType.ABOVE:
            heap, key = sides.above, threshold
        else:
            # `copy_negate` is exact where `-` would round.
            heap, key = sides.below, threshold.copy_negate()
        entry = self.live[rule_id] = key, self._armings, rule_id, threshold
        heapq.heappush(heap, entry)

    def disarm(self, rule_id: str) -> bool:
        """Take a rule out; False where it was not in. O(1), the heaps are tidied now and then."""
        if self.live.pop(rule_id, None) is None:
            return False
        self._stale += 1
        if self._stale > 64 + len(self.live):
            self._rebuild()
        return True

    def crossed(self, market: str, price: Decimal) -> list[str]:
        """Return the ids that `price` fires, nearest threshold first, and take them out."""
        sides = self._markets.get(market)
        if sides is None:
            return []
        fired: list[str] = []
        above, below = sides.above, sides.below
        while above and _is_met_above(above[0][3], price):
            self._take(heapq.heappop(above), fired)
        while below and _is_met_below(below[0][3], price):
            self._take(heapq.heappop(below), fired)
        return fired

    def nearest(self, market: str) -> list[Decimal]:
        """Return the threshold that is next on each side of a market; amortized O(log n)."""
        sides = self._markets.get(market)
        if sides is None:
            return []
        return [heap[0][3] for heap in (sides.above, sides.below) if self._tidy(heap)]

    def _tidy(self, heap: list[_Entry]) -> bool:
        """Drop dead entries from the top of a heap; False where nothing is left."""
        while heap and not self._is_live(heap[0]):
            heapq.heappop(heap)
            self._stale -= 1
        return bool(heap)

    def _is_live(self, entry: _Entry) -> bool:
        return self.live.get(entry[2]) is entry

    def _take(self, entry: _Entry, fired: list[str]) -> None:
        if not self._is_live(entry):
            self._stale -= 1
            return
        del self.live[entry[2]]
        fired.append(entry[2])

    def _rebuild(self) -> None:
        """Drop dead entries once they outnumber the live: memory follows what is armed."""
        self._stale = 0
        for market, sides in list(self._markets.items()):
            for heap in (sides.above, sides.below):
                heap[:] = filter(self._is_live, heap)
                heapq.heapify(heap)
            if not (sides.above or sides.below):
                del self._markets[market]
