"""Beyond this machine: TLS, a certificate that is checked, logins, and rights as documented."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from fake_kraken import FakeKraken
from krakenlink.errors import KrakenConnectionError
from krakenlink.machine import validate_source
from krakenlink.relay.broker import Broker, answers_of, asks_of, prices_of
from krakenlink.stream.settings import FeedSettings
from tests.kits.chaos.chaos_kit import CERTIFICATE
from tests.kits.relay.relay_kit import BROKERS, LONG, RedisServer, relay, wait_until
from ws_price_provider import WebSocketPriceProvider

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "relay.md"
DENIED = re.compile(r"NoPermission|no permissions")
SETTINGS = FeedSettings(retry_delays=(0.0, 0.2), mute_after=LONG)


def documented_rights() -> list[str]:
    """Return the users that docs/relay.md has its reader make, as lines of a configuration."""
    told = re.findall(r"^ACL SETUSER (.*)$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(told) == 3
    return [f"user {line}" for line in told]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """The file of a certificate for `localhost` that nobody vouches for, with its key."""
    path = tmp_path / "localhost.pem"
    path.write_text(CERTIFICATE, encoding="ascii")
    return path


@pytest.fixture(params=BROKERS)
def guarded(
    tmp_path: Path, certificate: Path, request: pytest.FixtureRequest
) -> Iterator[RedisServer]:
    """A broker with TLS, and users as documented."""
    server = RedisServer(tmp_path, request.param, documented_rights(), certificate)
    yield server
    server.end()


@pytest.fixture(params=BROKERS)
def with_users(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A broker on this machine, with users as documented."""
    server = RedisServer(tmp_path, request.param, documented_rights())
    yield server
    server.end()


LogIn = Callable[[str, str], None]


@pytest.fixture
def log_in(monkeypatch: pytest.MonkeyPatch) -> LogIn:
    """Return what sets the login of all that is opened from now on."""

    def set_to(user: str, password: str) -> None:
        monkeypatch.setenv("TTSLO_RELAY_USER", user)
        monkeypatch.setenv("TTSLO_RELAY_PASSWORD", password)

    return set_to


@contextmanager
def broker_at(url: str, timeout: float = LONG) -> Iterator[Broker]:
    """Give a client of a broker."""
    broker = Broker(url, timeout)
    try:
        yield broker
    finally:
        broker.close()


# --- TLS -----------------------------------------------------------------------------------------


