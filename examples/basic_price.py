"""The price of a pair: from the stream, with its proof, over REST, and what a refusal looks like.

python examples/basic_price.py --embedded     on an exchange of this machine
python examples/basic_price.py                on Kraken; no keys needed
"""

from __future__ import annotations

from _exchange import open_market

from krakenlink.errors import KrakenAPIError, PriceUnavailable


def main() -> None:
    """Ask for one price in every way there is."""
    with open_market(__doc__) as market:
        api = market.client()

        # The first call subscribes and waits for the first price, at most 2 s; then it asks REST.
        print(f"float      {api.get_current_price('XBTUSD')}")

        # Later calls read a cache. Any spelling means the same pair and the same subscription.
        for name in ("XXBTZUSD", "BTC/USD", "btc-usd"):
            print(f"{name:10} {api.get_current_price(name)}")

        # The same price with its digits as Kraken sent them, its source and its proof of life.
        quote = api.get_quote("BTC/USD")
        print(f"quote      {quote.price} ({quote.symbol}), bid {quote.bid}, ask {quote.ask}")
        print(f"           from {quote.source}, proven {quote.proven_age:.3f} s ago")

        # No price can be proven within a microsecond: refused, not answered with an old one.
        try:
            api.get_quote("BTC/USD", max_age=0.000001)
        except PriceUnavailable as refusal:
            print(f"refused    {refusal}")

        # A pair that does not exist is Kraken's to refuse, in Kraken's words.
        try:
            api.get_current_price("NOSUCHPAIR")
        except KrakenAPIError as error:
            print(f"refused    {error}")

        # Without the stream the same call goes over REST each time.
        polled = market.client(use_websocket=False).get_quote("BTC/USD")
        print(f"REST       {polled.price} from {polled.source}")


if __name__ == "__main__":
    main()
