"""The page's server over bare sockets: what it serves, to whom, and what nobody can do to it."""

from __future__ import annotations

import asyncio
import gc
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from importlib.resources import files

import pytest

from tests.kits.program.live_program import wait_until
from tests.kits.signs.sign_kit import row
from tests.kits.signs.web_kit import (
    FIGURES,
    LONG,
    TOKEN,
    Answer,
    ask,
    connect,
    moment,
    page_of,
    read_answer,
    request,
    served,
)
from ttslo_app.face.web import server as server_room
from ttslo_app.face.web.guard import Guard, PageUnavailable
from ttslo_app.face.web.server import MOST_IDLE, MOST_PAGES, Figures, WebServer

ASSETS = ("page.html", "page.css", "page.js", "chart.js", "icon.svg", "login.html")


@pytest.fixture
def server() -> Iterator[WebServer]:
    """Hand out a server for this machine alone."""
    with served() as made:
        yield made


@pytest.fixture
def guarded() -> Iterator[WebServer]:
    """Hand out a server that wants a token."""
    with served(Guard(token=TOKEN)) as made:
        yield made


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server's patience be short."""
    monkeypatch.setattr(server_room, "_PATIENCE", 0.3)
    monkeypatch.setattr(server_room, "_PAUSE", 0.0)


# --- the page ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("/", "text/html", "<title>TTSLO</title>"),
        ("/page.js", "text/javascript", "EventSource"),
        ("/chart.js", "text/javascript", "class Chart"),
        ("/page.css", "text/css", "prefers-color-scheme: dark"),
        ("/icon.svg", "image/svg+xml", "<svg"),
    ],
)
def test_page_and_what_it_needs_is_served(
    server: WebServer, path: str, kind: str, words: str
) -> None:
    """Each with its type."""
    answer = ask(server, path)
    assert (answer.status, answer.headers["content-type"]) == (200, f"{kind}; charset=utf-8")
    assert words in answer.body


@pytest.mark.parametrize("path", ["/", "/page.js", "/healthz", "/metrics", "/nothing", "/login"])
def test_each_answer_is_kept_from_other_pages(server: WebServer, path: str) -> None:
    """Errors, too."""
    headers = ask(server, path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "same-origin"  # without it a form has no origin
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["server"] == "ttslo"  # which library and Python it is concerns nobody


@pytest.mark.parametrize("name", ASSETS)
def test_page_names_no_address_of_others(name: str) -> None:
    """Whoever watches their money is watched by nobody."""
    text = files("ttslo_app.face.web").joinpath(name).read_text("utf-8")
    addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.[a-z]+[\w/.-]*", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # the name of a form, which nobody fetches


@pytest.mark.parametrize("name", ["page.html", "login.html"])
def test_page_holds_no_script_or_style_within_it(name: str) -> None:
    """The policy would stop it, and a test is cheaper than a broken page."""
    text = files("ttslo_app.face.web").joinpath(name).read_text("utf-8")
    assert re.search(r"\sstyle=|\son\w+=|<style|<script(?![^>]*src=)", text) is None


@pytest.mark.parametrize("name", ["page.js", "chart.js"])
def test_script_makes_no_markup_of_text(name: str) -> None:
    """What a row is called must stay a text."""
    text = files("ttslo_app.face.web").joinpath(name).read_text("utf-8")
    assert re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text) is None


# --- paths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/../config.csv", "/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/.env", "//etc/passwd",
     "/page.js/../../server.py", "/page.js%00.html", "/static/page.js", "/server.py", "/.env",
     "/page.html", "/login.html", "/state.csv.status.json", "/Page.js", "/page.js/", "/%70age.txt",
     "/..\\..\\config.csv", "/page.css;x", "/events/../.env"],
)  # fmt: skip
def test_path_leads_to_nothing_else(server: WebServer, path: str) -> None:
    """No file is read that a request names: what is served was read at the start."""
    answer = ask(server, path)
    assert answer.status in (400, 404)
    assert "import" not in answer.body
    assert "root:" not in answer.body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"])
def test_page_can_only_be_read(server: WebServer, method: str) -> None:
    """It changes nothing."""
    assert ask(server, "/events", method=method).status in (400, 405)


