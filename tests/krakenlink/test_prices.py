"""Where a price comes from: the stream where it is proven, REST else, and never a guess."""

import json
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from typing import Any, cast
from unittest.mock import Mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kraken_api import KrakenAPI, Timeouts
from krakenlink.errors import (
    KrakenAPIError,
    KrakenError,
    PriceUnavailable,
)
from krakenlink.pairs import Symbol
from krakenlink.prices import Prices
from krakenlink.rest.quotes import Quote
from krakenlink.stream.events import Tick
from tests.kits.rest import price_kit, rest_kit
from tests.kits.rest.flight_kit import wait_for_waiting
from tests.kits.rest.rest_kit import (
    LISTING,
    XSTOCKS,
    Web,
    ok,
    refusal,
    ticker,
)

web, rest, streaming = rest_kit.web, rest_kit.rest, price_kit.streaming  # fixtures

# --- prices over REST ---


def test_price_comes_over_rest_without_a_stream(web: Web, rest: KrakenAPI) -> None:
    """The last trade is a float in quote currency, asked for by Kraken's own key."""
    web.on("Ticker", ok(ticker()))
    assert rest.get_current_price("btc-usd") == 50000.10
    assert web.asked("Ticker") == [{"pair": "XXBTZUSD"}]


def test_price_of_another_pair_is_none(web: Web, rest: KrakenAPI) -> None:
    """An answer to somebody else's question, whoever mixed them up, is no price of this pair."""
    web.on("Ticker", ok(ticker("4000", key="XETHZUSD")))
    with pytest.raises(PriceUnavailable, match="holds no price"):
        rest.get_current_price("XBTUSD")


@pytest.mark.parametrize("pair", [None, "", "  ", 5, b"XBTUSD", ["XBTUSD"], {}])
def test_price_needs_a_pair(web: Web, rest: KrakenAPI, pair: Any) -> None:
    """What is no name is refused by the argument's name."""
    for call in (rest.get_current_price, rest.get_quote):
        with pytest.raises(ValueError, match="pair"):
            call(pair)
    assert not web.calls


@pytest.mark.parametrize("price", [None, "0", "-1", "NaN", "Infinity", "1e400", "", "x", 0, True])
def test_price_that_is_none_is_not_returned(web: Web, rest: KrakenAPI, price: object) -> None:
    """Only a finite number above zero is a price."""
    web.on("Ticker", ok(ticker(price)))
    with pytest.raises(PriceUnavailable) as caught:
        rest.get_current_price("XBTUSD")
    assert caught.value.pair == "XBTUSD"


@pytest.mark.parametrize(
    "result",
    [{}, {"A": {}}, {"A": None}, {"A": {"c": []}}, {"A": {"c": "5"}}, {**ticker(), "B": {}}, None],
)
def test_answer_without_one_price_is_none(web: Web, rest: KrakenAPI, result: object) -> None:
    """An empty or odd answer ends in an error, never in a guess."""
    web.on("Ticker", ok(result))
    with pytest.raises(PriceUnavailable):
        rest.get_current_price("XBTUSD")


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcr"), inner),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(JSON)
def test_any_ticker_is_a_price_or_an_error(web: Web, rest: KrakenAPI, result: object) -> None:
    """Whatever the answer holds: a finite positive price, or one of our errors."""
    web.on("Ticker", ok(result))
    try:
        price = rest.get_current_price("XBTUSD")
    except KrakenError:
        return
    assert 0 < price < float("inf")


def test_unknown_pair_is_krakens_error(web: Web, rest: KrakenAPI) -> None:
    """A pair that nobody knows ends in Kraken's own words."""
    web.on("Ticker", refusal("EQuery:Unknown asset pair"))
    web.on("AssetPairs", ok(LISTING))
    with pytest.raises(KrakenAPIError, match="EQuery:Unknown asset pair"):
        rest.get_current_price("NOPE/USD")


def test_unknown_pair_without_a_listing_is_krakens_error(web: Web, rest: KrakenAPI) -> None:
    """Where no other name can be looked up either, the first answer stands."""
    web.on("Ticker", refusal("EQuery:Unknown asset pair"))
    web.on("AssetPairs", (503, ""))
    with pytest.raises(KrakenAPIError, match="EQuery:Unknown asset pair"):
        rest.get_current_price("NOPE/USD")


