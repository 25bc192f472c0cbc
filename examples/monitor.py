"""A monitor of several pairs: every price on arrival, and what happens to the link meanwhile.

python examples/monitor.py --embedded --seconds 5
python examples/monitor.py --seconds 60           on Kraken
"""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime
from decimal import Decimal

from _exchange import open_market

from krakenlink.pairs import Symbol
from krakenlink.stream.events import FeedBack, FeedStale, SymbolMute, SymbolRefused, Tick
from ws_price_provider import FeedHealth

PAIRS = ("XBTUSD", "ETH/USD", "SOL/USD", "XDGUSD")


class Monitor:
    """Prints each price that differs from the one before it, and counts all."""

    def __init__(self) -> None:
        self.last: dict[Symbol, Decimal] = {}
        self.ticks: Counter[Symbol] = Counter()

    def show(self, event: object) -> None:
        """Take one event of the feed."""
        match event:
            case Tick():
                self.show_tick(event)
            case FeedStale():
                self.say(f"BLIND: {event.reason}; no price counts until the stream is back")
            case FeedBack():
                self.say(f"sees again after {event.blind_for:.1f} s")
            case SymbolRefused():
                self.say(f"{event.symbol} is refused: {event.error}")
            case SymbolMute():
                self.say(f"{event.symbol} sends nothing")

    def show_tick(self, tick: Tick) -> None:
        """Print a price and which way it went."""
        before, self.last[tick.symbol] = self.last.get(tick.symbol), tick.price
        self.ticks[tick.symbol] += 1
        if before != tick.price:
            arrow = "=" if before is None else "+" if tick.price > before else "-"
            self.say(f"{tick.symbol:9} {arrow} {tick.price}  (bid {tick.bid}, ask {tick.ask})")

    def say(self, text: str) -> None:
        """Print a line with the time of day."""
        print(f"{datetime.now():%H:%M:%S.%f}"[:12], text)

    def summary(self, health: FeedHealth) -> None:
        """Print what came of it."""
        for symbol, count in sorted(self.ticks.items()):
            print(f"{symbol}: {count} prices, last {self.last[symbol]}")
        rate, connections = health.messages_per_second, health.reconnects + 1
        print(f"link {health.state.name}, {rate:.0f} messages a second, connections: {connections}")


def main() -> None:
    """Watch until the time is up."""
    with open_market(__doc__, PAIRS) as market:
        api = market.client()
        provider = api.price_provider()
        if provider is None:
            raise SystemExit("pip install websocket-client")
        symbols = [api.resolve_pair(pair).symbol for pair in PAIRS]
        reader = provider.open_feed(channels=("ticker",))  # before subscribing, to miss nothing
        for symbol in filter(None, symbols):
            provider.subscribe_symbol(symbol)
        monitor, end = Monitor(), time.monotonic() + market.seconds
        while (left := end - time.monotonic()) > 0:
            monitor.show(reader.get(left))
        reader.close()
        monitor.summary(provider.health())


if __name__ == "__main__":
    main()
