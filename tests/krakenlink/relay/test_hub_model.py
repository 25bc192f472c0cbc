"""Books and prices through a relay, in any order of changes, joins and gaps, against a plain model.

Whatever a reader shows at the end of a step is what Kraken had sent by then, to the digit, and no
reader that has lost nothing ever meets a wrong sum.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenlink.pairs import Symbol
from krakenlink.relay.hub import Hub, Line
from krakenlink.relay.packets import Word, read_message
from krakenlink.relay.proof import Broken, Proof
from krakenlink.stream.book import Book
from krakenlink.stream.events import Ack, BookUpdate, Channel, Tick, subscribe_frame
from krakenlink.stream.frames import read_frame
from tests.kits.stream.book_kit import ASKS, BIDS, BTC, ack, book_frame, snapshot, total

DEPTH = 25


@dataclass
class Reader:
    """A reader's end, with as much of a feed as books and prices need."""

    proof: Proof
    book: Book | None = None
    price: Decimal | None = None
    acks: set[str] = field(default_factory=set)
    is_whole: bool = True
    has_asked: bool = False
    wrong_sums: int = 0

    def take(self, data: bytes) -> None:
        """Take a message of the broker's in."""
        if not self.is_whole:
            return
        try:
            frames = [*self.proof.take(read_message(data)), *self.proof.settle()]
        except Broken:
            self.is_whole = False
            self.book = self.price = None
            return
        for frame in frames:
            for message in read_frame(frame, 0.0):
                self._take(message)

    def _take(self, message: object) -> None:
        if isinstance(message, Ack) and message.accepted:
            self.acks.add(str(message.channel))
        elif isinstance(message, Tick) and "ticker" in self.acks:
            self.price = message.price
        elif isinstance(message, BookUpdate) and "book" in self.acks:
            self._change(message)

    def _change(self, update: BookUpdate) -> None:
        if update.is_snapshot:
            self.book = Book(DEPTH)
            fault = self.book.begin(update.bid_levels, update.ask_levels, update.checksum)
        elif self.book is None:
            return
        else:
            fault = self.book.change(update.bid_levels, update.ask_levels, update.checksum)
        self.wrong_sums += bool(fault)


class Play:
    """Kraken, a relay and readers, without a clock: each step is whole before the next."""

    def __init__(self) -> None:
        self.hub = Hub("run", 3.0, 30.0)
        self.hub.opened(100.0)
        self.bids = dict(BIDS)
        self.price = Decimal("1.0")
        self.readers: list[Reader] = []
        self.is_streaming = False
        self._waiting: list[bytes] = []
        self._came: list[str | bytes] = []

    def frames(self) -> None:
        """Let the relay take in what Kraken sent."""
        came, self._came = self._came, []
        self.hub.heard(100.0, came)

    def join(self) -> None:
        """One more reader comes."""
        reader = Reader(Proof(f"r{len(self.readers)}"))
        self.readers.append(reader)
        reader.proof.follows("ticker")
        reader.proof.follows("book")
        reader.proof.sends(1, 100.0)
        self.hub.take(Word(reader.proof.reader, "hello", 1), 100.0)

    def ask(self) -> None:
        """Readers whose connection is open ask for a price and a book, each once."""
        for reader in self.readers:
            if reader.proof.is_open and not reader.has_asked:
                reader.has_asked = True
                for number, channel in enumerate((Channel.TICKER, Channel.BOOK)):
                    text = subscribe_frame(
                        "subscribe", channel, [Symbol(BTC)], number, "trades", DEPTH
                    )
                    self.hub.take(Word(reader.proof.reader, "ask", text=text), 100.0)
        self._provide()

    def _provide(self) -> None:
        """The relay's provider asks Kraken for what is wished for, and Kraken answers."""
        while self.hub.wishes:
            wish = self.hub.wishes.popleft()
            channel, names = Channel(wish.channel), [Symbol(BTC)]
            self.hub.sent(subscribe_frame("subscribe", channel, names, 1, "trades", wish.param))
            self.is_streaming = True
            if channel is Channel.BOOK:
                self._came += [ack(depth=DEPTH), snapshot(self.bids)]
            else:
                result = {"channel": "ticker", "symbol": BTC}
                told = {"method": "subscribe", "success": True, "req_id": 1, "result": result}
                self._came += [json.dumps(told), self._ticker()]

    def change(self) -> None:
        """The price and one level change."""
        self.price += 1
        price = list(BIDS)[int(self.price) % len(BIDS)]
        self.bids[price] = f"{self.price + 1:.8f}"
        if self.is_streaming:
            frame = book_frame({price: self.bids[price]}, {}, total(self.bids, ASKS), "update")
            self._came += [self._ticker(), frame]

    def doubt(self) -> None:
        """The provider distrusts the book and asks for it anew."""
        if self.is_streaming:
            self.frames()
            self.hub.sent(
                subscribe_frame("subscribe", Channel.BOOK, [Symbol(BTC)], 1, "trades", DEPTH)
            )
            self._came += [ack(depth=DEPTH), snapshot(self.bids)]

    def reconnect(self) -> None:
        """Kraken's connection is another one."""
        if self.is_streaming:
            self._came.clear()
            self.hub.opened(100.0, Line.PRICES)
            result = {"channel": "ticker", "symbol": BTC}
            told = {"method": "subscribe", "success": True, "req_id": 1, "result": result}
            self._came += [json.dumps(told), self._ticker(), ack(depth=DEPTH), snapshot(self.bids)]

    def publish(self) -> None:
        """The relay publishes, and all readers take it in."""
        data = [message.encoded() for message in self.hub.outgoing(100.0)]
        for reader in self.readers:
            for one in data:
                reader.take(one)

    def _ticker(self) -> str:
        row = f'{{"symbol":"{BTC}","last":{self.price}}}'
        return f'{{"channel":"ticker","type":"update","data":[{row}]}}'


STEPS = ("join", "ask", "change", "change", "frames", "publish", "doubt", "reconnect")


@given(st.lists(st.sampled_from(STEPS), max_size=40))
def test_reader_shows_what_kraken_has_sent(script: list[str]) -> None:
    """Once all is taken in, whoever came when."""
    play = Play()
    for step in script:
        getattr(play, step)()
        assert not any(reader.wrong_sums for reader in play.readers)
    play.publish()
    play.ask()
    play.frames()
    play.publish()
    for reader in play.readers:
        assert not reader.wrong_sums
        if reader.is_whole:
            assert reader.price == play.price
            assert reader.book is not None
            shown = reader.book.texts(DEPTH)
            assert {f"{x.price:f}": f"{x.qty:f}" for x in shown.bids} == play.bids


def test_model_meets_readers_that_come_late() -> None:
    """Behind a change that has not gone out, too; or the property would say nothing."""
    play = Play()
    script = "join publish ask frames publish join change frames publish change change frames ask"
    for step in f"{script} change frames publish change frames publish".split():
        getattr(play, step)()
    assert [reader.is_whole for reader in play.readers] == [True, True]
    assert [reader.price for reader in play.readers] == [play.price, play.price]
    assert [reader.wrong_sums for reader in play.readers] == [0, 0]


@pytest.mark.parametrize("end", ["doubt", "reconnect"])
def test_model_meets_readers_that_have_lost_something(end: str) -> None:
    """They know it, and so may show anything else but a price."""
    play = Play()
    for step in ("join", "publish", "ask", "frames", "publish", "change", end, "frames", "publish"):
        getattr(play, step)()
    (reader,) = play.readers
    assert (reader.is_whole, reader.price, reader.book) == (False, None, None)
