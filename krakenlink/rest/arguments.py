"""What a caller hands in, checked once, and what Kraken is sent for it.

Pure. Whatever cannot be meant is an `ArgumentError` that names the argument: certainly nothing was
sent. Past these functions nothing is checked again.

Source: Kraken, REST AddOrder and pages on tokenized assets (read 2026-11).
"""

from __future__ import annotations

from decimal import Decimal

from krakenlink.errors import ArgumentError
from krakenlink.numbers import plain, quantize_down, to_positive_decimal
from krakenlink.pairs import TOKENIZED, Pair


def checked_pair(pair: object) -> str:
    """Return the name of a pair without blanks around it.

    Raises:
        ArgumentError: If it is empty or no text.
    """
    if not isinstance(pair, str) or not pair.strip():
        raise ArgumentError(f"pair parameter must be text such as 'BTC/USD': {pair!r}")
    return pair.strip()


def checked_direction(direction: object) -> str:
    """Return `buy` or `sell`.

    Raises:
        ArgumentError: If it is neither, in any case.
    """
    word = direction.strip().lower() if isinstance(direction, str) else direction
    if word not in ("buy", "sell"):
        raise ArgumentError(f"direction parameter must be 'buy' or 'sell': {direction!r}")
    return str(word)


def checked_order_type(order_type: object) -> str:
    """Return Kraken's `ordertype` without blanks around it.

    Raises:
        ArgumentError: If it is empty or no text.
    """
    if not isinstance(order_type, str) or not order_type.strip():
        raise ArgumentError(f"order_type parameter must be text such as 'market': {order_type!r}")
    return order_type.strip()


def checked_number(name: str, value: object) -> Decimal:
    """Return the exact value of the argument `name`.

    Raises:
        ArgumentError: If it is no number, not finite, or not positive.
    """
    try:
        return to_positive_decimal(value)
    except ValueError as error:
        raise ArgumentError(f"{name} parameter must be a positive number: {error}") from None


def checked_txid(txid: object) -> str:
    """Return an order id without blanks around it.

    Raises:
        ArgumentError: If it is empty or no text.
    """
    if not isinstance(txid, str) or not txid.strip():
        raise ArgumentError("txid parameter is required")
    return txid.strip()


def volume_text(volume: object, name: str, known: Pair | None) -> str:
    """Return Kraken's text for a volume, cut to the decimals of its pair where they are known.

    Args:
        volume: In base currency.
        name: Its pair as the caller spelled it.
        known: What is known of the pair, None for nothing.

    Raises:
        ArgumentError: If it is no positive number, or none is left of it.
    """
    number = checked_number("volume", volume)
    if known is not None and known.lot_decimals is not None:
        number = quantize_down(number, known.lot_decimals)
        if number <= 0:
            raise ArgumentError(
                f"volume {volume} is zero in the {known.lot_decimals} decimals of {name}"
            )
    return plain(number)


def rest_name(pair: Pair) -> dict[str, object]:
    """Return the parameters that name `pair` in a REST call."""
    if pair.is_tokenized:
        return {"pair": pair.rest_key, "asset_class": TOKENIZED}
    return {"pair": pair.rest_key}
