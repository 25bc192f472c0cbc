"""What the account's stream says of an order, weighed: believed, put off, or doubted.

Pure. The stream is early and no more: an order is known again by its id and its content, and what
is missing, uncertain or of another order settles nothing. Then REST is asked, as if nobody had
said anything.

Source: Kraken, spot WebSocket v2 executions channel (read 2026-11).
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from krakenlink.numbers import plain, to_decimal
from ttslo_app.messages import Sighting, Stop, Streamed
from ttslo_app.orders.life import Life

if TYPE_CHECKING:  # for a run that follows its account
    from krakenlink.stream.executions import AccountOrder

# REST's words for the states of an order.
_STATUSES = {
    "pending_new": "pending",
    "new": "open",
    "partially_filled": "open",
    "filled": "closed",
    "canceled": "canceled",
    "expired": "expired",
}


def is_finished(order: AccountOrder) -> bool:
    """Tell whether all of an order is filled, though Kraken has not called it so yet."""
    return not order.is_final and order.volume is not None and order.executed >= order.volume


def doubt_of(life: Life, message: Streamed) -> str:
    """Return why what the stream says of the order of a life settles nothing; empty if it does."""
    order, sent = message.order, life.order
    if sent is None or life.order_id != order.order_id:
        return "it is about another order"
    if not order.is_whole:
        return "it does not tell what the order is"
    if order.cl_ord_id and _bare(order.cl_ord_id) != _bare(life.cl_ord_id):
        return "it has another client order id"
    if not message.rest_key or message.rest_key != sent.pair:
        return f"the pair is {order.symbol} instead of {sent.pair}"
    if order.side != sent.type:
        return f"the side is {order.side} instead of {sent.type}"
    if order.volume != to_decimal(sent.volume):
        return f"the volume is {order.volume} instead of {sent.volume}"
    return _doubt_of_offset(order, sent.price) or _doubt_of_state(order, life.vol_exec)


def _doubt_of_offset(order: AccountOrder, sent: str) -> str:
    """Return in what a trailing offset is another one; where it is not told, in nothing."""
    if order.offset is None or order.is_percent is None:
        return ""
    is_same = order.is_percent == sent.endswith("%")
    if is_same and order.offset == to_decimal(sent.strip("+%")):
        return ""
    return f"the offset is {order.offset} instead of {sent}"


def _doubt_of_state(order: AccountOrder, known: str) -> str:
    if order.status not in _STATUSES:
        return "it does not tell how the order stands"
    if not order.is_certain and (order.is_final or order.executed):
        return "it does not add up how much is filled"
    if order.is_final and order.executed < filled_of(known):
        return f"less is filled at its end than the {known} that were known"
    if order.status == "filled" and order.price is None:
        return "it does not tell the price of the fill"
    return ""


def sighting_of(order: AccountOrder) -> Sighting:
    """Return an order as a look at it over REST would show it."""
    return Sighting(
        txid=order.order_id,
        status=_STATUSES[order.status],
        vol_exec=f"{order.executed:.8f}",
        price=plain(order.price) if order.price is not None else "",
        reason=order.reason,
        stop=_stop_of(order),
    )


def _stop_of(order: AccountOrder) -> Stop | None:
    if order.stop is None or order.is_final:
        return None
    at = _moment(order.timestamp)
    return Stop(order.stop, order.best, order.reference or "last", order.is_triggered, at=at)


def _moment(text: str) -> str:
    """Return Kraken's moment as the files hold moments; empty for what is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return ""
    if moment.tzinfo is None:
        return ""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def filled_of(vol_exec: str) -> Decimal:
    """Return a volume that Kraken has told; 0 where it has told none."""
    try:
        return to_decimal(vol_exec)
    except ValueError:
        return Decimal(0)


def _bare(cl_ord_id: str) -> str:
    return "".join(c for c in cl_ord_id.lower() if c.isalnum())
