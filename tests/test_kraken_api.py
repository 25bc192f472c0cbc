"""The client: what is sent, what is asked again, and where prices come from."""

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import tomllib
import warnings
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import Mock

import pytest

import kraken_api
import krakenlink
from kraken_api import KrakenAPI
from krakenlink.rest.gate import gate_of
from tests.kits.rest import price_kit, rest_kit
from tests.kits.rest.price_kit import Streaming
from tests.kits.rest.rest_kit import (
    QUICK,
    REST,
    SECRET,
    Loopback,
    Web,
    client_of,
    forever_ok,
    http,
    ok,
    read_request,
    ticker,
)
from ws_price_provider import WebSocketPriceProvider

web, streaming = rest_kit.web, price_kit.streaming  # fixtures

ROOT = Path(__file__).resolve().parents[1]


# --- construction ---


def test_constructor_keeps_its_arguments_and_does_nothing() -> None:
    """The attributes are those of the contract; a network or a thread would fail this test."""
    api = KrakenAPI("key", SECRET, "https://example.org", False, ws_timeout=0.5)
    assert (api.api_key, api.api_secret, api.base_url) == ("key", SECRET, "https://example.org")
    assert (api.use_websocket, api.ws_url, api.ws_timeout) == (False, None, 0.5)
    assert api.has_keys


def test_defaults_are_krakens_own_addresses() -> None:
    """Without arguments and without environment, Kraken is talked to."""
    api = KrakenAPI()
    assert (api.base_url, api.ws_url) == (REST, "wss://ws.kraken.com/v2")
    assert not api.has_keys


def test_environment_replaces_the_default_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """`KRAKEN_SPOT_URL` and `KRAKEN_WS_PUBLIC_URL` count where no address is given."""
    monkeypatch.setenv("KRAKEN_SPOT_URL", "http://127.0.0.1:8080/")
    monkeypatch.setenv("KRAKEN_WS_PUBLIC_URL", "ws://127.0.0.1:8080/v2")
    api = KrakenAPI()
    assert (api.base_url, api.ws_url) == ("http://127.0.0.1:8080/", "ws://127.0.0.1:8080/v2")


def test_arguments_beat_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that was given is used."""
    monkeypatch.setenv("KRAKEN_SPOT_URL", "https://env.example")
    monkeypatch.setenv("KRAKEN_WS_PUBLIC_URL", "wss://env.example/v2")
    api = KrakenAPI(base_url="https://my.example", ws_url="wss://my.example/v2")
    assert (api.base_url, api.ws_url) == ("https://my.example", "wss://my.example/v2")


@pytest.mark.parametrize(
    "url",
    ["http://api.kraken.com", "ftp://x", "", "api.kraken.com", "https://", "http://localhost.evil"],
)
def test_address_without_tls_is_refused_off_this_machine(url: str) -> None:
    """Only `https:`, or `http:` to loopback, carries signed requests; the error names the cure."""
    with pytest.raises(ValueError, match="https://"):
        KrakenAPI(base_url=url)


@pytest.mark.parametrize("url", ["http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1"])
def test_loopback_may_do_without_tls(url: str) -> None:
    """A stand-in on this machine needs no certificate."""
    assert KrakenAPI(base_url=url).base_url == url


def test_stream_address_without_tls_is_refused() -> None:
    """The stream's address is held to the same rule."""
    with pytest.raises(ValueError, match="wss"):
        KrakenAPI(ws_url="ws://ws.kraken.com/v2")


def test_other_exchange_does_not_get_krakens_stream() -> None:
    """With another REST address and no stream address, prices are of that REST alone."""
    api = KrakenAPI(base_url="http://127.0.0.1:1")
    assert api.ws_url is None
    assert api.price_provider() is None


def test_from_env_takes_the_right_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading and trading keys come from their own variables, further keywords are passed on."""
    monkeypatch.setenv("KRAKEN_API_KEY", "ro")
    monkeypatch.setenv("KRAKEN_API_KEY_RW", "rw")
    monkeypatch.setenv("KRAKEN_API_SECRET_RW", "rw-secret")
    api = KrakenAPI.from_env(readwrite=True, use_websocket=False, ws_timeout=1.0)
    assert (api.api_key, api.api_secret, api.ws_timeout) == ("rw", "rw-secret", 1.0)
    assert KrakenAPI.from_env().api_key == "ro"


def test_repr_shows_no_key() -> None:
    """Printing a client shows where it points, and not what opens it."""
    text = repr(KrakenAPI("my-key", SECRET))
    assert text == "<KrakenAPI https://api.kraken.com with keys>"


def test_version_is_that_of_the_package() -> None:
    """There is one constant, and packaging reads it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "krakenlink.VERSION"}
    assert krakenlink.VERSION == kraken_api.VERSION


