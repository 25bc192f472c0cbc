"""Who streams, and who is polled: what each market's prices come by."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from krakenlink.machine import feed_clock
from krakenlink.pairs import Symbol
from krakenlink.stream.events import Channel, SymbolMute, SymbolRefused
from ttslo_app.messages import Market
from ttslo_app.run.streams import BLIND_POLL, Streams

BTC = Market("BTC/USD", "XXBTZUSD", "BTC/USD")
OLD = Market("OLDUSD", "OLDUSD")  # one that no stream carries


class Provider:
    """A stream that notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.prices: dict[str, Decimal] = {}

    def subscribe_symbol(self, symbol: str, channel: Channel) -> None:
        """Note it."""
        self.asked.append(("+", symbol, channel))

    def unsubscribe_symbol(self, symbol: str, channel: Channel) -> None:
        """Note it."""
        self.asked.append(("-", symbol, channel))

    def fresh_tick(self, symbol: str) -> Any:
        """Return the proven price."""
        price = self.prices.get(symbol)
        return price and SimpleNamespace(price=price)


@pytest.fixture
def provider() -> Provider:
    """Hand out a stream on which nothing has a price yet."""
    return Provider()


@pytest.fixture
def said() -> list[str]:
    """Hand out an empty sheet."""
    return []


@pytest.fixture
def streams(provider: Provider, said: list[str]) -> Streams:
    """Hand out a run that follows the stream and polls each minute."""
    return streams_on(provider, said)


def streams_on(provider: Provider | None, said: list[str], interval: float = 60.0) -> Streams:
    """Return who streams."""
    return Streams(
        cast("Any", provider), interval, lambda level, text, **_: said.append(f"{level} {text}")
    )


def refused(channel: str) -> SymbolRefused:
    """Return Kraken's refusal of a channel."""
    return SymbolRefused(Symbol("BTC/USD"), channel, "Not today", 0.0)


def mute(channel: str) -> SymbolMute:
    """Return what tells of a channel that says nothing."""
    return SymbolMute(Symbol("BTC/USD"), channel, 0.0)


def test_market_is_asked_for_once_with_prices_and_trades(
    streams: Streams, provider: Provider
) -> None:
    """Beginning twice asks once; leaving gives both back."""
    streams.begin(BTC)
    streams.begin(BTC)
    assert provider.asked == [("+", "BTC/USD", "ticker"), ("+", "BTC/USD", "trade")]
    assert list(streams.names) == ["BTC/USD"]
    streams.leave("BTC/USD")
    streams.leave("BTC/USD")
    assert provider.asked[2:] == [("-", "BTC/USD", "ticker"), ("-", "BTC/USD", "trade")]
    assert list(streams.names) == []


def test_market_that_no_stream_carries_is_polled(streams: Streams, provider: Provider) -> None:
    """Nobody is asked for it, and it is polled until it is left."""
    streams.begin(OLD)
    assert provider.asked == []
    assert streams.is_polled("OLDUSD")
    assert streams.unstreamed([OLD]) == [OLD]
    streams.leave("OLDUSD")
    assert not streams.is_polled("OLDUSD")


def test_without_a_stream_everything_is_polled(said: list[str]) -> None:
    """No provider: no price of it, and the interval that was asked for."""
    streams = streams_on(None, said)
    streams.begin(BTC)
    assert streams.present_price(BTC) is None
    assert streams.is_polled("BTC/USD")
    assert streams.unstreamed([BTC]) == [BTC]
    assert streams.poll_every == 60


@pytest.mark.parametrize(("interval", "every"), [(60.0, BLIND_POLL), (1.0, 1.0)])
def test_blind_pair_is_polled_often(
    provider: Provider, said: list[str], interval: float, every: float
) -> None:
    """Who chose to stream does not wait for a minute, and a shorter interval counts."""
    assert streams_on(provider, said, interval).poll_every == every


def test_loss_is_told_with_its_first_channel_and_its_end_with_the_last(
    streams: Streams, provider: Provider, said: list[str]
) -> None:
    """Two channels that are lost and come back are two sentences."""
    provider.prices["BTC/USD"] = Decimal(50000)
    streams.lose(refused("trade"))
    streams.lose(mute("ticker"))
    assert said == ["WARNING BTC/USD does not stream (Not today); it is polled over REST"]
    streams.regain("BTC/USD", Channel.TICKER)
    assert streams.unstreamed([BTC]) == [BTC]
    streams.regain("BTC/USD", Channel.TRADE)
    assert said[1:] == ["INFO BTC/USD streams again"]
    assert streams.unstreamed([BTC]) == []


