"""Whether Kraken would take the orders of armed rows: asked once, and with a good key only."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

import pytest

from krakenlink.errors import (
    AuthenticationError,
    KrakenConnectionError,
    ProtocolError,
    RateLimitError,
)
from krakenlink.rest.answers import Outcome, outcome_of
from krakenlink.rest.verdicts import OutcomeKind
from ttslo_app.messages import KeyRefused, Market
from ttslo_app.rules.rule import read_rule
from ttslo_app.run import order_checks
from ttslo_app.run.order_checks import OrderChecks, ReadingKey
from ttslo_app.watch.crossings import Armed
from ttslo_app.watch.parking import Seat

BTC = Market("BTC/USD", "XXBTZUSD", "BTC/USD", lot_decimals=8)


class Said(list[str]):
    """What a person was told, level and sentence."""

    def __call__(self, level: str, message: str, **fields: object) -> None:
        self.append(f"{level} {message}")


@pytest.fixture
def said() -> Said:
    """Hand out an empty sheet."""
    return Said()


class Clock:
    """Seconds that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let the checks go by seconds that the test moves."""
    made = Clock()
    monkeypatch.setattr(order_checks, "feed_clock", made)
    return made


class Exchange:
    """Kraken, which is asked what it would make of orders."""

    def __init__(self, outcome: Outcome | None = None) -> None:
        self.outcome = outcome or Outcome(OutcomeKind.VALID)
        self.checked: list[object] = []
        self.market = BTC
        self.error: Exception | None = None

    def market_of(self, pair: str) -> Market:
        """Return the one market, where it is known or can be asked for."""
        if self.error is not None:
            raise self.error
        return self.market

    def check(self, order: object) -> Outcome:
        """Note what was asked about."""
        self.checked.append(order)
        return self.outcome


class Worker:
    """An order thread, which is told of a refused key and shuts its gate."""

    def __init__(self) -> None:
        self.told: list[KeyRefused] = []
        self.is_key_refused = False

    def submit(self, message: KeyRefused) -> None:
        """Shut the gate."""
        self.told.append(message)
        self.is_key_refused = True


def arming(name: str, volume: str = "0.01", direction: str = "sell") -> Armed:
    """Return a row that was just armed."""
    cells = {
        "id": name,
        "pair": "BTC/USD",
        "threshold_price": "90000",
        "threshold_type": "above",
        "direction": direction,
        "volume": volume,
        "trailing_offset_percent": "1",
        "enabled": "true",
    }
    return Armed(read_rule(cells), BTC, 0)


def checks_of(
    exchange: Exchange, said: Said, *changes: Armed, worker: Worker | None = None
) -> OrderChecks:
    """Return the checks with some rows waiting for them."""
    seats = {c.rule.id: Seat(c) for c in changes}
    checks = OrderChecks(cast("Any", exchange), lambda: seats, worker or Worker(), said)
    for change in changes:
        checks.add(change)
    return checks


def test_many_checks_wait_for_their_turn(said: Said) -> None:
    """The first 20 are checked at once, then one each time: the orders themselves need room."""
    exchange = Exchange()
    checks = checks_of(exchange, said, *(arming(f"r{n}", f"0.{n + 1:02}") for n in range(25)))
    counts = []
    for _ in range(3):
        checks.work()
        counts.append(len(exchange.checked))
    assert counts == [20, 21, 22]


def test_of_many_orders_one_of_a_kind_is_checked(
    said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of rows do not use up what Kraken allows for the orders themselves."""
    monkeypatch.setattr(order_checks, "_CHECKS_OF_ALL", 2)
    exchange = Exchange()
    rows = [arming(f"r{n}", f"0.0{n}") for n in range(1, 6)]
    checks = checks_of(exchange, said, *rows, arming("other", "0.05", "buy"))
    checks.work()
    assert said == [
        "DEBUG r1: Kraken would take its order",
        "DEBUG r2: Kraken would take its order",
        "DEBUG other: Kraken would take its order",
    ]


