"""What REST and the stream tell of a market, joined: which is asked when, and what never mixes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, cast

import pytest

from krakenlink import channels, joints
from krakenlink.channels import Market
from krakenlink.errors import KrakenAPIError, KrakenConnectionError
from krakenlink.joints import Base
from krakenlink.machine import feed_clock
from krakenlink.pairs import Symbol, legacy_pair
from krakenlink.prices import Prices
from krakenlink.stream.events import TradePrint
from krakenlink.stream.tapes import Candle, Tape

NAME, SYMBOL = "XBTUSD", "BTC/USD"


class Stream:
    """A stream whose tape a test writes; it notes what it is asked."""

    def __init__(self) -> None:
        self.stops = 0
        self.tapes: dict[tuple[str, int], Tape[Any]] = {}
        self.asked: list[tuple[str, int | None]] = []
        self.fallbacks = 0
        self.waits: list[float] = []
        self.is_proven = True

    def subscribe_symbol(self, symbol: str, channel: str, **params: int | None) -> int:
        """Begin a tape, as an acknowledgement does."""
        interval = params.get("interval")
        self.asked.append((channel, interval))
        self.tapes.setdefault((channel, interval or 0), Tape(1000))
        return self.stops

    def unsubscribe_symbol(self, symbol: str, channel: str, **params: int | None) -> None:
        """End it."""
        self.tapes.pop((channel, params.get("interval") or 0), None)

    def tape(
        self, symbol: str, channel: str, interval: int = 0
    ) -> tuple[Tape[Any], dict[int, Any], float] | None:
        """Return what has come on it since the first look, if that is proven."""
        tape = self.tapes.get((channel, interval))
        if tape is None or not self.is_proven:
            return None
        tape.keep()
        return tape, dict(tape.items), 0.25

    def wait_for_tape(self, symbol: str, channel: str, interval: int, timeout: float) -> bool:
        """Note how long somebody would have waited."""
        self.waits.append(timeout)
        return self.tape(symbol, channel, interval) is not None

    def note_rest_fallback(self, symbol: str) -> None:
        """Count it."""
        self.fallbacks += 1


class Names:
    """Prices that know what a pair is called."""

    def __init__(self, symbol: str | None = SYMBOL) -> None:
        self.symbol = symbol

    def symbol_of(self, name: str, deadline: float) -> Symbol | None:
        """Return it."""
        return None if self.symbol is None else Symbol(self.symbol)


class Rest:
    """REST's answers, in order; the last one repeats."""

    def __init__(self, *rows: list[list[Any]]) -> None:
        self.rows = list(rows)
        self.asked: list[tuple[str, dict[str, object]]] = []
        self.before: Callable[[], None] = lambda: None

    def __call__(self, endpoint: str, params: Mapping[str, object]) -> dict[str, Any]:
        """Answer."""
        self.asked.append((endpoint, dict(params)))
        self.before()
        rows = self.rows.pop(0) if len(self.rows) > 1 else self.rows[0]
        return {"error": [], "result": {"XXBTZUSD": rows, "last": "1"}}


def candle_row(begin: int, close: str = "5", trades: int = 1) -> list[Any]:
    """Return a row of OHLC."""
    return [begin, "5", "9", "1", close, "5", "1.5", trades]


def trade_row(number: int, price: str = "5") -> list[Any]:
    """Return a row of Trades."""
    return [price, "1.0", 1700000000.5, "b", "m", "", number]


def candle(begin: int, close: str = "5", trades: int = 1) -> Candle:
    """Return a candle of the stream."""
    five = Decimal(5)
    return Candle(begin, five, Decimal(9), Decimal(1), Decimal(close), five, trades)


def trade(number: int, moment: str | None = None) -> TradePrint:
    """Return a trade of the stream."""
    return TradePrint(Symbol(SYMBOL), Decimal(5), Decimal(1), number, moment)


def put(tape: Tape[Any], place: int, item: object) -> None:
    """Let something come."""
    tape.add(place, item)


def market(stream: Stream | None, rest: Rest, symbol: str | None = SYMBOL) -> Market:
    """Return what a client knows of markets."""
    names = cast("Prices", Names(symbol))
    return Market(names, legacy_pair, rest, lambda: cast("Any", stream), 10.0)


def numbers(found: tuple[TradePrint, ...]) -> list[int]:
    """Return the numbers of trades."""
    return [one.trade_id for one in found]


# --- who is asked, and when --------------------------------------------------------------------


def test_rest_is_asked_once_and_after_the_subscription() -> None:
    """What it does not tell yet comes on the tape."""
    stream, rest = Stream(), Rest([trade_row(1), trade_row(2)])
    rest.before = lambda: put(stream.tapes["trade", 0], 3, trade(3))
    shop = market(stream, rest)
    assert numbers(shop.trades(NAME, 10, 1.0)) == [1, 2, 3]
    assert numbers(shop.trades(NAME, 10, 1.0)) == [1, 2, 3]
    assert stream.asked == [("trade", None)]
    assert rest.asked == [("Trades", {"pair": "XXBTZUSD"})]


