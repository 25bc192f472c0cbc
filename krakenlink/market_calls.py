"""The calls of a client about a market beside its price: books, candles, trades, pairs.

What they do is `channels`; here are their arguments, and what is promised of them.

Source: Kraken, spot WebSocket v2 (book, ohlc, trade, instrument); REST Depth, OHLC, Trades (read
2026-11).
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from krakenlink import stream
from krakenlink.errors import KrakenError
from krakenlink.prices import Prices
from krakenlink.rest.client import RestClient
from krakenlink.rest.quotes import Quote
from krakenlink.rest.request import checked_direction, checked_number, checked_pair

if TYPE_CHECKING:  # what is of use to none who only asks for prices or places orders
    from krakenlink.channels import Market


class MarketCalls(RestClient):
    """The calls of a client about a market beside its price. Safe from any thread."""

    ws_timeout: float
    _prices: Prices

    @property
    def _market(self) -> Market:
        """What does the work, made for the first call that needs it."""
        raise NotImplementedError  # the client's own

    def get_order_book(self, pair: str, depth: int = 10) -> stream.OrderBook:
        """Return the order book of `pair`, with Kraken's exact numbers.

        From the stream where it is proven: each change was confirmed by Kraken's checksum, on a
        link that is alive; the first call subscribes and waits for the first book, at most
        `ws_timeout` and once for each pair and depth. Else over REST, which blocks for `connect` +
        `read` of the timeouts at most and has 500 levels at most.

        Args:
            pair: Any spelling, such as `XXBTZUSD` or `BTC/USD`.
            depth: Levels of each side: 10, 25, 100, 500 or 1000. Thin books have fewer.

        Raises:
            ValueError: If `pair` is empty or not a string, or `depth` is none of these.
            PriceUnavailable: If REST's answer took so long that its book proves nothing.
            KrakenError: If Kraken refused, such as an unknown pair, or could not be heard.

        Source: Kraken, spot WebSocket v2, book channel; REST Depth (read 2026-11).
        """
        return self._market.order_book(pair, depth, self.ws_timeout)

    async def aget_quote(self, pair: str, max_age: float | None = None) -> Quote:
        """Return what `get_quote` returns, for a coroutine: its event loop is never blocked.

        A proven price is returned at once; else a thread of the loop's executor waits for it.

        Args:
            pair: Any spelling.
            max_age: As for `get_quote`.

        Raises:
            ValueError: As for `get_quote`, as are all others.
        """
        found = self._prices.proven_quote(pair, max_age)
        if found is not None:
            return found
        import asyncio  # whoever is here has it loaded

        return await asyncio.to_thread(self.get_quote, pair, max_age)

    def get_quote(self, pair: str, max_age: float | None = None) -> Quote:
        """Return the price of `pair` with its source and its proof of life."""
        raise NotImplementedError  # the client's own

    def get_candles(self, pair: str, interval: int = 1) -> stream.Candles:
        """Return the latest candles of `pair`, up to 720, oldest first; the last may still move.

        The first call subscribes, waits for the acknowledgement and asks REST; later ones need
        neither, as long as the stream proves that nothing is missing. A gap is filled by asking
        REST once more, and a stream that brings nothing for a minute is looked at over REST; an
        interval in which nobody traded may have no candle.

        Blocks like `get_order_book`.

        Args:
            pair: Any spelling.
            interval: Minutes of a candle: 1, 5, 15, 30, 60, 240, 1440, 10080 or 21600.

        Raises:
            ValueError: If `pair` is empty or not a string, or there is no such interval.
            ProtocolError: If REST's answer holds a candle that cannot be.
            KrakenError: If Kraken refused or could not be heard.

        Source: Kraken, spot WebSocket v2, ohlc channel; REST OHLC (read 2026-11).
        """
        return self._market.candles(pair, interval, self.ws_timeout)

    def recent_trades(self, pair: str, count: int = 100) -> tuple[stream.TradePrint, ...]:
        """Return the latest trades of `pair`, oldest first, each once.

        By their numbers joined to what REST tells, as candles are. Numbers that Kraken leaves out
        in both are no gap of ours.

        Blocks like `get_order_book`.

        Args:
            pair: Any spelling.
            count: How many, up to 1,000; there may be fewer.

        Raises:
            ValueError: If an argument is none of these.
            ProtocolError: If REST's answer holds a trade that cannot be.
            KrakenError: If Kraken refused or could not be heard.

        Source: Kraken, spot WebSocket v2, trade channel; REST Trades (read 2026-11).
        """
        return self._market.trades(pair, count, self.ws_timeout)

    def estimate_fill(self, pair: str, side: str, volume: object, depth: int = 100) -> stream.Fill:
        """Return what a market order would meet in the book of `pair` now. It places nothing.

        Blocks like `get_order_book`, and like `get_current_price` for the last trade's price. Fees
        and hidden orders are not in it, and neither is what others do meanwhile.

        Args:
            pair: Any spelling.
            side: `buy` or `sell`.
            volume: In base currency; any exact number.
            depth: How deep to look; `is_complete` of the answer tells whether that was enough.

        Raises:
            ValueError: If an argument is none of these, or `volume` is not positive.
            KrakenError: As for `get_order_book`.
        """
        from krakenlink.stream.book import estimated_fill  # here, for who wants no books

        direction = checked_direction(side)
        amount = checked_number("volume", volume)
        book = self.get_order_book(pair, depth)
        return estimated_fill(book, direction, amount, self._last_price(pair))

    def follow_instruments(self, timeout: float | None = None) -> bool:
        """Have the facts of all pairs streamed as they change, from now on.

        While the stream proves them, it is their one source: `resolve_pair`, `pair_status`,
        `pair_age` and the cutting of volumes know a new status, minimum or step within a second,
        and no listing of an earlier hour decides anything. Where it does not, Kraken's listing
        does, as without this call. All pairs are some 2 MB, on a connection of their own.

        Args:
            timeout: Longest wait for them, in seconds; 0 waits for nothing, None for `ws_timeout`.

        Returns:
            Whether they are there already; they count from the moment at which they are.
        """
        return self._market.follow_instruments(self.ws_timeout if timeout is None else timeout)

    def pair_status(self, pair: str) -> str:
        """Return Kraken's status of a pair at this moment, such as `cancel_only`.

        From the stream where `follow_instruments` was called and it proves it, else AssetPairs',
        which blocks for one call.

        Raises:
            ProtocolError: If the answer cannot be read; that is not `online`.
            KrakenError: If Kraken refused or did not answer.
        """
        known = self.listing.known(checked_pair(pair))
        told = self.listing.streamed(known) if known is not None else None
        return super().pair_status(pair) if told is None else told[0].status

    def _last_price(self, pair: str) -> Decimal | None:
        """Return the last trade's price, None where it cannot be had: the book counts without."""
        try:
            return self._prices.quote(pair, None, self.ws_timeout).price
        except KrakenError:
            return None
