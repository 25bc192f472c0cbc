"""What the API object can tell of pairs, prices and funds; each question is put once.

Callers hand in anything from the real client to a mock, so an answer is believed only where it is
what it should be. What cannot be found out is told apart from what is known not to exist. Nothing
is placed and nothing is written; the object that is asked may block. What the account holds is only
advice: what is free changes until a row fires, and Kraken's `validate` does not look at it. It
never says more than there is: every digit is Kraken's own, and a sum is cut, not rounded.

Source: Kraken, REST AssetPairs and Balance (read 2026-11).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import TypeVar

from krakenlink.errors import PriceUnavailable
from krakenlink.known_names import asset_name
from krakenlink.numbers import EXACT, plain, to_decimal, to_positive_decimal
from krakenlink.pairs import Pair, well_known_directory, well_known_pair
from ttslo_app.rules.checked import CheckedRow, Purse, Remark
from ttslo_app.rules.findings import INSUFFICIENT
from ttslo_app.rules.rule import Direction, Rule
from ttslo_app.rules.worst import volume_about

E = TypeVar("E", bound=Exception)


@dataclass(frozen=True, slots=True)
class Unknown:
    """There is no such pair, and why that is sure."""

    why: str


@dataclass(frozen=True, slots=True)
class Unchecked:
    """It could not be found out, and why.

    Attributes:
        why: The reason.
        is_answered: Whether Kraken has answered, and had no price; else nobody knows.
    """

    why: str
    is_answered: bool = False


def _ask(question: Callable[[], object]) -> object:
    """Return the answer, or the exception: one that fails must not stop the other rows.

    Stand-ins of all kinds are handed in here, and they raise whatever they like.
    """
    try:
        return question()
    except Exception as error:  # noqa: BLE001 - told to the user as what could not be checked
        return untraced(error)


def untraced(error: E) -> E:
    """Return an error that holds on to nobody: without where it was raised, and what led to it.

    A trace has the frames of all who have called, with their rows. Kept in one of them it makes a
    circle, and among 100,000 rows nobody looks for circles: none of the rows would ever go.
    """
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _reason(answer: object) -> str:
    if isinstance(answer, Exception):
        return str(answer) or type(answer).__name__
    return f"the answer is {type(answer).__name__}, not a number"


def _as_price(answer: object) -> Decimal | Unknown | Unchecked:
    if isinstance(answer, Exception):
        said = _reason(answer)
        if "Unknown asset pair" in said:
            return Unknown(said)
        if isinstance(answer, PriceUnavailable):
            return Unchecked(answer.reason, is_answered=answer.age is None)
        return Unchecked(said)
    if not isinstance(answer, str | int | float | Decimal):
        return Unchecked(_reason(answer))
    try:
        return to_positive_decimal(answer)
    except ValueError as error:
        return Unchecked(str(error))


class MarketFacts:
    """What the API object can tell about pairs and prices; each question is put once.

    It is duck-typed: a stand-in may have `get_current_price` alone, and a mock answers everything
    with another mock. What only the real client has is looked up on its class, where a mock has
    nothing.

    Args:
        api: The object that is asked; None knows nothing.
        known: What the listing has said earlier, by names: it is kept up here, and what is said
            again is the same object.
    """

    def __init__(self, api: object, known: dict[str, Pair] | None = None) -> None:
        self._api = api
        self._known = {} if known is None else known
        self._pairs: dict[str, Pair | Unknown | Unchecked] = {}
        self._prices: dict[str, Decimal | Unknown | Unchecked] = {}
        self._spreads: dict[str, Decimal] = {}

    def _method(self, name: str) -> Callable[..., object] | None:
        method = getattr(self._api, name, None) if hasattr(type(self._api), name) else None
        return method if callable(method) else None

    @property
    def has_prices(self) -> bool:
        """Whether there is anybody to ask for a price."""
        return callable(getattr(self._api, "get_current_price", None))

    @property
    def has_listing(self) -> bool:
        """Whether there is a listing to look pairs up in."""
        return self._method("resolve_pair") is not None

    def pair(self, name: str) -> Pair | Unknown | Unchecked:
        """Return the pair of that name from Kraken's listing, where there is one to ask."""
        if name not in self._pairs:
            self._pairs[name] = self._find_pair(name)
        return self._pairs[name]

    def listed(self, name: str) -> Pair | None:
        """Return the pair of that name where Kraken's listing has told of it."""
        found = self.pair(name)
        return found if isinstance(found, Pair) else None

    def listing_of(self, names: Iterable[str]) -> dict[str, Pair]:
        """Return the pairs of `names` of which Kraken's listing has told."""
        found = ((name, self.listed(name)) for name in dict.fromkeys(names))
        return {name: pair for name, pair in found if pair is not None}

    def _find_pair(self, name: str) -> Pair | Unknown | Unchecked:
        resolve = self._method("resolve_pair")
        answer = _ask(partial(resolve, name)) if resolve else None
        if isinstance(answer, Pair):
            known = self._known.get(name)
            self._known[name] = known if known == answer else answer
            return self._known[name]
        if isinstance(answer, LookupError):
            return Unknown(str(answer))
        if isinstance(answer, Exception):
            return Unchecked(_reason(answer))
        if well_known_pair(name):
            return Unchecked("")
        if self.has_prices:
            return Unchecked("there is no listing to look it up in")
        return Unknown(str(_ask(partial(well_known_directory().resolve, name))))

    def ask_prices(self, names: Iterable[str]) -> None:
        """Find out the prices of all `names`, with one call where the client knows how."""
        wanted = list(dict.fromkeys(names))
        batch = self._method("get_tickers")
        answer = _ask(partial(batch, wanted)) if batch and wanted else None
        for name in wanted:
            if isinstance(answer, Mapping):
                quote = answer.get(name)
                found = _as_price(getattr(quote, "price", quote))
                self._note_spread(name, quote)
            elif isinstance(answer, Exception):
                found = _as_price(answer)
            else:
                found = _as_price(_ask(partial(self._one_price, name)))
            self._prices[name] = found

    def _note_spread(self, name: str, quote: object) -> None:
        bid, ask = getattr(quote, "bid", None), getattr(quote, "ask", None)
        if isinstance(bid, Decimal) and isinstance(ask, Decimal) and ask > bid:
            self._spreads[name] = ask - bid

    def spread(self, name: str) -> Decimal | None:
        """Return how far apart bid and ask of `name` are, in quote currency, where it was told."""
        return self._spreads.get(name)

    def _one_price(self, name: str) -> object:
        ask: Callable[[str], object] = getattr(self._api, "get_current_price")  # noqa: B009
        return ask(name)

    def price(self, name: str) -> Decimal | Unknown | Unchecked:
        """Return the price of `name`, once it has been asked for."""
        return self._prices[name]


