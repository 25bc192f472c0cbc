"""How an answer leaves, or does not: whole, another one, half, or a connection that is reset."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from typing import Any

from aiohttp import web

from fake_kraken.faults import Fault
from fake_kraken.twists import dumped

_JSON = {"Content-Type": "application/json; charset=utf-8"}


_BOMB_PARTS = 1024  # of a million bytes each


def reply(body: Mapping[str, Any]) -> web.Response:
    """Return a whole answer."""
    return web.Response(text=dumped(body), headers=_JSON)


def aged(answer: web.Response, seconds: float) -> web.Response:
    """Return an answer as a cache hands it out, which says so."""
    then = datetime.now(UTC) - timedelta(seconds=seconds)
    answer.headers.update(
        {"Age": f"{seconds:.0f}", "Date": format_datetime(then, usegmt=True), "X-Cache": "HIT"}
    )
    return answer


def faulty(fault: Fault) -> web.Response:
    """Return what the edge, or Kraken, answers instead."""
    page = "<!DOCTYPE html><html><title>Just a moment</title></html>"
    if fault.name != "html" and not fault.name.startswith("http_"):
        return reply({"error": [fault.text]})
    status = 200 if fault.name == "html" else int(fault.name.removeprefix("http_"))
    answer = web.Response(status=status, text=page, content_type="text/html")
    if status == 429:
        answer.headers["Retry-After"] = f"{fault.seconds:g}"
    elif status == 407:
        answer.headers["Proxy-Authenticate"] = 'Basic realm="proxy"'
    return answer


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
    text = dumped(body).encode()
    response = web.StreamResponse(headers={**_JSON, "Content-Length": str(len(text))})
    await response.prepare(request)
    await response.write(text[: len(text) // 2])
    # Closed and not reset: a reset could overtake the first half.
    if isinstance(request.transport, asyncio.Transport):
        request.transport.close()
    return response


async def with_two_lengths(request: web.Request, body: Mapping[str, Any]) -> web.StreamResponse:
    """Send an answer whose head contradicts itself, and close."""
    text = dumped(body).encode()
    await _write(request, _head(len(text), len(text) + 7) + text)
    return web.Response()  # it has gone already


async def dripped(
    request: web.Request, body: Mapping[str, Any], fault: Fault
) -> web.StreamResponse:
    """Send an answer byte by byte: no silence is as long as a deadline between bytes."""
    text = dumped(body).encode()
    head = _head(len(text))
    at_once = 0 if fault.name == "dripping_head" else len(head)
    await _write(request, head + text, at_once, fault.seconds)
    return web.Response()  # it has gone already


def _head(*lengths: int) -> bytes:
    lines = ["HTTP/1.1 200 OK", *(f"{name}: {value}" for name, value in _JSON.items())]
    lines += [f"Content-Length: {length}" for length in lengths]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode()


async def _write(
    request: web.Request, data: bytes, at_once: int | None = None, pause: float = 0.0
) -> None:
    """Write bytes past the server's library, which writes no such thing, and close."""
    transport = request.transport
    if not isinstance(transport, asyncio.Transport):
        return
    first = len(data) if at_once is None else at_once
    transport.write(data[:first])
    for byte in data[first:]:
        if transport.is_closing():
            return
        transport.write(bytes([byte]))
        await asyncio.sleep(pause)
    transport.close()


def bomb() -> web.Response:
    """Return 1 MB of gzip that is 1 GB of JSON."""
    return web.Response(body=_bomb(), headers={**_JSON, "Content-Encoding": "gzip"})


@cache
def _bomb() -> bytes:
    def packed(text: bytes) -> bytes:
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        return packer.compress(text) + packer.flush()

    # A file of gzip may have many parts, each of them whole: so this one is made quickly.
    return (
        packed(b'{"error":[],"result":"') + packed(b"0" * 1_000_000) * _BOMB_PARTS + packed(b'"}')
    )


def reset_transport(transport: asyncio.BaseTransport | None) -> None:
    """Reset a connection: the other side sees a reset, and no orderly end."""
    if not isinstance(transport, asyncio.Transport) or transport.is_closing():
        return
    linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()
