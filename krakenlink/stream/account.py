"""The account's feed: its thread, what others may ask of it, and who listens.

One daemon thread, one lock. A token comes over REST before each connection, in the key's own turn
and after every order; nothing waits on the network under the lock, and no foreign code runs on the
thread. It must never hold up a price, an order or a caller, nor let a token into a log.

Source: Kraken, spot WebSocket v2 authentication and connection guides (read 2026-11).
"""

from __future__ import annotations

import logging
import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from krakenlink.errors import (
    AuthenticationError,
    KrakenConnectionError,
    KrakenError,
)
from krakenlink.machine import feed_clock, is_krakens, on_fork, validate_url
from krakenlink.stream.budget import ConnectBudget, own_budget
from krakenlink.stream.connection import Connection, ConnectionRefused, open_websocket
from krakenlink.stream.executions import AccountOrder
from krakenlink.stream.handover import (
    Handover,
    Run,
    Stoppable,
    StoppedError,
    patience_until,
    taken,
)
from krakenlink.stream.private import AccountDenied, AccountDue, AccountEvent, AccountProtocol
from krakenlink.stream.settings import (
    DEFAULT_ACCOUNT,
    DEFAULT_SETTINGS,
    AccountSettings,
    FeedSettings,
)

_log = logging.getLogger(__name__)

_feeds: weakref.WeakSet[AccountFeed] = weakref.WeakSet()


class _Ended(KrakenConnectionError):
    """The connection is to be dropped, and the next one to wait for `at_least` seconds."""

    def __init__(self, reason: str, at_least: float) -> None:
        self.at_least = at_least
        super().__init__(reason, request_sent=True)


class AccountReader:
    """One listener's own queue of events. Any thread may read it; it never slows the feed.

    A reader that is no longer referenced is forgotten by the feed.

    Args:
        sink: The queue to put events in; None for one of its own.
    """

    def __init__(self, sink: SimpleQueue[Any] | None = None) -> None:
        self._queue: SimpleQueue[Any] = SimpleQueue() if sink is None else sink
        self._is_closed = False

    def get(self, timeout: float | None = None) -> AccountEvent | None:
        """Return the next event; None if none comes within `timeout` seconds (None: for ever)."""
        try:
            event: AccountEvent = self._queue.get(timeout is None or timeout > 0, timeout)
        except Empty:
            return None
        return event

    @property
    def backlog(self) -> int:
        """How many events wait to be read."""
        return self._queue.qsize()

    def close(self) -> None:
        """Have no more events. From anywhere."""
        self._is_closed = True

    def offer(self, event: AccountEvent) -> None:
        """Put `event` into the queue. For the feed."""
        if not self._is_closed:
            self._queue.put(event)


