"""The port at which an exchange listens, and which it keeps while it does not.

A port that was handed out by the system and left, for moments even, is the next one's who asks for
any: those who wait for the exchange to come back would knock there instead.
"""

from __future__ import annotations

import os
import socket

from aiohttp import web

HOST = "127.0.0.1"


class Seat:
    """A port of this machine. Used on the exchange's own thread."""

    def __init__(self) -> None:
        self._site: web.BaseSite | None = None
        self._kept: socket.socket | None = None  # has the port while nobody listens

    async def listen(self, runner: web.AppRunner, port: int) -> int:
        """Let `runner` have what comes, and return the port; of 0 the system makes a free one.

        Raises:
            OSError: If another one has it.
        """
        kept, self._kept = self._kept, None
        site: web.BaseSite
        site = web.TCPSite(runner, HOST, port) if kept is None else web.SockSite(runner, kept)
        self._site = site
        await site.start()
        return int(runner.addresses[0][1])

    async def pause(self, port: int) -> None:
        """Refuse whoever knocks, until `listen` is called again."""
        assert self._site is not None  # somebody listens
        await self._site.stop()
        self._kept = _bound(port)

    def leave(self) -> None:
        """Let anybody have the port. For one who does not listen."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None


def _bound(port: int) -> socket.socket:
    """Return a socket that has a port, and at which nobody listens yet."""
    sock = socket.socket()
    if os.name == "posix":  # as servers have it there: connections that were dropped may linger
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((HOST, port))
    except BaseException:
        sock.close()
        raise
    return sock
