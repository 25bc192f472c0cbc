"""A relay's mind: what its readers want, what Kraken said of it, and what is published next.

Pure and not thread-safe: the moment comes in as an argument. It must never publish what its own
connection does not prove at that moment, nor let a reader miss a frame without a new epoch.

Source: Kraken, spot WebSocket v2 (subscribe and the channels) (read 2026-11).
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from krakenlink.known_names import DEPTHS
from krakenlink.relay.packets import Answers, Packet, Word, can_travel
from krakenlink.relay.shelf import CARRIED, PAIRS, Key, Shelf, key_of, read_frame, shelf_for

# Seconds for which a reader that says nothing is remembered, and what nobody wants any more is
# kept: who comes back after a moment finds it there, and Kraken is not asked anew.
LIFETIME = 60.0
_NEVER = float("-inf")
_MOST_ASKED = 1000
# Trades and candles leave nothing on a shelf, but whoever has had some misses some.
_SHELFLESS = frozenset({"trade", "ohlc"})


class Line(Enum):
    """The connections of a relay to Kraken."""

    PRICES = "prices"  # all but the next
    PAIRS = "pairs"


def line_of(channel: str) -> Line:
    """Return the connection that carries a channel."""
    return Line.PAIRS if channel == PAIRS else Line.PRICES


@dataclass(slots=True)
class _Entry:
    """One channel of one symbol, as this relay has it from Kraken."""

    shelf: Shelf
    depth: int  # of a book: as Kraken is asked for it
    streamed_depth: int  # and as it was told to come
    readers: set[str] = field(default_factory=set)
    idle_since: float = _NEVER  # while nobody reads it
    waiting: dict[str, Any] = field(default_factory=dict)  # req_id by reader
    accepted: dict[str, Any] | None = None  # what Kraken says it is
    refusal: dict[str, Any] | None = None
    too_deep: tuple[int, dict[str, Any]] | None = None  # a depth that Kraken refuses


@dataclass(frozen=True, slots=True)
class Wish:
    """What Kraken is to be asked for, or (`is_wanted` False) what is to be left.

    `param` is a book's depth or the interval of candles; 0 where there is neither.
    """

    channel: str
    symbol: str
    param: int
    is_wanted: bool


@dataclass(slots=True)
class _Carrier:
    """One connection to Kraken: when it gave its last proof, and what is asked on it."""

    dead_after: float
    heard_at: float = _NEVER
    asked: dict[int, list[Key]] = field(default_factory=dict)

    def ask(self, req_id: int, keys: list[Key]) -> None:
        """Note what a question is about, until its answer is long overdue."""
        self.asked[req_id] = keys
        if len(self.asked) > _MOST_ASKED:
            del self.asked[next(iter(self.asked))]

    def age(self, now: float) -> float | None:
        """Return the age of its proof; None where that does not hold."""
        age = now - self.heard_at
        return age if age < self.dead_after else None


class Hub:
    """What one relay knows.

    Args:
        instance: A name that no other run of a relay has.
        dead_after: Seconds without a frame after which a connection to Kraken proves nothing.
        pairs_dead_after: The same of the one that carries the list of pairs.

    Attributes:
        wishes: What the shell is to ask of its providers, in this order.
        readers: Until when each reader is remembered.
    """

    def __init__(self, instance: str, dead_after: float, pairs_dead_after: float) -> None:
        self._instance = instance
        self.wishes: deque[Wish] = deque()
        self.readers: dict[str, float] = {}
        self._lines = {
            Line.PRICES: _Carrier(dead_after),
            Line.PAIRS: _Carrier(pairs_dead_after),
        }
        self._entries: dict[Key, _Entry] = {}
        self._epoch = self._seq = 0
        self._echo: dict[str, int] = {}
        self._gone: set[str] = set()
        # What goes out next, in order: frames for all, or (with its name) for one reader.
        self._parts: list[tuple[str | None, list[str]]] = []

    # -- the connections to Kraken

    def opened(self, now: float, line: Line = Line.PRICES) -> None:
        """A new connection: nothing of the one before counts."""
        self.lost(line)
        self._lines[line] = _Carrier(self._lines[line].dead_after, now)
        for key, entry in self._entries.items():
            if line_of(key.channel) is line:
                self._forget(key, entry)
        if line is Line.PRICES:
            self.begin_epoch()

    def lost(self, line: Line = Line.PRICES) -> None:
        """The connection is gone: nothing of it is proven."""
        self._lines[line].heard_at = _NEVER
        if line is Line.PRICES:
            self._parts.clear()
            return
        for key, entry in self._entries.items():
            if line_of(key.channel) is line and entry.accepted is not None:
                self._gone |= entry.readers
                self._forget(key, entry)

    def _forget(self, key: Key, entry: _Entry) -> None:
        entry.accepted = entry.refusal = None
        entry.shelf = shelf_for(key.channel, entry.depth)

    def begin_epoch(self) -> None:
        """Let every reader ask anew: something may be missing."""
        self._epoch += 1
        self._seq = 0
        self._parts.clear()
        for entry in self._entries.values():
            entry.waiting.clear()

    def sent(self, text: str, line: Line = Line.PRICES) -> None:
        """A provider asks Kraken: anew where it distrusts what it has.

        Then nobody has it: who has had some of it begins anew.
        """
        message = json.loads(text)
        if message.get("method") != "subscribe":
            return
        params = message["params"]
        keys = [key_of(params["channel"], s, params) for s in params.get("symbol", [""])]
        self._lines[line].ask(message["req_id"], keys)
        for key in keys:
            entry = self._entries.get(key)
            if entry is None:
                continue
            # Who has had nothing of it has nothing to doubt: it fell mute, and is tried again.
            had_some = key.channel in _SHELFLESS or entry.shelf.frame() is not None
            if entry.accepted is not None and had_some:
                self._gone |= entry.readers - entry.waiting.keys()
            entry.depth = params.get("depth", entry.depth)
            self._forget(key, entry)

    def heard(self, at: float, frames: list[str | bytes], line: Line = Line.PRICES) -> None:
        """Frames came at `at`, or a sign of life without one."""
        carrier = self._lines[line]
        if carrier.age(at) is None:
            self.lost(line)  # this process was stopped: what the socket held is as old as that
            return
        carrier.heard_at = at
        for frame in frames:
            if isinstance(frame, str) and can_travel(frame):
                self._take(frame, line)

    def _take(self, frame: str, line: Line) -> None:
        try:
            told = read_frame(frame)
        except ValueError:
            return  # the provider counts what is damaged
        channel = told.get("channel")
        if channel in CARRIED and line_of(str(channel)) is line:
            self._take_data(frame, told)
        elif channel == "status" and line is Line.PRICES:
            self._pass_on(frame)
        elif told.get("method") == "subscribe":
            self._answered(told, line)

    def _take_data(self, frame: str, told: dict[str, Any]) -> None:
        """Keep what a later reader needs of a frame, and pass on what has been promised."""
        channel, data, is_promised = told["channel"], told.get("data"), False
        for row in data if isinstance(data, list) else [data]:
            if not isinstance(row, dict):
                continue
            entry = self._entries.get(key_of(channel, str(row.get("symbol")), row))
            if entry is not None and (entry.accepted is not None or channel in ("book", PAIRS)):
                entry.shelf.take(frame, told.get("type"), row)
                is_promised |= entry.accepted is not None
        # A book that comes before its acknowledgement goes out behind it, with the sum of then.
        if is_promised or channel in ("ticker", "trade"):
            self._pass_on(frame)

    def _answered(self, told: dict[str, Any], line: Line) -> None:
        """Kraken has answered a subscribe of the provider's."""
        result, error = told.get("result"), told.get("error")
        if told.get("success") is True and isinstance(result, dict):
            channel, symbol = str(result.get("channel")), str(result.get("symbol"))
            self._accept(key_of(channel, symbol, result), result, told)
        elif isinstance(error, str) and "Already subscribed" in error:
            for key in self._meant_by(told, line):  # which is as good as an acknowledgement
                named = {"channel": key.channel, "symbol": key.symbol}
                answer = {"method": "subscribe", "success": True, "result": named}
                self._accept(key, named, answer)
        elif isinstance(error, str) and "Exceeded msg rate" not in error:
            self._refused(told, self._meant_by(told, line))

    def _accept(self, key: Key, result: dict[str, Any], told: dict[str, Any]) -> None:
        entry = self._entries.get(key)
        if entry is None:
            return
        entry.accepted, entry.refusal = result, None
        if result.get("depth") in DEPTHS:
            entry.streamed_depth = result["depth"]
        if entry.too_deep is not None and entry.depth >= entry.too_deep[0]:
            entry.too_deep = None
        self._settle(entry, told)

    def _meant_by(self, told: dict[str, Any], line: Line) -> list[Key]:
        """Return what a refusal is about: by the number of the question, or else by the symbol."""
        symbol, req_id = told.get("symbol"), told.get("req_id")
        keys = self._lines[line].asked.get(req_id) if isinstance(req_id, int) else None
        among = list(self._entries) if keys is None else keys
        return [key for key in among if symbol is None or key.symbol == symbol]

    def _refused(self, told: dict[str, Any], keys: list[Key]) -> None:
        refusal = {name: fact for name, fact in told.items() if name != "req_id"}
        if refusal.get("symbol") is None and len(keys) > 1:
            return  # the provider asks for each alone, to find the bad one
        for key in keys:
            entry = self._entries.get(key)
            if entry is None or entry.accepted is not None:
                continue
            entry.refusal = refusal
            if key.channel == "book" and entry.depth > DEPTHS[0]:
                entry.too_deep = entry.depth, refusal
            self._settle(entry, told)

    def _settle(self, entry: _Entry, told: dict[str, Any]) -> None:
        for reader, req_id in entry.waiting.items():
            self._answer(reader, entry, {**told, "req_id": req_id})
        entry.waiting.clear()

    # -- the readers

    def take(self, word: Word, now: float) -> None:
        """Take in what a reader says."""
        if word.kind == "bye":
            self._drop(word.reader, now)
        elif word.kind == "hello" or word.reader in self.readers:
            self.readers[word.reader] = now + LIFETIME
            if word.kind == "ask":
                self._asked(word, now)
            else:
                self._echo[word.reader] = max(word.number, self._echo.get(word.reader, 0))
        else:
            self._gone.add(word.reader)

    def _asked(self, word: Word, now: float) -> None:
        try:
            message = json.loads(word.text)
            method, params = message["method"], message["params"]
            channel = str(params["channel"])
            symbols = [str(symbol) for symbol in params.get("symbol") or [""]]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return
        head = {"method": method, "req_id": message.get("req_id")}
        for symbol in symbols:
            named = {"channel": channel, "symbol": symbol}
            if method == "unsubscribe":
                self._leave(word.reader, key_of(channel, symbol, params), now)
                self._tell(word.reader, {**head, "success": True, "result": named})
            elif channel not in CARRIED:
                error = f"this relay carries {', '.join(CARRIED)}; no {channel}"
                refusal = {**head, "success": False, "error": error, "symbol": symbol}
                self._tell(word.reader, refusal)
            else:
                self._join(word.reader, head, key_of(channel, symbol, params), params)

    def _join(self, reader: str, head: dict[str, Any], key: Key, params: dict[str, Any]) -> None:
        depth = params.get("depth") if key.channel == "book" else 0
        depth = DEPTHS[0] if depth not in (0, *DEPTHS) else depth
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(shelf_for(key.channel, depth), depth, depth)
            self.wishes.append(Wish(key.channel, key.symbol, depth or key.interval, is_wanted=True))
        entry.readers.add(reader)
        req_id = head["req_id"]
        if entry.too_deep is not None and depth >= entry.too_deep[0]:
            self._tell(reader, {**entry.too_deep[1], "req_id": req_id})
        elif depth > entry.depth:
            # One reference for the deeper book in the place of the one before.
            self.wishes.append(Wish(key.channel, key.symbol, depth, is_wanted=True))
            self.wishes.append(Wish(key.channel, key.symbol, entry.depth, is_wanted=False))
            entry.depth, entry.waiting[reader] = depth, req_id
        elif entry.refusal is not None:
            self._tell(reader, {**entry.refusal, "req_id": req_id})
        elif entry.accepted is None or entry.streamed_depth < depth:
            entry.waiting[reader] = req_id
        else:
            self._answer(reader, entry, {**head, "success": True, "result": entry.accepted})

    def _answer(self, reader: str, entry: _Entry, answer: dict[str, Any]) -> None:
        """Tell one reader what Kraken says of a subscription, and where it begins."""
        self._tell(reader, answer)
        first = entry.shelf.frame() if entry.accepted is not None else None
        if first is not None:
            self._part_for(reader).append(first)

    def _leave(self, reader: str, key: Key, now: float) -> None:
        entry = self._entries.get(key)
        if entry is None or reader not in entry.readers:
            return
        entry.readers.discard(reader)
        entry.waiting.pop(reader, None)
        entry.idle_since = now

    def _drop(self, reader: str, now: float) -> None:
        self.readers.pop(reader, None)
        self._echo.pop(reader, None)
        for key in self._entries:
            self._leave(reader, key, now)

    def sweep(self, now: float) -> None:
        """Forget the readers that have said nothing, and what nobody has wanted, for `LIFETIME`."""
        for reader in [name for name, until in self.readers.items() if until <= now]:
            self._drop(reader, now)
        for key, entry in list(self._entries.items()):
            if not entry.readers and now - entry.idle_since >= LIFETIME:
                del self._entries[key]
                param = entry.depth or key.interval
                self.wishes.append(Wish(key.channel, key.symbol, param, is_wanted=False))

    # -- what is published

    def _pass_on(self, frame: str) -> None:
        self._part_for(None).append(frame)

    def _tell(self, reader: str, answer: dict[str, Any]) -> None:
        self._part_for(reader).append(json.dumps(answer, separators=(",", ":")))

    def _part_for(self, reader: str | None) -> list[str]:
        if not self._parts or self._parts[-1][0] != reader:
            self._parts.append((reader, []))
        return self._parts[-1][1]

    def outgoing(self, now: float) -> list[Packet | Answers]:
        """Return what is to be published, in order, by a clock that was read just now.

        The clock must be read after the last thing was taken in: then an echo in the last packet
        left its reader before `now`, and its age tells how old the proof of its prices is.
        """
        carriers = self._lines
        for line, carrier in carriers.items():
            if carrier.heard_at > _NEVER and carrier.age(now) is None:
                self.lost(line)
        epoch = f"{self._instance}-{self._epoch}"
        gone = sorted(self._gone)
        ages = carriers[Line.PRICES].age(now), carriers[Line.PAIRS].age(now)
        told: list[Packet | Answers] = []
        last: list[str] = []
        if self._parts and self._parts[-1][0] is None:
            last = self._parts.pop()[1]
        for reader, items in self._parts:
            if reader is None:
                self._seq += 1
                told.append(Packet(epoch, self._seq, *ages, gone=gone, items=items))
            else:
                told.append(Answers(reader, epoch, self._seq, items))
        self._seq += 1
        told.append(Packet(epoch, self._seq, *ages, self._echo, gone, last))
        self._echo, self._gone, self._parts = {}, set(), []
        return told

    @property
    def subscriptions(self) -> int:
        """How many channels of symbols it has at Kraken, or is asking for."""
        return len(self._entries)

    def proven_at(self, now: float) -> float | None:
        """Return when Kraken gave its last proof of life; None where it does not hold now."""
        carrier = self._lines[Line.PRICES]
        return None if carrier.age(now) is None else carrier.heard_at
