"""The listing where the stream tells of pairs: what is proven now comes before what was listed."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pytest

from krakenlink.pairs import Pair, UnknownPair
from krakenlink.rest.listing import Listing
from tests.kits.rest.rest_kit import LISTING

NEW_MINIMUM = Decimal("0.5")


class Told:
    """A listing, what it has asked, and a stream that may tell of pairs."""

    def __init__(self) -> None:
        self.calls: list[dict[str, object]] = []
        self.age = 0.25
        self.rows = LISTING
        self.is_proven = True
        self.asked_of: list[str] = []
        self.listing = Listing(self.ask, lambda: None)
        self.listing.streamed = self.streamed

    def ask(self, params: Mapping[str, object], within: float | None) -> object:
        """Answer as AssetPairs."""
        self.calls.append(dict(params))
        wanted = str(params.get("pair", ""))
        return {
            k: r for k, r in self.rows.items() if wanted in ("", k, r["altname"], r.get("wsname"))
        }

    def streamed(self, pair: Pair) -> tuple[Pair, float] | None:
        """Tell of a new minimum of every pair that is streamed."""
        self.asked_of.append(pair.rest_key)
        if not self.is_proven or pair.symbol is None:
            return None
        return pair._replace(ordermin=NEW_MINIMUM, status="cancel_only"), self.age


@pytest.fixture
def told() -> Told:
    """A listing that has been had, and a stream that proves."""
    made = Told()
    made.listing.directory()
    made.calls.clear()
    return made


@pytest.mark.parametrize("name", ["XXBTZUSD", "XBTUSD", "BTC/USD", "btc-usd"])
def test_streamed_facts_come_first_by_every_name(told: Told, name: str) -> None:
    """Looked up, or resolved."""
    for pair in (
        told.listing.in_memory(name),
        told.listing.known(name),
        told.listing.resolve(name),
    ):
        assert pair is not None
        assert (pair.ordermin, pair.status) == (NEW_MINIMUM, "cancel_only")
        assert pair.rest_key == "XXBTZUSD"
    assert told.calls == []


def test_age_is_that_of_the_proof(told: Told) -> None:
    """Not that of the listing."""
    told.age = 2.0
    age = told.listing.age("XBTUSD")
    assert age is not None
    assert 2.0 <= age < 60.0


def test_young_facts_cost_no_call(told: Told) -> None:
    """Whoever wants them so young gets the stream's."""
    pair = told.listing.resolve("XBTUSD")
    found = told.listing.not_older(pair, 60.0, 5.0)
    assert (found.ordermin, told.calls) == (NEW_MINIMUM, [])


def test_facts_that_are_to_be_younger_than_the_proof_are_asked_for(told: Told) -> None:
    """A proof of 2 s ago is none of half a second ago."""
    told.age = 2.0
    pair = told.listing.resolve("XBTUSD")
    told.listing.not_older(pair, 0.5, 5.0)
    assert [call["pair"] for call in told.calls] == ["XXBTZUSD"]


def test_listing_answers_where_the_stream_proves_nothing(told: Told) -> None:
    """At once, and again the stream once it does."""
    told.is_proven = False
    pair = told.listing.in_memory("XBTUSD")
    assert pair is not None
    assert pair.ordermin != NEW_MINIMUM
    told.is_proven = True
    pair = told.listing.in_memory("XBTUSD")
    assert pair is not None
    assert pair.ordermin == NEW_MINIMUM


def test_name_that_nobody_knows_is_asked_of_no_stream(told: Told) -> None:
    """It knows pairs by their symbols."""
    told.asked_of.clear()
    assert told.listing.in_memory("NOSUCHPAIR") is None
    assert told.listing.age("NOSUCHPAIR") is None
    assert told.asked_of == []


def test_listing_without_a_stream_is_as_it_was() -> None:
    """Nothing is streamed unless somebody says so."""
    told = Told()
    listing = Listing(told.ask, lambda: None)
    listing.directory()
    pair = listing.in_memory("XBTUSD")
    assert pair is not None
    assert pair.ordermin != NEW_MINIMUM
    assert told.asked_of == []


def test_pair_that_only_the_stream_knows_is_asked_for_alone_and_at_once(
    told: Told,
) -> None:
    """It is younger than the listing; once REST has named it, no further call is made."""
    told.listing.is_streamed = lambda name: name == "NEW/USD"
    for _ in range(2):
        with pytest.raises(UnknownPair):
            told.listing.resolve("NEW/USD")
    assert told.calls[-2:] == [{"pair": "NEW/USD"}] * 2
    row = {**LISTING["XXBTZUSD"], "altname": "NEWUSD", "wsname": "NEW/USD", "base": "NEW"}
    told.rows, told.calls = {"NEWUSD": row}, []
    for _ in range(3):
        pair = told.listing.resolve("NEW/USD")
        assert (pair.rest_key, pair.symbol, pair.ordermin) == ("NEWUSD", "NEW/USD", NEW_MINIMUM)
    assert told.calls == [{"pair": "NEW/USD"}]


def test_answer_about_another_pair_is_none_of_a_pair_that_is_streamed() -> None:
    """A server that looks at no parameter must not have one pair pass for another."""
    rows = {"XXBTZUSD": LISTING["XXBTZUSD"]}
    listing = Listing(lambda params, within: rows, lambda: None)
    listing.is_streamed = lambda name: name == "NEW/USD"
    for _ in range(2):
        with pytest.raises(UnknownPair):
            listing.resolve("NEW/USD")
    assert listing.in_memory("NEW/USD") is None


def test_name_that_the_stream_does_not_know_either_is_asked_for_no_more(told: Told) -> None:
    """It is a slip, mostly."""
    with pytest.raises(UnknownPair):
        told.listing.resolve("NEW/USD")
    told.calls.clear()
    with pytest.raises(UnknownPair):
        told.listing.resolve("NEW/USD")
    assert told.calls == []
