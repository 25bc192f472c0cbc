"""`ttslo relay`, as its user meets it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fake_kraken import FakeKraken
from krakenlink.errors import KrakenConnectionError
from krakenlink.machine import validate_url
from krakenlink.relay.broker import MISSING, RedisMissing
from krakenlink.stream.settings import FeedSettings
from tests.kits.relay.relay_kit import LONG, RedisServer, wait_until
from ttslo_app.commands import relay
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


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--publish", "redis://127.0.0.1:6379/r1", "--name", "r2"], "names another one"),
        (["--publish", "redis://127.0.0.1:6379/a,b", "--name", "a"], "a relay has one name"),
        (["--publish", "redis://127.0.0.1:6379", "--name", "a b"], "is no address of a relay"),
        (["--publish", "redis://10.0.0.7", "--name", "r1"], "without TLS"),
        (["--publish", "wss://ws.kraken.com/v2", "--name", "r1"], "write rediss://HOST:6379/NAME"),
        (["--name", "r1"], "--publish"),
        (["--publish", "redis://127.0.0.1:6379/r1", "--metrics-port", "any"], "--metrics-port"),
    ],
)
def test_wrong_flags_are_refused(
    flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is opened."""
    with pytest.raises(SystemExit) as ended:
        relay.main(flags)
    assert ended.value.code == 2
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("flags", "url"),
    [
        (["--publish", "redis://127.0.0.1:7/r1"], "redis://127.0.0.1:7/r1"),
        (["--publish", "redis://127.0.0.1:7", "--name", "r1"], "redis://127.0.0.1:7/r1"),
        (["--publish", "redis://127.0.0.1:7/", "--name", "r1"], "redis://127.0.0.1:7/r1"),
        (["--publish", "redis://127.0.0.1:7/r1", "--name", "r1"], "redis://127.0.0.1:7/r1"),
        (["--publish", "rediss://relay.example", "--name", "r1"], "rediss://relay.example/r1"),
    ],
)
def test_name_stands_in_the_address_or_in_its_flag(flags: list[str], url: str) -> None:
    """Once is enough."""
    made = relay.parser()
    assert relay._checked(made, made.parse_args(flags)) == url


def test_port_that_is_taken_is_told_with_its_flag(capsys: pytest.CaptureFixture[str]) -> None:
    """Before a reader relies on it."""
    pytest.importorskip("redis", reason="needs the extra `relay`")
    pytest.importorskip("prometheus_client", reason="needs the extra `metrics`")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        flags = ["--publish", "redis://127.0.0.1:1/r1", "--metrics-port", port]
        assert relay.main(flags) == 1
    said = capsys.readouterr().err
    assert "The relay cannot start: the metrics cannot be served on port" in said


def test_wrong_address_of_kraken_is_told_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not the flag that is wrong."""
    pytest.importorskip("redis", reason="needs the extra `relay`")
    monkeypatch.setenv("KRAKEN_WS_PUBLIC_URL", "http://ws.kraken.com")
    assert relay.main(["--publish", "redis://127.0.0.1:6379/r1"]) == 1
    assert "KRAKEN_WS_PUBLIC_URL: 'http://ws.kraken.com' is no" in capsys.readouterr().err


def test_missing_library_is_told_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one sentence, before anything else."""
    monkeypatch.setattr(relay, "WEBSOCKET_AVAILABLE", False)
    assert relay.main(["--publish", "redis://127.0.0.1:6379/r1"]) == 1
    assert "pip install websocket-client msgspec" in capsys.readouterr().err


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


SETTINGS = FeedSettings(retry_delays=(0.0, 0.2), mute_after=LONG)


class RelayProgram:
    """`ttslo relay` in a process of its own.

    Attributes:
        lines: What it has said so far.
    """

    def __init__(self, exchange: FakeKraken, *flags: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "ttslo.py"), "relay", *flags],
            env={**os.environ, "KRAKEN_WS_PUBLIC_URL": exchange.ws_url},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.lines: list[str] = []
        self._reading = threading.Thread(target=self._read)
        self._reading.start()
        self.send = self._process.send_signal

    def _read(self) -> None:
        assert self._process.stdout is not None
        self.lines.extend(iter(self._process.stdout.readline, ""))

    def end(self) -> int:
        """End it in good order; return its exit code."""
        self.send(signal.SIGTERM)
        try:
            return self._process.wait(LONG)
        finally:
            self.kill()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait(LONG)
        self._reading.join(LONG)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> RelayProgram:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


@contextmanager
def reader_at(url: str) -> Iterator[WebSocketPriceProvider]:
    """Give a reader of one pair."""
    made = WebSocketPriceProvider(url, settings=SETTINGS)
    made.subscribe("XBTUSD")
    try:
        yield made
    finally:
        made.stop()


