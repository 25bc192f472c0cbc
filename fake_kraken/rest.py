"""REST over HTTP: who calls, what is done, and which fault comes between.

It knows no endpoint: what a call means stands in `calls`, who may make it in `keys`.

Source: Kraken, spot REST (read 2026-11).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ParamSpec

from aiohttp import web

from fake_kraken.calls import Calls, check_deadline
from fake_kraken.core import Core
from fake_kraken.faults import Fault
from fake_kraken.keys import KeyRing, Signed
from fake_kraken.lockout import Lockout
from fake_kraken.params import Params, Refusal, read_params, readable
from fake_kraken.replies import (
    aged,
    bomb,
    dripped,
    faulty,
    reply,
    reset,
    reset_inside,
    with_two_lengths,
)
from fake_kraken.twists import twisted, widened

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
            if endpoint == "AddOrder":
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
            self._keys.admit(signed, endpoint, nonce)
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
        return await _sent(request, self._settled(call), struck)

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
