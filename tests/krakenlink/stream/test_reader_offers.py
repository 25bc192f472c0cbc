"""What a reader is offered and takes, without a feed."""

from __future__ import annotations

from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from krakenlink.pairs import Symbol
from krakenlink.stream.events import (
    Event,
    FeedClosed,
    FeedLive,
    FeedStale,
    FirstData,
    SymbolMute,
    SymbolRefused,
    Tick,
    Trades,
)
from krakenlink.stream.reader import FeedReader, Readers, RelayedReaders
from tests.kits.stream.feed_kit import BTC, ETH


def tick(symbol: str) -> Tick:
    """Return a tick of a symbol."""
    return Tick(symbol, Decimal(1), None, None, 1.0)  # type: ignore[arg-type]  # a name will do


EVENTS: dict[str, Event] = {
    "tick BTC": tick(BTC),
    "tick ETH": tick(ETH),
    "trades BTC": Trades(BTC, (), 1.0),
    "trades ETH": Trades(ETH, (), 1.0),
    "live": FeedLive(1.0),
}


def reader(symbols: Any = None, channels: Any = None) -> FeedReader:
    """Return a reader of a feed whose clock stands at 7 s."""
    return FeedReader(lambda: 7.0, lambda _: None, symbols, channels)


@pytest.mark.parametrize(
    ("symbols", "channels"),
    list(
        product(
            (None, frozenset(), frozenset({BTC}), frozenset({BTC, ETH})),
            (None, frozenset(), frozenset({"ticker"}), frozenset({"trade"})),
        )
    ),
)
def test_reader_takes_its_symbols_and_channels_and_all_that_is_of_no_symbol(
    symbols: frozenset[str] | None, channels: frozenset[str] | None
) -> None:
    """In the order in which they come; what happens to the link is everybody's."""
    mine = reader(symbols, channels)
    wanted = []
    mine.offer(EVENTS.values())
    for name, event in EVENTS.items():
        kind, _, symbol = name.partition(" ")
        channel = {"tick": "ticker", "trades": "trade"}.get(kind)
        if channel is None or (
            (channels is None or channel in channels)
            and (symbols is None or f"{symbol}/USD" in symbols)
        ):
            wanted.append(event)
    assert mine.backlog == len(wanted)
    assert [mine.get(0) for _ in wanted] == wanted
    assert mine.get(0) is None


def test_readers_are_held_until_they_are_forgotten_or_gone() -> None:
    """Who is forgotten gets no more, and the others get all."""
    readers, one, other = Readers(), reader(), reader()
    assert len(readers) == 0
    readers.add(one)
    readers.add(other)
    assert len(readers) == 2
    readers.publish([EVENTS["live"]])
    readers.forget(one)
    assert len(readers) == 1
    readers.publish([EVENTS["tick BTC"]])
    assert (one.backlog, other.backlog) == (1, 2)
    readers.clear()
    readers.publish([EVENTS["live"]])
    assert (len(readers), other.backlog) == (0, 2)


def test_closed_reader_ends_with_the_moment_of_its_end() -> None:
    """After everything that came before it."""
    gone: list[FeedReader] = []
    mine = FeedReader(lambda: 7.0, gone.append, None, None)
    mine.offer([EVENTS["live"]])
    mine.close()
    assert gone == [mine]
    assert [mine.get(), mine.get()] == [EVENTS["live"], FeedClosed(7.0)]


def test_text_is_one_name_and_not_its_letters() -> None:
    """`symbols="BTC/USD"` would else be a reader that hears of nothing."""
    one = FeedReader(lambda: 7.0, lambda _: None, "BTC/USD", "ticker")
    many = FeedReader(lambda: 7.0, lambda _: None, ["BTC/USD"], ["ticker"])
    events = [FirstData(Symbol(name), 7.0) for name in ("BTC/USD", "ETH/USD", "B")]
    for reader in (one, many):
        reader.offer(events)
        assert [reader.get(0), reader.get(0)] == [events[0], None]


@pytest.mark.parametrize("channels", [["tiker"], "trades", ["ticker", ""], [7]])
def test_channel_that_is_misspelt_is_refused(channels: Any) -> None:
    """A reader that hears nothing would not say why."""
    with pytest.raises(ValueError, match="there are ticker, trade, book, instrument, ohlc"):
        FeedReader(lambda: 7.0, lambda _: None, None, channels)


def test_no_channel_at_all_leaves_the_events_of_the_link() -> None:
    """An empty list means what it says."""
    reader = FeedReader(lambda: 7.0, lambda _: None, None, [])
    reader.offer([FirstData(Symbol("BTC/USD"), 7.0)])
    assert reader.get(0) is not None


def test_mere_prices_reach_the_readers_of_each_connection_and_no_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Those of a connection beside the first go to the first one's readers."""
    caplog.set_level("DEBUG")
    readers, mine = Readers(), reader()
    readers.add(mine)
    readers.offer([tick(BTC)])
    RelayedReaders(readers).offer([tick(ETH)])
    assert [mine.get(0), mine.get(0), mine.get(0)] == [tick(BTC), tick(ETH), None]
    assert caplog.records == []


@pytest.mark.parametrize(
    ("symbols", "scope"),
    [(None, "price counts"), ((BTC,), "price of 1 symbol counts"), ((BTC, ETH), "of 2 symbols")],
)
def test_log_says_whose_prices_count_no_more(
    symbols: Any, scope: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Those of other connections still do."""
    Readers().publish([FeedStale(7.0, "closed", 6.0, symbols)])
    assert scope in caplog.text


@pytest.mark.parametrize("channel", ["ticker", "book"])
def test_log_promises_no_price_where_it_is_about_something_else(
    channel: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A book that is refused leaves the price of its market on the stream."""
    Readers().publish([SymbolRefused(BTC, channel, "no", 7.0), SymbolMute(BTC, channel, 7.0)])
    assert caplog.text.count(f"BTC/USD ({channel})") == 2
    assert "price" not in caplog.text
