"""Rows and prices in, findings out: which rows may trade, which must not, and what is odd.

A row is read by `rules.rule` and nowhere else, so what passes here is what will trade. Nothing is
placed and nothing is written; what has to be known from outside is asked by `rules.facts`, once
each. What was checked and what could not be checked are told apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import ClassVar, cast

from krakenlink.known_names import asset_name
from krakenlink.numbers import EXACT, plain, quantize_down, readable
from krakenlink.pairs import Pair
from ttslo_app.rules.checked import FORMULA, CheckedRow, KnownRows, Remark
from ttslo_app.rules.facts import (
    Funds,
    MarketFacts,
    Unknown,
    check_balances,
)
from ttslo_app.rules.findings import (
    ORDER_COLUMNS,
    Accepted,
    Row,
    ValidationResult,
    text_of,
)
from ttslo_app.rules.kin_checks import check_kin
from ttslo_app.rules.price_checks import check_prices, is_to_follow
from ttslo_app.rules.rule import (
    ENABLED_WORDS,
    OPTIONAL_FIELDS,
    REQUIRED_FIELDS,
    Direction,
    Rule,
    ThresholdType,
)
from ttslo_app.rules.terms import NO_TERMS, Share
from ttslo_app.rules.worst import volume_about

# Below a cent zeros are easily miscounted; above a million nothing at Kraken has traded.
_SMALL_PRICE, _LARGE_PRICE = Decimal("0.01"), Decimal(1_000_000)
# Less than a minimum order of the dearest coin; more than a fortune of all but penny coins.
_SMALL_VOLUME, _LARGE_VOLUME = Decimal("0.0001"), Decimal(10_000)
# Tighter than the noise of a minute; wider than most people would want to give back.
_SMALL_OFFSET, _LARGE_OFFSET, _HUGE_OFFSET = Decimal("0.1"), Decimal(20), Decimal(50)


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
        """
        result, rows = ValidationResult(fired=set(fired)), []
        for number, row in enumerate(configs, 1):
            if isinstance(row, Mapping):
                rows.append(CheckedRow(row, number))
            else:
                said = f"A row must be a dict of text by column, not {type(row).__name__}"
                result.add_error(f"row {number}", "row", said)
        return self._check(result, rows, armed_before, now, KnownRows())

    def validate_again(
        self,
        rows: Sequence[CheckedRow],
        known: KnownRows,
        *,
        armed_before: Collection[str],
        fired: Collection[str],
        now: datetime,
    ) -> ValidationResult:
        """Do the same with rows of which some were judged before: all others are judged anew.

        A verdict stands for as long as all that it was made of is the same: the text of the row,
        its pair in Kraken's listing, whether it has fired, what there is of its asset and what
        all rows take of that. Today's price, the other rows and the time are looked at each time.

        Args:
            rows: The rows of a file.
            known: What they were judged by, which is kept up here.
            armed_before: As for `validate_config_file`.
            fired: As there.
            now: As there.
        """
        return self._check(ValidationResult(fired=set(fired)), rows, armed_before, now, known)

    def _check(
        self,
        result: ValidationResult,
        rows: Sequence[CheckedRow],
        armed_before: Collection[str],
        now: datetime | None,
        known: KnownRows,
    ) -> ValidationResult:
        market, balances = MarketFacts(self.kraken_api, known.pairs), Funds(self.kraken_api)
        _begin(result, rows)
        if len(known.rules) != len(rows):
            _refuse_duplicates(rows)
        _check_rows(rows, market)
        check_kin(rows, armed_before)
        for row in rows:
            if row.ends_at is not None:
                _check_expiry(row, row.ends_at, now, is_old=row.label in armed_before)
        refused = result.refused()
        live = [row for row in rows if row.is_enabled and not row.has_fired]
        if refused:
            live = [row for row in live if row.label not in refused]
        check_prices(result, live, market, armed_before)
        # What waits for an order to be filled may have its funds from there.
        if balances.is_available:
            may_pay = (row for row in live if not row.is_refused)
            paying = (row for row in may_pay if not is_to_follow(row, armed_before))
            check_balances(paying, balances, known.purses)
        refused = result.refused()
        good = [row for row in rows if row.rule is not None and row.label not in refused]
        result.accepted = cast("Sequence[Accepted]", good)
        for row in rows:
            del row.result  # which holds the rows: a circle of so many would never go
        return result


