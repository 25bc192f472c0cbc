"""Two hosts, a shared store and Kraken, as small steps that any schedule may put in any order.

A pure model of a row that has crossed its threshold once: whatever happens, there must not be a
second order of it. What the hosts decide is decided by the program's own rooms; modelled are the
threads between them, the store and Kraken with their delays, and time. Each layer of the protection
can be taken away, and each weakness of Kraken's be given to it.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from tests.kits.hosts.memory_store import Fate, Line, MemoryStore
from ttslo_app.cluster.leadership import Observed, Signal, State, stands, state_after
from ttslo_app.cluster.records import Keys, Lead, lead_text, read_lead
from ttslo_app.cluster.store import Change, Entry, StoreUnreachable
from ttslo_app.messages import Sighting
from ttslo_app.orders.finder import Search, Verdict, after_look, after_silence, begin_search
from ttslo_app.orders.life import Life, OrderSettings, RuleState, arm, client_order_id
from ttslo_app.orders.life import Signal as Sign

_KEYS = Keys("model")
LEAD, BEAT, LIFE = _KEYS.lead, _KEYS.beat, _KEYS.life("row")
SETTINGS = OrderSettings()
PATIENCE = 3.0  # seconds of silence after which a host stands for election
READ_TIMEOUT = 10.0  # seconds that an answer of Kraken's is waited for
SHORTEST = 2.5  # seconds that a deadline must be away when its order is sent
TICK = 0.05  # seconds that a step takes
ARMED = arm(Life("row"), "as typed", "2026-11-26T12:00:00Z")

Pick = Callable[[int], int]  # returns a number below the one it is given
Steps = Generator[str, None, None]
Answer = frozenset[str] | Literal["nonce", "late", "duplicate", "placed"]


@dataclass(frozen=True, slots=True)
class Layers:
    """What protects from a second order, each of which can be taken away.

    Attributes:
        is_fenced: An intent is put only while the host leads, on the life that it knows.
        has_deadline: Kraken is told until when the order may be accepted.
        looks: How many looks must find nothing before an order is repeated.
        has_one_id: Whoever sends the order of an arming, it has the same client order id.
        has_nonces: Nonces come from the epoch; without, from the clock.
    """

    is_fenced: bool = True
    has_deadline: bool = True
    looks: int = 2
    has_one_id: bool = True
    has_nonces: bool = True


@dataclass(frozen=True, slots=True)
class Kind:
    """What Kraken is like.

    Attributes:
        window: How far below the highest nonce one is still taken.
        keeps_deadlines: Whether an order is refused after its deadline.
        queue: How long an order may wait behind the nonce check, in seconds.
        shows_within: How long an order may be missing from the books, in seconds.
        fills: Whether orders are filled at once: then no second one is refused for its id.
    """

    window: int = 0
    keeps_deadlines: bool = True
    queue: float = 0.0
    shows_within: float = 12.0
    fills: bool = True


@dataclass(slots=True)
class Mail:
    """A call of Kraken's on its way, and its answer once it is there."""

    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A private call: AddOrder with an id and a deadline, or a look at what stands."""

    nonce: int
    is_order: bool
    cl_ord_id: str = ""
    deadline: float = 0.0


class Kraken:
    """Takes calls in the order in which they arrive, checks nonces first and deadlines twice."""

    def __init__(self, kind: Kind, clock: World) -> None:
        self.kind, self._world = kind, clock
        self._used: set[int] = set()
        self._highest = 0
        self.orders: list[tuple[str, float]] = []  # id, and since when the books show it

    def arrive(self, request: Request, mail: Mail, *, is_heard: bool) -> None:
        """Take a call, and answer it if somebody can hear that."""
        answer = self._at_the_door(request)
        if answer is None and request.is_order:
            wait = self.kind.queue * (0.0, 0.0, 0.0, 0.25, 1.0)[self._world.pick(5)]
            hidden = self.kind.shows_within * self._world.pick(3) / 2
            self._world.at(wait, lambda: self._act(request, hidden, mail if is_heard else Mail()))
            return
        if answer is None:
            answer = frozenset(name for name, at in self.orders if at <= self._world.now)
        if is_heard:
            mail.answer = answer

    def _at_the_door(self, request: Request) -> Answer | None:
        nonce = request.nonce
        if nonce in self._used or nonce <= self._highest - self.kind.window:
            return "nonce"
        if not self.kind.window and nonce <= self._highest:
            return "nonce"
        self._used.add(nonce)
        self._highest = max(self._highest, nonce)
        return self._refused(request, 2.0)

    def _refused(self, request: Request, least: float) -> Answer | None:
        is_late = request.deadline and request.deadline < self._world.now + least
        return "late" if is_late and self.kind.keeps_deadlines else None

    def _act(self, request: Request, hidden: float, mail: Mail) -> None:
        answer = self._refused(request, 0.0)
        if answer is None and not self.kind.fills and request.cl_ord_id in dict(self.orders):
            answer = "duplicate"
        if answer is None:
            self.orders.append((request.cl_ord_id, self._world.now + hidden))
            answer = "placed"
        mail.answer = answer


class Host:
    """A program that follows, leads or steps down, one step at a time.

    Attributes:
        at: The step that it has come to.
        clock_error: Seconds that it takes Kraken's clock to be ahead.
    """

    def __init__(self, name: str, world: World, clock_error: float = 0.0) -> None:
        self.name, self.world, self.clock_error = name, world, clock_error
        self.line = Line(world.store)
        self.begin()

    def begin(self) -> None:
        """Begin as a new process, which has read the prices that the one before has missed."""
        self.state, self.at = State.FOLLOW, ""
        self._life, self._version = ARMED, 0
        self._search: Search | None = None
        self._lead = Lead(0, "", "", "")
        self._fenced = self._answered = 0  # versions of our lead, and of what was put last
        self._standing: frozenset[str] = frozenset()
        self._calls = self._clock_nonce = 0
        self._steps = self._run()

    def step(self) -> str:
        """Take one step, and return its name."""
        self.world.advance(TICK)
        self.at = next(self._steps)
        return self.at

    def give_away(self) -> None:
        """Give the lead away in the middle of whatever its order thread is at, which goes on."""
        if self.state in (State.FENCE, State.SETTLE, State.LEAD):
            nobody = lead_text(Lead(self._lead.epoch + 1, "", "", self.world.word()))
            with suppress(StoreUnreachable):
                self.line.commit(Change({LEAD: self._fenced}, {LEAD: nobody}))

    @property
    def is_settled(self) -> bool:
        """Whether it neither owes an order nor looks for one."""
        if self.state is not State.LEAD:
            return self.state in (State.FOLLOW, State.ASTRAY)
        return self._life.state is RuleState.PLACED

    def _signal(self, signal: Signal) -> None:
        self.state = state_after(self.state, signal)

    def _run(self) -> Steps:
        while True:
            yield from self._follow()
            yield from self._fence()
            if self.state is State.SETTLE:
                yield from self._settle()
            if self.state is State.LEAD:
                yield from self._lead_on()
            if self.state is State.ASTRAY:
                yield from self._stay_astray()
            self._life, self._version, self._search = ARMED, 0, None
            self._signal(Signal.READ)

    # --- who leads -----------------------------------------------------------------------------

    def _follow(self) -> Steps:
        observed: Observed | None = None
        known: Entry | None = None
        told: Lead | None = None  # what it says
        while True:
            yield "following"
            lead, beat = self.line.get(LEAD), self.line.get(BEAT)
            versions, now = (version_of(lead), version_of(beat)), self.world.now
            observed = observed.seen(*versions, now) if observed else Observed(*versions, now)
            if lead is not None and lead is not known:
                known, told = lead, read_lead(LEAD, lead.value)
            if not stands(observed, told, now, patience=PATIENCE, is_blind=False):
                continue
            mine = Lead(told.epoch + 1 if told else 1, self.name, "", self.world.word())
            rests_on = {LEAD: observed.lead, BEAT: observed.beat}
            yield "standing"
            if self._committed(Change(rests_on, {LEAD: lead_text(mine)})):
                self._lead, self._fenced, self._calls = mine, self._answered, 0
                self._signal(Signal.WIN)
                return

    def _committed(self, change: Change) -> bool | None:
        """Tell whether a change was done; None where nobody knows."""
        self.line.fates.append(_FATES[self.world.pick(len(_FATES))])
        try:
            answer = self.line.commit(change)
        except StoreUnreachable:
            return None
        self._answered = answer.version
        return answer.is_done

    def _fence(self) -> Steps:
        while True:
            mail = self._call()
            yield from self._wait_for(mail)
            if mail.answer == "nonce" and self.world.layers.has_nonces:
                self._contradicted()
                return
            if isinstance(mail.answer, frozenset):
                self._standing = mail.answer
                self._signal(Signal.FENCED)
                return

    def _contradicted(self) -> None:
        """Take in that Kraken has refused a nonce: another leads by now, or something is wrong."""
        is_mine = version_of(self.line.get(LEAD)) == self._fenced
        self._signal(Signal.CONTRADICTED if is_mine else Signal.DEPOSED)

    def _stay_astray(self) -> Steps:
        while version_of(self.line.get(LEAD)) == self._fenced:
            yield "astray"
        self._signal(Signal.ANOTHER)

    # --- what is under way ---------------------------------------------------------------------

    def _settle(self) -> Steps:
        yield "settling"
        found = self.line.get(LIFE)
        self._version = version_of(found)
        self._life = life = self.world.lives[found.value] if found else ARMED
        if not self.world.layers.has_one_id:
            own = client_order_id("row", 1, f"{self.name} {self._lead.epoch}")
            self._life = life = life._replace(cl_ord_id=own)
        if life.state is not RuleState.PLACED and life.cl_ord_id in self._standing:
            self._life = life = life._replace(state=RuleState.PLACED)
        if life.state is RuleState.INTENDED:
            self._life = life.after(Sign.LOSE)
        if self._life.is_unsettled:
            self._search_for()
        self._signal(Signal.TAKEN_UP)

    def _search_for(self, *, stands: bool = False) -> None:
        left = float(self._life.deadline) - self.kraken_now()
        search = begin_search(min(left, SETTINGS.deadline), self.world.now, SETTINGS)
        self._search = replace(search, stands=stands)

    def _look(self, search: Search) -> Steps:
        """Look for the order, or take it for not placed where nobody looks."""
        looks, began = self.world.layers.looks, self.world.now
        seen: Sighting | None = None
        if looks:
            mail = self._call()
            yield from self._wait_for(mail)
            if self._is_deposed(mail.answer):
                return
            if not isinstance(mail.answer, frozenset):
                self._search = after_silence(search, self.world.now, SETTINGS)
                return
            is_there = self._life.cl_ord_id in mail.answer
            seen = Sighting("O", "closed") if is_there else None
        now = self.world.now
        verdict, again = after_look(search, seen, now, SETTINGS, began)
        if verdict is Verdict.LOOK_AGAIN and looks > 1:
            self._search = again
            return
        self._search = None
        is_found = verdict is Verdict.FOUND
        yield from self._put(self._life.after(Sign.PLACE if is_found else Sign.MISS))

    # --- orders --------------------------------------------------------------------------------

    def _lead_on(self) -> Steps:
        """Beat, look for what is in doubt and place what is owed, until another leads."""
        while self.state is State.LEAD:
            yield "leading"
            beat = Change({LEAD: self._fenced}, {BEAT: self.world.word().encode()})
            if self._committed(beat) is False:
                self._signal(Signal.DEPOSED)
            elif self._search is not None and self._search.not_before <= self.world.now:
                yield from self._look(self._search)
            elif self._life.is_waiting:
                yield from self._fire()

    def _fire(self) -> Steps:
        yield "intending"
        yield from self._intend(Sign.INTEND)
        if self.state is not State.LEAD:
            return
        yield "intended"
        if float(self._life.deadline) - self.kraken_now() < SHORTEST:
            yield from self._intend(None)
            if self.state is not State.LEAD:
                return
        yield "sending"
        deadline = float(self._life.deadline) if self.world.layers.has_deadline else 0.0
        request = Request(self._nonce(), True, self._life.cl_ord_id, deadline)
        yield "signed"
        mail = self.world.send(request)
        yield from self._wait_for(mail)
        yield "answered"
        yield from self._take(mail.answer)

    def _intend(self, sign: Sign | None) -> Steps:
        """Write an intent down, or the same one with a later deadline."""
        life = self._life if sign is None else self._life.after(sign, sends=self._life.sends + 1)
        yield from self._put(life._replace(deadline=repr(self.kraken_now() + SETTINGS.deadline)))

    def _take(self, answer: Answer | None) -> Steps:
        if self._is_deposed(answer):
            return
        if answer == "placed":
            yield from self._put(self._life.after(Sign.PLACE))
        elif answer in ("late", "nonce"):
            yield from self._put(self._life.after(Sign.REFUSE))
        else:
            yield from self._put(self._life.after(Sign.LOSE))
            if self.state is State.LEAD:
                self._search_for(stands=answer == "duplicate")

    def _put(self, life: Life) -> Steps:
        """Put the life of the row, again and again until it is known what became of it."""
        is_fenced, known = self.world.layers.is_fenced, {LIFE: self._version}
        rests_on = {LEAD: self._fenced, **known} if is_fenced else {}
        value = self.world.word().encode()
        self.world.lives[value] = life
        change, is_done = Change(rests_on, {LIFE: value}), None
        while is_done is None:
            yield "putting"
            is_done = self._committed(change)
        if is_done:
            self._life, self._version = life, self._answered
        else:
            self._signal(Signal.DEPOSED)

    # --- calls of Kraken -----------------------------------------------------------------------

    def kraken_now(self) -> float:
        """Return what this host takes for Kraken's clock."""
        return self.world.now + self.clock_error

    def _nonce(self) -> int:
        self._calls += 1
        if self.world.layers.has_nonces:
            return self._lead.nonce_base + self._calls
        self._clock_nonce = max(int(self.world.now * 1e9), self._clock_nonce + 1)
        return self._clock_nonce

    def _call(self) -> Mail:
        return self.world.send(Request(self._nonce(), False))

    def _wait_for(self, mail: Mail) -> Steps:
        began = self.world.now
        while mail.answer is None and self.world.now < began + READ_TIMEOUT:
            yield "waiting"

    def _is_deposed(self, answer: Answer | None) -> bool:
        """Tell whether Kraken has refused a nonce of the epoch, and step down if so."""
        if answer != "nonce" or not self.world.layers.has_nonces:
            return False
        self._contradicted()
        return True


