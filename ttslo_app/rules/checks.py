"""Rows and prices in, findings out: which rows may trade, which must not, and what is odd.

A row is read by `ttslo_rules` and nowhere else, so what passes here is what will trade. Nothing
is placed and nothing is written; what has to be known from outside is asked of the API object
that is handed in, once each. What was checked and what could not be checked are told apart.

Source: Kraken, REST AssetPairs and Balance (read 2026-11).
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from functools import partial
from typing import ClassVar

from krakenlink.numbers import plain, quantize_down, to_decimal, to_positive_decimal
from krakenlink.pairs import Pair, PairDirectory, legacy_pair
from ttslo_app.rules.rule import (
    ENABLED_WORDS,
    OPTIONAL_FIELDS,
    REQUIRED_FIELDS,
    Direction,
    Reading,
    Rule,
    ThresholdType,
    reading_of,
)

Row = Mapping[str, object]

# Below a cent zeros are easily miscounted; above a million nothing at Kraken has traded.
_SMALL_PRICE, _LARGE_PRICE = Decimal("0.01"), Decimal(1_000_000)
# Less than a minimum order of the dearest coin; more than a fortune of all but penny coins.
_SMALL_VOLUME, _LARGE_VOLUME = Decimal("0.0001"), Decimal(10_000)
# Tighter than the noise of a minute; wider than most people would want to give back.
_SMALL_OFFSET, _LARGE_OFFSET, _HUGE_OFFSET = Decimal("0.1"), Decimal(20), Decimal(50)

ORDER_COLUMNS = ("order_id", "trigger_time", "trigger_price")
# A product of two numbers as people type them has more digits than Python's 28.
_EXACT = Context(prec=100)
_WIDTH = 96


# --------------------------------------------------------------------------- the result


@dataclass
class ValidationResult:
    """What was found.

    Attributes:
        errors: Dicts with `config_id`, `field`, `message`, `type`; the row must not trade.
        warnings: The same, for rows that may.
        configs: Every row that was looked at.
        accepted: The rows without an error, armed or not, in the order of the file.
        fired: Ids of the rows that have fired, so that neither price nor funds matter to them.
        notes: What could not be checked for any row, and why.
        prices: Today's price by pair as typed, for the armed rows whose pair has one.
    """

    errors: list[dict[str, str]] = field(default_factory=list)
    warnings: list[dict[str, str]] = field(default_factory=list)
    configs: list[Row] = field(default_factory=list)
    accepted: list[Row] = field(default_factory=list)
    fired: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    prices: dict[str, Decimal] = field(default_factory=dict)
    # The ids in the first so many errors.
    _refused: set[str] = field(default_factory=set, repr=False, compare=False)
    _counted: int = field(default=0, repr=False, compare=False)

    def add_error(self, config_id: str, field: str, message: str) -> None:
        """Note that the row must not trade."""
        self.errors.append(_finding(config_id, field, message, "error"))

    def add_warning(self, config_id: str, field: str, message: str) -> None:
        """Note something that the user should look at."""
        self.warnings.append(_finding(config_id, field, message, "warning"))

    def is_valid(self) -> bool:
        """Tell whether no row was refused."""
        return not self.errors

    def has_warnings(self) -> bool:
        """Tell whether there is something to look at."""
        return bool(self.warnings)

    def has_error(self, config_id: str) -> bool:
        """Tell whether the row of that id, or that label, was refused."""
        if self._counted != len(self.errors):
            self._refused.update(error["config_id"] for error in self.errors[self._counted :])
            self._counted = len(self.errors)
        return config_id in self._refused


def _finding(config_id: str, field: str, message: str, kind: str) -> dict[str, str]:
    return {"config_id": config_id, "field": field, "message": message, "type": kind}


@dataclass(frozen=True, slots=True)
class _Checked:
    """A row on its way through the checks; `rule` is None where it is no rule."""

    result: ValidationResult
    row: Row
    label: str
    pair: str
    rule: Rule | None

    @property
    def place(self) -> str:
        """Where the row is, to be put behind what is said of it."""
        line = getattr(self.row, "line", 0)
        return f" (line {line})" if line else ""

    def refuse(self, field: str, message: str) -> None:
        self.result.add_error(self.label, field, message + self.place)

    def warn(self, field: str, message: str) -> None:
        self.result.add_warning(self.label, field, message + self.place)

    @property
    def is_refused(self) -> bool:
        return self.result.has_error(self.label)

    @property
    def has_fired(self) -> bool:
        return self.label in self.result.fired

    @property
    def waits(self) -> bool:
        """Whether it is meant to wait for its price, so that today's price matters to it."""
        return self.rule is not None and self.rule.enabled and not self.has_fired


