"""Candles, and pairs with their assets, as the stream of the embedded exchange tells of them.

Pure: from the trades that REST OHLC is made of, with each trade in it; and from the same rows as
AssetPairs, all at once and then what changes, in the words and the digits of the other channels.

Source: Kraken, WebSocket v2 ohlc and instrument channels (read 2026-11).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from fake_kraken.faults import Faults
from fake_kraken.market import Listing
from fake_kraken.shapes import Channel, asset_row, candles, modern_asset, moment_text

OHLC = Channel(
    "ohlc",
    has_snapshot=True,
    snapshot=lambda listing, now: "",  # each subscription has an interval of its own
    update=lambda listing, trades, now: "",
    bad_row="",
)
INTERVALS = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)

INSTRUMENT = "instrument"
EVERY = "*"  # in the place of a symbol: the channel has none

_YEAR = 365 * 24 * 3600
_SNAPSHOT = 10  # candles
_TOKENIZED = "tokenized_asset"


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


def instrument_frame(
    listings: Iterable[Listing], kind: str, faults: Faults, *, with_tokenized: bool
) -> str:
    """Return markets, and the assets that they are made of, as one frame.

    Args:
        listings: The markets; those that are not streamed are left out.
        kind: `snapshot` or `update`.
        faults: Those that are switched on.
        with_tokenized: Whether xStocks are wanted.
    """
    shown = [
        listing
        for listing in listings
        if listing.symbol and (with_tokenized or listing.asset_class != _TOKENIZED)
    ]
    names = {str(x.row[side]): x.asset_class for x in shown for side in ("quote", "base")}
    pairs = [_pair_row(listing, faults) for listing in shown]
    assets = [_asset_row(name, aclass) for name, aclass in sorted(names.items())]
    return (
        f'{{"channel":"{INSTRUMENT}","type":"{kind}","data":'
        f'{{"assets":[{",".join(assets)}],"pairs":[{",".join(pairs)}]}}}}'
    )


def _pair_row(listing: Listing, faults: Faults) -> str:
    row, steps = listing.row, Decimal(1).scaleb(-int(listing.row["lot_decimals"]))
    qty_min = _number(row["ordermin"])
    if fault := faults.struck("instrument_bad_row", symbol=listing.symbol):
        qty_min = fault.text
    told = {
        "symbol": json.dumps(listing.symbol),
        "base": json.dumps(modern_asset(str(row["base"]))),
        "quote": json.dumps(modern_asset(str(row["quote"]))),
        "status": json.dumps(row.get("status", "online")),
        "qty_min": qty_min,
        "qty_increment": _number(steps),
        "qty_precision": str(row["lot_decimals"]),
        "price_increment": _number(row["tick_size"]),
        "price_precision": str(row["pair_decimals"]),
        "cost_min": _number(row["costmin"]),
        "cost_precision": str(row["cost_decimals"]),
        "marginable": "false",
        "has_index": "true",
    }
    cells = ",".join(f'"{name}":{value}' for name, value in told.items())
    return f"{{{cells}}}"


def _number(value: Any) -> str:
    """Return a number as JSON writers have them: `5e-05`, `0.5`, `10`."""
    return json.dumps(float(value) if Decimal(str(value)) % 1 else int(Decimal(str(value))))


def _asset_row(name: str, aclass: str) -> str:
    row = asset_row(name, aclass)
    return json.dumps(
        {
            "id": modern_asset(name),
            "status": row["status"],
            "precision": row["decimals"],
            "precision_display": row["display_decimals"],
            "borrowable": False,
            "collateral_value": 0.0,
        }
    )
