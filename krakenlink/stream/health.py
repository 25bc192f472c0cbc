"""The feed's figures at a moment, for people and for the audit.

Pure functions over the protocol, called under its lock; what they return is frozen. A figure must
never be taken for a price: `last_tick` is the last one that came, whether it counts or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from krakenlink.stream.events import Channel, Tick
from krakenlink.stream.feed import FeedProtocol
from krakenlink.stream.states import FeedState, Subscription, SubState

if TYPE_CHECKING:
    from krakenlink.stream.audit import View


@dataclass(frozen=True, slots=True)
class SymbolHealth:
    """One subscription: its state in a word, its last tick, and how old its proof is."""

    symbol: str
    channel: str
    state: str
    last_tick: Tick | None
    proven_age: float | None
    ticks: int
    rest_fallbacks: int
    error: str


@dataclass(frozen=True, slots=True)
class FeedHealth:
    """The feed at one moment. Ages and times are seconds; None means that there was none yet."""

    url: str
    state: FeedState
    system: str | None
    uptime: float | None
    last_frame_age: float | None
    blind_for: float | None
    attempts: int
    reconnects: int
    messages: int
    messages_per_second: float
    ticks_per_second: float
    damaged: int
    rest_fallbacks: int
    symbols: tuple[SymbolHealth, ...]
    beside: tuple[FeedHealth, ...] = ()  # other connections for the same, each with what it carries
    connection: str = "1"  # which of them it is: the first, "2" and so on, or "pairs"

    @property
    def carried(self) -> int:
        """How many subscriptions it carries; what is on its way there is another one's."""
        return sum(one.state != "arriving" for one in self.symbols)


def feed_health(
    feed: FeedProtocol, url: str, fallbacks: Mapping[str, int], now: float
) -> FeedHealth:
    """Return every figure of `feed` at `now`.

    Args:
        feed: The protocol.
        url: Its address.
        fallbacks: How often REST had to be asked, by symbol.
        now: The moment, on the feed's clock.
    """
    link = feed.link
    messages_per_second, ticks_per_second = feed.rates(now)
    return FeedHealth(
        url=url,
        state=link.state,
        system=feed.system,
        uptime=_since(link.live_since, now),
        last_frame_age=_since(link.last_frame_at, now),
        blind_for=_since(link.blind_since, now),
        attempts=link.attempts,
        reconnects=reconnects(feed),
        messages=link.messages,
        messages_per_second=messages_per_second,
        ticks_per_second=ticks_per_second,
        damaged=feed.damaged,
        rest_fallbacks=sum(fallbacks.values()),
        symbols=tuple(
            _symbol_health(sub, link.proof_age(now), fallbacks.get(sub.symbol, 0))
            for sub in feed.subscriptions.by_key.values()
        ),
    )


def beside_first(found: FeedHealth, name: str, fallbacks: Mapping[str, int]) -> FeedHealth:
    """Return the figures of another connection than the first, as the first one tells of it.

    Whoever asks REST does not know which connection carries a symbol, and it may move: that is
    counted with the first one, of all symbols, and in all there alone.

    Args:
        found: What the connection tells of itself.
        name: Which one it is.
        fallbacks: How often REST had to be asked, by symbol.
    """
    symbols = (replace(one, rest_fallbacks=fallbacks.get(one.symbol, 0)) for one in found.symbols)
    return replace(found, connection=name, symbols=tuple(symbols))


def _symbol_health(sub: Subscription, proof_age: float | None, fallbacks: int) -> SymbolHealth:
    return SymbolHealth(
        symbol=sub.symbol,
        channel=sub.channel.value,
        state="arriving" if sub.is_arriving else sub.state.name.lower(),
        last_tick=sub.latest,
        proven_age=None if sub.proven is None and sub.content is None else proof_age,
        ticks=sub.ticks,
        rest_fallbacks=fallbacks,
        error=sub.error,
    )


def _since(moment: float | None, now: float) -> float | None:
    return None if moment is None else now - moment


def reconnects(feed: FeedProtocol) -> int:
    """Return how many connections came after the first."""
    return max(0, feed.link.connections - 1)


def views(feed: FeedProtocol) -> dict[str, View]:
    """Return the stream's side of every symbol that has had a tick; none while there is no link."""
    if not feed.link.is_open:
        return {}
    from krakenlink.stream.audit import View  # which the audit has loaded

    connection = reconnects(feed)
    return {
        symbol: View(sub.latest.price, sub.ticks, connection, sub.state is SubState.LIVE, sub)
        for symbol, sub in feed.subscriptions.tickers.items()
        if sub.latest is not None
    }


def book_views(feed: FeedProtocol) -> dict[str, View]:
    """Return the best bid of every book that counts; none while there is no link."""
    if not feed.link.is_open:
        return {}
    from krakenlink.stream.audit import View  # as above

    found = {}
    for sub in feed.subscriptions.by_key.values():
        if sub.channel is Channel.BOOK and sub.content is not None and not sub.is_arriving:
            best = sub.content.texts(1).bids
            if best:
                found[str(sub.symbol)] = View(best[0].price, sub.ticks, reconnects(feed), True, sub)
    return found


class Proofs:
    """Parts of what is proven now, for whoever can tell the whole."""

    def proven(self, symbol: str) -> tuple[Tick, float] | None:
        """Return the tick of `symbol` that is proven now and the seconds since its proof."""
        raise NotImplementedError

    def fresh_tick(self, symbol: str) -> Tick | None:
        """Return the last tick of `symbol` if it is proven now. Never blocks."""
        found = self.proven(symbol)
        return None if found is None else found[0]

    def proven_age(self, symbol: str) -> float | None:
        """Return the seconds since `symbol`'s price was last proven; None if it is not now."""
        found = self.proven(symbol)
        return None if found is None else found[1]
