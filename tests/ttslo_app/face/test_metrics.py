"""The figures for Prometheus and the health address, over loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from config import ConfigManager
from fake_kraken import FakeKraken
from kraken_api import KrakenAPI
from krakenlink.pairs import Symbol
from krakenlink.stream.events import Channel
from tests.kits.program.live_program import PAIR, SYMBOL, LiveProgram, row, wait_until
from ttslo import TTSLO, main
from ttslo_app.face import metrics as ttslo_metrics
from ttslo_app.face.metrics import MetricsServer, MetricsUnavailable, Sources
from ws_price_provider import FeedHealth, FeedSettings, SymbolHealth, WebSocketPriceProvider

ROOT = Path(__file__).resolve().parents[3]
LONG = 60.0  # seconds that nothing here takes unless it is broken


@dataclass
class Program:
    """What a program would tell; change it, and the next answer changes."""

    feed: WebSocketPriceProvider | None = None
    rows: dict[str, bool] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)

    def health(self) -> FeedHealth | None:
        """Return the feed's snapshot."""
        return self.feed.health() if self.feed else None

    def armed(self) -> Mapping[str, bool]:
        """Return the armed rows."""
        return self.rows

    def orders(self) -> Mapping[str, int]:
        """Return what became of orders."""
        return self.answers


@pytest.fixture
def program() -> Iterator[Program]:
    """Hand out a program without stream and rows; a stream that it is given ends with it."""
    made = Program()
    yield made
    if made.feed is not None:
        made.feed.stop(LONG)


@pytest.fixture
def server(program: Program) -> Iterator[MetricsServer]:
    """Hand out a server of the program's figures, started."""
    sources = Sources(program.health, program.armed, program.orders)
    made = MetricsServer(0, sources).start()
    yield made
    made.stop()


def ask(server: MetricsServer, path: str) -> requests.Response:
    """Ask the server, without anybody's proxy."""
    with requests.Session() as session:
        session.trust_env = False
        return session.get(server.url + path, timeout=LONG)


def label_of(labels: Mapping[str, str]) -> str:
    """Return the label that tells samples of one name apart."""
    return labels.get("symbol") or "".join(labels.values())


def figures(server: MetricsServer) -> dict[tuple[str, str], float]:
    """Return what `/metrics` says, by name and symbol or other label."""
    families = text_string_to_metric_families(ask(server, "/metrics").text)
    return {
        (sample.name, label_of(sample.labels)): sample.value
        for family in families
        for sample in family.samples
    }


# ----------------------------------------------------------------------------------------- health


def test_health_is_good_while_every_armed_row_has_a_price(
    program: Program, server: MetricsServer
) -> None:
    """200 with the number of rows, also when nothing is armed."""
    assert ask(server, "/healthz").status_code == 200
    program.rows = {"btc": True, "eth": True}
    answer = ask(server, "/healthz")
    assert (answer.status_code, answer.text) == (200, "ok: 2 armed rows, each with a live price\n")


def test_health_names_the_rows_without_a_price(program: Program, server: MetricsServer) -> None:
    """503, and whoever is woken by it reads which rows are blind, whatever is in their ids."""
    program.rows = {"btc": True, "żółw": False, 'a"\n,b': False}
    answer = ask(server, "/healthz")
    assert answer.status_code == 503
    assert answer.content.decode() == (
        'no live price for 2 of 3 armed rows: ["a\\"\\n,b", "żółw"]\n'
    )


def test_other_addresses_are_told_where_to_look(server: MetricsServer) -> None:
    """404 for what is not there, and a query changes nothing."""
    assert ask(server, "/").status_code == 404
    assert "/metrics" in ask(server, "/metric").text
    assert ask(server, "/healthz?full=1").status_code == 200


# ---------------------------------------------------------------------------------------- figures


