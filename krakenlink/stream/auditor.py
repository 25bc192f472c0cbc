"""The audit's thread: asks REST now and then whether the stream still tells the truth.

One call for all streamed symbols, once a minute; what the answers mean is `audit`'s affair.
It runs beside the feed's thread and never in its way, begins and ends with it, and must never
make a price of its own: it only takes the stream's away, and gives them back. Nor must it tell
anybody anything: what follows from a look is an errand of the feed's thread, which tells one thing
after the other.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from krakenlink.errors import KrakenError
from krakenlink.pairs import Symbol
from krakenlink.stream.connection import Connection
from krakenlink.stream.events import BookWrong, Channel, Event
from krakenlink.stream.feed import FeedProtocol
from krakenlink.stream.handover import Bell, wake
from krakenlink.stream.health import book_views, reconnects, views
from krakenlink.stream.reader import Readers
from krakenlink.stream.settings import FeedSettings

if TYPE_CHECKING:  # loaded by the audit's own thread, while the stream connects
    from krakenlink.stream.audit import Audit, Finding, View

_log = logging.getLogger(__name__)


class AuditMeans:
    """What an audit does to a feed; a part of its thread, which says how it drops a connection.

    What readers are told of (`doubt_book`, `distrust`, `trust`) is done on the feed's thread: on
    another one it could be told after something newer that has come meanwhile. By then the symbol
    may have been given back and wanted anew: `of` is the subscription that was looked at, and None
    whichever there is.
    """

    settings: FeedSettings

    lock: threading.Lock  # the feed's: here is its name only
    changed: threading.Condition
    clock: Callable[[], float]
    feed: FeedProtocol
    readers: Readers

    def open_connection_locked(self) -> Connection | None:
        """Return the connection to be woken for work that is new, if there is one."""
        raise NotImplementedError

    def reconnect(self, reason: str) -> None:
        """Drop the connection and make a new one; `reason` is what events and log will say."""
        raise NotImplementedError

    def send(self, errand: Callable[[], None]) -> None:
        """Have the feed's thread do something between two things that it tells. From anywhere."""
        raise NotImplementedError

    def views(self) -> dict[str, View]:
        """Return the stream's side of every symbol that has had a tick; none without a link."""
        with self.lock:
            return views(self.feed)

    def resubscribe(self, symbol: str, channel: str = "ticker") -> None:
        """Leave and ask anew; the price stops counting until new data come."""
        with self.lock:
            self.feed.subscriptions.ask_again(Symbol(symbol), Channel(channel))
            connection = self.open_connection_locked()
        wake(connection)

    def book_views(self) -> dict[str, View]:
        """Return the best bid of every book that counts, as a price is looked at."""
        with self.lock:
            return book_views(self.feed)

    def is_on(self, connection: int) -> bool:
        """Tell whether the connection of a view is the present one."""
        with self.lock:
            return self.feed.link.is_open and reconnects(self.feed) == connection

    def doubt_book(self, symbol: str, reason: str, of: object = None) -> None:
        """Let a book be none until its next snapshot, which is asked for."""
        with self.lock:
            subscriptions, now = self.feed.subscriptions, self.clock()
            sub = subscriptions.by_key.get((Channel.BOOK, Symbol(symbol)))
            events: list[Event] = []
            if sub is not None and sub.content is not None and of in (None, sub):
                events = [BookWrong(Symbol(symbol), reason, now), *subscriptions.doubt(sub, now)]
        self.readers.publish(events)

    def distrust(self, symbol: str, reason: str, of: object = None) -> bool:
        """Let no price of `symbol` count until `trust`; `reason` is a sentence for people.

        Returns:
            Whether there is such a subscription.
        """
        with self.lock:
            events = self.feed.subscriptions.distrust(Symbol(symbol), reason, self.clock(), of)
            self.changed.notify_all()
        self.readers.publish(events)
        return bool(events)

    def trust(self, symbol: str, of: object = None) -> None:
        """Take `distrust` back: the last tick of this connection counts again."""
        with self.lock:
            events = self.feed.subscriptions.trust(Symbol(symbol), self.clock(), of)
            self.changed.notify_all()
        self.readers.publish(events)


