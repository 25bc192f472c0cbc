"""Kraken as the order thread sees it, against the embedded exchange."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from decimal import Decimal

import pytest

from fake_kraken import FakeKraken
from kraken_api import KrakenAPI
from krakenlink.errors import (
    KrakenConnectionError,
)
from krakenlink.rest.verdicts import OutcomeKind
from tests.kits.common.calls_kit import calls_in
from tests.kits.orders.order_exchange_kit import (
    ORDER,
    OURS,
    PAIR,
    THEIRS,
    deadline_of,
    kraken,
    place,
    said,
)
from ttslo_app.clocks import KrakenClock
from ttslo_app.orders.exchange import KrakenExchange

__all__ = ["kraken", "said"]

# --- Kraken's clock --------------------------------------------------------------------------


@pytest.mark.parametrize(("offset", "words"), [(30.0, "behind"), (-30.0, "ahead of")])
def test_clock_that_is_off_is_allowed_for_and_told_once(
    exchange: FakeKraken, kraken: KrakenExchange, said: list[str], offset: float, words: str
) -> None:
    """Half a minute between the clocks: the deadline is Kraken's, the order placed, all is said."""
    exchange.clock_offset = offset
    kraken.set_clock()
    kraken.set_clock()
    (told,) = said
    assert re.fullmatch(rf"WARNING This machine's clock is (29|30|31) s {words} Kraken's.*", told)
    assert abs(kraken.now() - exchange.now()) < 2
    assert place(kraken) == exchange.orders[0]["txid"]


def test_clock_that_goes_wrong_again_is_told_again(
    exchange: FakeKraken, kraken: KrakenExchange, said: list[str]
) -> None:
    """One word each time that it goes wrong, and one once it is right."""
    for offset in (30.0, 0.0, 30.0):
        exchange.clock_offset = offset
        kraken.set_clock()
    assert [words.split()[0] for words in said] == ["WARNING", "INFO", "WARNING"]


@pytest.mark.parametrize("offset", [30.0, -60.0])
def test_clock_that_is_off_unnoticed_refuses_for_now(
    exchange: FakeKraken, kraken: KrakenExchange, offset: float
) -> None:
    """Before the clocks are compared a wrong deadline never places, and never ends the row."""
    exchange.clock_offset = offset
    outcome = kraken.place(ORDER, OURS, deadline_of(kraken, 20.0))
    is_unknown = outcome.kind is OutcomeKind.UNKNOWN  # the word `elapsed` is looked into
    assert is_unknown or (outcome.kind is OutcomeKind.REFUSED and outcome.heals)
    assert exchange.placed_count() == 0


