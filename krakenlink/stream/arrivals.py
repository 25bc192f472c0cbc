"""Which subscriptions a connection has, and which of them are still on their way to it.

Pure and not thread-safe: the feed calls it under its lock. What is on its way is had by another
connection: it is asked for and proven here like all others, and neither shown nor told to anybody
before it has joined. Who moves it hears `news` of it instead.
"""

from __future__ import annotations

from collections import Counter, deque

from krakenlink.pairs import Symbol
from krakenlink.stream.events import Channel, Event, SymbolDistrusted, SymbolTrusted
from krakenlink.stream.states import Key, Subscription, SubState

_GIVEN_UP = frozenset({SubState.REFUSED, SubState.MUTE})


class Arrivals:
    """The subscriptions of one connection by what they are.

    Attributes:
        by_key: Each subscription by its channel and symbol.
        tickers: Those for prices by symbol, at hand for the hot paths; none that is on its way.
        arriving: Those that are on their way here.
        counts: How many there are of each channel, those on their way too.
        news: For who moves them: of which of those on their way something came, and why it will
            not come; empty where it may.
    """

    def __init__(self) -> None:
        self.by_key: dict[Key, Subscription] = {}
        self.tickers: dict[str, Subscription] = {}
        self.arriving: dict[Key, Subscription] = {}
        self.counts: Counter[Channel] = Counter()
        self.news: deque[tuple[Key, str]] = deque()

    def _add(self, sub: Subscription) -> None:
        self.by_key[sub.key] = sub
        self.counts[sub.channel] += 1
        if sub.is_arriving:
            self.arriving[sub.key] = sub
        elif sub.channel is Channel.TICKER:
            self.tickers[sub.symbol] = sub

    def _drop(self, sub: Subscription) -> None:
        del self.by_key[sub.key]
        self.counts[sub.channel] -= 1
        if sub.is_arriving:
            del self.arriving[sub.key]
        elif sub.channel is Channel.TICKER:
            del self.tickers[sub.symbol]

    def _forget_all(self) -> None:
        self.by_key.clear()
        self.tickers.clear()
        self.arriving.clear()
        self.counts.clear()
        self.news.clear()

    def heard_of(self, sub: Subscription, events: list[Event]) -> list[Event]:
        """Return what readers hear of a subscription: nothing while it is on its way."""
        if not sub.is_arriving:
            return events
        is_vain = sub.state in _GIVEN_UP
        self.news.append((sub.key, (sub.error or "it brings no data") if is_vain else ""))
        return []

    def join(self, sub: Subscription, refs: int) -> bool:
        """Let what has arrived be shown and told from now on.

        Args:
            sub: What was on its way.
            refs: How often it was wanted where it was.

        Returns:
            Whether anybody wants it; else it is to be left.
        """
        self._drop(sub)
        sub.is_arriving = False
        sub.refs += refs
        self._add(sub)
        return sub.refs > 0

    def seen_symbols(self) -> tuple[Symbol, ...]:
        """Return the symbols whose prices or trades are had here, in order."""
        seen = (Channel.TICKER, Channel.TRADE)
        return tuple(
            sorted(
                {
                    sub.symbol
                    for sub in self.by_key.values()
                    if sub.channel in seen and not sub.is_arriving
                }
            )
        )

    # -- what an audit has found

    # `of` is the subscription that was looked at, None for whichever there is: what is wanted since
    # is another one, of which nothing is known.

    def distrust(self, symbol: Symbol, reason: str, now: float, of: object = None) -> list[Event]:
        """Let no price of `symbol` count, whatever the stream says."""
        sub = self.tickers.get(symbol)
        if sub is None or (of is not None and sub is not of):
            return []
        sub.distrusted = True
        sub.unprove()
        return [SymbolDistrusted(symbol, reason, now)]

    def trust(self, symbol: Symbol, now: float, of: object = None) -> list[Event]:
        """Take `distrust` back; the last tick of a subscription that lives counts at once."""
        sub = self.tickers.get(symbol)
        if sub is None or not sub.distrusted or (of is not None and sub is not of):
            return []
        sub.distrusted = False
        if sub.state is SubState.LIVE and sub.latest is not None:
            sub.prove(sub.latest)
            return [SymbolTrusted(symbol, now), sub.latest]  # which nobody was told of meanwhile
        return [SymbolTrusted(symbol, now)]
