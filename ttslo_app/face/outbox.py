"""What is sent to one address of a person, and when: each fact once, a flood as one message.

Pure: sentences come in with the moment, messages come out, and what became of them is told. What it
must never do: pass over an order or a row that is not protected without a word, grow without bound,
or say anything that the program has not said.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from krakenlink.numbers import doubled
from ttslo_app.clocks import clock_time
from ttslo_app.messages import Kind, Said


class Level(StrEnum):
    """Of what an address is told."""

    ORDERS = "orders"  # what becomes of orders, start and stop, and where a person must act
    WARNINGS = "warnings"  # also what is out of order, and what is well again, and the digest
    ALL = "all"  # also which rows are armed


# What happens to orders, and whether anybody is there to place one.
_OF_ORDERS = frozenset(
    {
        *(Kind.PLACED, Kind.FILLED, Kind.ENDED, Kind.REFUSED, Kind.UNCERTAIN, Kind.NOT_PLACED),
        *(Kind.WAITING, Kind.LATE, Kind.CROSSED_BLIND, Kind.CROSSED_BEFORE, Kind.START, Kind.STOP),
    }
)
# Of these an INFO is no news for who wants warnings; of all others it says that something healed.
_MERE_NEWS = frozenset({Kind.ARMED, Kind.STANDING, Kind.OTHER})

# Seconds. What belongs together is said within a moment, and is one message.
GATHER = 1.0
# Between two messages to one address; doubled while each tells much, or many were sent of late.
GAP, LONGEST_GAP = 1.0, 60.0
URGENT_GAP = 10.0  # the longest that a message waits in which a person must act
# So many facts at once are much, and so many messages in a minute are many: services count, too.
FLOOD, OFTEN = 3, 10
# Between two tells of the same fact; doubled each time, and begun anew after a quiet time.
REPEAT, LONGEST_REPEAT, QUIET = 300.0, 14_400.0, 21_600.0
# Between two tries of a message that could not be sent.
RETRY, LONGEST_RETRY = 5.0, 600.0
# Facts that wait for one address; beyond it the least urgent are only counted.
MOST_FACTS = 500
# Facts that are remembered as told.
_MOST_KEYS = 1_000
# A message of Pushover has 1,024 characters; longer ones are hardly read on a telephone.
LONGEST_BODY = 1_000
_LONGEST_FACT = 400
# The outcome of a send may be unknown so often; then its facts are given up, and counted.
_MOST_TRIES = 2


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing to tell.

    Attributes:
        said: What the program said.
        number: Where it stands in the order in which things were said: a clock may be set back.
        note: What the user noted beside the row.
        times: How often the same was said since it was last told.
        since: When the first of them was said, in seconds since 1970.
        tries: How often it left for the address without anybody knowing whether it arrived.
    """

    said: Said
    number: int
    note: str = ""
    times: int = 1
    since: float = 0.0
    tries: int = 0

    @property
    def urgency(self) -> int:
        """How much it matters: 2 a person must act, 1 it is of an order, 0 all else."""
        return 2 if self.said.level == "ERROR" else 1 if self.said.kind in _OF_ORDERS else 0

    @property
    def line(self) -> str:
        """The fact as one line, with its moment."""
        text = f"{clock_time(self.said.at)} {self.said.text}"
        if self.times > 1:
            text += f" ({self.times} times since {clock_time(self.since)})"
        if self.tries:
            text += " (may have been told before)"
        if len(text) > _LONGEST_FACT:
            text = f"{text[: _LONGEST_FACT - 3]}..."
        return f"{text}\nNote: {self.note}" if self.note else text


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message on its way.

    Attributes:
        title: Its headline, with what the run is where it is not for real money.
        body: Its lines.
        level: The worst of what is in it.
        is_good: Whether it tells of an order that was placed or filled, and of nothing bad.
        facts: What it tells.
        unlisted: How many more it only counts, by kind.
    """

    title: str
    body: str
    level: str
    is_good: bool
    facts: tuple[Fact, ...]
    unlisted: Mapping[Kind, int]


@dataclass(slots=True)
class _Told:
    """When a fact was told, and what was said of it since."""

    next_at: float
    pause: float
    last_at: float
    held: Fact | None = None


class Outbox:
    """What one address is told. For one thread; all moments are on one monotonic clock.

    Args:
        level: Of what it is told.
        mark: What the run is, such as `DRY RUN`; empty for real money.
    """

    def __init__(self, level: Level, mark: str = "") -> None:
        self._level = level
        self._mark = mark
        self._told: OrderedDict[object, _Told] = OrderedDict()
        # By urgency; and how many were too many, by kind.
        self._waiting: tuple[deque[Fact], ...] = (deque(), deque(), deque())
        self._uncounted: Counter[Kind] = Counter()
        self._open: set[Kind] = set()
        self._send_at: float | None = None
        self._not_before = 0.0
        self._gap = GAP
        self._recent: deque[float] = deque(maxlen=OFTEN)
        self._failures = 0
        self._lost = 0
        self._number = 0

    # --- what comes in -------------------------------------------------------------------------

    def take(self, said: Said, note: str, now: float) -> None:
        """Take what was said, if this address is to be told of it."""
        if not self._wants(said):
            return
        self._number += 1
        fact, key = Fact(said, self._number, note, since=said.at), _key_of(said)
        told = self._told.get(key)
        if told is None or (now >= told.next_at and told.held is None):
            pause = REPEAT
            if told is not None and now - told.last_at < QUIET:
                pause = min(told.pause * 2, LONGEST_REPEAT)
            self._remember(key, _Told(now + pause, pause, now))
            self._put(fact, now)
            return
        told.last_at = now
        held = told.held
        told.held = fact if held is None else replace(fact, times=held.times + 1, since=held.since)

    def missed(self, count: int, now: float) -> None:
        """Note that so much was said which nobody here has heard."""
        self._uncounted[Kind.OTHER] += count
        self._wake(now)

    def _wants(self, said: Said) -> bool:
        """Tell whether this address is to be told; what was an error is told until it is over."""
        if said.level == "DEBUG":
            return False
        if said.level == "ERROR":
            self._open.add(said.kind)
            return True
        was_open = said.kind in self._open
        self._open.discard(said.kind)
        if said.kind in _OF_ORDERS or was_open or self._level is Level.ALL:
            return True
        is_news = said.level == "WARNING" or said.kind not in _MERE_NEWS
        return self._level is Level.WARNINGS and is_news

    def _remember(self, key: object, told: _Told) -> None:
        self._told[key] = told
        self._told.move_to_end(key)
        while len(self._told) > _MOST_KEYS:
            _, oldest = self._told.popitem(last=False)
            if oldest.held is not None:
                self._put(oldest.held, oldest.next_at)

    def _put(self, fact: Fact, now: float) -> None:
        self._waiting[fact.urgency].append(fact)
        self._thin()
        self._wake(now)
        if fact.urgency == 2 and self._send_at is not None and not self._failures:
            soon = max(now + GATHER, self._not_before - self._gap + URGENT_GAP)
            self._send_at = min(self._send_at, soon)

    def _thin(self) -> None:
        while sum(map(len, self._waiting)) > MOST_FACTS:
            least = next(filter(None, self._waiting))
            self._uncounted[least.popleft().said.kind] += 1

    def _wake(self, now: float) -> None:
        if self._send_at is None:
            self._send_at = max(now + GATHER, self._not_before)

    # --- what goes out -------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many facts wait to be sent."""
        return sum(map(len, self._waiting)) + self._uncounted.total()

    def due_at(self) -> float | None:
        """Return when there is something to send; None while there is nothing."""
        moments = [told.next_at for told in self._told.values() if told.held is not None]
        repeat = max(min(moments), self._not_before) if moments else None
        if self._send_at is None or repeat is None:
            return repeat if self._send_at is None else self._send_at
        return min(self._send_at, repeat)

    def parcel(self, now: float, *, is_ending: bool = False) -> Parcel | None:
        """Return what is to be sent now, None if nothing is. Tell what became of it afterwards.

        Args:
            now: The moment.
            is_ending: Whether this is the last time: then nothing waits for its pause.
        """
        due = self.due_at()
        if due is None or (now < due and not is_ending):
            return None
        self._release(now, is_ending=is_ending)
        facts = sorted((f for one in self._waiting for f in one), key=lambda fact: fact.number)
        unlisted = Counter(self._uncounted)
        for one in self._waiting:
            one.clear()
        self._uncounted.clear()
        self._send_at = None
        if not facts and not unlisted:
            return None
        is_often = len(self._recent) == OFTEN and now - self._recent[0] < 60
        is_much = len(facts) + unlisted.total() >= FLOOD or is_often
        self._gap = min(self._gap * 2, LONGEST_GAP) if is_much else GAP
        self._recent.append(now)
        self._not_before = now + self._gap
        return _parcel(facts, unlisted, self._mark, self._take_lost())

    def _release(self, now: float, *, is_ending: bool) -> None:
        """Let what was said again be told whose pause is over, and all of its kind with it."""
        kinds = {
            told.held.said.kind
            for told in self._told.values()
            if told.held is not None and (is_ending or now >= told.next_at)
        }
        for told in self._told.values():
            if told.held is not None and told.held.said.kind in kinds:
                self._waiting[told.held.urgency].append(told.held)
                told.held = None
                told.pause = min(told.pause * 2, LONGEST_REPEAT)
                told.next_at = now + told.pause
        self._thin()

    def _take_lost(self) -> int:
        lost, self._lost = self._lost, 0
        return lost

    # --- what became of it ---------------------------------------------------------------------

    def sent(self) -> None:
        """Note that the last parcel has arrived."""
        self._failures = 0

    def failed(self, parcel: Parcel, now: float, *, is_unknown: bool) -> None:
        """Note that a parcel has not arrived, or that nobody knows; it is sent again later."""
        wait = doubled(RETRY, self._failures, LONGEST_RETRY)
        self._failures += 1
        self._not_before = now + wait
        for fact in reversed(parcel.facts):
            tries = fact.tries + is_unknown
            if tries < _MOST_TRIES:
                self._waiting[fact.urgency].appendleft(replace(fact, tries=tries))
            else:
                self._lost += 1
        self._uncounted.update(parcel.unlisted)
        self._thin()
        has_any = any(self._waiting) or self._uncounted or self._lost
        self._send_at = self._not_before if has_any else None


