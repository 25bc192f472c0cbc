"""The listing with a clock of the test's own: how old its facts are, and when Kraken is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from krakenlink.errors import KrakenConnectionError, KrakenError
from krakenlink.pairs import Pair, UnknownPair
from krakenlink.rest import listing as room
from krakenlink.rest.listing import ASK_GAP, Listing
from tests.kits.rest.rest_kit import LISTING, XSTOCKS

DAY = 24 * 3600.0
REFRESH_GAP = 600.0


class _Kraken:
    """AssetPairs of a Kraken that may be away, and its clock."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.rows: dict[str, Any] = dict(LISTING)
        self.is_away = False
        self.calls: list[dict[str, object]] = []
        patch.setattr(room, "feed_clock", lambda: self.now)
        self.listing = Listing(self.ask, lambda: None)

    def ask(self, params: Mapping[str, object], within: float | None) -> object:
        self.calls.append(dict(params))
        if self.is_away:
            raise KrakenConnectionError("no route", request_sent=False)
        if "aclass_base" in params:
            return XSTOCKS
        wanted = str(params.get("pair", ""))
        return {
            k: row for k, row in self.rows.items() if not wanted or wanted in (k, row["altname"])
        }

    def later(self, seconds: float) -> int:
        """Let time go on; return how often it was asked before, and begin to count anew."""
        self.now += seconds
        count = len(self.calls)
        self.calls.clear()
        return count


@pytest.fixture
def kraken(monkeypatch: pytest.MonkeyPatch) -> _Kraken:
    """A Kraken, and a listing that has asked it nothing yet."""
    return _Kraken(monkeypatch)


def test_listing_counts_for_a_day_to_the_second(kraken: _Kraken) -> None:
    """Just before it is over nobody is asked; then once."""
    kraken.listing.directory()
    assert kraken.later(DAY - 1) == 1
    kraken.listing.directory()
    assert kraken.later(1) == 0
    kraken.listing.directory()
    kraken.listing.directory()
    assert kraken.later(0) == 1


def test_kraken_that_has_just_failed_is_left_alone_for_half_a_minute(kraken: _Kraken) -> None:
    """The old listing serves meanwhile, and its age is told as it is."""
    old = kraken.listing.directory()
    kraken.later(DAY)
    kraken.is_away = True
    assert kraken.listing.directory() is old
    assert kraken.later(ASK_GAP - 0.5) == 1
    assert kraken.listing.directory() is old
    assert kraken.later(0.5) == 0
    assert kraken.listing.age("SOLUSD") == DAY + ASK_GAP
    assert kraken.listing.directory() is old
    assert kraken.later(ASK_GAP) == 1
    kraken.is_away = False
    assert kraken.listing.directory() is not old
    assert kraken.listing.age("SOLUSD") == 0.0


def test_unknown_name_asks_now_and_then(kraken: _Kraken) -> None:
    """Once for the xStocks, which are not in the first listing, and after ten minutes again."""
    kraken.listing.directory()
    kraken.later(1)
    with pytest.raises(UnknownPair):
        kraken.listing.resolve("NOPE/USD")
    assert [*map(len, kraken.calls)] == [1]  # the others are as old as they are
    assert kraken.listing.age("SOLUSD") == 1.0
    assert kraken.later(REFRESH_GAP - 1) == 1
    with pytest.raises(UnknownPair):
        kraken.listing.resolve("NOPE/USD")
    assert kraken.later(1) == 0
    with pytest.raises(UnknownPair):
        kraken.listing.resolve("NOPE/USD")
    assert kraken.later(0) == 2  # all of them, and the xStocks
    assert kraken.listing.age("SOLUSD") == 0.0


def test_name_is_not_called_unknown_where_nobody_could_be_asked(kraken: _Kraken) -> None:
    """But where there is a listing it is: Kraken said so within the day."""
    kraken.is_away = True
    with pytest.raises(KrakenError):
        kraken.listing.resolve("SOL/USD")
    assert kraken.listing.age("SOLUSD") is None


@pytest.mark.parametrize(("max_age", "calls"), [(50.0, 0), (49.9, 1), (0.0, 1)])
def test_pair_is_asked_for_where_it_is_older_than_is_wanted(
    kraken: _Kraken, max_age: float, calls: int
) -> None:
    """To the moment; and only that pair, whose facts count from before the question."""
    pair = kraken.listing.resolve("sol/usd")
    kraken.later(50)
    kraken.rows["SOLUSD"] = {**LISTING["SOLUSD"], "lot_decimals": 2}
    found = kraken.listing.not_older(pair, max_age, 1.0)
    assert found.lot_decimals == (2 if calls else 4)
    assert kraken.calls == [{"pair": "SOLUSD"}] * calls
    assert kraken.listing.age("SOLUSD") == (0.0 if calls else 50.0)
    assert kraken.listing.resolve("SOL/USD") == found  # every way to it has the younger fact
    assert kraken.listing.age("XBTUSD") == 50.0


def test_pair_that_is_gone_is_told(kraken: _Kraken) -> None:
    """Old facts do not stand in for a pair that Kraken has no more."""
    pair = kraken.listing.resolve("sol/usd")
    kraken.later(50)
    del kraken.rows["SOLUSD"]
    with pytest.raises(UnknownPair, match="any more"):
        kraken.listing.not_older(pair, 10.0, 1.0)


@pytest.mark.parametrize(("later", "calls"), [(0.0, 0), (0.99, 0), (1.0, 1)])
def test_what_was_had_just_now_is_not_asked_for_again(
    kraken: _Kraken, later: float, calls: int
) -> None:
    """Many rows of one pair are one question."""
    first = kraken.listing.single("solusd", 1.0)
    assert isinstance(first, Pair)
    kraken.later(later)
    assert kraken.listing.single("solusd", 1.0) == first
    assert len(kraken.calls) == calls


def test_younger_of_listing_and_single_answer_counts(kraken: _Kraken) -> None:
    """A listing that was fetched later takes the place of what was asked for alone before."""
    kraken.rows["SOLUSD"] = {**LISTING["SOLUSD"], "lot_decimals": 2}
    kraken.listing.single("SOLUSD", 1.0)
    assert kraken.listing.age("SOLUSD") == 0.0
    assert kraken.listing.in_memory("XBTUSD") is None
    kraken.later(20)
    kraken.rows["SOLUSD"] = {**LISTING["SOLUSD"], "lot_decimals": 3}
    kraken.listing.directory()
    found = kraken.listing.in_memory("SOLUSD")
    assert (found and found.lot_decimals, kraken.listing.age("SOLUSD")) == (3, 0.0)
    kraken.later(20)
    kraken.rows["SOLUSD"] = {**LISTING["SOLUSD"], "lot_decimals": 4}
    kraken.listing.single("SOLUSD", 1.0)
    found = kraken.listing.known("sol/usd")
    assert (found and found.lot_decimals, kraken.listing.age("SOL/USD")) == (4, 0.0)


def test_name_that_kraken_does_not_know_alone_is_none(kraken: _Kraken) -> None:
    """And nothing of it is remembered."""
    assert kraken.listing.single("NOPE", 1.0) is None
    assert (kraken.listing.in_memory("NOPE"), kraken.listing.age("NOPE")) == (None, None)
