"""The stream is dropped, falls silent, and refuses a symbol: what a caller gets, and when.

    python examples/failure_and_recovery.py --embedded
    python examples/failure_and_recovery.py           on Kraken: one drop, and the refusal

A caller asks for a price all the time and always gets one; what changes is where it comes from.
"""

from __future__ import annotations

import time

from _exchange import open_market

from kraken_api import KrakenAPI
from krakenlink.stream.events import FeedStale, FirstData, SymbolRefused, Tick
from ws_price_provider import FeedReader

PAIR = "BTC/USD"


class Watcher:
    """Asks for prices and listens to the feed, and prints what changes."""

    def __init__(self, api: KrakenAPI, reader: FeedReader) -> None:
        self._api = api
        self._reader = reader
        self._source = ""
        self._started = time.monotonic()

    def watch_until(self, kind: type[object], patience: float = 15.0) -> None:
        """Go on until an event of `kind` has been printed."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            event = self._reader.get(timeout=0.05)
            if event is not None and not isinstance(event, Tick):
                self.say(str(event))
            quote = self._api.get_quote(PAIR, max_age=5.0)
            if quote.source != self._source:
                self._source = quote.source
                self.say(f"    the caller gets {quote.price} from {quote.source.upper()}")
            if isinstance(event, kind):
                return
        raise SystemExit(f"no {kind.__name__} within {patience:g} s")

    def say(self, text: str) -> None:
        """Print a line with the seconds since the start."""
        print(f"{time.monotonic() - self._started:6.2f} s  {text}", flush=True)


def main() -> None:
    """Break the stream in three ways."""
    with open_market(__doc__) as market:
        api, exchange = market.client(), market.exchange
        provider = api.price_provider()
        if provider is None:
            raise SystemExit("There is no stream: pip install websocket-client")
        watcher = Watcher(api, provider.open_feed())
        watcher.watch_until(FirstData)

        watcher.say("--- the connection is dropped")
        if exchange is None:
            provider.reconnect("dropped by this example")
        else:
            exchange.fault("refuse_connect", count=1)  # and the first attempt to come back fails
            exchange.drop_connections()
        watcher.watch_until(FirstData)

        if exchange is not None:
            watcher.say("--- the connection stays open, and no frame comes")
            silence = exchange.fault("silent")
            watcher.watch_until(FeedStale)
            silence.clear()
            watcher.watch_until(FirstData)

        watcher.say("--- a symbol that does not exist")
        provider.subscribe_symbol("NOSUCH/USD")
        watcher.watch_until(SymbolRefused)


if __name__ == "__main__":
    main()
