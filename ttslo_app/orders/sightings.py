"""Orders as Kraken's answers show them, and what an answer proves of one of them.

Pure. Absence is concluded from a well-formed answer to this very question alone. What must never
happen here: that an answer which cannot be read, or which answers something else, counts as "no
such order", or that an order passes for another because the two look alike.

Source: Kraken, REST OpenOrders, ClosedOrders and QueryOrders (read 2026-11); whether rows repeat
`cl_ord_id` is not written anywhere, so both are understood.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from krakenlink.errors import ProtocolError
from krakenlink.numbers import to_decimal
from ttslo_app.messages import Sighting
from ttslo_app.orders.request import OrderRequest


def rows_of(orders: object) -> dict[str, Mapping[str, Any]]:
    """Return the orders of a `{txid: order}` answer, rows that are no orders left out."""
    if not isinstance(orders, Mapping):
        return {}
    return {str(txid): row for txid, row in orders.items() if isinstance(row, Mapping)}


def sightings_of(orders: object) -> list[Sighting]:
    """Return the orders of a `{txid: order}` answer as they are seen here."""
    return [_sighting(txid, row) for txid, row in rows_of(orders).items()]


def _sighting(txid: str, row: Mapping[str, Any]) -> Sighting:
    return Sighting(
        txid=txid,
        status=str(row.get("status", "")),
        vol_exec=str(row.get("vol_exec") or ""),
        price=str(row.get("price") or ""),
        reason=str(row.get("reason") or row.get("misc") or ""),
    )


def order_in(
    answer: object,
    book: str,
    cl_ord_id: str,
    order: OrderRequest,
    is_pair: Callable[[str], bool],
) -> Sighting | None:
    """Return the order of `cl_ord_id` in one book's answer; None if it is certainly not in it.

    Args:
        answer: The result of a call that asked for this id alone.
        book: `open` or `closed`, the key under which the orders stand.
        cl_ord_id: The id that was asked for.
        order: What was sent under it.
        is_pair: Tells whether a name that Kraken shows is that of the order's pair.

    Raises:
        ProtocolError: If the answer is none to this question, so that nothing follows from it.
    """
    rows = answer.get(book) if isinstance(answer, Mapping) else None
    if not isinstance(rows, Mapping):
        raise ProtocolError(f"the answer has no list of {book} orders")
    nameless: list[Sighting] = []
    foreign = 0
    for txid, row in rows.items():
        if not isinstance(row, Mapping) or not isinstance(row.get("descr"), Mapping):
            raise ProtocolError(f"the list of {book} orders has a row that is no order")
        differs = difference(row, order, is_pair)
        name = row.get("cl_ord_id")
        if name and _bare(name) == _bare(cl_ord_id):
            return replace(_sighting(str(txid), row), differs=differs)
        if name or differs:
            foreign += 1
        else:
            nameless.append(_sighting(str(txid), row))
    if foreign or len(nameless) > 1:
        raise ProtocolError(f"the list of {book} orders is not that of the one order asked for")
    return nameless[0] if nameless else None


def _bare(cl_ord_id: object) -> str:
    """Return an id without what its spellings differ in: case, dashes, braces."""
    return "".join(c for c in str(cl_ord_id).lower() if c.isalnum())


def difference(row: Mapping[str, Any], order: OrderRequest, is_pair: Callable[[str], bool]) -> str:
    """Return in what an order that Kraken shows is another than `order`; empty if in nothing."""
    descr = row.get("descr")
    shown: Mapping[str, Any] = descr if isinstance(descr, Mapping) else {}
    found = [
        f"{name} {theirs or 'unknown'} instead of {ours}"
        for name, theirs, ours, is_same in (
            ("side", shown.get("type"), order.type, shown.get("type") == order.type),
            (
                "order type",
                shown.get("ordertype"),
                order.ordertype,
                shown.get("ordertype") == order.ordertype,
            ),
            ("volume", row.get("vol"), order.volume, _is_equal(row.get("vol"), order.volume)),
            ("offset", shown.get("price"), order.price, _is_equal(shown.get("price"), order.price)),
            ("pair", shown.get("pair"), order.pair, is_pair(str(shown.get("pair") or ""))),
        )
        if not is_same
    ]
    return ", ".join(found)


def _is_equal(theirs: object, ours: str) -> bool:
    """Tell whether two texts are the same number in the same unit, such as `+5.0%`."""
    text = str(theirs or "").strip()
    if text.endswith("%") != ours.endswith("%"):
        return False
    try:
        return to_decimal(text.strip("+%")) == to_decimal(ours.strip("+%"))
    except ValueError:
        return False
