"""The feed without a socket: what frames mean, and every state with every signal."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenlink.stream.feed import (
    SUB_TRANSITIONS,
    TRANSITIONS,
    Ack,
    Channel,
    Complaint,
    Damaged,
    Event,
    FeedBack,
    FeedClosed,
    FeedConnecting,
    FeedLive,
    FeedProtocol,
    FeedSettings,
    FeedSignal,
    FeedStale,
    FeedState,
    FeedSuspect,
    FirstData,
    NoPrice,
    Pong,
    RateRefusal,
    Resubscribed,
    StateError,
    Status,
    Subscription,
    SubSignal,
    SubState,
    Symbol,
    SymbolDistrusted,
    SymbolMute,
    SymbolRefused,
    SymbolTrusted,
    SystemState,
    Tick,
    TradePrint,
    Trades,
    decode_frame,
    next_state,
    read_tick,
    retry_delay,
)

BTC, ETH = Symbol("BTC/USD"), Symbol("ETH/USD")
TICKER, TRADE = Channel.TICKER, Channel.TRADE

WIRE = (
    '{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":49999.9,'
    '"bid_qty":1.25000000,"ask":50000.20,"ask_qty":5e-05,"last":50000.10,"volume":1234.5,'
    '"vwap":49876.5,"low":49000,"high":51000.0,"change":-123.4,"change_pct":-0.25,'
    '"timestamp":"2026-11-23T02:11:31.742648Z"}]}'
)


def ticker_frame(symbol: str = BTC, **fields: Any) -> str:
    """Return a ticker frame in which `fields` stand for or beside the usual ones."""
    row = {"symbol": symbol, "bid": 1.0, "ask": 3.0, "last": 2.0} | fields
    return json.dumps({"channel": "ticker", "type": "update", "data": [row]})


def ack_frame(symbol: str | None, req_id: int | None, error: str = "", **more: Any) -> str:
    """Return Kraken's answer to a subscribe: accepted without `error`, refused with one."""
    answer: dict[str, Any] = {"method": "subscribe", "success": not error}
    if req_id is not None:
        answer["req_id"] = req_id
    if error:
        answer |= {"error": error} | ({"symbol": symbol} if symbol else {})
    else:
        answer["result"] = {"channel": "ticker", "symbol": symbol, "snapshot": True}
    return json.dumps(answer | more)


def tell(feed: FeedProtocol, *frames: str, at: float) -> list[Event]:
    """Let `feed` receive frames at one moment; return its events."""
    feed.heard(at)
    messages = [message for frame in frames for message in decode_frame(frame, at)]
    return [event for message in messages for event in feed.receive(message, at)]


def price(feed: FeedProtocol, symbol: str = BTC) -> Decimal | None:
    """Return the price that counts, without regard to the clock."""
    tick = feed.tickers[symbol].proven
    return tick.price if tick else None


def sent(feed: FeedProtocol, at: float) -> list[dict[str, Any]]:
    """Return what `feed` sends at a moment, without pings."""
    messages = [json.loads(frame) for frame in feed.due(at).frames]
    return [message for message in messages if message["method"] != "ping"]


def opened_feed(*symbols: str, channel: Channel = TICKER, **settings: Any) -> FeedProtocol:
    """Return a feed that has connected at second 100 and asked for `symbols` (req_id 1)."""
    feed = FeedProtocol(FeedSettings(**settings))
    for symbol in symbols:
        feed.want(Symbol(symbol), channel)
    feed.attempt(100.0)
    feed.opened(100.0)
    feed.due(100.0)
    return feed


def live_feed(**settings: Any) -> FeedProtocol:
    """Return a feed on which BTC/USD is live with a price of 2."""
    feed = opened_feed(BTC, **settings)
    tell(feed, ack_frame(BTC, 1), ticker_frame(), at=100.5)
    return feed


# ------------------------------------------------------------------------------------- frames


def test_ticker_keeps_the_digits_on_the_wire() -> None:
    """A ticker frame becomes a tick with every digit, trailing zeros included."""
    tick = read_tick(WIRE, 7.0)
    assert tick is not None
    assert (str(tick.price), str(tick.bid), str(tick.ask)) == ("50000.10", "49999.9", "50000.20")
    assert decode_frame(WIRE, 7.0) == (tick,)
    assert (tick.symbol, tick.at, tick.timestamp) == (BTC, 7.0, "2026-11-23T02:11:31.742648Z")


NUMBERS = st.one_of(
    st.integers(-(10**40), 10**40).map(str),
    st.decimals(-(10**9), 10**9, places=8).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(json.dumps),
    st.sampled_from(["0", "-0", "0.0", "1e400", "5E-05", "1e-31", "9e30", "-1", "007", "1."]),
)
SYMBOLS = st.one_of(st.just("BTC/USD"), st.text(max_size=8), st.text(max_size=8).map(json.dumps))


@given(SYMBOLS, NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.booleans())
def test_short_way_reads_nothing_else_than_the_decoder(
    symbol: str, bid: str, ask: str, last: str, volume: str, has_time: bool
) -> None:
    """What the hot path takes, the JSON decoder takes as the very same tick."""
    end = ',"timestamp":"2026"' if has_time else ""
    frame = (
        f'{{"channel":"ticker","type":"update","data":[{{"symbol":"{symbol}","bid":{bid},'
        f'"bid_qty":1.0,"ask":{ask},"ask_qty":2,"last":{last},"volume":{volume}{end}}}]}}'
    )
    tick = read_tick(frame, 1.0)
    if tick is not None:
        assert decode_frame(f" {frame}", 1.0) == (tick,)


def test_short_way_is_taken_by_the_usual_frame_and_no_other() -> None:
    """Only whole ticker frames in Kraken's own order of fields are read the short way."""
    assert read_tick(WIRE, 1.0) is not None
    for odd in (f"{WIRE} ", WIRE[:-1], WIRE.replace("50000.10", '"50000.10"'), WIRE * 2, ""):
        assert read_tick(odd, 1.0) is None