def test_two_relays_on_one_broker_stand_in_for_each_other(
    redis_server: RedisServer, exchange: FakeKraken
) -> None:
    """A reader names one, or takes either; who dies takes its own readers' prices along."""
    exchange.set_price("XBTUSD", "50000.1")
    url = redis_server.url("one").removesuffix("/one")
    with (
        RelayProgram(exchange, "--publish", url, "--name", "one") as one,
        RelayProgram(exchange, "--publish", url, "--name", "two"),
        reader_at(f"{url}/one") as of_one,
        reader_at(f"{url}/two") as of_two,
        reader_at(f"{url}/one,two") as of_either,
    ):
        readers = (of_one, of_two, of_either)
        wait_until(lambda: all(r.get_current_price("XBTUSD") == 50000.1 for r in readers))
        assert exchange.ws_connections == 2
        one.kill()
        wait_until(lambda: of_one.get_current_price("XBTUSD") is None)
        exchange.set_price("XBTUSD", "49999.5")
        wait_until(lambda: of_two.get_current_price("XBTUSD") == 49999.5)
        wait_until(lambda: of_either.get_current_price("XBTUSD") == 49999.5)
        assert of_one.get_current_price("XBTUSD") is None


def test_figures_tell_of_readers_packets_and_proof(
    redis_server: RedisServer, exchange: FakeKraken
) -> None:
    """As the program tells of itself; healthy only while proven prices go out."""
    pytest.importorskip("prometheus_client", reason="needs the extra `metrics`")
    exchange.set_price("XBTUSD", "50000.1")
    url = redis_server.url("figures")
    with (
        RelayProgram(exchange, "--publish", url, "--metrics-port", "0") as program,
        reader_at(url) as reader,
    ):
        wait_until(lambda: len(program.lines) >= 2)
        assert program.lines[0] == (
            f"Relay figures: prices of {exchange.ws_url} go to {url}. Ctrl-C ends it\n"
        )
        at = program.lines[1].split()[2].removesuffix("/metrics,")
        wait_until(lambda: reader.get_current_price("XBTUSD") == 50000.1)

        def figures() -> dict[str, float]:
            text = ask(f"{at}/metrics")[1]
            rows = [row.split() for row in text.splitlines() if row.startswith("ttslo_relay")]
            return {name: float(value) for name, value in rows}

        wait_until(lambda: figures()["ttslo_relay_packets_per_second"] > 0)
        found = figures()
        assert (found["ttslo_relay_readers"], found["ttslo_relay_subscriptions"]) == (1, 1)
        assert (found["ttslo_relay_proven"], found["ttslo_relay_broker_up"]) == (1, 1)
        assert 0 <= found["ttslo_relay_proof_age_seconds"] < 3
        assert ask(f"{at}/healthz")[0] == 200
        exchange.stop_listening()
        exchange.drop_connections()
        wait_until(lambda: ask(f"{at}/healthz") == (503, "no proven prices from Kraken\n"))
        assert "ttslo_relay_proof_age_seconds" not in figures()
        assert program.end() == 0
        assert program.lines[-1] == "Relay figures: ended. Its readers ask over REST now\n"


def ask(url: str) -> tuple[int, str]:
    """Return status and text of an answer."""
    try:
        with urllib.request.urlopen(url, timeout=LONG) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="nothing can be stopped on this system")
def test_stopped_relay_makes_readers_blind_and_serves_them_again(
    redis_server: RedisServer, exchange: FakeKraken
) -> None:
    """A whole program, stopped and let go on: nothing that lay in its socket is served."""
    exchange.set_price("XBTUSD", "50000.1")
    url = redis_server.url("program")
    with RelayProgram(exchange, "--publish", url) as program, reader_at(url) as reader:
        wait_until(lambda: reader.get_current_price("XBTUSD") == 50000.1)
        program.send(signal.SIGSTOP)
        wait_until(lambda: reader.get_current_price("XBTUSD") is None)
        exchange.set_price("XBTUSD", "48000.5")
        exchange.set_price("XBTUSD", "49999.5")
        program.send(signal.SIGCONT)
        seen: set[float | None] = set()

        def is_back() -> bool:
            seen.add(reader.get_current_price("XBTUSD"))
            return 49999.5 in seen

        wait_until(is_back)
        assert seen <= {None, 49999.5}
        assert program.end() == 0


def test_address_of_a_relay_is_one_of_prices_and_not_of_an_account() -> None:
    """The account's stream has no relay."""
    with pytest.raises(ValueError, match="is no WebSocket address"):
        validate_url("rediss://relay.example:6379/r1")
    assert issubclass(RedisMissing, KrakenConnectionError)
