"""Who streams, and who is polled: what each market's prices come by at this moment.

The thread that reads prices changes it; the keeper, which polls, and whoever asks for figures only
look. What it must never do: take a market for streamed that lacks its price or its trades.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from decimal import Decimal

from krakenlink.machine import feed_clock
from krakenlink.pairs import Symbol
from krakenlink.stream.events import Channel, SymbolMute, SymbolRefused
from ttslo_app.messages import Market, Say, tell
from ttslo_app.run import words
from ws_price_provider import WebSocketPriceProvider

# A pair that should stream and does not is polled at least this often, whatever --interval says:
# somebody who chose streaming did not choose to be blind for a minute.
BLIND_POLL = 5.0
_CHANNELS = (Channel.TICKER, Channel.TRADE)


class Streams:
    """Who streams, and who is polled.

    Args:
        provider: The stream, or None to poll only.
        interval: Seconds between two polls of pairs that do not stream.
        say: Takes a level and a sentence for a person.
    """

    def __init__(self, provider: WebSocketPriceProvider | None, interval: float, say: Say) -> None:
        self._provider = provider
        self._interval = interval
        self._say = say
        self._wanted: set[str] = set()
        self._lacking: dict[str, set[str]] = {}  # by market: the channels it lacks
        self._polled_at: dict[str, float] = {}  # by market; written by the keeper alone

    # --- the reading thread --------------------------------------------------------------------

    @property
    def names(self) -> Collection[str]:
        """The markets that the stream was asked for: they go blind with it."""
        return self._wanted

    def begin(self, market: Market) -> None:
        """Let a market's prices and trades come, if it streams at all."""
        if market.symbol is None:
            self._lacking[market.name] = set(_CHANNELS)
        if self._provider is None or market.symbol is None or market.name in self._wanted:
            return
        self._wanted.add(market.name)
        for channel in _CHANNELS:
            self._provider.subscribe_symbol(Symbol(market.symbol), channel)

    def leave(self, name: str) -> None:
        """Let a market's prices come no more."""
        self._lacking.pop(name, None)
        if self._provider is None or name not in self._wanted:
            return
        self._wanted.discard(name)
        for channel in _CHANNELS:
            self._provider.unsubscribe_symbol(Symbol(name), channel)

    def lose(self, event: SymbolRefused | SymbolMute) -> None:
        """Take note that a market lacks a channel, and say so of the first one."""
        what = "price" if event.channel == Channel.TICKER else "trades"
        why = event.error if isinstance(event, SymbolRefused) else f"it sends no {what}"
        lacks = self._lacking.setdefault(event.symbol, set())
        if not lacks:
            tell(self._say, words.not_streamed(event.symbol, str(why)))
        lacks.add(event.channel)

    def regain(self, symbol: str, channel: Channel) -> None:
        """Take note that a channel of a market speaks, and say so once it lacks none."""
        lacks = self._lacking.get(symbol)
        if lacks is None:
            return
        lacks.discard(channel)
        if not lacks:
            del self._lacking[symbol]
            tell(self._say, words.streams_again(symbol))

    # --- any thread ----------------------------------------------------------------------------

    @property
    def poll_every(self) -> float:
        """Seconds between two polls."""
        if self._provider is None:
            return self._interval
        return min(self._interval, BLIND_POLL)

    def present_price(self, market: Market) -> Decimal | None:
        """Return the stream's price where it is proven at this moment."""
        if self._provider is None or market.symbol is None:
            return None
        tick = self._provider.fresh_tick(Symbol(market.symbol))
        return tick.price if tick else None

    def is_polled(self, name: str) -> bool:
        """Tell whether a market is polled for good, and not for a blind moment alone."""
        return self._provider is None or name in self._lacking

    def unstreamed(self, markets: Iterable[Market]) -> list[Market]:
        """Return those that have no proven price, or not all trades, on the stream."""
        return [m for m in markets if m.name in self._lacking or self.present_price(m) is None]

    def note_poll(self, name: str, at: float) -> None:
        """Take note that REST told a market's price, asked for at a moment of the feed's clock."""
        self._polled_at[name] = at

    def is_live(self, market: Market) -> bool:
        """Tell whether a market's price is live.

        Live is what the stream proves at this moment, or what REST said in one of the last two
        rounds of polling.
        """
        if self.present_price(market) is not None:
            return True
        oldest = feed_clock() - 2 * self.poll_every
        return self._polled_at.get(market.name, float("-inf")) >= oldest