def test_class_of_the_stream_may_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in this module under the name of the provider is what prices come from."""

    class Mine(kraken_api.WebSocketPriceProvider):
        _shared: ClassVar[dict[str, Any]] = {}

    monkeypatch.setattr(kraken_api, "WebSocketPriceProvider", Mine)
    assert type(KrakenAPI().price_provider()) is Mine


def test_library_that_is_said_to_be_missing_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """`WEBSOCKET_AVAILABLE` is looked at with each call."""
    api = KrakenAPI()
    monkeypatch.setattr(kraken_api, "WEBSOCKET_AVAILABLE", False)
    assert api.price_provider() is None


def test_stand_in_by_the_class_has_every_call() -> None:
    """A mock limited to the client's names has the inherited ones, too."""
    mock = Mock(spec=KrakenAPI)
    for name in ("get_current_price", "add_trailing_stop_loss", "get_balance", "_query_public"):
        assert callable(getattr(mock, name))
    with pytest.raises(AttributeError):
        mock.no_such_call()


# --- the stream that is shared ---


def test_clients_of_one_address_share_the_stream(web: Web, streaming: Streaming) -> None:
    """Two clients make one connection; what one closes, the other still has."""
    api, stream = streaming(BTC_USD="50000.5")
    other = KrakenAPI(ws_url=stream.ws_url, timeouts=QUICK)
    assert api.get_current_price("XBTUSD") == other.get_current_price("XBTUSD") == 50000.5
    assert other.price_provider() is api.price_provider()
    other.close()
    assert api.get_current_price("XBTUSD") == 50000.5
    assert stream.connections == 1
    assert not web.calls


def test_provider_starts_nothing_by_itself(streaming: Streaming) -> None:
    """Asking for the stream opens no connection; the first subscription does."""
    api, stream = streaming()
    assert api.price_provider() is not None
    assert not [t for t in threading.enumerate() if t.name.startswith("kraken-")]
    assert stream.connections == 0


def test_stream_may_be_switched_off(web: Web, streaming: Streaming) -> None:
    """Without the stream all prices come over REST."""
    api, stream = streaming(BTC_USD="50000.5")
    off = KrakenAPI(ws_url=stream.ws_url, use_websocket=False)
    web.on("Ticker", ok(ticker("7")))
    assert off.get_current_price("XBTUSD") == 7.0
    assert off.price_provider() is None
    assert api.price_provider() is not None


def wanted(provider: WebSocketPriceProvider) -> list[str]:
    """Return the symbols that somebody holds."""
    return [one.symbol for one in provider.health().symbols]


@pytest.mark.parametrize("is_locked", [False, True], ids=["free", "below the feed's lock"])
def test_dropped_client_gives_its_subscriptions_back(
    web: Web, streaming: Streaming, is_locked: bool
) -> None:
    """Without `close`, in a circle, collected while this thread holds the feed's lock."""
    api, stream = streaming(BTC_USD="1", ETH_USD="2")
    provider = api.price_provider()
    assert provider is not None
    assert api.get_current_price("XBTUSD") == 1
    dropped = [KrakenAPI(ws_url=stream.ws_url, timeouts=QUICK) for _ in range(3)]
    for one in dropped:
        assert (one.get_current_price("XBTUSD"), one.get_current_price("ETH/USD")) == (1, 2)
        one.circle = one  # type: ignore[attr-defined]  # for the collector to find
    assert wanted(provider) == ["BTC/USD", "ETH/USD"]
    del one
    dropped.clear()
    with provider.feed_thread.lock if is_locked else nullcontext():
        gc.collect()
    assert wanted(provider) == ["BTC/USD"]
    api.close()
    assert wanted(provider) == []


