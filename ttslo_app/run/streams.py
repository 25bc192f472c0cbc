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
# A price and the trade that made it come within milliseconds of each other, in whatever order: a
# price that moves more often than a few times, for so many seconds, and no trade, is no chance.
_FEW, _TRADES_FOLLOW = 2, 10.0
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
        # By symbol: the last price, since when it moves without any trade, and how often.
        self._moves: dict[str, tuple[Decimal, float, int]] = {}
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
        self._moves.pop(name, None)
        if self._provider is None or name not in self._wanted:
            return
        self._wanted.discard(name)
        for channel in _CHANNELS:
            self._provider.unsubscribe_symbol(Symbol(name), channel)

    def lose(self, event: SymbolRefused | SymbolMute) -> None:
        """Take note that a market lacks a channel, and say so of the first one."""
        if event.channel not in _CHANNELS:
            return  # no market's prices hang on it
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

    def heard_price(self, symbol: Symbol, price: Decimal, at: float) -> None:
        """Take note of a price of the stream: where it moves, trades of the market must come.

        The channel of trades has no first message that would show whether it speaks at all.

        Args:
            symbol: Of the market.
            price: The price.
            at: When it came, on the feed's clock.
        """
        known, since, count = self._moves.get(symbol, (price, at, 0))
        if price == known:
            self._moves[symbol] = (known, since, count)
            return
        since = since if count else at
        self._moves[symbol] = (price, since, count + 1)
        is_mute = count >= _FEW and at - since > _TRADES_FOLLOW
        if is_mute and Channel.TRADE not in self._lacking.get(symbol, ()):
            self.lose(SymbolMute(symbol, Channel.TRADE, at))

    def heard_trades(self, symbol: Symbol, price: Decimal) -> None:
        """Take note that trades came, the last of them at a price."""
        self._moves[symbol] = (price, 0.0, 0)
        if symbol in self._lacking:
            self.regain(symbol, Channel.TRADE)

    def hears_anew(self, symbol: Symbol) -> None:
        """Take note that a market's subscription is new: its price may have moved meanwhile."""
        self._moves.pop(symbol, None)

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
