"""What the account's stream tells of an order: one row an event, in Kraken's keys.

Pure. Rows are sparse, as Kraken's are: only the first of an order holds all that it is, and a trade
does not tell how much is filled in all.

Source: Kraken, WebSocket v2 executions channel (read 2026-11). How often the move of a trailing
stop is told is not written there; here each one is, as a `status`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fake_kraken.market import Listing, modern
from fake_kraken.orders import Change, Order
from fake_kraken.shapes import altname, moment_text

# What is told to whoever does not want to hear of every change: `order_status` is false.
OPENINGS_AND_ENDS = frozenset({"new", "filled", "canceled", "expired"})


@dataclass(frozen=True, slots=True)
class Row:
    """An event of one order as the stream tells it, and whose it is."""

    owner: str
    kind: str
    cells: dict[str, Any]


def row_of(change: Change, listing: Listing, now: float) -> Row:
    """Return what is told of a change at this moment; `listing` is the order's market."""
    order = change.order
    cells: dict[str, Any] = {
        "order_id": order.txid,
        "exec_type": change.kind,
        "order_status": _status_of(order, change.kind),
        "order_userref": order.userref,
        "timestamp": moment_text(now),
    }
    if change.kind == "pending_new":
        cells |= _whole(order, listing)
    elif change.kind == "trade":
        cells |= _trade(change, listing)
    elif change.kind == "status":
        cells["triggers"] = _triggers(order)
    elif change.kind in ("filled", "canceled", "expired"):
        cells |= {**_totals(order), "fee_usd_equiv": 0.0}
        if order.reason:
            cells |= {"cancel_reason": order.reason, "reason": order.reason}
    return Row(order.owner, change.kind, cells)


def snapshot_row(order: Order, listing: Listing) -> dict[str, Any]:
    """Return an open order as a snapshot shows it: with all that is known of it."""
    return {
        "order_id": order.txid,
        "exec_type": "new",
        "order_status": _status_of(order, "new"),
        "order_userref": order.userref,
        "timestamp": moment_text(order.opened_at),
        **_whole(order, listing),
    }


def _status_of(order: Order, kind: str) -> str:
    if kind in ("pending_new", "filled", "canceled", "expired"):
        return kind
    # A trade that fills the last of an order says so no more than any other.
    return "partially_filled" if order.executed or kind == "trade" else "new"


def _whole(order: Order, listing: Listing) -> dict[str, Any]:
    cells: dict[str, Any] = {
        "symbol": _symbol_of(listing),
        "side": order.side,
        "order_type": order.kind,
        "order_qty": float(order.volume),
        "time_in_force": "GTC",
        "fee_usd_equiv": 0.0,
        "fee_ccy_pref": "fcib" if order.side == "sell" else "fciq",
        **_totals(order),
    }
    if order.cl_ord_id:
        cells["cl_ord_id"] = order.cl_ord_id
    if order.limit:
        cells |= {"limit_price": float(order.limit), "limit_price_type": "static"}
    if order.is_trailing:
        cells |= {"triggers": _triggers(order), "stop_price": float(order.stop)}
    return cells


def _totals(order: Order) -> dict[str, Any]:
    totals = {"cum_qty": order.executed, "cum_cost": order.cost, "avg_price": order.fill_price}
    return {name: float(value) for name, value in totals.items()}


def _triggers(order: Order) -> dict[str, Any]:
    return {
        "reference": order.trigger,
        "price": float(order.offset),
        "price_type": "pct" if order.is_percent else "quote",
        "actual_price": float(order.stop),
        "peak_price": float(order.anchor),
        "status": "triggered" if order.is_triggered else "untriggered",
    }


def _trade(change: Change, listing: Listing) -> dict[str, Any]:
    order = change.order
    return {
        "exec_id": change.exec_id,
        "trade_id": listing.trade_id,
        "symbol": _symbol_of(listing),
        "side": order.side,
        "order_type": "market" if order.is_trailing else order.kind,
        "last_qty": float(change.part),
        "last_price": float(change.price),
        "cost": float(change.part * change.price),
        "liquidity_ind": "t",
        "fees": [{"asset": modern(altname(str(listing.row["quote"]))), "qty": 0.0}],
        "fee_usd_equiv": 0.0,
    }


def _symbol_of(listing: Listing) -> str:
    return listing.symbol or str(listing.row["altname"])