def test_order_id_in_the_answer_to_a_question_is_told(said: Said) -> None:
    """Nothing was to be placed: a person must look, and the row stays as it is."""
    checks = checks_of(Exchange(Outcome(OutcomeKind.PLACED, "OABC")), said, arming("r"))
    checks.work()
    assert len(said) == 1
    assert said[0].startswith("ERROR r: Kraken, asked only")
    assert "OABC" in said[0]


def test_same_order_is_checked_once(said: Said) -> None:
    """Two rows that would send the same need one answer."""
    exchange = Exchange()
    checks_of(exchange, said, arming("one"), arming("two")).work()
    assert len(exchange.checked) == 1


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (
            Outcome(OutcomeKind.REFUSED, reason="No", cure="Do."),
            "ERROR a: Kraken would REFUSE its order as things are: No. Do. The row stays armed",
        ),
        (
            Outcome(OutcomeKind.REFUSED, reason="EGeneral:Invalid arguments:Index unavailable"),
            "WARNING a: Kraken has no index price of its pair; at its crossing the stop",
        ),
        (
            Outcome(OutcomeKind.UNKNOWN, reason="no answer"),
            "WARNING not asked yet whether Kraken would take the orders of a: no answer.",
        ),
    ],
)
def test_check_tells_what_kraken_said(said: Said, outcome: Outcome, told: str) -> None:
    """Refused, and could not be checked, are two things."""
    checks_of(Exchange(outcome), said, arming("a")).work()
    assert len(said) == 1
    assert said[0].startswith(told)


def of(error: Exception) -> Outcome:
    """Return what the checks are told of an error."""
    return outcome_of(error, validate=True)


BAD_KEY = of(AuthenticationError("AddOrder", ["EAPI:Invalid key"]))
LOCKOUT = of(RateLimitError("AddOrder", ["EGeneral:Temporary lockout"]))
NO_RIGHT = of(AuthenticationError("AddOrder", ["EGeneral:Permission denied"]))
UNREACHED = of(KrakenConnectionError("no route", request_sent=False))
LOST = of(KrakenConnectionError("HTTP 502", request_sent=True))


@pytest.mark.parametrize("outcome", [BAD_KEY, NO_RIGHT, LOCKOUT])
def test_bad_key_is_the_order_threads_affair_and_nothing_is_asked_meanwhile(
    said: Said, clock: Clock, outcome: Outcome
) -> None:
    """Twenty-five rows lead to one call; they are checked once the key is taken again."""
    exchange, worker = Exchange(outcome), Worker()
    rows = [arming(f"r{n}", f"0.{n + 1:02}") for n in range(25)]
    checks = checks_of(exchange, said, *rows, worker=worker)
    for _ in range(3):
        checks.work()
        clock.now += 3600
    assert len(exchange.checked) == 1
    assert worker.told == [KeyRefused("r0", outcome)]
    assert said == []
    worker.is_key_refused, exchange.outcome = False, Outcome(OutcomeKind.VALID)
    for _ in range(10):
        checks.work()
    assert len({str(order) for order in exchange.checked}) == 25


@pytest.mark.parametrize("outcome", [UNREACHED, LOST])
def test_kraken_that_cannot_be_asked_refuses_nothing_and_is_asked_again(
    said: Said, clock: Clock, outcome: Outcome
) -> None:
    """Not asked is not refused: it is said once, and the answer is told when it comes."""
    exchange = Exchange(outcome)
    checks = checks_of(exchange, said, arming("a"), arming("b", "0.02"))
    for _ in range(5):
        checks.work()
        clock.now += 400
    assert len(exchange.checked) == 5
    assert len(said) == 1
    assert said[0].startswith("WARNING not asked yet whether Kraken would take the orders of a, b")
    assert "REFUSE" not in said[0]
    exchange.outcome = Outcome(OutcomeKind.REFUSED, reason="No", cure="Do.")
    checks.work()
    assert said[1] == "INFO Kraken can be asked again whether it would take orders"
    assert said[2].startswith("ERROR a: Kraken would REFUSE its order as things are: No. Do. The")