@pytest.mark.parametrize("spelling", [2, 2.5, "2.5", 5e-05, 1e-08, "1E+3", 123456789012345678])
def test_ticker_prices_may_be_ints_floats_text_or_scientific(spelling: object) -> None:
    """Every way in which Kraken is known to write a number is the number."""
    (message,) = decode_frame(ticker_frame(last=spelling), 1.0)
    assert isinstance(message, Tick)
    assert message.price == Decimal(str(spelling))


@pytest.mark.parametrize(
    "last",
    [
        *("-1", "-0.5", "NaN", "Infinity", "-Infinity", "1e400", "1e31", "1e-31", "true", "[]"),
        *("{}", "1e99999999999999999999", '"NaN"', '"Infinity"', '"abc"', '""', '"1_000"', '"٣"'),
    ],
)
def test_price_that_is_not_finite_and_positive_is_dropped(last: str) -> None:
    """No spelling of an impossible price gets through, on either way of reading."""
    for frame in (WIRE.replace("50000.10", last), WIRE.replace("50000.10", f" {last}")):
        (message,) = decode_frame(frame, 1.0)
        assert isinstance(message, Damaged)


@pytest.mark.parametrize("fields", [{"last": None}, {"last": 0}, {"last": 0.0}])
def test_ticker_without_a_last_price_says_so(fields: dict[str, Any]) -> None:
    """A market that did not trade within a day is told apart from a damaged frame."""
    assert decode_frame(ticker_frame(**fields), 1.0) == (NoPrice(BTC),)
    assert decode_frame(WIRE.replace(',"last":50000.10', ""), 1.0) == (NoPrice(BTC),)


def test_ticker_with_an_empty_side_has_no_bid_there() -> None:
    """A bid or ask of 0, or none at all, is None and costs nothing of the price."""
    tick = read_tick(WIRE.replace("49999.9", "0.0"), 1.0)
    assert tick is not None
    assert (tick.bid, tick.price) == (None, Decimal("50000.10"))
    (message,) = decode_frame('{"channel":"ticker","data":[{"symbol":"A/B","last":1}]}', 1.0)
    assert message == Tick(Symbol("A/B"), Decimal(1), None, None, 1.0, None)


@pytest.mark.parametrize(
    "frame",
    [
        *(
            "",
            "{",
            "nonsense",
            "[]",
            "3",
            "null",
            "{}",
            '{"channel":5}',
            b"\xff\xfe",
            "[" * 100_000,
        ),
        "[" * 100_000,
        *('{"channel":"ticker"}', '{"channel":"ticker","data":[{"last":1}]}', '{"a":' + "9" * 5000),
        *('{"channel":"trade","data":[{"symbol":"BTC/USD"}]}', '{"method":"dance"}'),
    ],
)
def test_frame_that_cannot_be_read_is_counted_as_damaged(frame: str | bytes) -> None:
    """Broken frames are dropped one by one, and never silently."""
    (message,) = decode_frame(frame, 1.0)
    assert isinstance(message, Damaged)


@pytest.mark.parametrize(
    "frame", ['{"channel":"heartbeat"}', '{"channel":"ohlc","data":[]}', '{"channel":"status"}']
)
def test_frame_that_concerns_nobody_says_nothing(frame: str) -> None:
    """Heartbeats and channels that nobody reads are a sign of life and no more."""
    assert decode_frame(frame, 1.0) == ()


WORDS = st.sampled_from(
    [
        *("channel", "type", "data", "symbol", "last", "bid", "price", "qty", "trade_id"),
        *("method", "success", "result", "error", "req_id", "system", "warnings", "Error"),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=12,
)
KRAKENISH = st.builds(
    lambda base, more: base | more,
    st.sampled_from(
        [{"channel": c} for c in ("ticker", "trade", "status")]
        + [{"method": m} for m in ("subscribe", "unsubscribe", "pong")]
    ),
    st.dictionaries(WORDS, JSON, max_size=6),
)


@given(st.one_of(st.text(), st.binary(), JSON.map(json.dumps), KRAKENISH.map(json.dumps)))
def test_no_frame_raises_or_yields_an_impossible_price(frame: str | bytes) -> None:
    """Whatever arrives is read without an error, and prices are finite and positive."""
    feed = opened_feed(BTC, "", "0")
    for message in decode_frame(frame, 101.0):
        prices = [message.price] if isinstance(message, Tick) else []
        prices += [p.price for p in message.prints] if isinstance(message, Trades) else []
        assert all(p.is_finite() and p > 0 and math.isfinite(float(p)) for p in prices)
        feed.receive(message, 101.0)


def test_trades_of_one_frame_come_in_order_and_by_market() -> None:
    """A sweep that prints several trades is several prices; a bad print takes no other with it."""
    rows = [
        {"symbol": BTC, "side": "buy", "price": 2.50, "qty": 1e-08, "trade_id": 7},
        {"symbol": ETH, "side": "buy", "price": 9, "qty": 1, "trade_id": 3, "timestamp": "t"},
        {"symbol": BTC, "side": "buy", "price": -1, "qty": 1, "trade_id": 8},
        {"symbol": BTC, "side": "buy", "price": "2.60", "qty": 4, "trade_id": 9},
    ]
    frame = json.dumps({"channel": "trade", "type": "update", "data": rows})
    bad, btc, eth = decode_frame(frame, 1.0)
    assert isinstance(bad, Damaged)
    assert isinstance(btc, Trades)
    assert [(p.trade_id, str(p.price)) for p in btc.prints] == [(7, "2.5"), (9, "2.60")]
    assert eth == Trades(ETH, (TradePrint(ETH, Decimal(9), Decimal(1), 3, "t"),), 1.0)


def test_trades_of_a_snapshot_say_so() -> None:
    """Old trades, sent at subscribing, are told apart from new ones."""
    rows = [{"symbol": BTC, "price": 1, "qty": 1, "trade_id": 1}]
    (trades,) = decode_frame(
        json.dumps({"channel": "trade", "type": "snapshot", "data": rows}), 1.0
    )
    assert isinstance(trades, Trades)
    assert trades.is_snapshot


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (ack_frame(BTC, 7), Ack("subscribe", True, "ticker", BTC, 7)),
        (
            ack_frame(BTC, 7, "Currency pair not supported BTC/USD"),
            Ack("subscribe", False, None, BTC, 7, "Currency pair not supported BTC/USD"),
        ),
        (
            ack_frame(BTC, 7, "Already subscribed"),
            Ack("subscribe", True, None, BTC, 7, "Already subscribed"),
        ),
        (
            ack_frame(BTC, 7, success="yes"),
            Ack("subscribe", False, "ticker", BTC, 7),
        ),
        (
            '{"method":"subscribe","success":true,"req_id":1,"result":{"warnings":["w"]}}',
            Ack("subscribe", True, None, None, 1, "", ("w",)),
        ),
        (
            '{"error":"Symbol(s) not found","success":false,"req_id":true,"symbol":"A/B"}',
            Ack("subscribe", False, None, Symbol("A/B"), None, "Symbol(s) not found"),
        ),
        ('{"Error":"Exceeded msg rate"}', RateRefusal()),
        ('{"error":"Exceeded msg rate","req_id":4}', RateRefusal(4)),
        ('{"event":"error","errorMessage":"Exceeded msg rate"}', RateRefusal()),
        (ack_frame(BTC, 7, "Exceeded msg rate"), RateRefusal(7, BTC)),
        ('{"error":"Something else"}', Complaint("Something else")),
        (
            '{"method":"subscribe"}',
            Complaint("an answer that names neither a symbol nor a request"),
        ),
        ('{"method":"pong","req_id":1}', Pong()),
        ('{"channel":"status","type":"update","data":[{"system":"online"}]}', Status("online")),
    ],
)
def test_answer_is_read_in_every_shape_that_is_known(frame: str, message: object) -> None:
    """Acks, refusals, rate limits and status come in the shapes that Kraken was seen to send."""
    assert decode_frame(frame, 1.0) == (message,)