def _begin(result: ValidationResult, rows: Sequence[CheckedRow]) -> None:
    """Let all be gathered in `result`, with what kept rows from being rules."""
    result.configs += [row.row for row in rows]
    for row in rows:
        row.result = result
        if row.has_order:
            result.fired.add(row.label)
        if row.rule is None or row.findings:
            _say_why_not(row)
    fired = result.fired
    for row in rows:
        row.has_fired = row.label in fired


def _say_why_not(row: CheckedRow) -> None:
    for said in row.findings:
        row.refuse("row", f"The row {said}")
    for problem in row.problems:
        if not (row.findings and problem.value.startswith(FORMULA)):
            row.refuse(problem.field, problem.message)


def _check_rows(rows: Sequence[CheckedRow], market: MarketFacts) -> None:
    """Check what each row itself says, and Kraken's listing."""
    listed = market.listing_of(row.pair for row in rows if row.rule is not None)
    for row in rows:
        pair = listed.get(row.pair)
        if pair is None or row.listed is not pair or row.has_fired is not row.was_fired:
            row.remarks = (*_text_remarks(row), *_pair_remarks(row, market))
            row.listed, row.was_fired = pair, row.has_fired
        if row.remarks:
            row.say(row.remarks)


def _refuse_duplicates(rows: Sequence[CheckedRow]) -> None:
    """Refuse all rows of an id that is there twice, disabled ones too.

    One of them would hide what became of the other.
    """
    named = [row for row in rows if row.rule is not None or text_of(row.row, "id")]
    times = Counter(row.label for row in named)
    for row in named:
        if times[row.label] > 1:
            cure = "give each row an id of its own; disabled rows count"
            row.refuse("id", f"Duplicate id {row.label!r}, {times[row.label]} times; {cure}")


def _text_remarks(row: CheckedRow) -> Iterator[Remark]:
    """Warn of what can be meant and seldom is."""
    rule = row.rule
    if rule is None:
        return
    if not rule.enabled and "enabled" not in row.row:
        yield Remark("enabled", "The row does not say whether it is enabled, so it is not armed")
    yield from _odd_combination(rule)
    yield from _odd_sizes(rule)
    if rule.enabled and row.has_fired:
        columns = ", ".join(ORDER_COLUMNS)
        said = f"The row has fired, so it is not armed; clear {columns} to arm it"
        yield Remark("order_id", said)


def _odd_combination(rule: Rule) -> Iterator[Remark]:
    if (rule.threshold_type, rule.direction) == (ThresholdType.ABOVE, Direction.BUY):
        yield Remark(
            "direction", "above with buy buys after a rise; below with buy is the usual pair"
        )
    if (rule.threshold_type, rule.direction) == (ThresholdType.BELOW, Direction.SELL):
        yield Remark(
            "direction", "below with sell sells after a fall; above with sell is the usual pair"
        )


def _odd_sizes(rule: Rule) -> Iterator[Remark]:
    price, volume = rule.threshold, rule.volume
    if price < _SMALL_PRICE:
        yield Remark("threshold_price", f"Price {plain(price)} is very small; count the zeros")
    if price > _LARGE_PRICE:
        yield Remark("threshold_price", f"Price {plain(price)} is very large; count the zeros")
    if volume is None:
        pass  # it is worked out at the crossing, and looked at then
    elif volume < _SMALL_VOLUME:
        yield Remark("volume", f"Volume {plain(volume)} is very small; Kraken may refuse it")
    elif volume > _LARGE_VOLUME:
        yield Remark("volume", f"Volume {plain(volume)} is very large; it is in base currency")
    offset = rule.offset_at(price)
    if not _SMALL_OFFSET <= offset <= _LARGE_OFFSET:  # else no text is made of it
        yield _odd_offset(rule, offset)


def _odd_offset(rule: Rule, offset: Decimal) -> Remark:
    name, said = rule.offset_field, f"Trailing offset {rule.offset_text}"
    if rule.offset_percent is None:
        said += f", which is {offset:.2f} % of the threshold,"
    if offset < _SMALL_OFFSET:
        why = "is very small; the next tick may trigger the stop. 1 is 1 percent"
    elif offset > _HUGE_OFFSET:
        why = "is very large; more than half of the value is given back"
    else:
        why = "is large; is that much meant to be given back?"
    return Remark(name, f"{said} {why}")


