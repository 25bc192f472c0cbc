"""REST over HTTP: who calls, what is done, and which fault comes between.

It knows no endpoint: what a call means stands in `calls`, who may make it in `keys`.

Source: Kraken, spot REST (read 2026-11).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from fake_kraken.calls import Calls, check_deadline
from fake_kraken.core import Core
from fake_kraken.faults import Fault
from fake_kraken.keys import KeyRing, Signed
from fake_kraken.params import Params, Refusal, read_params, readable
from fake_kraken.replies import faulty, reply, reset, reset_inside

# Kraken's edge answers 520 to very long lists of pairs; where it draws the line is not known.
_LONGEST_URL = 8000
# Each is an answer instead of Kraken's own, `when` before or after it acted.
_ANSWERED_INSTEAD = ("http_502", "http_504", "http_520", "html", "error")


@dataclass(frozen=True, slots=True)
class _Call:
    """A call on its way: first it is admitted, which uses its nonce up, then acted upon."""

    endpoint: str
    admit: Callable[[], Params]
    act: Callable[[Params], Any]


class Rest:
    """The handlers of `/0/public` and `/0/private`, all on the exchange's own thread."""

    def __init__(self, core: Core, keys: KeyRing, calls: Calls) -> None:
        self._core, self._keys, self._calls = core, keys, calls

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

        def admit() -> Params:
            return query | read_params(body, request.content_type)

        def act(params: Params) -> Any:
            return _called(self._calls.public, endpoint, params)

        return await self._answer(request, _Call(endpoint, admit, act))

    async def _private(self, request: web.Request) -> web.StreamResponse:
        endpoint = request.match_info["endpoint"]
        body = await request.read()
        arrived = self._core.now()
        noted = readable(body, request.content_type)
        self._note(request, endpoint, {k: v for k, v in noted.items() if k != "nonce"})

        def admit() -> Params:
            params = read_params(body, request.content_type)
            self._keys.admit(_signed(request, body), endpoint, params.get("nonce", ""))
            return params

        def act(params: Params) -> Any:
            if endpoint == "AddOrder":
                check_deadline(params.get("deadline"), arrived, self._core.now())
            return _called(self._calls.private, endpoint, params)

        return await self._answer(request, _Call(endpoint, admit, act))

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        return reply({"error": ["EGeneral:Unknown method"]})

    def _note(self, request: web.Request, endpoint: str, params: dict[str, str]) -> None:
        # The port at the other end tells connections apart, as long as they are open.
        peer = request.transport and request.transport.get_extra_info("peername")
        self._core.note(endpoint, params, int(peer[1]) if peer else 0)

    async def _answer(self, request: web.Request, call: _Call) -> web.StreamResponse:
        """Act and answer, with whatever fault is switched on for this endpoint."""
        faults = self._core.faults
        if faults.struck("black_hole", call.endpoint):
            await asyncio.Event().wait()
        if faults.struck("nonce_refused", call.endpoint):
            return reply({"error": ["EAPI:Invalid nonce"]})
        if fault := faults.struck("delayed_action", call.endpoint):
            await asyncio.sleep(fault.seconds)
        for name in _ANSWERED_INSTEAD:
            fault = faults.struck(name, call.endpoint)
            if fault is not None:
                if fault.when == "after":
                    self._carry_out(call)
                return faulty(fault)
        body = self._carry_out(call)
        if fault := faults.struck("delayed_reply", call.endpoint):
            await asyncio.sleep(fault.seconds)
        if faults.struck("lost_reply", call.endpoint):
            return reset(request)
        if faults.struck("reset_mid_body", call.endpoint):
            return await reset_inside(request, body)
        return reply(body)

    def _carry_out(self, call: _Call) -> dict[str, Any]:
        try:
            return {"error": [], "result": call.act(call.admit())}
        except Refusal as refusal:
            return {"error": refusal.errors}
        finally:
            self._core.tell()


def _called(calls: Mapping[str, Callable[[Params], Any]], endpoint: str, params: Params) -> Any:
    call = calls.get(endpoint)
    if call is None:
        raise Refusal("EGeneral:Unknown method")
    return call(params)


def _signed(request: web.Request, body: bytes) -> Signed:
    return Signed(
        key=request.headers.get("API-Key", ""),
        signature=request.headers.get("API-Sign", ""),
        path=request.rel_url.raw_path,
        query=request.rel_url.raw_query_string,
        body=body,
    )