# ------------------------------------------------------------------------------------- tables


@pytest.mark.parametrize("signal", FeedSignal)
@pytest.mark.parametrize("state", FeedState)
def test_link_goes_where_the_table_says_or_stays(state: FeedState, signal: FeedSignal) -> None:
    """Each state with each signal leads on as written, or raises and changes nothing."""
    feed = FeedProtocol(FeedSettings())
    feed.state = state
    if (state, signal) in TRANSITIONS:
        feed._step(signal)
        assert feed.state is TRANSITIONS[state, signal]
    else:
        with pytest.raises(StateError, match=signal.name):
            feed._step(signal)
        assert feed.state is state


@pytest.mark.parametrize("signal", SubSignal)
@pytest.mark.parametrize("state", SubState)
def test_subscription_goes_where_the_table_says_or_stays(
    state: SubState, signal: SubSignal
) -> None:
    """Each state with each signal leads on as written, and only a live one keeps its price."""
    sub = Subscription(BTC, TICKER, 100, state=state)
    sub.prove(Tick(BTC, Decimal(1), None, None, 1.0))
    if (state, signal) in SUB_TRANSITIONS:
        sub.step(signal)
        assert sub.state is SUB_TRANSITIONS[state, signal]
        assert (sub.proven is not None) == (sub.state is SubState.LIVE)
        assert (sub.price is not None) == (sub.state is SubState.LIVE)
    else:
        with pytest.raises(StateError, match=signal.name):
            sub.step(signal)
        assert sub.state is state


def test_every_link_state_can_be_stopped_and_every_open_one_lost() -> None:
    """Nothing keeps the feed from ending, and no live state survives a lost link."""
    assert all((state, FeedSignal.STOP) in TRANSITIONS for state in FeedState)
    for state in (FeedState.LIVE, FeedState.SUSPECT):
        assert next_state(TRANSITIONS, state, FeedSignal.LOST) is FeedState.WAITING
    assert all((state, SubSignal.LOST) in SUB_TRANSITIONS for state in SubState)


# ------------------------------------------------------------------------------- a price counts


def test_price_counts_after_its_ack_and_its_data() -> None:
    """Acknowledged alone is no price; the first data after it are, and are told."""
    feed = opened_feed(BTC)
    assert tell(feed, ack_frame(BTC, 1), at=100.1) == []
    assert price(feed) is None
    first, tick = tell(feed, ticker_frame(), at=100.2)
    assert first == FirstData(BTC, 100.2)
    assert isinstance(tick, Tick)
    assert (price(feed), feed.tickers[BTC].price) == (Decimal("2.0"), 2.0)


def test_price_before_its_ack_waits_for_it() -> None:
    """Data that overtake their ack count from the ack on, not before."""
    feed = opened_feed(BTC)
    assert tell(feed, ticker_frame(), at=100.1) == []
    assert price(feed) is None
    events = tell(feed, ack_frame(BTC, 1), at=100.2)
    assert [type(event) for event in events] == [FirstData, Tick]
    assert price(feed) == 2


def test_price_before_its_ack_may_belong_to_the_stream_that_was_left() -> None:
    """Given back and wanted again at once: what is still under way proves nothing new."""
    feed = live_feed()
    feed.unwant(BTC, TICKER)
    feed.want(BTC, TICKER)
    assert [message["method"] for message in sent(feed, 101.0)] == ["unsubscribe", "subscribe"]
    assert tell(feed, ticker_frame(last=3), ack_frame(BTC, 3), at=101.1) == []
    assert price(feed) is None
    tell(feed, ticker_frame(last=4), at=101.2)
    assert price(feed) == 4


def test_subscription_that_kraken_ends_is_asked_for_again() -> None:
    """An end that nobody asked for takes the price away at once; our own, late, takes none."""
    feed = live_feed()
    ended = {"method": "unsubscribe", "success": True}
    ended["result"] = {"channel": "ticker", "symbol": BTC}
    tell(feed, json.dumps(ended | {"req_id": 1}), at=101.0)
    assert price(feed) == 2
    tell(feed, json.dumps(ended), at=101.1)
    assert price(feed) is None
    assert sent(feed, 101.2)[-1]["method"] == "subscribe"
    tell(feed, ack_frame(BTC, 3), ticker_frame(last=5), json.dumps(ended), at=101.3)
    assert price(feed) == 5
    assert sent(feed, 101.4) == []


