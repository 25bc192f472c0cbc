"""How long a price takes: over REST, the first one from the stream, and from its cache.

    python examples/stream_against_rest.py --embedded
    python examples/stream_against_rest.py            against Kraken: five REST calls, one a second

On one machine the way to the exchange is nothing; to Kraken it is nearly all of a REST call.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from timeit import repeat

from _exchange import Market, open_market

from kraken_api import KrakenAPI

PAIR = "XBTUSD"
CACHED_CALLS = 20_000
ROUNDS = 9


def seconds_of(call: Callable[[], object]) -> float:
    """Return how long `call` takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def rest_call(market: Market) -> float:
    """Return the median time of REST calls over a connection that is open already."""
    api = market.client(use_websocket=False)
    api.warm_up()
    count, pause = (100, 0.0) if market.exchange else (5, 1.0)  # Kraken allows about one a second
    times = []
    for _ in range(count):
        time.sleep(pause)
        times.append(seconds_of(lambda: api.get_current_price(PAIR)))
    return median(times)


def cached_call(api: KrakenAPI) -> float:
    """Return the time of one call that finds its price in the cache."""
    names = {"price": api.get_current_price, "pair": PAIR}
    rounds = repeat("price(pair)", globals=names, number=CACHED_CALLS, repeat=ROUNDS)
    return min(rounds) / CACHED_CALLS  # the round that other programs disturbed least


def main() -> None:
    """Measure, and print the figures with their ratio."""
    with open_market(__doc__) as market:
        rest = rest_call(market)
        api = market.client()
        first = seconds_of(lambda: api.get_current_price(PAIR))
        source = api.get_quote(PAIR).source
        cached = cached_call(api)
        print(f"a REST call                      {rest * 1e3:10.3f} ms")
        print(f"first price, connecting included {first * 1e3:10.3f} ms, from {source}")
        print(f"every later price                {cached * 1e6:10.3f} us")
        print(f"the cache answers {rest / cached:,.0f} times faster than REST")


if __name__ == "__main__":
    main()
