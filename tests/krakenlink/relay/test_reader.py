"""A reader's connection: opened by an echo, ended by a gap, closed from anywhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from krakenlink.errors import KrakenConnectionError
from krakenlink.machine import feed_clock
from krakenlink.relay.broker import Broker, RedisMissing, answers_of, asks_of, prices_of
from krakenlink.relay.packets import Answers, Packet, read_word
from krakenlink.relay.reader import RelayBroken, RelayConnection, open_relay
from krakenlink.stream.connection import ConnectionRefused
from krakenlink.stream.events import PING
from tests.kits.relay.relay_kit import LONG, RedisServer, wait_until


class ByHand:
    """A relay that publishes what a test says, and echoes what it heard last."""

    def __init__(self, redis_server: RedisServer, name: str) -> None:
        self.name, self.seq = name, 0
        self.broker = Broker(redis_server.url(name), LONG)
        self.ear = self.broker.listen_to(asks_of(name))

    def hear(self) -> tuple[str, str, int, str]:
        """Return the next word of a reader; blocks."""
        data = self.ear.hear(LONG)
        assert data is not None
        word = read_word(data)
        return word.kind, word.reader, word.number, word.text

    def publish(self, *items: str, echo: dict[str, int] | None = None, skip: int = 0) -> None:
        """Publish the next packet, or leave some out before it."""
        self.seq += 1 + skip
        packet = Packet("run-1", self.seq, 0.0, None, echo or {}, [], list(items))
        self.broker.publish((prices_of(self.name), packet.encoded()))


@contextmanager
def opened(server: RedisServer, name: str) -> Iterator[tuple[ByHand, RelayConnection, str]]:
    """Give a relay by hand, a connection that it has opened, and the reader's name."""
    relay = ByHand(server, name)
    connection = RelayConnection(Broker(server.url(name), LONG), name)
    kind, reader, number, _ = relay.hear()
    assert (kind, number) == ("hello", 1)
    relay.publish(echo={reader: 1})
    assert connection.wait_open(LONG)
    try:
        yield relay, connection, reader
    finally:
        connection.close()
        connection._thread.join(LONG)
        relay.ear.close()
        relay.broker.close()


def received(connection: RelayConnection) -> list[str | bytes]:
    """Return the next frames; blocks."""
    found: list[str | bytes] = []

    def is_there() -> bool:
        found.extend(connection.recv(0.1) or [])
        return bool(found)

    wait_until(is_there)
    return found


def test_frames_come_and_are_as_old_as_the_echo(redis_server: RedisServer) -> None:
    """Not as old as their coming."""
    began = feed_clock()
    with opened(redis_server, "frames") as (relay, connection, _):
        proven_at = connection.proven_at
        assert began <= proven_at <= feed_clock()
        relay.publish('{"n":1}', '{"n":2}')
        assert received(connection) == ['{"n":1}', '{"n":2}']
        assert connection.proven_at == proven_at


def test_numbers_go_on_and_each_echo_moves_the_proof(redis_server: RedisServer) -> None:
    """The reader asks by itself."""
    with opened(redis_server, "numbers") as (relay, connection, reader):
        proven_at = connection.proven_at
        kind, _, number, _ = relay.hear()
        assert (kind, number) == ("alive", 2)
        relay.publish(echo={reader: 2})
        wait_until(lambda: connection.recv(0.1) is not None and connection.proven_at > proven_at)


def test_lost_packet_ends_the_connection(redis_server: RedisServer) -> None:
    """Whatever it held."""
    with opened(redis_server, "gap") as (relay, connection, _):
        relay.publish('{"n":1}', skip=1)
        with pytest.raises(RelayBroken, match="packet 3 of the relay came after 1"):
            received(connection)


def test_echo_counts_after_the_frames_before_it(redis_server: RedisServer) -> None:
    """However many packets wait: a price never has a proof that is newer than its successor."""
    with opened(redis_server, "order") as (relay, connection, reader):
        connection._proof.follows("ticker")
        before = connection.proven_at
        kind, _, number, _ = relay.hear()
        assert (kind, number) == ("alive", 2)
        relay.publish('{"n":1}')
        relay.publish('{"n":2}', echo={reader: 2})
        relay.publish('{"n":3}')
        seen: list[tuple[str | bytes, bool]] = []

        def is_all() -> bool:
            seen.extend((f, connection.proven_at > before) for f in connection.recv(0.1) or [])
            return len(seen) == 3

        wait_until(is_all)
        assert seen == [('{"n":1}', False), ('{"n":2}', False), ('{"n":3}', True)]


