"""A relay's mind without its threads: what it hears, and what goes out at one moment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from krakenlink.pairs import Symbol
from krakenlink.relay.hub import Hub
from krakenlink.relay.packets import Answers, Packet, Word
from krakenlink.stream.events import Channel, subscribe_frame
from tests.kits.stream.book_kit import ack

BTC = "BTC/USD"


def ask(reader: str, symbol: str = BTC, channel: Channel = Channel.TICKER, req_id: int = 9,
        method: str = "subscribe", param: int = 0) -> Word:  # fmt: skip
    """Return what a reader's feed would send Kraken."""
    text = subscribe_frame(method, channel, [Symbol(symbol)], req_id, "trades", param)
    return Word(reader, "ask", text=text)


def asking(channel: Channel = Channel.TICKER, req_id: int = 1, param: int = 0,
           symbols: tuple[str, ...] = (BTC,)) -> str:  # fmt: skip
    """Return what the relay's provider sends Kraken."""
    names = [Symbol(symbol) for symbol in symbols]
    return subscribe_frame("subscribe", channel, names, req_id, "trades", param)


def accepted(symbol: str = BTC, channel: str = "ticker") -> str:
    """Return Kraken's acknowledgement of the relay's own subscribe."""
    result = {"channel": channel, "symbol": symbol, "snapshot": True}
    return json.dumps({"method": "subscribe", "req_id": 1, "result": result, "success": True})


def ticker(last: str, symbol: str = BTC) -> str:
    """Return a price."""
    row = f'{{"symbol":"{symbol}","last":{last}}}'
    return f'{{"channel":"ticker","type":"update","data":[{row}]}}'


def accepted_book(depth: int = 10) -> str:
    """Return Kraken's acknowledgement of a book."""
    return ack(depth=depth)


def instruments(kind: str = "snapshot", **cells: object) -> str:
    """Return a row of the list of pairs."""
    data = {"assets": [], "pairs": [{"symbol": BTC, **cells}]}
    return json.dumps({"channel": "instrument", "type": kind, "data": data})


def open_hub(*readers: str, now: float = 100.0) -> Hub:
    """Return a hub whose connection has just opened and that knows `readers`."""
    hub = Hub("run", 3.0, 30.0)
    hub.opened(now)
    for reader in readers:
        hub.take(Word(reader, "hello", 1), now)
    out(hub, now)
    return hub


@dataclass
class Out:
    """What goes out at one moment, as readers have it."""

    told: list[Packet | Answers]

    def frames(self, reader: str) -> list[str]:
        """Return what `reader` gets, in order."""
        mine = [x for x in self.told if isinstance(x, Packet) or x.reader == reader]
        return [frame for message in mine for frame in message.items]

    @property
    def last(self) -> Packet:
        """The packet that ends it."""
        assert isinstance(self.told[-1], Packet)
        return self.told[-1]


def out(hub: Hub, now: float) -> Out:
    """Return what the hub publishes next."""
    return Out(hub.outgoing(now))


def told(sent: Out, reader: str) -> list[dict[str, Any]]:
    """Return what `reader` gets, read."""
    return [json.loads(frame) for frame in sent.frames(reader)]


def live_hub() -> Hub:
    """Return a hub with two readers, of whom the first has the price of one symbol."""
    hub = open_hub("a1", "b2")
    hub.take(ask("a1"), 100.0)
    hub.heard(100.0, [accepted(), ticker("50000.10")])
    out(hub, 100.0)
    return hub