def test_later_prices_replace_it_and_are_told_each() -> None:
    """Every tick reaches the listeners, the latest is the one that counts."""
    feed = live_feed()
    events = tell(feed, ticker_frame(last=3), ticker_frame(last=4), at=101.0)
    assert [event.price for event in events if isinstance(event, Tick)] == [3, 4]
    assert price(feed) == 4
    assert feed.ticks == 3


def test_bad_price_leaves_the_last_good_one_and_is_counted() -> None:
    """A damaged frame takes nothing away from what was proven, and shows in the figures."""
    feed = live_feed()
    assert tell(feed, ticker_frame(last=-1), ticker_frame(last=None), "{", at=101.0) == []
    assert price(feed) == 2
    assert feed.damaged == 2


def test_price_of_a_symbol_that_nobody_wants_is_ignored() -> None:
    """Frames under way while a symbol was unsubscribed reach nobody."""
    feed = live_feed()
    trade = {"symbol": ETH, "price": 1, "qty": 1, "trade_id": 1}
    frame = json.dumps({"channel": "trade", "data": [trade]})
    assert tell(feed, ticker_frame(ETH), ticker_frame(ETH, last=None), frame, at=101.0) == []


def test_lost_link_ends_every_price_at_that_moment() -> None:
    """When the connection is gone no cached price counts, and the last proof's time is told."""
    feed = live_feed()
    assert feed.lost(101.0, "reset") == [FeedStale(101.0, "reset", since=100.5)]
    assert price(feed) is None
    assert feed.good_until < 0
    assert feed.tickers[BTC].latest is not None


def test_price_of_the_last_connection_does_not_count_on_the_next() -> None:
    """After a reconnect each symbol needs its own ack and data again."""
    feed = live_feed()
    feed.lost(101.0, "reset")
    feed.attempt(101.0)
    assert feed.opened(102.0) == [FeedLive(102.0), FeedBack(102.0, blind_for=1.5)]
    assert sent(feed, 102.0)[0]["params"]["symbol"] == [BTC]
    assert price(feed) is None
    feed.lost(102.0, "reset before the ack")
    feed.attempt(102.0)
    feed.opened(102.0)
    assert tell(feed, ticker_frame(), at=102.0) == []
    assert price(feed) is None
    feed.lost(102.0, "reset after early data")
    feed.attempt(102.0)
    feed.opened(102.0)
    feed.due(102.0)
    assert tell(feed, ack_frame(BTC, 3), at=102.1) == [Resubscribed(BTC, "ticker", 102.1)]
    tell(feed, ticker_frame(last=9), at=102.2)
    assert price(feed) == 9


def test_late_frames_after_a_silence_prove_nothing() -> None:
    """What a socket still holds after a silence as long as death is no sign of life."""
    feed = live_feed()
    assert feed.heard(103.4) == []
    assert feed.heard(106.4) is None
    assert feed.good_until == 106.4


def test_distrusted_symbol_has_no_price_until_trusted() -> None:
    """An audit can take a symbol's price away whatever the stream says, and give it back."""
    feed = live_feed()
    assert feed.distrust(BTC, "it lies", 100.5) == [SymbolDistrusted(BTC, "it lies", 100.5)]
    assert tell(feed, ticker_frame(last=5), at=101.0) == []
    assert price(feed) is None
    assert feed.patience(feed.tickers[BTC], 101.0) == 0
    latest = feed.tickers[BTC].latest
    assert feed.trust(BTC, 101.5) == [SymbolTrusted(BTC, 101.5), latest]
    assert price(feed) == 5
    assert feed.trust(BTC, 102.0) == []


def test_distrust_holds_over_a_new_subscription_and_unknown_symbols_are_no_error() -> None:
    """Asking anew does not make a lying symbol honest."""
    feed = opened_feed(BTC)
    feed.distrust(BTC, "it lies", 100.0)
    assert feed.distrust(ETH, "it lies", 100.0) == feed.trust(ETH, 100.0) == []
    assert tell(feed, ack_frame(BTC, 1), ticker_frame(), at=100.1) == [FirstData(BTC, 100.1)]
    feed.lost(101.0, "reset")
    assert feed.trust(BTC, 102.0) == [SymbolTrusted(BTC, 102.0)]
    assert price(feed) is None


# ----------------------------------------------------------------------------------- the answers


def test_refused_symbol_is_told_once_in_krakens_words() -> None:
    """A refusal surfaces as an event of that symbol alone, and nobody waits for it any more."""
    feed = opened_feed(BTC, ETH)
    error = "Currency pair not supported BTC/USD"
    events = tell(feed, ack_frame(BTC, 1, error), ack_frame(ETH, 1), at=100.1)
    assert events == [SymbolRefused(BTC, "ticker", error, 100.1)]
    assert feed.patience(feed.tickers[BTC], 100.1) == 0
    assert feed.patience(feed.tickers[ETH], 100.1) > 0


def test_refused_symbol_is_asked_for_again_on_the_next_connection_in_silence() -> None:
    """A second refusal is no news, another reason is, and an acceptance ends it."""
    feed = opened_feed(BTC)
    tell(feed, ack_frame(BTC, 1, "no"), at=100.1)
    feed.lost(101.0, "reset")
    feed.attempt(101.0)
    feed.opened(102.0)
    assert sent(feed, 102.0)[0]["params"]["symbol"] == [BTC]
    assert feed.patience(feed.tickers[BTC], 102.0) == 0
    assert tell(feed, ack_frame(BTC, 2, "no"), at=102.1) == []
    feed.ask_again(BTC, TICKER)
    feed.due(102.2)
    assert len(tell(feed, ack_frame(BTC, 3, "never"), at=102.3)) == 1
    feed.ask_again(BTC, TICKER)
    feed.due(102.4)
    tell(feed, ack_frame(BTC, 4), ticker_frame(), at=102.5)
    assert price(feed) == 2


def test_refusal_without_words_still_has_some() -> None:
    """A refusal that gives no reason is a refusal, and says that it gave none."""
    feed = opened_feed(BTC)
    (event,) = tell(feed, '{"method":"subscribe","req_id":1,"symbol":"BTC/USD"}', at=100.1)
    assert isinstance(event, SymbolRefused)
    assert "without a reason" in event.error