def _check_expiry(
    row: CheckedRow, ends_at: datetime, now: datetime | None, *, is_old: bool
) -> None:
    """Refuse a row whose time was over before it began; of one that was armed others tell."""
    if now is None or ends_at > now or not row.waits or is_old:
        return
    said = f"Invalid expires {ends_at:%Y-%m-%d %H:%MZ}: it lies in the past"
    row.refuse("expires", f"{said}; write a later moment, or empty the cell")


def _pair_remarks(row: CheckedRow, market: MarketFacts) -> Iterator[Remark]:
    if not row.pair or (row.pair.startswith(FORMULA) and row.is_refused):
        return
    found = market.pair(row.pair)
    if isinstance(found, Unknown):
        yield Remark("pair", f"Unknown pair {row.pair!r}: {found.why}", is_error=True)
    elif isinstance(found, Pair):
        yield from _listing_remarks(row, found)
    elif found.why and not (row.waits and market.has_prices and not market.has_listing):
        # Without a listing the price decides, and it is asked for where the row waits for it.
        yield Remark("pair", f"Could not check pair {row.pair!r} with Kraken: {found.why}")


def _listing_remarks(row: CheckedRow, pair: Pair) -> Iterator[Remark]:
    if pair.status.startswith("delist") and row.waits:
        said = f"This row cannot fire: {row.market} is {pair.status} at Kraken"
        yield Remark("pair", said, is_error=True)
    elif pair.status != "online":
        said = f"{row.market} is {pair.status} at Kraken; an order may be refused"
        yield Remark("pair", said)
    if row.rule is None or not row.waits:
        return
    if pair.symbol is None:
        said = f"{row.market} has no stream; its price is polled, so a spike can be missed"
        yield Remark("pair", said)
    yield from _minimum_remarks(row, row.rule, pair)


def _minimum_remarks(row: CheckedRow, rule: Rule, pair: Pair) -> Iterator[Remark]:
    if rule.terms is not NO_TERMS:
        yield from _step_remarks(row, rule, pair)
    share = rule.terms.share
    if share is not None:
        yield from _share_remarks(row, share, pair)
    if share is not None and share.quote is None:
        return  # nobody knows yet how much it will be
    typed_volume = volume = volume_about(rule)
    if pair.lot_decimals is not None:
        volume = quantize_down(volume, pair.lot_decimals)
    if volume != typed_volume and share is None:
        typed = plain(typed_volume)
        said = f"Volume {typed} has more places than {row.market} takes; cut to {plain(volume)}"
        yield Remark("volume", said)
    cost = EXACT.multiply(volume, rule.threshold)
    if not volume or (pair.ordermin is not None and volume < pair.ordermin):
        least = readable(pair.ordermin) if pair.ordermin else "one lot"
        said = f"Volume {plain(volume)} is below Kraken's minimum of {least} for {row.market}"
        yield Remark("volume", said, is_error=True)
    elif pair.costmin is not None and cost < pair.costmin:
        said = f"Volume {plain(volume)} is worth {readable(cost)} at the threshold, below Kraken's"
        said += f" minimum of {readable(pair.costmin)} for {row.market}; raise the volume"
        yield Remark("volume", said, is_error=True)


def _step_remarks(row: CheckedRow, rule: Rule, pair: Pair) -> Iterator[Remark]:
    """Refuse amounts of money below the smallest step of a price: they would be cut to nothing."""
    limit = rule.terms.limit
    for name, amount in (
        ("trailing_offset_quote", rule.terms.offset_quote),
        ("limit_offset", None if limit is None or limit.is_percent else limit.amount),
    ):
        places = pair.price_decimals
        if amount and places is not None and not quantize_down(amount, places):
            said = f"{plain(amount)} is below the smallest step of a price of {row.market}"
            yield Remark(name, f"Invalid {name}: {said}; write a larger amount", is_error=True)


def _share_remarks(row: CheckedRow, share: Share, pair: Pair) -> Iterator[Remark]:
    """Refuse a sum in another currency than that of the pair's prices."""
    quote = asset_name(pair.quote)
    if share.quote is not None and asset_name(share.currency) != quote:
        said = f"Invalid volume {share.text!r}: {row.market} is priced in {quote}"
        said += f"; write a sum in {quote}, a number, all, or a share such as 50%"
        yield Remark("volume", said, is_error=True)
