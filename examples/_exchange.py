"""What the examples share: their command line, and the market that they look at.

With `--embedded` an exchange on this machine (fake_kraken) stands in for Kraken, and its prices
move; without the flag the same lines talk to Kraken. No example needs keys, and none places an
order at Kraken.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the modules lie one folder up

from kraken_api import KrakenAPI
from krakenlink.errors import KrakenError

if TYPE_CHECKING:
    from fake_kraken import FakeKraken

# Between two prices of a pair on the embedded exchange, in seconds.
_PACE = 0.05


class Market:
    """Kraken, or the exchange on this machine.

    Attributes:
        exchange: The embedded exchange, None where the example talks to Kraken.
        seconds: How long the example may look on.
    """

    def __init__(self, exchange: FakeKraken | None, seconds: float) -> None:
        self.exchange = exchange
        self.seconds = seconds
        self._clients: list[KrakenAPI] = []

    def client(self, use_websocket: bool = True) -> KrakenAPI:
        """Return a client of this market; with keys where it is the embedded one."""
        exchange = self.exchange
        if exchange is None:
            client = KrakenAPI(use_websocket=use_websocket)
        else:
            client = KrakenAPI(
                exchange.api_key,
                exchange.api_secret,
                exchange.rest_url,
                use_websocket,
                ws_url=exchange.ws_url,
            )
        self._clients.append(client)
        return client

    def close(self) -> None:
        """End the stream, and close the connections of all clients."""
        for client in self._clients:
            provider = client.price_provider()
            if provider is not None:
                provider.stop()
            client.close()


@contextmanager
def open_market(
    about: str | None, pairs: Sequence[str] = ("BTC/USD",), seconds: float = 10.0
) -> Iterator[Market]:
    """Read the command line, and open the market that it names.

    Args:
        about: What the example shows; its first line is the text of `--help`.
        pairs: Those whose prices move on the embedded exchange.
        seconds: How long the example looks on, unless `--seconds` says otherwise.
    """
    parser = argparse.ArgumentParser(description=(about or "").partition("\n")[0])
    parser.add_argument(
        "--embedded", action="store_true", help="use an exchange on this machine, not Kraken"
    )
    parser.add_argument("--seconds", type=float, default=seconds, help="default: %(default)g")
    options = parser.parse_args()
    try:
        if not options.embedded:
            with _closed(Market(None, options.seconds)) as market:
                yield market
            return
        from fake_kraken import FakeKraken  # here, because only this needs aiohttp

        with (
            FakeKraken() as exchange,
            _moving(exchange, pairs),
            _closed(Market(exchange, options.seconds)) as market,
        ):
            yield market
    except KrakenError as error:
        sys.exit(f"Kraken could not be asked, or refused: {error}")
    except KeyboardInterrupt:
        print("stopped")


@contextmanager
def _closed(market: Market) -> Iterator[Market]:
    try:
        yield market
    finally:
        market.close()


@contextmanager
def _moving(exchange: FakeKraken, pairs: Sequence[str]) -> Iterator[None]:
    """Let the prices of `pairs` walk at random, the same way in every run."""
    from fake_kraken import random_path

    paths = [(pair, random_path(*exchange.price_and_tick(pair), seed=1)) for pair in pairs]
    ended = threading.Event()

    def walk() -> None:
        while not ended.wait(_PACE):
            for pair, path in paths:
                exchange.set_price(pair, next(path))

    walker = threading.Thread(target=walk, name="example-prices")
    walker.start()
    try:
        yield
    finally:
        ended.set()
        walker.join()
