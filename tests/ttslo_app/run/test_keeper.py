"""The keeper: duties that recur, one beside the other, each on its own."""

from __future__ import annotations

import threading
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from krakenlink.errors import KrakenConnectionError
from ttslo_app.messages import Mark, Market, Message, PolledPrice, Sighting, Watched
from ttslo_app.run import keeper as ttslo_keeper
from ttslo_app.run.keeper import Duty, Keeper, Poller, TapeKeeper, watch_orders
from ttslo_app.run.streams import Streams
from ttslo_app.watch.tape import Saved

BTC = Market("BTC/USD", "XXBTZUSD", "BTC/USD", lot_decimals=8)
ETH = Market("ETH/USD", "XETHZUSD", "ETH/USD", lot_decimals=8)


class Said(list[str]):
    """What a person was told, level and sentence."""

    def __call__(self, level: str, message: str, **fields: object) -> None:
        self.append(f"{level} {message}")


@pytest.fixture
def said() -> Said:
    """Hand out an empty sheet."""
    return Said()


def unreachable() -> KrakenConnectionError:
    """Return the error of a Kraken that cannot be reached."""
    return KrakenConnectionError("no route", request_sent=False)


# --- the thread ------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the keeper go round without a pause."""
    monkeypatch.setattr(ttslo_keeper, "BEAT", 0.001)


def keep(duties: list[Duty], said: Said, until: threading.Event) -> None:
    """Let a keeper do its duties until an event."""
    stopping = threading.Event()
    keeper = Keeper(duties, stopping, said)
    keeper.start()
    assert until.wait(60)
    stopping.set()
    keeper.join(60)


@pytest.mark.usefixtures("quick")
def test_failed_duty_ends_no_other(said: Said, caplog: pytest.LogCaptureFixture) -> None:
    """A defect in one duty is logged with its traceback, and the next one is done."""
    done = threading.Event()

    def fail() -> None:
        raise ZeroDivisionError

    keep([Duty(lambda: 0.0, fail), Duty(lambda: 0.0, done.set)], said, done)
    assert "The keeper met an error and goes on" in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert said == []


@pytest.mark.usefixtures("quick")
def test_complaint_is_said_once_and_so_is_its_end(said: Said) -> None:
    """Kraken out of reach is told at the first try, and again only when that is over."""
    answers = iter([*[unreachable()] * 3, None, unreachable(), None])
    over = threading.Event()

    def ask() -> None:
        answer = next(answers, over)
        if answer is over:
            over.set()
        elif isinstance(answer, Exception):
            raise answer

    keep([Duty(lambda: 0.0, ask, "The orders cannot be watched")], said, over)
    told = f"WARNING The orders cannot be watched: {unreachable()}. It is tried again"
    assert said == [told, "INFO Again well; this is over: the orders cannot be watched"] * 2


@pytest.mark.usefixtures("quick")
def test_duty_without_a_complaint_says_nothing(said: Said) -> None:
    """What puts nobody at a loss is for the log of the library alone."""
    tried = threading.Semaphore(0)
    over = threading.Event()

    def ask() -> None:
        tried.release()
        raise unreachable()

    def end() -> None:
        if tried.acquire(blocking=False) and tried.acquire(blocking=False):
            over.set()

    keep([Duty(lambda: 0.0, ask), Duty(lambda: 0.0, ask), Duty(lambda: 0.0, end)], said, over)
    assert said == []


