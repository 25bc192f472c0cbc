"""The live page's server for tests, and one who asks it over a bare socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.kits.signs.sign_kit import order, row, snapshot
from ttslo_app.face.snapshot import Snapshot
from ttslo_app.face.web.guard import Guard
from ttslo_app.face.web.server import Figures, WebServer

LONG = 60.0  # seconds that nothing here takes unless it is broken
TOKEN = "correct-horse-battery"
FIGURES = Figures(
    lambda: ("text/plain; version=1.0.0", b"ttslo_armed_rows 1\n"), lambda: (200, "ok\n")
)


@contextmanager
def served(guard: Guard | None = None, figures: Figures = FIGURES) -> Iterator[WebServer]:
    """Serve the page on a free port for as long as the `with` lasts."""
    server = WebServer(0, guard or Guard())
    try:
        yield server.start(figures)
    finally:
        server.stop()


def moment(number: int, **changes: Any) -> Snapshot:
    """Return one of many snapshots, each a second and a dollar after the one before."""
    import time

    rows = (
        row(price=str(118000 + number), age=0.0),
        row("sol_top", pair="SOL/USD", state="placed"),
    )
    values: dict[str, Any] = {"rows": rows, "orders": (order(stop=str(200 + number)),)}
    return snapshot(**{"written_at": time.time() + number, **values, **changes})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: headers by their names in lower case."""

    status: int
    headers: dict[str, str]
    body: str


def connect(server: WebServer, receive: int | None = None) -> socket.socket:
    """Return a connection; `receive` is how many bytes the system keeps for who does not read."""
    sock = socket.socket()
    sock.settimeout(LONG)
    if receive is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    sock.connect(("127.0.0.1", server.port))
    return sock


def request(
    path: str, *headers: str, method: str = "GET", host: str | None = "127.0.0.1", body: str = ""
) -> bytes:
    """Return a request as it goes over the wire."""
    lines = [
        f"{method} {path} HTTP/1.1",
        *([f"Host: {host}"] if host is not None else []),
        *headers,
    ]
    if body:
        lines += ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}"]
    return ("\r\n".join([*lines, "", body])).encode("latin-1")


def ask(server: WebServer, path: str, *headers: str, **more: Any) -> Answer:
    """Ask once, and read to the end."""
    with closing(connect(server)) as sock:
        sock.sendall(request(path, "Connection: close", *headers, **more))
        return read_answer(sock)


def read_answer(sock: socket.socket) -> Answer:
    """Read an answer until the other side hangs up."""
    data = b""
    while chunk := sock.recv(65_536):
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    return Answer(int(first.split()[1]), headers, body.decode("utf-8", "replace"))


class Page:
    """A page that is open: reads one message after the other."""

    def __init__(self, server: WebServer, *headers: str) -> None:
        self._sock = connect(server)
        self._sock.sendall(request("/events", *headers))
        self._file = self._sock.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        while self._file.readline().strip():
            pass

    def read(self) -> dict[str, Any]:
        """Return the next message. Blocks until it is there."""
        while True:
            line = self._file.readline()
            if not line:
                raise EOFError("the server has hung up")
            if line.startswith(b"data: "):
                message: dict[str, Any] = json.loads(line[6:])
                return message

    def close(self) -> None:
        """Leave."""
        self._file.close()
        self._sock.close()


@contextmanager
def page_of(server: WebServer, *headers: str) -> Iterator[Page]:
    """Keep a page open for as long as the `with` lasts."""
    page = Page(server, *headers)
    try:
        yield page
    finally:
        page.close()