def _text(row: Row, name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value).strip()


def has_order(row: Row) -> bool:
    """Tell whether the order columns of a row are filled: then it has fired."""
    get = row.get
    if not (get("order_id") or get("trigger_time") or get("trigger_price")):
        return False  # at once, as nearly always
    return any(_text(row, name) for name in ORDER_COLUMNS)


def _label(row: Row, number: int) -> str:
    """Return the id of a row, or where it is."""
    name = _text(row, "id")
    if name:
        return name
    line = getattr(row, "line", 0)
    return f"row at line {line}" if line else f"row {number}"


# --------------------------------------------------------------------------- asking outside


@dataclass(frozen=True, slots=True)
class _Unknown:
    """There is no such pair, and why that is sure."""

    why: str


@dataclass(frozen=True, slots=True)
class _Unchecked:
    """It could not be found out, and why."""

    why: str


def _words(text: str) -> list[str]:
    return text.split()


# With no listing at hand a name of two of these is taken for a pair. It decides nothing but that
# an offline check does not call it unknown: what trades is resolved by Kraken's own listing.
_WELL_KNOWN_BASES = _words(
    "AAVE ADA ALGO APT ARB ATOM AVAX BCH BNB BONK BTC COMP CRV DAI DOGE DOT EIGEN ENA ETC ETH EUR "
    "FET FIL FLOKI FLOW GBP GRT HBAR HYPE ICP IMX INJ JUP KAS KSM LDO LINK LTC MANA MATIC MINA "
    "MKR MNT NEAR OP ONDO PAXG PEPE POL PYTH QNT RENDER RUNE SAND SEI SHIB SNX SOL STX SUI SUSHI "
    "TAO TIA TON TRUMP TRX UNI USDC USDG USDT WIF WLD XLM XMR XRP XTZ YFI ZEC"
)
_WELL_KNOWN_QUOTES = _words("USD EUR GBP CAD AUD CHF JPY USDT USDC BTC ETH DAI")
_OLD_NAMES = {"BTC": "XBT", "DOGE": "XDG"}


def _well_known_pairs() -> PairDirectory:
    rows: dict[str, dict[str, str]] = {}
    for base in _WELL_KNOWN_BASES:
        for quote in _WELL_KNOWN_QUOTES:
            legs = _OLD_NAMES.get(base, base), _OLD_NAMES.get(quote, quote)
            if base != quote:
                about = {"base": legs[0], "quote": legs[1], "wsname": "/".join(legs)}
                rows["".join(legs)] = {"altname": "".join(legs), **about}
    return PairDirectory.from_asset_pairs(rows)


_WELL_KNOWN = _well_known_pairs()


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


def _as_price(answer: object) -> Decimal | _Unknown | _Unchecked:
    if isinstance(answer, Exception):
        said = _reason(answer)
        return _Unknown(said) if "Unknown asset pair" in said else _Unchecked(said)
    if not isinstance(answer, str | int | float | Decimal):
        return _Unchecked(_reason(answer))
    try:
        return to_positive_decimal(answer)
    except ValueError as error:
        return _Unchecked(str(error))