_NUMBER = re.compile(r"\d[\d.,:]*")


def _key_of(said: Said) -> object:
    """Return what makes two sentences the same fact.

    Of trouble the figures in it, such as for how long it lasts, make no new fact; each event of an
    order is one of its own.
    """
    text = said.text if said.kind in _OF_ORDERS else _NUMBER.sub("#", said.text)
    return said.kind, said.row, text


def _parcel(facts: list[Fact], unlisted: Counter[Kind], mark: str, lost: int) -> Parcel:
    shown, left = _listed(facts)
    rest = Counter(unlisted)
    rest.update(fact.said.kind for fact in left)
    lines = [fact.line for fact in shown]
    if rest:
        lines.append(f"and {rest.total():,} more that are in the log: {_counted(rest)}")
    if lost:
        lines.append(f"{lost:,} earlier messages may not have arrived; the log has them")
    levels = {fact.said.level for fact in facts}
    level = next((one for one in ("ERROR", "WARNING") if one in levels), "INFO")
    kinds = Counter(unlisted)
    kinds.update(fact.said.kind for fact in facts)
    name = f"TTSLO {mark}".rstrip()
    return Parcel(
        f"{name}: {_headline(facts, kinds)}",
        "\n".join(lines),
        level,
        level == "INFO" and not kinds.keys() - {Kind.PLACED, Kind.FILLED},
        tuple(facts),
        unlisted,
    )


