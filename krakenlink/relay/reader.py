"""A reader's end of a relay: a connection as the feed knows it, whose prices a relay passes on.

A thread of its own hears the broker and sends the reader's numbers; what it heard is judged by
whoever calls `recv`. It must never let the age of a message stand for the age of its proof.
"""

from __future__ import annotations

import json
import queue
import threading
import uuid
from contextlib import suppress

from krakenlink.errors import KrakenConnectionError, KrakenTransportError
from krakenlink.machine import feed_clock, relay_names
from krakenlink.relay.broker import Broker, Ear, RedisMissing, answers_of, asks_of, prices_of
from krakenlink.relay.packets import Unreadable, Word, read_message
from krakenlink.relay.proof import Broken, Proof
from krakenlink.stream.connection import ConnectionRefused
from krakenlink.stream.events import PING
from krakenlink.stream.settings import DEFAULT_SETTINGS, FeedSettings

# Seconds between two numbers: the age of a proof is up to as much greater.
_NUMBER_EVERY = 0.5
# Seconds for which one of several relays is waited for before the others are looked at.
_TURN = 0.05
# Packets that wait for the feed's thread; this many are dozens of seconds, and proven no more.
_MOST_WAITING = 10_000


class RelayBroken(KrakenConnectionError):
    """The stream of packets has a gap, or its relay no proof."""


def open_relay(
    url: str, timeout: float, settings: FeedSettings = DEFAULT_SETTINGS
) -> RelayConnection:
    """Return a connection to the relay of those that `url` names which shows proven prices first.

    All are asked at once. Blocks up to `timeout` seconds, and as long for the broker before.

    Raises:
        ConnectionRefused: If the package redis is missing.
        KrakenTransportError: If no relay of these names answers.
    """
    names = relay_names(url)
    asked: list[RelayConnection] = []
    try:
        for name in names:
            made = RelayConnection(Broker(url, settings.send_timeout), name)
            asked.append(made)  # one by one, so that a later one's failure closes it
        return _first_open(asked, feed_clock() + timeout, names)
    except RedisMissing as error:
        raise ConnectionRefused(str(error), request_sent=False) from None
    finally:
        for connection in asked:
            connection.close()


def _first_open(asked: list[RelayConnection], ends_at: float, names: list[str]) -> RelayConnection:
    """Take the first connection with proven prices out of `asked`, and return it."""
    while asked and feed_clock() < ends_at:
        for connection in list(asked):
            try:
                if connection.wait_open(min(_TURN, max(0.0, ends_at - feed_clock()))):
                    asked.remove(connection)
                    return connection
            except RelayBroken:
                asked.remove(connection)
                connection.close()
    said = (
        f"no relay {' or '.join(names)} with proven prices answers there; is `ttslo relay` running?"
    )
    raise KrakenConnectionError(said, request_sent=True)


class RelayConnection:
    """One reader at one relay. One thread sends and receives; any may wake or close."""

    def __init__(self, broker: Broker, name: str) -> None:
        self._broker = broker
        self._asks = asks_of(name)
        self._proof = Proof(uuid.uuid4().hex)
        self._heard: queue.SimpleQueue[bytes | Exception | tuple[int, float] | None] = (
            queue.SimpleQueue()
        )
        self._is_closed = False
        try:
            ear = broker.listen_to(prices_of(name), answers_of(name, self._proof.reader))
        except BaseException:
            broker.close()
            raise
        self._thread = threading.Thread(
            target=self._pump, args=(ear,), name="kraken-relay-reader", daemon=True
        )
        self._thread.start()

    # -- the thread that hears

    def _pump(self, ear: Ear) -> None:
        number, due = 0, feed_clock()
        try:
            while not self._is_closed:
                now = feed_clock()
                if now >= due:
                    number += 1
                    kind = "hello" if number == 1 else "alive"
                    self._heard.put((number, feed_clock()))  # known before it can come back
                    self._say(Word(self._proof.reader, kind, number))
                    due = now + _NUMBER_EVERY
                data = ear.hear(max(0.0, due - feed_clock()))
                if data is not None:
                    self._heard.put(data)
                if self._heard.qsize() > _MOST_WAITING:
                    said = "prices come faster than they are taken in"
                    raise KrakenConnectionError(said, request_sent=True)
        except Exception as error:  # noqa: BLE001 - whatever it is ends the connection, told by recv
            self._heard.put(error)
        finally:
            with suppress(KrakenTransportError):
                ear.close()
                self._say(Word(self._proof.reader, "bye"))
            self._broker.close()

    def _say(self, word: Word) -> None:
        self._broker.publish((self._asks, word.encoded()))

    # -- what the feed calls

    def wait_open(self, timeout: float) -> bool:
        """Wait for the echo of the first number; False if it does not come in time.

        Raises:
            KrakenTransportError: If it cannot come any more.
        """
        ends_at = feed_clock() + timeout
        while not self._is_proven and (left := ends_at - feed_clock()) > 0:
            self.recv(left)
        return self._is_proven

    @property
    def _is_proven(self) -> bool:
        return self._proof.is_open and not self._proof.has_echo

    @property
    def proven_at(self) -> float:
        """The moment, on `feed_clock`, up to which all that was returned is proven."""
        return self._proof.proven_at

    def send(self, text: str) -> None:
        """Ask the relay what Kraken would be asked; a ping is answered behind what went before."""
        if text == PING:
            self._proof.pings()
        else:
            self._proof.follows(json.loads(text)["params"]["channel"])
            self._say(Word(self._proof.reader, "ask", text=text))

    def recv(self, timeout: float) -> list[str | bytes] | None:
        """Return the frames that are there, waiting at most `timeout` seconds for a first one.

        Never more than up to an echo: the next call lets it count, since by then all that came
        before it has been taken in.
        """
        if self._proof.has_echo:
            return [*self._proof.settle()]
        frames: list[str | bytes] | None = None
        try:
            told = self._heard.get(timeout=timeout)
            while True:
                if isinstance(told, bytes):
                    frames = [] if frames is None else frames
                    frames += self._proof.take(read_message(told))
                    if self._proof.has_echo:
                        return frames
                elif isinstance(told, tuple):
                    self._proof.sends(*told)
                elif told is None:
                    return frames
                else:
                    raise told
                told = self._heard.get_nowait()
        except queue.Empty:
            return frames
        except (Broken, Unreadable) as error:
            raise RelayBroken(str(error), request_sent=True) from None

    def wake(self) -> None:
        """Make a waiting `recv` return at once."""
        self._heard.put(None)

    def close(self) -> None:
        """Let the thread give the sockets back; a waiting `recv` raises. Idempotent."""
        self._is_closed = True
        self._heard.put(KrakenConnectionError("closed on this side", request_sent=True))
