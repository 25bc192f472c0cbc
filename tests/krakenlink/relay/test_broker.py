"""The way to the broker: the login comes from the environment, troubles in one kind of error."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

from krakenlink.errors import KrakenConnectionError
from krakenlink.relay.broker import Broker, RedisMissing, answers_of, asks_of, prices_of
from tests.kits.relay.relay_kit import LONG, RedisServer


def test_channels_are_named_by_the_relay() -> None:
    """Rights on the broker are given by these names."""
    assert prices_of("r1") == "ttslo.r1.prices"
    assert asks_of("r1") == "ttslo.r1.asks"
    assert answers_of("r1", "a7") == "ttslo.r1.to.a7"


def test_missing_package_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has not asked for a relay needs no redis."""
    real = builtins.__import__

    def importing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "redis":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", importing)
    with pytest.raises(RedisMissing, match=r'pip install "ttslo\[relay\]"'):
        Broker("redis://127.0.0.1:1/r1", LONG)


def test_what_is_published_is_heard(redis_server: RedisServer) -> None:
    """From the moment at which listening returned."""
    broker = Broker(redis_server.url("r1"), LONG)
    ear = broker.listen_to("there")
    broker.publish(("elsewhere", b"0"))
    broker.publish(("there", b"1\x1e2"))
    assert ear.hear(LONG) == b"1\x1e2"
    assert ear.hear(0.0) is None
    ear.close()
    broker.close()


def test_several_channels_are_heard_in_the_order_of_their_publisher(
    redis_server: RedisServer,
) -> None:
    """On this rests that an answer stands in its place."""
    broker = Broker(redis_server.url("r1"), LONG)
    ear = broker.listen_to("one", "two")
    wanted = [(("one", "two")[n % 3 % 2], str(n).encode()) for n in range(200)]
    broker.publish(*wanted[:150])
    broker.publish(*wanted[150:])
    assert [ear.hear(LONG) for _ in wanted] == [data for _, data in wanted]
    ear.close()
    broker.close()


def test_closed_broker_opens_nothing_anew(redis_server: RedisServer) -> None:
    """A socket that nobody gives back would stay."""
    broker = Broker(redis_server.url("r1"), LONG)
    broker.close()
    with pytest.raises(KrakenConnectionError, match="closed on this side"):
        broker.publish(("there", b"1"))


def test_broker_that_is_not_there_is_told_in_one_kind_of_error() -> None:
    """The feed knows what to do with that one."""
    broker = Broker("redis://127.0.0.1:1/r1", LONG)
    with pytest.raises(KrakenConnectionError, match="the broker: ConnectionError"):
        broker.publish(("there", b"1"))
    with pytest.raises(KrakenConnectionError, match="the broker"):
        broker.listen_to("there")
    broker.close()


def test_wrong_password_is_told_and_not_shown(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands in the environment and nowhere else."""
    monkeypatch.setenv("TTSLO_RELAY_USER", "nobody")
    monkeypatch.setenv("TTSLO_RELAY_PASSWORD", "s3cret-word")
    broker = Broker(redis_server.url("r1"), LONG)
    with pytest.raises(KrakenConnectionError, match="AuthenticationError") as caught:
        broker.publish(("there", b"1"))
    assert "s3cret-word" not in str(caught.value)
    broker.close()


def test_certificates_are_checked_beyond_this_machine() -> None:
    """By name and by who vouches for them."""
    broker = Broker("rediss://relay.example:6380/r1", LONG)
    options = broker._client.connection_pool.connection_kwargs
    assert options["ssl_cert_reqs"] == "required"
    assert options["ssl_check_hostname"] is True
    assert (options["host"], options["port"]) == ("relay.example", 6380)
    broker.close()
