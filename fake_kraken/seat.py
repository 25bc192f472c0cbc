"""The port at which an exchange listens, and which it keeps while it does not.

A port that was handed out by the system and left, for moments even, is the next one's who asks for
any: those who wait for the exchange to come back would knock there instead.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress

from aiohttp import web

HOST = "127.0.0.1"
# Turns of asyncio's loop after which a connection that it has accepted is one that the server
# knows. A server that is closed before forgets it: it is neither served nor ended.
_TURNS_TO_LET_IN = 3


class Seat:
    """A port of this machine. Used on the exchange's own thread."""

    def __init__(self) -> None:
        self._site: web.SockSite | None = None  # while somebody listens
        self._sock: socket.socket | None = None  # has the port, whether anybody listens or not

    async def listen(self, runner: web.AppRunner, port: int) -> int:
        """Let `runner` have what comes, and return the port; of 0 the system makes a free one.

        Raises:
            OSError: If another one has it.
        """
        sock = self._sock = self._sock or _bound(port)
        site = web.SockSite(runner, sock)
        await site.start()
        self._site = site
        return int(sock.getsockname()[1])

    async def pause(self, port: int) -> None:
        """Refuse whoever knocks, until `listen` is called again."""
        await self.leave()
        self._sock = _bound(port)

    async def leave(self) -> None:
        """Let anybody have the port, and in nobody who has not been accepted yet."""
        sock, self._sock = self._sock, None
        site, self._site = self._site, None
        if site is not None and sock is not None:
            loop = asyncio.get_running_loop()
            with suppress(NotImplementedError):  # Windows accepts in one turn
                loop.remove_reader(sock)
            with suppress(OSError):  # else it listens on where a child of a fork has a copy of it
                sock.shutdown(socket.SHUT_RDWR)
            for _ in range(_TURNS_TO_LET_IN):
                await asyncio.sleep(0)
            await site.stop()
        if sock is not None:
            sock.close()


def _bound(port: int) -> socket.socket:
    """Return a socket that has a port, and at which nobody listens yet."""
    sock = socket.socket()
    if os.name == "posix":  # as servers have it there: connections that were dropped may linger
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((HOST, port))
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot listen at {HOST}:{port}: {error.strerror}") from None
    except BaseException:
        sock.close()
        raise
    return sock