@pytest.mark.parametrize(
    "raw",
    [b"\r\n\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9.9\r\n\r\n",
     b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"A: " + b"x" * 20_000 + b"\r\n\r\n",
     b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n"],
)  # fmt: skip
def test_nonsense_harms_nobody(server: WebServer, hasty: None, raw: bytes) -> None:
    """It is refused or let go, and the next one is answered."""
    with closing(connect(server)) as sock, suppress(ConnectionError):
        sock.sendall(raw)
        while sock.recv(65_536):
            pass
    assert ask(server, "/healthz").status == 200


# --- who asks ------------------------------------------------------------------------------------


def test_foreign_host_is_refused(server: WebServer) -> None:
    """On each path, and with a sentence."""
    for path in ("/", "/events", "/metrics", "/healthz", "/page.js"):
        answer = ask(server, path, host="evil.example")
        assert (answer.status, "open it by the address" in answer.body) == (403, True)


def test_missing_host_and_a_second_one_are_refused(server: WebServer) -> None:
    """HTTP/1.1 has one."""
    assert ask(server, "/", host=None).status in (400, 403)
    assert ask(server, "/", "Host: evil.example").status in (400, 403)


def test_foreign_origin_is_refused(server: WebServer) -> None:
    """And the answer lets no other page read it."""
    answer = ask(server, "/events", "Origin: http://evil.example")
    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers


def test_own_origin_is_answered(server: WebServer) -> None:
    """With the port that it really has."""
    own = f"127.0.0.1:{server.port}"
    assert ask(server, "/healthz", f"Origin: http://{own}", host=own).status == 200


@pytest.mark.parametrize("path", ["/events", "/metrics", "/healthz", "/page.js", "/chart.js"])
def test_without_the_token_nothing_is_told(guarded: WebServer, path: str) -> None:
    """Not even that there is such a row."""
    guarded.show(moment(0))
    answer = ask(guarded, path)
    assert (answer.status, "TTSLO_WEB_TOKEN" in answer.body) == (401, True)
    assert "btc_top" not in answer.body


def test_without_the_token_the_page_asks_for_it(guarded: WebServer) -> None:
    """And its style is there, so that it looks like something."""
    answer = ask(guarded, "/")
    assert (answer.status, 'name="token"' in answer.body) == (401, True)
    assert ask(guarded, "/page.css").status == 200


def test_token_opens_everything(guarded: WebServer) -> None:
    """As a header, for programs."""
    bearer = f"Authorization: Bearer {TOKEN}"
    assert ask(guarded, "/healthz", bearer).status == 200
    assert 'id="row-list"' in ask(guarded, "/", bearer).body
    assert ask(guarded, "/healthz", f"{bearer}x").status == 401


def log_in(server: WebServer, token: str) -> Answer:
    """Send the token as the form does."""
    return ask(server, "/login", method="POST", body=f"token={token}")


def test_form_gives_a_cookie_that_opens_everything(guarded: WebServer) -> None:
    """No script and no other page can take it."""
    answer = log_in(guarded, TOKEN)
    assert (answer.status, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert ask(guarded, "/healthz", f"Cookie: {cookie.partition(';')[0]}").status == 200


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", "%00", "%F0%9F"])
def test_form_with_another_token_gives_none(guarded: WebServer, hasty: None, token: str) -> None:
    """It asks again."""
    answer = log_in(guarded, token)
    assert (answer.status, "set-cookie" in answer.headers) == (401, False)


def test_form_of_another_page_is_refused(guarded: WebServer) -> None:
    """It could log somebody in who does not know it."""
    answer = ask(guarded, "/login", "Origin: http://evil.example", method="POST",
                 body=f"token={TOKEN}")  # fmt: skip
    assert answer.status == 403


def test_large_form_is_refused(guarded: WebServer, hasty: None) -> None:
    """It is not taken into memory."""
    assert log_in(guarded, "x" * 100_000).status in (401, 413)


def test_without_a_token_the_form_gives_nothing(server: WebServer, hasty: None) -> None:
    """An empty one is not the right one."""
    assert log_in(server, "").status == 401


# --- what is told --------------------------------------------------------------------------------


def test_page_is_told_all_and_then_each_newest(server: WebServer) -> None:
    """In this order, and as long as it is open."""
    server.show(moment(0))
    server.show(moment(1))
    with page_of(server) as page:
        wait_until(lambda: server.is_watched, "the page is open", LONG)
        server.show(moment(2))
        messages = [page.read()]
        while messages[-1]["charts"]["BTC/USD"]["points"][-1][1] != 118002:
            messages.append(page.read())
        server.show(moment(3, rows=(row(price="5", age=0.0),)))
        last = page.read()
    assert (messages[0]["is_whole"], last["is_whole"]) == (True, False)
    assert last["snapshot"]["rows"][0]["price"] == "5"
    wait_until(lambda: not server.is_watched, "the page is closed", LONG)


def test_page_that_comes_early_waits(server: WebServer) -> None:
    """The program has nothing to tell yet."""
    with page_of(server) as page:
        wait_until(lambda: server.is_watched, "the page is open", LONG)
        server.show(moment(0))
        assert page.read()["snapshot"]["mode"] == "LIVE"


def test_page_that_comes_late_is_told_what_was(server: WebServer) -> None:
    """Its chart begins where the program began."""
    for number in range(5):
        server.show(moment(number))
        wait_until(lambda n=number: _last_of(server) == 118000 + n, "it is taken", LONG)  # type: ignore[misc]
    with page_of(server) as page:
        points = page.read()["charts"]["BTC/USD"]["points"]
    assert [price for _, price in points] == [118000, 118001, 118002, 118003, 118004]


def _last_of(server: WebServer) -> float | None:
    try:
        whole = server._board.whole()
    except RuntimeError:  # the server's thread changes it just now
        return None
    return None if whole is None else whole["charts"]["BTC/USD"]["points"][-1][1]


def test_many_pages_are_told_the_same(server: WebServer) -> None:
    """Each of them."""
    server.show(moment(0))
    with ExitStack() as stack:
        pages = [stack.enter_context(page_of(server)) for _ in range(20)]
        for page in pages:
            assert page.read()["is_whole"]
        server.show(moment(1))
        assert {page.read()["snapshot"]["rows"][0]["price"] for page in pages} == {"118001"}


def test_more_pages_than_the_program_can_bear_are_refused(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a sentence; and one that is closed makes room."""
    monkeypatch.setattr(server_room, "MOST_PAGES", 2)
    with page_of(server) as first, page_of(server) as second:
        wait_until(lambda: len(server._pages) == 2, "both are open", LONG)
        answer = ask(server, "/events")
        assert (answer.status, "2 pages are open already" in answer.body) == (503, True)
        second.close()
        wait_until(lambda: len(server._pages) == 1, "one is closed", LONG)
        with page_of(server) as third:
            assert (first.status, third.status) == (200, 200)


def test_pages_and_idle_ones_together_leave_file_numbers_for_orders() -> None:
    """Systems give a process 256 of them at the least."""
    assert MOST_PAGES + MOST_IDLE <= 100


# --- who does not read, or does not ask ----------------------------------------------------------


def test_one_that_does_not_read_is_let_go_and_holds_up_nobody(
    server: WebServer, hasty: None
) -> None:
    """Its buffer is full: it is dropped, while another page hears each word."""
    heavy = tuple(row(f"row{n}", detail="x" * 900, age=0.0) for n in range(100))
    with closing(connect(server, receive=4096)) as deaf, page_of(server) as page:
        deaf.sendall(request("/events"))
        wait_until(lambda: len(server._pages) == 2, "both are open", LONG)
        number = 0

        def is_let_go() -> bool:
            nonlocal number
            number += 1
            server.show(moment(number, rows=heavy))
            page.read()
            return len(server._pages) == 1

        wait_until(is_let_go, "it is let go", LONG)
        server.show(moment(number + 1, rows=(row("last", age=0.0),)))
        while page.read()["snapshot"]["rows"][0]["id"] != "last":
            pass


def test_one_that_reads_late_gets_the_newest(server: WebServer) -> None:
    """What it missed is not kept for it."""
    with page_of(server) as page:
        wait_until(lambda: server.is_watched, "the page is open", LONG)
        server._is_due = True  # the server's thread has not come to it yet
        for number in range(50):
            server.show(moment(number))
        server._is_due = False
        server.show(moment(50))
        assert page.read()["snapshot"]["rows"][0]["price"] == "118050"


def test_two_hundred_idle_ones_keep_nobody_out(server: WebServer) -> None:
    """They ask nothing: the oldest make room, so few file numbers are taken."""
    with ExitStack() as stack:
        idle = [stack.enter_context(closing(connect(server))) for _ in range(200)]
        assert ask(server, "/healthz").status == 200
        with page_of(server) as page:
            server.show(moment(0))
            assert page.read()["is_whole"] in (True, False)
        wait_until(lambda: count_open(idle) <= MOST_IDLE, "most of them are let go", LONG)
        assert ask(server, "/healthz").status == 200


def test_slow_senders_are_let_go(server: WebServer, hasty: None) -> None:
    """Half a request is none."""
    with ExitStack() as stack:
        slow = [stack.enter_context(closing(connect(server))) for _ in range(20)]
        for sock in slow:
            sock.sendall(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nX-")
        wait_until(lambda: count_open(slow) == 0, "they are let go", LONG)


def test_one_that_sends_half_a_form_is_let_go(guarded: WebServer, hasty: None) -> None:
    """It must not keep a place for ever."""
    with closing(connect(guarded)) as sock:
        sock.sendall(request("/login", "Content-Length: 500", method="POST") + b"token=")
        with suppress(ConnectionError):
            assert read_answer(sock).status in (400, 401, 408, 500)


def count_open(sockets: list[socket.socket]) -> int:
    """Return how many connections the other side has not ended."""
    count = 0
    for sock in sockets:
        sock.setblocking(False)
        try:
            count += sock.recv(1) != b""
        except BlockingIOError:
            count += 1
        except ConnectionError:
            pass
    return count


# --- other figures -------------------------------------------------------------------------------


def test_metrics_and_health_are_on_the_same_server(server: WebServer) -> None:
    """One port is enough."""
    answer = ask(server, "/metrics")
    assert (answer.status, answer.body) == (200, "ttslo_armed_rows 1\n")
    assert answer.headers["content-type"] == "text/plain; version=1.0.0"
    assert ask(server, "/healthz").body == "ok\n"


@pytest.mark.parametrize(
    ("figures", "status", "words"),
    [
        (Figures(None, lambda: (503, "no live price")), 501, "prometheus-client"),
        (Figures(lambda: None, lambda: (503, "no live price")), 503, "Nothing is watched yet"),
    ],
)
def test_figures_that_are_not_there_are_said(figures: Figures, status: int, words: str) -> None:
    """With the cure; health is told all the same."""
    with served(figures=figures) as server:
        answer = ask(server, "/metrics")
        assert (answer.status, words in answer.body) == (status, True)
        health = ask(server, "/healthz")
        assert (health.status, health.body) == (503, "no live price\n")


# --- its life ------------------------------------------------------------------------------------


def test_port_that_another_has_is_said_with_the_cure(server: WebServer) -> None:
    """Before anything runs."""
    with pytest.raises(PageUnavailable, match=f"port {server.port} .*choose another port"):
        WebServer(server.port, Guard())


def test_port_is_given_back_and_pages_are_ended(server: WebServer) -> None:
    """A restart on the same port finds it free."""
    port = server.port
    with page_of(server) as page:
        server.show(moment(0))
        page.read()
        server.stop()
        with suppress(EOFError, ConnectionError):
            for _ in range(3):
                page.read()
            pytest.fail("the page is still told something")
    again = WebServer(port, Guard())
    again.start(FIGURES)
    assert ask(again, "/healthz").status == 200
    again.stop()


@pytest.mark.parametrize("turns", range(6))
def test_nothing_is_left_of_one_who_comes_at_the_end(server: WebServer, turns: int) -> None:
    """However far that has come: the connection is ended, and whoever made it is told."""
    loop = server._loop
    assert loop is not None

    async def come_and_end() -> socket.socket:
        client = connect(server)
        for _ in range(turns):
            await asyncio.sleep(0)
        assert server._stopping is not None
        server._stopping.set()
        return client

    with closing(asyncio.run_coroutine_threadsafe(come_and_end(), loop).result(LONG)) as client:
        server.stop()
        with suppress(ConnectionError):
            assert client.recv(1) == b""
        gc.collect()  # what was left open would be found here, and fail the test


def test_snapshot_before_the_start_and_after_the_end_harms_nobody() -> None:
    """Who takes them is a thread that must go on."""
    server = WebServer(0, Guard())
    server.show(moment(0))
    server.start(FIGURES)
    server.stop()
    server.stop()
    server.show(moment(1))
    assert not server.is_watched


def test_server_that_was_never_started_gives_its_port_back() -> None:
    """A run may end before it begins."""
    server = WebServer(0, Guard())
    server.stop()
    with closing(socket.create_server(("127.0.0.1", server.port))):
        pass


def test_no_thread_but_its_own_works_for_it(server: WebServer) -> None:
    """Those of prices and orders never do."""
    before = {thread.name for thread in threading.enumerate()}
    with page_of(server) as page:
        server.show(moment(0))
        page.read()
        assert {thread.name for thread in threading.enumerate()} == before
    gc.collect()


def test_address_is_one_that_a_browser_takes(server: WebServer) -> None:
    """With brackets where they belong."""
    assert server.url == f"http://127.0.0.1:{server.port}/"
    if socket.has_ipv6:
        with suppress(PageUnavailable):  # a machine without that address
            six = WebServer(0, Guard("::1"))
            assert six.url == f"http://[::1]:{six.port}/"
            six.stop()