def test_figures_tell_rows_and_orders(program: Program, server: MetricsServer) -> None:
    """Armed rows with and without a price, and the orders by what became of them."""
    program.rows = {"btc": True, 'e"th': False}
    program.answers = {"placed": 3, "refused": 2, "uncertain": 1}
    told = figures(server)
    assert told["ttslo_armed_rows", ""] == 2
    assert told["ttslo_armed_row_live", "btc"] == 1
    assert told["ttslo_armed_row_live", 'e"th'] == 0
    assert told["ttslo_orders_total", "placed"] == 3
    assert told["ttslo_orders_total", "uncertain"] == 1
    assert not any(name.startswith("ttslo_feed") for name, _ in told)


def test_figures_tell_the_feed(
    program: Program, server: MetricsServer, exchange: FakeKraken
) -> None:
    """Everything that the feed's snapshot holds is there, with its state as one of all."""
    program.feed = WebSocketPriceProvider(exchange.ws_url)
    assert figures(server)["ttslo_feed_state", "idle"] == 1
    program.feed.subscribe(PAIR)
    assert program.feed.wait_for_tick(SYMBOL, LONG)
    told = figures(server)
    assert (told["ttslo_feed_state", "live"], told["ttslo_feed_state", "idle"]) == (1, 0)
    assert told["ttslo_feed_attempts_total", ""] == 1
    assert told["ttslo_feed_reconnects_total", ""] == 0
    assert told["ttslo_feed_messages_total", ""] >= 2
    assert told["ttslo_feed_blind_seconds", ""] == 0
    assert told["ttslo_feed_last_frame_age_seconds", ""] < 60
    assert told["ttslo_symbol_live", SYMBOL] == 1
    assert told["ttslo_symbol_ticks_total", SYMBOL] == 1
    assert told["ttslo_symbol_proven_age_seconds", SYMBOL] < 60
    program.feed.subscribe_symbol(Symbol(SYMBOL), Channel.TRADE)
    assert len(program.feed.health().symbols) == 2
    page = ask(server, "/metrics").text
    assert 'channel="ticker"' in page
    assert 'channel="trade"' not in page  # its figures would be 0 on the best of links
    program.feed.feed_thread.distrust(SYMBOL, "it lies")
    told = figures(server)
    assert told["ttslo_symbol_live", SYMBOL] == 0
    assert ("ttslo_symbol_proven_age_seconds", SYMBOL) not in told


def spread_feed(exchange: FakeKraken) -> WebSocketPriceProvider:
    """Return a feed that has the prices of two symbols, each over a connection of its own."""
    feed = WebSocketPriceProvider(exchange.ws_url, settings=FeedSettings(pool_symbols=1))
    for symbol in (SYMBOL, "ETH/USD"):
        feed.subscribe_symbol(symbol)
        assert feed.wait_for_tick(symbol, LONG)
    return feed


def test_figures_tell_each_connection_with_its_name(
    program: Program, server: MetricsServer, exchange: FakeKraken
) -> None:
    """Those of the first bear no label, as ever; prices are told wherever they come from."""
    program.feed = spread_feed(exchange)
    program.feed.subscribe_symbol("ETH/USD", "book")
    program.feed.subscribe_symbol("*", "instrument")
    told = figures(server)
    assert [told["ttslo_feed_subscriptions", x] for x in ("", "2", "pairs")] == [1, 2, 1]
    assert [told["ttslo_feed_attempts_total", x] for x in ("", "2", "pairs")] == [1, 1, 1]
    assert [told["ttslo_symbol_live", x] for x in (SYMBOL, "ETH/USD")] == [1, 1]
    page = ask(server, "/metrics").text
    assert 'ttslo_feed_state{connection="2",state="live"} 1.0' in page
    assert 'ttslo_feed_state{state="live"} 1.0' in page


def test_figures_tell_which_connection_is_down(
    program: Program, server: MetricsServer, exchange: FakeKraken
) -> None:
    """Its blind time alone grows, and its symbols alone have no price that counts."""
    program.feed = spread_feed(exchange)
    exchange.fault("refuse_connect")
    program.feed.pool.branches[0].feed_thread.reconnect("the test cuts it")
    wait_until(lambda: figures(server)["ttslo_feed_blind_seconds", "2"] > 0, "it is down", LONG)
    told = figures(server)
    assert told["ttslo_feed_blind_seconds", ""] == 0
    assert [told["ttslo_symbol_live", x] for x in (SYMBOL, "ETH/USD")] == [1, 0]
    assert ("ttslo_symbol_proven_age_seconds", "ETH/USD") not in told


