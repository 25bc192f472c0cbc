"""The work of `ttslo whatif`: prices had from a file or Kraken, rows played, outcomes told.

Loaded only by that command, as it needs numpy. What it must never do: take one pair's prices for
another's in silence, leave out a row in silence, or read a key.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from typing import Any

from fake_kraken.market import default_pairs
from kraken_api import KrakenAPI
from krakenlink.errors import KrakenError
from krakenlink.foreign import shown
from krakenlink.machine import REST_URL, REST_VARIABLE, checked_root, kept_in, read_plain
from krakenlink.numbers import plain, readable
from krakenlink.pairs import Pair, shown_pair
from ttslo_app.backtest.asked import begin_of
from ttslo_app.backtest.candles import Candles
from ttslo_app.backtest.history import PLACES, History
from ttslo_app.backtest.play import Market, unplayable
from ttslo_app.backtest.recording import BadRecording, read_candles, read_minutes, read_trades
from ttslo_app.backtest.result import Costs, row_of
from ttslo_app.backtest.study import Study, lines_of, record_of
from ttslo_app.backtest.sweep import sweep
from ttslo_app.backtest.trade_cache import TradeCache
from ttslo_app.rules.rule import Rule, RuleError, read_rule
from ttslo_app.store.rule_text import read_rules
from ttslo_app.watch.past import Pace
from ttslo_app.whatif.fetch import Fetcher, Unfetched
from ttslo_app.whatif.progress import showing

_AS_REPLAYED = (
    "in each minute the prices come in the order in which the demo plays them; what other orders "
    "would have done is told by --candles"
)

# So far off its price a threshold is rather of another pair.
_FAR = 10

# What of a row decides what becomes of it, or needs no deciding on prices that are all seen.
_PLAYED = frozenset(
    {
        *("id", "pair", "threshold", "threshold_type", "direction", "volume", "offset_percent"),
        *("terms", "enabled", "when_blind", "note"),
    }
)

Prices = History | Candles


class Trouble(Exception):
    """Why nothing can be told; the text names the file and the cure."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where prices come from: words for a person, the prices, what is odd, and their market."""

    name: str
    prices: Prices
    remarks: tuple[str, ...]
    market: Market


@dataclass(frozen=True, slots=True)
class Fetching:
    """How trades are fetched: at which pace, and what waits and tells the time."""

    pace: Pace = field(default_factory=Pace)
    wait: Callable[[float], object] = time.sleep
    now: Callable[[], float] = time.time


def named_pair(options: argparse.Namespace) -> str | None:
    """Return the pair that the name of the file says; None where there is no file."""
    path = _path_of(options)
    return None if path is None else pair_named_by(path)


def source_of(options: argparse.Namespace, pair: str, fetching: Fetching) -> Source:
    """Return the prices that the flags ask for. Blocks, with `--since` often for long.

    Raises:
        Trouble: If a file cannot be used, or Kraken does not tell.
    """
    path = _path_of(options)
    if path is None:
        return _fetched(options, pair, fetching)
    prices, found = _read(path, options)
    return Source(str(path), prices, found, _market_of(pair, prices))


def _path_of(options: argparse.Namespace) -> Path | None:
    path: Path | None = options.trades or options.replay or options.candles
    return path


def pair_named_by(path: Path) -> str:
    """Return the pair that a file's name says, such as of XBTUSD.csv or XBTUSD_60.csv.gz."""
    return shown_pair(path.name.partition(".")[0].partition("_")[0])


def known_pairs() -> set[str]:
    """Return the pairs that are known without asking anybody."""
    rows = default_pairs()[0].values()
    return {shown_pair(str(row["wsname"])) for row in rows if "wsname" in row}


def _fetched(options: argparse.Namespace, pair: str, fetching: Fetching) -> Source:
    """Return the trades of a span up to now, as Kraken tells them. Blocks, often for long."""
    now = fetching.now()
    address = checked_root(os.environ.get(REST_VARIABLE) or REST_URL)
    folder = kept_in(address, options.cache)
    with KrakenAPI(base_url=address, use_websocket=False) as api, showing() as progress:
        cache = TradeCache(folder, address)
        try:
            market = api.resolve_pair(pair)
            fetcher = Fetcher(api, cache, progress, fetching.wait, fetching.pace)
            found = fetcher.fetch(market.rest_key, begin_of(options.since, now), now)
        except (Unfetched, LookupError, KrakenError) as error:
            raise Trouble(str(error)) from None
        finally:
            cache.close()
    kept = f"kept in {cache.file}" if cache.file else "not kept"
    name = f"{address}, trades since {options.since}, {kept}"
    return Source(name, found.history, found.remarks, _told_market(market))


def _told_market(pair: Pair) -> Market:
    """Return a market by what Kraken tells of it."""
    row = {
        "altname": pair.altname,
        "base": pair.base,
        "quote": pair.quote,
        "pair_decimals": PLACES if pair.price_decimals is None else pair.price_decimals,
        "lot_decimals": 8 if pair.lot_decimals is None else pair.lot_decimals,
        "ordermin": plain(pair.ordermin or Decimal(0)),
        "costmin": plain(pair.costmin or Decimal(0)),
        "aclass_base": pair.asset_class,
    }
    return Market(pair.rest_key, row)


