"""Rows and prices in, findings out: which rows may trade, which must not, and what is odd.

A row is read by `rules.rule` and nowhere else, so what passes here is what will trade. Nothing is
placed and nothing is written; what has to be known from outside is asked by `rules.facts`, once
each. What was checked and what could not be checked are told apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Context, Decimal
from typing import ClassVar

from krakenlink.known_names import asset_name
from krakenlink.numbers import plain, quantize_down, readable
from krakenlink.pairs import Pair
from ttslo_app.rules.facts import (
    Funds,
    MarketFacts,
    Unchecked,
    Unknown,
    check_balances,
)
from ttslo_app.rules.findings import (
    ORDER_COLUMNS,
    Accepted,
    CheckedRow,
    Row,
    ValidationResult,
    has_order,
    label_of,
    text_of,
)
from ttslo_app.rules.kin_checks import check_kin
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
from ttslo_app.rules.terms import Share
from ttslo_app.rules.worst import volume_about

# How a finding begins that a person must see in any run.
FAR = "Far threshold:"

# Below a cent zeros are easily miscounted; above a million nothing at Kraken has traded.
_SMALL_PRICE, _LARGE_PRICE = Decimal("0.01"), Decimal(1_000_000)
# Less than a minimum order of the dearest coin; more than a fortune of all but penny coins.
_SMALL_VOLUME, _LARGE_VOLUME = Decimal("0.0001"), Decimal(10_000)
# Tighter than the noise of a minute; wider than most people would want to give back.
_SMALL_OFFSET, _LARGE_OFFSET, _HUGE_OFFSET = Decimal("0.1"), Decimal(20), Decimal(50)

# A threshold so many times the price, or such a part of it, is often a slip of the hand.
_FAR = 2

# An offset of fewer spreads than this is eaten by them.
_SPREADS = 10

# A spreadsheet's error begins so; what the row as a whole was refused for is not said of its cell.
_FORMULA = "#"

# A product of two numbers as people type them has more digits than Python's 28.
_EXACT = Context(prec=100)


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
        now: datetime | None = None,
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
            now: The present moment, to tell rows that have expired; None where nobody says.
            read: How a row is read; for callers who have read the same rows before.
        """
        result = ValidationResult(fired=set(fired))
        market, balances = MarketFacts(self.kraken_api), Funds(self.kraken_api)
        rows = list(_read_all(result, configs, read))
        _check_rows(rows, market, armed_before)
        for row in rows:
            _check_expiry(row, now, is_old=row.label in armed_before)
        live = [row for row in rows if row.waits and not row.is_refused]
        _check_prices(result, live, market, armed_before)
        # What waits for an order to be filled may have its funds from there.
        paying = [row for row in live if not (row.is_refused or _is_to_follow(row, armed_before))]
        check_balances(paying, market, balances)
        result.accepted = [
            Accepted(row.row, row.rule, market.listed(row.pair), row.has_order)
            for row in rows
            if row.rule is not None and not row.is_refused
        ]
        return result


def _read_all(
    result: ValidationResult, configs: Iterable[Row], read: Callable[[Row], Reading]
) -> Iterator[CheckedRow]:
    for number, row in enumerate(configs, 1):
        if isinstance(row, Mapping):
            result.configs.append(row)
            yield _read(result, row, number, read)
        else:
            said = f"A row must be a dict of text by column, not {type(row).__name__}"
            result.add_error(f"row {number}", "row", said)


def _read(
    result: ValidationResult, row: Row, number: int, read: Callable[[Row], Reading]
) -> CheckedRow:
    reading, fired = read(row), has_order(row)
    if isinstance(reading, Rule):
        checked = CheckedRow(result, row, reading.id, reading.pair, reading, fired)
    else:
        label = label_of(row, number)
        checked = CheckedRow(result, row, label, text_of(row, "pair"), None, fired)
    if fired:
        result.fired.add(checked.label)
    findings: Sequence[str] = getattr(row, "findings", ())
    for said in findings:
        checked.refuse("row", f"The row {said}")
    for problem in () if isinstance(reading, Rule) else reading:
        if not (findings and problem.value.startswith(_FORMULA)):
            checked.refuse(problem.field, problem.message)
    return checked


