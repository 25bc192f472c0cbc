"""Whether the account holds what the armed rows would sell or pay, taken together.

Only advice: what is free changes until a row fires, and Kraken's `validate` does not look at it.
Never says more than there is: every digit is Kraken's own, and a sum is cut, not rounded. A
balance that could not be asked for is neither sufficient nor insufficient.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import ROUND_DOWN, Context, Decimal

from krakenlink.known_names import asset_name
from krakenlink.numbers import plain
from krakenlink.pairs import well_known_pair
from ttslo_app.rules.facts import Funds, MarketFacts, Unchecked
from ttslo_app.rules.findings import CheckedRow
from ttslo_app.rules.rule import Direction, Rule

INSUFFICIENT = "Insufficient"
UNCHECKED_FUNDS = "Could not check the balance"

# Sums and products of numbers as people type them have more digits than Python's 28.
_EXACT = Context(prec=200, rounding=ROUND_DOWN)
_LEAST_PLACES = 8


@dataclass(frozen=True, slots=True)
class _Need:
    """What one row takes from the account when its stop fills, in units of `asset`."""

    row: CheckedRow
    rule: Rule
    asset: str
    amount: Decimal

    @property
    def verb(self) -> str:
        """What the row does with the asset."""
        return "sells" if self.rule.direction is Direction.SELL else "pays"


def check_balances(rows: Iterable[CheckedRow], market: MarketFacts, funds: Funds) -> None:
    """Advise on the funds of all armed rows, summed by asset; nothing here refuses a row.

    Blocks for one look at the balances where there are rows and somebody to ask.
    """
    if not funds.is_available:
        return
    needs = [need for row in rows for need in _needs(row, market)]
    total: dict[str, Decimal] = {}
    count: dict[str, int] = {}
    for need in needs:
        total[need.asset] = _EXACT.add(total.get(need.asset, Decimal(0)), need.amount)
        count[need.asset] = count.get(need.asset, 0) + 1
    for need in needs:
        _advise(need, funds, total[need.asset], count[need.asset])


def _needs(row: CheckedRow, market: MarketFacts) -> Iterator[_Need]:
    assert row.rule is not None  # live rows are whole rules
    pair = market.listed(row.pair) or well_known_pair(row.pair)
    if pair is None:
        row.warn("balance", f"{UNCHECKED_FUNDS}: the asset of {row.pair} is not known")
    elif row.rule.direction is Direction.SELL:
        yield _Need(row, row.rule, asset_name(pair.base), row.rule.volume)
    else:
        cost = _EXACT.multiply(row.rule.volume, row.rule.threshold)
        yield _Need(row, row.rule, asset_name(pair.quote), cost)


def _advise(need: _Need, funds: Funds, total: Decimal, count: int) -> None:
    asset, warn = need.asset, need.row.warn
    found = funds.of(asset)
    if isinstance(found, Unchecked):
        warn("balance", f"{UNCHECKED_FUNDS} of {asset}: {found.why}")
        return
    spot, flexible = found
    owned = _EXACT.add(spot, flexible)
    have = f"{amount(owned)} {asset} (spot {amount(spot)}, .F {amount(flexible)})"
    want = f"a volume of {amount(need.amount)}"
    if count > 1:
        want += f", {amount(total)} with all {count} armed rows"
    is_enough = owned >= total
    if need.rule.direction is Direction.SELL:
        word = "sufficient" if is_enough else "insufficient"
        warn("balance", f"{asset} balance is {word}: {have} for {want}")
    if is_enough:
        return
    said = f"the row {need.verb} {amount(need.amount)}"
    if owned >= need.amount:  # the same sentence for all of them, so that it can be said once
        said = f"{count} armed rows take {amount(total)} together"
    warn("volume", f"{INSUFFICIENT} {asset}: {said}, the account has {have}")


def amount(number: Decimal) -> str:
    """Return a sum of money with all its digits, and with eight places at least."""
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)  # finite numbers only: `to_decimal` lets no other pass
    return f"{number:.{_LEAST_PLACES}f}" if -exponent < _LEAST_PLACES else plain(number)