def test_answers_come_on_a_channel_of_the_reader_s_own(redis_server: RedisServer) -> None:
    """In their place between the packets."""
    with opened(redis_server, "answers") as (relay, connection, reader):
        for whose, n in ((reader, 1), ("b2", 2)):
            answers = Answers(whose, "run-1", 1, [f'{{"n":{n}}}'])
            relay.broker.publish((answers_of("answers", whose), answers.encoded()))
        relay.publish('{"n":3}')
        frames: list[str | bytes] = []

        def is_all() -> bool:
            frames.extend(connection.recv(0.1) or [])
            return len(frames) == 2

        wait_until(is_all)
        assert frames == ['{"n":1}', '{"n":3}']


def test_damage_on_the_channel_ends_the_connection(redis_server: RedisServer) -> None:
    """Somebody else publishes there: nothing that comes is sure."""
    with opened(redis_server, "damage") as (relay, connection, _):
        relay.broker.publish((prices_of("damage"), b"hello"))
        with pytest.raises(RelayBroken, match="no packet of a relay"):
            received(connection)


def test_question_goes_to_the_relay_and_a_ping_does_not(redis_server: RedisServer) -> None:
    """The next echo answers the ping."""
    question = '{"method":"subscribe","params":{"channel":"ticker"}}'
    with opened(redis_server, "asks") as (relay, connection, reader):
        connection.send(PING)
        connection.send(question)
        words = [relay.hear() for _ in range(2)]
        assert ("ask", reader, 0, question) in words
        while words[-1][0] != "alive" and words[0][0] != "alive":
            words.append(relay.hear())
        relay.publish(echo={reader: max(number for _, _, number, _ in words)})
        assert received(connection) == ['{"method":"pong"}']


def test_close_ends_a_waiting_recv_and_says_goodbye(redis_server: RedisServer) -> None:
    """From another thread."""
    with opened(redis_server, "close") as (relay, connection, _):
        closer = threading.Thread(target=connection.close)
        closer.start()
        with pytest.raises(KrakenConnectionError, match="closed on this side"):
            connection.recv(LONG)
        closer.join(LONG)
        while relay.hear()[0] != "bye":
            pass


def test_wake_ends_a_waiting_recv(redis_server: RedisServer) -> None:
    """With nothing."""
    with opened(redis_server, "wake") as (_, connection, _reader):
        connection.wake()
        assert connection.recv(LONG) is None


def test_no_relay_is_told_by_its_names(redis_server: RedisServer) -> None:
    """With what to look at."""
    with pytest.raises(KrakenConnectionError, match="no relay one or two with proven prices"):
        open_relay(redis_server.url("one", "two"), 0.2)
    wait_until(lambda: not any(t.name == "kraken-relay-reader" for t in threading.enumerate()))


def test_of_several_relays_the_one_with_proven_prices_is_taken(redis_server: RedisServer) -> None:
    """All are asked at once: a silent one costs no time, and one without proof none either."""
    relays = [ByHand(redis_server, name) for name in ("silent", "blind", "good")]
    found: list[RelayConnection] = []
    url = redis_server.url("silent", "blind", "good")
    opening = threading.Thread(target=lambda: found.append(open_relay(url, LONG)))
    opening.start()
    readers = [relay.hear()[1] for relay in relays]
    _, blind, good = relays
    nothing = Packet("run-1", 1, None, None, {readers[1]: 1})
    blind.broker.publish((prices_of("blind"), nothing.encoded()))
    good.publish(echo={readers[2]: 1})
    opening.join(LONG)
    (connection,) = found
    assert connection._proof.reader == readers[2]
    for relay in relays[:2]:  # the others are let go
        while relay.hear()[0] != "bye":
            pass
    connection.close()
    connection._thread.join(LONG)
    for relay in relays:
        relay.ear.close()
        relay.broker.close()


def test_relays_without_proof_are_not_waited_for(redis_server: RedisServer) -> None:
    """Whoever says that it has none is asked again on the next attempt."""
    relay = ByHand(redis_server, "none")
    failures: list[KrakenConnectionError] = []

    def opening() -> None:
        try:
            open_relay(redis_server.url("none"), 10 * LONG)
        except KrakenConnectionError as error:
            failures.append(error)

    thread = threading.Thread(target=opening)
    thread.start()
    reader = relay.hear()[1]
    nothing = Packet("run-1", 1, None, None, {reader: 1})
    relay.broker.publish((prices_of("none"), nothing.encoded()))
    thread.join(LONG)
    assert "no relay none with proven prices" in str(failures[0])
    relay.ear.close()
    relay.broker.close()


def test_missing_package_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said aloud, and not tried again each second."""

    def missing(*_: object) -> Broker:
        raise RedisMissing("the cure", request_sent=False)

    monkeypatch.setattr("krakenlink.relay.reader.Broker", missing)
    with pytest.raises(ConnectionRefused, match="the cure"):
        open_relay("redis://127.0.0.1:1/r1", 1.0)