class Funds:
    """The funds of each asset, spot and `.F` together, asked for once.

    Args:
        api: The object that is asked; duck-typed, as for `MarketFacts`.
    """

    def __init__(self, api: object) -> None:
        self._api = api
        self._funds: dict[str, tuple[Decimal, Decimal]] | Unchecked | None = None

    @property
    def is_available(self) -> bool:
        """Whether there is anybody to ask: a client without keys would only be refused."""
        has_keys = bool(getattr(self._api, "api_key", True))
        return has_keys and callable(getattr(self._api, "get_balance", None))

    def of(self, asset: str) -> tuple[Decimal, Decimal] | Unchecked:
        """Return the spot and the `.F` funds of `asset`, in units of it."""
        if self._funds is None:
            self._funds = self._read()
        if isinstance(self._funds, Unchecked):
            return self._funds
        return self._funds.get(asset_name(asset), (Decimal(0), Decimal(0)))

    def _read(self) -> dict[str, tuple[Decimal, Decimal]] | Unchecked:
        ask: Callable[[], object] = getattr(self._api, "get_balance")  # noqa: B009
        answer = _ask(ask)
        if isinstance(answer, Exception):
            return Unchecked(_reason(answer))
        if not isinstance(answer, Mapping):
            return Unchecked(f"the answer is {type(answer).__name__}, not a table of funds")
        funds: dict[str, tuple[Decimal, Decimal]] = {}
        for code, amount in answer.items():
            name, is_flexible = str(code).removesuffix(".F"), str(code).endswith(".F")
            try:
                number = to_decimal(amount)
            except ValueError as error:
                return Unchecked(f"{code}: {error}")
            spot, flexible = funds.get(asset_name(name), (Decimal(0), Decimal(0)))
            add = EXACT.add
            added = (spot, add(flexible, number)) if is_flexible else (add(spot, number), flexible)
            funds[asset_name(name)] = added
        return funds


UNCHECKED_FUNDS = "Could not check the balance"


# Sums and products of numbers as people type them have more digits than Python's 28.
_LEAST_PLACES = 8


