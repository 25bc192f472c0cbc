"""Rows against today's prices: which thresholds are met, about to be, or may be slips of the hand.

Pure but for the object that is asked. Most rows are far from all that could be said of them, which
is seen without exact numbers; whatever is not is looked at in those.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from decimal import Decimal

from krakenlink.numbers import plain, readable
from ttslo_app.rules.checked import UNKNOWN, CheckedRow, calm_of
from ttslo_app.rules.facts import MarketFacts, Unchecked, Unknown
from ttslo_app.rules.findings import ValidationResult
from ttslo_app.rules.rule import Rule, reading_of

# How a finding begins that a person must see in any run.
FAR = "Far threshold:"

# A threshold so many times the price, or such a part of it, is often a slip of the hand.
_FAR = 2

# An offset of fewer spreads than this is eaten by them.
_SPREADS = 10

# Of a pair without a price: no row is calm there.
_NO_QUOTE = (0.0, 0.0)


def check_prices(
    result: ValidationResult,
    rows: Sequence[CheckedRow],
    market: MarketFacts,
    armed_before: Collection[str],
) -> None:
    """Ask for today's prices, and check each row against its own."""
    if not market.has_prices:
        result.notes += ["prices: there is nobody to ask"] if rows else []
        return
    names = list(dict.fromkeys(row.pair for row in rows))
    market.ask_prices(names)
    prices = ((name, market.price(name)) for name in names)
    result.prices.update((name, price) for name, price in prices if isinstance(price, Decimal))
    quotes = {
        name: (float(price), float(market.spread(name) or 0))
        for name, price in result.prices.items()
    }
    for row in rows:
        price, spread = quotes.get(row.pair, _NO_QUOTE)
        low, high, most = row.calm
        if not (low < price < high and spread < most) and not _is_calm(row, price, spread):
            _check_market(row, market, armed_before)


def _is_calm(row: CheckedRow, price: float, spread: float) -> bool:
    """Tell whether today's price is far from all that could be said of a row."""
    if row.calm is UNKNOWN and row.rule is not None:
        row.calm = calm_of(row.rule)
    low, high, most = row.calm
    return low < price < high and spread < most


def is_to_follow(row: CheckedRow, armed_before: Collection[str]) -> bool:
    """Tell whether a row waits for the order of another one, so that today says nothing of it."""
    return row.rule is not None and bool(row.rule.after) and row.label not in armed_before


def _check_market(row: CheckedRow, market: MarketFacts, armed_before: Collection[str]) -> None:
    assert row.rule is not None  # live rows are whole rules
    if is_to_follow(row, armed_before):
        return
    price, is_old = market.price(row.pair), row.label in armed_before
    if isinstance(price, Unknown):
        row.refuse("pair", f"Unknown pair {row.pair!r}: {price.why}")
    elif isinstance(price, Unchecked) and price.is_answered and not is_old:
        said = f"This row cannot fire: {row.market} has no price at Kraken ({price.why})"
        cure = "see there whether the pair is traded; it is asked for until there is one"
        row.refuse("pair", f"{said}; {cure}")
        row.result.unpriced.add(row.label)
    elif isinstance(price, Unchecked):
        said = f"Could not check the threshold: no price ({price.why})"
        row.warn("threshold_price", f"{said}; it is asked for until there is one")
        if not is_old:
            row.result.unpriced.add(row.label)
    else:
        _check_distance(row, row.rule, price, is_old=is_old)
        _check_spread(row, row.rule, price, market.spread(row.pair))


def _check_spread(row: CheckedRow, rule: Rule, price: Decimal, spread: Decimal | None) -> None:
    """Warn of an offset that bid and ask alone may use up."""
    away = rule.distance_at(price)
    if spread is None or spread <= away / _SPREADS:
        return
    said = f"bid and ask of {row.market} are {plain(spread)} apart, more than a tenth of the offset"
    row.warn(rule.offset_field, f"Wide spread: {said} {rule.offset_text}; widen the offset")


def _check_magnitude(row: CheckedRow, rule: Rule, price: Decimal) -> None:
    """Warn of a threshold that may be of another pair, or have its point in the wrong place."""
    is_above = rule.threshold > price
    times = rule.threshold / price if is_above else price / rule.threshold
    if times < _FAR:
        return
    factor = f"{times:.1f}".removesuffix(".0") if times < 10 else f"{times:.0f}"
    than = f"{factor} times the price" if is_above else f"the price divided by {factor}"
    said = f"{FAR} {plain(rule.threshold)} is {than} of {row.market}, {readable(price)}"
    row.warn("threshold_price", f"{said}; count the digits, a point is the decimal mark")


def takes_price(rule: Rule, price: Decimal) -> bool:
    """Tell whether a new rule may be armed at a price: its threshold is not met, nor too near."""
    gap = abs(rule.threshold - price) / price * 100
    return not rule.is_met_by(price) and gap >= rule.offset_at(price)


def _check_distance(row: CheckedRow, rule: Rule, price: Decimal, *, is_old: bool) -> None:
    """Check that the threshold is neither reached nor about to be.

    Refusing a row that was armed before would take a protection away that the user counts on, so
    for such a row each reason is a warning.
    """
    is_met = rule.is_met_by(price)
    if not is_met:
        _check_magnitude(row, rule, price)
    gap = abs(rule.threshold - price) / price * 100
    offset_now = rule.offset_at(price)
    if not is_met and gap >= 2 * offset_now:
        return  # as nearly all are
    object_to = row.warn if is_old else row.refuse
    if not is_old and not takes_price(rule, price):
        row.result.off_price[rule.id] = rule
    threshold, offset = plain(rule.threshold), rule.offset_text
    now = f"the price of {row.market} is {readable(price)}"
    said = f"{now}, {gap:.2f} % from the threshold {threshold}"
    if is_met:
        met = f"Threshold already met: {now}, which is at or {rule.threshold_type} {threshold}"
        cure = "it fires at once" if is_old else "set a threshold that is still to be reached"
        object_to("threshold_price", f"{met}; {cure}")
    elif gap < offset_now:
        reason = f"Insufficient gap: {said}, less than the trailing offset {offset}"
        object_to("threshold_price", f"{reason}; widen the gap or tighten the offset")
    else:
        row.warn("threshold_price", f"Small gap: {said}, less than twice the offset {offset}")


def complete_prices(result: ValidationResult, kraken_api: object) -> None:
    """Add today's prices of the rows that need none to be checked, for whoever looks at them.

    Blocks for one call where the API object knows how. What has no price is left out.
    """
    rules = (rule for rule in map(reading_of, result.configs) if isinstance(rule, Rule))
    names = [rule.pair for rule in rules if rule.pair not in result.prices]
    market = MarketFacts(kraken_api)
    if not names or not market.has_prices:
        return
    market.ask_prices(names)
    for name in names:
        price = market.price(name)
        if isinstance(price, Decimal):
            result.prices[name] = price