def test_spelling_that_rest_does_not_know_is_asked_by_its_key(web: Web, rest: KrakenAPI) -> None:
    """`sol-usd` is looked up in the listing once, and asked for by its key from then on."""
    web.on("Ticker", refusal("EQuery:Unknown asset pair"), ok(ticker("150.5", "SOLUSD")))
    web.on("AssetPairs", ok(LISTING))
    assert rest.get_current_price("sol-usd") == 150.5
    assert rest.get_current_price("sol-usd") == 150.5
    assert [p["pair"] for p in web.asked("Ticker")] == ["sol-usd", "SOLUSD", "SOLUSD"]
    assert len(web.asked("AssetPairs")) == 1


def test_other_errors_do_not_lead_to_a_second_name(web: Web, rest: KrakenAPI) -> None:
    """Only an unknown name is worth another one."""
    web.on("Ticker", refusal("EService:Unavailable"))
    with pytest.raises(KrakenAPIError):
        rest.get_current_price("sol-usd")
    assert len(web.calls) == 1


def test_xstock_price_says_its_class(web: Web, rest: KrakenAPI) -> None:
    """An xStock is found in the second listing, and its price is asked for with its class."""
    web.on("Ticker", refusal("EQuery:Unknown asset pair"), ok(ticker("200", "AAPLxUSD")))
    web.on("AssetPairs", ok(LISTING), ok(XSTOCKS))
    assert rest.get_current_price("AAPLx/USD") == 200.0
    assert web.asked("AssetPairs") == [{}, {"aclass_base": "tokenized_asset"}]
    assert web.asked("Ticker")[1] == {"pair": "AAPLxUSD", "asset_class": "tokenized_asset"}


def test_rest_quote_counts_its_age_from_the_question(web: Web, rest: KrakenAPI) -> None:
    """A quote over REST keeps the digits on the wire and is as old as its request."""
    web.on("Ticker", ok(ticker("50000.10")))
    quote = rest.get_quote("XBTUSD", max_age=60)
    assert (quote.pair, quote.symbol, quote.source) == ("XBTUSD", "BTC/USD", "rest")
    assert str(quote.price) == "50000.10"
    assert (quote.bid, quote.ask) == (Decimal("49999.0"), Decimal("50001.0"))
    assert 0 < quote.proven_age < 60


def test_quote_older_than_allowed_is_refused(web: Web, rest: KrakenAPI) -> None:
    """Better no price than one that is older than was asked for."""
    web.on("Ticker", ok(ticker()))
    with pytest.raises(PriceUnavailable, match="wanted") as caught:
        rest.get_quote("XBTUSD", max_age=1e-9)
    assert caught.value.age is not None
    assert caught.value.age > 1e-9