def test_deadline_that_is_refused_lets_the_clocks_be_compared(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """The next try goes by Kraken's clock, whenever this machine's was set."""
    exchange.clock_offset = -60.0
    outcome = kraken.place(ORDER, OURS, deadline_of(kraken, 20.0))
    assert outcome.kind is OutcomeKind.REFUSED
    assert place(kraken) == exchange.orders[0]["txid"]


def test_clocks_that_agree_are_no_news(kraken: KrakenExchange, said: list[str]) -> None:
    """A second of difference, which is as well as it is known, is not worth a word."""
    kraken.set_clock()
    assert not said
    assert abs(kraken.now() - time.time()) < 2


@pytest.mark.parametrize(
    ("offset", "known"),
    [(0.0, 0.0), (0.9, 0.9), (2.5, 2.5), (-2.5, -2.5)],
    ids=["right", "a little behind", "behind", "ahead"],
)
def test_clock_is_known_better_the_more_often_it_is_asked(
    monkeypatch: pytest.MonkeyPatch, offset: float, known: float
) -> None:
    """Kraken tells whole seconds; asked at many parts of a second it tells more than that."""
    wall = 1000.0
    monkeypatch.setattr(KrakenAPI, "server_time", lambda self: int(wall + offset))
    api = KrakenAPI(use_websocket=False)
    clock = KrakenClock(lambda: wall, lambda: wall, lambda *words, **fields: None)
    kraken = KrakenExchange(api, api, lambda: wall, lambda *words, **fields: None, clock)
    for _ in range(50):
        wall += 60.13
        kraken.set_clock()
    assert kraken.now() - wall == pytest.approx(known, abs=0.06)
    offset -= 30  # it is set
    kraken.set_clock()
    assert kraken.now() - wall == pytest.approx(known - 30, abs=1)
    api.close()


def test_clock_that_cannot_be_asked_keeps_the_old_estimate(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """A failed question raises and leaves what was known."""
    exchange.clock_offset = 30.0
    kraken.set_clock()
    exchange.fault("http_502", endpoint="Time")
    with pytest.raises(KrakenConnectionError):
        kraken.set_clock()
    assert kraken.now() - time.time() > 25


# --- placing ---------------------------------------------------------------------------------


def test_order_goes_out_to_the_letter(exchange: FakeKraken, kraken: KrakenExchange) -> None:
    """What was written down is what is sent, with the id, the deadline and the last price."""
    deadline = deadline_of(kraken)
    kraken.place(ORDER, OURS, deadline)
    (sent,) = [r.params for r in exchange.requests if r.endpoint == "AddOrder"]
    assert sent == {
        "ordertype": "trailing-stop",
        "type": "sell",
        "pair": PAIR,
        "volume": "0.01",
        "price": "+1.25%",
        "trigger": "last",
        "cl_ord_id": OURS,
        "deadline": deadline,
    }


@pytest.mark.parametrize("price", ["+5.00%", "+0.333%", "+12%"])
def test_offset_reaches_kraken_as_it_was_written_down(
    exchange: FakeKraken, kraken: KrakenExchange, price: str
) -> None:
    """No number stands between the intent and the wire."""
    written = replace(ORDER, price=price)
    kraken.place(written, OURS, deadline_of(kraken))
    (sent,) = [r.params for r in exchange.requests if r.endpoint == "AddOrder"]
    assert sent["price"] == price


def test_order_that_was_prepared_is_written_out_no_more(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """Neither its arguments nor its text are gone through at its crossing; another's are."""
    kraken.prepare(ORDER)
    seen = calls_in(lambda: place(kraken))
    assert (seen["prepare_order"], seen["checked_pair"]) == (0, 0)
    other = replace(ORDER, volume="0.02")
    seen = calls_in(lambda: kraken.place(other, THEIRS, deadline_of(kraken)))
    assert seen["prepare_order"] == 1
    volumes = [r.params["volume"] for r in exchange.requests if r.endpoint == "AddOrder"]
    assert volumes == ["0.01", "0.02"]


@pytest.mark.parametrize("is_later", [False, True])
def test_order_is_sent_as_it_was_written_down_whatever_is_known_of_its_pair(
    exchange: FakeKraken, kraken: KrakenExchange, is_later: bool
) -> None:
    """Coarser digits that are told before it is prepared, or still when it is sent, cut nothing.

    By what the journal says of it an order is found again, and known to be ours.
    """
    order, listing = replace(ORDER, volume="0.19"), kraken._trading.listing
    kraken._trading.resolve_pair(PAIR)
    told, listing.streamed = listing.streamed, lambda pair: (pair._replace(lot_decimals=1), 0.0)
    kraken.prepare(order)
    if not is_later:
        listing.streamed = told
    kraken.place(order, OURS, deadline_of(kraken))
    assert exchange.requests[-1].params["volume"] == "0.19"


def test_order_that_cannot_be_written_out_is_refused_when_it_is_sent(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """Nobody is there to be told before."""
    bad = replace(ORDER, volume="none")
    kraken.prepare(bad)
    outcome = kraken.place(bad, OURS, deadline_of(kraken))
    assert outcome.kind is OutcomeKind.REFUSED
    assert "volume must be positive" in outcome.reason
    assert not [r for r in exchange.requests if r.endpoint == "AddOrder"]


def test_order_goes_over_the_connection_that_was_warmed_up(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """No handshake stands between the crossing and the order."""
    kraken.warm_up()
    assert exchange.requests
    place(kraken)
    assert len({request.connection for request in exchange.requests}) == 1


def test_order_that_comes_too_late_may_be_tried_again(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """A deadline that was too near when it arrived says nothing against the row."""
    outcome = kraken.place(ORDER, OURS, deadline_of(kraken, 1.0))
    assert (outcome.kind, outcome.heals) == (OutcomeKind.REFUSED, True)
    assert outcome.cure == "It came too late for its deadline; the next one gets a new one."
    assert exchange.placed_count() == 0


def test_lost_answer_is_unknown_and_sent_once(exchange: FakeKraken, kraken: KrakenExchange) -> None:
    """Nothing on the way to Kraken sends an order a second time."""
    exchange.fault("lost_reply", endpoint="AddOrder")
    outcome = kraken.place(ORDER, OURS, deadline_of(kraken))
    assert outcome.kind is OutcomeKind.UNKNOWN
    assert exchange.count("AddOrder") == exchange.placed_count() == 1


def test_refused_nonce_proves_nothing(exchange: FakeKraken, kraken: KrakenExchange) -> None:
    """Something on the way may have sent the order twice, and the first copy may stand."""
    exchange.fault("nonce_refused", endpoint="AddOrder")
    first = kraken.place(ORDER, OURS, deadline_of(kraken))
    again = kraken.place(ORDER, OURS, deadline_of(kraken))
    assert (first.kind, again.kind) == (OutcomeKind.UNKNOWN, OutcomeKind.UNKNOWN)


@pytest.mark.parametrize(
    "text",
    [
        "EOrder:duplicate clOrdId",
        "EOrder:Duplicate client order id",
        "EOrder:cl_ord_id already in use",
    ],
)
def test_id_that_is_in_use_proves_that_its_order_stands(
    exchange: FakeKraken, kraken: KrakenExchange, text: str
) -> None:
    """Whoever gets this answer sends no other, and looks until the order is shown."""
    assert kraken.find(OURS, ORDER) is None
    exchange.fault("error", endpoint="AddOrder", text=text)
    outcome = kraken.place(ORDER, OURS, deadline_of(kraken))
    assert (outcome.kind, outcome.stands) == (OutcomeKind.UNKNOWN, True)


def test_refusal_says_its_cure_once(exchange: FakeKraken, kraken: KrakenExchange) -> None:
    """The reason is Kraken's word, and the cure is beside it and not inside it."""
    exchange.fault("error", endpoint="AddOrder", text="EOrder:Insufficient funds")
    outcome = kraken.place(ORDER, OURS, deadline_of(kraken))
    assert outcome.reason == "Kraken API error on AddOrder: EOrder:Insufficient funds"
    assert outcome.cure.startswith("Deposit funds")


# --- checking --------------------------------------------------------------------------------


def test_check_of_a_good_order_places_nothing(exchange: FakeKraken, kraken: KrakenExchange) -> None:
    """A validation that Kraken would take is valid, and no order stands."""
    assert kraken.check(ORDER).kind is OutcomeKind.VALID
    assert exchange.placed_count() == 0


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        ("EOrder:Order minimum not met", "Raise the volume"),
        ("EOrder:Insufficient funds", "Deposit funds"),
        ("EGeneral:Permission denied", "The API key lacks a permission"),
    ],
)
def test_check_says_what_kraken_would_refuse(
    exchange: FakeKraken, kraken: KrakenExchange, error: str, cure: str
) -> None:
    """What would go wrong at the crossing comes back as a refusal with its cure."""
    exchange.fault("error", endpoint="AddOrder", text=error)
    outcome = kraken.check(ORDER)
    assert outcome.kind is OutcomeKind.REFUSED
    assert error in outcome.reason
    assert outcome.cure.startswith(cure)


def test_check_without_an_answer_is_unknown(exchange: FakeKraken, kraken: KrakenExchange) -> None:
    """Could not be checked is not the same as would be refused."""
    exchange.fault("http_502", endpoint="AddOrder")
    assert kraken.check(ORDER).kind is OutcomeKind.UNKNOWN


# --- markets ---------------------------------------------------------------------------------


def test_market_is_kraken_s_and_asked_for_once(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """Any spelling is one market, with Kraken's limits; the second question costs no call."""
    market = kraken.market_of("btc-usd")
    asked = len(exchange.requests)
    assert kraken.market_of("btc-usd") is market
    assert len(exchange.requests) == asked
    assert (market.name, market.rest_key, market.lot_decimals) == ("BTC/USD", PAIR, 8)
    assert (market.ordermin, market.costmin) == (Decimal("0.00005"), Decimal("0.5"))


def test_market_that_was_learned_costs_a_crossing_no_call(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """What the validation was told of a pair is not asked for again; a later telling counts."""
    pair = KrakenAPI(base_url=exchange.rest_url).resolve_pair(PAIR)
    asked = len(exchange.requests)
    market = kraken.learn("my btc", pair)
    assert (market.rest_key, market.costmin) == (PAIR, Decimal("0.5"))
    assert kraken.market_of("my btc") is market
    kraken.learn("my btc", pair._replace(costmin=Decimal(1)))
    assert kraken.market_of("my btc").costmin == 1
    assert len(exchange.requests) == asked


def test_market_is_as_the_stream_proves_it_at_this_moment(exchange: FakeKraken) -> None:
    """Without a call; where it proves nothing any more, what was known last stays."""
    key, secret, url = exchange.api_key, exchange.api_secret, exchange.rest_url
    with (
        KrakenAPI(base_url=url, ws_url=exchange.ws_url) as reading,
        KrakenAPI(key, secret, url, use_websocket=False) as trading,
    ):
        made = KrakenExchange(trading, reading, time.time, lambda *_, **__: None)
        assert made.market_of(PAIR).lot_decimals == 8
        assert reading.follow_instruments(60.0)
        asked = len(exchange.requests)
        exchange.change_pair(PAIR, lot_decimals=3, ordermin="0.02")
        assert exchange.wait_for(lambda _: made.market_of(PAIR).lot_decimals == 3)
        market = made.market_of(PAIR)
        assert (market.ordermin, market.rest_key) == (Decimal("0.02"), PAIR)
        assert made.market_of(PAIR) is market
        provider = reading.price_provider()
        assert provider is not None
        provider.stop(60.0)
        assert reading.listing.streamed(reading.resolve_pair(PAIR)) is None
        assert made.market_of(PAIR) is market
        assert len(exchange.requests) == asked


def test_market_that_kraken_does_not_have_is_a_lookup_error(kraken: KrakenExchange) -> None:
    """An unknown pair is said to be one."""
    with pytest.raises(LookupError):
        kraken.market_of("NOPE/USD")


def test_pair_that_the_listing_calls_closed_costs_its_order_no_call(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """The listing is of today or yesterday; Kraken decides when the order comes."""
    exchange.set_pair_status(PAIR, "cancel_only")
    market = kraken.market_of("btc-usd")
    exchange.set_pair_status(PAIR, "online")
    before = len(exchange.requests)
    assert kraken.market_of("btc-usd") is market
    place(kraken)
    assert [r.endpoint for r in exchange.requests[before:]] == ["AddOrder"]


def test_pair_that_is_closed_is_refused_by_kraken_and_may_heal(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """The order is tried again: nothing here decides that it cannot be placed."""
    exchange.set_pair_status(PAIR, "cancel_only")
    outcome = kraken.place(ORDER, OURS, deadline_of(kraken))
    assert (outcome.kind, outcome.heals) == (OutcomeKind.REFUSED, True)


@pytest.mark.parametrize(
    ("text", "asks"),
    [("EOrder:Insufficient funds", 0), ("EGeneral:Invalid arguments:deadline", 1)],
)
def test_time_is_asked_for_only_where_a_deadline_was_refused(
    text: str, asks: int, kraken: KrakenExchange, exchange: FakeKraken
) -> None:
    """Any other refusal says nothing of the clock, and the next order does not wait for it."""
    kraken.set_clock()
    before = exchange.count("Time")
    exchange.fault("error", endpoint="AddOrder", text=text, count=1)
    outcome = kraken.place(ORDER, OURS, deadline_of(kraken))
    assert outcome.kind is OutcomeKind.REFUSED
    assert exchange.count("Time") - before == asks
