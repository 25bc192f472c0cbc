"""A matching engine whose one interesting market stands at a price, and the usual order."""

from decimal import Decimal
from typing import Any

from fake_kraken.engine import Engine
from fake_kraken.market import price_from

NOW = 1_700_000_000.0
STOP = {
    "pair": "XBTUSD",
    "type": "sell",
    "ordertype": "trailing-stop",
    "volume": "0.5",
    "price": "+10%",
}


# Any, here and below: exact decimals are compared with plain numbers, which mypy takes for a slip.
def engine_at(price: object = "50000.0", pair: str = "XXBTZUSD") -> Any:
    """Return an exchange whose one interesting market stands at `price`."""
    return Engine(prices={pair: price})


def place(engine: Engine, **changes: str) -> Any:
    """Enter the usual trailing stop, with changes."""
    return engine.add_order({**STOP, **changes}, NOW)


def move(engine: Engine, *prices: object, pair: str = "XXBTZUSD") -> None:
    """Print a trade at each price."""
    for price in prices:
        engine.trade(engine.listing(pair), price_from(price), Decimal("0.01"), NOW)