@pytest.mark.parametrize(
    "error",
    [KrakenConnectionError("no route", request_sent=False), ProtocolError("AssetPairs: no JSON")],
)
def test_row_whose_pair_cannot_be_asked_for_keeps_its_place(
    said: Said, clock: Clock, error: Exception
) -> None:
    """It is neither lost nor called refused; Kraken is given more time with each try."""
    exchange = Exchange()
    exchange.error = error
    checks = checks_of(exchange, said, arming("a"), arming("b", "0.02"))
    for _ in range(3):
        checks.work()  # which raises nothing: that would lose what it had in hand
    assert len(said) == 1
    assert said[0].startswith("WARNING not asked yet whether Kraken would take the orders of a, b")
    clock.now += 6
    checks.work()
    exchange.error = None
    clock.now += 6
    checks.work()
    assert exchange.checked == []
    clock.now += 6
    checks.work()
    assert said[1:] == [
        "INFO Kraken can be asked again whether it would take orders",
        "DEBUG a: Kraken would take its order",
        "DEBUG b: Kraken would take its order",
    ]


def test_row_whose_pair_kraken_does_not_have_keeps_nobody_waiting(said: Said) -> None:
    """No order can come of it, and its crossing says why; the next one is looked at."""
    exchange = Exchange()
    exchange.error = LookupError("Kraken has no such pair")
    checks = checks_of(exchange, said, arming("a"))
    checks.work()
    exchange.error = None
    checks.add(arming("b", "0.02"))
    checks.work()
    assert said == ["DEBUG b: Kraken would take its order"]


def test_key_is_looked_at_again_some_times_a_day(said: Said, clock: Clock) -> None:
    """A key that was revoked meanwhile is told of, though nothing has changed here."""
    exchange, worker = Exchange(), Worker()
    checks = checks_of(exchange, said, arming("a"), worker=worker)
    checks.work()
    exchange.outcome = BAD_KEY
    clock.now += 5 * 3600
    checks.work()
    assert len(exchange.checked) == 1
    clock.now += 2 * 3600
    checks.work()
    assert worker.told == [KeyRefused("a", BAD_KEY)]


def test_orders_of_a_pair_that_kraken_has_changed_are_looked_at_again(said: Said) -> None:
    """With its steps of now, whatever was asked before; that they are good again is said, too."""
    exchange, rows = Exchange(), {"a": Seat(arming("a", "0.0123"))}
    news: list[set[str]] = [set(), {"BTC/USD"}, {"ETH/USD"}, {"BTC/USD"}]
    checks = OrderChecks(cast("Any", exchange), lambda: rows, Worker(), said, lambda: news.pop(0))
    checks.add(rows["a"].armed)

    def turn() -> None:
        checks.hear()
        checks.work()

    turn()
    exchange.market = replace(BTC, lot_decimals=2)
    exchange.outcome = Outcome(OutcomeKind.REFUSED, reason="No", cure="Do.")
    turn()
    turn()
    exchange.outcome = Outcome(OutcomeKind.VALID)
    turn()
    volumes = [order.volume for order in cast("list[Any]", exchange.checked)]
    assert list(map(Decimal, volumes)) == [Decimal("0.0123"), Decimal("0.01"), Decimal("0.01")]
    assert said == [
        "DEBUG a: Kraken would take its order",
        "ERROR a: Kraken would REFUSE its order as things are: No. Do. The row stays armed",
        "INFO a: Kraken would take its order again",
    ]


def test_pairs_that_change_while_nothing_is_asked_are_looked_at_afterwards(said: Said) -> None:
    """Each once: news that nobody takes would heap up for as long as the key is refused."""
    exchange, worker, rows = Exchange(), Worker(), {"a": Seat(arming("a"))}
    news: list[set[str]] = [{"BTC/USD"}, {"BTC/USD"}, {"ETH/USD"}]
    checks = OrderChecks(cast("Any", exchange), lambda: rows, worker, said, lambda: news.pop(0))
    checks.add(rows["a"].armed)
    checks.work()
    worker.is_key_refused = True
    while news:
        checks.hear()
        checks.work()
    assert len(exchange.checked) == 1
    worker.is_key_refused = False
    checks.work()
    checks.work()
    assert len(exchange.checked) == 2