def test_close_waits_for_no_lock(web: Web, streaming: Streaming) -> None:
    """A finalizer may close a client in the middle of whatever its thread does with that client."""
    api, _ = streaming(BTC_USD="1")
    web.on("Time", ok({"unixtime": 1_700_000_000}))
    assert api.get_current_price("XBTUSD") == 1
    api.server_time()
    provider = api.price_provider()
    assert provider is not None
    with ExitStack() as held:
        for lock in (api._lock, api._prices._lock, provider.feed_thread.lock):
            held.enter_context(lock)
        closing = threading.Thread(target=api.close, daemon=True)
        closing.start()
        closing.join(60)
        assert not closing.is_alive()
    assert wanted(provider) == []
    assert api.get_current_price("XBTUSD") == 1


def test_close_in_the_middle_of_joining_takes_nothing_from_who_asked(
    streaming: Streaming,
) -> None:
    """A handler that closes the client meanwhile does not make it one without a stream."""
    api, stream = streaming()
    with_keys = KrakenAPI("key", SECRET, ws_url=stream.ws_url, ws_auth_url=stream.ws_url)

    class Closing(KrakenAPI):
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if name in ("_provider", "_account") and value is not None:
                self.close()

    for client in (api, with_keys):
        client.__class__ = Closing
    assert api.price_provider() is not None
    assert with_keys.account_feed() is not None


def test_close_waits_for_no_lock_of_the_pool_of_connections() -> None:
    """Nor for those of the libraries below: what a call uses is closed with that call."""
    with Loopback(forever_ok) as server, client_of(server.url) as api:
        api.warm_up()
        pool = api._transport._adapter.poolmanager.connection_from_url(server.url)
        with pool.pool.mutex, api._transport._adapter.poolmanager.pools.lock:
            closing = threading.Thread(target=api.close, daemon=True)
            closing.start()
            closing.join(60)
            assert not closing.is_alive()
        del pool
        server.wait_closed(0)
        api.warm_up()


# --- other processes, other installations ---

WITHOUT_A_LIBRARY = """
import logging, sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == sys.argv[2]:
            raise ImportError("not installed")
sys.meta_path.insert(0, Nothing())
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
import kraken_api, ws_price_provider
assert not kraken_api.WEBSOCKET_AVAILABLE and not ws_price_provider.WEBSOCKET_AVAILABLE
assert kraken_api.WebSocketPriceProvider is ws_price_provider.WebSocketPriceProvider
for api in (kraken_api.KrakenAPI(sys.argv[1], ws_url="ws://127.0.0.1:1"),) * 2:
    api = kraken_api.KrakenAPI(base_url=sys.argv[1], ws_url="ws://127.0.0.1:1")
    print(api.get_current_price("XBTUSD"))
"""


@pytest.mark.parametrize("library", ["websocket", "msgspec"])
def test_everything_works_without_a_library_of_the_stream(library: str) -> None:
    """With one of the two missing, prices come over REST, and one line says so."""

    def price(sock: socket.socket) -> None:
        while read_request(sock):
            sock.sendall(http(ok(ticker("7"))))

    with Loopback(price) as server:
        command = [sys.executable, "-c", WITHOUT_A_LIBRARY, server.url, library]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        )
    assert done.stdout.split() == ["7.0", "7.0"]
    missing = "INFO websocket-client or msgspec is not installed: prices come over REST"
    assert done.stderr.splitlines().count(missing) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_child_process_has_connections_of_its_own() -> None:
    """After a fork the child neither waits for the parent's locks nor uses its sockets."""
    with Loopback(forever_ok) as server:
        api = client_of(server.url)
        api.warm_up()

        def fork(_: int) -> int:
            return fork_and_run(lambda: api.add_order("XBTUSD", "market", "sell", "1"))

        gate = gate_of(str(api.api_key))
        assert gate.in_turn(fork, 1, is_look=False) == 0  # as another thread might just then
        assert server.connections == 2
        api.close()


def fork_and_run(work: Callable[[], object]) -> int:
    """Run `work` in a forked child and return its exit code."""
    with warnings.catch_warnings():
        # Python 3.12 warns of what this test is about: a fork with threads around.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        signal.alarm(20)  # a child that waits for a lock of its parent would wait for ever
        work()
        code = 0
    finally:
        os._exit(code)
    return code
