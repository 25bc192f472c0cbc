"""A relay's mind: what its readers want, what Kraken said of it, and what is published next.

Pure and not thread-safe: the moment comes in as an argument. It must never publish what its own
connection does not prove at that moment, nor let a reader miss a frame without a new epoch.

Source: Kraken, spot WebSocket v2 (subscribe, ticker, trade) (read 2026-11).
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from krakenlink.relay.packets import Packet, Word, can_travel, for_one

# Seconds for which a reader that says nothing is remembered.
LIFETIME = 60.0
CARRIED = ("ticker", "trade")
_NEVER = float("-inf")


@dataclass(slots=True)
class _Entry:
    """One channel of one symbol, as this relay has it from Kraken."""

    readers: set[str] = field(default_factory=set)
    waiting: dict[str, Any] = field(default_factory=dict)  # req_id by reader
    is_acked: bool = False
    latest: str | None = None
    refusal: str | None = None

    def forget(self) -> None:
        self.is_acked, self.latest, self.refusal = False, None, None


@dataclass(frozen=True, slots=True)
class Wish:
    """What Kraken is to be asked for, or (`is_wanted` False) what is to be left."""

    channel: str
    symbol: str
    is_wanted: bool


class Hub:
    """What one relay knows.

    Args:
        instance: A name that no other run of a relay has.
        dead_after: Seconds without a frame after which Kraken's connection proves nothing.

    Attributes:
        wishes: What the shell is to ask of its provider, in this order.
        readers: Until when each reader is remembered.
    """

    def __init__(self, instance: str, dead_after: float) -> None:
        self._instance = instance
        self._dead_after = dead_after
        self.wishes: deque[Wish] = deque()
        self.readers: dict[str, float] = {}
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._epoch = self._seq = 0
        self._heard_at = _NEVER
        self._echo: dict[str, int] = {}
        self._gone: set[str] = set()
        self._items: list[str] = []

    # -- the connection to Kraken

    def opened(self, now: float) -> None:
        """A new connection: nothing of the one before counts."""
        for entry in self._entries.values():
            entry.forget()
        self.begin_epoch()
        self._heard_at = now

    def lost(self) -> None:
        """The connection is gone: nothing is proven."""
        self._heard_at = _NEVER
        self._items.clear()

    def begin_epoch(self) -> None:
        """Let every reader ask anew: something may be missing."""
        self._epoch += 1
        self._seq = 0
        self._items.clear()
        for entry in self._entries.values():
            entry.waiting.clear()

    def sent(self, text: str) -> None:
        """The provider asks Kraken: anew where it distrusts what it has, and then nobody has it."""
        message = json.loads(text)
        if message.get("method") != "subscribe":
            return
        params = message["params"]
        for symbol in params.get("symbol", ()):
            entry = self._entries.get((params["channel"], symbol))
            if entry is not None and entry.is_acked:
                entry.forget()
                self.begin_epoch()

    def heard(self, at: float, frames: list[str | bytes]) -> None:
        """Frames came at `at`, or a sign of life without one."""
        if at - self._heard_at >= self._dead_after:
            self.lost()  # this process was stopped: what the socket held is as old as that
            return
        self._heard_at = at
        for frame in frames:
            if isinstance(frame, str) and can_travel(frame):
                self._take(frame)

    def _take(self, frame: str) -> None:
        try:
            told = json.loads(frame)
        except (ValueError, RecursionError):
            return  # the provider counts what is damaged
        channel = told.get("channel")
        if channel in CARRIED:
            self._items.append(frame)
            if channel == "ticker":
                self._keep(frame, told.get("data"))
        elif channel == "status":
            self._items.append(frame)
        elif told.get("method") == "subscribe":
            self._answered(told)

    def _keep(self, frame: str, rows: object) -> None:
        for row in rows if isinstance(rows, list) else ():
            symbol = row.get("symbol") if isinstance(row, dict) else None
            entry = self._entries.get(("ticker", symbol)) if isinstance(symbol, str) else None
            if entry is not None and entry.is_acked:
                entry.latest = frame

    def _answered(self, told: dict[str, Any]) -> None:
        """Kraken has answered a subscribe of the provider's."""
        result = told.get("result")
        if told.get("success") is True and isinstance(result, dict):
            entry = self._entries.get((str(result.get("channel")), str(result.get("symbol"))))
            if entry is not None:
                entry.is_acked, entry.refusal = True, None
                self._settle(entry, told)
            return
        error = told.get("error")
        if not isinstance(error, str) or "rate" in error.lower():
            return  # the provider asks again, more slowly
        for channel in CARRIED:
            entry = self._entries.get((channel, str(told.get("symbol"))))
            if entry is not None and not entry.is_acked:
                entry.refusal = json.dumps({k: v for k, v in told.items() if k != "req_id"})
                self._settle(entry, told)

    def _settle(self, entry: _Entry, told: dict[str, Any]) -> None:
        for reader, req_id in entry.waiting.items():
            self._tell(reader, {**told, "req_id": req_id})
        entry.waiting.clear()

    # -- the readers

    def take(self, word: Word, now: float) -> None:
        """Take in what a reader says."""
        if word.kind == "bye":
            self._drop(word.reader)
        elif word.kind == "hello" or word.reader in self.readers:
            self.readers[word.reader] = now + LIFETIME
            if word.kind == "ask":
                self._asked(word)
            else:
                self._echo[word.reader] = max(word.number, self._echo.get(word.reader, 0))
        else:
            self._gone.add(word.reader)

    def _asked(self, word: Word) -> None:
        try:
            message = json.loads(word.text)
            method, params = message["method"], message["params"]
            channel, symbols = str(params["channel"]), params.get("symbol") or [""]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return
        for symbol in map(str, symbols):
            if method == "unsubscribe":
                self._leave(word.reader, (channel, symbol))
                result = {"channel": channel, "symbol": symbol}
                self._answer(word.reader, message, success=True, result=result)
            elif channel not in CARRIED:
                error = f"this relay carries {' and '.join(CARRIED)}, no {channel}"
                self._answer(word.reader, message, success=False, error=error, symbol=symbol)
            else:
                self._join(word.reader, message, channel, symbol)

    def _join(self, reader: str, message: dict[str, Any], channel: str, symbol: str) -> None:
        entry = self._entries.get((channel, symbol))
        if entry is None:
            entry = self._entries[channel, symbol] = _Entry()
            self.wishes.append(Wish(channel, symbol, is_wanted=True))
        entry.readers.add(reader)
        req_id = message.get("req_id")
        if entry.refusal is not None:
            self._tell(reader, {**json.loads(entry.refusal), "req_id": req_id})
        elif not entry.is_acked:
            entry.waiting[reader] = req_id
        else:
            result = {"channel": channel, "symbol": symbol}
            self._answer(reader, message, success=True, result=result)
            if entry.latest is not None:
                self._items.append(for_one(reader, entry.latest))

    def _answer(self, reader: str, message: dict[str, Any], **rest: object) -> None:
        head = {"method": message["method"], "req_id": message.get("req_id")}
        self._tell(reader, head | rest)

    def _tell(self, reader: str, answer: dict[str, Any]) -> None:
        self._items.append(for_one(reader, json.dumps(answer, separators=(",", ":"))))

    def _leave(self, reader: str, key: tuple[str, str]) -> None:
        entry = self._entries.get(key)
        if entry is None:
            return
        entry.readers.discard(reader)
        entry.waiting.pop(reader, None)
        if not entry.readers:
            del self._entries[key]
            self.wishes.append(Wish(*key, is_wanted=False))

    def _drop(self, reader: str) -> None:
        self.readers.pop(reader, None)
        self._echo.pop(reader, None)
        for key in list(self._entries):
            self._leave(reader, key)

    def sweep(self, now: float) -> None:
        """Forget the readers that have said nothing for `LIFETIME`."""
        for reader in [name for name, until in self.readers.items() if until <= now]:
            self._drop(reader)

    # -- what is published

    @property
    def has_news(self) -> bool:
        """Whether there is more to publish than that this relay lives."""
        return bool(self._items or self._echo or self._gone)

    def packet(self, now: float) -> Packet:
        """Return what is to be published, looked at with a clock that was read just now.

        The clock must be read after the last thing was taken in: then an echo in this packet left
        its reader before `now`, and `age` tells how old the proof of its prices is.
        """
        age: float | None = now - self._heard_at
        if now - self._heard_at >= self._dead_after:
            self.lost()
            age = None
        self._seq += 1
        epoch = f"{self._instance}-{self._epoch}"
        packet = Packet(epoch, self._seq, age, self._echo, sorted(self._gone), self._items)
        self._echo, self._gone, self._items = {}, set(), []
        return packet
