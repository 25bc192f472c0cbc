"""Candles of the embedded exchange, as the stream tells of them.

Pure: from the trades that REST OHLC is made of. A candle is told with each trade in it.

Source: Kraken, WebSocket v2 ohlc channel (read 2026-11).
"""

from __future__ import annotations

from decimal import Decimal

from fake_kraken.faults import Faults
from fake_kraken.market import Listing
from fake_kraken.shapes import Channel, candles, moment_text

OHLC = Channel(
    "ohlc",
    has_snapshot=True,
    snapshot=lambda listing, now: "",  # each subscription has an interval of its own
    update=lambda listing, trades, now: "",
    bad_row="",
)
INTERVALS = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)

_YEAR = 365 * 24 * 3600
_SNAPSHOT = 10  # candles


def candle_frame(listing: Listing, interval: int, kind: str, faults: Faults) -> str:
    """Return the latest candles of a market as one frame: one, or in a snapshot up to ten."""
    rows = candles(listing, interval)[-(_SNAPSHOT if kind == "snapshot" else 1) :]
    told = []
    for begin, open_, high, low, close, vwap, volume, trades in rows:
        ahead = 0
        if faults.struck("candle_from_future", symbol=listing.symbol):
            ahead = _YEAR // (interval * 60) * interval * 60
        low = "-1" if faults.struck("candle_bad", symbol=listing.symbol) else low
        told.append(
            f'{{"symbol":"{listing.symbol}","open":{open_},"high":{high},"low":{low},'
            f'"close":{close},"trades":{trades},"volume":{Decimal(volume):f},"vwap":{vwap},'
            f'"interval_begin":"{_moment(begin + ahead)}","interval":{interval},'
            f'"timestamp":"{_moment(begin + ahead + interval * 60)}"}}'
        )
    now = moment_text(listing.traded_ns / 1e9)
    data = ",".join(told)
    return f'{{"channel":"ohlc","type":"{kind}","timestamp":"{now}","data":[{data}]}}'


def _moment(at: int) -> str:
    """Return a moment with nine digits of a second, as Kraken does here."""
    return moment_text(at).replace("Z", "000Z")
