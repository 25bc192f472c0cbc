"""REST over HTTP: who calls, what is done, which fault comes between, and how an answer leaves.

It knows no endpoint: what a call means stands in `calls`, who may make it in `keys`. An answer
leaves whole, as another one, half, or not at all with a connection that is reset.

Source: Kraken, spot REST (read 2026-11).
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache, partial
from typing import Any, ParamSpec

from aiohttp import web

from fake_kraken.calls import Calls, check_deadline
from fake_kraken.core import Core
from fake_kraken.faults import Fault, dumped, twisted, widened
from fake_kraken.keys import KeyRing, Lockout, Signed
from fake_kraken.params import Params, Refusal, read_params, readable

P = ParamSpec("P")

# Kraken's edge answers 520 to very long lists of pairs; where it draws the line is not known.
_LONGEST_URL = 8000
# Each is an answer instead of Kraken's own, `when` before or after it acted.
_ANSWERED_INSTEAD = (
    *("http_502", "http_504", "http_520", "http_429", "http_407", "html", "error"),
    *("market_mode", "limit_exceeded", "order_unknown"),
)

Struck = Callable[[str], Fault | None]


@dataclass(frozen=True, slots=True)
class _Call:
    """A call on its way: first it is admitted, which uses its nonce up, then acted upon.

    `read` gives its parameters and checks nothing; `struck` looks for a fault that strikes it.
    """

    endpoint: str
    struck: Struck
    read: Callable[[], Params]
    admit: Callable[[], None]
    act: Callable[[Params], Any]


class Rest:
    """The handlers of `/0/public` and `/0/private`, all on the exchange's own thread."""

    def __init__(self, core: Core, keys: KeyRing, calls: Calls) -> None:
        self._core, self._keys, self._calls = core, keys, calls
        self._lockout = Lockout()

    def add_routes(self, app: web.Application) -> None:
        """Serve below `/0`."""
        app.router.add_get("/0/public/{endpoint}", self._public)
        app.router.add_post("/0/public/{endpoint}", self._public)
        app.router.add_post("/0/private/{endpoint}", self._private)
        app.router.add_route("*", "/0/{rest:.*}", self._unknown)

    async def _public(self, request: web.Request) -> web.StreamResponse:
        endpoint = request.match_info["endpoint"]
        body = await request.read()
        query: dict[str, str] = dict(request.query)
        self._note(request, endpoint, query | readable(body, request.content_type))
        if len(request.raw_path) > _LONGEST_URL:
            return faulty(Fault("http_520"))
        struck = partial(self._core.faults.struck, endpoint=endpoint)
        calls, age = self._calls, 0.0
        if fault := struck("cached_reply") or struck("old_reply"):
            calls = calls.as_of(self._core.now() - fault.seconds)
            age = fault.seconds if fault.name == "cached_reply" else 0.0

        def act(params: Params) -> Any:
            return _called(calls.public, endpoint)(params)

        def read() -> Params:
            return query | read_params(body, request.content_type)

        answer = await self._answer(request, _Call(endpoint, struck, read, _admit_all, act))
        return aged(answer, age) if age and isinstance(answer, web.Response) else answer

    async def _private(self, request: web.Request) -> web.StreamResponse:
        endpoint = request.match_info["endpoint"]
        body = await request.read()
        arrived = self._core.now()
        signed = _signed(request, body)
        noted = readable(body, request.content_type)
        self._note(request, endpoint, {k: v for k, v in noted.items() if k != "nonce"})
        struck = partial(self._core.faults.struck, endpoint=endpoint, key=signed.key)

        def act(params: Params) -> Any:
            if endpoint == "GetApiKeyInfo":
                return self._keys.info(signed.key)
            if endpoint == "GetWebSocketsToken":
                return self._keys.issue_token(signed.key, self._core.now())
            is_order = endpoint in ("AddOrder", "AddOrderBatch")
            if is_order and not struck("deadline_ignored", endpoint="AddOrder"):
                check_deadline(params.get("deadline"), arrived, self._core.now())
            call = _called(self._calls.private, endpoint)
            looked_for = widened(endpoint, params, self._core.faults)
            return call(looked_for, self._calls.account(self._keys.owner(signed.key)))

        def read() -> Params:
            return read_params(body, request.content_type)

        def admit() -> None:
            self._admit(signed, endpoint, read().get("nonce", ""), struck)

        return await self._answer(request, _Call(endpoint, struck, read, admit, act))

    def _admit(self, signed: Signed, endpoint: str, nonce: str, struck: Struck) -> None:
        fault = struck("lockout")
        if fault is not None:
            self._lockout.check(self._core.now(), fault.calls, fault.seconds)
        try:
            if struck("key_revoked"):
                raise Refusal("EAPI:Invalid key")
            self._keys.admit(signed, endpoint, nonce, self._core.now())
        except Refusal as refusal:
            self._lockout.count(refusal)
            raise

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        return reply({"error": ["EGeneral:Unknown method"]})

    def _note(self, request: web.Request, endpoint: str, params: dict[str, str]) -> None:
        # The port at the other end tells connections apart, as long as they are open.
        peer = request.transport and request.transport.get_extra_info("peername")
        self._core.note(endpoint, params, int(peer[1]) if peer else 0)

    async def _answer(self, request: web.Request, call: _Call) -> web.StreamResponse:
        """Act and answer, with whatever fault is switched on for this call."""
        struck = call.struck
        if struck("black_hole"):
            await asyncio.Event().wait()
        if struck("nonce_refused"):
            return reply({"error": ["EAPI:Invalid nonce"]})
        if fault := struck("delayed_action"):
            await asyncio.sleep(fault.seconds)
        if fault := next(filter(None, map(struck, _ANSWERED_INSTEAD)), None):
            if fault.when == "after":
                self._carry_out(call)
            return faulty(fault)
        if fault := struck("queued_action"):
            return await _sent(request, await self._queued(call, fault.seconds), struck)
        return await _sent(request, self._settled(call), struck)

    async def _queued(self, call: _Call, wait: float) -> dict[str, Any]:
        """Admit a call now and act upon it later, whatever was called with its key meanwhile."""
        try:
            call.read()
            call.admit()
        except Refusal as refusal:
            return {"error": refusal.errors}
        finally:
            self._core.tell()
        await asyncio.sleep(wait)
        return self._settled(replace(call, admit=_admit_all))

    def _settled(self, call: _Call) -> dict[str, Any]:
        """Act, perhaps between two clocks or twice, and return the answer that leaves."""
        jump = call.struck("clock_set")
        if jump and jump.when == "before":
            self._core.clock_offset += jump.seconds
        body = self._carry_out(call)
        if jump and jump.when == "after":
            self._core.clock_offset += jump.seconds
        if call.struck("sent_twice"):
            return self._carry_out(call)
        if call.struck("copied_past_nonce"):
            return self._carry_out(replace(call, admit=_admit_all))
        return body

    def _carry_out(self, call: _Call) -> dict[str, Any]:
        try:
            params = call.read()
            call.admit()
            body = {"error": [], "result": call.act(params)}
            return twisted(call.endpoint, params, body, self._core.faults)
        except Refusal as refusal:
            return {"error": refusal.errors}
        finally:
            self._core.tell()


async def _sent(request: web.Request, body: dict[str, Any], struck: Struck) -> web.StreamResponse:
    """Let an answer leave, on whatever way is switched on for it."""
    if fault := struck("delayed_reply"):
        await asyncio.sleep(fault.seconds)
    if struck("lost_reply"):
        return reset(request)
    if struck("reset_mid_body"):
        return await reset_inside(request, body)
    if struck("two_lengths"):
        return await with_two_lengths(request, body)
    if fault := struck("dripping_reply") or struck("dripping_head"):
        return await dripped(request, body, fault)
    return bomb() if struck("gzip_bomb") else reply(body)


def _admit_all() -> None:
    """Let a call pass that is not checked."""


def _called(calls: Mapping[str, Callable[P, Any]], endpoint: str) -> Callable[P, Any]:
    call = calls.get(endpoint)
    if call is None:
        raise Refusal("EGeneral:Unknown method")
    return call


def _signed(request: web.Request, body: bytes) -> Signed:
    return Signed(
        key=request.headers.get("API-Key", ""),
        signature=request.headers.get("API-Sign", ""),
        path=request.rel_url.raw_path,
        query=request.rel_url.raw_query_string,
        body=body,
    )


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
