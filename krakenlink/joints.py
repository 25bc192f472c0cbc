"""What the stream tells of candles and trades, joined to what REST tells, without gap or twin.

REST is asked at the first, and again where the stream cannot be right or cannot be all: a hole, a
place that cannot be, a long silence. What it must never do: show as proven what REST refutes, or
ask REST with every call about what it cannot answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, NamedTuple

from krakenlink.errors import KrakenError
from krakenlink.machine import feed_clock
from krakenlink.numbers import doubled
from krakenlink.once import Once
from krakenlink.pairs import Symbol
from krakenlink.stream.tapes import Item, Tape, holes

_log = logging.getLogger(__name__)

# What has brought nothing for so long may be mute, which no heartbeat shows: then REST is asked
# once more, as the audit asks it for prices.
_SILENT = 60.0
# How long REST is not asked again about the same holes, in seconds: it is a second or two behind
# the stream. Doubled with each answer that does not fill them.
_AGAIN, _AGAIN_MOST = 1.0, 60.0
# After so many of those it has had the time to show a trade.
_PATIENT_TRIES = 3
_REFUTED = {
    "ohlc": "%s: candles from the future are not taken",
    "trade": "%s: trades with numbers that cannot be are not taken",
}

# Returns the tape, what it holds, and the seconds since that was proven; None where nothing is.
Look = Callable[[], tuple[Tape[Any], dict[int, Any], float] | None]


class Question(NamedTuple):
    """What is asked of a market: a channel with its interval, and the step between its places."""

    name: str
    channel: str
    param: int | None
    step: int


class Base(NamedTuple, Generic[Item]):
    """What REST told, and what the stream has told beside it: of which tape, and when.

    `looked_at` is when somebody wanted to know from REST whether the tape tells all, last.
    """

    tape: Tape[Any]
    items: dict[int, Item]
    last: int
    asked_at: float
    refuted: Mapping[int, Item] = {}  # what of the tape cannot be, by its place
    looked_at: float = 0.0
    holes: frozenset[tuple[int, int]] = frozenset()  # that an answer did not fill
    tries: int = 0  # how many more have not

    @property
    def is_doubtful(self) -> bool:
        """Whether the tape has been silent for so long that it may be mute."""
        return feed_clock() - max(self.tape.heard_at, self.looked_at) >= _SILENT

    @property
    def is_patient(self) -> bool:
        """Whether REST has had the time to show what the stream told before it."""
        return self.tries >= _PATIENT_TRIES

    def is_to_be_asked(self, missing: frozenset[tuple[int, int]]) -> bool:
        """Tell whether REST may know more of holes: of new ones at once, else ever less often."""
        if not missing <= self.holes:
            return True
        pause = doubled(_AGAIN, self.tries, _AGAIN_MOST)
        return bool(missing) and feed_clock() - self.asked_at >= pause

    def refutes(self, items: Mapping[int, Item]) -> bool:
        """Tell whether some of what the stream tells is known to be none."""
        return any(items.get(n) == item for n, item in self.refuted.items())

    def answered(
        self, missing: frozenset[tuple[int, int]], refuted: Mapping[int, Item]
    ) -> Base[Item]:
        """Return it with the holes that its answer has left, and with what that refutes."""
        is_again = bool(missing) and missing <= self.holes
        tries = self.tries + 1 if is_again else 0
        return self._replace(holes=missing, tries=tries, refuted={**self.refuted, **refuted})


class Ways(NamedTuple, Generic[Item]):
    """How REST is asked, how both are joined, and which places of the tape cannot be."""

    fetch: Callable[[], dict[int, Item]]
    join: Callable[[Base[Item], dict[int, Item]], dict[int, Item]]
    doubtful: Callable[[Base[Item], dict[int, Item]], set[int]]


class Joined(NamedTuple, Generic[Item]):
    """What is known of a market now, where it comes from, and how old its proof is."""

    symbol: Symbol
    items: dict[int, Item]
    source: Literal["websocket", "rest"]
    at: float
    age: float


def _without(items: dict[int, Item], known: Mapping[int, Item]) -> dict[int, Item]:
    """Return all but what is `known`: mostly all, and then what was given."""
    return {n: item for n, item in items.items() if known.get(n) != item} if known else items


def _sides(
    base: Base[Item], items: dict[int, Item], ways: Ways[Item]
) -> tuple[dict[int, Item], dict[int, Item]]:
    """Return both sides joined, and what of the stream's is left out because it cannot be."""
    told = _without(items, base.refuted)
    doubted = {n: told[n] for n in ways.doubtful(base, told)}
    return ways.join(base, _without(told, doubted)), doubted