@pytest.mark.parametrize("seen", [("live", "arriving"), ("arriving", "live"), ("live", "live")])
def test_symbol_that_moves_is_told_once(
    program: Program, seen: tuple[str, str], exchange: FakeKraken
) -> None:
    """Twice the same sample would make a scraper refuse all of them."""
    program.feed = WebSocketPriceProvider(exchange.ws_url)
    row = SymbolHealth(SYMBOL, "ticker", "live", None, 0.1, 7, 0, "")
    first, second = (
        replace(program.feed.health(), symbols=(replace(row, state=state),)) for state in seen
    )
    health = replace(first, beside=(replace(second, connection="2"),))
    families = ttslo_metrics.families(Sources(lambda: health, dict, dict))
    samples = [s for family in families for s in family.samples if s.name == "ttslo_symbol_live"]
    assert [(s.labels["symbol"], s.value) for s in samples] == [(SYMBOL, True)]


# ----------------------------------------------------------------------------------------- server


def test_server_answers_on_this_machine_only(server: MetricsServer) -> None:
    """It listens on loopback, on one named daemon, and gives everything back at its end."""
    assert server.url == f"http://127.0.0.1:{server.port}"
    assert server._server.server_address[0] == "127.0.0.1"
    (thread,) = (t for t in threading.enumerate() if t.name == "ttslo-metrics")
    assert thread.daemon
    server.stop()
    server.stop()
    socket.create_server(("127.0.0.1", server.port)).close()


def test_reader_who_says_nothing_holds_up_nobody(server: MetricsServer) -> None:
    """Connections without a request, or cut in the middle, leave the others their answers."""
    with socket.create_connection(("127.0.0.1", server.port)) as silent:
        cut = socket.create_connection(("127.0.0.1", server.port))
        cut.sendall(b"GET /metr")
        cut.close()
        assert ask(server, "/healthz").status_code == 200
        silent.sendall(b"nonsense\r\n\r\n")
        assert b"400" in silent.recv(4096)


