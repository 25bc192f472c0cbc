"""The volume of a row that says how it is worked out, from what is free at the crossing.

Pure. It is worked out once for each arming; the number goes into the intent and stays. What must
never happen here: a volume above what was free, or one that is a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_DOWN, Context, Decimal

from krakenlink.foreign import shown
from krakenlink.known_names import asset_name
from krakenlink.numbers import plain, quantize_down, to_decimal
from ttslo_app.messages import Market
from ttslo_app.rules.rule import Direction, Rule
from ttslo_app.rules.terms import Share

# Sums and products of numbers as people type them have more digits than Python's 28; what does not
# end is cut, so that it never comes to more than there is.
_DOWN = Context(prec=60, rounding=ROUND_DOWN)
_LOT_DECIMALS = 8


class NotEnough(ValueError):
    """What is free does not come to an order; that may change. Nothing was sent."""


def free_of(answer: object, asset: str) -> Decimal:
    """Return what a new order may use of an asset, by an answer of BalanceEx.

    Spot funds and `.F` count together, as Kraken counts them; what open orders hold back does not.

    Args:
        answer: The `result`: `balance` and `hold_trade` by Kraken's asset id.
        asset: Any of its names.

    Raises:
        ValueError: If the answer is none.
    """
    if not isinstance(answer, Mapping):
        raise ValueError(f"the answer is {type(answer).__name__}, not a table of funds")
    free = Decimal(0)
    for code, row in answer.items():
        if asset_name(str(code).removesuffix(".F")) != asset_name(asset):
            continue
        if not isinstance(row, Mapping):
            raise ValueError(f"the funds of {shown(str(code), 20)} cannot be read")
        held = [to_decimal(row.get(name) or "0") for name in ("hold_trade", "credit_used")]
        lent = to_decimal(row.get("credit") or "0")
        # What is lent covers what is used of it, and is never sold as if it were owned.
        debt = max(_DOWN.subtract(held[1], lent), Decimal(0))
        own = _DOWN.subtract(_DOWN.subtract(to_decimal(row.get("balance")), held[0]), debt)
        free = _DOWN.add(free, own)
    return max(free, Decimal(0))


def asset_of(rule: Rule, market: Market) -> str:
    """Return Kraken's id of the asset that the order of a row gives away."""
    return market.base if rule.direction is Direction.SELL else market.quote


def volume_at(rule: Rule, market: Market, price: Decimal, free: Decimal) -> Decimal:
    """Return the volume of a row whose threshold was crossed at `price`, in base currency.

    Args:
        rule: A row whose terms have a share of what is free, or a sum of quote currency.
        market: Its pair.
        price: What crossed, in quote currency.
        free: What is free of the asset that the order gives away.

    Raises:
        NotEnough: If it comes to nothing, or to less than Kraken's minimum.
    """
    share = rule.terms.share
    assert share is not None  # else the row says a number
    most = free if rule.direction is Direction.SELL else _bought_by(free, rule, price)
    if share.quote is not None:
        wanted = min(_DOWN.divide(share.quote, price), most)
    elif share.percent is not None:
        wanted = _DOWN.divide(_DOWN.multiply(most, share.percent), Decimal(100))
    else:
        raise NotEnough("nothing is known of what the row before it has filled")
    places = _LOT_DECIMALS if market.lot_decimals is None else market.lot_decimals
    volume = quantize_down(wanted, places)
    _check_enough(share, market, volume, free, asset_name(asset_of(rule, market)))
    return volume


def _bought_by(free: Decimal, rule: Rule, price: Decimal) -> Decimal:
    """Return what `free` pays for at the worst price that the stop begins with."""
    trigger = _DOWN.add(price, rule.distance_at(price))
    beyond = rule.terms.limit.below(trigger) if rule.terms.limit is not None else Decimal(0)
    return _DOWN.divide(free, _DOWN.add(trigger, beyond))


def _check_enough(share: Share, market: Market, volume: Decimal, free: Decimal, asset: str) -> None:
    said = f"{share.text} of {plain(free)} free {asset} comes to {plain(volume)}"
    if not volume:
        raise NotEnough(f"{said}; deposit {asset}, or free what open orders hold")
    if market.ordermin is not None and volume < market.ordermin:
        least = plain(market.ordermin)
        raise NotEnough(f"{said}, under Kraken's minimum of {least}; deposit {asset}")