def test_prices_come_over_tls(
    guarded: RedisServer,
    certificate: Path,
    exchange: FakeKraken,
    log_in: LogIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a certificate that somebody vouches for, logins and rights: the whole way."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    exchange.set_price("XBTUSD", "50000.1")
    url = guarded.url("r1")
    log_in("relay", "PASSWORD1")
    with relay(url, exchange.ws_url):
        log_in("reader", "PASSWORD2")
        reader = WebSocketPriceProvider(url, settings=SETTINGS)
        try:
            reader.subscribe("XBTUSD")
            wait_until(lambda: reader.get_current_price("XBTUSD") == 50000.1)
        finally:
            reader.stop()


def test_certificate_that_nobody_vouches_for_is_refused(guarded: RedisServer) -> None:
    """Whoever answers there could make prices up."""
    with broker_at(guarded.url("r1")) as broker:
        with pytest.raises(KrakenConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
            broker.publish((prices_of("r1"), b"1"))
        with pytest.raises(KrakenConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
            broker.listen_to(prices_of("r1"))


def test_certificate_of_another_host_is_refused(
    guarded: RedisServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A good certificate for another name is no certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with (
        broker_at(guarded.url("r1", host="127.0.0.1")) as broker,
        pytest.raises(KrakenConnectionError, match=r"(?i)mismatch"),
    ):
        broker.publish((prices_of("r1"), b"1"))


def test_broker_without_tls_is_no_answer_to_one_who_wants_it(with_users: RedisServer) -> None:
    """Nothing is said in the clear."""
    with (
        broker_at(f"rediss://localhost:{with_users.port}/r1", timeout=1.0) as broker,
        pytest.raises(KrakenConnectionError, match="the broker"),
    ):
        broker.publish((prices_of("r1"), b"1"))


@pytest.mark.parametrize("host", ["10.0.0.7", "relay.example", "[2001:db8::1]", "0.0.0.0"])
def test_beyond_this_machine_only_tls_is_taken(host: str) -> None:
    """The address alone decides, before anything is opened."""
    assert validate_source(f"rediss://{host}:6379/r1")
    with pytest.raises(ValueError, match="without TLS anybody between could set the price"):
        validate_source(f"redis://{host}:6379/r1")
    for url in (f"redis://{host}:6379/r1", f"rediss://{host}:6379/"):
        with pytest.raises(ValueError, match=r"refused|no address of a relay"):
            WebSocketPriceProvider(url)


# --- rights --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("user", "password"), [("relay", "PASSWORD2"), ("nobody", "x")])
def test_wrong_login_is_told_and_not_shown(
    with_users: RedisServer, log_in: LogIn, user: str, password: str
) -> None:
    """In one kind of error."""
    log_in(user, password)
    with broker_at(with_users.url("r1")) as broker:
        with pytest.raises(KrakenConnectionError, match="AuthenticationError") as caught:
            broker.publish((asks_of("r1"), b"1"))
        assert password not in str(caught.value)


def test_who_has_no_login_has_no_right(with_users: RedisServer) -> None:
    """The default user is off."""
    with (
        broker_at(with_users.url("r1")) as broker,
        pytest.raises(KrakenConnectionError, match="AuthenticationError"),
    ):
        broker.publish((asks_of("r1"), b"1"))


@pytest.mark.parametrize(
    "channel", [prices_of("r1"), answers_of("r1", "a1"), prices_of("r2"), asks_of("r2"), "else"]
)
def test_reader_may_not_publish_prices(
    with_users: RedisServer, log_in: LogIn, channel: str
) -> None:
    """Nor answers to others, nor anything of another relay: orders may be fired from these."""
    log_in("relay", "PASSWORD1")
    with broker_at(with_users.url("r1")) as good:
        ear = good.listen_to(prices_of("r1"))
        log_in("reader", "PASSWORD2")
        with (
            broker_at(with_users.url("r1")) as bad,
            pytest.raises(KrakenConnectionError, match=DENIED),
        ):
            bad.publish((channel, b"a price"))
        good.publish((prices_of("r1"), b"another"))
        assert ear.hear(LONG) == b"another"
        ear.close()


def test_reader_may_not_go_on_behind_a_refusal(with_users: RedisServer, log_in: LogIn) -> None:
    """Of several messages at once, the forbidden one is told."""
    log_in("reader", "PASSWORD2")
    with broker_at(with_users.url("r1")) as broker:
        broker.publish((asks_of("r1"), b"1"))
        with pytest.raises(KrakenConnectionError, match=DENIED):
            broker.publish((asks_of("r1"), b"1"), (prices_of("r1"), b"2"))


@pytest.mark.parametrize("channel", [asks_of("r1"), prices_of("r2"), "else"])
def test_reader_hears_prices_and_answers_alone(
    with_users: RedisServer, log_in: LogIn, channel: str
) -> None:
    """What others ask is none of its affair."""
    log_in("reader", "PASSWORD2")
    with broker_at(with_users.url("r1")) as broker:
        ear = broker.listen_to(prices_of("r1"), answers_of("r1", "a1"))
        ear.close()
        with pytest.raises(KrakenConnectionError, match=DENIED):
            broker.listen_to(channel)


def test_relay_may_do_what_it_does(
    with_users: RedisServer, exchange: FakeKraken, log_in: LogIn
) -> None:
    """And nothing else: no key can be written."""
    exchange.set_price("XBTUSD", "50000.1")
    log_in("relay", "PASSWORD1")
    with broker_at(with_users.url("r1")) as broker:
        with suppress(KrakenConnectionError):
            broker.publish((prices_of("r1"), b"1"))
        with pytest.raises(Exception, match="no permissions"):
            broker._client.set("key", "value")
    url = with_users.url("r1")
    with relay(url, exchange.ws_url):
        log_in("reader", "PASSWORD2")
        reader = WebSocketPriceProvider(url, settings=SETTINGS)
        try:
            reader.subscribe("XBTUSD")
            wait_until(lambda: reader.get_current_price("XBTUSD") == 50000.1)
        finally:
            reader.stop()