def test_crowd_of_idle_readers_uses_up_neither_threads_nor_files(
    server: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 100 connections a few are held, for a moment; then it answers again."""
    monkeypatch.setattr(ttslo_metrics, "_PATIENCE", 0.1)
    before = threading.active_count()
    crowd = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(100)]
    wait_until(lambda: sum(map(is_closed, crowd)) >= 90, "most are hung up on")
    assert threading.active_count() - before <= 2 * 8 + 2
    wait_until(lambda: all(map(is_closed, crowd)), "and the others, too")
    for one in crowd:
        one.close()
    assert ask(server, "/healthz").status_code == 200


def is_closed(connection: socket.socket) -> bool:
    """Tell whether the other side has hung up."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_request_that_drips_is_over_when_its_time_is(
    server: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte now and then does not begin the time anew."""
    monkeypatch.setattr(ttslo_metrics, "_PATIENCE", 0.3)
    with socket.create_connection(("127.0.0.1", server.port)) as dripping:
        pause, drops = threading.Event(), 0
        with suppress(OSError):  # hung up on
            while drops < 4000:
                dripping.sendall(b"X")
                drops += 1
                pause.wait(0.02)
        assert drops < 4000


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9000", 200),
        ("localhost", 200),
        ("[::1]:9000", 200),
        ("127.0.0.1.evil.example", 403),
        ("evil.example:80", 403),
        ("localhost@evil.example", 403),
        ("", 403),
    ],
)
def test_foreign_host_is_told_nothing(
    program: Program, server: MetricsServer, host: str, status: int
) -> None:
    """A web page whose name leads here does not read the names of rows."""
    program.rows = {"secret-row": False}
    for path in ("/metrics", "/healthz"):
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(server.url + path, headers={"Host": host}, timeout=LONG)
        is_told = "secret-row" in answer.text
        assert (answer.status_code == 403, is_told) == (status == 403, status != 403)


def test_source_that_fails_is_no_answer_and_no_end(
    program: Program, server: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect in a figure costs that answer alone, and prints nothing."""
    with monkeypatch.context() as patch:
        patch.setattr(ttslo_metrics, "healthz", None)
        with pytest.raises(requests.ConnectionError):
            ask(server, "/healthz")
    assert ask(server, "/healthz").status_code == 200


def test_port_that_cannot_be_had_is_said(program: Program, server: MetricsServer) -> None:
    """In use, or no port at all: one sentence that names the port and the cure."""
    sources = Sources(program.health, program.armed, program.orders)
    for port in (server.port, 70_000):
        with pytest.raises(MetricsUnavailable, match=rf"port {port} .*--metrics-port"):
            MetricsServer(port, sources)


def test_without_the_library_there_is_a_sentence() -> None:
    """The program says what to install, ends with 1, and runs without the flag."""
    code = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "import ttslo\n"
        "print(ttslo.main(['--metrics-port', '0']), ttslo.main(['--create-sample-config']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=2 * LONG,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == "1 0"
    assert (
        "Cannot run: --metrics-port needs the library prometheus-client: "
        "pip install prometheus-client\n"
    ) in done.stderr


# ---------------------------------------------------------------------------------- whole program

Watched = Callable[[], requests.Response]


@pytest.fixture
def watched(exchange: FakeKraken, tmp_path: Path) -> Iterator[tuple[LiveProgram, Watched]]:
    """Hand out the running program with two armed rows, and its health address."""
    rows = [row("btc", 90_000), row("late", 95_000)]
    with LiveProgram(exchange, tmp_path, rows, metrics_port=0) as program:
        line = program.wait_for_line("health at ")
        address = line.rpartition(" ")[2]

        def health() -> requests.Response:
            with requests.Session() as session:
                session.trust_env = False
                return session.get(address, timeout=LONG)

        yield program, health


def test_program_is_healthy_only_while_its_rows_have_prices(
    exchange: FakeKraken, watched: tuple[LiveProgram, Watched]
) -> None:
    """Live, then Kraken is gone in every way, then back: 200, 503 with the rows, 200."""
    _, health = watched
    wait_until(lambda: health().status_code == 200, "both rows have a price")
    exchange.stop_listening()
    wait_until(lambda: health().status_code == 503, "nothing is seen any more")
    assert '["btc", "late"]' in health().text
    exchange.resume()
    wait_until(lambda: health().status_code == 200, "the price is back")


def test_program_without_stream_is_healthy_on_polled_prices(
    exchange: FakeKraken, watched: tuple[LiveProgram, Watched]
) -> None:
    """The stream is refused and REST answers: rows are polled, and that counts."""
    _, health = watched
    exchange.fault("refuse_connect")
    exchange.drop_connections()
    wait_until(lambda: health().status_code == 200, "REST's prices count")
    assert exchange.ws_connections == 0


def test_program_counts_its_orders(
    exchange: FakeKraken, watched: tuple[LiveProgram, Watched]
) -> None:
    """An order that is placed, and one that Kraken refuses, are counted as such."""
    program, _ = watched
    exchange.set_price(PAIR, 91_000)
    program.crossing_of("btc")
    exchange.fault("error", endpoint="AddOrder", text="EOrder:Insufficient funds")
    exchange.set_price(PAIR, 96_000)
    wait_until(lambda: program.ttslo.worker.answers["refused"], "the refusal is counted")
    assert program.ttslo.worker.answers["placed"] == 1


def test_flag_serves_the_figures(
    exchange: FakeKraken, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A port that is taken ends the program at its start, with a sentence."""
    manager = ConfigManager(tmp_path / "config.csv", tmp_path / "state.csv", tmp_path / "logs.csv")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        api = KrakenAPI(base_url=exchange.rest_url, use_websocket=False)
        with pytest.raises(MetricsUnavailable, match=f"port {port}"):
            TTSLO(manager, api, metrics_port=port).run_continuous(1)
    with pytest.raises(SystemExit):
        main(["--metrics-port", "any"])
    assert "--metrics-port" in capsys.readouterr().err
