"""The one room in which crossings wait for their order, why each does, and the gate of the key.

Pure: the order thread says what happened and when. A crossing stands here from the moment it is
taken up until it is certain what became of its order, or that it has none to come; so whatever
breaks off on the way, nobody is forgotten. What must never happen here: that a rule stands twice,
or that a crossing grows younger because it was tried again.

Kraken counts orders per pair, and calls per key; the counts fall with time, how fast depends on
the account, and an order beyond them is refused and certainly not placed. A refusal for the pace
therefore closes a gate: whoever comes later stands behind the one that was refused, one at a time
is let through, and nobody is forgotten because the price has gone back meanwhile.

Trouble of a key or an account is no row's own. It stops all of them, and each call with a refused
key is one step towards a lockout, so one question is asked after minutes, whoever waits. What must
never happen: that a crossing goes out with a key that was just refused, or that the key's gate
stays shut without anybody asking.

Sources: Kraken, "API rate limits" and "trading rate limits": the slowest account regains one order
a second on each pair; "EGeneral:Temporary lockout": 15 minutes, and longer for whoever goes on
(read 2026-11).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto

from krakenlink.numbers import doubled
from krakenlink.rest.verdicts import Pause
from ttslo_app.messages import Crossing
from ttslo_app.orders.life import OrderSettings

# One order a second is what the slowest account regains, and a little for its rounding.
ORDER_GAP = 1.05
# Refused again: calling on prolongs some of Kraken's pauses.
_FIRST_WAIT, _LONGEST_WAIT = 2.0, 60.0
_NEVER = float("inf")
# So often in a row an order may come too late without losing its place in line.
_TURNS_KEPT = 3


class Why(Enum):
    """Why a crossing has no order yet."""

    IN_HAND = auto()  # it is being worked on; here so that no error can lose it
    SETTLING = auto()  # an order from before the start is looked up first
    DISK = auto()  # its intent cannot be written down
    ROW = auto()  # its row is not in config.csv just now; somebody may be saving it
    HEALING = auto()  # its order cannot be placed now, and may be later
    PACE = auto()  # Kraken takes no more orders for now: it stands in line
    KEY = auto()  # Kraken refuses the key
    GROUP = auto()  # another row of its group is at it
    FOLLOWING = auto()  # another host leads, and places its order


# What waits for something else than a moment: nothing but the memory knows of these.
_PRESSING = (Why.SETTLING, Why.DISK, Why.PACE, Why.FOLLOWING)
# What was told that it is tried again, and for how long.
_TOLD = (Why.IN_HAND, Why.ROW, Why.HEALING)


@dataclass(frozen=True, slots=True)
class Wait:
    """A crossing that waits.

    Attributes:
        since: When it was seen, in seconds of the monotonic clock, as `at` is.
        at: When it falls due; infinite where something else than time decides that.
    """

    crossing: Crossing
    since: float
    why: Why
    at: float = _NEVER

    @property
    def is_told(self) -> bool:
        """Whether it has been said already what becomes of it once it is old."""
        return self.why in _TOLD

    def is_young(self, now: float, settings: OrderSettings) -> bool:
        """Tell whether its order is placed whatever the price is by now."""
        most = settings.in_line if self.why is Why.PACE else settings.owed
        return now - self.since <= most


@dataclass(slots=True)
class _Gate:
    opens_at: float
    refusals: int = 0


_Name = tuple[Pause, str]


class Owed:
    """Every crossing that waits, by rule id, in the order in which they came.

    For one thread. All times are seconds of one monotonic clock.

    Attributes:
        key: The gate before every call with the trading key.
    """

    def __init__(self, settings: OrderSettings) -> None:
        self.key = KeyGate()
        self._settings = settings
        self._waits: dict[str, Wait] = {}
        self._gates: dict[_Name, _Gate] = {}
        # How often in a row the order of a rule was refused; outlives the crossing.
        self._refusals: dict[str, int] = {}
        # How often in a row it was sent to no avail, and from when on it may be sent again.
        self._doubts: dict[str, tuple[int, float]] = {}

    def __iter__(self) -> Iterator[Wait]:
        return iter(list(self._waits.values()))

    def __contains__(self, rule_id: object) -> bool:
        return rule_id in self._waits

    # --- coming and going --------------------------------------------------------------------

    def take(self, crossing: Crossing, now: float) -> Crossing:
        """Begin with a crossing; return it with the moment from which on its age counts.

        Further crossings of a rule that waits are the same crossing: it is as old as the first.
        """
        known = self._waits.get(crossing.key)
        own = now if crossing.seen_at is None else crossing.seen_at
        since = own if known is None else min(known.since, own)
        taken = crossing if since == crossing.seen_at else replace(crossing, seen_at=since)
        at = now + self._settings.refusal_wait
        self._waits[crossing.key] = Wait(taken, since, Why.IN_HAND, at)
        return taken

    def wait(self, crossing: Crossing, why: Why, at: float = _NEVER) -> None:
        """Let a crossing that was taken wait."""
        self._waits[crossing.key] = Wait(crossing, _seen_at(crossing), why, at)

    def refuse(self, crossing: Crossing, now: float, *, is_slow: bool = False) -> None:
        """Let a crossing wait whose order cannot be placed now, longer with each time in a row.

        Args:
            crossing: The crossing.
            now: The present moment.
            is_slow: Whether what heals it takes hours, so that no haste helps.
        """
        count = self._refusals[crossing.key] = self._refusals.get(crossing.key, 0) + 1
        wait = self._settings.refusal_wait_max
        if not is_slow:
            wait = refusal_wait(count, self._settings)
        self.wait(crossing, Why.HEALING, now + wait)

    def overdue(self, crossing: Crossing, now: float) -> None:
        """Let a crossing whose order came too late for its deadline be tried again.

        The first time at once, as what held it up is over mostly, and was no trouble of its own: a
        few times it stays before those that stand in line behind it.
        """
        count = self._refusals[crossing.key] = self._refusals.get(crossing.key, 0) + 1
        if count <= _TURNS_KEPT and self.is_closed(crossing.pair):
            self.stand_first(crossing)
            return
        rest = refusal_wait(count - 1, self._settings) if count > 1 else 0.0
        self.wait(crossing, Why.HEALING, now + rest)

    def doubt(self, rule_id: str, now: float) -> float:
        """Note that an order was sent and none stands; return when the next may be sent.

        The first time that is at once: most answers that are lost are lost once.
        """
        count = self._doubts.get(rule_id, (0, now))[0] + 1
        rest = refusal_wait(count - 1, self._settings) if count > 1 else 0.0
        self._doubts[rule_id] = (count, now + rest)
        return now + rest

    def rests_until(self, rule_id: str) -> float:
        """Return from when on the order of a rule may be sent; 0 where nothing speaks against."""
        return self._doubts.get(rule_id, (0, 0.0))[1]

    def stand_first(self, crossing: Crossing) -> None:
        """Let a crossing that Kraken refused for its pace stand in line before all others."""
        self._waits.pop(crossing.key, None)
        first = Wait(crossing, _seen_at(crossing), Why.PACE)
        self._waits = {crossing.key: first, **self._waits}

    def keep_all(self, why: Why) -> None:
        """Let everybody who waits wait for this instead; each keeps its place and its age."""
        self._waits = {i: replace(one, why=why, at=_NEVER) for i, one in self._waits.items()}

    def settle(self, rule_id: str) -> Wait | None:
        """Let nobody of that id wait any more: its order is another's business, or there is none.

        Returns:
            What was waiting.
        """
        return self._waits.pop(rule_id, None)

    def begin_anew(self, rule_id: str) -> None:
        """Forget how often the rule was refused, and how often its order was in doubt."""
        self._refusals.pop(rule_id, None)
        self._doubts.pop(rule_id, None)

    def grown_old(self, crossings: Iterable[Crossing], now: float) -> list[Wait]:
        """Return those of some crossings, just taken, that waited too long to be taken up.

        It was told of none of them what becomes of it.
        """
        seen = [(one, _seen_at(one)) for one in crossings]
        most = self._settings.owed
        return [Wait(one, since, Why.SETTLING) for one, since in seen if now - since > most]

    # --- who waits ---------------------------------------------------------------------------

    def since(self, rule_id: str) -> float | None:
        """Return when the crossing of a rule that waits was seen; None where none waits."""
        wait = self._waits.get(rule_id)
        return None if wait is None else wait.since

    def has(self, rule_id: str, *reasons: Why) -> bool:
        """Tell whether a rule waits for one of `reasons`."""
        wait = self._waits.get(rule_id)
        return wait is not None and wait.why in reasons

    def is_held_back(self, rule_id: str, now: float) -> bool:
        """Tell whether a rule still waits for its next try."""
        wait = self._waits.get(rule_id)
        if wait is None or wait.why in (Why.SETTLING, Why.DISK):
            return False
        if wait.why is Why.KEY:
            return self.key.is_shut and not self.key.is_due(now)
        return wait.why is Why.PACE or wait.at > now

    @property
    def is_pressing(self) -> bool:
        """Whether somebody waits that a program which ends should wait for."""
        return any(wait.why in _PRESSING for wait in self._waits.values())

    def has_unwritten(self, is_written: Callable[[str], bool]) -> bool:
        """Tell whether a crossing is known to the memory alone.

        `is_written` tells whether state.csv holds the crossing of a rule.
        """
        return any(
            wait.why in _PRESSING or not is_written(rule_id)
            for rule_id, wait in self._waits.items()
        )

    def count(self, why: Why) -> int:
        """Return how many wait for that reason."""
        return sum(wait.why is why for wait in self._waits.values())

    # --- whose turn it is --------------------------------------------------------------------

    def due(self, now: float, *, is_settling: bool, is_disk_bad: bool) -> Iterator[Wait]:
        """Yield those whose turn it is, in their order; they stay until they are taken.

        Of those in line at most one for each gate, and the next not before `ORDER_GAP`; what
        becomes of one may close the gate of the next. A gate that nobody waits for is taken down.

        Args:
            now: The present moment.
            is_settling: Whether an order from before the start is still looked up.
            is_disk_bad: Whether intents cannot be written down.
        """
        shut = set(_PRESSING) if is_settling else {Why.DISK} if is_disk_bad else set()
        for wait in list(self._waits.values()):
            is_there = self._waits.get(wait.crossing.key) is wait
            if is_there and wait.why not in shut and self._is_due(wait, now):
                yield wait
        for name in self._idle_gates():
            if self._gates[name].opens_at <= now:
                del self._gates[name]

    def _is_due(self, wait: Wait, now: float) -> bool:
        if wait.why is Why.KEY:
            return not self.key.is_shut
        if wait.why is Why.GROUP:
            return False  # it is let go as soon as that one is settled
        if wait.why is Why.PACE:
            return not self.key.is_shut and self._let_through(wait.crossing.pair, now)
        return wait.why in _PRESSING or wait.at <= now

    def next_at(self) -> float | None:
        """Return when time alone makes somebody due; None while there is nobody."""
        moments = [self._gates[name].opens_at for name in self._idle_gates()]
        moments += [wait.at for wait in self._waits.values() if wait.why not in _PRESSING]
        for pair in self._pairs_in_line():
            gates = (self._gates.get(name) for name in _gates_of(pair))
            moments.append(max((gate.opens_at for gate in gates if gate), default=0.0))
        return min(moments, default=None)

    # --- Kraken's pace -----------------------------------------------------------------------

    def is_closed(self, pair: str) -> bool:
        """Tell whether a crossing of `pair` has to stand in line."""
        return bool(self._gates) and any(gate in self._gates for gate in _gates_of(pair))

    def close(self, pair: str, pause: Pause, now: float) -> None:
        """Note that Kraken refused an order of `pair` for its pace."""
        gate = self._gates.setdefault((pause, pair if pause is Pause.PAIR else ""), _Gate(now))
        gate.refusals += 1
        gate.opens_at = now + doubled(_FIRST_WAIT, gate.refusals - 1, _LONGEST_WAIT)

    def passed(self, pair: str) -> None:
        """Note that Kraken took an order of `pair`."""
        for name in _gates_of(pair):
            if name in self._gates:
                self._gates[name].refusals = 0

    def _let_through(self, pair: str, now: float) -> bool:
        gates = [self._gates[name] for name in _gates_of(pair) if name in self._gates]
        if any(gate.opens_at > now for gate in gates):
            return False
        for gate in gates:
            gate.opens_at = now + ORDER_GAP
        return True

    def _pairs_in_line(self) -> set[str]:
        return {w.crossing.pair for w in self._waits.values() if w.why is Why.PACE}

    def _idle_gates(self) -> list[_Name]:
        """Return the gates that nobody waits for."""
        needed = {name for pair in self._pairs_in_line() for name in _gates_of(pair)}
        return [name for name in self._gates if name not in needed]


def _gates_of(pair: str) -> tuple[_Name, _Name]:
    return (Pause.PAIR, pair), (Pause.ACCOUNT, "")


def _seen_at(crossing: Crossing) -> float:
    assert crossing.seen_at is not None  # `take` sees to that
    return crossing.seen_at


def refusal_wait(refusals: int, settings: OrderSettings) -> float:
    """Return the pause before a refused rule may try again, after so many refusals in a row."""
    return doubled(settings.refusal_wait, refusals - 1, settings.refusal_wait_max)


# In seconds. A lockout is waited out, and a minute more.
FIRST_WAIT, LONGEST_WAIT = 60.0, 600.0


LOCKOUT_WAIT = 960.0


OF_KEY = (Pause.KEY, Pause.LOCKOUT)


class KeyGate:
    """Whether the key may be used. For one thread; any other may read `is_shut`.

    All times are seconds of one monotonic clock.
    """

    def __init__(self) -> None:
        self._refusals = 0
        self._asks_at: float | None = None

    @property
    def is_shut(self) -> bool:
        """Whether the key was refused, and not taken since. Any thread."""
        return self._asks_at is not None

    def next_at(self) -> float | None:
        """Return when to ask whether the key is taken again; None while it is."""
        return self._asks_at

    def is_due(self, now: float) -> bool:
        """Tell whether it is time to ask."""
        return self._asks_at is not None and now >= self._asks_at

    def shut(self, pause: Pause, now: float) -> None:
        """Note that Kraken refused the key, or all who call from here."""
        wait = doubled(FIRST_WAIT, self._refusals, LONGEST_WAIT)
        self._refusals += 1
        self._asks_at = now + (LOCKOUT_WAIT if pause is Pause.LOCKOUT else wait)

    def put_off(self, now: float) -> None:
        """Note that Kraken could not be asked, which says nothing of the key."""
        self._asks_at = now + FIRST_WAIT

    def reopen(self) -> None:
        """Note that Kraken took the key for a question; refused again, the wait grows on."""
        self._asks_at = None

    def passed(self) -> None:
        """Note that Kraken judged an order by itself: the key is well."""
        self._asks_at, self._refusals = None, 0
