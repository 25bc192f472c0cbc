"""What REST shows of pairs, orders and trades, and the streams of a market and of an account.

Pure: text and JSON's values, in Kraken's keys and digits, from what the engine knows. Another
channel of prices is another row of `CHANNELS`. Rows of the account's stream are sparse, as Kraken's
are: only the first of an order holds all that it is, and a trade does not tell the sum.

Sources: Kraken, REST AssetPairs, Assets, Ticker, OHLC, Trades, OpenOrders; WebSocket v2 ticker,
trade and executions channels (read 2026-11). How often the move of a trailing stop is told is not
written there; here each one is, as a `status`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from fake_kraken.market import Listing, Trade, modern
from fake_kraken.orders import KINDS, Change, Order

# Four letters that begin with X or Z, and yet no prefix.
_MODERN_IN_LEGACY_DRESS = frozenset({"XAUT", "ZETA"})


def shown(order: Order, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an order as OpenOrders and ClosedOrders show it; `row` is its pair's."""
    places = max(int(row["pair_decimals"]), 5)
    price = _shown_price(order)
    words = KINDS[order.kind].words.format(price)
    answer: dict[str, Any] = {
        "refid": None,
        "userref": order.userref,
        "status": order.status,
        "opentm": order.opened_at,
        "starttm": 0,
        "expiretm": 0,
        "descr": {
            "pair": row["altname"],
            "aclass": "forex",
            "type": order.side,
            "ordertype": order.kind,
            "price": price,
            "price2": order.limit_text or "0",
            "leverage": "none",
            "order": f"{order.side} {order.volume:.8f} {row['altname']} @ " + words,
            "close": "",
        },
        "vol": f"{order.volume:.8f}",
        "vol_exec": f"{order.executed:.8f}",
        "cost": f"{order.cost:.5f}",
        "fee": f"{order.fee:.5f}",
        "price": f"{order.fill_price:.{places}f}",
        "stopprice": f"{order.stop:.{places}f}",
        # Not a limit: Kraken shows here the best price since the order was entered.
        "limitprice": f"{order.anchor if order.is_trailing else 0:.{places}f}",
        "misc": order.misc,
        "oflags": order.fee_flag,
        "trigger": order.trigger,
    }
    if order.cl_ord_id:
        answer["cl_ord_id"] = order.cl_ord_id
    if order.closed_at is not None:
        answer |= {"closetm": order.closed_at, "reason": order.reason or None}
    return answer


def _shown_price(order: Order) -> str:
    if not order.is_trailing:
        return order.price_text if order.kind == "limit" else "0"
    # Kraken shows percents with four decimals, and more where more were accepted.
    exponent = order.offset.as_tuple().exponent
    places = max(4, -exponent) if isinstance(exponent, int) else 4
    return f"+{order.offset:.{places}f}%" if order.is_percent else f"+{order.offset:f}"


def ticker_row(listing: Listing) -> dict[str, Any]:
    """Return a market as REST Ticker shows it."""
    bid, ask = (price_text(quote, listing) for quote in listing.quotes)
    last = price_text(listing.price, listing)
    qty = f"{listing.trades[-1].qty if listing.trades else 0:.8f}"
    return {
        "a": [ask, "1", "1.000"],
        "b": [bid, "1", "1.000"],
        "c": [last, qty],
        # Today's and the last 24 hours': the exchange is younger than either.
        "v": [f"{listing.volume:.8f}"] * 2,
        "p": [last] * 2,
        "t": [listing.trade_id] * 2,
        "l": [price_text(listing.low, listing)] * 2,
        "h": [price_text(listing.high, listing)] * 2,
        "o": price_text(listing.opening, listing),
    }


def candles(listing: Listing, minutes: int) -> list[list[Any]]:
    """Return the trades as OHLC rows: time, open, high, low, close, vwap, volume, count."""
    width = minutes * 60
    bins: dict[int, list[Trade]] = {}
    for trade in listing.trades:
        bins.setdefault(trade.at_ns // 10**9 // width * width, []).append(trade)
    return [_candle(start, trades, listing) for start, trades in bins.items()]


def _candle(start: int, trades: Sequence[Trade], listing: Listing) -> list[Any]:
    prices = [trade.price for trade in trades]
    volume = sum((trade.qty for trade in trades), Decimal(0))
    cost = sum((trade.price * trade.qty for trade in trades), Decimal(0))
    mean = cost / volume if volume else prices[-1]
    ohlc = (prices[0], max(prices), min(prices), prices[-1], mean)
    return [start, *(price_text(price, listing) for price in ohlc), f"{volume:.8f}", len(trades)]


def trade_row(trade: Trade, listing: Listing) -> list[Any]:
    """Return a trade as REST Trades shows it: price, volume, time, side, kind, misc, number."""
    price, qty = price_text(trade.price, listing), f"{trade.qty:.8f}"
    return [price, qty, trade.at_ns / 1e9, trade.side[0], "m", "", trade.trade_id]


def price_text(price: Decimal, listing: Listing) -> str:
    """Return a price with the digits of its pair."""
    return f"{price:.{listing.places}f}"


def modern_row(listing: Listing) -> dict[str, Any]:
    """Return a market's row of AssetPairs with the modern names of its assets."""
    names = {side: modern_asset(str(listing.row[side])) for side in ("base", "quote")}
    return {**listing.row, **names}


def modern_asset(name: str) -> str:
    """Return the modern name of an asset: `XXBT` is `BTC`, `ZUSD` is `USD`."""
    return modern(altname(name))


def altname(name: str) -> str:
    """Return an asset's name without its prefix: `XXBT` is `XBT`, and `XAUT` is itself."""
    is_legacy = len(name) == 4 and name[0] in "XZ" and name not in _MODERN_IN_LEGACY_DRESS
    return name[1:] if is_legacy else name


def asset_row(name: str, aclass: str) -> dict[str, Any]:
    """Return an asset as REST Assets shows it."""
    is_cash = name.startswith("Z") and name != altname(name)
    return {
        "aclass": aclass,
        "altname": altname(name),
        "decimals": 4 if is_cash else 10,
        "display_decimals": 2 if is_cash else 5,
        "status": "enabled",
    }


def amount_text(amount: Decimal) -> str:
    """Return an amount as the balance calls show it."""
    return f"{amount:.10f}"


def moment_text(at: float) -> str:
    """Return seconds since 1970 as the stream writes a moment."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


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


# --- the account's stream ----------------------------------------------------------------------

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
        "fee_ccy_pref": order.fee_flag,
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
