"""Pairs and assets as the stream tells of them: all at once, and then what changes.

Pure: from the same rows as AssetPairs, in the words and the digits of the other channel.

Source: Kraken, WebSocket v2 instrument channel (read 2026-11).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from fake_kraken.faults import Faults
from fake_kraken.market import Listing
from fake_kraken.shapes import asset_row, modern_asset

NAME = "instrument"
EVERY = "*"  # in the place of a symbol: the channel has none

_TOKENIZED = "tokenized_asset"


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
        f'{{"channel":"{NAME}","type":"{kind}","data":'
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
