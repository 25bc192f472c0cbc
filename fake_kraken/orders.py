"""Orders: what AddOrder asks for, and when the price of its market fills it.

Pure. An order knows neither its owner's funds nor its market's other orders. Another order type
is another row of `KINDS`.

Source: Kraken, REST AddOrder, trailing stop orders (read 2026-11).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext

from fake_kraken.market import Listing
from fake_kraken.params import (
    Params,
    Refusal,
    client_id,
    number_of,
    one_of,
    places_of,
    userref,
)

# The assets whose index price is known.
_INDEXED = ("XXBT", "XETH")


@dataclass(slots=True, eq=False)
class Order:
    """An order, from before it is entered until long after it is closed.

    Attributes:
        kind: One of `KINDS`.
        limit: What a limit order asks for, and a stop that has become one; 0 for others.
        anchor: The best price since it was entered, for those that trail.
        offset: What a trailing stop stays away from it, in percent or in quote currency.
        hold: What it keeps back while it is open: an asset, and how much for each unit.
        opened_at: Seconds since 1970, as is `closed_at`.
        owner: The name of the account that it was entered for.
        is_triggered: Whether the price has come back to its stop.
        limit_text: How far the limit of a stop lies from its trigger, as it was sent.
        fee_flag: `fcib` or `fciq`: in which currency its fee is taken.
        fee: What was taken, in quote currency, whichever of the two paid it.
    """

    txid: str
    pair: str
    side: str
    kind: str
    volume: Decimal
    price_text: str
    opened_at: float
    cl_ord_id: str | None = None
    userref: int = 0
    status: str = "open"
    trigger: str = "last"
    limit: Decimal = Decimal(0)
    offset: Decimal = Decimal(0)
    is_percent: bool = False
    anchor: Decimal = Decimal(0)
    stop: Decimal = Decimal(0)
    hold: tuple[str, Decimal] = ("", Decimal(0))
    executed: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    closed_at: float | None = None
    reason: str = ""
    misc: str = ""
    owner: str = ""
    is_triggered: bool = False
    limit_text: str = ""
    fee_flag: str = ""
    fee: Decimal = Decimal(0)

    @property
    def fill_price(self) -> Decimal:
        """The average price of what was executed; 0 before."""
        return self.cost / self.executed if self.executed else Decimal(0)

    @property
    def left(self) -> Decimal:
        """The volume that is not executed yet."""
        return self.volume - self.executed

    @property
    def is_trailing(self) -> bool:
        """Whether it is a stop that follows the price."""
        return self.kind in ("trailing-stop", "trailing-stop-limit")

    def reference(self, listing: Listing) -> Decimal:
        """Return the price that its stop follows."""
        return listing.index_price if self.trigger == "index" else listing.price


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happens to an order: `kind` is the stream's word for it.

    Attributes:
        order: The order, as it is at this moment and not later.
        part: How much of it a trade has filled, at `price`; 0 for other changes.
        exec_id: Tells one trade from another.
    """

    kind: str
    order: Order
    part: Decimal = Decimal(0)
    price: Decimal = Decimal(0)
    exec_id: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """What an order type means.

    Attributes:
        words: How `descr.order` ends, around the price that is shown.
        read: Reads what the order says of prices; raises a `Refusal` for what makes no sense.
        met: Follows the last price; returns the price to fill at once it is met, else None.
        misc: The flag of an order that was filled so.
    """

    words: str
    read: Callable[[Order, Listing], None]
    met: Callable[[Order, Listing], Decimal | None]
    misc: str = ""


def _read_nothing(order: Order, listing: Listing) -> None:
    """Take an order whose price says nothing."""


def _read_limit(order: Order, listing: Listing) -> None:
    order.limit = number_of(order.price_text, "price")
    if places_of(order.limit) > listing.places:
        raise Refusal("EOrder:Tick size check failed")


def _read_offset(order: Order, listing: Listing) -> None:
    order.offset, order.is_percent = offset_of(order.price_text)
    reach = Decimal(100) if order.is_percent else order.anchor
    if order.side == "sell" and order.offset >= reach:
        raise Refusal("EGeneral:Invalid arguments:price")  # it leaves no positive stop
    order.stop = stop_price(order, listing.tick)


def _read_offset_and_limit(order: Order, listing: Listing) -> None:
    _read_offset(order, listing)
    text = order.limit_text
    if not text.startswith(("+", "-")):
        raise Refusal("EGeneral:Invalid arguments:price2")
    number = text[1:].removesuffix("%")
    if number.strip("0.") or not number.strip("."):  # `+0` is a limit at the trigger itself
        number_of(number, "price2")


def _at_once(order: Order, listing: Listing) -> Decimal | None:
    return listing.price


def _at_its_limit(order: Order, listing: Listing) -> Decimal | None:
    is_met = listing.price <= order.limit if order.side == "buy" else listing.price >= order.limit
    return order.limit if is_met else None


