"""What stands in for Kraken: a caller's object, or nobody.

A stand-in has the face of the real exchange and cannot be asked for an order again. What none of
them must ever do: send an order twice; or, in a dry run, call anybody at all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from krakenlink.errors import KrakenError
from krakenlink.numbers import to_decimal
from krakenlink.rest.answers import Outcome, outcome_of
from krakenlink.rest.verdicts import OutcomeKind
from ttslo_app.messages import Market, Sighting
from ttslo_app.orders.ports import OrderSent
from ttslo_app.orders.request import OrderRequest
from ttslo_app.orders.words import DRY_RUN_ORDER_ID

_log = logging.getLogger(__name__)


class _Unasked:
    """What cannot be asked for an order.

    Args:
        markets: Returns what is known of a pair.
        wall_clock: Seconds since 1970 by this machine.
    """

    can_find = False
    key_mark = ""

    def __init__(self, markets: Callable[[str], Market], wall_clock: Callable[[], float]) -> None:
        self._markets = markets
        self._wall_clock = wall_clock

    def now(self) -> float:
        """Return this machine's clock; there is no other to ask."""
        return self._wall_clock()

    def market_of(self, pair: str) -> Market:
        """Return what is known of `pair`.

        Raises:
            LookupError: If Kraken has no such pair.
        """
        return self._markets(pair)

    def free_of(self, asset: str) -> Decimal | None:
        """Refuse: nobody can be asked.

        Raises:
            ValueError: Always.
        """
        raise ValueError("the volume is worked out from what is free, and nobody can be asked")

    def prepare(self, order: OrderRequest) -> None:
        """Leave it all to the crossing."""

    def place_batch(self, orders: Sequence[OrderSent], deadline: str) -> None:
        """Leave it to single orders, which is all that is known here."""

    def check(self, order: OrderRequest) -> Outcome:
        """Say that nobody can be asked."""
        return Outcome(OutcomeKind.UNKNOWN, reason=f"there is nobody to ask about {order}")

    def find(self, cl_ord_id: str, order: OrderRequest) -> Sighting | None:
        """Refuse: nobody can be asked.

        Raises:
            KrakenError: Always.
        """
        raise KrakenError(f"there is nobody to ask for {cl_ord_id}")


class StandInExchange(_Unasked):
    """An object that has `add_trailing_stop_loss` and perhaps nothing else."""

    def __init__(self, api: Any, wall_clock: Callable[[], float]) -> None:  # duck-typed by contract
        # Nothing more is known of a pair than how it was typed.
        super().__init__(lambda pair: Market(pair, pair), wall_clock)
        self._api = api

    def place(self, order: OrderRequest, cl_ord_id: str, deadline: str) -> Outcome:
        """Call `add_trailing_stop_loss` once, with the four keywords that every stand-in takes."""
        if not is_usual(order):
            said = f"this client takes trailing stops in percent alone, not {order}"
            return Outcome(OutcomeKind.REFUSED, reason=said)
        answer = answer_of(self._api.add_trailing_stop_loss, order)
        return outcome_of(answer)


class DryRunExchange(_Unasked):
    """Takes every order and places none; of a pair it says what the real exchange would."""

    def free_of(self, asset: str) -> Decimal | None:
        """Return None: no key is used here."""
        return None

    def place(self, order: OrderRequest, cl_ord_id: str, deadline: str) -> Outcome:
        """Say that the order would have been placed."""
        _log.info("Dry run: %s would be placed", order)
        return Outcome(OutcomeKind.PLACED, txid=DRY_RUN_ORDER_ID)


def answer_of(method: Callable[..., object], order: OrderRequest, **more: object) -> object:
    """Call anybody's `add_trailing_stop_loss` once; return its answer, or what it raised."""
    try:
        return method(
            pair=order.pair,
            direction=order.type,
            volume=order.volume,
            trailing_offset_percent=offset_of(order),
            **more,
        )
    except Exception as error:  # noqa: BLE001 - whatever it was, the order's fate is classified
        return error


def is_usual(order: OrderRequest) -> bool:
    """Tell whether an order is a trailing stop in percent, which is all that stand-ins know."""
    return order.ordertype == "trailing-stop" and order.price.endswith("%") and not order.more


def offset_of(order: OrderRequest) -> Decimal:
    """Return the percent of an order's `+5.0%`, with its digits."""
    return to_decimal(order.price.strip("+%"))