@pytest.mark.parametrize("other", ["XXBTZUSD", "BTC/USD", "XBT/USD"])
def test_every_spelling_has_the_same_base(other: str) -> None:
    """It is about a market and not about a name."""
    stream, rest = Stream(), Rest([trade_row(1)])
    shop = market(stream, rest)
    shop.trades(NAME, 10, 1.0)
    assert numbers(shop.trades(other, 10, 1.0)) == [1]
    assert len(rest.asked) == 1


def test_each_interval_has_a_base_of_its_own() -> None:
    """And a subscription."""
    stream, rest = Stream(), Rest([candle_row(0)])
    shop = market(stream, rest)
    for interval in (1, 5, 1):
        assert len(shop.candles(NAME, interval, 1.0).candles) == 1
    assert stream.asked == [("ohlc", 1), ("ohlc", 5)]
    assert [params["interval"] for _, params in rest.asked] == [1, 5]


def test_another_tape_needs_another_base() -> None:
    """Between two acknowledgements something may be missing."""
    stream, rest = Stream(), Rest([trade_row(1)], [trade_row(1), trade_row(2)])
    shop = market(stream, rest)
    shop.trades(NAME, 10, 1.0)
    stream.tapes["trade", 0] = Tape(1000)

    def trade_meanwhile() -> None:
        stream.tapes["trade", 0].add(3, trade(3))

    rest.before = trade_meanwhile
    assert numbers(shop.trades(NAME, 10, 1.0)) == [1, 2, 3]
    assert len(rest.asked) == 2


class Clock:
    """The feed's clock, at a moment that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        for room in (channels, joints):
            monkeypatch.setattr(room, "feed_clock", lambda: self.now)


def test_tape_that_has_been_silent_for_long_is_looked_at_over_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may be mute while heartbeats go on, and then its trades would be old for good."""
    clock = Clock(monkeypatch)
    stream, rest = Stream(), Rest([trade_row(1)], [trade_row(1), trade_row(2)], [trade_row(3)])
    shop = market(stream, rest)
    seen = {}
    for clock.now in (1000.0, 1059.0, 1060.0, 1119.0, 1120.0):
        seen[clock.now] = numbers(shop.trades(NAME, 10, 1.0))
    assert list(seen.values()) == [[1], [1], [1, 2], [1, 2], [3]]
    assert len(rest.asked) == 3


def test_tape_that_speaks_needs_no_look_over_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long ago REST was asked."""
    clock = Clock(monkeypatch)
    stream, rest = Stream(), Rest([candle_row(0)])
    shop = market(stream, rest)
    for clock.now in (1000.0, 1050.0, 1100.0, 1150.0):
        found = shop.candles(NAME, 1, 1.0)
        stream.tapes["ohlc", 1].heard_at = clock.now
    assert found.source == "websocket"
    assert len(rest.asked) == 1


def test_silent_tape_stays_where_rest_cannot_be_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most silent markets are quiet ones; nobody waits for REST at each call."""
    clock = Clock(monkeypatch)
    stream, rest = Stream(), Rest([trade_row(1)])
    shop = market(stream, rest)
    shop.trades(NAME, 10, 1.0)

    def fail() -> None:
        raise KrakenConnectionError("gone", request_sent=False)

    rest.before = fail
    for clock.now in (1060.0, 1119.0, 1120.0):
        assert numbers(shop.trades(NAME, 10, 1.0)) == [1]
    assert len(rest.asked) == 3
    clock.now = 1180.0
    stream.tapes["trade", 0] = Tape(1000)  # of which nothing is known without REST
    with pytest.raises(KrakenConnectionError):
        shop.trades(NAME, 10, 1.0)


