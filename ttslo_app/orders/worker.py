"""The order thread: one crossing, one order, in the order of the crossings.

One thread owns the state of every rule, both files and every order, so that no lock is needed
around any of them and no second path to Kraken exists. Others hand it messages; it never waits
for them. It puts the parts together, which do not know each other: the books (`ledger`), the
waiting room (`owed`), the way from a crossing to its answer (`desk`), the search for unknown
orders (`finder`), the files (`clerk`) and the rows (`roll`). What it must never do: end by an
error, or forget a crossing.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from krakenlink.rest.answers import outcome_of
from ttslo_app.clocks import Clocks
from ttslo_app.messages import (
    Adopt,
    BookChange,
    Crossing,
    FirstCrossing,
    KeyRefused,
    Looked,
    Mark,
    Message,
    Proved,
    Say,
    Shared,
    Sighting,
    StandBy,
    Streamed,
    TakeUp,
    Watched,
)
from ttslo_app.orders import words
from ttslo_app.orders.clerk import Clerk
from ttslo_app.orders.desk import Desk
from ttslo_app.orders.finder import Finder
from ttslo_app.orders.follower import Follower
from ttslo_app.orders.kinship import Kinship
from ttslo_app.orders.ledger import Ledger, State
from ttslo_app.orders.life import Life, OrderSettings
from ttslo_app.orders.owed import Owed, Wait, Why
from ttslo_app.orders.ports import Exchange, Files, Tools
from ttslo_app.orders.proofs import Proofs, Unproven
from ttslo_app.orders.roll import Roll
from ttslo_app.orders.salvage import Salvage
from ttslo_app.orders.seeker import Seeker
from ttslo_app.orders.words import Teller

_log = logging.getLogger(__name__)

# The longest wait for a message, in seconds, so that a stop is seen.
_LONGEST_WAIT, _SHORTEST_WAIT = 1.0, 0.001
# From so many waiting messages on, those are left out that come again by themselves.
_CROWD = 1_000
# For so long the thread has the interpreter for itself where it was waiting for a crossing: then it
# waits for the disk, or for Kraken, and others put their books in order meanwhile.
_HEAD_START = 0.001


class OrderWorker:
    """Places one order for one crossing, whatever happens in between.

    Without `start` it works inline: `submit`, then `work_off` on the caller's thread.

    Args:
        state: The rows of state.csv by id; owned by this object from now on.
        exchange: Kraken, or None where no trading key was given.
        clock: The clocks; the monotonic one must go on while the machine sleeps.
        post: Called with each change of the rule book; must not block.
        say: Called with level, message and fields for what a person should read.
        step: Called at each step of the protocol by its name, for tests that end it there.

    Attributes:
        ledger: What is known of every rule.
        roll: What becomes of rows; for the order thread, and for callers who have none.
        follower: What it does as one of several hosts.
        doing: The step that the thread is at, and since when: replaced whole. Any thread.
    """

    def __init__(
        self,
        state: State,
        files: Files,
        exchange: Exchange | None,
        *,
        clock: Clocks,
        say: Say,
        post: Callable[[BookChange], None] = lambda change: None,
        settings: OrderSettings | None = None,
        step: Callable[[str], None] = lambda name: None,
    ) -> None:
        settings = settings or OrderSettings()
        self.exchange = exchange
        self._ledger = self.ledger = Ledger(state)
        self._owed = Owed(settings)
        self._teller = Teller(say)
        self._clock, self._step, self.doing = clock, step, ("", 0.0)
        owed, teller = self._owed, self._teller
        self._tools = Tools(
            self._ledger, owed, files, exchange, clock, teller, settings, self._note_step
        )
        self.roll = Roll(self._tools, post)
        self._finder = Finder(self._tools)
        self._clerk = Clerk(self._tools)
        kin = self._kinship = Kinship(self._tools, self.roll.arm, self._clerk.write, post)
        self._desk = Desk(self._tools, self._clerk, self._finder.search_for, kin.is_alone)
        self._proofs = Proofs(self._tools, self._take_in_old, self._ask)
        self._salvage = Salvage(self._tools, self._finder)
        self.follower = Follower(self._tools, self.roll, self._finder, self._clerk)
        self._inbox: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._untaken: deque[Message] = deque()  # an error about one message ends no other
        self._seeker = Seeker(exchange, self._tools.now, self.submit, step)
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def _note_step(self, name: str) -> None:
        self.doing = (name, self._clock.monotonic())
        self._step(name)

    # --- the thread --------------------------------------------------------------------------

    def start(self) -> None:
        """Start the order thread."""
        # A daemon: a process that is told to end must not hang on an answer from Kraken. What is
        # under way then is an intent in the state file, and the next start settles it.
        self._thread = threading.Thread(target=self._run, name="ttslo-orders", daemon=True)
        self._thread.start()
        self._seeker.start()

    def stop(self, timeout: float) -> bool:
        """End the thread once its inbox is empty, and say whether it ended in time. Blocks."""
        self._stopping.set()
        self._inbox.put(None)
        if self._thread is None:
            return True
        self._seeker.stop()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def submit(self, message: Message) -> None:
        """Hand over a message. Never blocks; any thread."""
        # What comes again by itself is left out while this thread hangs: memory is bounded.
        if self.backlog < _CROWD or not isinstance(message, Mark | Watched | Streamed):
            self._inbox.put(message)

    def let_begin(self) -> None:
        """Give way to the thread after a crossing was handed over, unless it is at work already.

        So whoever hands over many pauses once. For the thread that hands crossings over.
        """
        if self.is_running and not self.doing[0]:
            time.sleep(_HEAD_START)

    def work_off(self) -> None:
        """Do what is waiting, on the caller's thread. For programs without an order thread."""
        self._work(_drained(self._inbox, 0.0))

    def _run(self) -> None:
        while not (self._stopping.is_set() and self._inbox.empty()):
            self.turn(_drained(self._inbox, self._time_to_next_duty()))
        if not self.follower.is_following:
            self._clerk.end(time.sleep)
        owing = [wait.crossing.key for wait in self._owed]
        if owing:
            self._teller.tell(words.ends_owing(owing))

    def turn(self, messages: Sequence[Message]) -> None:
        """Do all that is to be done after `messages`. Blocks. Never raises."""
        self.doing = ("turn", self._tools.now())
        try:
            self._work(messages)
        except Exception:  # noqa: BLE001 - the thread must outlive every surprise: it holds orders
            _log.exception("The order thread met an error and goes on")
            self._teller.tell(words.INTERNAL_ERROR)
            self._salvage.take_up(messages)
        finally:
            self.doing = ("", self._tools.now())

    def _time_to_next_duty(self) -> float:
        """Return how long to wait for a message, in seconds."""
        if self.follower.is_following:
            return _LONGEST_WAIT
        now, is_shut = self._tools.now(), self._owed.key.is_shut
        seeker = self._owed.key if is_shut else self._finder
        moments = (part.next_at() for part in (seeker, self._owed, self._clerk, self.roll.expiry))
        waits = [_LONGEST_WAIT, *(moment - now for moment in moments if moment is not None)]
        return max(_SHORTEST_WAIT, min(waits))

    # --- a turn --------------------------------------------------------------------------------

    def _work(self, messages: Sequence[Message]) -> None:
        self._untaken.extend(messages)
        self.roll.put_right()
        while self._untaken:
            message = self._untaken.popleft()
            if not isinstance(message, Crossing):
                self._take_in(message)
        if self.follower.is_following:
            self.follower.keep(one for one in messages if isinstance(one, Crossing))
            self.follower.let_old_go()
            return
        self._kinship.attend()
        self.fire([one for one in messages if isinstance(one, Crossing)])
        self._pass([one for one in messages if isinstance(one, Mark)])
        for looked in (one for one in messages if isinstance(one, Looked)):
            self._settle(looked)
        self._look_up()
        self._fire_owed()
        self._kinship.attend()
        if self._inbox.empty():
            self.roll.expiry.expire()  # what was crossed before has been taken up by now
            self._clerk.settle(is_ending=self._thread is None)
            self._fire_owed()  # what waited for the disk alone

    def _take_in(self, message: Message) -> None:
        """Do what a message asks for that is neither a crossing nor follows one."""
        match message:
            case Adopt():
                self._adopt(message)
            case Watched() | Streamed():
                self._clerk.watched(message)
            case KeyRefused():
                self._desk.key.refused(message.outcome, message.rule_id)
            case Proved():
                self._hear(message.error, message.rule_id)
                self._proofs.take(message)
            case FirstCrossing():
                self._clerk.note_first(message)
            case StandBy():
                self.follower.stand_by(message.done)
            case TakeUp():
                self.follower.take_up(message)
            case Shared():
                self.follower.share(message)

    def _adopt(self, message: Adopt) -> None:
        message = self.follower.guarded(message)
        if self.follower.is_following:
            self.roll.adopt(message)
            return
        has_changed = self.roll.adopt(message)
        self._proofs.publish()
        with suppress(OSError):  # read now what the first crossing would have to wait for
            self._tools.files.current_rows()
        if has_changed:
            self._clerk.write()
        self._desk.prepare()

    def _pass(self, marks: Sequence[Mark]) -> None:
        """Call marks, unless something before them is known to the memory alone."""
        is_owed = self._clerk.is_finding_owed or self._owed.has_unwritten(self._ledger.is_refused)
        for mark in () if is_owed else marks:
            mark.passed()

    def fire(self, crossings: Iterable[Crossing]) -> None:
        """Place the orders of `crossings`, first come, first served. Blocks."""
        now = self._tools.now()
        fresh: dict[str, Crossing] = {}  # a rule crosses once: what comes first counts
        for crossing in crossings:
            key = crossing.key
            if not self._owed.has(key, Why.PACE):
                fresh.setdefault(key, crossing)
        for key, crossing in fresh.items():
            if crossing.is_event and key not in self._owed:
                self._tools.begin_anew(key)  # said anew, and counted anew
        taken = [self._owed.take(crossing, now) for crossing in fresh.values()]
        if taken and self._finder.must_settle_first:
            for crossing in taken:
                self._owed.wait(crossing, Why.SETTLING)
                self._teller.tell(words.must_settle_first(crossing))
        else:
            for wait in self._owed.grown_old(taken, now):  # while this thread hung somewhere
                self._give_back(wait, now - wait.since)
            young = [crossing for crossing in taken if crossing.key in self._owed]
            is_shut = self._owed.key.is_shut  # then nothing is asked, and the desk lets them wait
            mates = self._ledger.kin.mates
            free = [o for o in young if is_shut or self._proofs.are_free(o, mates(o.key))]
            self._desk.fire(self._kinship.admitted(free))

    def _take_in_old(self, life: Life, sighting: Sighting) -> None:
        """Take in an order of which the state, an older copy, knew nothing."""
        self._clerk.found(life, sighting)
        self.roll.leave_book(life.id)

    def _look_up(self) -> None:
        """Have those unknown orders looked for whose time has come."""
        if self._owed.key.is_shut:
            return
        for life in self._finder.due():
            if self.is_running:
                self._seeker.ask(partial(self._seeker.look, life))
            else:
                self._settle(self._seeker.look(life))

    def _ask(self, question: Callable[[], Proved]) -> None:
        """Have a question put to Kraken, at once where this is no thread that others wait for."""
        if self.is_running:
            self._seeker.ask(question)
        else:
            self._proofs.take(question())

    def _settle(self, looked: Looked) -> None:
        """Take in what came of a look."""
        self._hear(looked.error, looked.rule_id)
        settled = self._finder.take(looked)
        if settled is None:
            return
        life, sighting = settled
        if sighting is not None:
            self._clerk.found(life, sighting)
        elif (crossing := self.roll.not_placed(life)) is not None:
            self.fire([crossing])

    def _hear(self, error: Exception | None, rule_id: str) -> None:
        """Let the gate of the key be shut where Kraken has refused a look for the key itself."""
        if error is not None and "EGeneral:Permission denied" not in str(error):
            self._desk.key.refused(outcome_of(error), rule_id)

    def _fire_owed(self) -> None:
        """Fire those whose turn has come; who has grown old must be met by today's price."""
        self._desk.key.try_again()
        now = self._tools.now()
        due = self._owed.due(
            now, is_settling=self._finder.must_settle_first, is_disk_bad=self._clerk.is_disk_bad
        )
        young: list[Crossing] = []
        for wait in due:
            if not wait.is_young(now, self._tools.settings):
                self._give_back(wait, now - wait.since)
            elif wait.why is Why.PACE:
                self._desk.place([self._owed.take(wait.crossing, now)])
            else:
                young.append(wait.crossing)
        self.fire(young)

    def _give_back(self, wait: Wait, waited: float) -> None:
        """Let a crossing that has grown old be met by today's price again, and say so."""
        rule_id = wait.crossing.key
        self._owed.settle(rule_id)
        if wait.why is Why.PACE:
            self._tools.begin_anew(rule_id)
        if not wait.is_told:
            self._teller.tell(words.waited_too_long(wait.crossing, waited))
        self.roll.arm_as_it_is(rule_id)

    # --- what others ask -----------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The rows of state.csv by id: a live dict, which nobody else may write while it runs."""
        return self._ledger.state

    @state.setter
    def state(self, rows: State) -> None:
        self._ledger.state = rows

    @property
    def standing(self) -> Mapping[str, str]:
        """The orders to watch, by rule id; never changed once handed out. Any thread."""
        return self._ledger.standing

    @property
    def unproven(self) -> Sequence[Unproven]:
        """Armings of an earlier run of which Kraken has not been asked yet. Any thread."""
        return self._proofs.unproven

    @property
    def answers(self) -> Mapping[str, int]:
        """How often orders were placed, refused and uncertain since the start. Any thread."""
        return self._desk.answers

    @property
    def backlog(self) -> int:
        """How many messages wait. Any thread."""
        return self._inbox.qsize()

    @property
    def is_running(self) -> bool:
        """Whether the order thread lives: then nobody else may write the state."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def is_busy(self) -> bool:
        """Whether an order of unknown outcome is still being looked up, or a write is owed."""
        return self._finder.is_busy or self._owed.is_pressing or self._clerk.is_behind

    @property
    def is_key_refused(self) -> bool:
        """Whether Kraken refuses the trading key: then nothing is asked with it. Any thread."""
        return self._owed.key.is_shut

    def is_held_back(self, rule_id: str) -> bool:
        """Tell whether a rule still waits for its next try."""
        return self._owed.is_held_back(rule_id, self._tools.now())

    def life_of(self, rule_id: str) -> Life:
        """Return what is known of a rule.

        Raises:
            UnreadableLife: If its row in state.csv cannot be understood.
        """
        return self._ledger.life_of(rule_id)

    def recover(self) -> None:
        """Take up every intent without an outcome, before anything else may fire."""
        for life in self.roll.recover():
            self._finder.search_for(life, is_from_before=True)
        self._proofs.doubt(self.roll.waiting_from_before())


def _drained(inbox: queue.SimpleQueue[Message | None], block_for: float) -> list[Message]:
    messages: list[Message] = []
    try:
        first = inbox.get(timeout=block_for) if block_for else inbox.get_nowait()
        while True:
            if first is not None:
                messages.append(first)
            first = inbox.get_nowait()
    except queue.Empty:
        return messages
