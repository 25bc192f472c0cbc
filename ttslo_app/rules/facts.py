"""What the API object can tell of pairs, prices and funds; each question is put once.

Callers hand in anything from the real client to a mock, so an answer is believed only where it is
what it should be. What cannot be found out is told apart from what is known not to exist. Nothing
is placed and nothing is written; the object that is asked may block.

Source: Kraken, REST AssetPairs and Balance (read 2026-11).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, Context, Decimal
from functools import partial

from krakenlink.known_names import asset_name
from krakenlink.numbers import to_decimal, to_positive_decimal
from krakenlink.pairs import Pair, well_known_directory, well_known_pair

# Never more than there is: a sum with more digits than anybody types is cut.
_EXACT = Context(prec=200, rounding=ROUND_DOWN)


@dataclass(frozen=True, slots=True)
class Unknown:
    """There is no such pair, and why that is sure."""

    why: str


@dataclass(frozen=True, slots=True)
class Unchecked:
    """It could not be found out, and why."""

    why: str


def _ask(question: Callable[[], object]) -> object:
    """Return the answer, or the exception: one that fails must not stop the other rows.

    Stand-ins of all kinds are handed in here, and they raise whatever they like.
    """
    try:
        return question()
    except Exception as error:  # noqa: BLE001 - told to the user as what could not be checked
        return error


def _reason(answer: object) -> str:
    if isinstance(answer, Exception):
        return str(answer) or type(answer).__name__
    return f"the answer is {type(answer).__name__}, not a number"


def _as_price(answer: object) -> Decimal | Unknown | Unchecked:
    if isinstance(answer, Exception):
        said = _reason(answer)
        return Unknown(said) if "Unknown asset pair" in said else Unchecked(said)
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
    """

    def __init__(self, api: object) -> None:
        self._api = api
        self._pairs: dict[str, Pair | Unknown | Unchecked] = {}
        self._prices: dict[str, Decimal | Unknown | Unchecked] = {}

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

    def _find_pair(self, name: str) -> Pair | Unknown | Unchecked:
        resolve = self._method("resolve_pair")
        answer = _ask(partial(resolve, name)) if resolve else None
        if isinstance(answer, Pair):
            return answer
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
            elif isinstance(answer, Exception):
                found = _as_price(answer)
            else:
                found = _as_price(_ask(partial(self._one_price, name)))
            self._prices[name] = found

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
            add = _EXACT.add
            added = (spot, add(flexible, number)) if is_flexible else (add(spot, number), flexible)
            funds[asset_name(name)] = added
        return funds
