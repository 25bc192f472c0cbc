"""One order of the account, joined out of the sparse rows of the stream.

Pure. It must never take a number beyond all sense for a fill, let what is filled become less, or
call an order filled by sums of its own: Kraken's word for that is `filled`.

Source: Kraken, spot WebSocket v2 executions channel (read 2026-11).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from krakenlink.numbers import LARGEST, to_decimal

ENDS = frozenset({"filled", "canceled", "expired"})
_STATUSES = ENDS | {"pending_new", "new", "partially_filled"}
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_LONGEST_WORD, _LONGEST_REASON = 64, 200
_MOST_REPEATS = 2_000


@dataclass(frozen=True, slots=True)
class AccountOrder:
    """An order as far as the stream has told it; what it has not is empty or None.

    Attributes:
        order_id: Kraken's id.
        status: Kraken's word: pending_new, new, partially_filled, filled, canceled, expired.
        cl_ord_id: The client's own id.
        symbol: The pair on the stream, such as `BTC/USD`.
        side: `buy` or `sell`.
        order_type: Kraken's word; it may become `market` once a stop is triggered.
        volume: How much it is for, in base currency.
        executed: How much of that is filled.
        price: The mean price of that, in quote currency.
        reason: Why it ended, in Kraken's words.
        offset: What a trailing stop stays behind, in percent where `is_percent`.
        stop: Where its stop is now.
        best: The best price since it was entered.
        reference: Which price the stop follows: `last` or `index`.
        is_triggered: Whether that price has come back to the stop.
        is_certain: Whether all that is filled is known from Kraken's own sum, or from every part.
            Where it is not, REST has to tell.
        timestamp: The moment of the last event, in Kraken's text.
        at: When it came, on the feed's clock.
    """

    order_id: str
    status: str = ""
    cl_ord_id: str = ""
    symbol: str = ""
    side: str = ""
    order_type: str = ""
    volume: Decimal | None = None
    executed: Decimal = Decimal(0)
    price: Decimal | None = None
    reason: str = ""
    offset: Decimal | None = None
    is_percent: bool | None = None
    stop: Decimal | None = None
    best: Decimal | None = None
    reference: str = ""
    is_triggered: bool = False
    is_certain: bool = True
    timestamp: str = field(default="", compare=False)
    at: float = field(default=0.0, compare=False)

    @property
    def is_final(self) -> bool:
        """Whether nothing will happen to it any more."""
        return self.status in ENDS

    @property
    def is_whole(self) -> bool:
        """Whether it is known what the order is: pair, side and volume."""
        return bool(self.symbol and self.side and self.volume)


class Repeats:
    """Remembers the newest trades by their ids, so that none is counted twice."""

    def __init__(self) -> None:
        self._seen: dict[str, None] = {}

    def is_new(self, exec_id: object) -> bool:
        """Tell whether a trade is new, and remember it; one without an id counts as new."""
        if not isinstance(exec_id, str) or not exec_id:
            return True
        if exec_id in self._seen:
            return False
        self._seen[exec_id[:_LONGEST_WORD]] = None
        if len(self._seen) > 2 * _MOST_REPEATS:
            for old in list(self._seen)[:_MOST_REPEATS]:
                del self._seen[old]
        return True


def order_id_of(row: Mapping[str, Any]) -> str | None:
    """Return the id of the order that a row is about; None where there is none."""
    txid = row.get("order_id")
    return txid if isinstance(txid, str) and _ID.fullmatch(txid) else None


def joined(
    known: AccountOrder | None, txid: str, row: Mapping[str, Any], at: float, *, is_repeat: bool
) -> AccountOrder:
    """Return an order with what a row tells of it.

    Args:
        known: What was known of it; None for an order that was not told of before.
        txid: Its id.
        row: As it came.
        at: When it came.
        is_repeat: Whether it tells of a trade that was counted already.
    """
    before = known or AccountOrder(txid)
    status = _status_of(row, before)
    if before.is_final and status != before.status:
        return before  # overtaken: what has ended does not live again
    executed, is_sure = _executed(row, before, is_new=known is None, is_repeat=is_repeat)
    volume = _positive(row.get("order_qty")) or before.volume
    if volume is not None and executed > volume:
        executed, is_sure = before.executed, False
    is_sure = is_sure and not (status == "filled" and volume is not None and executed < volume)
    order = replace(
        before,
        status=status,
        volume=volume,
        executed=executed,
        price=_mean_price(row, executed) or before.price,
        is_certain=is_sure and not _contradicts(row, status),
        reason=_text(row, "reason", _LONGEST_REASON)
        or _text(row, "cancel_reason", _LONGEST_REASON)
        or before.reason,
        timestamp=_text(row, "timestamp") or before.timestamp,
        at=at,
        **_words(row, before),
    )
    return _with_stop(order, row)


def _words(row: Mapping[str, Any], before: AccountOrder) -> dict[str, Any]:
    names = ("cl_ord_id", "symbol", "side", "order_type")
    return {name: _text(row, name) or getattr(before, name) for name in names}


def _status_of(row: Mapping[str, Any], before: AccountOrder) -> str:
    """Return what has become of it: a trade ends no order, whatever status stands beside it."""
    kind, status = _text(row, "exec_type"), _text(row, "order_status")
    if kind in ENDS:
        return kind
    if kind == "trade" and status in ENDS:
        return "partially_filled"
    return status if status in _STATUSES else before.status


def _contradicts(row: Mapping[str, Any], status: str) -> bool:
    """Tell whether a row calls an order ended and, in the same breath, something else."""
    told = row.get("order_status")
    return status in ENDS and told is not None and told != status


def _executed(
    row: Mapping[str, Any], before: AccountOrder, *, is_new: bool, is_repeat: bool
) -> tuple[Decimal, bool]:
    """Return how much is filled, and whether that is certain."""
    total = _amount(row.get("cum_qty"))
    if total is not None:
        return max(total, before.executed), total >= before.executed
    if row.get("exec_type") != "trade":
        # An order that begins in the middle may have parts that nobody has told of.
        begins = row.get("exec_type") in ("pending_new", "new")
        return before.executed, before.is_certain and (not is_new or begins)
    part = _positive(row.get("last_qty"))
    if is_repeat:
        return before.executed, before.is_certain
    if part is None:
        return before.executed, False
    return before.executed + part, before.is_certain and not is_new


def _mean_price(row: Mapping[str, Any], executed: Decimal) -> Decimal | None:
    mean = _positive(row.get("avg_price"))
    if mean is not None:
        return mean
    cost = _positive(row.get("cum_cost"))
    return cost / executed if cost is not None and executed else None


def _with_stop(order: AccountOrder, row: Mapping[str, Any]) -> AccountOrder:
    told = row.get("triggers")
    triggers: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
    reference = triggers.get("reference")
    kind, status = triggers.get("price_type"), triggers.get("status")
    stop = _positive(triggers.get("actual_price")) or _positive(row.get("stop_price"))
    return replace(
        order,
        stop=stop or order.stop,
        best=_positive(triggers.get("peak_price")) or order.best,
        offset=_positive(triggers.get("price")) or order.offset,
        is_percent=kind == "pct" if kind in ("pct", "quote") else order.is_percent,
        reference=str(reference) if reference in ("last", "index") else order.reference,
        is_triggered=order.is_triggered or status == "triggered",
    )


def _text(row: Mapping[str, Any], name: str, most: int = _LONGEST_WORD) -> str:
    value = row.get(name)
    return value[:most] if isinstance(value, str) else ""


def _amount(value: object) -> Decimal | None:
    """Return a number, 0 or more, with the digits on the wire; None for what cannot be one."""
    try:
        number = to_decimal(value)
    except ValueError:
        return None
    return number if 0 <= number <= LARGEST else None


def _positive(value: object) -> Decimal | None:
    return _amount(value) or None