def test_already_subscribed_counts_as_acknowledged() -> None:
    """The stream that is there already serves as well as a new one."""
    feed = opened_feed(BTC)
    tell(feed, ack_frame(BTC, 1, "Already subscribed"), ticker_frame(), at=100.1)
    assert price(feed) == 2


def test_answer_without_req_id_is_matched_by_symbol_and_channel() -> None:
    """Servers that do not echo the number are understood all the same."""
    feed = opened_feed(BTC)
    feed.want(BTC, TRADE)
    feed.due(100.1)
    tell(feed, ack_frame(BTC, None), at=100.2)
    assert feed.subscriptions[TICKER, BTC].state is SubState.ACKED
    assert feed.subscriptions[TRADE, BTC].state is SubState.ASKED


@pytest.mark.parametrize("frame", [ack_frame(BTC, 99), ack_frame(ETH, 1), ack_frame(ETH, None)])
def test_answer_to_another_question_changes_nothing(frame: str) -> None:
    """A late ack of an older ask, or for a symbol that is not meant, proves nothing."""
    feed = opened_feed(BTC)
    assert tell(feed, frame, at=100.1) == []
    assert feed.tickers[BTC].state is SubState.ASKED


def test_refusal_that_names_no_symbol_is_isolated_by_halving() -> None:
    """One bad name among many is found by asking in smaller messages; the others go live."""
    feed = opened_feed(*(f"S{n}/USD" for n in range(7)), "BAD/USD")
    questions = [(1, [*feed.tickers])]
    asked = 0
    events: list[Event] = []
    while questions:
        asked += 1
        req_id, symbols = questions.pop()
        bad = "BAD/USD" in symbols
        frames = [ack_frame(None, req_id, "no")] if bad else [ack_frame(s, req_id) for s in symbols]
        events += tell(feed, *frames, at=100 + asked / 10)
        new = sent(feed, 100 + asked / 10)
        questions += [
            (m["req_id"], m["params"]["symbol"]) for m in new if m["method"] == "subscribe"
        ]
    assert [event.symbol for event in events if isinstance(event, SymbolRefused)] == ["BAD/USD"]
    states = [sub.state for sub in feed.tickers.values() if sub.symbol != "BAD/USD"]
    assert states == [SubState.ACKED] * 7
    assert asked <= 7


def test_rate_refusal_pauses_and_asks_again_for_the_unanswered_alone() -> None:
    """`Exceeded msg rate` costs a pause; what has its answer is left in peace."""
    feed = opened_feed(BTC, ETH)
    tell(feed, ack_frame(BTC, 1), '{"Error":"Exceeded msg rate"}', at=100.1)
    assert sent(feed, 101.0) == []
    (again,) = sent(feed, 101.2)
    assert again["params"]["symbol"] == [ETH]


def test_rate_refusal_again_doubles_the_pause_up_to_a_limit() -> None:
    """Somebody who is told twice to slow down waits longer, but not for ever."""
    feed = opened_feed(BTC, rate_pause=1.0, rate_pause_max=4.0)
    pauses = []
    now = 100.0
    for _ in range(4):
        tell(feed, '{"error":"Exceeded msg rate"}', at=now)
        start = now
        while not sent(feed, now):
            now += 0.25
            tell(feed, '{"channel":"heartbeat"}', at=now)
        pauses.append(now - start)
    assert pauses == [1.0, 2.0, 4.0, 4.0]


def test_rate_refusal_with_a_number_concerns_that_message_alone() -> None:
    """A refusal that names its message leaves the others waiting for their acks."""
    feed = opened_feed(BTC)
    feed.want(ETH, TICKER)
    feed.due(100.1)
    tell(feed, '{"error":"Exceeded msg rate","req_id":2}', at=100.2)
    assert feed.tickers[BTC].state is SubState.ASKED
    assert feed.tickers[ETH].state is SubState.WANTED
    tell(feed, '{"error":"Exceeded msg rate","req_id":77}', at=100.3)
    assert feed.tickers[BTC].state is SubState.ASKED


def test_ack_after_a_rate_refusal_of_another_message_is_still_good() -> None:
    """A subscription that was queued again by mistake takes its late ack and is not asked twice."""
    feed = opened_feed(BTC)
    tell(feed, ack_frame(BTC, 1, "Exceeded msg rate"), at=100.1)
    assert feed.tickers[BTC].state is SubState.WANTED
    feed.due(101.2)
    tell(feed, ack_frame(BTC, 2, "Already subscribed"), ticker_frame(), at=101.3)
    assert price(feed) == 2
    assert sent(feed, 102.0) == []


def test_system_state_is_told_when_it_changes() -> None:
    """Status frames are repeated; the event is for the change."""
    feed = opened_feed(BTC)
    status = '{"channel":"status","data":[{"system":"%s"}]}'
    assert tell(feed, status % "online", at=100.1) == [SystemState("online", 100.1)]
    assert tell(feed, status % "online", at=100.2) == []
    assert tell(feed, status % "cancel_only", at=100.3) == [SystemState("cancel_only", 100.3)]


def test_trades_count_from_the_ack_and_are_never_mute() -> None:
    """A quiet market prints nothing: the trade channel needs no first data."""
    feed = opened_feed(BTC, channel=TRADE)
    row = {"symbol": BTC, "price": 1, "qty": 1, "trade_id": 1}
    tell(feed, ack_frame(BTC, 1), at=100.1)
    for second in range(101, 110):
        assert tell(feed, '{"channel":"heartbeat"}', at=float(second)) == []
        assert sent(feed, float(second)) == []
    events = tell(feed, json.dumps({"channel": "trade", "data": [row]}), at=110.0)
    assert [type(event) for event in events] == [Trades]


# --------------------------------------------------------------------------------------- mute


def beat(feed: FeedProtocol, start: float, stop: float) -> list[Event]:
    """Let heartbeats come twice a second; return the events of everything that falls due."""
    events: list[Event] = []
    now = start
    while now <= stop:
        events += tell(feed, '{"channel":"heartbeat"}', at=now)
        events += feed.due(now).events
        now += 0.5
    return events


