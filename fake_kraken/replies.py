"""How an answer leaves, or does not: whole, another one, half, or a connection that is reset."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from fake_kraken.faults import Fault

_JSON = {"Content-Type": "application/json; charset=utf-8"}


def reply(body: Mapping[str, Any]) -> web.Response:
    """Return a whole answer."""
    return web.Response(text=json.dumps(body), headers=_JSON)


def faulty(fault: Fault) -> web.Response:
    """Return what the edge, or Kraken, answers instead."""
    page = "<!DOCTYPE html><html><title>Just a moment</title></html>"
    if fault.name == "error":
        return reply({"error": [fault.text]})
    status = 200 if fault.name == "html" else int(fault.name.removeprefix("http_"))
    return web.Response(status=status, text=page, content_type="text/html")


@web.middleware
async def let_go(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Let clients vanish whenever they like: to the server's library that would be an error."""
    try:
        return await handler(request)
    except ConnectionError:
        return web.Response()  # nobody is left to read it


def reset(request: web.Request) -> web.Response:
    """Reset the connection of a call that gets no answer."""
    reset_transport(request.transport)
    return web.Response()  # nobody is left to read it


async def reset_inside(request: web.Request, body: Mapping[str, Any]) -> web.StreamResponse:
    """Send the first half of an answer, and close."""
    text = json.dumps(body).encode()
    response = web.StreamResponse(headers={**_JSON, "Content-Length": str(len(text))})
    await response.prepare(request)
    await response.write(text[: len(text) // 2])
    # Closed and not reset: a reset could overtake the first half.
    if isinstance(request.transport, asyncio.Transport):
        request.transport.close()
    return response


def reset_transport(transport: asyncio.BaseTransport | None) -> None:
    """Reset a connection: the other side sees a reset, and no orderly end."""
    if not isinstance(transport, asyncio.Transport) or transport.is_closing():
        return
    linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()
