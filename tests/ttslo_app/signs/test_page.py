"""`--web` from the flags to the page: what is refused at the start, and what a run serves."""

from __future__ import annotations

import argparse
import os
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fake_kraken import FakeKraken
from tests.kits.chaos.chaos_kit import CERTIFICATE
from tests.kits.program.live_program import LiveProgram, row, wait_until
from tests.kits.signs.web_kit import LONG, TOKEN, ask, page_of, read_answer, request
from ttslo import main
from ttslo_app.commands.flags import options_from
from ttslo_app.face import metrics
from ttslo_app.face.snapshot import EVERY
from ttslo_app.face.web.guard import Guard, PageUnavailable
from ttslo_app.face.web.server import Figures, WebServer
from ttslo_app.signs import beat
from ttslo_app.signs.beat import Signs
from ttslo_app.signs.page import figures_of, port_of, server_from, serving
from ttslo_app.signs.snapshots import About


def options(**changes: Any) -> argparse.Namespace:
    """Return a parsed command line as far as the page is concerned."""
    values = {
        "web": free_port(),
        "web_host": None,
        "web_cert": None,
        "web_key": None,
        "web_actions": False,
    }
    return argparse.Namespace(**{**values, **changes})


def free_port() -> int:
    """Return a port that nobody has just now."""
    with closing(socket.create_server(("127.0.0.1", 0))) as sock:
        port: int = sock.getsockname()[1]
        return port