class _Market:
    """What the API object can tell about pairs and prices; each question is put once.

    It is duck-typed: a stand-in may have `get_current_price` alone, and a mock answers everything
    with another mock. What only the real client has is looked up on its class, where a mock has
    nothing.
    """

    def __init__(self, api: object) -> None:
        self._api = api
        self._pairs: dict[str, Pair | _Unknown | _Unchecked] = {}
        self._prices: dict[str, Decimal | _Unknown | _Unchecked] = {}

    def _method(self, name: str) -> Callable[..., object] | None:
        method = getattr(self._api, name, None) if hasattr(type(self._api), name) else None
        return method if callable(method) else None

    @property
    def has_prices(self) -> bool:
        return callable(getattr(self._api, "get_current_price", None))

    @property
    def has_listing(self) -> bool:
        return self._method("resolve_pair") is not None

    def pair(self, name: str) -> Pair | _Unknown | _Unchecked:
        """Return the pair of that name from Kraken's listing, where there is one to ask."""
        if name not in self._pairs:
            self._pairs[name] = self._find_pair(name)
        return self._pairs[name]

    def _find_pair(self, name: str) -> Pair | _Unknown | _Unchecked:
        resolve = self._method("resolve_pair")
        answer = _ask(partial(resolve, name)) if resolve else None
        if isinstance(answer, Pair):
            return answer
        if isinstance(answer, LookupError):
            return _Unknown(str(answer))
        if isinstance(answer, Exception):
            return _Unchecked(_reason(answer))
        if well_known_pair(name):
            return _Unchecked("")
        if self.has_prices:
            return _Unchecked("there is no listing to look it up in")
        return _Unknown(str(_ask(partial(_WELL_KNOWN.resolve, name))))

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

    def price(self, name: str) -> Decimal | _Unknown | _Unchecked:
        """Return the price of `name`, once it has been asked for."""
        return self._prices[name]


def well_known_pair(name: str) -> Pair | None:
    """Return what `name` means as far as that can be told without Kraken's listing, or None."""
    return legacy_pair(name) or _WELL_KNOWN.find(name)


class _Balances:
    """The funds of each asset, spot and `.F` together, asked for once."""

    def __init__(self, api: object) -> None:
        self._api = api
        self._funds: dict[str, tuple[Decimal, Decimal]] | _Unchecked | None = None

    @property
    def is_available(self) -> bool:
        """Whether there is anybody to ask: a client without keys would only be refused."""
        has_keys = bool(getattr(self._api, "api_key", True))
        return has_keys and callable(getattr(self._api, "get_balance", None))

    def of(self, asset: str) -> tuple[Decimal, Decimal] | _Unchecked:
        """Return the spot and the `.F` funds of `asset`, in units of it."""
        if self._funds is None:
            self._funds = self._read()
        if isinstance(self._funds, _Unchecked):
            return self._funds
        return self._funds.get(asset_name(asset), (Decimal(0), Decimal(0)))

    def _read(self) -> dict[str, tuple[Decimal, Decimal]] | _Unchecked:
        ask: Callable[[], object] = getattr(self._api, "get_balance")  # noqa: B009
        answer = _ask(ask)
        if isinstance(answer, Exception):
            return _Unchecked(_reason(answer))
        if not isinstance(answer, Mapping):
            return _Unchecked(f"the answer is {type(answer).__name__}, not a table of funds")
        funds: dict[str, tuple[Decimal, Decimal]] = {}
        for code, amount in answer.items():
            name, is_flexible = str(code).removesuffix(".F"), str(code).endswith(".F")
            try:
                number = to_decimal(amount)
            except ValueError as error:
                return _Unchecked(f"{code}: {error}")
            spot, flexible = funds.get(asset_name(name), (Decimal(0), Decimal(0)))
            added = (spot, flexible + number) if is_flexible else (spot + number, flexible)
            funds[asset_name(name)] = added
        return funds


# Kraken's oldest assets have four-letter ids beside their names; no later asset has.
_ASSET_NAMES = {
    f"{kind}{name}": name
    for kind, names in (
        ("X", "ETC ETH LTC MLN REP XBT XDG XLM XMR XRP ZEC"),
        ("Z", "AUD CAD EUR GBP JPY USD"),
    )
    for name in _words(names)
}


def asset_name(code: str) -> str:
    """Return one name for an asset, whichever of its codes is given: `XXBT` and `XBT` are `BTC`."""
    name = _ASSET_NAMES.get(code.upper(), code.upper())
    return {"XBT": "BTC", "XDG": "DOGE"}.get(name, name)


# --------------------------------------------------------------------------- the checks