@pytest.mark.parametrize("channel", ["trade", "ohlc"])
def test_silent_tape_with_what_only_rest_can_tell_is_not_believed_without_it(
    channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hole may hide trades, and a candle from the future the change of a true one."""
    clock = Clock(monkeypatch)
    stream, rest = Stream(), Rest([trade_row(1) if channel == "trade" else candle_row(0)])
    shop = market(stream, rest)

    def ask() -> object:
        return shop.trades(NAME, 10, 1.0) if channel == "trade" else shop.candles(NAME, 1, 1.0)

    def fail() -> None:
        raise KrakenConnectionError("gone", request_sent=False)

    ask()
    tape = stream.tapes[channel, 1 if channel == "ohlc" else 0]
    place = 3 if channel == "trade" else 600_000
    tape.add(place, trade(3) if channel == "trade" else candle(600_000))
    rest.before, clock.now = fail, 1060.0
    with pytest.raises(KrakenConnectionError):
        ask()


def test_silent_tape_that_ends_while_rest_fails_is_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What REST told long ago is no answer of its own."""
    clock = Clock(monkeypatch)
    stream, rest = Stream(), Rest([trade_row(1)])
    shop = market(stream, rest)
    shop.trades(NAME, 10, 1.0)

    def fail() -> None:
        stream.is_proven = False
        raise KrakenConnectionError("gone", request_sent=False)

    rest.before, clock.now = fail, 1060.0
    with pytest.raises(KrakenConnectionError):
        shop.trades(NAME, 10, 1.0)


def test_tape_that_ends_while_rest_is_asked_is_not_joined() -> None:
    """What came in between nobody has told: REST's own answer is told as that."""
    stream, rest = Stream(), Rest([candle_row(0)])

    def end() -> None:
        stream.tapes["ohlc", 1] = Tape(1000)

    rest.before = end
    found = market(stream, rest).candles(NAME, 1, 1.0)
    assert (found.source, len(found.candles)) == ("rest", 1)
    assert len(rest.asked) <= 2


def test_stream_that_is_lost_while_rest_is_asked_is_not_joined() -> None:
    """And REST is asked once in all."""
    stream, rest = Stream(), Rest([candle_row(0)])

    def lose() -> None:
        stream.is_proven = False

    rest.before = lose
    assert market(stream, rest).candles(NAME, 1, 1.0).source == "rest"
    assert len(rest.asked) == 1


def test_stream_that_proves_nothing_is_waited_for_once() -> None:
    """And then not again until it does; each time REST answers, and is counted."""
    stream, rest = Stream(), Rest([trade_row(1)])
    stream.is_proven = False
    shop = market(stream, rest)
    for _ in range(3):
        assert numbers(shop.trades(NAME, 10, 5.0)) == [1]
    assert stream.waits[0] > 4.0
    assert stream.waits[1:] == [0.0, 0.0]
    assert stream.fallbacks == 3
    stream.is_proven = True
    shop.trades(NAME, 10, 5.0)
    shop.trades(NAME, 10, 5.0)
    assert stream.waits[-1] > 4.0


@pytest.mark.parametrize("stream", [None, Stream()])
def test_market_without_a_stream_is_asked_of_rest_each_time(stream: Stream | None) -> None:
    """No stream at all, or none of this pair."""
    rest = Rest([trade_row(1)])
    shop = market(stream, rest, symbol=None)
    assert [numbers(shop.trades(NAME, 10, 1.0)) for _ in range(2)] == [[1], [1]]
    assert len(rest.asked) == 2
    assert stream is None or stream.asked == []


def test_refusal_of_rest_is_the_caller_s() -> None:
    """Nothing is made up, and the next call asks again."""
    stream, rest = Stream(), Rest([trade_row(1)])

    def refuse() -> None:
        raise KrakenAPIError("Trades", ["EService:Busy"])

    rest.before = refuse
    shop = market(stream, rest)
    with pytest.raises(KrakenAPIError, match="Busy"):
        shop.trades(NAME, 10, 1.0)
    rest.before = lambda: None
    assert numbers(shop.trades(NAME, 10, 1.0)) == [1]


# --- gaps and twins ----------------------------------------------------------------------------


def test_hole_is_filled_once_and_what_rest_lacks_too_is_none() -> None:
    """Kraken leaves numbers out."""
    stream, rest = Stream(), Rest([trade_row(1)], [trade_row(1), trade_row(2), trade_row(5)])
    shop = market(stream, rest)
    shop.trades(NAME, 10, 1.0)
    stream.tapes["trade", 0].add(5, trade(5))
    for _ in range(3):
        assert numbers(shop.trades(NAME, 10, 1.0)) == [1, 2, 5]
    assert len(rest.asked) == 2


def test_hole_behind_what_rest_told_is_looked_up_again() -> None:
    """Each new one."""
    answers = [[trade_row(n) for n in range(1, last + 1)] for last in (1, 3, 6)]
    stream, rest = Stream(), Rest(*answers)
    shop = market(stream, rest)
    assert numbers(shop.trades(NAME, 10, 1.0)) == [1]
    stream.tapes["trade", 0].add(3, trade(3))
    assert numbers(shop.trades(NAME, 10, 1.0)) == [1, 2, 3]
    stream.tapes["trade", 0].add(6, trade(6))
    assert numbers(shop.trades(NAME, 10, 1.0)) == [1, 2, 3, 4, 5, 6]
    assert len(rest.asked) == 3


def test_of_two_states_of_a_candle_the_later_is_shown() -> None:
    """Whoever tells it: REST may be ahead of a tape that was just begun."""
    stream, rest = Stream(), Rest([candle_row(0, "6", trades=4)])
    shop = market(stream, rest)
    rest.before = lambda: put(stream.tapes["ohlc", 1], 0, candle(0, "5", trades=3))
    assert [x.trades for x in shop.candles(NAME, 1, 1.0).candles] == [4]
    stream.tapes["ohlc", 1].add(0, candle(0, "7", trades=5))
    (found,) = shop.candles(NAME, 1, 1.0).candles
    assert (found.trades, found.close) == (5, Decimal(7))
    assert len(rest.asked) == 1


def test_candle_that_rest_refutes_is_left_out_for_good() -> None:
    """And costs no further call."""
    stream, rest = Stream(), Rest([candle_row(0)])
    shop = market(stream, rest)
    shop.candles(NAME, 1, 1.0)
    stream.tapes["ohlc", 1].add(10**9 // 60 * 60, candle(10**9 // 60 * 60))
    stream.tapes["ohlc", 1].add(60, candle(60))
    for _ in range(3):
        assert [x.begin for x in shop.candles(NAME, 1, 1.0).candles] == [0, 60]
    assert len(rest.asked) == 2


@pytest.mark.parametrize("moment", [None, "2023-11-14T22:13:19Z", "2099-01-01T00:00:00Z"])
def test_number_that_rest_refutes_is_left_out_for_good(
    moment: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """What came behind it has a lower number, and REST knows that; it costs no further call."""
    answers = [[trade_row(n) for n in range(1, last + 1)] for last in (1, 2)]
    stream, rest = Stream(), Rest(*answers)
    shop = market(stream, rest)
    shop.trades(NAME, 10, 1.0)
    stream.tapes["trade", 0].add(2**62, trade(2**62, moment))
    stream.tapes["trade", 0].add(2, trade(2))
    for _ in range(3):
        assert numbers(shop.trades(NAME, 10, 1.0)) == [1, 2]
    stream.tapes["trade", 0].add(3, trade(3))
    for _ in range(3):
        assert numbers(shop.trades(NAME, 10, 1.0)) == [1, 2, 3]
    assert len(rest.asked) == 2
    (told,) = [record.getMessage() for record in caplog.records]
    assert told == "BTC/USD: trades with numbers that cannot be are not taken"


def test_trade_that_rest_does_not_show_yet_is_not_refuted() -> None:
    """And REST is not asked by every call meanwhile, but where something new is in doubt."""
    stream, rest = Stream(), Rest([trade_row(1)])
    shop = market(stream, rest)
    shop.trades(NAME, 10, 1.0)
    stream.tapes["trade", 0].add(5, trade(5, "2023-11-14T22:13:21Z"))
    for _ in range(3):
        assert numbers(shop.trades(NAME, 10, 1.0)) == [1, 5]
    assert len(rest.asked) == 2
    rest.rows = [[trade_row(n) for n in range(1, 9)]]
    stream.tapes["trade", 0].add(8, trade(8, "2023-11-14T22:13:22Z"))
    assert numbers(shop.trades(NAME, 10, 1.0)) == [*range(1, 9)]
    assert len(rest.asked) == 3


def test_same_holes_are_asked_about_ever_less_often() -> None:
    """At once where one is new, then after a second, two, four."""
    one, other = frozenset({(1, 5)}), frozenset({(1, 5), (5, 9)})
    base = Base[Any](Tape(9), {}, 1, feed_clock() - 3)
    assert base.is_to_be_asked(one)
    assert not base.is_to_be_asked(frozenset())
    base = base.answered(one, {})
    assert base.is_to_be_asked(one)  # three seconds ago
    assert base.is_to_be_asked(other)
    base = base.answered(one, {}).answered(one, {})
    assert base.tries == 2
    assert not base.is_to_be_asked(one)
    assert base.is_to_be_asked(other)
    assert base._replace(asked_at=feed_clock() - 4).is_to_be_asked(one)
    assert base.answered(other, {}).tries == 0


def test_candles_carry_their_proof() -> None:
    """The stream's own, or the time that REST took."""
    stream, rest = Stream(), Rest([candle_row(0)])
    found = market(stream, rest).candles(NAME, 1, 1.0)
    assert (found.source, found.proven_age, found.symbol) == ("websocket", 0.25, SYMBOL)
    found = market(None, rest).candles(NAME, 1, 1.0)
    assert found.source == "rest"
    assert 0 <= found.proven_age < 60


def test_all_is_given_back() -> None:
    """Each once."""
    stream, rest = Stream(), Rest([candle_row(0)])
    shop = market(stream, rest)
    for interval in (1, 60):
        shop.candles(NAME, interval, 1.0)
    shop.let_go()
    assert stream.tapes == {}
    shop.let_go()