def version_of(entry: Entry | None) -> int:
    """Return the version of an entry; 0 of none."""
    return entry.version if entry else 0


# Steps between which a pause is worst: what is decided is not sent yet, or not written down.
_CRITICAL = frozenset({"intending", "intended", "sending", "signed", "answered", "standing"})
# What becomes of changes: the first is the usual one.
_FATES = (*(Fate.ANSWERED,) * 5, Fate.LOST, Fate.NEVER, Fate.LATE, Fate.TWICE)


class World:
    """Both hosts, the store, Kraken, and the time that all of them live in.

    Args:
        pick: Decides what is left to chance: returns a number below the one that it is given, and
            0 for what is usual.
    """

    def __init__(self, layers: Layers, kind: Kind, pick: Pick) -> None:
        self.layers, self.pick = layers, pick
        self.now = 1_000_000.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count(1)
        self.store = MemoryStore()
        self.lives: dict[bytes, Life] = {}
        self.kraken = Kraken(kind, self)
        self.hosts = (Host("a", self, -0.5), Host("b", self, 0.5))

    @property
    def count(self) -> int:
        """How many orders were placed for the one crossing."""
        return len(self.kraken.orders)

    def word(self) -> str:
        """Return a word that nobody else has written."""
        return f"word {next(self._numbers)}"

    def at(self, wait: float, do: Callable[[], None]) -> None:
        """Do something later."""
        heapq.heappush(self._events, (self.now + wait, next(self._numbers), do))

    def advance(self, seconds: float) -> None:
        """Let time pass, and happen what falls into it."""
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            self.now, _, do = heapq.heappop(self._events)
            do()
        self.now = end

    def send(self, request: Request) -> Mail:
        """Let a call go out to Kraken: it may be slow on its way, and its answer may be lost."""
        mail, fate = Mail(), self.pick(12)
        transit = {10: 2.0, 11: 8.0}.get(fate, 0.0)
        self.at(transit, lambda: self.kraken.arrive(request, mail, is_heard=fate not in (8, 9)))
        return mail

    # --- schedules -----------------------------------------------------------------------------

    def play(self, rounds: int) -> None:
        """Let hosts run, pause, die, begin again and hand over, and time pass, as it is picked."""
        for _ in range(rounds):
            first, other = self.hosts[:: (1, -1)[self.pick(2)]]
            for _ in range(1 + self.pick(12)):
                # Where it would hurt most to be paused it is paused more often.
                if first.step() in _CRITICAL and self.pick(4) > 1:
                    break
            trouble = self.pick(13)
            if trouble < 6:
                self.advance((0.0, 0.0, 0.0, 1.0, 3.0, 6.0)[trouble])
            elif trouble < 9:
                self.alone(other, (trouble - 5) * 8.0)
            elif trouble < 11:
                first.line.deliver()
            elif trouble < 12:
                first.begin()
            else:
                first.give_away()

    def alone(self, host: Host, seconds: float, idle: float = 1.0) -> None:
        """Let one host go on while the other is paused; `idle` seconds between its duties."""
        until = self.now + seconds
        while self.now < until:
            # It waits for nothing while it has something to do.
            self.advance(idle if host.step() in ("following", "leading") else 0.0)

    def end(self) -> None:
        """Let nothing go wrong any more, until both hosts have had the time to place an order."""
        self.pick = lambda below: 0
        for _ in range(600):
            for host in self.hosts:
                host.step()
            self.advance(0.2)
            if self.count and all(one.is_settled for one in self.hosts):
                return