def _check_rows(
    rows: Sequence[CheckedRow], market: MarketFacts, armed_before: Collection[str]
) -> None:
    """Check what the file itself says, and Kraken's listing."""
    _refuse_duplicates(rows)
    for row in rows:
        _check_text(row)
        _check_pair(row, market)
    check_kin(rows, armed_before)


def _refuse_duplicates(rows: Iterable[CheckedRow]) -> None:
    """Refuse all rows of an id that is there twice, disabled ones too.

    One of them would hide what became of the other.
    """
    named = [row for row in rows if row.rule is not None or text_of(row.row, "id")]
    times = Counter(row.label for row in named)
    for row in named:
        if times[row.label] > 1:
            cure = "give each row an id of its own; disabled rows count"
            row.refuse("id", f"Duplicate id {row.label!r}, {times[row.label]} times; {cure}")


def _check_text(row: CheckedRow) -> None:
    """Warn of what can be meant and seldom is."""
    if row.rule is None:
        return
    if "enabled" not in row.row:
        row.warn("enabled", "The row does not say whether it is enabled, so it is not armed")
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
    price, volume, offset = rule.threshold, rule.volume, rule.offset_at(rule.threshold)
    if price < _SMALL_PRICE:
        yield "threshold_price", f"Price {plain(price)} is very small; count the zeros"
    if price > _LARGE_PRICE:
        yield "threshold_price", f"Price {plain(price)} is very large; count the zeros"
    if volume is None:
        pass  # it is worked out at the crossing, and looked at then
    elif volume < _SMALL_VOLUME:
        yield "volume", f"Volume {plain(volume)} is very small; Kraken may refuse it"
    elif volume > _LARGE_VOLUME:
        yield "volume", f"Volume {plain(volume)} is very large; it is in base currency"
    name, said = _offset_name(rule), f"Trailing offset {rule.offset_text}"
    if rule.offset_percent is None:
        said += f", which is {offset:.2f} % of the threshold,"
    if offset < _SMALL_OFFSET:
        yield name, f"{said} is very small; the next tick may trigger the stop. 1 is 1 percent"
    if offset > _HUGE_OFFSET:
        yield name, f"{said} is very large; more than half of the value is given back"
    elif offset > _LARGE_OFFSET:
        yield name, f"{said} is large; is that much meant to be given back?"


def _check_expiry(row: CheckedRow, now: datetime | None, *, is_old: bool) -> None:
    """Refuse a row whose time was over before it began; of one that was armed others tell."""
    ends_at = row.rule.terms.expires.at if row.rule and row.rule.terms.expires else None
    if now is None or ends_at is None or ends_at > now or not row.waits or is_old:
        return
    said = f"Invalid expires {ends_at:%Y-%m-%d %H:%MZ}: it lies in the past"
    row.refuse("expires", f"{said}; write a later moment, or empty the cell")


def _offset_name(rule: Rule) -> str:
    in_quote = rule.offset_percent is None
    return "trailing_offset_quote" if in_quote else "trailing_offset_percent"


def _check_pair(row: CheckedRow, market: MarketFacts) -> None:
    if not row.pair or (row.is_refused and row.pair.startswith(_FORMULA)):
        return
    found = market.pair(row.pair)
    if isinstance(found, Unknown):
        row.refuse("pair", f"Unknown pair {row.pair!r}: {found.why}")
    elif isinstance(found, Pair):
        _check_listing(row, found)
    elif found.why and not (row.waits and market.has_prices and not market.has_listing):
        # Without a listing the price decides, and it is asked for where the row waits for it.
        row.warn("pair", f"Could not check pair {row.pair!r} with Kraken: {found.why}")


