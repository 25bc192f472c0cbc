"""A run as one of several hosts: the whole program, and a door that who leads has open.

Rows and lives come from a shared store, and so does who leads. What it must never do: call Kraken
with the trading key while another host leads, or lead before Kraken refuses all who led before.
"""

from __future__ import annotations

import argparse
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kraken_api import KrakenAPI
from krakenlink.errors import KrakenError
from krakenlink.machine import feed_clock
from krakenlink.stream.settings import FeedSettings
from ttslo_app.cluster.books import Books
from ttslo_app.cluster.copy import Copy
from ttslo_app.cluster.crew import Fencing, Part
from ttslo_app.cluster.leadership import State
from ttslo_app.cluster.records import Changed, Keys
from ttslo_app.cluster.session import Session
from ttslo_app.cluster.store import Store
from ttslo_app.cluster.witness import HostFile
from ttslo_app.hosts import stores, words
from ttslo_app.hosts.reach import Reach
from ttslo_app.hosts.shared_files import SharedFiles, SharedManager
from ttslo_app.messages import Shared, Sighting, StandBy, TakeUp, tell
from ttslo_app.orders.finder import by_client_id
from ttslo_app.orders.life import RuleState
from ttslo_app.run.ending import end_with_starter
from ttslo_app.run.files import OrderFiles
from ttslo_app.run.parts import Options, ask_for_time
from ttslo_app.run.program import Program
from ttslo_app.signs.telling import telling_from
from ttslo_app.store.lock import StateLock
from ttslo_app.terminal import env_file

_log = logging.getLogger(__name__)

# What stands in sentences, on the page and in the status where others have the name of a file.
_ROWS = "the store's rows"
# Seconds. The order thread ends its turn before this host follows, and that may take an answer.
_TURN = 15.0
# Seconds between two questions whether Kraken answers. It takes about one public call a second from
# an address, and a host may have many accounts; whoever leads must not find out by an order.
_ASKS_LEADING, _ASKS_FOLLOWING, _ASKS_IN_DOUBT = 5.0, 10.0, 1.0


class HostProgram(Program):
    """The program as one of several hosts.

    Args:
        manager: What it knows as its files.
        reading: Where prices come from.
        trading: The client whose key places orders while this host leads.
        options: What the user chose.
        copy: The account as this host knows it.
        books: Who writes into the store.
    """

    def __init__(
        self,
        manager: SharedManager,
        reading: KrakenAPI,
        trading: KrakenAPI,
        options: Options,
        copy: Copy,
        books: Books,
    ) -> None:
        self._shared = SharedFiles(manager, copy, books)
        self.session: Session | None = None
        asking = KrakenAPI(base_url=trading.base_url, use_websocket=False)
        self.reach = Reach(asking, self._asks_every)
        trading.gate.stand_by()
        super().__init__(manager, reading, trading, options)
        self.worker.submit(StandBy(lambda: None))
        self.worker.work_off()

    # The account's stream needs a token of the key, also while another host leads.
    follows_account = False

    @property
    def mode(self) -> str:
        """What this run is at this moment."""
        is_leading = self.session is not None and self.session.state is State.LEAD
        return "LEADS" if is_leading else "FOLLOWS"

    @property
    def rests(self) -> bool:
        """Whether another host leads, so that the trading key is not used."""
        return self.worker.follower.is_following

    def _asks_every(self) -> float:
        """Return the seconds between two questions whether Kraken answers, as things are."""
        if self.live is not None and not self.live.sees_prices():
            return _ASKS_IN_DOUBT
        if self.session is not None and self.session.others.hear_of_silence(feed_clock()):
            return _ASKS_IN_DOUBT  # before the lead is given to this host for nothing
        return _ASKS_FOLLOWING if self.rests else _ASKS_LEADING

    def make_files(self) -> OrderFiles:
        """Return its files as the order thread has them."""
        return self._shared

    def recover(self) -> None:
        """Learn what time it is; what another run left is taken up by whoever leads. Blocks."""
        try:
            ask_for_time(self)
        except KrakenError as error:
            _log.info("Kraken does not tell the time yet: %s", error)
        self.worker.follower.doubt_unreadable()

    def run_continuous(self, interval: float = 60) -> None:
        """Run until `stop` or Ctrl-C, and lead or stand by meanwhile. Blocks."""
        assert self.session is not None  # whoever makes a program of a host gives it one
        self.session.start()
        self.reach.start()
        try:
            super().run_continuous(interval)
        finally:
            self.reach.stop()
            self.session.stop()


