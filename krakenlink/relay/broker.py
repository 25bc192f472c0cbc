"""The broker between relays and readers: its address, its login, and the redis package.

The one module that meets redis-py. It must never speak without TLS beyond this machine, since
orders may be fired from what comes here, nor show a password.

Sources: Redis 7, pub/sub and ACL; redis-py 8 (read 2026-11).
"""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from krakenlink.errors import KrakenConnectionError
from krakenlink.foreign import shown
from krakenlink.machine import BROKER_PORT, relay_names

if TYPE_CHECKING:
    import redis

USER_VARIABLE, PASSWORD_VARIABLE = "TTSLO_RELAY_USER", "TTSLO_RELAY_PASSWORD"
MISSING = 'prices by a relay need the package redis: pip install "ttslo[relay]"'


class RedisMissing(KrakenConnectionError):
    """The package redis is not there."""


def prices_of(name: str) -> str:
    """Return the channel on which the relay `name` publishes, and nobody else may."""
    return f"ttslo.{name}.prices"


def answers_of(name: str, reader: str) -> str:
    """Return the channel on which the relay `name` answers one reader, and nobody else may."""
    return f"ttslo.{name}.to.{reader}"


def asks_of(name: str) -> str:
    """Return the channel on which readers of the relay `name` publish."""
    return f"ttslo.{name}.asks"


class Broker:
    """A client of one broker. Opens nothing before the first call; each call blocks.

    Args:
        url: `redis://` or `rediss://`, already validated; its path names the relays.
        timeout: Longest wait of one call, in seconds.

    Raises:
        RedisMissing: If the package redis is not installed.
    """

    def __init__(self, url: str, timeout: float) -> None:
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError:
            raise RedisMissing(MISSING, request_sent=False) from None
        self._errors = (redis.RedisError, OSError)
        parts = urllib.parse.urlsplit(url)
        self.names = relay_names(url)
        self.timeout = timeout
        self._is_closed = False
        options: dict[str, Any] = {}
        if parts.scheme == "rediss":
            options = {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True}
            options["ssl_ca_certs"] = os.environ.get("SSL_CERT_FILE")
        # No second try of the client's own: what is missing meanwhile must be seen.
        self._client: redis.Redis = redis.Redis(
            host=parts.hostname or "",
            port=parts.port or BROKER_PORT,
            username=os.environ.get(USER_VARIABLE),
            password=os.environ.get(PASSWORD_VARIABLE),
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            **options,
        )

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            said = f"the broker: {type(error).__name__}: {shown(str(error), 200)}"
            raise KrakenConnectionError(said, request_sent=True) from None

    def publish(self, *messages: tuple[str, bytes]) -> None:
        """Publish messages, each on its channel, in this order.

        Raises:
            KrakenConnectionError: If the broker does not take one of them.
        """
        if self._is_closed:  # the client would open a socket anew
            raise KrakenConnectionError("closed on this side", request_sent=False)
        with self._told(), self._client.pipeline(transaction=False) as together:
            for channel, data in messages:
                together.publish(channel, data)
            together.execute()

    def listen_to(self, *channels: str) -> Ear:
        """Return what hears all that is published on `channels` from now on.

        What one publisher says on them is heard in its order.

        Raises:
            KrakenConnectionError: If the broker does not let us.
        """
        return Ear(self, channels)

    def close(self) -> None:
        """Give the sockets back, for good."""
        self._is_closed = True
        with suppress(*self._errors):
            self._client.close()


class Ear:
    """A connection that hears some channels. One thread hears; the same one closes."""

    def __init__(self, broker: Broker, channels: tuple[str, ...]) -> None:
        self._broker = broker
        self._heard = broker._client.pubsub()  # type: ignore[no-untyped-call]
        with broker._told():
            self._heard.subscribe(*channels)
            for _ in channels:  # each is confirmed; from then on nothing is missed
                if self._heard.get_message(timeout=broker.timeout) is None:
                    raise TimeoutError("it does not answer")

    def hear(self, timeout: float) -> bytes | None:
        """Return the next message; None if there is none within `timeout` seconds.

        Raises:
            KrakenConnectionError: If the connection is gone, and something may be missed.
        """
        with self._broker._told():
            told = self._heard.get_message(ignore_subscribe_messages=True, timeout=timeout)
        data = told["data"] if told is not None and told["type"] == "message" else None
        return data if isinstance(data, bytes) else None

    def close(self) -> None:
        """Give the socket back."""
        with self._broker._told():
            self._heard.close()