def test_mute_symbol_is_asked_again_once_and_then_given_up() -> None:
    """Acked, alive and no data for 3 s: unsubscribe and subscribe, then REST has to answer."""
    feed = opened_feed(BTC)
    tell(feed, ack_frame(BTC, 1), at=100.1)
    assert beat(feed, 100.5, 102.5) == []
    tell(feed, '{"channel":"heartbeat"}', at=103.0)
    leave, ask = sent(feed, 103.0)
    assert (leave["method"], ask["method"]) == ("unsubscribe", "subscribe")
    tell(feed, ack_frame(BTC, ask["req_id"]), at=103.1)
    assert beat(feed, 103.5, 105.5) == []
    assert beat(feed, 106.0, 106.0) == [SymbolMute(BTC, "ticker", 106.0)]
    assert feed.patience(feed.tickers[BTC], 106.0) == 0


def test_mute_symbol_lives_again_when_data_come() -> None:
    """Late data are data: a symbol that was given up streams again from then on."""
    feed = opened_feed(BTC)
    tell(feed, ack_frame(BTC, 1), at=100.1)
    beat(feed, 100.5, 103.0)
    tell(feed, ack_frame(BTC, 3), at=103.1)
    beat(feed, 103.5, 106.0)
    assert FirstData(BTC, 107.0) in tell(feed, ticker_frame(), at=107.0)
    assert price(feed) == 2


def test_symbol_without_an_ack_is_asked_again_and_then_given_up() -> None:
    """An answer that does not come is like muteness: it may have been lost on its way."""
    feed = opened_feed(BTC)
    beat(feed, 100.5, 102.5)
    tell(feed, '{"channel":"heartbeat"}', at=103.0)
    assert [message["method"] for message in sent(feed, 103.0)] == ["unsubscribe", "subscribe"]
    assert SymbolMute(BTC, "ticker", 106.0) in beat(feed, 103.5, 106.0)
    tell(feed, ticker_frame(), at=107.0)
    assert price(feed) is None


def test_mute_symbol_stays_unwaited_for_on_the_next_connection() -> None:
    """What was mute is asked for after a reconnect, and nobody waits for it until it speaks."""
    feed = opened_feed(BTC)
    beat(feed, 100.5, 106.0)
    feed.lost(107.0, "reset")
    feed.attempt(107.0)
    feed.opened(107.0)
    (ask,) = sent(feed, 107.0)
    tell(feed, ack_frame(BTC, ask["req_id"]), at=107.1)
    assert feed.patience(feed.tickers[BTC], 107.2) == 0
    tell(feed, ticker_frame(), at=107.3)
    assert price(feed) == 2


def test_mute_symbol_is_asked_for_anew_now_and_then() -> None:
    """Kraken's bad minute is not for ever: left and asked again, and nobody waits meanwhile."""
    feed = opened_feed(BTC, ETH, mute_retry_every=60.0)
    tell(feed, ack_frame(BTC, 1), ack_frame(ETH, 1), ticker_frame(ETH), at=100.1)
    beat(feed, 100.5, 103.0)
    tell(feed, ack_frame(BTC, 3), at=103.1)
    assert beat(feed, 103.5, 165.5) == [SymbolMute(BTC, "ticker", 106.0)]
    assert feed.next_due(165.5) == 166.0
    for moment in (166.0, 226.0):
        tell(feed, '{"channel":"heartbeat"}', at=moment)
        leave, ask = sent(feed, moment)
        assert (leave["method"], ask["method"]) == ("unsubscribe", "subscribe")
        assert leave["params"]["symbol"] == ask["params"]["symbol"] == [BTC]
        assert feed.patience(feed.tickers[BTC], moment) == 0
        tell(feed, ack_frame(BTC, ask["req_id"]), at=moment)
        assert beat(feed, moment, moment + 59.5) == []
    events = tell(feed, ticker_frame(), at=285.9)
    assert FirstData(BTC, 285.9) in events
    beat(feed, 286.0, 400.0)
    assert feed.tickers[BTC].asks == 4


def test_mute_symbol_can_be_left_alone_until_the_next_connection() -> None:
    """With 0 for the pace nothing is asked for anew."""
    feed = opened_feed(BTC, mute_retry_every=0.0)
    beat(feed, 100.5, 400.0)
    assert feed.tickers[BTC].state is SubState.MUTE
    assert feed.tickers[BTC].asks == 2


def test_mute_symbol_is_asked_for_anew_on_the_next_connection_too() -> None:
    """The pace begins again with each connection."""
    feed = opened_feed(BTC, mute_retry_every=60.0)
    beat(feed, 100.5, 120.0)
    feed.lost(120.0, "reset")
    feed.attempt(120.0)
    feed.opened(120.0)
    assert len(sent(feed, 120.0)) == 1
    beat(feed, 120.5, 179.5)
    assert feed.tickers[BTC].asks == 1
    tell(feed, '{"channel":"heartbeat"}', at=180.0)
    assert [m["method"] for m in sent(feed, 180.0)] == ["unsubscribe", "subscribe"]


def test_trades_that_were_not_acknowledged_count_from_a_late_ack() -> None:
    """A trade subscription has no first data: asked anew and acknowledged, it is mute no more."""
    feed = opened_feed(BTC, channel=TRADE, mute_retry_every=60.0)
    assert beat(feed, 100.5, 165.5) == [SymbolMute(BTC, "trade", 106.0)]
    tell(feed, '{"channel":"heartbeat"}', at=166.0)
    _, ask = sent(feed, 166.0)
    events = tell(feed, ack_frame(BTC, ask["req_id"]), at=166.1)
    assert events == [Resubscribed(BTC, "trade", 166.1)]
    beat(feed, 166.5, 400.0)
    assert feed.subscriptions[TRADE, BTC].asks == 3


def test_market_without_a_last_price_is_mute_at_once() -> None:
    """Where Kraken knows no last price there is nothing to wait for, not even the 3 s."""
    feed = opened_feed(BTC)
    events = tell(feed, ack_frame(BTC, 1), ticker_frame(last=None), at=100.1)
    assert events == [SymbolMute(BTC, "ticker", 100.1)]
    tell(feed, ticker_frame(), at=100.2)
    assert price(feed) == 2