class ConfigValidator:
    """Check rows before they may trade.

    Args:
        kraken_api: Where prices, pairs and balances are asked for; None checks the text alone.
    """

    REQUIRED_FIELDS: ClassVar[list[str]] = list(REQUIRED_FIELDS)
    OPTIONAL_FIELDS: ClassVar[list[str]] = list(OPTIONAL_FIELDS)
    VALID_THRESHOLD_TYPES: ClassVar[list[str]] = [word.value for word in ThresholdType]
    VALID_DIRECTIONS: ClassVar[list[str]] = [word.value for word in Direction]
    VALID_ENABLED_VALUES: ClassVar[list[str]] = sorted(ENABLED_WORDS)

    def __init__(self, kraken_api: object = None) -> None:
        self.kraken_api = kraken_api

    def validate_config_file(
        self,
        configs: Iterable[Row],
        *,
        armed_before: Collection[str] = (),
        fired: Collection[str] = (),
        read: Callable[[Row], Reading] = reading_of,
    ) -> ValidationResult:
        """Return what is wrong with `configs`, and which of them may trade.

        Blocks while it asks the API object for the prices of the armed rows, all pairs at once
        where it can, and for the balances where something is to be sold.

        Args:
            configs: Rows of text by column; `config.ConfigRow` also tells its line. What is no
                dict at all is an error of its own.
            armed_before: Ids of rows that were armed earlier, unchanged. Where the price has got
                to their threshold meanwhile that is no reason to refuse them: they fire.
            fired: Ids of rows that have fired, whatever the file says.
            read: How a row is read; for callers who have read the same rows before.
        """
        result = ValidationResult(fired=set(fired))
        market, balances = _Market(self.kraken_api), _Balances(self.kraken_api)
        rows = list(_read_all(result, configs, read))
        _refuse_duplicates(rows)
        for row in rows:
            _check_text(row)
            _check_pair(row, market)
        live = [row for row in rows if row.waits and not row.is_refused]
        if market.has_prices:
            _check_prices(live, market, armed_before)
        elif live:
            result.notes.append("prices: there is nobody to ask")
        _check_balances((row for row in live if not row.is_refused), market, balances)
        result.accepted = [row.row for row in rows if not row.is_refused]
        return result


def _read_all(
    result: ValidationResult, configs: Iterable[Row], read: Callable[[Row], Reading]
) -> Iterator[_Checked]:
    for number, row in enumerate(configs, 1):
        if isinstance(row, Mapping):
            result.configs.append(row)
            yield _read(result, row, number, read)
        else:
            said = f"A row must be a dict of text by column, not {type(row).__name__}"
            result.add_error(f"row {number}", "row", said)


def _read(
    result: ValidationResult, row: Row, number: int, read: Callable[[Row], Reading]
) -> _Checked:
    reading = read(row)
    if isinstance(reading, Rule):
        checked = _Checked(result, row, reading.id, reading.pair, reading)
    else:
        checked = _Checked(result, row, _label(row, number), _text(row, "pair"), None)
    if has_order(row):
        result.fired.add(checked.label)
    findings: Sequence[str] = getattr(row, "findings", ())
    for said in findings:
        checked.refuse("row", f"The row {said}")
    for problem in () if isinstance(reading, Rule) else reading:
        checked.refuse(problem.field, problem.message)
    return checked


def _refuse_duplicates(rows: Iterable[_Checked]) -> None:
    """Refuse all rows of an id that is there twice, disabled ones too.

    One of them would hide what became of the other.
    """
    named = [row for row in rows if row.rule is not None or _text(row.row, "id")]
    times = Counter(row.label for row in named)
    for row in named:
        if times[row.label] > 1:
            cure = "give each row an id of its own; disabled rows count"
            row.refuse("id", f"Duplicate id {row.label!r}, {times[row.label]} times; {cure}")


def _check_text(row: _Checked) -> None:
    """Warn of what can be meant and seldom is."""
    if row.rule is None:
        return
    for name, said in (*_odd_combination(row.rule), *_odd_sizes(row.rule)):
        row.warn(name, said)
    if row.rule.enabled and row.has_fired:
        columns = ", ".join(ORDER_COLUMNS)
        row.warn("order_id", f"The row has fired, so it is not armed; clear {columns} to arm it")


def _odd_combination(rule: Rule) -> Iterator[tuple[str, str]]:
    if (rule.threshold_type, rule.direction) == (ThresholdType.ABOVE, Direction.BUY):
        yield "direction", "above with buy buys after a rise; below with buy is the usual pair"
    if (rule.threshold_type, rule.direction) == (ThresholdType.BELOW, Direction.SELL):
        yield "direction", "below with sell sells after a fall; above with sell is the usual pair"


