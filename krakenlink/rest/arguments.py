"""What a caller hands in, checked once, and what Kraken is sent for it.

Pure. Whatever cannot be meant is an `ArgumentError` that names the argument: certainly nothing was
sent. Past these functions nothing is checked again.

Source: Kraken, REST AddOrder and pages on tokenized assets (read 2026-11).
"""

from __future__ import annotations

from decimal import Decimal

from krakenlink.errors import ArgumentError
from krakenlink.foreign import shown
from krakenlink.numbers import plain, quantize_down, to_positive_decimal
from krakenlink.pairs import TOKENIZED, Pair, looks_tokenized


def checked_pair(pair: object) -> str:
    """Return the name of a pair without blanks around it.

    Raises:
        ArgumentError: If it is empty or no text.
    """
    if not isinstance(pair, str) or not pair.strip():
        said = "pair parameter is required, and pair must be a string such as 'BTC/USD'"
        raise ArgumentError(f"{said}: {_named(pair)}")
    return pair.strip()


def checked_direction(direction: object) -> str:
    """Return `buy` or `sell`.

    Raises:
        ArgumentError: If it is neither, in any case.
    """
    word = direction.strip().lower() if isinstance(direction, str) else direction
    if word not in ("buy", "sell"):
        raise ArgumentError(f"direction must be 'buy' or 'sell': {_named(direction)}")
    return str(word)


def checked_order_type(order_type: object) -> str:
    """Return Kraken's `ordertype` without blanks around it.

    Raises:
        ArgumentError: If it is empty or no text.
    """
    if not isinstance(order_type, str) or not order_type.strip():
        raise ArgumentError(f"order_type must be a string such as 'market': {_named(order_type)}")
    return order_type.strip()


def checked_number(name: str, value: object) -> Decimal:
    """Return the exact value of the argument `name`.

    Raises:
        ArgumentError: If it is no number, not finite, or not positive.
    """
    try:
        return to_positive_decimal(value)
    except ValueError as error:
        raise ArgumentError(f"{name} must be positive, and a number: {error}") from None


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


def named(name: str, known: Pair | None, class_key: str = "asset_class") -> dict[str, object]:
    """Return the parameters that name a pair in a REST call. No call names one in another way.

    An xStock needs its class beside its name, or Kraken takes it for a currency it does not have.

    Args:
        name: The pair as the caller spelled it.
        known: What is known of it, None for nothing.
        class_key: What the call calls the class; AssetPairs has a word of its own.
    """
    is_tokenized = known.is_tokenized if known is not None else looks_tokenized(name)
    pair = {"pair": known.rest_key if known is not None else name}
    return {**pair, class_key: TOKENIZED} if is_tokenized else {**pair}


def _named(value: object) -> str:
    """Return what was handed in, for a message and not without an end."""
    return shown(repr(value) if not isinstance(value, str) else repr(value[:60]), 80)