def _at_its_stop(order: Order, listing: Listing) -> Decimal | None:
    price = order.reference(listing)
    best = max if order.side == "sell" else min
    if best(price, order.anchor) != order.anchor:
        order.anchor = price
        order.stop = stop_price(order, listing.tick)
    return listing.price if is_beyond(order, order.stop, price) else None


def _at_its_stop_then_limit(order: Order, listing: Listing) -> Decimal | None:
    if not order.is_triggered:
        if _at_its_stop(order, listing) is None:
            return None
        order.is_triggered = True
        order.limit = limit_price(order, listing.tick)
    # Whoever takes it gets the better of the limit and the market.
    is_met = listing.price <= order.limit if order.side == "buy" else listing.price >= order.limit
    return listing.price if is_met else None


KINDS: dict[str, Kind] = {
    "market": Kind("market", _read_nothing, _at_once),
    "limit": Kind("limit {}", _read_limit, _at_its_limit),
    "trailing-stop": Kind("trailing stop {}", _read_offset, _at_its_stop, misc="stopped"),
    "trailing-stop-limit": Kind(
        "trailing stop {} -> limit",
        _read_offset_and_limit,
        _at_its_stop_then_limit,
        misc="stopped",
    ),
}


def read_order(params: Params, listing: Listing, at: float) -> Order:
    """Return the order that AddOrder's parameters ask for, not entered yet.

    Args:
        params: As they were sent.
        listing: The market that they name.
        at: Kraken's clock, in seconds since 1970.

    Raises:
        Refusal: With Kraken's error strings.
    """
    order = Order(
        txid="",
        pair=listing.key,
        side=one_of(params, "type", ("buy", "sell")),
        kind=one_of(params, "ordertype", KINDS),
        volume=number_of(params.get("volume"), "volume"),
        price_text=params.get("price", ""),
        opened_at=at,
        cl_ord_id=client_id(params),
        userref=userref(params),
        trigger=params.get("trigger") or "last",
        limit_text=params.get("price2", ""),
    )
    if order.trigger == "index" and listing.row["base"] not in _INDEXED:
        raise Refusal("EGeneral:Invalid arguments:Index unavailable")
    if order.trigger not in ("last", "index"):
        raise Refusal("EGeneral:Invalid arguments:trigger")
    order.anchor = order.reference(listing)
    flags = [flag for flag in params.get("oflags", "").split(",") if flag]
    if not set(flags) <= {"fcib", "fciq"} or len(flags) > 1:
        raise Refusal("EGeneral:Invalid arguments:oflags")
    order.fee_flag = flags[0] if flags else "fcib" if order.side == "sell" else "fciq"
    KINDS[order.kind].read(order, listing)
    return order


def stop_price(order: Order, tick: Decimal) -> Decimal:
    """Return where a trailing stop stands now, rounded to the tick towards the market.

    However small its offset is, it stays a tick away: it must not be met by the price it is
    measured from.
    """
    with localcontext(prec=60):
        distance = order.anchor * order.offset / 100 if order.is_percent else order.offset
        exact = order.anchor - distance if order.side == "sell" else order.anchor + distance
        rounding = ROUND_CEILING if order.side == "sell" else ROUND_FLOOR
        stop = exact.quantize(tick, rounding=rounding)
        if order.side == "sell":
            return max(min(stop, order.anchor - tick), tick)
        return max(stop, order.anchor + tick)


def limit_price(order: Order, tick: Decimal) -> Decimal:
    """Return the limit of a stop that has just been triggered, a tick above zero at least."""
    number = Decimal(order.limit_text[1:].removesuffix("%"))
    with localcontext(prec=60):
        away = order.stop * number / 100 if order.limit_text.endswith("%") else number
        limit = order.stop + (away if order.limit_text[0] == "+" else -away)
        return max(limit.quantize(tick, rounding=ROUND_FLOOR), tick)


def is_beyond(order: Order, stop: Decimal, price: Decimal) -> bool:
    """Tell whether `price` has come back to `stop`."""
    return price <= stop if order.side == "sell" else price >= stop


def offset_of(text: str) -> tuple[Decimal, bool]:
    """Return a trailing offset and whether it is in percent: `+5%`, `+500`.

    Raises:
        Refusal: Without its `+`, or if it is no positive number.
    """
    if not text.startswith("+"):
        raise Refusal("EOrder:Invalid price:Invalid price argument.")
    return number_of(text[1:].removesuffix("%"), "price"), text.endswith("%")


def txid_of(number: int) -> str:
    """Return an order id of Kraken's shape, the same for the same number."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    mixed = number * 6364136223846793005 + 1442695040888963407
    letters = "".join(alphabet[(mixed >> (5 * i)) % 32] for i in range(12))
    # The number itself stands in it, so that no two orders can share an id.
    own = "".join(alphabet[(number >> (5 * i)) % 32] for i in range(4))
    return f"O{letters[:5]}-{letters[5:10]}-{letters[10:12]}{own}"