def test_duty_that_is_under_way_is_done_again_soon(
    said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keeper does not wait for its beat then, which here would not come; nor stay as quick."""
    monkeypatch.setattr(ttslo_keeper, "BEAT", 0.2)
    monkeypatch.setattr(ttslo_keeper, "_SOON", 0.0)
    pauses: list[float | None] = []
    answers = iter([None, True, True, False, 1])
    over = threading.Event()

    class Stopping(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout)
            return super().wait(timeout)

    def work() -> object:
        answer = next(answers, over)
        if answer is over:
            over.set()
        return answer

    stopping = Stopping()
    keeper = Keeper([Duty(lambda: 0.0, work), Duty(lambda: 0.0, lambda: None)], stopping, said)
    keeper.start()
    assert over.wait(60)
    stopping.set()
    keeper.join(60)
    assert pauses[:6] == [0.2, 0.2, 0.0, 0.0, 0.2, 0.2]


@pytest.mark.usefixtures("quick")
def test_duty_waits_for_its_time(said: Said) -> None:
    """What is due once an hour is done once while another goes round and round."""
    rounds: list[int] = []
    rare: list[int] = []
    over = threading.Event()

    def go_round() -> None:
        rounds.append(1)
        if len(rounds) == 5:
            over.set()

    keep([Duty(lambda: 3600.0, lambda: rare.append(1)), Duty(lambda: 0.0, go_round)], said, over)
    assert len(rare) == 1


# --- polling ---------------------------------------------------------------------------------


class Rest:
    """Prices over REST; an exception in place of a price is one, in place of all it is raised."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.asked: list[list[str]] = []

    def get_tickers(self, pairs: list[str]) -> Any:
        """Answer."""
        self.asked.append(pairs)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def poller(rest: Rest, said: Said) -> tuple[Poller, Streams, list[PolledPrice]]:
    """Return a poller for two markets that do not stream, and where its prices go."""
    streams, came = Streams(None, 60, said), list[PolledPrice]()
    markets = {market.name: market for market in (BTC, ETH)}
    made = Poller(cast("Any", rest), streams, lambda: markets, rows_of, came.append, said)
    return made, streams, came


def rows_of(name: str) -> list[str]:
    """Return the armed rows of a market."""
    return [f"{name[:3].lower()}{number}" for number in (1, 2)]


def test_poll_asks_once_for_all_and_one_bad_pair_takes_no_other(said: Said) -> None:
    """Each market's price comes on its own; the one without is told and is not live."""
    quote = SimpleNamespace(price=Decimal(50000))
    rest = Rest({"XXBTZUSD": quote, "XETHZUSD": ValueError("delisted")})
    keeper, streams, came = poller(rest, said)
    keeper.poll()
    assert rest.asked == [["XXBTZUSD", "XETHZUSD"]]
    assert [(polled.market, polled.price) for polled in came] == [("BTC/USD", Decimal(50000))]
    keeper.poll()
    assert len(said) == 1
    assert said[0].startswith("ERROR eth1, eth2: CANNOT FIRE: ETH/USD has no price, ")
    assert "(delisted)" in said[0]
    assert (streams.is_live(BTC), streams.is_live(ETH)) == (True, False)
    rest.answer = {"XXBTZUSD": quote, "XETHZUSD": quote}
    keeper.poll()
    assert said[1:] == ["INFO ETH/USD has a price again; its armed rows can fire"]


def test_poll_that_fails_is_told_once_until_it_works(said: Said) -> None:
    """Blind in both eyes is said, not at every poll."""
    rest = Rest(unreachable())
    keeper, _, _ = poller(rest, said)
    keeper.poll()
    keeper.poll()
    assert len(said) == 1
    assert "no price over REST either, blind for BTC/USD, ETH/USD" in said[0]
    rest.answer = {}
    keeper.poll()
    assert said[1:] == ["INFO REST tells prices again"]
    rest.answer = unreachable()
    keeper.poll()
    assert len(said) == 3


def test_poll_of_no_market_asks_nobody(said: Said) -> None:
    """Where everything streams REST is left in peace."""
    rest = Rest({})
    came: list[PolledPrice] = []
    Poller(cast("Any", rest), Streams(None, 60, said), dict, rows_of, came.append, said).poll()
    assert rest.asked == []


# --- orders ----------------------------------------------------------------------------------


class Exchange:
    """Kraken, which is asked what has become of orders."""

    def __init__(self) -> None:
        self.seen: dict[str, Sighting] = {}

    def watch(self, txids: object) -> dict[str, Sighting]:
        """Tell what has become of the orders."""
        return self.seen


def test_standing_orders_are_looked_at() -> None:
    """The order thread is told of each order that Kraken knows, and asked about none it has not."""
    exchange, told = Exchange(), list[Message]()
    worker = SimpleNamespace(
        is_key_refused=False, standing={"a": "OA", "b": "OB"}, submit=told.append
    )
    exchange.seen = {"OA": Sighting("OA", "open")}
    watch_orders(cast("Any", exchange), cast("Any", worker))
    assert told == [Watched({"a": Sighting("OA", "open")})]


def test_without_a_standing_order_nobody_is_asked() -> None:
    """No order, no call."""
    told: list[Message] = []
    worker = SimpleNamespace(is_key_refused=False, standing={}, submit=told.append)
    watch_orders(cast("Any", None), cast("Any", worker))
    assert told == []


def test_key_that_kraken_refuses_is_asked_nothing() -> None:
    """Each call with a refused key is a step towards a lockout; orders are watched later."""
    told: list[Message] = []
    worker = SimpleNamespace(is_key_refused=True, standing={"a": "OA"}, submit=told.append)
    watch_orders(cast("Any", None), cast("Any", worker))
    assert told == []


# --- how far the tapes were seen ---------------------------------------------------------------


class TapeFile:
    """A file of tapes, which may be broken."""

    def __init__(self, text: str | None = None, error: Exception | None = None) -> None:
        self.text = text
        self.error = error
        self.writes = 0

    def load_tape(self) -> str | None:
        """Read."""
        if self.error:
            raise self.error
        return self.text

    def save_tape(self, text: str) -> None:
        """Write."""
        if self.error:
            raise self.error
        self.text = text
        self.writes += 1


def test_places_are_kept_once_the_crossings_before_them_are_settled(said: Said) -> None:
    """Nothing is written before the order thread says so, and nothing twice."""
    file, told = TapeFile(), list[Message]()
    tape = TapeKeeper(file, told.append, said)
    tape.mark(Saved)
    tape.keep()
    assert file.writes == 0
    (mark,) = told
    assert isinstance(mark, Mark)
    mark.passed()
    tape.keep()
    tape.keep()
    assert file.writes == 1
    assert TapeKeeper(file, told.append, said).load() == Saved()


def test_places_without_a_file_are_kept_nowhere(said: Said) -> None:
    """A dry run marks nothing."""
    told: list[Message] = []
    tape = TapeKeeper(None, told.append, said)
    tape.mark(Saved)
    tape.keep()
    assert told == []
    assert tape.load() == Saved()


@pytest.mark.parametrize("file", [TapeFile("nonsense"), TapeFile(error=OSError("gone"))])
def test_places_that_cannot_be_read_are_told(said: Said, file: TapeFile) -> None:
    """More of the past is looked at then, and a person knows why."""
    assert TapeKeeper(file, list[Message]().append, said).load() == Saved()
    assert said[0].startswith("WARNING How far prices were seen before cannot be read (")


def test_places_that_cannot_be_written_are_tried_again(said: Said) -> None:
    """A full disk harms no order, and the next beat tries again."""
    file, told = TapeFile(error=OSError("full")), list[Message]()
    tape = TapeKeeper(file, told.append, said)
    tape.mark(Saved)
    (mark,) = told
    assert isinstance(mark, Mark)
    mark.passed()
    tape.keep()
    file.error = None
    tape.keep()
    assert (file.writes, said) == (1, [])
