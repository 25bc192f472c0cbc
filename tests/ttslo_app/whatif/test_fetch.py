"""Trades of a span: each once, none left out, kept as they come."""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from krakenlink.errors import (
    KrakenAPIError,
    KrakenConnectionError,
    KrakenTimeout,
    ProtocolError,
    RateLimitError,
)
from tests.kits.histories.trade_kit import KEY, NOW, SECOND, Market, Told
from ttslo_app.backtest.trade_cache import TradeCache
from ttslo_app.watch.past import Pace
from ttslo_app.whatif.fetch import Fetcher, Unfetched

ADDRESS = "https://api.kraken.com"
HOUR_AGO = round((NOW - 3600) * SECOND)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[TradeCache]:
    """Hand out an empty cache."""
    with closing(TradeCache(tmp_path, ADDRESS)) as made:
        yield made


def fetcher(market: Market, cache: TradeCache, told: Told | None = None) -> Fetcher:
    """Return what fetches from a market, and waits for nothing."""
    return Fetcher(market, cache, told or Told(), market.wait, Pace())


def seconds(count: int, step: float = 1.0) -> list[float]:
    """Return the moments of trades, one a step, in seconds before now."""
    return [3599 - step * n for n in range(count)]


def moments(made: object) -> list[int]:
    """Return the moments of a recording's trades."""
    return made.history.at_ns.tolist()  # type: ignore[attr-defined,no-any-return]  # a recording


def test_every_trade_comes_once(cache: TradeCache) -> None:
    """Over pages, to the moment, with its price, a second between two calls."""
    market = Market(seconds(3500))
    made = fetcher(market, cache).fetch(KEY, HOUR_AGO, NOW)
    assert len(made.history) == 3500
    assert [int(made.history.price_at(n)) for n in (0, 1000, 3499)] == [50000, 51000, 53499]
    assert made.remarks == ()
    assert len(market.asked) == 4
    assert market.waits == [1.0] * 3


@pytest.mark.parametrize("seed", range(15))
def test_trades_that_share_moments_are_all_there(seed: int, cache: TradeCache) -> None:
    """Pages end in the middle of a sweep, and nothing is lost between them."""
    chance = random.Random(seed)
    at = [float(chance.randrange(1, 200)) for _ in range(chance.randrange(1000, 4000))]
    market = Market(at)
    made = fetcher(market, cache).fetch(KEY, HOUR_AGO, NOW)
    assert len(made.history) == len(at)
    assert made.remarks == ()


def test_moment_that_fills_more_than_a_page_is_passed_and_told(cache: TradeCache) -> None:
    """Kraken pages by moments: what cannot be had is missing by its own count."""
    market = Market([1800.0] * 2500 + [900.0] * 10)
    made = fetcher(market, cache).fetch(KEY, HOUR_AGO, NOW)
    assert made.remarks == ("1500 trades are missing by Kraken's own count of them",)
    assert len(made.history) == 1010


def test_second_time_asks_only_for_what_is_new(tmp_path: Path) -> None:
    """What was fetched once is not fetched again, by another process neither."""
    market = Market(seconds(3500))
    for calls in (4, 1, 1):
        market.asked.clear()
        with closing(TradeCache(tmp_path, ADDRESS)) as cache:
            made = fetcher(market, cache).fetch(KEY, HOUR_AGO, NOW)
        assert (len(market.asked), len(made.history)) == (calls, 3500)


def test_longer_span_meets_what_is_kept(cache: TradeCache) -> None:
    """The older part is fetched, and the pages after it are taken as they are."""
    market = Market(seconds(3500))
    fetcher(market, cache).fetch(KEY, HOUR_AGO + 2000 * SECOND, NOW)
    market.asked.clear()
    made = fetcher(market, cache).fetch(KEY, HOUR_AGO, NOW)
    assert len(made.history) == 3500
    assert len(market.asked) <= 4
    assert made.remarks == ()


def test_shorter_span_takes_its_own_trades_only(cache: TradeCache) -> None:
    """Whatever else is on the page that holds them."""
    market = Market(seconds(3500))
    fetcher(market, cache).fetch(KEY, HOUR_AGO, NOW)
    begin = HOUR_AGO + 3000 * SECOND
    made = fetcher(market, cache).fetch(KEY, begin, NOW)
    assert min(moments(made)) >= begin
    assert len(made.history) == 501