def _odd_sizes(rule: Rule) -> Iterator[tuple[str, str]]:
    price, volume, offset = rule.threshold, rule.volume, rule.offset_percent
    if price < _SMALL_PRICE:
        yield "threshold_price", f"Price {plain(price)} is very small; count the zeros"
    if price > _LARGE_PRICE:
        yield "threshold_price", f"Price {plain(price)} is very large; count the zeros"
    if volume < _SMALL_VOLUME:
        yield "volume", f"Volume {plain(volume)} is very small; Kraken may refuse it"
    if volume > _LARGE_VOLUME:
        yield "volume", f"Volume {plain(volume)} is very large; it is in base currency"
    name, said = "trailing_offset_percent", f"Trailing offset {plain(offset)} %"
    if offset < _SMALL_OFFSET:
        yield name, f"{said} is very small; the next tick may trigger the stop. 1 is 1 percent"
    if offset > _HUGE_OFFSET:
        yield name, f"{said} is very large; more than half of the value is given back"
    elif offset > _LARGE_OFFSET:
        yield name, f"{said} is large; is that much meant to be given back?"


def _check_pair(row: _Checked, market: _Market) -> None:
    if not row.pair:
        return
    found = market.pair(row.pair)
    if isinstance(found, _Unknown):
        row.refuse("pair", f"Unknown pair {row.pair!r}: {found.why}")
    elif isinstance(found, Pair):
        _check_listing(row, found)
    elif found.why and not (row.waits and market.has_prices and not market.has_listing):
        # Without a listing the price decides, and it is asked for where the row waits for it.
        row.warn("pair", f"Could not check pair {row.pair!r} with Kraken: {found.why}")


def _check_listing(row: _Checked, pair: Pair) -> None:
    if pair.status != "online":
        row.warn("pair", f"{row.pair} is {pair.status} at Kraken; an order may be refused")
    if row.rule is None or not row.waits:
        return
    if pair.symbol is None:
        row.warn("pair", f"{row.pair} has no stream; its price is polled, so a spike can be missed")
    _check_minimums(row, row.rule, pair)


def _check_minimums(row: _Checked, rule: Rule, pair: Pair) -> None:
    volume = rule.volume
    if pair.lot_decimals is not None:
        volume = quantize_down(rule.volume, pair.lot_decimals)
    if volume != rule.volume:
        typed = plain(rule.volume)
        said = f"Volume {typed} has more places than {row.pair} takes; cut to {plain(volume)}"
        row.warn("volume", said)
    cost = _EXACT.multiply(volume, rule.threshold)
    if not volume or (pair.ordermin is not None and volume < pair.ordermin):
        least = plain(pair.ordermin) if pair.ordermin else "one lot"
        said = f"Volume {plain(volume)} is below Kraken's minimum of {least} for {row.pair}"
        row.refuse("volume", said)
    elif pair.costmin is not None and cost < pair.costmin:
        said = f"Volume {plain(volume)} is worth {plain(cost)} at the threshold, below Kraken's"
        row.refuse(
            "volume", f"{said} minimum of {plain(pair.costmin)} for {row.pair}; raise the volume"
        )


def _check_prices(rows: Sequence[_Checked], market: _Market, armed_before: Collection[str]) -> None:
    """Ask for today's prices, and check each row against its own."""
    market.ask_prices(row.pair for row in rows)
    for row in rows:
        _check_market(row, market, is_old=row.label in armed_before)
        price = market.price(row.pair)
        if isinstance(price, Decimal):
            row.result.prices[row.pair] = price


def _check_market(row: _Checked, market: _Market, *, is_old: bool) -> None:
    assert row.rule is not None  # live rows are whole rules
    price = market.price(row.pair)
    if isinstance(price, _Unknown):
        row.refuse("pair", f"Unknown pair {row.pair!r}: {price.why}")
    elif isinstance(price, _Unchecked):
        said = f"Could not check the threshold: no price for {row.pair} ({price.why})"
        row.warn("threshold_price", said)
    else:
        _check_distance(row, row.rule, price, is_old=is_old)