def _fresh(known: Base[Item], ways: Ways[Item], *, may_fail: bool) -> Base[Item] | None:
    """Return what REST tells now; None where it cannot be heard and that may be.

    It may about a tape that is only silent. Nothing speaks against that one, as nothing does
    against a quiet market: in a while it is looked at again.
    """
    asked_at = feed_clock()
    try:
        fetched = ways.fetch()
    except KrakenError:
        if not may_fail:
            raise
        return None
    last = max(fetched, default=0)
    return known._replace(items=fetched, last=last, asked_at=asked_at, looked_at=asked_at)


class Joints:
    """What REST and the stream have told of each market, for one client. Safe from any thread."""

    def __init__(self) -> None:
        # Looked up without a lock: of two callers at a time the later one's answer stays.
        self._bases: dict[Question, Base[Any]] = {}
        self._told = Once()  # where the stream tells what cannot be

    def joined(self, key: Question, look: Look, ways: Ways[Any]) -> Joined[Any]:
        """Return the stream's side joined to REST's, else REST's alone. Blocks while REST is asked.

        Args:
            key: What is asked; its name is the symbol.
            look: Returns the stream's side now.
            ways: How to ask REST, and how to join.

        Raises:
            KrakenError: If REST has to tell, and does not.
        """
        seen, base = look(), self._bases.get(key)
        fresh: Base[Any] | None = None
        before: dict[int, Any] = {}
        for _ in range(2):
            if seen is None:
                break
            (tape, items, age), is_enough = seen, False
            if base is not None and base.tape is tape:
                found, doubted = _sides(base, items, ways)
                missing = holes(tuple(found), key.step, base.last)
                is_enough = not (doubted or base.is_to_be_asked(missing))
                if fresh is not None or (is_enough and not base.is_doubtful):
                    # It may stand in the place of something true, which REST tells, if it was asked
                    # since: what has come later is no less doubtful, and the next call asks anew.
                    refuted = {n: x for n, x in doubted.items() if before.get(n) == x}
                    if fresh is not None:
                        self._bases[key] = base.answered(missing, refuted)
                    self._tell(key, refuted, is_over=not doubted and not base.refutes(items))
                    if len(refuted) < len(doubted):
                        break
                    return Joined(Symbol(key.name), found, "websocket", feed_clock(), age)
            # Asked after the acknowledgement: what REST does not tell yet comes on the tape.
            known = base if base is not None and base.tape is tape else Base(tape, {}, 0, 0.0)
            before, fresh = items, _fresh(known, ways, may_fail=is_enough)
            base = self._bases[key] = fresh or known._replace(looked_at=feed_clock())
            seen = look()
        asked_at = feed_clock() if fresh is None else fresh.asked_at
        fetched, now = ways.fetch() if fresh is None else fresh.items, feed_clock()
        return Joined(Symbol(key.name), fetched, "rest", now, now - asked_at)

    def _tell(self, key: Question, refuted: dict[int, Any], *, is_over: bool) -> None:
        """Say of a market that REST refutes some of what the stream tells, until there is none."""
        if is_over:
            self._told.has_healed(key)
        elif refuted and self._told.is_news(key):
            _log.warning(_REFUTED[key.channel], key.name)