def test_of_edits_that_come_while_nothing_is_asked_the_newest_waits(said: Said) -> None:
    """A host that stands by may see thousands before it asks; of rows that are gone, none waits."""
    exchange, worker, rows = Exchange(), Worker(), {"a": Seat(arming("a"))}
    worker.is_key_refused = True
    checks = OrderChecks(cast("Any", exchange), lambda: rows, worker, said)
    for number in range(1, 201):
        checks.add(arming("gone", f"0.{number:04}"))
        rows["a"] = Seat(arming("a", f"0.{number:04}"))
        checks.add(rows["a"].armed)
        checks.hear()
        checks.work()
    worker.is_key_refused = False
    for _ in range(200):
        checks.hear()
        checks.work()
    volumes = [Decimal(order.volume) for order in cast("list[Any]", exchange.checked)]
    assert len(volumes) <= 22
    assert volumes[-1] == Decimal("0.02")


def test_row_that_waits_no_more_is_not_looked_at_again(said: Said, clock: Clock) -> None:
    """Without an armed row there is nothing that a bad key could lose."""
    exchange, rows = Exchange(), {"a": Seat(arming("a"))}
    checks = OrderChecks(cast("Any", exchange), lambda: rows, Worker(), said)
    checks.add(rows["a"].armed)
    checks.work()
    rows.clear()
    clock.now += 7 * 3600
    checks.work()
    assert len(exchange.checked) == 1


def test_key_is_looked_at_again_by_another_row_where_the_last_one_waits_no_more(
    said: Said, clock: Clock
) -> None:
    """It has fired, or was changed; the others would lose their crossings to a bad key."""
    exchange, worker = Exchange(), Worker()
    rows = {"a": Seat(arming("a", "0.02")), "b": Seat(arming("b"))}
    checks = OrderChecks(cast("Any", exchange), lambda: rows, worker, said)
    for row in rows.values():
        checks.add(row.armed)
    checks.work()
    del rows["b"]
    exchange.outcome = BAD_KEY
    clock.now += 7 * 3600
    checks.work()
    assert worker.told == [KeyRefused("a", BAD_KEY)]


class Reader:
    """A client with a key, whose answer a test chooses."""

    has_keys = True

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.asked = 0

    def query_open_orders(self) -> object:
        """Answer, or raise."""
        self.asked += 1
        if self.error:
            raise self.error
        return {}


def key_of(reader: Reader) -> tuple[ReadingKey, list[bool], list[str]]:
    """Return the check, what was told to the exchange, and what to the person."""
    used: list[bool] = []
    said: list[str] = []
    return ReadingKey(reader, used.append, lambda level, text, **_: said.append(text)), used, said


@pytest.mark.parametrize("word", ["EAPI:Invalid key", "EGeneral:Permission denied"])
def test_bad_key_is_told_once_and_replaced_until_it_is_good(word: str) -> None:
    """Orders are watched with the trading key meanwhile."""
    reader = Reader()
    key, used, said = key_of(reader)
    reader.error = AuthenticationError("OpenOrders", [word])
    key.look()
    key.look()
    assert used == [False, False]
    assert len(said) == 1
    assert said[0].startswith(f"The reading key is refused: {word}. Orders are watched with the tr")
    assert key.every() == 300
    reader.error = None
    key.look()
    assert used[-1] is True
    assert said[1:] == ["The reading key is taken again"]
    assert key.every() > 3600


def test_kraken_that_cannot_be_asked_says_nothing_of_the_key() -> None:
    """It stays in use, and is asked about again soon."""
    reader = Reader()
    key, used, said = key_of(reader)
    reader.error = KrakenConnectionError("no route", request_sent=False)
    with pytest.raises(KrakenConnectionError):
        key.look()
    assert (used, said, key.every()) == ([], [], 300)


def test_without_a_reading_key_nobody_is_asked() -> None:
    """There is none to be bad."""
    reader = Reader()
    reader.has_keys = False
    key, used, said = key_of(reader)
    key.look()
    assert (reader.asked, used, said) == (0, [], [])
