"""The threads of a host that leads an account, or stands by for it.

One watches the store, one tells it that this host lives, one decides by the table in `leadership`.
The program is commanded through a face of six words and never waits for these threads: a crossing
meets a door that is open or shut. What must never happen here: that the door opens before Kraken
refuses everybody who led before, or stays open a moment longer than this host knows of another.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime

from krakenlink.machine import feed_clock
from krakenlink.once import Once
from ttslo_app.cluster import words
from ttslo_app.cluster.copy import Copy
from ttslo_app.cluster.crew import Crew, Fencing, Part, Witness
from ttslo_app.cluster.leadership import (
    Observed,
    Others,
    Signal,
    Stamp,
    State,
    claimed,
    halted,
    stands,
    state_after,
    vacated,
)
from ttslo_app.cluster.pulse import Pulse
from ttslo_app.cluster.records import Changed, Lead
from ttslo_app.cluster.sight import Age, Lookout, Sight, Silence
from ttslo_app.cluster.store import Change, Entry, Store, StoreError
from ttslo_app.messages import Say, Sentence, tell

_log = logging.getLogger(__name__)

# Seconds. A host tells this often that it lives.
BEAT = 0.5
# The longest that one call to the store may take while nothing hangs on it but this thread.
_PATIENCE = 2.0
# The driver looks this often at what nobody wakes it for; while it takes over, crossings wait.
_LOOK, _LOOK_SOON = 0.1, 0.005
# So long a host leaves the lead to each one that comes before it for this account.
_STEP = 0.5
# An order thread that has not taken up what was under way after so long has met a defect: with a
# hundred thousand rows it takes seconds.
_TAKES_UP = 60.0
# Whoever has handed over lets the others go first so long, at most.
_REST = 3.0


class Session:
    """Leads an account, or stands by for it, until `stop`.

    Args:
        store: What all hosts share.
        copy: The account as this host knows it; kept up to date here.
        part: Who this host is.
        crew: The program.
        witness: What this host remembers of the store.
        say: Takes a level and a sentence for a person.

    Attributes:
        state: What this host is. Any thread.
        others: The other hosts, as far as they are heard.
    """

    def __init__(
        self, store: Store, copy: Copy, part: Part, crew: Crew, witness: Witness, say: Say
    ) -> None:
        self.state = State.FOLLOW
        self._store, self._copy, self._part, self._crew = store, copy, part, crew
        self._keys, self._say = part.keys, say
        self._observed = Observed(-1, -1, feed_clock())
        self._lead: Lead | None = None  # our own, while we lead
        self._fence = 0  # its version
        self._is_read = threading.Event()  # whether the store was read since the start
        self._is_refused = False  # whether another lead was seen in our place
        self._posted_at: float | None = None  # when the order thread was told to take up
        self._rests_until = 0.0
        self._age = Age(witness)
        self._silence, self._lookout = Silence(feed_clock()), Lookout()
        self._pulse = Pulse(store, part, crew, self._silence, self._age, self._out_of_beat)
        self.others = Others(self._keys.host(part.name), part.patience)
        self._once = Once()
        self._stopping, self._wake = threading.Event(), threading.Event()
        works = (("store", self._watch), ("beat", self._beat), ("standby", self._decide))
        self._threads = [_thread(name, work, self._stopping) for name, work in works]

    # --- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads; whoever leads gives the lead back, so that nobody waits for it. Blocks.

        To be called once the order thread has ended.
        """
        self._stopping.set()
        self._wake.set()
        for thread in self._threads:
            thread.join(2 * _PATIENCE)
        self._crew.cut()
        change = Change({}, {}, (self._keys.host(self._part.name),))
        with suppress(StoreError):
            if self.state in (State.LEAD, State.SETTLE, State.FENCE):
                self._vacate()
            self._store.commit(change, patience=_PATIENCE)

    # --- the store, as it is heard -------------------------------------------------------------

    def _watch(self) -> None:
        """Read everything, and follow the news until they break off. Blocks."""
        try:
            self._age.ask()
            version = self._read()
            self._age.read(version)
            self._silence.heard(feed_clock())
            self._is_read.set()
            self._tell_of_all()
            for news in self._store.watch(self._keys.base, version, patience=1.0):
                if self._stopping.is_set() or news.is_torn:
                    return
                if news.entries or news.gone:
                    changed = self._copy.take(news)
                    if changed.rows or changed.lives:
                        self._crew.changed(changed)
                    self._wake.set()
        except StoreError as error:
            _log.info("The store is not heard: %s", error)
            self._stopping.wait(BEAT)

    def _read(self) -> int:
        """Read everything, and return how new it is. Blocks."""
        entries, version = self._store.list(self._keys.base, patience=_PATIENCE)
        self._copy.load(entries, version)
        return version

    def _tell_of_all(self) -> None:
        ids = self._copy.ids()
        self._crew.changed(Changed(ids, ids))

    def _beat(self) -> None:
        """Give one sign of life, and wait until the next one is due. Blocks."""
        began = feed_clock()
        self._pulse.give(self.state, self._fence if self._leads else None, self._sight)
        self._stopping.wait(max(0.0, BEAT - (feed_clock() - began)))

    def _out_of_beat(self, fence: int, found: Iterable[Entry]) -> None:
        if fence == self._fence:
            self._copy.note(found)
            self._refused()

    @property
    def _sight(self) -> Sight:
        return Sight(self._crew.blind_for(), self._crew.cut_off_for())

    @property
    def _leads(self) -> bool:
        return self.state in (State.FENCE, State.SETTLE, State.LEAD)

    def refused(self, found: Entry | None) -> None:
        """Take note that a change of ours was refused because another leads. Any thread."""
        if found is not None:
            self._copy.note([found])
        self._refused()

    def _refused(self) -> None:
        if self._leads:
            self._crew.cut()
            self._is_refused = True
            self._wake.set()

    # --- the decisions -------------------------------------------------------------------------

    def _decide(self) -> None:
        """Do what the state of this host asks for, once. Blocks."""
        self._wake.clear()
        if self._is_read.is_set():
            self._look_around(feed_clock())
            {
                State.FOLLOW: self._follow,
                State.FENCE: self._make_fence,
                State.SETTLE: self._settle,
                State.LEAD: self._go_on,
                State.DOWN: self._read_anew,
                State.ASTRAY: self._stay_astray,
            }[self.state]()
        self._wake.wait(_LOOK_SOON if self.state is State.SETTLE else _LOOK)

    def _look_around(self, now: float) -> None:
        """Take note of the other hosts, and say what store and Kraken lack."""
        self.others.see(self._copy.below(self._keys.hosts), now)
        can_other, leads = self.others.any_could_lead(now), self._leads
        for said in (
            self._silence.news(now, leads=leads),
            self._lookout.news(self._sight, now, leads=leads, can_other=can_other),
        ):
            if said is not None:
                tell(self._say, said)

    def _step(self, signal: Signal) -> None:
        self.state = state_after(self.state, signal)
        self._wake.set()

    def _follow(self) -> None:
        now, lead = feed_clock(), self._copy.leader()
        lead_at, beat_at = map(self._copy.version, (self._keys.lead, self._keys.beat))
        self._observed = self._observed.seen(lead_at, beat_at, now)
        if lead is not None and lead.host and self._once.is_news(f"{lead_at}"):
            tell(self._say, words.follows(lead, self._part.patience))
        is_good, patience = self._sight.is_good, self._part.patience
        if self._copy.entry(self._keys.halt) is not None:
            if self._once.is_news("halt"):
                tell(self._say, words.halted(self._keys.account))
            return
        if self._pulse.is_deaf(now):
            self._observed = Observed(-1, -1, now)  # whose silence this is, nobody knows
            return
        if not self._crew.is_ready or now < self._rests_until:
            return
        if not is_good and self.others.any_could_lead(now):
            return  # the lead would be worth less here, and whoever can takes it
        waits = _STEP * self.others.before(self._part.name, self._keys.account, now)
        if stands(self._observed, lead, now, patience=patience, is_blind=not is_good, waits=waits):
            self._claim(lead, lead_at, beat_at)

    def _claim(self, lead: Lead | None, lead_at: int, beat_at: int) -> None:
        """Stand for election. Blocks."""
        if self._age.is_older:
            tell(self._say, words.store_is_older(self._keys.account))
            self._step(Signal.OLDER)
            return
        ours, change = claimed(self._keys, lead, (lead_at, beat_at), _stamp(self._part.name))
        try:
            answer = self._store.commit(change, patience=_PATIENCE)
        except StoreError as error:
            _log.info("The election is not known: %s", error)
            self._rests_until = feed_clock() + BEAT
            return
        if not answer.is_done:
            self._copy.note(answer.found.values())
            return
        self._copy.note([Entry(self._keys.lead, change.puts[self._keys.lead], answer.version)])
        self._lead, self._fence = ours, answer.version
        self._is_refused, self._posted_at = False, None
        self._age.keep(answer.version)
        self._step(Signal.WIN)
        silence = self._observed.silent_for(feed_clock())
        tell(self._say, words.stands_in(lead, silence))

    def _make_fence(self) -> None:
        """Have Kraken refuse everybody who led before. Blocks for one call."""
        assert self._lead is not None  # the table leads here by `WIN` alone
        if self._is_refused or self._is_overtaken:
            self._step_down()
        elif (fencing := self._crew.fence(self._lead.nonce_base)) is Fencing.ANSWERED:
            self._step(Signal.FENCED)
        elif fencing is Fencing.REFUSED:
            self._look_who_is_right()
        elif self._sight.is_told_of and self.others.any_could_lead(feed_clock()):
            self._give_back(words.LEAVES_IT_TO_ANOTHER)
        else:
            if self._once.is_news("unfenced"):
                tell(self._say, words.KRAKEN_DOES_NOT_ANSWER)
            self._stopping.wait(BEAT)

    def _settle(self) -> None:
        """Have the order thread go by what the store says. Blocks for the store."""
        if self._is_shaken:
            self._look_who_is_right()
        elif self._posted_at is None:
            with suppress(StoreError):
                self._read()
                self._crew.take_up(self._fence)
                self._posted_at = feed_clock()
        elif self._crew.has_taken_up:
            self._step(Signal.TAKEN_UP)
            self._once.has_healed("unfenced")
            tell(self._say, words.leads(self._lead))
        elif feed_clock() - self._posted_at > _TAKES_UP:
            self._give_back(words.DOES_NOT_TAKE_UP)

    def _go_on(self) -> None:
        """Lead on, unless another does, or is asked to, or sees more. Blocks while it gives way."""
        if self._is_shaken:
            self._look_who_is_right()
        elif self._copy.version(self._keys.handover) > self._fence:
            if self.others.any_lives(feed_clock()):
                self._hand_over(words.HANDS_OVER)
            elif self._once.is_news(f"{self._copy.version(self._keys.handover)}"):
                tell(self._say, words.NOBODY_TO_HAND_OVER_TO)
        elif (sight := self._sight).gives_way and self.others.any_could_lead(feed_clock()):
            if sight.is_cut_off:
                # What is under way has no answer soon: the next one looks it up.
                self._hand_over(words.hands_over_cut_off(sight.cut_off_for), waits=False)
            else:
                self._hand_over(words.hands_over_blind(sight.blind_for))

    @property
    def _is_shaken(self) -> bool:
        """Whether store or Kraken have said that this host should not lead."""
        is_told = self._is_refused or self._is_overtaken
        return is_told or self._crew.is_deposed or self._age.is_older

    @property
    def _is_overtaken(self) -> bool:
        """Whether the store was heard to have a later lead than ours, whatever it answers."""
        return self._copy.version(self._keys.lead) > self._fence

    def _look_who_is_right(self) -> None:
        """Step down; where Kraken has refused the very first call of an epoch, go astray. Blocks.

        Where the store knows of nobody else, the next election tells: its epoch is higher, and
        whoever called with the key meanwhile is refused, or this host is once more.
        """
        self._crew.cut()
        if self._is_overtaken:
            self._step_down()
            return
        try:
            entry = self._store.get(self._keys.lead, patience=_PATIENCE)
        except StoreError:
            return  # nothing is sent meanwhile
        if entry is None or entry.version != self._fence:
            self._copy.note([entry] if entry is not None else [])
            self._step_down()
        elif self.state is State.FENCE:
            tell(self._say, words.contradicted(self._keys.account))
            self._crew.follow()
            self._step(Signal.CONTRADICTED)
            self._halt()
        else:
            self._give_back(words.REFUSED_BY_NOBODY_KNOWN)

    def _give_back(self, said: Sentence) -> None:
        """Step down although no other host leads: whoever stands first, does. Blocks."""
        self._step_down(said)
        with suppress(StoreError):
            self._vacate()

    def _step_down(self, said: Sentence | None = None) -> None:
        self._crew.cut()
        tell(self._say, said or words.deposed(self._copy.leader()))
        self._crew.follow()
        self._step(Signal.DEPOSED)

    def _hand_over(self, said: Sentence, *, waits: bool = True) -> None:
        """End what is under way, or leave it to be looked up, and let another lead. Blocks."""
        tell(self._say, said)
        if waits:
            self._crew.follow()
        self._crew.cut()
        with suppress(StoreError):
            self._vacate()
        # The others go first; whoever is left alone takes the lead back.
        self._rests_until = feed_clock() + min(self._part.patience, _REST)
        self._step(Signal.HANDED_OVER)

    def _vacate(self) -> None:
        """Write down that nobody leads. Blocks."""
        assert self._lead is not None  # the table leads here by `WIN` alone
        change = vacated(self._keys, self._lead, self._fence, _stamp(self._part.name))
        self._store.commit(change, patience=_PATIENCE)

    def _read_anew(self) -> None:
        """Forget what was believed of lives, and follow. Blocks for the store.

        Not before the order thread has let go: what it is at must not go out in a later epoch.
        """
        if not self._crew.is_following:
            self._crew.follow()
            return
        with suppress(StoreError):
            self._read()
            self._tell_of_all()
            self._observed = Observed(-1, -1, feed_clock())
            self._step(Signal.READ)

    def _halt(self) -> None:
        """Write down that nobody may lead. Blocks.

        Each further election would bring the epochs nearer to what Kraken has seen, until it takes
        one; and the lives would be old all the same.
        """
        change = halted(self._keys, self._fence, _stamp(self._part.name))
        with suppress(StoreError):
            answer = self._store.commit(change, patience=_PATIENCE)
            self._copy.note(answer.found.values())

    def _stay_astray(self) -> None:
        if self._lead is not None and self._copy.entry(self._keys.halt) is None:
            self._halt()
        lead, now = self._copy.leader(), feed_clock()
        # What stands there may be of yesterday, in a store that was restored: that one has to live.
        is_led = lead is not None and self.others.leads(lead.host, now)
        if is_led and self._copy.version(self._keys.lead) != self._fence:
            self._step(Signal.ANOTHER)


def _thread(name: str, work: Callable[[], None], stopping: threading.Event) -> threading.Thread:
    """Return a thread that does `work` again and again: a surprise must not end it."""

    def run() -> None:
        while not stopping.is_set():
            try:
                work()
            except Exception:  # noqa: BLE001 - the thread must outlive every surprise
                _log.exception("The standby met an error and goes on")
                stopping.wait(BEAT)

    return threading.Thread(target=run, name=f"ttslo-{name}", daemon=True)


def _stamp(name: str) -> Stamp:
    """Return what marks the next writing of a host."""
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return Stamp(name, since, secrets.token_hex(8))