def test_rest_of_the_old_stream_does_not_prove_a_new_subscription() -> None:
    """Asked again because it was not trusted, a symbol needs data that follow the new ack."""
    feed = live_feed()
    assert feed.ask_again(BTC, TICKER)
    assert price(feed) is None
    tell(feed, ticker_frame(last=7), at=100.6)
    feed.due(100.7)
    tell(feed, ack_frame(BTC, 3), at=100.8)
    assert price(feed) is None
    feed.ask_again(BTC, TICKER)
    feed.due(100.8)
    tell(feed, ticker_frame(last=8), ack_frame(BTC, 5), at=100.8)
    assert price(feed) is None
    tell(feed, ticker_frame(last=9), at=100.9)
    assert price(feed) == 9
    assert not feed.ask_again(ETH, TICKER)


# ------------------------------------------------------------------------------ life and death


def test_silence_is_asked_about_and_then_deadly() -> None:
    """2 s without a frame: one ping. 3 s: the link is lost."""
    feed = live_feed()
    assert feed.due(102.4).frames == []
    due = feed.due(102.5)
    assert due.frames == ['{"method":"ping"}']
    assert due.events == [FeedSuspect(102.5, 2.0)]
    assert feed.due(103.0).frames == []
    assert feed.due(103.4).lost is None
    assert feed.due(103.5).lost == "no frame for 3.0 s"


def test_any_frame_ends_the_suspicion() -> None:
    """A heartbeat, a pong or a price: whatever comes is a sign of life, and prices stay."""
    feed = live_feed()
    feed.due(102.5)
    assert feed.heard(103.0) == [FeedLive(103.0)]
    assert feed.due(104.9).lost is None
    assert price(feed) == 2
    assert feed.good_until == 106.0


def test_next_due_is_the_moment_at_which_something_happens() -> None:
    """The shell may sleep until then: silence, death, mute, pacing, each in its turn."""
    feed = live_feed()
    assert feed.next_due(100.5) == 102.5
    feed.due(102.5)
    assert feed.next_due(102.5) == 103.5
    asked = opened_feed(BTC, ping_after=9.0, dead_after=10.0)
    assert asked.next_due(100.0) == 103.0
    paced = opened_feed(*(f"S{n}/USD" for n in range(30)), batch_size=1)
    assert paced.next_due(100.0) == pytest.approx(100.1)


def test_server_that_never_answers_pings_is_neither_dropped_nor_asked_in_a_spin() -> None:
    """The check for lag holds only against those who have answered one."""
    feed = live_feed(lag_check_every=1.0)
    for step in range(1, 40):
        now = 100.5 + step * 0.5
        tell(feed, '{"channel":"heartbeat"}', at=now)
        assert feed.due(now).lost is None
        assert feed.next_due(now) > now


def test_prices_that_come_late_are_dropped_with_their_link() -> None:
    """Frames that flow but answer a ping seconds too late are old prices."""
    feed = live_feed(lag_check_every=1.0)
    assert feed.due(101.0).frames == ['{"method":"ping"}']
    tell(feed, '{"method":"pong"}', at=101.1)
    assert feed.due(102.0).frames == ['{"method":"ping"}']
    tell(feed, '{"channel":"heartbeat"}', at=103.5)
    assert feed.next_due(103.5) == 103.0  # one more ping
    tell(feed, '{"channel":"heartbeat"}', at=104.9)
    assert feed.due(104.9).lost is None
    assert "late" in (feed.due(105.0).lost or "")


def test_retries_begin_at_once_and_slow_down() -> None:
    """0, 1, 2, 5, 5, 10, 20, 30, 30 seconds, shortened by at most the jitter."""
    settings = FeedSettings()
    delays = [retry_delay(settings, failures, 0.0) for failures in range(1, 10)]
    assert delays == [0, 1, 2, 5, 5, 10, 20, 30, 30]
    assert [retry_delay(settings, n, 1.0) for n in (1, 2, 9)] == [0, 0.75, 22.5]


def test_flapping_connections_do_not_reset_the_delays_and_stable_ones_do() -> None:
    """A link that lives for a second counts as one more failure, half a minute starts anew."""
    feed = FeedProtocol(FeedSettings(retry_jitter=0.0))
    now, delays = 0.0, []
    for lasted in (1.0, 1.0, 1.0, 30.0, 1.0):
        feed.attempt(now)
        feed.opened(now)
        feed.lost(now + lasted, "reset")
        delays.append(feed.retry_at - now - lasted)
        now = feed.retry_at
    assert delays == [0, 1, 2, 0, 1]


def test_refusals_and_maintenance_have_a_longest_pause_of_their_own() -> None:
    """Who was told no in words does not come back at once."""
    feed = opened_feed(BTC)
    feed.lost(101.0, "HTTP 403", at_least=30.0)
    assert feed.retry_at == 131.0
    feed.attempt(131.0)
    feed.opened(131.0)
    tell(feed, '{"channel":"status","data":[{"system":"maintenance"}]}', at=131.1)
    feed.lost(170.0, "reset")
    assert feed.retry_at == 175.0


def test_blindness_is_told_once_and_measured_from_the_last_proof() -> None:
    """Failing again while blind is no news; seeing again tells how long it was."""
    feed = FeedProtocol(FeedSettings())
    assert feed.attempt(1.0) == [FeedConnecting(1.0, attempt=1)]
    assert feed.lost(2.0, "refused") == [FeedStale(2.0, "refused", since=2.0)]
    assert feed.attempt(2.0) == [FeedConnecting(2.0, attempt=2)]
    assert feed.state is FeedState.RECONNECTING
    assert feed.lost(3.0, "refused") == []
    feed.attempt(4.0)
    assert FeedBack(5.0, blind_for=3.0) in feed.opened(5.0)


def test_closed_feed_is_as_new_and_can_begin_again() -> None:
    """Closing gives everything back, tells it once, and forbids nothing later."""
    feed = live_feed()
    sub = feed.tickers[BTC]
    assert feed.close(101.0) == [FeedClosed(101.0)]
    assert feed.close(101.0) == []
    assert (sub.proven, feed.subscriptions, feed.tickers) == (None, {}, {})
    assert feed.due(102.0).frames == []
    assert feed.patience(feed.want(BTC, TICKER), 102.0) > 0
    feed.attempt(103.0)
    assert feed.state is FeedState.CONNECTING
    assert feed.opened(103.0) == [FeedLive(103.0)]


