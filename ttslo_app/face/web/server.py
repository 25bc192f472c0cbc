"""The server of the live page, on a thread of its own.

It is handed snapshots and hands them on; the feed and the orders never wait for it, nor does who
takes the snapshots. Each browser gets the newest one when it can take it, and is let go when it
does not read. What it must never do: read a file that a request names, or let readers use up the
machine's file numbers.

Source: WHATWG HTML, server-sent events; Content Security Policy level 3 (read 2026-11).
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import Any

from aiohttp import web

from ttslo_app.face.snapshot import Snapshot, judged
from ttslo_app.face.web import words
from ttslo_app.face.web.board import Board
from ttslo_app.face.web.guard import (
    COOKIE,
    HEADER,
    Confirmations,
    Guard,
    PageUnavailable,
    Request,
    is_everywhere,
    wish_from,
)

_log = logging.getLogger(__name__)

# So many may look at a time, and so many be connected without a question; each costs a file number.
MOST_PAGES, MOST_IDLE = 64, 32
# Seconds that one gets to ask, and to read what it is sent; and after a wrong token.
_PATIENCE, _PAUSE = 5.0, 1.0
# Bytes. What waits for a browser that does not read stays small.
_BUFFER, _LARGEST_BODY = 65_536, 4_096
# Turns of asyncio's loop after which a connection that it has accepted is one that is known here.
_TURNS_TO_LET_IN = 3

_STATIC = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/chart.js": ("chart.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
# What one sees who has not shown the token: nothing in it tells of rows or orders.
_OPEN = frozenset({"/page.css", "/icon.svg", "/login"})
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "ttslo",
}

_MAY_ACT = b"event: actions\ndata: 1\n\n"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Figures:
    """What else is served; each but `do` is called on the server's thread and must not block.

    Attributes:
        metrics: Returns the type and the bytes of `/metrics`, None before there are any; itself
            None where they cannot be made.
        health: Returns status and text of `/healthz`.
        do: Does what a word says with a row, and returns whether it was done and a sentence; None
            for a page that can only be read. It has a thread for itself, and may block.
    """

    metrics: Callable[[], tuple[str, bytes] | None] | None
    health: Callable[[], tuple[int, str]]
    do: Callable[[str, str], tuple[bool, str]] | None = None


class WebServer:
    """Serves the page from `start` to `stop`. It has its port from the beginning.

    Args:
        port: Where; 0 picks a free one.
        guard: Who may ask.
        tls: The certificate; None for plain HTTP.
        address: What the guard's host stands for, where that is a name.

    Raises:
        PageUnavailable: If the port cannot be had.
    """

    def __init__(
        self,
        port: int,
        guard: Guard,
        tls: ssl.SSLContext | None = None,
        address: str | None = None,
    ) -> None:
        self._guard, self._tls = guard, tls
        try:
            self._socket = _listen(address or guard.host, port)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise PageUnavailable(words.not_had(guard.host, port, why)) from error
        self.port: int = self._socket.getsockname()[1]
        self._static = {path: _read(name) for path, (name, _) in _STATIC.items()}
        self._login = _read("login.html")
        self._asked = Confirmations(time.monotonic, partial(secrets.token_urlsafe, 24))
        self._acting: asyncio.Lock | None = None
        self._board = Board()
        self._pages: set[asyncio.Event] = set()
        self._figures: Figures | None = None
        self._newest: Snapshot | None = None
        self._message = b""
        self._is_due = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._doorman: Doorman | None = None
        self._thread = threading.Thread(target=self._run, name="ttslo-web", daemon=True)
        self._began = threading.Event()

    @property
    def url(self) -> str:
        """The address of the page."""
        host = socket.gethostname() if is_everywhere(self._guard.host) else self._guard.host
        host = f"[{host}]" if ":" in host else host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}/"

    @property
    def is_watched(self) -> bool:
        """Whether a page is open. Any thread."""
        return bool(self._pages)

    def start(self, figures: Figures) -> WebServer:
        """Begin to answer. Call it once."""
        self._figures = figures
        self._thread.start()
        self._began.wait(_PATIENCE)
        return self

    def stop(self) -> None:
        """Answer no more, and give the port back. Waits for a second at most."""
        loop, stopping = self._loop, self._stopping
        if loop is not None and stopping is not None:
            with suppress(RuntimeError):  # it ended by itself
                loop.call_soon_threadsafe(stopping.set)
        if self._thread.is_alive():
            self._thread.join(1.0)
        self._socket.close()

    def show(self, snapshot: Snapshot) -> None:
        """Let all pages show a snapshot. Any one thread; never blocks."""
        self._newest = snapshot
        loop = self._loop
        if loop is None or self._is_due:
            return  # the one that is due takes the newest
        self._is_due = True
        with suppress(RuntimeError):  # the program ends
            loop.call_soon_threadsafe(self._turn)

    # --- the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception:  # noqa: BLE001 - a page must not end a program that watches money
            _log.exception("The live page has ended; the program goes on")
        finally:
            self._loop = None
            self._began.set()

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self._acting = asyncio.Lock()
        app = web.Application(middlewares=[self._watched], client_max_size=_LARGEST_BODY)
        app.on_response_prepare.append(_add_headers)
        app.router.add_get("/events", self._events)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_post("/login", self._log_in)
        app.router.add_post("/act", self._act)
        for path in _STATIC:
            app.router.add_get(path, self._page)
        runner = web.AppRunner(
            app,
            access_log=None,
            keepalive_timeout=_PATIENCE,
            shutdown_timeout=0.2,
            handler_cancellation=True,  # a page that is closed gives its place back at once
        )
        await runner.setup()
        assert runner.server is not None
        doorman = self._doorman = Doorman(runner.server)
        server = await self._loop.create_server(doorman, sock=self._socket, ssl=self._tls)
        sweeper = asyncio.create_task(doorman.sweep())
        self._began.set()
        try:
            await self._stopping.wait()
        finally:
            sweeper.cancel()
            await self._close(server)
            for page in list(self._pages):
                page.set()
            open_ones = [one.transport for one in runner.server.connections]
            await runner.cleanup()
            for transport in open_ones:
                if transport is not None:
                    transport.abort()  # one whose client reads nothing would wait for it for ever

    async def _close(self, server: asyncio.Server) -> None:
        """Let in nobody who has not been accepted yet, and the others before the server is closed.

        A connection that is still on its way then would be forgotten, neither served nor ended.
        """
        assert self._loop is not None
        # Windows accepts in one turn; and who waited too long for the end closes the socket itself.
        with suppress(NotImplementedError, ValueError):
            self._loop.remove_reader(self._socket)
        for _ in range(_TURNS_TO_LET_IN):
            await asyncio.sleep(0)
        server.close()

    def _turn(self) -> None:
        """Take the newest snapshot, and wake whoever shows it."""
        self._is_due = False
        snapshot = self._newest
        if snapshot is None:
            return
        self._board.take(snapshot, judged(snapshot, time.time(), is_alive=True))
        self._message = _as_event(self._board.newest()) if self._pages else b""
        for page in self._pages:
            page.set()

    # --- who asks ------------------------------------------------------------------------------

    @web.middleware
    async def _watched(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        asked = Request(
            request.path,
            request.headers.getall("Host", []),
            request.headers.getall("Origin", []),
            {name.lower(): value for name, value in request.headers.items()},
            request.cookies.get(COOKIE, ""),
        )
        refused = self._guard.check(asked)
        if refused is not None:
            return _text(refused.status, refused.text)
        if request.path not in _OPEN and not self._guard.is_known(asked):
            if request.path == "/":
                return web.Response(status=401, body=self._login, content_type="text/html")
            return _text(401, words.NOT_LOGGED_IN)
        assert self._doorman is not None
        with self._doorman.serving(request.protocol):
            try:
                return await handler(request)
            except web.HTTPException as error:
                return _text(error.status, words.NOT_HERE)

    async def _log_in(self, request: web.Request) -> web.StreamResponse:
        form = await asyncio.wait_for(request.post(), _PATIENCE)
        if not self._guard.knows(str(form.get("token", "")).strip()):
            await asyncio.sleep(_PAUSE)  # whoever tries many shall not try them fast
            return web.Response(status=401, body=self._login, content_type="text/html")
        answer = web.Response(status=303, headers={"Location": "/"})
        answer.set_cookie(COOKIE, self._guard.cookie(), httponly=True, samesite="Strict",
            secure=self._tls is not None, path="/")  # fmt: skip
        return answer

    async def _act(self, request: web.Request) -> web.StreamResponse:
        """Ask back what a page asks for, and do it once that is confirmed."""
        do = self._figures.do if self._figures is not None else None
        if do is None:
            return _text(404, words.READ_ONLY)
        # Without an origin nobody knows which page it is; no other one can set the header.
        if not request.headers.getall("Origin", []) or request.headers.get(HEADER) != "1":
            return _text(403, words.FOREIGN_ORIGIN)
        try:
            wish = wish_from(await asyncio.wait_for(request.json(), _PATIENCE))
        except (ValueError, TimeoutError):
            return _text(400, words.NO_WISH)
        if not wish.code:
            told = {"code": self._asked.ask(wish), "text": words.confirm(wish.verb, wish.row)}
            return web.json_response(told, status=202)
        if not self._asked.take(wish):
            return _text(409, words.NOT_CONFIRMED)
        assert self._acting is not None
        async with self._acting:
            is_done, text = await asyncio.to_thread(do, wish.verb, wish.row)
        return web.json_response({"done": is_done, "text": text})

    # --- what is answered ----------------------------------------------------------------------

    async def _page(self, request: web.Request) -> web.StreamResponse:
        body = self._static[request.path]
        return web.Response(body=body, content_type=_STATIC[request.path][1], charset="utf-8")

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        assert self._figures is not None
        if self._figures.metrics is None:
            return _text(501, words.NO_METRICS)
        told = self._figures.metrics()
        if told is None:
            return _text(503, words.NOT_BEGUN)
        kind, body = told
        return web.Response(body=body, headers={"Content-Type": kind})

    async def _healthz(self, request: web.Request) -> web.StreamResponse:
        assert self._figures is not None
        status, text = self._figures.health()
        return _text(status, text.strip())

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Send the newest snapshot again and again, for as long as it is read."""
        if len(self._pages) >= MOST_PAGES:
            return _text(503, words.is_full(MOST_PAGES))
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        transport, page = request.transport, asyncio.Event()
        if transport is not None:
            transport.set_write_buffer_limits(high=_BUFFER)
        self._pages.add(page)
        try:
            # What may be done goes with the first message, for the page to offer it.
            may_act = b"" if self._figures is None or self._figures.do is None else _MAY_ACT
            await _put(answer, b"retry: 1000\n\n" + may_act + _as_event(self._board.whole()))
            while self._stopping is not None and not self._stopping.is_set():
                await page.wait()
                page.clear()
                if self._message:
                    await _put(answer, self._message)
        except (TimeoutError, OSError):
            if transport is not None:
                transport.abort()  # it does not read, or is gone
        finally:
            self._pages.discard(page)
        return answer