def check_balances(
    rows: Iterable[CheckedRow], funds: Funds, purses: dict[str, Purse] | None = None
) -> None:
    """Advise on the funds of all armed rows, summed by asset; nothing here refuses a row.

    Blocks for one look at the balances where there are rows and somebody to ask.

    Args:
        rows: The armed rows, each with its pair of the listing.
        funds: What the account holds.
        purses: What was found of each asset the last time: it is kept up here, and a row whose
            purse is as it was has its advice as it was.
    """
    if not funds.is_available:
        return
    known = {} if purses is None else purses
    takers = [row for row in rows if _has_need(row)]
    found: dict[str, Purse] = {}
    for asset, (total, count) in _totals(takers).items():
        purse, before = purse_of(asset, funds.of(asset), total, count), known.get(asset)
        found[asset] = known[asset] = before if before == purse else purse
    for row in takers:
        assert row.rule is not None  # live rows are whole rules
        assert row.need is not None  # as it was chosen for that
        asset, needed = row.need
        if row.purse is not found[asset]:
            row.purse, row.advice = found[asset], tuple(_advice(row.rule, needed, found[asset]))
        row.say(row.advice)


def _has_need(row: CheckedRow) -> bool:
    """Find out what a row takes from the account, where that is not known; tell whether it does."""
    assert row.rule is not None  # live rows are whole rules
    pair = row.listed or well_known_pair(row.pair)
    if pair is None:
        row.warn("balance", f"{UNCHECKED_FUNDS}: the asset of {row.market} is not known")
        return False
    if row.need_by is not pair:
        row.need, row.need_by = need_of(row.rule, pair), pair
    return row.need is not None


def _totals(rows: Iterable[CheckedRow]) -> dict[str, tuple[Decimal, int]]:
    """Return what can be taken of each asset together, and by how many rows.

    Of the rows of a group one fires: the dearest counts.
    """
    totals: dict[str, tuple[Decimal, int]] = {}
    dearest: dict[tuple[str, str], Decimal] = {}

    def add(asset: str, needed: Decimal) -> None:
        total, count = totals.get(asset, (Decimal(0), 0))
        totals[asset] = EXACT.add(total, needed), count + 1

    for row in rows:
        asset, needed = row.need or ("", Decimal(0))
        group = row.rule.group if row.rule else ""
        if group:
            dearest[asset, group] = max(needed, dearest.get((asset, group), needed))
        else:
            add(asset, needed)
    for (asset, _), needed in dearest.items():
        add(asset, needed)
    return totals


def need_of(rule: Rule, pair: Pair) -> tuple[str, Decimal] | None:
    """Return what `rule` takes from the account when its stop fills: the asset, and how much.

    None where it takes what is free then, which is always enough.
    """
    share = rule.terms.share
    if share is not None and share.quote is None:
        return None
    if rule.direction is Direction.SELL:
        return asset_name(pair.base), volume_about(rule)
    cost = EXACT.multiply(volume_about(rule), rule.threshold)
    return asset_name(pair.quote), share.quote if share and share.quote else cost


def purse_of(
    asset: str, found: tuple[Decimal, Decimal] | Unchecked, total: Decimal, count: int
) -> Purse:
    """Return what there is of an asset, as `Funds.of` tells it, and what is taken together."""
    together = f", {amount(total)} with all {count} armed rows" if count > 1 else ""
    if isinstance(found, Unchecked):
        return Purse(asset, None, total, count, found.why, together)
    owned = EXACT.add(*found)
    spot, flexible = map(amount, found)
    have = f"{amount(owned)} {asset} (spot {spot}, .F {flexible})"
    return Purse(asset, owned, total, count, have, together)


def _advice(rule: Rule, needed: Decimal, purse: Purse) -> Iterator[Remark]:
    asset, owned, total, count, have, together = purse
    if owned is None:
        yield Remark("balance", f"{UNCHECKED_FUNDS} of {asset}: {have}")
        return
    is_enough, verb = owned >= total, "pays"
    if rule.direction is Direction.SELL:
        word, verb = "sufficient" if is_enough else "insufficient", "sells"
        want = f"a volume of {amount(needed)}{together}"
        yield Remark("balance", f"{asset} balance is {word}: {have} for {want}")
    if is_enough:
        return
    said = f"the row {verb} {amount(needed)}"
    if owned >= needed:  # the same sentence for all of them, so that it can be said once
        said = f"{count} armed rows take {amount(total)} together"
    yield Remark("volume", f"{INSUFFICIENT} {asset}: {said}, the account has {have}")


def amount(number: Decimal) -> str:
    """Return a sum of money with all its digits, and with eight places at least."""
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)  # finite numbers only: `to_decimal` lets no other pass
    return f"{number:.{_LEAST_PLACES}f}" if -exponent < _LEAST_PLACES else plain(number)
