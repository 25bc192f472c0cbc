"""Frames of Kraken's books, summed up by code that shares nothing with the client's."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

BTC = "BTC/USD"
Side = Mapping[str, str]  # quantity by price, as text with all of its digits

BIDS = {f"{50000 - n / 10:.1f}": f"1.{n:08d}" for n in range(1, 13)}
ASKS = {f"{50000 + n / 10:.1f}": f"0.{n:08d}" for n in range(1, 13)}


@dataclass(frozen=True)
class Raw:
    """A level as it may stand in a frame."""

    price: object
    qty: object


def raw(side: Side) -> list[Raw]:
    """Return levels as a frame has them, with all digits."""
    return [Raw(price, qty) for price, qty in side.items()]


def total(bids: Side, asks: Side) -> int:
    """Return Kraken's sum of a book whose numbers have all of their digits."""
    best_asks = sorted(asks.items(), key=lambda level: Decimal(level[0]))[:10]
    best_bids = sorted(bids.items(), key=lambda level: -Decimal(level[0]))[:10]
    numbers = [number for level in (*best_asks, *best_bids) for number in level]
    return zlib.crc32("".join(n.replace(".", "").lstrip("0") for n in numbers).encode())


def book_frame(
    bids: Side,
    asks: Side,
    checksum: object,
    kind: str = "snapshot",
    symbol: object = BTC,
) -> str:
    """Return one frame; numbers are written as they are typed."""
    sides = ",".join(
        f'"{name}":[{",".join(_level(*level) for level in side.items())}]'
        for name, side in (("bids", bids), ("asks", asks))
    )
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":{json.dumps(symbol)},{sides},'
        f'"checksum":{json.dumps(checksum)},"timestamp":"2026-11-23T02:11:31.742648Z"}}]}}'
    )


def _level(price: str, qty: str) -> str:
    return f'{{"price":{price},"qty":{qty}}}'


def snapshot(bids: Side = BIDS, asks: Side = ASKS, symbol: str = BTC) -> str:
    """Return a snapshot whose sum is right."""
    return book_frame(bids, asks, total(bids, asks), symbol=symbol)


def ack(symbol: str = BTC, req_id: int = 1, **result: Any) -> str:
    """Return Kraken's acknowledgement of a book."""
    told = {"channel": "book", "symbol": symbol, "snapshot": True, "depth": 10, **result}
    return json.dumps({"method": "subscribe", "success": True, "req_id": req_id, "result": told})


def refusal(error: str, symbol: str = BTC, req_id: int = 1) -> str:
    """Return Kraken's refusal of a book."""
    answer = {"method": "subscribe", "success": False, "error": error}
    return json.dumps({**answer, "symbol": symbol, "req_id": req_id})


def changed(side: Side, changes: Side, *, is_bid: bool, depth: int = 10) -> dict[str, str]:
    """Return a side after changes, cut to its depth: a quantity of nothing but zeros is none."""
    after = {**side, **changes}
    kept = {price: qty for price, qty in after.items() if qty.strip("0.")}
    order = sorted(kept, key=Decimal, reverse=is_bid)
    return {price: kept[price] for price in order[:depth]}


def prices(levels: Iterable[tuple[Decimal, Decimal]]) -> list[str]:
    """Return the prices of levels as text."""
    return [f"{price:f}" for price, _ in levels]