class Auditor:
    """Audits one feed for as long as its thread runs; see `accompany` there.

    Args:
        feed: The stream's thread.
        ask: Returns REST's last prices of a list of symbols, with one call; those without a price
            are left out. It blocks, and may raise a `KrakenError`.
        ask_bids: The same for their best bids; None: no book is audited.
    """

    def __init__(
        self,
        feed: AuditMeans,
        ask: Callable[[list[str]], Mapping[str, Decimal]],
        ask_bids: Callable[[list[str]], Mapping[str, Decimal]] | None = None,
    ) -> None:
        self._feed = feed
        self._ask, self._ask_bids = ask, ask_bids
        # Made by its thread, and kept for the one after it, which has to trust again what this one
        # does not.
        self._audit: Audit | None = None
        self._books: Audit | None = None
        self._stop = Bell()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, unless it lives or the settings say never. Called under the feed's lock."""
        if (
            self._thread is not None and self._thread.is_alive()
        ) or self._feed.settings.audit_every <= 0:
            return
        self._stop = Bell()
        # Daemon, because it sleeps or waits for an answer, and owns nothing to be saved.
        thread = threading.Thread(
            target=self._main, args=(self._stop,), name="kraken-audit", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # no more threads, or the interpreter is ending
            _log.warning("The stream is not audited (%s)", error)
        else:
            self._thread = thread

    def stop(self) -> threading.Thread | None:
        """Tell the thread to end, and return it; a call that is under way ends first."""
        self._stop.ring()
        thread, self._thread = self._thread, None
        return thread

    def _main(self, stop: Bell) -> None:
        try:
            from krakenlink.stream.audit import Audit  # here, where nobody waits for it

            settings = self._feed.settings
            audit = self._audit = self._audit or Audit()
            books = self._books = self._books or Audit(counts_again=True)
            while not (
                stop.wait(
                    settings.audit_again_after
                    if audit.is_open or books.is_open
                    else settings.audit_every
                )
                or stop.is_rung
            ):
                try:
                    self._look(audit, stop)
                    self._look_at_books(books, stop)
                except KrakenError as error:
                    _log.debug("No audit this time: %s", error)
                except Exception:  # noqa: BLE001 - one failure must not end the rest
                    _log.exception("The audit met an error and goes on")
        except BaseException:  # noqa: BLE001 - top of the thread: the feed's next call starts another
            _log.critical("The audit has died; the next call starts it anew", exc_info=True)

    def _look(self, audit: Audit, stop: Bell) -> None:
        before = self._feed.views()
        if not before:
            return
        prices = self._ask(sorted(before))
        after = self._feed.views()
        # Without a link nothing is seen, which is not the same as nothing being wanted any more.
        if after and not stop.is_rung:
            for finding in audit.judge(before, prices, after):
                self._feed.send(partial(self._treat, finding, stop))

    def _look_at_books(self, audit: Audit, stop: Bell) -> None:
        before = self._feed.book_views()
        if not before or self._ask_bids is None:
            return
        bids = self._ask_bids(sorted(before))
        after = self._feed.book_views()
        if stop.is_rung:
            return
        from krakenlink.stream.audit import Remedy

        for finding in audit.judge(before, bids, after):
            if finding.remedy is not Remedy.TRUST:
                self._feed.send(partial(self._doubt_book, finding, stop))

    def _doubt_book(self, finding: Finding, stop: Bell) -> None:
        """Do what follows from a look at books. On the feed's thread."""
        seen = finding.view  # on a new connection its snapshot is new, and counts
        if self._feed.is_on(seen.connection) and not stop.is_rung:
            why = "REST has had another best bid twice"
            self._feed.doubt_book(finding.symbol, why, seen.of)

    def _treat(self, finding: Finding, stop: Bell) -> None:
        """Do what follows from a look at prices. On the feed's thread."""
        from krakenlink.stream.audit import Remedy

        if stop.is_rung:
            return  # what is wanted since then was not looked at
        seen = finding.view
        if finding.remedy is Remedy.TRUST:
            self._feed.trust(finding.symbol, seen.of)
            return
        is_meant = self._feed.distrust(finding.symbol, finding.sentence, seen.of)
        if not (is_meant and self._feed.is_on(seen.connection)):
            return  # it was given back, or is asked for on a new connection already
        if finding.remedy is Remedy.RECONNECT:
            self._feed.reconnect(f"the stream has fallen silent about {finding.symbol}")
            return
        for channel in Channel:
            self._feed.resubscribe(finding.symbol, channel)