class AccountFeed(Stoppable):
    """What happens to the orders of one account, told while it happens. Safe from any thread.

    It is a hint that comes early: after a loss or a gap only REST knows what was missed. The
    constructor does no I/O; the thread starts with the first reader, or with `start`.

    Args:
        url: The address of the account's stream.
        token: Returns a fresh token; called on the feed's thread before each connection. It may
            block, and raises `KrakenError`.
        settings: Every number of the link.
        account: Those of the subscription.
        connect: Opens a connection to an address within a time; None for websocket-client.
        clock: Seconds that never step back.
        budget: Counts connection attempts; by default those of this machine.

    Raises:
        ValueError: If the address is refused; see `validate_url`.
    """

    def __init__(
        self,
        url: str,
        token: Callable[[], str],
        *,
        settings: FeedSettings = DEFAULT_SETTINGS,
        account: AccountSettings = DEFAULT_ACCOUNT,
        connect: Callable[[str, float], Connection] | None = None,
        clock: Callable[[], float] = feed_clock,
        budget: ConnectBudget | None = None,
    ) -> None:
        self.url = validate_url(url)
        self.settings = settings
        self._account = account
        self._token = token
        self._connect = connect or partial(open_websocket, settings=settings)
        self._clock = clock
        self._budget = budget or own_budget(self.url, settings)
        self.start_anew()
        _feeds.add(self)

    def start_anew(self) -> None:
        """Be as new: without thread, reader or connection. After a fork, in the child."""
        # Guards: the run, the protocol with its orders, and the readers. Never held across I/O.
        self._lock = threading.Lock()
        self._handover = Handover(self._lock)
        self._farewells: deque[AccountEvent] = deque()  # to be told after the lock is let go
        self._run: Run | None = None
        self._protocol = AccountProtocol(self.settings, self._account)
        if is_krakens(self.url):
            self._protocol.link.expect_answers()
        self._readers: tuple[weakref.ref[AccountReader], ...] = ()

    # -- what others ask

    def start(self) -> None:
        """Start the thread if there is none or it died. Returns at once."""
        with self._lock:
            self._handover.empty_locked()
            if self._run is not None and not self._run.is_dead:
                return
            run = Run()
            # Daemon, as the feed of prices is: it owns nothing that would have to be saved.
            run.thread = threading.Thread(
                target=self._main, args=(run,), name="kraken-account-feed", daemon=True
            )
            self._run = run
            try:
                run.thread.start()
            except RuntimeError as error:  # no more threads, or the interpreter is ending
                self._run = None
                _log.error("The account's feed cannot start (%s); orders come over REST", error)

    def open_feed(self, *, sink: SimpleQueue[Any] | None = None) -> AccountReader:
        """Return a new reader of events from now on, and start the thread if need be.

        Args:
            sink: The queue to put events in, for a thread that waits for other things, too.
        """
        reader = AccountReader(sink)
        with self._lock:
            alive = [ref for ref in self._readers if (one := ref()) and not one._is_closed]
            self._readers = (*alive, weakref.ref(reader))
        self.start()
        return reader

    def orders(self) -> dict[str, AccountOrder] | None:
        """Return the account's open orders by id, as they are at this moment. Never blocks.

        Returns:
            None where the stream does not prove them now: not connected, not permitted, an event
            missing, or no snapshot yet. That is not the same as no orders.
        """
        with self._lock:
            return self._protocol.orders(self._clock())

    @property
    def is_followed(self) -> bool:
        """Whether events come at this moment."""
        with self._lock:
            return self._protocol.is_followed(self._clock())

    @property
    def gaps(self) -> int:
        """How often events were found to be missing."""
        return self._protocol.gaps

    def stop(self, timeout: float = 1.0) -> None:
        """End the thread and tell the readers; `start` begins anew. Waits `timeout` at most.

        From anywhere: where this very thread is at work in here, as below a signal handler or in a
        finalizer, it is done as soon as that work is.
        """
        run, ends_at = self._run, time.monotonic() + timeout
        self._handover.add(self._end_locked, patience_until(ends_at))
        if run is not None:
            run.call()
            if run is self._run:  # handed over: its thread will see it
                return
            if not run.finish(ends_at):
                return
        # After all that its thread had to tell.
        self._say_farewell()

    def _end_locked(self) -> None:
        if self._run is not None:
            self._run = None
            self._farewells.extend(self._protocol.close(self._clock()))

    def _say_farewell(self) -> None:
        for event in taken(self._farewells):
            self._publish([event])

    # -- the thread

    def _main(self, run: Run) -> None:
        try:
            while True:
                try:
                    self._wait_for_turn(run)
                    self._connect_and_serve(run)
                except StoppedError:
                    raise
                except Exception as error:  # noqa: BLE001 - said with its traceback
                    # Not for ever: a new connection starts from known ground.
                    _log.exception("The account's feed met a defect of its own and reconnects")
                    self._lost(run, f"defect: {type(error).__name__}")
        except StoppedError:
            _log.debug("The account's feed has ended")
        except BaseException as error:  # noqa: BLE001 - said with its traceback
            # The one place for whatever ends the thread; the next `start` begins another.
            self._bury(run, f"defect: {type(error).__name__}")
            _log.critical("The account's feed has died; the next start begins anew", exc_info=True)
        finally:
            self._say_farewell()

    def _bury(self, run: Run, reason: str) -> None:
        with self._lock:
            if self._run is not run:
                return
            self._run = None
            events = self._protocol.abandon(self._clock(), reason)
        self._publish(events)

    def _alive_locked(self, run: Run) -> AccountProtocol:
        self._handover.empty_locked()
        if self._run is not run:
            raise StoppedError
        return self._protocol

    def _pause(self, run: Run) -> float:
        with self._lock:
            return self._alive_locked(run).link.retry_at - self._clock()

    def _wait_for_turn(self, run: Run) -> None:
        """Sleep until the next attempt is due and within the budget of this machine."""
        pause = self._pause(run)
        while pause > 0 or (pause := self._over_budget(run)) > 0:
            pause = self._pause(run) if run.bell.wait(pause) else 0.0
        with self._lock:
            self._alive_locked(run).link.attempt(self._clock())

    def _over_budget(self, run: Run) -> float:
        wait = self._budget.reserve(time.time()) if self._budget else 0.0
        if wait > 0:
            with self._lock:
                self._alive_locked(run).link.delay(self._clock() + wait)
            _log.info("Too many connection attempts; the account's next one in %.0f s", wait)
        return wait

    def _connect_and_serve(self, run: Run) -> None:
        connection: Connection | None = None
        try:
            token = self._token()
            connection = self._connect(self.url, self.settings.connect_timeout)
            with self._lock:
                self._alive_locked(run).opened(self._clock(), token)
                run.connection = connection
            self._serve(run, connection)
        except AuthenticationError as error:
            self._denied(run, error)
        except _Ended as error:
            self._lost(run, str(error), at_least=error.at_least)
        except ConnectionRefused as error:
            self._lost(run, str(error), at_least=self.settings.refused_delay)
        except (KrakenError, OSError, ValueError) as error:
            self._lost(run, str(error) or type(error).__name__)
        finally:
            if connection is not None:
                connection.close()

    def _denied(self, run: Run, error: AuthenticationError) -> None:
        """Take in that no token is to be had: what the key lacks is told, and heals slowly."""
        said = ", ".join(error.errors)
        if "Invalid nonce" in said:  # somebody else's call came in between
            self._lost(run, error.said)
            return
        with self._lock:
            self._alive_locked(run)
        self._publish([AccountDenied(said, self._clock())])
        account = self._account
        is_of_rights = "Permission denied" in said  # else each call may be one of the wrong ones
        pause = account.denied_delay if is_of_rights else account.lockout_delay
        self._lost(run, error.said, at_least=pause)

    def _lost(self, run: Run, reason: str, at_least: float = 0.0) -> None:
        chance = random.random()  # noqa: S311 - jitter, not a secret
        with self._lock:
            protocol = self._alive_locked(run)
            run.connection = None
            events = protocol.lost(self._clock(), reason, chance, at_least=at_least)
            pause = protocol.link.retry_at - self._clock()
        level = logging.INFO if events else logging.DEBUG
        _log.log(level, "No account's stream (%s); next attempt in %.1f s", reason, max(0.0, pause))
        self._publish(events)

    def _serve(self, run: Run, connection: Connection) -> None:
        """Send what is due and take in what comes, until the connection ends: then raise."""
        while True:
            with self._lock:
                protocol = self._alive_locked(run)
                now = self._clock()
                due = protocol.due(now)
                until = protocol.next_due()
            self._settle(due)
            for text in due.frames:  # which hold the token: they are shown to nobody
                connection.send(text)
            frames = connection.recv(max(0.0, until - now))
            if frames is None:
                continue
            with self._lock:
                came = self._alive_locked(run).receive(frames, self._clock())
            self._settle(came)

    def _settle(self, due: AccountDue) -> None:
        self._publish(due.events)
        if due.lost is not None:
            raise _Ended(due.lost, due.at_least)

    def _publish(self, events: Iterable[AccountEvent]) -> None:
        for event in events:
            for ref in self._readers:
                reader = ref()
                if reader is not None:
                    reader.offer(event)


def _after_fork() -> None:
    """Give the child feeds without threads and locks of the parent's."""
    for feed in tuple(_feeds):
        run = feed._run
        feed.start_anew()
        if run is not None and run.connection is not None:
            run.connection.close()  # the child's copy of it; the parent's lives on


on_fork(_after_fork)
