"""A relay at work: its provider's connection is listened to, and what came is published.

Three threads meet in one queue: the feed's, which only puts down what it received; one that hears
the readers; and the caller's, which publishes. It must never publish what it took in before it
looked at its clock last, for it may have been stopped meanwhile.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from krakenlink.errors import KrakenTransportError
from krakenlink.machine import feed_clock
from krakenlink.relay.broker import Broker, Ear, asks_of, prices_of
from krakenlink.relay.hub import Hub
from krakenlink.relay.packets import Unreadable, Word, read_word
from krakenlink.stream.connection import Connection

logger = logging.getLogger(__name__)

_GATHER = 0.005
_BEAT = 0.25  # seconds between two packets when nothing happens
_SWEEP_EVERY = 5.0
_PAUSE = 0.5  # before a broker that is gone is tried again

Happening = Callable[[Hub], None]


class Provider(Protocol):
    """What a relay needs of the provider behind it."""

    def subscribe_symbol(self, symbol: str, channel: str = ...) -> None:
        """Want a channel of a symbol."""
        ...

    def unsubscribe_symbol(self, symbol: str, channel: str = ...) -> None:
        """Want it no more."""
        ...


class _Tapped:
    """A connection to Kraken that puts down what comes and goes, for the relay."""

    def __init__(self, inner: Connection, put: Callable[[Happening], None]) -> None:
        self._inner, self._put = inner, put
        now = feed_clock()
        put(lambda hub: hub.opened(now))

    def send(self, text: str) -> None:
        self._put(lambda hub: hub.sent(text))
        self._inner.send(text)

    def recv(self, timeout: float) -> list[str | bytes] | None:
        frames = self._inner.recv(timeout)
        if frames is not None:
            now = feed_clock()
            self._put(lambda hub: hub.heard(now, frames))
        return frames

    def wake(self) -> None:
        self._inner.wake()

    def close(self) -> None:
        self._put(Hub.lost)
        self._inner.close()


class RelayServer:
    """One relay of one name on one broker.

    Args:
        broker: Where it publishes; its first name is the relay's.
        dead_after: Seconds without a frame after which Kraken's connection proves nothing.
    """

    def __init__(self, broker: Broker, dead_after: float) -> None:
        self._broker = broker
        self.name = broker.names[0]
        self._hub = Hub(uuid.uuid4().hex, dead_after)
        self._happened: queue.SimpleQueue[Happening] = queue.SimpleQueue()
        self._is_stopped = threading.Event()
        self._is_well = True

    def tapped(
        self, connect: Callable[[str, float], Connection]
    ) -> Callable[[str, float], Connection]:
        """Return a `connect` for the provider, of whose connections this relay hears."""
        return lambda url, timeout: _Tapped(connect(url, timeout), self._happened.put)

    def stop(self) -> None:
        """Let `run` return soon. From anywhere."""
        self._is_stopped.set()

    def run(self, provider: Provider) -> None:
        """Publish until `stop`. Blocks; trouble with the broker is said and ends by itself."""
        ears = threading.Thread(target=self._hear, name="ttslo-relay-asks", daemon=True)
        ears.start()
        swept_at = feed_clock()
        while not self._is_stopped.is_set():
            self._take_in()
            now = feed_clock()  # read after the last thing was taken in
            if now >= swept_at + _SWEEP_EVERY:
                swept_at = now
                self._hub.sweep(now)
            self._publish(now)
            while self._hub.wishes:
                wish = self._hub.wishes.popleft()
                ask = provider.subscribe_symbol if wish.is_wanted else provider.unsubscribe_symbol
                ask(wish.symbol, wish.channel)
        ears.join(10 * self._broker.timeout)
        self._broker.close()

    def _take_in(self) -> None:
        """Take in what happens within the gathering time after a first thing, or nothing."""
        with suppress(queue.Empty):
            self._happened.get(timeout=_BEAT)(self._hub)
            if not self._is_stopped.is_set():
                time.sleep(_GATHER)  # not a poll: what comes meanwhile goes in one packet
            for _ in range(self._happened.qsize()):
                self._happened.get_nowait()(self._hub)

    def _publish(self, now: float) -> None:
        packet = self._hub.packet(now)
        try:
            self._broker.publish(prices_of(self.name), packet.encoded())
        except KrakenTransportError as error:
            self._hub.begin_epoch()
            if self._is_well:
                logger.error("No prices go out: %s. Trying again every %g s.", error, _PAUSE)
            self._is_well = False
            self._is_stopped.wait(_PAUSE)
        else:
            if not self._is_well:
                logger.warning("The broker takes prices again; every reader begins anew.")
            self._is_well = True

    def _hear(self) -> None:
        """Be the thread that hears the readers."""
        while not self._is_stopped.is_set():
            ear: Ear | None = None
            try:
                ear = self._broker.listen_to(asks_of(self.name))
                self._happened.put(Hub.begin_epoch)  # what was asked meanwhile is lost
                while not self._is_stopped.is_set():
                    self._heard(ear.hear(_BEAT))
            except KrakenTransportError as error:
                logger.debug("The readers cannot be heard: %s", error)
                self._is_stopped.wait(_PAUSE)
            finally:
                with suppress(KrakenTransportError):
                    if ear is not None:
                        ear.close()

    def _heard(self, data: bytes | None) -> None:
        if data is None:
            return
        try:
            word: Word = read_word(data)
        except Unreadable as error:
            logger.debug("Not understood: %s", error)
            return
        now = feed_clock()
        self._happened.put(lambda hub: hub.take(word, now))