def refusal_of(**changes: Any) -> str:
    """Return why a page is refused."""
    with pytest.raises(PageUnavailable) as caught:
        server_from(options(**changes), ".env")
    return str(caught.value)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Hand out a file with a certificate and its key."""
    file = tmp_path / "page.pem"
    file.write_text(CERTIFICATE, encoding="utf-8")
    return file


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    """Set a token as a user does."""
    monkeypatch.setenv("TTSLO_WEB_TOKEN", TOKEN)
    return TOKEN


# --- flags ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "port"), [("8765", 8765), ("1", 1), ("65535", 65535), (" 80 ", 80)]
)
def test_port_is_a_port(text: str, port: int) -> None:
    """As a person writes it."""
    assert port_of(text) == port


@pytest.mark.parametrize(
    "text", ["0", "65536", "70000", "-1", "", "many", "80.5", "1e3", "\u0668\u0660", "9" * 5000]
)
def test_what_is_no_port_is_refused(text: str) -> None:
    """0 would be another one each time, and nobody would find the page."""
    with pytest.raises(argparse.ArgumentTypeError, match="write a number from 1 to 65535"):
        port_of(text)


@pytest.mark.parametrize("text", ["0", "70000", "http"])
def test_command_line_says_what_is_wrong_with_a_port(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And ends with the code of a wrong flag."""
    with pytest.raises(SystemExit) as caught:
        options_from(["--web", text])
    assert caught.value.code == 2
    assert f"--web: {text!r} is no port" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--web-host", "0.0.0.0"], "--web-host needs --web PORT"),
        (["--web-cert", "a.pem"], "--web-cert needs --web PORT"),
        (["--web-key", "a.pem"], "--web-key needs --web PORT"),
        (["--web", "8765", "--once"], "leave one out"),
        (["--web", "8765", "--demo"], "does not use --web"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(
    given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A flag that is passed over would be taken for one that works."""
    with pytest.raises(SystemExit) as caught:
        options_from(given)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err.replace("\n", " ")


# --- what is refused -----------------------------------------------------------------------------


def test_without_the_flag_there_is_no_page() -> None:
    """And its library is not asked for."""
    assert server_from(options(web=None), ".env") is None


@pytest.mark.parametrize("stand_in", [None, argparse.Namespace()])
def test_missing_library_is_said_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, stand_in: object
) -> None:
    """At the start, and in one line."""
    if stand_in is None:
        monkeypatch.setattr("ttslo_app.signs.page.find_spec", lambda name: None)
    else:
        monkeypatch.setitem(sys.modules, "aiohttp", stand_in)
        monkeypatch.setattr("ttslo_app.signs.page.find_spec", _no_true_module)
    assert refusal_of() == '--web needs the library aiohttp: pip install "ttslo[web]"'


def _no_true_module(name: str) -> object:
    raise ValueError(f"{name}.__spec__ is not set")


def test_port_in_use_ends_the_program_with_a_sentence(
    exchange: FakeKraken,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before a row is armed: who looks for the page would find another program's."""
    monkeypatch.setenv("KRAKEN_SPOT_URL", exchange.rest_url)
    Path("config.csv").write_text("id,pair\n", encoding="utf-8")
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        assert main(["--web", str(port), "--dry-run"]) == 1
    said = capsys.readouterr()
    assert f"Cannot run: the live page cannot be served on 127.0.0.1 port {port}" in said.err
    assert "choose another port" in said.err


def test_page_for_others_needs_a_certificate_and_a_token(certificate: Path) -> None:
    """Each of them alone is too little."""
    assert "needs a certificate and a token" in refusal_of(web_host="0.0.0.0")
    assert "needs a token" in refusal_of(web_host="0.0.0.0", web_cert=str(certificate))


def test_page_for_others_with_a_token_alone_is_refused(token: str) -> None:
    """It could be overheard."""
    assert "needs a certificate." in refusal_of(web_host="0.0.0.0")


@pytest.mark.parametrize("host", ["no such host", "name.invalid", "x" * 300])
def test_host_that_is_none_is_said(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the cure."""

    def nowhere(*_: object, **__: object) -> object:
        if len(host) > 255:
            raise UnicodeError("label too long")
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("ttslo_app.signs.page.socket.getaddrinfo", nowhere)
    assert f"--web-host {host} is no address of this machine" in refusal_of(web_host=host)


def test_address_of_another_machine_cannot_be_had(certificate: Path, token: str) -> None:
    """It is a test address, which no machine has."""
    said = refusal_of(web_host="192.0.2.1", web_cert=str(certificate))
    assert "cannot be served on 192.0.2.1 port" in said


@pytest.mark.parametrize("content", [None, "", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_certificate_that_is_none_is_said(tmp_path: Path, content: str | None) -> None:
    """With its file."""
    file = tmp_path / "bad.pem"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    assert f"--web-cert {file} cannot be used" in refusal_of(web_cert=str(file))


def test_weak_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """For this machine alone, too: who sets one relies upon it."""
    monkeypatch.setenv("TTSLO_WEB_TOKEN", "secret")
    assert "at least 16" in refusal_of()


def test_token_is_read_from_the_file_that_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As systemd and containers give it."""
    (tmp_path / "token").write_text(f"{TOKEN}\n", encoding="utf-8")
    monkeypatch.setenv("TTSLO_WEB_TOKEN_FILE", str(tmp_path / "token"))
    server = server_from(options(), ".env")
    assert server is not None
    server.stop()
    assert server._guard.token == TOKEN


def test_page_under_a_certificate_is_https(certificate: Path, token: str) -> None:
    """Whoever knows the certificate is answered, and nothing is told in the clear."""
    server = server_from(options(web_host="localhost", web_cert=str(certificate)), ".env")
    assert server is not None
    assert server.url == f"https://localhost:{server.port}/"
    server.start(Figures(None, lambda: (200, "ok")))
    trusting = ssl.create_default_context(cafile=str(certificate))
    try:
        with (
            closing(socket.create_connection(("localhost", server.port), LONG)) as plain,
            closing(trusting.wrap_socket(plain, server_hostname="localhost")) as secure,
        ):
            bearer = f"Authorization: Bearer {token}"
            secure.sendall(request("/healthz", "Connection: close", bearer, host="localhost"))
            assert read_answer(secure).body == "ok\n"
        with closing(socket.create_connection(("localhost", server.port), LONG)) as plain:
            plain.sendall(request("/healthz"))
            assert b"ok" not in plain.recv(1000)
    finally:
        server.stop()


def test_page_on_each_address_is_named_by_the_machine() -> None:
    """`0.0.0.0` leads nowhere from elsewhere."""
    server = WebServer(0, Guard("0.0.0.0", is_tls=True, token=TOKEN), None, "127.0.0.1")
    server.stop()
    assert server.url == f"http://{socket.gethostname()}:{server.port}/"


# --- a run ---------------------------------------------------------------------------------------


@pytest.fixture
def live(exchange: FakeKraken, tmp_path: Path) -> Iterator[LiveProgram]:
    """Hand out a program that waits for one crossing."""
    with LiveProgram(exchange, tmp_path, [row("btc", 51000)]) as program:
        yield program


@pytest.fixture
def server() -> WebServer:
    """Hand out a server that is not started."""
    made = server_from(options(), ".env")
    assert made is not None
    return made


def signs_of(live: LiveProgram) -> Signs:
    """Return what gives signs of life of a program."""
    about = About("LIVE", "somewhere", "config.csv", "state.csv", "1.0.0")
    return Signs(live.ttslo, about, live.folder / "state.csv.status.json")


def test_page_shows_the_run_until_its_end(live: LiveProgram, server: WebServer) -> None:
    """The last it is told is that the program was stopped."""
    signs = signs_of(live)
    with serving(server, live.ttslo, signs):
        with signs.over(), page_of(server) as page:
            first = page.read()
            assert [r["id"] for r in first["snapshot"]["rows"]] == ["btc"]
            page.read()
        assert signs.newest is not None
        with page_of(server) as page:  # which may come before the server's thread has taken it
            while page.read()["snapshot"]["phase"] != "stopped":
                pass


def test_open_page_is_told_more_often_than_the_disk(
    live: LiveProgram, server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person looks now; a disk is not to be woken for it."""
    written: list[object] = []
    monkeypatch.setattr(beat, "EVERY", 3600.0)
    monkeypatch.setattr(beat, "replace_file", lambda *_, **__: written.append(1))
    signs = signs_of(live)
    assert EVERY > beat._QUICK
    with serving(server, live.ttslo, signs), page_of(server) as page, signs.over():
        for _ in range(16):
            page.read()
        # The first, and one for each of the few things that are said at the start.
        assert len(written) < 10


def test_program_without_a_page_takes_no_more_snapshots(
    live: LiveProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it costs anything then."""
    signs = signs_of(live)
    with serving(None, live.ttslo, signs), signs.over():
        wait_until(lambda: signs.newest is not None, "the first one", LONG)
        assert signs.follower is None


def test_figures_are_those_of_the_run(live: LiveProgram, server: WebServer) -> None:
    """As `--metrics-port` serves them."""
    with serving(server, live.ttslo, signs_of(live)):
        assert 'ttslo_armed_row_live{row="btc"}' in ask(server, "/metrics").body
        health = ask(server, "/healthz")
        assert health.status in (200, 503)
        assert "armed rows" in health.body


def test_figures_before_the_run_and_without_their_library(
    live: LiveProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is watched, which no watcher may take for health."""
    monkeypatch.setattr(live.ttslo, "live", None)
    figures = figures_of(live.ttslo)
    assert figures.health() == (503, "Nothing is watched yet: the program is starting")
    assert figures.metrics is not None
    assert figures.metrics() is None
    monkeypatch.setattr(metrics, "PROMETHEUS_AVAILABLE", False)
    assert figures_of(live.ttslo).metrics is None


def test_token_is_in_no_word_of_the_run(token: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither on the screen nor in the log."""
    Path("config.csv").write_text("id,pair\n", encoding="utf-8")
    os.environ["KRAKEN_SPOT_URL"] = "http://127.0.0.1:9"
    try:
        main(["--web", str(free_port()), "--dry-run"])
    finally:
        del os.environ["KRAKEN_SPOT_URL"]
    said = capsys.readouterr()
    assert "The live page is at http://127.0.0.1:" in said.out
    assert TOKEN not in said.out + said.err + Path("logs.csv").read_text(encoding="utf-8")


def test_page_that_may_act_needs_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even on this machine: any program of any user could ask it to."""
    monkeypatch.delenv("TTSLO_WEB_TOKEN", raising=False)
    assert "set TTSLO_WEB_TOKEN, or leave --web-actions out" in refusal_of(web_actions=True)


def test_action_without_a_page_is_a_wrong_flag(capsys: pytest.CaptureFixture[str]) -> None:
    """There would be nothing to press."""
    with pytest.raises(SystemExit):
        options_from(["--web-actions"])
    assert "--web-actions" in capsys.readouterr().err
