"""What frames say, as values, and the frames that go out.

Pure. A message is what Kraken said and no more: whether it counts is decided by the subscription
that it is about. Nothing here reads text; `frames` does.

Sources: Kraken, spot WebSocket v2 (subscribe, unsubscribe, ping, status, ticker, trade) and its
guide on rate limits (read 2026-11).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from krakenlink.pairs import Symbol
from krakenlink.stream.events import (
    Channel,
    Tick,
    Trades,
)


@dataclass(frozen=True, slots=True)
class Ack:
    """Kraken's answer to one symbol of a subscribe or unsubscribe; refusals may name no symbol."""

    method: str
    accepted: bool
    channel: str | None
    symbol: Symbol | None
    req_id: int | None
    error: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RateRefusal:
    """Too many messages; which of them is often not said."""

    req_id: int | None = None
    symbol: Symbol | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """The state of Kraken's engine."""

    system: str


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ping."""


@dataclass(frozen=True, slots=True)
class NoPrice:
    """A ticker whose `last` is missing, null or 0: the market has not traded within a day."""

    symbol: Symbol


@dataclass(frozen=True, slots=True)
class Complaint:
    """An error that belongs to no subscription we could name."""

    error: str


@dataclass(frozen=True, slots=True)
class Damaged:
    """Something that cannot be read as Kraken's protocol, and was dropped."""

    reason: str


Message = Tick | Trades | Ack | RateRefusal | Status | Pong | NoPrice | Complaint | Damaged


PING = '{"method":"ping"}'


def subscribe_frame(
    method: str, channel: Channel, symbols: list[Symbol], req_id: int, event_trigger: str
) -> str:
    """Return the text of a subscribe or unsubscribe message for `symbols` of one channel."""
    params: dict[str, Any] = {"channel": channel.value, "symbol": symbols}
    if method == "subscribe" and channel is Channel.TICKER:
        params |= {"event_trigger": event_trigger, "snapshot": True}
    elif method == "subscribe":
        params["snapshot"] = False  # old trades are asked for over REST, by their ids
    message = {"method": method, "params": params, "req_id": req_id}
    return json.dumps(message, separators=(",", ":"))