class ShipsCrew:
    """The program as a session commands it.

    Args:
        program: The program.
        trading: The client whose key places orders.
        copy: The account as this host knows it.
        books: Who writes into the store.
    """

    def __init__(self, program: HostProgram, trading: KrakenAPI, copy: Copy, books: Books) -> None:
        self._program, self._trading = program, trading
        self._copy, self._books = copy, books
        self._standing: Mapping[str, Sighting] = {}
        self._base = 0
        self._taken_up = threading.Event()
        self._sees_since = feed_clock()

    @property
    def is_ready(self) -> bool:
        """Whether rows are read and prices come."""
        live = self._program.live
        return live is not None and live.has_begun

    @property
    def is_deposed(self) -> bool:
        """Whether Kraken has refused a nonce of this epoch."""
        return self._trading.gate.is_deposed

    @property
    def has_taken_up(self) -> bool:
        """Whether the order thread goes by what `take_up` gave it."""
        return self._taken_up.is_set()

    @property
    def is_following(self) -> bool:
        """Whether the order thread has ended what it was at."""
        return self._program.worker.follower.is_following

    def blind_for(self) -> float:
        """Return for how many seconds no live price was seen, where a row waits for one."""
        now, live = feed_clock(), self._program.live
        if live is None or live.sees_prices():
            self._sees_since = now
        return now - self._sees_since

    def cut_off_for(self) -> float:
        """Return for how many seconds Kraken has taken no call: had no answer, or refused all."""
        reach = self._program.reach
        return max(reach.silent_for(), reach.refused_for(self._trading.gate.too_many_at))

    def fence(self, base: int) -> Fencing:
        """Have Kraken refuse all nonces below `base`, and see what stands. Blocks for some calls.

        Nobody leads the account again after a refusal, so the first call of an epoch is made once
        more with the very next nonce. Kraken takes that one if the refusal was a mistake, or if
        this epoch has had one call before: that was a first call, too, and no order.
        """
        gate, is_first = self._trading.gate, base != self._base
        if is_first:
            try:
                gate.reign(base)
            except ValueError as error:  # this very process has led later: the store is older
                _log.error("%s", error)
                return Fencing.REFUSED
            self._base, self._standing = base, {}
        self._look_at_orders()
        if gate.is_deposed and is_first:
            gate.reign(base + 1)
            self._look_at_orders()
        if gate.is_deposed:
            return Fencing.REFUSED
        return Fencing.ANSWERED if gate.is_taken else Fencing.UNASKED

    def _look_at_orders(self) -> None:
        try:
            self._standing = by_client_id(self._trading.query_open_orders())
        except KrakenError as error:
            _log.info("The first call of this epoch: %s", error)

    def take_up(self, fence: int) -> None:
        """Have the order thread go by the lives of the copy. Never blocks."""
        self._taken_up.clear()
        self._books.lead(fence)
        lives = self._copy.lives()

        def done() -> None:
            self._taken_up.set()
            self._program.loader.read_again_soon()  # by what is armed, as all hosts know it

        self._program.worker.submit(TakeUp(lives, self._standing, done))

    def cut(self) -> None:
        """See to it that nothing more is sent or written. Never blocks."""
        self._books.cut()
        self._trading.gate.stand_by()

    def follow(self) -> None:
        """Let the order thread end its turn and shut the door. Blocks until then, for a while."""
        done = threading.Event()
        self._program.worker.submit(StandBy(done.set))
        if not self._program.worker.is_running:
            self._program.worker.work_off()
        done.wait(_TURN)

    def changed(self, changed: Changed) -> None:
        """Let the order thread know what another host has written. Never blocks."""
        lives = {i: cells for i in changed.lives if (cells := self._copy.life(i)) is not None}
        if lives:
            self._program.worker.submit(Shared(lives))
        rules = self._program.worker.ledger.rules
        armed = (i for i, cells in lives.items() if cells.get("rule_state") == RuleState.ARMED)
        if any(i not in rules for i in armed):
            # It was refused here, as its threshold is met, and armed there while it was not.
            self._program.loader.read_again_soon()


def run(
    options: argparse.Namespace,
    wanted: Options,
    give_signs: Callable[[Program, argparse.Namespace, Sequence[str]], int],
) -> int:
    """Lead an account, or stand by for it, until Ctrl-C or SIGTERM; return the exit code. Blocks.

    Args:
        options: The flags.
        wanted: What they ask of a run.
        give_signs: Runs a program, and lets it be looked at from outside meanwhile.

    Raises:
        ValueError: If this cannot be a host.
        OSError: If the store cannot be asked.
    """
    try:
        # The name of this host, its log and its status lie beside its state.
        with StateLock(options.state) as lock, stores.opened(options) as (store, keys):
            trading = stores.trading_of(options.account, env_file(options))
            if not trading.has_keys:
                raise ValueError(words.NO_KEY)
            cluster_id, copy = stores.cluster_id(store, keys) or "", stores.copy_of(store, keys)
            shore = _Shore(store, keys, cluster_id, copy)
            program = _program(shore, trading, options, wanted)
            if options.end_with_stdin:
                end_with_starter(partial(_end, program))
            with telling_from(options, env_file(options)).over(program, ""):
                return give_signs(program, options, [lock.absence] if lock.absence else [])
    except stores.NotMade as error:
        raise ValueError(str(error)) from None


def _end(program: HostProgram) -> None:
    tell(program.say, words.STARTER_IS_GONE)
    program.stop()


@dataclass(frozen=True, slots=True)
class _Shore:
    """The store as it was found at the start."""

    store: Store
    keys: Keys
    cluster_id: str
    copy: Copy


def _program(
    shore: _Shore, trading: KrakenAPI, options: argparse.Namespace, wanted: Options
) -> HostProgram:
    """Return the program of this host, with all that belongs to it."""
    reading = KrakenAPI.from_env(
        readwrite=False,
        env_file=env_file(options),
        use_websocket=not options.no_websocket,
        feed_settings=FeedSettings(gather_for=0.0),  # nothing stands between tick and order
    )
    copy, books = shore.copy, Books(shore.store, shore.copy, shore.keys)
    options.config = _ROWS
    manager = SharedManager(_ROWS, options.state, options.log, copy, books)
    program = HostProgram(manager, reading, trading, wanted, copy, books)
    crew = ShipsCrew(program, trading, copy, books)
    witness = HostFile(Path(f"{options.state}.host"), shore.cluster_id)
    part = Part(shore.keys, witness.name(), options.standby_after)
    program.session = Session(shore.store, copy, part, crew, witness, program.say)
    books.refused = program.session.refused
    tell(program.say, words.host(part.name, part.keys.account, options.store))
    return program