@pytest.mark.parametrize(("channel", "what"), [("ticker", "price"), ("trade", "trades")])
def test_mute_channel_is_told_by_what_it_lacks(
    streams: Streams, said: list[str], channel: str, what: str
) -> None:
    """A person reads what does not come."""
    streams.lose(mute(channel))
    assert said == [f"WARNING BTC/USD does not stream (it sends no {what}); it is polled over REST"]


def test_what_was_never_lost_is_not_told_to_be_back(streams: Streams, said: list[str]) -> None:
    """The first price of a market is no news."""
    streams.regain("BTC/USD", Channel.TICKER)
    assert said == []


def test_price_is_live_while_the_stream_proves_it(streams: Streams, provider: Provider) -> None:
    """A proven price is live, and is the present one."""
    assert not streams.is_live(BTC)
    provider.prices["BTC/USD"] = Decimal(50000)
    assert streams.is_live(BTC)
    assert streams.present_price(BTC) == 50000


@pytest.mark.parametrize(("rounds", "is_live"), [(1, True), (3, False)])
def test_polled_price_is_live_for_two_rounds(streams: Streams, rounds: int, is_live: bool) -> None:
    """What REST said longer ago than two rounds of polling proves nothing."""
    streams.note_poll("BTC/USD", feed_clock() - rounds * BLIND_POLL)
    assert streams.is_live(BTC) is is_live


# --- trades that never come ----------------------------------------------------------------------


def move(streams: Streams, *moments: float, first: int = 50000) -> None:
    """Let the price move at some moments."""
    for number, at in enumerate(moments):
        streams.heard_price(Symbol("BTC/USD"), Decimal(first + number), at)


def test_trades_that_never_come_while_the_price_moves_are_said_once(
    streams: Streams, said: list[str]
) -> None:
    """The price goes on to be judged, and REST is asked for the trades, until they come."""
    streams.begin(BTC)
    move(streams, 0, 1, 4, 8, 12, 16, 20)
    (told,) = said
    assert "BTC/USD" in told
    assert "it sends no trades" in told
    assert streams.is_polled("BTC/USD")
    streams.heard_trades(Symbol("BTC/USD"), Decimal(50006))
    assert len(said) == 2
    assert not streams.is_polled("BTC/USD")


@pytest.mark.parametrize("moments", [(0, 1, 2, 9), (0, 30), (0, 1, 60)])
def test_few_moves_or_a_short_while_are_no_silence(
    streams: Streams, said: list[str], moments: tuple[float, ...]
) -> None:
    """A tick that came after its trade, and one more long afterwards, prove nothing."""
    streams.begin(BTC)
    move(streams, *moments)
    assert said == []


def test_trades_in_between_and_new_subscriptions_begin_anew(
    streams: Streams, said: list[str]
) -> None:
    """Whichever of price and trade comes first; what moved while nobody listened counts not."""
    streams.begin(BTC)
    for at in range(0, 60, 5):
        streams.heard_price(Symbol("BTC/USD"), Decimal(50000 + at), at)
        streams.heard_trades(Symbol("BTC/USD"), Decimal(50000 + at))
    for at in range(60, 120, 5):
        streams.heard_price(Symbol("BTC/USD"), Decimal(50000 + at), at)
        streams.hears_anew(Symbol("BTC/USD"))
    streams.leave("BTC/USD")
    assert said == []


def test_price_that_stands_still_says_nothing_of_trades(streams: Streams, said: list[str]) -> None:
    """A quiet market is no mute one."""
    streams.begin(BTC)
    for at in range(0, 600, 5):
        streams.heard_price(Symbol("BTC/USD"), Decimal(50000), at)
    assert said == []


@pytest.mark.parametrize("channel", ["book", "ohlc", "instrument"])
def test_channel_that_no_price_hangs_on_is_nobody_s_loss(channel: str) -> None:
    """The market streams on, and nothing is said."""
    said: list[object] = []
    streams = Streams(None, 60.0, lambda *words: said.append(words))
    streams.lose(mute(channel))
    assert said == []