def test_answer_that_came_far_too_late_is_no_price(
    web: Web, rest: KrakenAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine slept between question and answer: what it says is from before."""
    now = [1000.0]
    monkeypatch.setattr("krakenlink.prices.feed_clock", lambda: now[0])

    def late(_: dict[str, str]) -> str:
        now[0] += 3600
        return ok(ticker())

    web.replies["Ticker"] = late
    web.on("AssetPairs", ok(LISTING))
    for call in (rest.get_current_price, rest.get_quote):
        with pytest.raises(PriceUnavailable, match="took 3600 s") as caught:
            call("XBTUSD")
        assert caught.value.age == 3600
    assert isinstance(rest.get_tickers(["XBTUSD"])["XBTUSD"], PriceUnavailable)


@pytest.mark.parametrize("max_age", [0, -1, float("nan"), "x"])
def test_senseless_age_is_refused(web: Web, rest: KrakenAPI, max_age: Any) -> None:
    """An age that no price can have is a mistake of the caller."""
    with pytest.raises(ValueError, match="max_age"):
        rest.get_quote("XBTUSD", max_age=max_age)


# --- many prices in one call ---


def test_one_call_prices_many_pairs(web: Web, rest: KrakenAPI) -> None:
    """All pairs of a class come in one call, under the names they were asked by."""
    web.on("AssetPairs", ok(LISTING))
    web.on("Ticker", ok(ticker() | ticker("150.5", "SOLUSD")))
    found = rest.get_tickers(["XBTUSD", "sol-usd", "BTC/USD"])
    prices = {name: quote.price for name, quote in found.items() if isinstance(quote, Quote)}
    assert prices == {
        "XBTUSD": Decimal("50000.10"),
        "BTC/USD": Decimal("50000.10"),
        "sol-usd": Decimal("150.5"),
    }
    assert web.asked("Ticker") == [{"pair": "SOLUSD,XXBTZUSD"}]


def test_more_pairs_than_an_address_can_hold_are_still_one_call(web: Web, rest: KrakenAPI) -> None:
    """Beyond a hundred names Kraken is asked for all of its pairs; the others are passed over."""
    names = [f"C{number}USD" for number in range(101)]
    listed = {
        name: {"altname": name, "wsname": f"{name[:-3]}/USD", "base": name[:-3], "quote": "ZUSD"}
        for name in names
    }
    web.on("AssetPairs", ok(listed))
    web.on("Ticker", ok({name: ticker("7", name)[name] for name in (*names[1:], "XXBTZUSD")}))
    found = rest.get_tickers(names)
    assert isinstance(found.pop("C0USD"), PriceUnavailable)
    assert all(isinstance(quote, Quote) for quote in found.values())
    assert web.asked("Ticker") == [{}]


def test_failing_pairs_leave_the_others_alone(web: Web, rest: KrakenAPI) -> None:
    """A name that is none, an unknown pair and a missing price are errors of those pairs only."""
    web.on("AssetPairs", ok(LISTING), ok({}))
    web.on("Ticker", ok(ticker()))
    found = rest.get_tickers(["XBTUSD", "NOPE/USD", "SOL/USD", ""])
    kinds = {name: type(value) for name, value in found.items()}
    assert list(found) == ["XBTUSD", "NOPE/USD", "SOL/USD", ""]
    assert kinds["XBTUSD"] is Quote
    assert issubclass(kinds["NOPE/USD"], LookupError)
    assert kinds["SOL/USD"] is PriceUnavailable
    assert issubclass(kinds[""], ValueError)


def test_delisted_pair_does_not_cost_the_others_their_prices(web: Web, rest: KrakenAPI) -> None:
    """When Kraken refuses the list for one bad name, all prices are fetched in one call."""
    web.on("AssetPairs", ok(LISTING))
    web.on("Ticker", refusal("EQuery:Unknown asset pair"), ok(ticker()))
    found = rest.get_tickers(["XBTUSD", "SOL/USD"])
    assert isinstance(found["XBTUSD"], Quote)
    assert isinstance(found["SOL/USD"], PriceUnavailable)
    assert web.asked("Ticker") == [{"pair": "SOLUSD,XXBTZUSD"}, {}]


def test_many_prices_need_an_answer(web: Web, rest: KrakenAPI) -> None:
    """When Kraken cannot be heard or will not answer, the whole call says so."""
    web.on("AssetPairs", ok(LISTING))
    for failure in (refusal("EService:Unavailable"), (503, "")):
        web.on("Ticker", failure)
        with pytest.raises(KrakenError):
            rest.get_tickers(["XBTUSD"])


def test_xstocks_are_priced_in_a_call_of_their_own(web: Web, rest: KrakenAPI) -> None:
    """Kraken prices one class of assets a call."""
    web.on("AssetPairs", ok(LISTING), ok(XSTOCKS))
    web.replies["Ticker"] = lambda p: ok(ticker("5", p["pair"]))
    found = rest.get_tickers(["XBTUSD", "AAPLx/USD"])
    assert all(isinstance(quote, Quote) for quote in found.values())
    assert [p.get("asset_class") for p in web.asked("Ticker")] == [None, "tokenized_asset"]


# --- one pair that fails, and many who ask ---


@pytest.mark.parametrize(
    "text", ["EGeneral:No data", "EQuery:Unknown asset pair", "EData:Something new"]
)
def test_rows_beside_an_error_count(web: Web, rest: KrakenAPI, text: str) -> None:
    """One pair without data takes no price of the others, and is not asked about an order."""
    web.on("AssetPairs", ok(LISTING))
    rows = ticker("7", key="SOLUSD")
    web.on("Ticker", json.dumps({"error": [text], "result": rows}))
    found = rest.get_tickers(["SOL/USD", "DARKUSD"])
    assert isinstance(found["SOL/USD"], Quote)
    assert found["SOL/USD"].price == 7
    assert isinstance(found["DARKUSD"], KrakenError)
    assert "order" not in str(found["DARKUSD"])
    assert rest.get_current_price("SOL/USD") == 7


def test_pairs_are_asked_one_by_one_where_all_at_once_fail(web: Web, rest: KrakenAPI) -> None:
    """Whatever the error is that nobody knows, the good pair has its price."""
    web.on("AssetPairs", ok(LISTING))

    def answer(params: dict[str, str]) -> str:
        if params.get("pair") == "SOLUSD":
            return ok(ticker("7", key="SOLUSD"))
        return refusal("EData:Something new")

    web.replies["Ticker"] = answer
    found = rest.get_tickers(["SOL/USD", "DARKUSD"])
    assert isinstance(found["SOL/USD"], Quote)
    assert "EData:Something new" in str(found["DARKUSD"])


@pytest.mark.parametrize("text", ["EService:Busy", "EAPI:Rate limit exceeded"])
def test_trouble_of_all_is_not_asked_about_one_by_one(web: Web, rest: KrakenAPI, text: str) -> None:
    """What no pair has caused is said once."""
    web.on("AssetPairs", ok(LISTING))
    web.on("Ticker", refusal(text))
    with pytest.raises(KrakenAPIError, match=text):
        rest.get_tickers(["SOL/USD", "DARKUSD"])
    assert len(web.asked("Ticker")) == 1


@pytest.mark.parametrize(("typed", "near"), [("SOL", "SOL/USD"), ("SOLL/USD", "SOL/USD")])
def test_unknown_pair_is_told_with_the_nearest_names(
    web: Web, rest: KrakenAPI, typed: str, near: str
) -> None:
    """As `resolve_pair` tells it, beside Kraken's own words."""
    web.on("AssetPairs", ok(LISTING))
    web.on("Ticker", refusal("EQuery:Unknown asset pair"))
    for call in (rest.get_current_price, rest.get_quote):
        with pytest.raises(KrakenAPIError, match=r"Kraken API error.*EQuery:Unknown") as caught:
            call(typed)
        assert f"the nearest are {near}" in str(caught.value)


def test_many_who_want_one_price_make_one_call(web: Web, rest: KrakenAPI) -> None:
    """Fifty threads ask by two spellings; each gets its own name back."""

    def slow(_: dict[str, str]) -> str:
        wait_for_waiting(rest._prices._flights, 49)
        return ok(ticker())

    web.replies["Ticker"] = slow
    names = ["XBTUSD", "BTC/USD"] * 25
    with ThreadPoolExecutor(50) as pool:
        quotes = list(pool.map(rest.get_quote, names))
    assert [quote.pair for quote in quotes] == names
    assert len(web.asked("Ticker")) == 1


class Counting:
    """A stream that only counts who wants what, and lets a test do something in between."""

    def __init__(self) -> None:
        self.stops = 0
        self.refs: Counter[str] = Counter()
        self.between: Callable[[], None] = lambda: None

    def subscribe_symbol(self, symbol: str, *_: str, **params: int | None) -> int:
        self.between()
        self.refs[symbol] += 1
        of = self.stops
        self.between()
        return of

    def unsubscribe_symbol(self, symbol: str, *_: str, of: int, **params: int | None) -> None:
        if of == self.stops:
            assert self.refs[symbol] > 0, "given back twice"
            self.refs[symbol] -= 1

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None  # no price, and nobody waits


def counted(stream: Counting) -> Prices:
    """Return prices whose stream is `stream`, with pairs that need no asking."""
    asked: Any = {"error": [], "result": {}}
    return Prices(Mock(known=lambda _: None), lambda _: asked, lambda: cast("Any", stream), 1.0)


def test_nothing_is_given_back_twice() -> None:
    """Eight threads let go of fifty symbols at once: each of them goes once."""
    for _ in range(20):
        stream = Counting()
        prices = counted(stream)
        for n in range(50):
            prices._held.follow(cast("Any", stream), f"A{n}/USD", "ticker")
        with ThreadPoolExecutor(8) as pool:
            for one in [pool.submit(prices.let_go) for _ in range(8)]:
                one.result()
        assert set(stream.refs.values()) == {0}


def test_letting_go_in_the_middle_of_following_leaves_nothing_for_ever() -> None:
    """By a finalizer, on this very thread: what it could not give back the next one does."""
    stream = Counting()
    prices = counted(stream)
    stream.between = prices.let_go
    for _ in range(3):
        prices._held.follow(cast("Any", stream), "BTC/USD", "ticker")
    assert stream.refs == {"BTC/USD": 1}
    prices.let_go()
    assert stream.refs == {"BTC/USD": 0}


def test_another_stream_is_owed_nothing() -> None:
    """What was held of one stream is not given back to the next."""
    old, new = Counting(), Counting()
    prices = counted(old)
    prices._held.follow(cast("Any", old), "BTC/USD", "ticker")
    prices._held.follow(cast("Any", new), "ETH/USD", "ticker")
    prices.let_go()
    assert (old.refs, new.refs) == ({"BTC/USD": 1}, {"ETH/USD": 0})


class Telling(Counting):
    """A stream that proves a price of 2 while `is_proving`, and notes who waits for one."""

    def __init__(self) -> None:
        super().__init__()
        self.is_proving = True
        self.waits = 0

    def proven(self, symbol: str) -> tuple[Tick, float] | None:
        tick = Tick(Symbol(symbol), Decimal(2), None, None, 1.0)
        return (tick, 0.5) if self.is_proving else None

    def wait_for_tick(self, symbol: str, timeout: float) -> None:
        self.waits += 1


def told(stream: Telling) -> tuple[Prices, Mock]:
    """Return prices that `stream` tells and REST refuses, with their listing, which knows none."""
    listing = Mock(known=Mock(return_value=None))
    refused: Any = Mock(side_effect=KrakenAPIError("Ticker", ["EService:Unavailable"]))
    return Prices(listing, refused, lambda: cast("Any", stream), 1.0), listing


def test_pair_that_was_proven_is_not_looked_up_again() -> None:
    """What it is called is asked for with the first quote; the next ones have just the price."""
    prices, listing = told(Telling())
    for _ in range(3):
        quote = prices.quote("XBTUSD", None, 0.0)
        assert (quote.pair, quote.symbol) == ("XBTUSD", "BTC/USD")
        assert (quote.price, quote.proven_age) == (Decimal(2), 0.5)
    assert listing.known.call_count == 1


def test_price_that_came_back_is_waited_for_when_it_is_lost_again() -> None:
    """Nobody waits twice in vain, and everybody once for what was there meanwhile."""
    stream = Telling()
    prices, _ = told(stream)
    waits = []
    for is_proving in (True, False, False, True, False, False):
        stream.is_proving = is_proving
        with suppress(KrakenAPIError):
            prices.quote("XBTUSD", None, 0.0)
        waits.append(stream.waits)
    assert waits == [0, 1, 1, 1, 2, 2]


def test_quote_after_an_end_holds_a_subscription_of_its_own() -> None:
    """A price that another client's subscription proves would go with that one."""
    stream = Telling()
    prices, _ = told(stream)
    prices.quote("XBTUSD", None, 0.0)
    prices.let_go()
    assert stream.refs == {"BTC/USD": 0}
    prices.quote("XBTUSD", None, 0.0)
    assert stream.refs == {"BTC/USD": 1}
    stream.stops, stream.refs = 1, Counter()  # somebody has stopped it
    prices.quote("XBTUSD", None, 0.0)
    assert stream.refs == {"BTC/USD": 1}


@pytest.mark.parametrize("calls", [1, 2])  # `between` was called so often when it is stopped
def test_stop_at_the_moment_of_a_subscription_leaves_none_and_takes_none(calls: int) -> None:
    """What came after the stop is given back, and what went with it is not: another has one now."""
    stream, left = Counting(), calls

    def stopped() -> None:
        nonlocal left
        left -= 1
        if not left:
            stream.stops, stream.refs = stream.stops + 1, Counter({"BTC/USD": 1})  # another's

    stream.between = stopped
    prices = counted(stream)
    prices._held.follow(cast("Any", stream), "BTC/USD", "ticker")
    prices._held.follow(cast("Any", stream), "BTC/USD", "ticker")
    assert stream.refs == {"BTC/USD": 2}
    prices.let_go()
    assert stream.refs == {"BTC/USD": 1}


def test_price_has_one_deadline_over_all_its_calls(web: Web) -> None:
    """However many calls a name needs, the promise is kept."""
    timeouts = Timeouts(connect=0.05, read=0.05, retry_pauses=())
    api = KrakenAPI(use_websocket=False, timeouts=timeouts)

    def slow(_: dict[str, str]) -> str:
        time.sleep(0.2)  # the mock knows no deadline; what comes after it does
        return refusal("EQuery:Unknown asset pair")

    web.replies["Ticker"] = slow
    web.on("AssetPairs", ok(LISTING))
    with pytest.raises(KrakenAPIError, match="Unknown asset pair"):
        api.get_current_price("SOLL/USD")
    assert not web.asked("AssetPairs")