def _check_distance(row: _Checked, rule: Rule, price: Decimal, *, is_old: bool) -> None:
    """Check that the threshold is neither reached nor about to be.

    Refusing a row that was armed before would take a protection away that the user counts on, so
    for such a row each reason is a warning.
    """
    is_met = rule.is_met_by(price)
    gap = abs(rule.threshold - price) / price * 100
    if not is_met and gap >= 2 * rule.offset_percent:
        return  # as nearly all are
    object_to = row.warn if is_old else row.refuse
    threshold, offset = plain(rule.threshold), plain(rule.offset_percent)
    now = f"the price of {row.pair} is {plain(price)}"
    said = f"{now}, {gap:.2f} % from the threshold {threshold}"
    if is_met:
        met = f"Threshold already met: {now}, which is at or {rule.threshold_type} {threshold}"
        cure = "it fires at once" if is_old else "set a threshold that is still to be reached"
        object_to("threshold_price", f"{met}; {cure}")
    elif gap < rule.offset_percent:
        reason = f"Insufficient gap: {said}, less than the trailing offset {offset} %"
        object_to("threshold_price", f"{reason}; widen the gap or tighten the offset")
    else:
        row.warn("threshold_price", f"Small gap: {said}, less than twice the offset {offset} %")


def _check_balances(rows: Iterable[_Checked], market: _Market, balances: _Balances) -> None:
    """Advise on the funds of each row that sells; what Balance counts as free never blocks."""
    selling = [row for row in rows if row.rule and row.rule.direction is Direction.SELL]
    for row in selling if balances.is_available else ():
        assert row.rule is not None  # those without were left out right above
        _check_balance(row, row.rule, market, balances)


def _check_balance(row: _Checked, rule: Rule, market: _Market, balances: _Balances) -> None:
    listed = market.pair(row.pair)
    pair = listed if isinstance(listed, Pair) else well_known_pair(row.pair)
    if pair is None:
        row.warn("balance", f"Could not check the balance: the asset of {row.pair} is not known")
        return
    asset = asset_name(pair.base)
    funds = balances.of(asset)
    if isinstance(funds, _Unchecked):
        row.warn("balance", f"Could not check the balance of {asset}: {funds.why}")
        return
    spot, flexible = funds
    have = f"{spot + flexible:.8f} {asset} (spot {spot:.8f}, .F {flexible:.8f})"
    want = f"{rule.volume:.8f}"
    if spot + flexible >= rule.volume:
        row.warn("balance", f"{asset} balance is sufficient: {have} for a volume of {want}")
        return
    row.warn("balance", f"{asset} balance is insufficient: {have} for a volume of {want}")
    row.warn("volume", f"Insufficient {asset}: the row sells {want}, the account has {have}")


# --------------------------------------------------------------------------- words


def format_validation_result(result: ValidationResult, verbose: bool = False) -> str:
    """Return `result` as text for a terminal.

    Args:
        result: What was found.
        verbose: Tell each row's order too, not only when it fires.
    """
    verdict = "VALIDATION PASSED" if result.is_valid() else "VALIDATION FAILED"
    counts = f"{_count(result.errors, 'error')}, {_count(result.warnings, 'warning')}"
    lines = ["=" * _WIDTH, f"{verdict}: {_count(result.configs, 'row')}, {counts}", "=" * _WIDTH]
    for title, findings in (("ERRORS", result.errors), ("WARNINGS", result.warnings)):
        if findings:
            lines += ["", title, *(line for one in findings for line in _wrapped(one))]
    if result.notes:
        lines += ["", "NOT CHECKED", *(f"  {note}" for note in result.notes)]
    if result.configs:
        lines += ["", "ROWS"]
        for number, row in enumerate(result.configs, 1):
            lines += _folded(_summary(result, row, number, verbose), 37)
    return "\n".join(lines)


def _count(things: Sequence[object], word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"


def _wrapped(finding: Mapping[str, str]) -> list[str]:
    text = f"[{finding['config_id']}] {finding['field']}: {finding['message']}"
    return _folded(text, 6)


def _folded(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent=" " * indent)


def _summary(result: ValidationResult, row: Row, number: int, verbose: bool) -> str:
    label, rule = _label(row, number), reading_of(row)
    if not isinstance(rule, Rule):
        return f"{label:<24} refused"
    start = f"{label:<24} {_standing(result, rule, label):<9} {rule.condition}"
    order = f": {rule.direction} {plain(rule.volume)}, trailing {plain(rule.offset_percent)} %"
    return f"{start}{order if verbose else ''}"


def _standing(result: ValidationResult, rule: Rule, label: str) -> str:
    if result.has_error(label):
        return "refused"
    if label in result.fired:
        return "fired"
    return "armed" if rule.enabled else "disabled"