class Doorman:
    """Makes the protocol of each connection, and lets those go that cost more than they ask.

    One that has asked nothing for seconds goes; so does the oldest of these when too many are here.

    Args:
        server: Makes protocols.
    """

    def __init__(self, server: Callable[[], Any]) -> None:
        self._server = server
        self._idle: dict[Any, float] = {}  # the oldest first

    def __call__(self) -> Any:
        """Return a protocol for one who has just come."""
        protocol = self._server()
        self._idle[protocol] = time.monotonic()
        self._make_room()
        return protocol

    @contextmanager
    def serving(self, protocol: Any) -> Iterator[None]:
        """Keep a connection while it is answered."""
        self._idle.pop(protocol, None)
        try:
            yield
        finally:
            if protocol.transport is not None:
                self._idle[protocol] = time.monotonic()

    def _make_room(self) -> None:
        extra = len(self._idle) - MOST_IDLE
        for protocol in list(self._idle)[: max(0, extra)]:
            if protocol.transport is not None:  # else it is on its way here, and goes later
                self._let_go(protocol)

    def _let_go(self, protocol: Any) -> None:
        del self._idle[protocol]
        if protocol.transport is not None:
            protocol.transport.abort()

    async def sweep(self) -> None:
        """Let those go that have asked nothing for too long, again and again."""
        while True:
            await asyncio.sleep(_PATIENCE / 10)
            self._make_room()
            now = time.monotonic()
            for protocol, since in list(self._idle.items()):
                if now - since > _PATIENCE:
                    self._let_go(protocol)


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)


async def _put(answer: web.StreamResponse, data: bytes) -> None:
    await asyncio.wait_for(answer.write(data), _PATIENCE)


def _as_event(message: Mapping[str, Any] | None) -> bytes:
    if message is None:
        return b""
    return b"data: " + json.dumps(message, separators=(",", ":")).encode() + b"\n\n"


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text + "\n")


def _read(name: str) -> bytes:
    return files("ttslo_app.face.web").joinpath(name).read_bytes()


def _listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, port), family=family, backlog=128)
