"""Receivers on this machine: one that records, and others that answer wrongly, slowly or never."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

LONG = 60.0


class Receiver:
    """Takes HTTP requests until the end of its `with`.

    Args:
        manner: `record` answers 200, `status N` answers that, `mute` reads and never answers,
            `garbled` answers 200 with a header that is none,
            `babble` answers no HTTP, `reset` cuts the connection,
            `drip` sends a byte of an endless header now and then.

    Attributes:
        requests: What came, each as its first line and its body.
    """

    def __init__(self, manner: str = "record") -> None:
        self.manner = manner
        self.requests: list[tuple[str, bytes]] = []
        self._changed = threading.Condition()
        self._ending = threading.Event()
        self._connections: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def place(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The JSON bodies that came."""
        with self._changed:
            return [json.loads(body) for _, body in self.requests if body]

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ending.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(LONG)  # before the others are closed: it may just have let one in
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def wait_for(self, is_there: Callable[[list[tuple[str, bytes]]], object]) -> None:
        """Wait until the requests are as they should be."""
        with self._changed:
            assert self._changed.wait_for(lambda: is_there(self.requests), LONG), self.requests

    def wait_for_text(self, text: str) -> dict[str, Any]:
        """Wait for a message with `text` in it, and return it."""
        self.wait_for(lambda _: any(text in str(message) for message in self._parsed()))
        return next(message for message in self.messages if text in str(message))

    def _parsed(self) -> list[Any]:
        return [json.loads(body) for _, body in self.requests if body]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, ValueError):
            file = connection.makefile("rb")
            first = file.readline().decode().strip()
            length = 0
            while line := file.readline().strip():
                name, _, value = line.decode().partition(":")
                length = int(value) if name.lower() == "content-length" else length
            body = file.read(length)
            with self._changed:
                self.requests.append((first, body))
                self._changed.notify_all()
            self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        match self.manner.split():
            case ["record"]:
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
            case ["status", code]:
                connection.sendall(
                    f"HTTP/1.1 {code} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
                )
            case ["babble"]:
                connection.sendall(b"what do you want?\r\n\r\n")
            case ["garbled"]:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nno header\r\n\r\n")
            case ["reset"]:
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            case ["drip"]:
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Endless: ")
                while not self._ending.wait(0.05):
                    connection.sendall(b"x")
            case ["mute"]:
                self._ending.wait(LONG * 3)
        connection.close()