@pytest.mark.parametrize("fails_at", range(5))
@pytest.mark.parametrize(
    "trouble",
    [
        KrakenConnectionError("down", request_sent=False),
        KrakenTimeout("late", request_sent=True),
        ProtocolError("odd"),
        RateLimitError("Trades", ["EGeneral:Too many requests"]),
        KrakenAPIError("Trades", ["EService:Unavailable"]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_outage_in_the_middle_is_told_and_outlasted(
    fails_at: int, trouble: Exception, cache: TradeCache
) -> None:
    """Twice in a row, at any page; nothing is lost, and nothing comes twice."""
    market, told = Market(seconds(3500), [*[None] * fails_at, trouble, trouble]), Told()
    made = fetcher(market, cache, told).fetch(KEY, HOUR_AGO, NOW)
    assert len(made.history) == 3500
    happened = 2 if fails_at < 4 else 0
    assert len(told.said) == happened
    assert all(re.search(r"[^.]\. Trying again in [12] s\.$", said) for said in told.said)
    assert sorted(market.waits)[-1:] == ([2.0] if happened else [1.0])


def test_pause_that_kraken_asks_for_is_kept(cache: TradeCache) -> None:
    """However long it is."""
    wait = RateLimitError("Trades", ["EGeneral:Too many requests"])
    wait.retry_after = 45.0
    market = Market(seconds(10), [wait])
    fetcher(market, cache).fetch(KEY, HOUR_AGO, NOW)
    assert market.waits == [45.0]


def test_long_outage_ends_it_with_what_is_kept(cache: TradeCache) -> None:
    """The sentence says until when, and that the same command goes on."""
    market = Market(
        seconds(3500), [None, None, *[KrakenConnectionError("down", request_sent=False)] * 12]
    )
    with pytest.raises(Unfetched, match=r"Given up after 12 tries: .*the same command goes on"):
        fetcher(market, cache).fetch(KEY, HOUR_AGO, NOW)
    assert max(market.waits) == 60.0
    market.asked.clear()
    made = fetcher(market, cache).fetch(KEY, HOUR_AGO, NOW)
    assert (len(market.asked), len(made.history)) == (2, 3500)


def test_kraken_that_was_never_there_is_not_waited_for_long(cache: TradeCache) -> None:
    """Whoever has no network learns it in half a minute."""
    down = KrakenConnectionError("down", request_sent=False)
    market = Market([], [down] * 20)
    with pytest.raises(Unfetched, match="Given up after 6 tries: down"):
        fetcher(market, cache).fetch(KEY, HOUR_AGO, NOW)
    assert sum(market.waits) == 31


def test_refusal_ends_it_at_once(cache: TradeCache) -> None:
    """What Kraken does not know it will not know in a minute."""
    market = Market([], [KrakenAPIError("Trades", ["EQuery:Unknown asset pair"])])
    with pytest.raises(Unfetched, match="Unknown asset pair"):
        fetcher(market, cache).fetch(KEY, HOUR_AGO, NOW)
    assert market.waits == []


@pytest.mark.parametrize("calls", range(4))
def test_ctrl_c_keeps_what_has_come(calls: int, cache: TradeCache) -> None:
    """And says so; the next start goes on from there."""
    market, told = Market(seconds(3500), [*[None] * calls, KeyboardInterrupt()]), Told()
    with pytest.raises(KeyboardInterrupt):
        fetcher(market, cache, told).fetch(KEY, HOUR_AGO, NOW)
    (said,) = told.said
    assert said.startswith("Stopped. Trades until 2027-01-15T")
    assert said.endswith("are kept: the same command goes on from there.")
    market.asked.clear()
    made = fetcher(market, cache).fetch(KEY, HOUR_AGO, NOW)
    assert (len(market.asked), len(made.history)) == (4 - calls, 3500)


def test_nothing_is_called_kept_that_is_not() -> None:
    """Where there is no folder."""
    told, market = Told(), Market(seconds(10), [KeyboardInterrupt()])
    with closing(TradeCache(None, ADDRESS)) as cache, suppress(KeyboardInterrupt):
        fetcher(market, cache, told).fetch(KEY, HOUR_AGO, NOW)
    assert told.said == ["Stopped. Nothing is kept."]


def test_span_without_trades_is_told(cache: TradeCache) -> None:
    """With its begin, and the cure."""
    with pytest.raises(Unfetched, match=r"no trades of XXBTZUSD since 2027-01-15T.*longer span"):
        fetcher(Market([]), cache).fetch(KEY, HOUR_AGO, NOW)


def test_answer_that_is_older_than_the_question_is_no_answer(cache: TradeCache) -> None:
    """A cache on the way must not send it round for ever."""
    market = Market(seconds(10))
    market.at_ns = [at - 7200 * SECOND for at in market.at_ns]
    market.get_trades = lambda pair, since=None: {  # type: ignore[method-assign]  # a broken Kraken
        pair: [["50000", "1", at / 1e9, "b", "l", "", 1] for at in market.at_ns]
    }
    with pytest.raises(Unfetched, match="older than what was asked for"):
        fetcher(market, cache).fetch(KEY, HOUR_AGO, NOW)


def test_price_with_more_digits_than_can_be_is_no_answer(cache: TradeCache) -> None:
    """It is asked for again, and in the end told."""
    market = Market(seconds(1))
    market.get_trades = lambda pair, since=None: {  # type: ignore[method-assign]  # a broken Kraken
        pair: [["0.00000000001", "1", NOW - 5, "b", "l", "", 1]]
    }
    with pytest.raises(Unfetched, match="a price that cannot be"):
        fetcher(market, cache).fetch(KEY, HOUR_AGO, NOW)


def test_busy_market_does_not_go_on_for_ever(cache: TradeCache) -> None:
    """What is traded after the start is another day's."""
    market = Market([*seconds(1500), *[-5.0 - n for n in range(5000)]])
    made = fetcher(market, cache).fetch(KEY, HOUR_AGO, NOW)
    assert max(moments(made)) <= round(NOW * SECOND)
    assert len(market.asked) <= 3


def test_progress_rises_and_names_what_has_come(cache: TradeCache) -> None:
    """From page to page."""
    told = Told()
    fetcher(Market(seconds(3500)), cache, told).fetch(KEY, HOUR_AGO, NOW)
    shares = [share for share, _ in told.shown]
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] <= 1
    assert told.shown[0][1].startswith("1000 trades until 2027-01-15T")


def _damage(file: Path, chance: random.Random) -> None:
    """Let a page on the disk be another than was kept, or take it away."""
    changes = (
        "update pages set rows = x'00'",
        "update pages set ended = ended + 5000000000",
        "update pages set begun = begun - 5000000000",
        "delete from pages",
    )
    with closing(sqlite3.connect(file)) as rows, rows:
        begins = [begun for (begun,) in rows.execute("select begun from pages")]
        if begins:
            rows.execute(f"{chance.choice(changes)} where begun = ?", (chance.choice(begins),))


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_on_the_way_every_trade_comes_once(seed: int, tmp_path: Path) -> None:
    """Outages, Ctrl-C, damaged pages and other spans, again and again; at last all are there."""
    chance = random.Random(seed)
    at = [chance.uniform(1, 3599) for _ in range(chance.randrange(500, 4500))]
    at += [float(chance.randrange(1, 3599)) for _ in range(500)] * 2
    market = Market(at)
    down = KrakenConnectionError("down", request_sent=True)
    for _ in range(6):
        begin = HOUR_AGO + chance.randrange(0, 3000) * SECOND
        market.troubles = chance.choices([None, down, KeyboardInterrupt()], [8, 2, 1], k=6)
        with closing(TradeCache(tmp_path, ADDRESS)) as cache, suppress(KeyboardInterrupt):
            fetcher(market, cache).fetch(KEY, begin, NOW)
            market.troubles = []
        if chance.random() < 0.5:
            _damage(next(tmp_path.glob("*.sqlite")), chance)
    market.troubles = []
    with closing(TradeCache(tmp_path, ADDRESS)) as cache:
        made = fetcher(market, cache).fetch(KEY, HOUR_AGO, NOW)
    assert len(made.history) == len(market.at_ns)
    assert [int(price) // 10**10 - 50000 for price in made.history.price] == list(
        range(len(market.at_ns))
    )
    assert not any("missing" in remark for remark in made.remarks)