def _read(path: Path, options: argparse.Namespace) -> tuple[Prices, tuple[str, ...]]:
    """Return the prices of a file, and what is odd about them."""
    try:
        if options.candles:
            found = read_candles(path)
            return found.candles, found.remarks
        if options.replay:
            recording = read_minutes(path)
            return recording.history, (*recording.remarks, _AS_REPLAYED)
        recording = read_trades(path)
        return recording.history, recording.remarks
    except OSError as error:
        raise Trouble(f"{path} cannot be opened: {error.strerror}") from None
    except BadRecording as error:
        raise Trouble(str(error)) from None


def _market_of(pair: str, prices: Prices) -> Market:
    """Return the row of AssetPairs of a pair; one after its prices where it is not known."""
    rows, _ = default_pairs()
    for key, row in rows.items():
        if row.get("wsname") and shown_pair(str(row["wsname"])) == pair:
            return Market(key, row)
    base, _, quote = pair.partition("/")
    decimals = PLACES - (len(str(prices.tick)) - 1)
    least = {"ordermin": "0", "costmin": "0", "lot_decimals": 8}
    return Market(
        pair, {"base": base, "quote": quote, "altname": pair, "pair_decimals": decimals, **least}
    )


@dataclass(frozen=True, slots=True)
class Report:
    """What is told: lines for a person, the same for a program, and all of it for a page."""

    lines: tuple[str, ...]
    record: dict[str, Any]
    study: Study


def report(options: argparse.Namespace, fetching: Fetching | None = None) -> Report:
    """Read the config and the prices, and play every row of their pair. Blocks.

    Raises:
        Trouble: If a file cannot be used, Kraken does not tell, or no row is of the pair.
    """
    named = named_pair(options)
    pair = shown_pair(options.pair or named or _only_pair(options.config))
    rules, remarks = _rules_of(options.config, pair)
    if named != pair and named in known_pairs():
        remarks.append(f"the file's name says {named}, and --pair {pair}: are these its prices?")
    to_sweep = _row_to_sweep(rules, options.row)
    source = source_of(options, pair, fetching or Fetching())
    prices, market, costs = source.prices, source.market, Costs(options.fee, options.slippage)
    study = Study(
        pair,
        source.name,
        prices,
        market,
        costs,
        (*remarks, *source.remarks, *_far_off(prices, rules)),
        tuple(row_of(prices, rule, market, costs) for rule in rules),
        sweep(prices, to_sweep, options.sweep, market, costs) if options.sweep else None,
    )
    return Report(tuple(lines_of(study)), record_of(study), study)


def _row_to_sweep(rules: list[Rule], name: str | None) -> Rule:
    """Return the row of a name; the first where none is asked for."""
    found = [rule for rule in rules if name in (None, rule.id)]
    if not found:
        names = ", ".join(rule.id for rule in rules[:20])
        raise Trouble(f"--row {name}: there is no such row among {names}")
    return found[0]


def _only_pair(config: Path) -> str:
    """Return the one pair that all enabled rows are of."""
    pairs = {shown_pair(rule.pair) for rule in _readable(config)[0] if rule.enabled}
    if len(pairs) != 1:
        found = f"rows of {', '.join(sorted(pairs))}" if pairs else "no enabled row"
        raise Trouble(f"{config} has {found}: name the pair by --pair")
    return pairs.pop()


def _readable(config: Path) -> tuple[list[Rule], list[str]]:
    """Return every row that can be read, and what is said of the others."""
    try:
        read = read_rules(read_plain(config))
    except OSError as error:
        raise Trouble(f"{config} cannot be opened: {error.strerror}") from None
    rules, remarks = [], [f"{config}: {finding}" for finding in read.findings]
    for row in read.rows:
        try:
            rules.append(read_rule(row))
        except RuleError as error:
            remarks.append(f"left out: {shown(str(row.get('id')), 40)}: {error}")
    return rules, remarks


def _rules_of(config: Path, pair: str) -> tuple[list[Rule], list[str]]:
    """Return the enabled rows of a pair, and what is said of those that are left out."""
    readable, remarks = _readable(config)
    rules, others = [], 0
    for rule in readable:
        if shown_pair(rule.pair) != pair:
            others += 1
        elif not rule.enabled:
            remarks.append(f"left out: {rule.id} is not enabled")
        elif unplayed := columns_not_played(rule):
            remarks.append(f"left out: {rule.id}: whatif cannot play {', '.join(unplayed)} yet")
        else:
            rules.append(rule)
    if others:
        remarks.append(f"left out: {others} rows of other pairs than {pair}")
    if not rules:
        cure = "name the pair of the prices by --pair, or enable a row"
        raise Trouble("; ".join([f"{config} has no enabled row of {pair}", *remarks, cure]))
    return rules, remarks


def columns_not_played(rule: Rule) -> list[str]:
    """Return the names of what a row says and nothing here heeds."""
    said = [
        one.name
        for one in fields(rule)
        if one.name not in _PLAYED and getattr(rule, one.name) != one.default
    ]
    return [*said, *unplayable(rule)]


def _far_off(prices: History | Candles, rules: list[Rule]) -> Iterator[str]:
    first = prices.first_price
    for rule in rules:
        factor = max(rule.threshold / first, first / rule.threshold)
        if factor >= _FAR:
            yield (
                f"{rule.id}: its threshold {plain(rule.threshold)} is {factor:.0f} times off the "
                f"first price {readable(first)}: is this file of another pair?"
            )
