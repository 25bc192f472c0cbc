"""Where the prices of `ttslo whatif` come from: a file of Kraken's, a recording, or Kraken itself.

What it must never do: take one pair's prices for another's in silence, or read a key.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from fake_kraken.market import default_pairs
from kraken_api import KrakenAPI
from krakenlink.errors import KrakenError
from krakenlink.machine import REST_URL, REST_VARIABLE, checked_root, kept_in
from krakenlink.numbers import plain
from krakenlink.pairs import Pair, shown_pair
from ttslo_app.backtest.asked import begin_of
from ttslo_app.backtest.candles import Candles
from ttslo_app.backtest.history import PLACES, History
from ttslo_app.backtest.play import Market
from ttslo_app.backtest.recording import BadRecording, read_candles, read_minutes, read_trades
from ttslo_app.backtest.trade_cache import TradeCache
from ttslo_app.run.progress import showing
from ttslo_app.run.whatif_fetch import Fetcher, Unfetched
from ttslo_app.watch.past import Pace

_AS_REPLAYED = (
    "in each minute the prices come in the order in which the demo plays them; what other orders "
    "would have done is told by --candles"
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
