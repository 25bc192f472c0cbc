"""What the stream says of a market, channel by channel, in Kraken's keys and digits.

Pure: text from what the engine knows. Another channel is another row of `CHANNELS`.

Source: Kraken, WebSocket v2 ticker and trade channels (read 2026-11).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fake_kraken.market import Listing, Trade
from fake_kraken.shapes import moment_text

_SNAPSHOT_TRADES = 50
_BAD_PRICES = ("NaN", "Infinity", "-1", "0", "1e400", "null", '"x"')


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of prices.

    Attributes:
        name: As it is subscribed to.
        has_snapshot: Whether a subscription that says nothing of it begins with one.
        snapshot: The frame of a market as it stands; also told Kraken's clock.
        update: The frame that follows trades; also told Kraken's clock.
        bad_row: A row of it that is sane but for its price, which stands as `%s`.
    """

    name: str
    has_snapshot: bool
    snapshot: Callable[[Listing, float], str]
    update: Callable[[Listing, Sequence[Trade], float], str]
    bad_row: str

    def bad_frames(self, symbol: str) -> list[str]:
        """Return frames that are no prices: no JSON, no object, and numbers beyond all sense."""
        row = f'{{"symbol":"{symbol}",{self.bad_row}}}'
        frame = f'{{"channel":"{self.name}","type":"update","data":[{row}]}}'
        return ["{", "[]", "\x00", '"text"', *(frame % price for price in _BAD_PRICES)]


def ticker_frame(listing: Listing, kind: str, now: float) -> str:
    """Return a market as one frame; before its first trade it is dated `now`."""
    places = listing.places
    bid, ask = listing.quotes
    last, opening = listing.price, listing.opening
    change = last - opening
    at = listing.traded_ns / 1e9 if listing.traded_ns else now
    # Written by hand: numbers keep the pair's digits, as Kraken's do, and this is the hot path.
    return (
        f'{{"channel":"ticker","type":"{kind}","data":[{{"symbol":"{listing.symbol}",'
        f'"bid":{bid:.{places}f},"bid_qty":1.00000000,"ask":{ask:.{places}f},"ask_qty":1.00000000,'
        f'"last":{last:.{places}f},"volume":{listing.volume:.8f},"vwap":{last:.{places}f},'
        f'"low":{listing.low:.{places}f},"high":{listing.high:.{places}f},'
        f'"change":{change:.{places}f},"change_pct":{change / opening * 100:.2f},'
        f'"timestamp":"{moment_text(at)}"}}]}}'
    )


def trade_frame(listing: Listing, trades: Sequence[Trade], kind: str) -> str:
    """Return trades, which are of one market, as one frame."""
    places = listing.places
    rows = ",".join(
        f'{{"symbol":"{listing.symbol}","side":"{t.side}","price":{t.price:.{places}f},'
        f'"qty":{t.qty:.8f},"ord_type":"market","trade_id":{t.trade_id},'
        f'"timestamp":"{moment_text(t.at_ns / 1e9)}"}}'
        for t in trades
    )
    return f'{{"channel":"trade","type":"{kind}","data":[{rows}]}}'


CHANNELS: dict[str, Channel] = {
    channel.name: channel
    for channel in (
        Channel(
            "trade",
            has_snapshot=False,
            snapshot=lambda x, now: trade_frame(x, x.trades[-_SNAPSHOT_TRADES:], "snapshot"),
            update=lambda x, trades, now: trade_frame(x, trades, "update"),
            bad_row='"price":%s,"trade_id":1',
        ),
        Channel(
            "ticker",
            has_snapshot=True,
            snapshot=lambda x, now: ticker_frame(x, "snapshot", now),
            update=lambda x, trades, now: ticker_frame(x, "update", now),
            bad_row='"last":%s',
        ),
    )
}