@pytest.mark.parametrize("state", [FeedState.IDLE, FeedState.WAITING, FeedState.CLOSED])
def test_used_up_budget_means_waiting(state: FeedState) -> None:
    """A feed that may not connect yet is known to be down."""
    feed = FeedProtocol(FeedSettings())
    sub = feed.want(BTC, TICKER)
    feed.state = state
    feed.delay(500.0)
    assert (feed.state, feed.retry_at) == (FeedState.WAITING, 500.0)
    assert feed.patience(sub, 1.0) == 0


def test_patience_follows_what_is_known_about_the_link() -> None:
    """A first attempt is worth a bounded wait, a living link too, a link known to be down none."""
    feed = FeedProtocol(FeedSettings())
    sub = feed.want(BTC, TICKER)
    assert feed.patience(sub, 0.0) == 2.0
    feed.attempt(10.0)
    assert feed.patience(sub, 11.5) == 0.5
    assert feed.patience(sub, 13.0) == 0
    feed.opened(13.0)
    assert feed.patience(sub, 14.0) == 2.0
    assert feed.patience(sub, 17.0) == 0
    feed.lost(17.0, "gone")
    feed.attempt(17.0)
    assert feed.patience(sub, 17.0) == 0


# ------------------------------------------------------------------------------- asking in bulk


def test_two_thousand_symbols_go_out_in_few_paced_messages() -> None:
    """At most 100 symbols a message, ten messages at once, then ten a second; none twice."""
    names = [f"S{n}/USD" for n in range(2000)]
    feed = FeedProtocol(FeedSettings())
    for name in names:
        feed.want(Symbol(name), TICKER)
    feed.attempt(0.0)
    feed.opened(0.0)
    at_once = sent(feed, 0.0)
    later = [message for tenth in range(1, 30) for message in sent(feed, tenth / 10)]
    asked = [symbol for message in at_once + later for symbol in message["params"]["symbol"]]
    assert (len(at_once), len(later)) == (10, 10)
    assert asked == names


def test_subscribe_message_is_what_kraken_documents() -> None:
    """The ticker asks for trades as trigger and a snapshot, trades for no old ones."""
    feed = opened_feed()
    feed.want(BTC, TICKER)
    feed.want(BTC, TRADE)
    ticker, trade = sent(feed, 100.1)
    assert ticker == {
        "method": "subscribe",
        "params": {
            "channel": "ticker",
            "symbol": ["BTC/USD"],
            "event_trigger": "trades",
            "snapshot": True,
        },
        "req_id": 1,
    }
    assert trade["params"] == {"channel": "trade", "symbol": ["BTC/USD"], "snapshot": False}


def test_last_reference_unsubscribes_and_no_earlier_one() -> None:
    """A symbol that two want stays until both have left."""
    feed = live_feed()
    feed.want(BTC, TICKER)
    assert not feed.unwant(BTC, TICKER)
    assert price(feed) == 2
    assert feed.unwant(BTC, TICKER)
    (leave,) = sent(feed, 101.0)
    assert (leave["method"], leave["params"]) == (
        "unsubscribe",
        {"channel": "ticker", "symbol": ["BTC/USD"]},
    )
    assert not feed.unwant(BTC, TICKER)
    answer = '{"method":"unsubscribe","success":false,"error":"Subscription Not Found","req_id":2}'
    assert tell(feed, answer, at=101.1) == []


def test_unasked_symbol_is_given_up_without_a_word() -> None:
    """What was never asked for on this connection needs no unsubscribe."""
    feed = opened_feed()
    feed.want(BTC, TICKER)
    feed.want(BTC, TRADE)
    feed.unwant(BTC, TICKER)
    feed.unwant(BTC, TRADE)
    assert sent(feed, 101.0) == []


def test_symbol_that_comes_back_is_left_first_and_asked_then() -> None:
    """Unsubscribed and wanted again in one breath: the order on the wire keeps the stream."""
    feed = live_feed()
    feed.unwant(BTC, TICKER)
    feed.want(BTC, TICKER)
    assert [message["method"] for message in sent(feed, 101.0)] == ["unsubscribe", "subscribe"]


# ---------------------------------------------------------------------------------- the figures


def busy_feed(per_second: int, **settings: Any) -> FeedProtocol:
    """Return a feed that has heard so many messages a second for ten seconds, up to 110."""
    feed = opened_feed(BTC, **settings)
    for second in range(101, 111):
        feed.heard(float(second), per_second)
        feed.due(float(second))
    return feed


@pytest.mark.parametrize(("per_second", "seconds"), [(0, 0.0), (990, 0.0), (1300, 0.003)])
def test_messages_gather_only_above_a_pace(per_second: int, seconds: float) -> None:
    """A feed of a thousand messages a second may wait for more of them; a slower one never."""
    assert busy_feed(per_second).gathering(110.0) == seconds


def test_nothing_gathers_where_that_is_not_wanted() -> None:
    """With 0 the fastest feed waits for nothing, for programs that trade on every tick."""
    assert busy_feed(9_000_000, gather_for=0.0).gathering(110.0) == 0.0


def test_rates_are_means_over_the_last_seconds() -> None:
    """Messages and ticks per second are told over a window, and are 0 when nothing came in it."""
    assert FeedProtocol(FeedSettings()).rates(100.0) == (0.0, 0.0)
    feed = live_feed(rate_window=10.0)
    for step in range(1, 41):
        now = 100.5 + step / 2
        tell(feed, ticker_frame(), at=now)
        feed.due(now)
    messages, ticks = feed.rates(120.5)
    assert messages == pytest.approx(2.0, rel=0.15)
    assert ticks == pytest.approx(2.0, rel=0.15)
    assert feed.rates(200.0) == (0.0, 0.0)


def test_feed_without_a_connection_has_nothing_due() -> None:
    """Before the first connection there is nothing to send and nothing to lose."""
    due = FeedProtocol(FeedSettings()).due(1.0)
    assert (due.frames, due.events, due.lost) == ([], [], None)
