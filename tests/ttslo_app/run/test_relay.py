"""`ttslo relay`, as its user meets it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from relay_kit import LONG, RedisServer, wait_until

from fake_kraken import FakeKraken
from krakenlink.errors import KrakenConnectionError
from krakenlink.machine import validate_url
from krakenlink.relay.broker import MISSING, RedisMissing
from krakenlink.stream.settings import FeedSettings
from ttslo_app.run import relay
from ws_price_provider import WebSocketPriceProvider

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://10.0.0.7:6379/r1", "without TLS anybody between could set the price"),
        ("redis://me:word@127.0.0.1/r1", "TTSLO_RELAY_PASSWORD in the environment"),
        ("redis://127.0.0.1:6379", "is no address of a relay; write rediss://"),
        ("redis://127.0.0.1:6379/a b", "is no address of a relay"),
        ("wss://ws.kraken.com/v2", "write rediss://HOST:6379/NAME"),
        ("redis://127.0.0.1:6379/a,b", "a relay has one name"),
    ],
)
def test_wrong_address_is_refused_with_its_cure(
    url: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is opened, and with no password shown."""
    with pytest.raises(SystemExit) as ended:
        relay.main(["--publish", url])
    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert said in " ".join(shown.split())
    assert "me:word" not in shown


def test_missing_package_is_told_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one sentence."""

    def missing(*_: object) -> None:
        raise RedisMissing(MISSING, request_sent=False)

    monkeypatch.setattr(relay, "Broker", missing)
    assert relay.main(["--publish", "redis://127.0.0.1:6379/r1"]) == 1
    assert 'pip install "ttslo[relay]"' in capsys.readouterr().err


def test_relay_of_a_relay_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would wait for itself."""
    pytest.importorskip("redis")
    monkeypatch.setenv("KRAKEN_WS_PUBLIC_URL", "redis://127.0.0.1:6379/r1")
    assert relay.main(["--publish", "redis://127.0.0.1:6379/r1"]) == 1
    assert "Unset it for this command" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="nothing can be stopped on this system")
def test_stopped_relay_makes_readers_blind_and_serves_them_again(
    redis_server: RedisServer, exchange: FakeKraken
) -> None:
    """A whole program, stopped and let go on: nothing that lay in its socket is served."""
    exchange.set_price("XBTUSD", "50000.1")
    url = redis_server.url("program")
    program = subprocess.Popen(
        [sys.executable, str(ROOT / "ttslo.py"), "relay", "--publish", url],
        env={**os.environ, "KRAKEN_WS_PUBLIC_URL": exchange.ws_url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    settings = FeedSettings(retry_delays=(0.0, 0.2), mute_after=LONG)
    reader = WebSocketPriceProvider(url, settings=settings)
    try:
        reader.subscribe("XBTUSD")
        wait_until(lambda: reader.get_current_price("XBTUSD") == 50000.1)
        program.send_signal(signal.SIGSTOP)
        wait_until(lambda: reader.get_current_price("XBTUSD") is None)
        exchange.set_price("XBTUSD", "48000.5")
        exchange.set_price("XBTUSD", "49999.5")
        program.send_signal(signal.SIGCONT)
        seen: set[float | None] = set()

        def is_back() -> bool:
            seen.add(reader.get_current_price("XBTUSD"))
            return 49999.5 in seen

        wait_until(is_back)
        assert seen <= {None, 49999.5}
        program.send_signal(signal.SIGTERM)
        assert program.wait(LONG) == 0
    finally:
        program.kill()
        program.wait(LONG)
        reader.stop()


def test_address_of_a_relay_is_one_of_prices_and_not_of_an_account() -> None:
    """The account's stream has no relay."""
    with pytest.raises(ValueError, match="is no WebSocket address"):
        validate_url("rediss://relay.example:6379/r1")
    assert issubclass(RedisMissing, KrakenConnectionError)
