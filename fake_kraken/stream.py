"""The stream over WebSocket: who is connected, what they subscribed to, and what they are told.

It knows no channel's frames, which stand in `shapes`; all of it is on the exchange's own thread.

Source: Kraken, WebSocket v2 (read 2026-11).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from fake_kraken.books import BOOK, DEPTHS, BookTeller
from fake_kraken.core import Core
from fake_kraken.market import Listing, Trade
from fake_kraken.market_frames import (
    EVERY,
    INSTRUMENT,
    INTERVALS,
    OHLC,
    candle_frame,
    instrument_frame,
)
from fake_kraken.rest import reset_transport
from fake_kraken.shapes import CHANNELS, Channel, moment_text


@dataclass(eq=False, slots=True)
class Client:
    """One WebSocket connection. A subscription is a channel and a symbol."""

    socket: web.WebSocketResponse
    transport: asyncio.Transport | None
    outbox: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    subscriptions: set[tuple[Any, ...]] = field(default_factory=set)
    candles: set[tuple[Any, ...]] = field(default_factory=set)  # those among them, with an interval
    # Acknowledged while `ack_without_data` was on: without data until they are made anew.
    dumb: set[tuple[Any, ...]] = field(default_factory=set)
    books: dict[str, BookTeller] = field(default_factory=dict)
    with_tokenized: bool = False  # whether its instruments are to have xStocks among them
    sent_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Question:
    """A message that wants an answer: whose, what of it comes back, and when it came."""

    client: Client
    head: Mapping[str, Any]
    came: str


def _key(channel: Channel, symbol: str, param: object) -> tuple[Any, ...]:
    """Return what tells a subscription from every other one."""
    if channel is not OHLC:
        return channel.name, symbol
    return channel.name, symbol, param if isinstance(param, int) else str(param)


class Stream:
    """The WebSocket server.

    Args:
        core: The exchange behind it.
        heartbeat_seconds: Between heartbeats on a quiet stream.

    Attributes:
        PATH: Where it is served.
        FAULTS: How the names of its own faults begin.
        clients: The streams that are open.
        connections_made: How many were ever opened.
        messages: The messages that came in and are remembered, oldest first.
    """

    PATH, FAULTS = "/v2", ""

    def __init__(self, core: Core, heartbeat_seconds: float) -> None:
        self._core = core
        self._heartbeat = heartbeat_seconds
        self.clients: set[Client] = set()
        self.connections_made = 0
        self.messages: list[dict[str, Any]] = []

    def add_routes(self, app: web.Application) -> None:
        """Serve at `PATH`."""
        app.router.add_get(self.PATH, self._serve)

    # --- connections -------------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if fault := self._core.faults.struck(f"{self.FAULTS}refuse_connect"):
            return web.Response(status=fault.status, text="refused")
        peer = web.WebSocketResponse(autoping=True, compress=False)
        await peer.prepare(request)
        client = self._joined(peer, request.transport)
        writer = asyncio.ensure_future(self._write(client))
        beater = asyncio.ensure_future(self._beat(client))
        try:
            self._send(client, self._status_frame())
            async for message in peer:
                if message.type is WSMsgType.TEXT:
                    self._receive(client, message.data)
        finally:
            self._left(client)
            writer.cancel()
            beater.cancel()
            self._core.tell()
        return peer

    def _joined(
        self, peer: web.WebSocketResponse, transport: asyncio.BaseTransport | None
    ) -> Client:
        client = Client(peer, transport if isinstance(transport, asyncio.Transport) else None)
        self.clients.add(client)
        self.connections_made += 1
        self._core.tell()
        if fault := self._core.faults.struck(f"{self.FAULTS}drop"):
            asyncio.get_running_loop().call_later(fault.seconds, self._abort, client)
        return client

    async def _write(self, client: Client) -> None:
        try:
            while True:
                await client.socket.send_str(await client.outbox.get())
        except ConnectionError:
            return  # the reading side ends, and cleans up

    async def _beat(self, client: Client) -> None:
        while True:
            quiet = time.monotonic() - client.sent_at
            if quiet < self._heartbeat:
                await asyncio.sleep(self._heartbeat - quiet)
            elif client.subscriptions:
                self._send(client, {"channel": "heartbeat"})
            else:
                await asyncio.sleep(self._heartbeat)

    def _send(self, client: Client, frame: Mapping[str, Any] | str) -> None:
        client.sent_at = time.monotonic()
        if not self._core.faults.is_on(f"{self.FAULTS}silent"):
            client.outbox.put_nowait(frame if isinstance(frame, str) else json.dumps(frame))

    def abort_all(self) -> None:
        """Reset every stream."""
        for client in list(self.clients):
            self._abort(client)

    def _left(self, client: Client) -> None:
        self.clients.discard(client)

    def _abort(self, client: Client) -> None:
        self._left(client)
        reset_transport(client.transport)
        self._core.tell()

    # --- what is told ------------------------------------------------------------------------

    def tell_status(self) -> None:
        """Tell every stream of the engine's state."""
        for client in self.clients:
            self._send(client, self._status_frame())

    def _status_frame(self) -> dict[str, Any]:
        state = {
            "system": self._core.engine.system_status,
            "api_version": "v2",
            "connection_id": 13834774380200032777,
            "version": "2.0.10",
        }
        return {"channel": "status", "type": "update", "data": [state]}

    def tell_trades(self, listing: Listing, trades: Sequence[Trade]) -> None:
        """Tell of trades that have just been printed, whoever has subscribed to their market."""
        symbol = listing.symbol
        if symbol is None or self._core.faults.is_on("mute", symbol):
            return
        frames: dict[str, str] = {}
        has_bad_ones = self._core.faults.is_on("bad_frames", symbol)
        for client in self.clients:
            for channel in CHANNELS.values():
                wanted = (channel.name, symbol)
                is_lost = channel.name == "trade" and self._core.faults.struck(
                    "trade_lost", symbol=symbol
                )
                if is_lost or wanted not in client.subscriptions or wanted in client.dumb:
                    continue
                if channel.name not in frames:
                    frames[channel.name] = channel.update(listing, trades, self._core.now())
                self._send(client, frames[channel.name])
                for frame in channel.bad_frames(symbol) if has_bad_ones else ():
                    self._send(client, frame)

    def tell_candles(self, listing: Listing) -> None:
        """Tell of the present candles of a market, whoever has subscribed to them."""
        symbol, faults = listing.symbol, self._core.faults
        if symbol is None or faults.is_on("mute", symbol):
            return
        for client in self.clients:
            for channel, name, interval in client.candles - client.dumb:
                if (channel, name) == (OHLC.name, symbol):
                    self._send(client, candle_frame(listing, interval, "update", faults))

    def tell_books(self, listing: Listing) -> None:
        """Tell of what has changed in the book of a market, whoever has subscribed to it."""
        symbol = listing.symbol
        if symbol is None or self._core.faults.is_on("mute", symbol):
            return
        at = moment_text(self._core.now())
        for client in self.clients:
            wanted = (BOOK.name, symbol)
            if wanted in client.subscriptions and wanted not in client.dumb:
                for frame in client.books[symbol].updates(at):
                    self._send(client, frame)

    # --- what is asked -----------------------------------------------------------------------

    def _receive(self, client: Client, text: str) -> None:
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            self._send(client, {"error": "Malformed request", "success": False})
            return
        self._core.remember(self.messages, message)
        came = moment_text(self._core.now())
        method, params = message.get("method"), message.get("params")
        head = {"req_id": message["req_id"]} if "req_id" in message else {}
        if method == "ping":
            self._send(client, {"method": "pong", **head, **self._times(came)})
        elif method in ("subscribe", "unsubscribe"):
            question = Question(client, {"method": method, **head}, came)
            self._subscribe(question, params if isinstance(params, dict) else {})
        else:
            self._send(client, {"error": "Method not found", "success": False, **head})
        self._core.tell()

    def _times(self, came: str) -> dict[str, str]:
        return {"time_in": came, "time_out": moment_text(self._core.now())}

    def _subscribe(self, question: Question, params: Mapping[str, Any]) -> None:
        if self._core.faults.struck("msg_rate"):
            self._send(question.client, {"Error": "Exceeded msg rate"})
            return
        name, symbols = params.get("channel"), params.get("symbol")
        if name == INSTRUMENT:
            self._subscribe_to_instruments(question, params)
            return
        known = {**CHANNELS, BOOK.name: BOOK, OHLC.name: OHLC}
        channel = known.get(name) if isinstance(name, str) else None
        if channel is None or not isinstance(symbols, list) or not symbols:
            is_known = channel is not None or name == "status"
            self._refuse(
                question, "Symbol(s) not found" if is_known else "Subscription name invalid"
            )
            return
        wants_snapshot = params.get("snapshot", channel.has_snapshot) is True
        param = params.get("depth", DEPTHS[0])
        if channel is OHLC:
            param = params.get("interval", INTERVALS[0])
        for symbol in map(str, symbols):
            if question.head["method"] == "unsubscribe":
                self._unsubscribe_one(question, channel, symbol, param)
            elif not self._core.faults.struck("no_ack", symbol=symbol):
                self._subscribe_one(question, channel, symbol, wants_snapshot, param)

    def _subscribe_to_instruments(self, question: Question, params: Mapping[str, Any]) -> None:
        client, wanted = question.client, (INSTRUMENT, EVERY)
        is_leaving = question.head["method"] == "unsubscribe"
        if is_leaving != (wanted in client.subscriptions):
            said = "Subscription Not Found" if is_leaving else "Already subscribed"
            self._refuse(question, said)
            return
        wants_snapshot = params.get("snapshot", True) is True
        client.with_tokenized = params.get("include_tokenized_assets") is True
        if is_leaving:
            client.subscriptions.discard(wanted)
            self._accept(question, channel=INSTRUMENT)
            return
        client.subscriptions.add(wanted)
        self._accept(question, channel=INSTRUMENT, snapshot=wants_snapshot)
        if wants_snapshot and not self._core.faults.is_on("mute", EVERY):
            listings = self._core.engine.listings.values()
            self._send(client, self._instruments(client, listings, "snapshot"))

    def _instruments(self, client: Client, listings: Iterable[Listing], kind: str) -> str:
        faults, with_tokenized = self._core.faults, client.with_tokenized
        return instrument_frame(listings, kind, faults, with_tokenized=with_tokenized)

    def tell_instrument(self, listing: Listing) -> None:
        """Tell of a market whose row has changed, whoever has subscribed to that."""
        for client in self.clients:
            if (INSTRUMENT, EVERY) in client.subscriptions:
                self._send(client, self._instruments(client, [listing], "update"))

    def _subscribe_one(
        self,
        question: Question,
        channel: Channel,
        symbol: str,
        wants_snapshot: bool,
        param: object,
    ) -> None:
        client, wanted = question.client, _key(channel, symbol, param)
        if error := self._refusal_of(client, wanted) or self._refusal_of_param(channel, param):
            self._refuse(question, error, symbol=symbol)
            return
        client.subscriptions.add(wanted)
        if self._core.faults.struck("ack_without_data", symbol=symbol):
            client.dumb.add(wanted)
        more = {}
        listing, faults = self._core.engine.by_symbol[symbol], self._core.faults
        if channel is BOOK:
            more["depth"] = param
            client.books[symbol] = BookTeller(listing, int(str(param)), faults)
        elif channel is OHLC:
            more["interval"] = param
            client.candles.add((channel.name, symbol, int(str(param))))
        self._accept(question, channel=channel.name, symbol=symbol, snapshot=wants_snapshot, **more)
        is_mute = wanted in client.dumb or self._core.faults.is_on("mute", symbol)
        has_old_prints = channel.name == "trade" and self._core.faults.struck(
            "trade_snapshot", symbol=symbol
        )
        if (wants_snapshot or has_old_prints) and not is_mute:
            now = self._core.now()
            if channel is OHLC:
                self._send(client, candle_frame(listing, int(str(param)), "snapshot", faults))
            elif channel is BOOK:
                self._send(client, client.books[symbol].snapshot(moment_text(now)))
            else:
                self._send(client, channel.snapshot(listing, now))

    def _unsubscribe_one(
        self, question: Question, channel: Channel, symbol: str, param: object
    ) -> None:
        client, wanted = question.client, _key(channel, symbol, param)
        if wanted not in client.subscriptions:
            self._refuse(question, "Subscription Not Found", symbol=symbol)
            return
        client.subscriptions.discard(wanted)
        client.dumb.discard(wanted)
        client.candles.discard(wanted)
        self._accept(question, channel=channel.name, symbol=symbol)

    def _accept(self, question: Question, **result: Any) -> None:
        answer = {**question.head, "success": True, "result": result}
        self._send(question.client, answer | self._times(question.came))

    def _refuse(self, question: Question, error: str, **more: Any) -> None:
        answer = {"error": error, **question.head, **more, "success": False}
        self._send(question.client, answer | self._times(question.came))

    def _refusal_of_param(self, channel: Channel, param: object) -> str | None:
        if channel is OHLC:
            return None if param in INTERVALS else "Subscription ohlc interval not supported"
        if channel is not BOOK:
            return None
        is_refused = param != DEPTHS[0] and self._core.faults.struck("refuse_depth")
        return "Subscription depth not supported" if param not in DEPTHS or is_refused else None

    def _refusal_of(self, client: Client, wanted: tuple[Any, ...]) -> str | None:
        symbol = wanted[1]
        if "/" not in symbol:
            return f"Currency pair not in ISO 4217-A3 format {symbol}"
        is_known = symbol in self._core.engine.by_symbol
        if not is_known or self._core.faults.struck("refuse", symbol=symbol):
            return f"Currency pair not supported {symbol}"
        return "Already subscribed" if wanted in client.subscriptions else None