def _listed(facts: list[Fact]) -> tuple[list[Fact], list[Fact]]:
    """Return the facts that fit into a message, most urgent first to come in, and the others."""
    room, chosen = LONGEST_BODY - 150, set[int]()
    for place in sorted(range(len(facts)), key=lambda n: -facts[n].urgency):
        size = len(facts[place].line) + 1
        if size <= room or not chosen:
            room -= size
            chosen.add(place)
    shown = [fact for place, fact in enumerate(facts) if place in chosen]
    return shown, [fact for place, fact in enumerate(facts) if place not in chosen]


def _headline(facts: list[Fact], kinds: Counter[Kind]) -> str:
    if len(facts) == 1 and kinds.total() == 1:
        (fact,) = facts
        return f"{fact.said.kind} ({fact.said.row})" if fact.said.row else str(fact.said.kind)
    return _counted(kinds)


def _counted(kinds: Mapping[Kind, int]) -> str:
    """Return how many there are of each kind, most first."""
    ordered = sorted(kinds.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(f"{count:,} {kind}" if count > 1 else str(kind) for kind, count in ordered)


@dataclass(slots=True)
class Day:
    """What happened since the last daily digest.

    Attributes:
        counts: How often each kind was said that a digest tells of.
        warnings: How many warnings and errors there were.
    """

    counts: Counter[Kind] = field(default_factory=Counter)
    warnings: int = 0

    def take(self, said: Said) -> None:
        """Count what was said."""
        self.warnings += said.level in ("WARNING", "ERROR")
        if said.kind in (Kind.PLACED, Kind.FILLED, Kind.ENDED, Kind.REFUSED, Kind.UNCERTAIN):
            self.counts[said.kind] += 1

    def told(self) -> str:
        """Return it in words, and begin anew."""
        text = _counted(self.counts) or "no order"
        text += f"; {self.warnings:,} warnings" if self.warnings else ""
        self.counts, self.warnings = Counter(), 0
        return text
