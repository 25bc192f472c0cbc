"""A relay at work: its providers' connections are listened to, and what came is published.

Some threads meet in one queue: the feeds', which only put down what they received; one that hears
the readers; and the caller's, which publishes. It must never publish what it took in before it
looked at its clock last, for it may have been stopped meanwhile.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from krakenlink.errors import KrakenTransportError
from krakenlink.machine import feed_clock
from krakenlink.relay.broker import Broker, answers_of, asks_of, prices_of
from krakenlink.relay.hub import Hub, Line, Wish, line_of
from krakenlink.relay.packets import Answers, Packet, Unreadable, Word, read_word
from krakenlink.stream.connection import Connection
from krakenlink.stream.events import Channel
from krakenlink.stream.settings import FeedSettings, patient

logger = logging.getLogger(__name__)

_GATHER = 0.003  # seconds between two packets when much happens
_BEAT = 0.25  # seconds between two packets when nothing happens
_SWEEP_EVERY = 5.0
_RATE_WINDOW = 10.0
_PAUSE = 0.5  # before a broker that is gone is tried again

Happening = Callable[[Hub], None]


class Provider(Protocol):
    """What a relay needs of a provider behind it."""

    def want(self, symbol: str, wanted: Channel, param: int) -> object:
        """Want a channel of a symbol, with a depth or an interval. Returns at once."""
        ...

    def unsubscribe_symbol(self, symbol: str, channel: str, *, interval: int | None = None) -> None:
        """Want it no more. Returns at once."""
        ...

    def reconnect(self, reason: str) -> None:
        """Begin anew on another connection. Returns at once."""
        ...


class _Tapped:
    """A connection to Kraken that puts down what comes and goes, for the relay."""

    def __init__(self, inner: Connection, put: Callable[[Happening], None], line: Line) -> None:
        self._inner, self._put, self._line = inner, put, line
        now = feed_clock()
        put(lambda hub: hub.opened(now, line))

    def send(self, text: str) -> None:
        self._put(lambda hub: hub.sent(text, self._line))
        self._inner.send(text)

    def recv(self, timeout: float) -> list[str | bytes] | None:
        frames = self._inner.recv(timeout)
        if frames is not None:
            now = feed_clock()
            self._put(lambda hub: hub.heard(now, frames, self._line))
        return frames

    def wake(self) -> None:
        self._inner.wake()

    def close(self) -> None:
        self._put(lambda hub: hub.lost(self._line))
        self._inner.close()


@dataclass(frozen=True, slots=True)
class Standing:
    """How a relay stands at one moment; what is counted is counted since it began.

    Attributes:
        readers: How many it remembers.
        subscriptions: How many channels of symbols it has at Kraken, or is asking for.
        packets: How many it has published.
        packets_per_second: In the mean of the last seconds.
        proven_at: When Kraken gave its last proof of life, on `feed_clock`; None where it does not
            hold.
        is_heard: Whether the broker took what was published last.
    """

    readers: int = 0
    subscriptions: int = 0
    packets: int = 0
    packets_per_second: float = 0.0
    proven_at: float | None = None
    is_heard: bool = False


class RelayServer:
    """One relay of one name on one broker.

    Args:
        broker: Where it publishes; its first name is the relay's.
        settings: Those of the connection to Kraken.

    Attributes:
        name: The relay's.
        settings: The same.
        standing: How it stands; replaced whole, so any thread may read it.
    """

    def __init__(self, broker: Broker, settings: FeedSettings) -> None:
        self._broker = broker
        self.settings = settings
        self.name = broker.names[0]
        self.standing = Standing()
        self._hub = Hub(uuid.uuid4().hex, settings.dead_after, patient(settings).dead_after)
        self._happened: queue.SimpleQueue[Happening] = queue.SimpleQueue()
        self._is_stopped = threading.Event()
        self._is_well = True
        self._packets = 0
        self._published_at = float("-inf")
        self._counts: deque[tuple[float, int]] = deque()  # one a second

    def tapped(
        self, connect: Callable[[str, float], Connection], line: Line = Line.PRICES
    ) -> Callable[[str, float], Connection]:
        """Return a `connect` for a provider, of whose connections this relay hears."""
        return lambda url, timeout: _Tapped(connect(url, timeout), self._happened.put, line)

    def stop(self) -> None:
        """Let `run` return soon. From anywhere."""
        self._is_stopped.set()

    def run(self, providers: Mapping[Line, Provider]) -> None:
        """Publish until `stop`. Blocks; trouble with the broker is said and ends by itself.

        Args:
            providers: Whose connections are tapped.
        """
        ears = threading.Thread(target=self._hear, name="ttslo-relay-asks", daemon=True)
        ears.start()
        swept_at = feed_clock()
        while not self._is_stopped.is_set():
            try:
                self._take_in()
            except Exception as error:
                # Not wrong for ever: a new connection starts from known ground.
                logger.exception("The relay met a defect of its own and begins anew")
                for line, provider in providers.items():
                    self._hub.lost(line)
                    provider.reconnect(f"a defect of the relay: {type(error).__name__}")
            now = feed_clock()  # read after the last thing was taken in
            if now >= swept_at + _SWEEP_EVERY:
                swept_at = now
                self._hub.sweep(now)
            self._publish(now)
            self._stand(now)
            while self._hub.wishes:
                _fulfil(self._hub.wishes.popleft(), providers)
        ears.join(10 * self._broker.timeout)
        self._broker.close()

    def _take_in(self) -> None:
        """Take in what happens next, at most one packet in each gathering time, or nothing."""
        with suppress(queue.Empty):
            self._happened.get(timeout=_BEAT)(self._hub)
            left = self._published_at + _GATHER - feed_clock()
            if left > 0 and not self._is_stopped.is_set():
                time.sleep(left)  # not a poll: what comes meanwhile goes in one packet
            for _ in range(self._happened.qsize()):
                self._happened.get_nowait()(self._hub)

    def _publish(self, now: float) -> None:
        told = self._hub.outgoing(now)
        self._published_at = now
        try:
            self._broker.publish(*[(self._channel_of(one), one.encoded()) for one in told])
        except KrakenTransportError as error:
            self._hub.begin_epoch()
            if self._is_well:
                logger.error("No prices go out: %s. Trying again every %g s.", error, _PAUSE)
            self._is_well = False
            self._is_stopped.wait(_PAUSE)
        else:
            self._packets += len(told)
            if not self._is_well:
                logger.warning("The broker takes prices again; every reader begins anew.")
            self._is_well = True

    def _channel_of(self, told: Packet | Answers) -> str:
        if isinstance(told, Packet):
            return prices_of(self.name)
        return answers_of(self.name, told.reader)

    def _stand(self, now: float) -> None:
        counts = self._counts
        if not counts or now - counts[-1][0] >= 1.0:
            counts.append((now, self._packets))
            while now - counts[0][0] > _RATE_WINDOW:
                counts.popleft()
        since, before = counts[0]
        rate = (self._packets - before) / max(1.0, now - since)
        hub = self._hub
        self.standing = Standing(
            len(hub.readers),
            hub.subscriptions,
            self._packets,
            rate,
            hub.proven_at(now),
            self._is_well,
        )

    def _hear(self) -> None:
        """Be the thread that hears the readers."""
        while not self._is_stopped.is_set():
            try:
                self._hear_on_one_connection()
            except KrakenTransportError as error:
                logger.debug("The readers cannot be heard: %s", error)
            except Exception:
                # Prices would go out, and whoever reads them would be heard no more.
                logger.exception("The relay met a defect of its own and hears its readers anew")
            self._is_stopped.wait(_PAUSE)

    def _hear_on_one_connection(self) -> None:
        ear = self._broker.listen_to(asks_of(self.name))
        try:
            self._happened.put(Hub.begin_epoch)  # what was asked meanwhile is lost
            while not self._is_stopped.is_set():
                self._heard(ear.hear(_BEAT))
        finally:
            with suppress(KrakenTransportError):
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


def _fulfil(wish: Wish, providers: Mapping[Line, Provider]) -> None:
    """Have Kraken asked for something, or leave it."""
    provider, channel = providers[line_of(wish.channel)], Channel(wish.channel)
    if wish.is_wanted:
        provider.want(wish.symbol, channel, wish.param)
    else:
        interval = wish.param if channel is Channel.OHLC else None
        provider.unsubscribe_symbol(wish.symbol, channel, interval=interval)