def _check_listing(row: CheckedRow, pair: Pair) -> None:
    if pair.status.startswith("delist") and row.waits:
        row.refuse("pair", f"This row cannot fire: {row.market} is {pair.status} at Kraken")
    elif pair.status != "online":
        row.warn("pair", f"{row.market} is {pair.status} at Kraken; an order may be refused")
    if row.rule is None or not row.waits:
        return
    if pair.symbol is None:
        said = f"{row.market} has no stream; its price is polled, so a spike can be missed"
        row.warn("pair", said)
    _check_minimums(row, row.rule, pair)


def _check_minimums(row: CheckedRow, rule: Rule, pair: Pair) -> None:
    _check_steps(row, rule, pair)
    share = rule.terms.share
    if share is not None:
        _check_share(row, share, pair)
    if share is not None and share.quote is None:
        return  # nobody knows yet how much it will be
    typed_volume = volume = volume_about(rule)
    if pair.lot_decimals is not None:
        volume = quantize_down(volume, pair.lot_decimals)
    if volume != typed_volume and share is None:
        typed = plain(typed_volume)
        said = f"Volume {typed} has more places than {row.market} takes; cut to {plain(volume)}"
        row.warn("volume", said)
    cost = _EXACT.multiply(volume, rule.threshold)
    if not volume or (pair.ordermin is not None and volume < pair.ordermin):
        least = readable(pair.ordermin) if pair.ordermin else "one lot"
        said = f"Volume {plain(volume)} is below Kraken's minimum of {least} for {row.market}"
        row.refuse("volume", said)
    elif pair.costmin is not None and cost < pair.costmin:
        said = f"Volume {plain(volume)} is worth {readable(cost)} at the threshold, below Kraken's"
        row.refuse(
            "volume",
            f"{said} minimum of {readable(pair.costmin)} for {row.market}; raise the volume",
        )


def _check_steps(row: CheckedRow, rule: Rule, pair: Pair) -> None:
    """Refuse amounts of money below the smallest step of a price: they would be cut to nothing."""
    limit = rule.terms.limit
    for name, amount in (
        ("trailing_offset_quote", rule.terms.offset_quote),
        ("limit_offset", None if limit is None or limit.is_percent else limit.amount),
    ):
        places = pair.price_decimals
        if amount and places is not None and not quantize_down(amount, places):
            said = f"{plain(amount)} is below the smallest step of a price of {row.market}"
            row.refuse(name, f"Invalid {name}: {said}; write a larger amount")


def _check_share(row: CheckedRow, share: Share, pair: Pair) -> None:
    """Refuse a sum in another currency than that of the pair's prices."""
    quote = asset_name(pair.quote)
    if share.quote is not None and asset_name(share.currency) != quote:
        said = f"Invalid volume {share.text!r}: {row.market} is priced in {quote}"
        row.refuse(
            "volume", f"{said}; write a sum in {quote}, a number, all, or a share such as 50%"
        )


def _check_prices(
    result: ValidationResult,
    rows: Sequence[CheckedRow],
    market: MarketFacts,
    armed_before: Collection[str],
) -> None:
    """Ask for today's prices, and check each row against its own."""
    if not market.has_prices:
        result.notes += ["prices: there is nobody to ask"] if rows else []
        return
    market.ask_prices(row.pair for row in rows)
    for row in rows:
        if not _is_to_follow(row, armed_before):
            _check_market(row, market, is_old=row.label in armed_before)
        price = market.price(row.pair)
        if isinstance(price, Decimal):
            row.result.prices[row.pair] = price


def _is_to_follow(row: CheckedRow, armed_before: Collection[str]) -> bool:
    """Tell whether a row waits for the order of another one, so that today says nothing of it."""
    return row.rule is not None and bool(row.rule.after) and row.label not in armed_before


def _check_market(row: CheckedRow, market: MarketFacts, *, is_old: bool) -> None:
    assert row.rule is not None  # live rows are whole rules
    price = market.price(row.pair)
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
    row.warn(_offset_name(rule), f"Wide spread: {said} {rule.offset_text}; widen the offset")


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
