"""How the account's stream and looks over REST share the orders, without a socket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kraken_api import KrakenAPI
from krakenlink.errors import AuthenticationError, KrakenConnectionError
from krakenlink.machine import feed_clock
from krakenlink.stream.executions import AccountOrder
from krakenlink.stream.private import (
    AccountDenied,
    AccountFollowed,
    AccountGap,
    AccountLost,
    AccountSnapshot,
    OrderNews,
)
from ttslo_app.messages import Message, Sighting, Streamed, Watched
from ttslo_app.orders.exchange import KrakenExchange
from ttslo_app.orders.life import OrderSettings
from ttslo_app.run.account_watch import (
    AccountWatch,
    account_feed_of,
    account_watch_of,
    token_of_any,
)

SETTINGS = OrderSettings(watch=10.0, watch_streamed=60.0)
OURS = "10dbbc38-8940-5a21-9d7b-b5c9342ca547"  # of version 5, as all of ours are
ORDER = AccountOrder("O1", "new", OURS, "BTC/USD", "sell", "trailing-stop", Decimal("0.01"))


@dataclass
class Feed:
    """A stream that proves what the test says."""

    shown: dict[str, AccountOrder] | None = None
    done: list[str] = field(default_factory=list)

    def open_feed(self, *, sink: SimpleQueue[Any]) -> object:
        self.done.append("open")
        return SimpleNamespace()

    def start(self) -> None:
        self.done.append("start")

    def stop(self) -> None:
        self.done.append("stop")

    def orders(self) -> dict[str, AccountOrder] | None:
        return self.shown


@dataclass
class Worker:
    """An order thread with orders that stand."""

    standing: dict[str, str] = field(default_factory=lambda: {"btc": "O1"})
    is_key_refused: bool = False
    heard: list[Message] = field(default_factory=list)

    def submit(self, message: Message) -> None:
        self.heard.append(message)


@dataclass
class Exchange:
    """Kraken over REST; `during` is called while it is asked."""

    during: Callable[[], None] = lambda: None
    error: Exception | None = None

    def watch(self, txids: object) -> dict[str, Sighting]:
        self.during()
        if self.error:
            raise self.error
        return {"O1": Sighting("O1", "open")}

    def rest_key_of(self, symbol: str) -> str:
        return {"BTC/USD": "XXBTZUSD"}.get(symbol, "")


class Bench:
    """A watch with everything around it."""

    def __init__(self, feed: Feed | None) -> None:
        self.feed, self.worker, self.exchange = feed, Worker(), Exchange()
        self.said: list[str] = []
        self.watch = AccountWatch(
            cast("Any", feed),
            cast("Any", self.exchange),
            cast("Any", self.worker),
            SETTINGS,
            SimpleQueue(),
            lambda level, text, **fields: self.said.append(f"{level} {text}"),
        )


@pytest.fixture
def bench() -> Bench:
    """A watch with a stream that proves the one order that stands."""
    return Bench(Feed({"O1": ORDER}))


# --- how often REST is asked -------------------------------------------------------------------


def test_orders_that_the_stream_proves_are_looked_at_slowly(bench: Bench) -> None:
    """And so is an account in which nothing stands."""
    assert bench.watch.every() == 60.0
    bench.worker.standing = {}
    assert bench.watch.every() == 60.0


@pytest.mark.parametrize(
    "shown",
    [
        None,
        {},
        {"O2": ORDER},
        {"O1": replace(ORDER, status="partially_filled", executed=Decimal("0.01"))},
    ],
)
def test_order_that_it_does_not_prove_is_looked_at_as_ever(
    bench: Bench, shown: dict[str, AccountOrder] | None
) -> None:
    """Not followed, not shown, another account's, or filled without Kraken's word for it."""
    assert bench.feed is not None
    bench.feed.shown = shown
    assert bench.watch.every() == 10.0


def test_without_a_stream_nothing_changes() -> None:
    """A duty that has nothing to start, and looks as often as ever."""
    bench = Bench(None)
    bench.watch.keep()
    bench.watch.stop()
    assert bench.watch.every() == 10.0
    bench.watch.look()
    assert bench.worker.heard == [Watched({"btc": Sighting("O1", "open")})]
    assert bench.said == []


def test_doubt_brings_a_look_and_no_more_than_kraken_bears(bench: Bench) -> None:
    """One that arises while REST is asked wants another; a look that fails is owed."""
    bench.watch.look_soon()
    assert bench.watch.every() == 3.0
    bench.exchange.during = bench.watch.look_soon
    bench.watch.look()
    assert bench.watch.every() == 3.0
    bench.exchange.during = lambda: None
    bench.watch.look()
    assert bench.watch.every() == 60.0
    bench.watch.look_soon()
    bench.exchange.error = KrakenConnectionError("no route", request_sent=False)
    with pytest.raises(KrakenConnectionError):
        bench.watch.look()
    assert bench.watch.every() == 3.0


def test_pace_that_a_user_has_chosen_is_never_undercut(bench: Bench) -> None:
    """Whoever looks every two minutes is not made to look every minute."""
    bench.watch._settings = OrderSettings(watch=120.0, watch_streamed=60.0)
    assert bench.watch.every() == 120.0
    bench.watch._settings = OrderSettings(watch=0.5)
    bench.watch.look_soon()
    assert bench.watch.every() == 0.5


# --- what is handed on -------------------------------------------------------------------------


def test_news_of_an_order_that_stands_go_to_the_order_thread(bench: Bench) -> None:
    """With REST's name of its pair; one of our ids goes, too, before its answer has come."""
    bench.watch.hear(OrderNews(ORDER, 0.0))
    early = replace(ORDER, order_id="O7")
    bench.watch.hear(OrderNews(early, 0.0))
    unknown = replace(ORDER, symbol="T/USD")
    bench.watch.hear(OrderNews(unknown, 0.0))
    assert bench.worker.heard == [
        Streamed(order, key, bench.watch.look_soon)
        for order, key in ((ORDER, "XXBTZUSD"), (early, "XXBTZUSD"), (unknown, ""))
    ]


@pytest.mark.parametrize(
    "cl_ord_id", ["", "mine", "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "not-a-uuid", "7" * 18]
)
def test_orders_of_others_are_passed_over(bench: Bench, cl_ord_id: str) -> None:
    """A market maker on the same account must not fill the order thread's queue."""
    bench.watch.hear(OrderNews(replace(ORDER, order_id="O7", cl_ord_id=cl_ord_id), 0.0))
    assert bench.worker.heard == []


def test_snapshot_is_handed_on_and_what_it_lacks_is_looked_for(bench: Bench) -> None:
    """An order that stands and is not open any more has ended while nobody told."""
    bench.watch.hear(AccountSnapshot((ORDER, replace(ORDER, order_id="O9", cl_ord_id="")), 0.0))
    assert [type(message) for message in bench.worker.heard] == [Streamed]
    assert bench.watch.every() == 60.0
    bench.watch.hear(AccountSnapshot((), 0.0))
    assert bench.watch.every() == 3.0


def test_other_events_are_passed_over(bench: Bench) -> None:
    """Prices come through the same queue; a gap is followed by a snapshot."""
    for event in (AccountGap(2, 4, 0.0), object(), None):
        bench.watch.hear(event)
    assert (bench.worker.heard, bench.said) == ([], [])


# --- what is said ------------------------------------------------------------------------------


def test_stream_is_opened_once_and_started_whenever_it_has_died(bench: Bench) -> None:
    """And ended with the run."""
    for _ in range(2):
        bench.watch.keep()
    bench.watch.stop()
    assert bench.feed is not None
    assert bench.feed.done == ["open", "start", "start", "stop"]


def test_beginning_is_said_once(bench: Bench) -> None:
    """A reconnect that takes a moment is nobody's concern."""
    for _ in range(2):
        bench.watch.hear(AccountFollowed(0.0))
        bench.watch.hear(AccountLost("restarting", feed_clock(), feed_clock()))
        bench.watch.keep()
    bench.watch.hear(AccountFollowed(0.0))
    assert len(bench.said) == 1
    assert bench.said[0].startswith("INFO Kraken tells at once")


def test_loss_that_lasts_is_said_once_and_so_is_its_end(bench: Bench) -> None:
    """With its reason, what is done instead, and how long it was."""
    lost_at = feed_clock() - 20.0
    bench.watch.hear(AccountFollowed(0.0))
    bench.watch.hear(AccountLost("no route", lost_at, lost_at))
    for _ in range(3):
        bench.watch.keep()
    bench.watch.hear(AccountFollowed(lost_at + 25.0))
    first, lost, again = bench.said
    assert first.startswith("INFO")
    assert lost.startswith("WARNING Kraken does not tell at once")
    assert "no route. Until it does" in lost
    assert again.endswith("again at once what happens to orders, after 25 s")


def test_missing_permission_is_said_once_until_it_is_there(bench: Bench) -> None:
    """However often it is tried; the loss that follows from it is the same story."""
    long_ago = feed_clock() - 1000.0
    for _ in range(3):
        bench.watch.hear(AccountDenied("EGeneral:Permission denied", long_ago))
        bench.watch.hear(AccountLost("EGeneral:Permission denied", long_ago, long_ago))
        bench.watch.keep()
    assert len(bench.said) == 1
    assert '"Access WebSockets"' in bench.said[0]
    bench.watch.hear(AccountDenied("EAPI:Invalid key", long_ago))
    assert len(bench.said) == 2
    bench.watch.hear(AccountFollowed(0.0))
    assert bench.said[2].startswith("INFO Kraken tells at once")


# --- tokens and clients ------------------------------------------------------------------------


class Key:
    """A client that gives a token, or a refusal."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.asked = 0

    def get_websockets_token(self) -> str:
        self.asked += 1
        if not self.token:
            raise AuthenticationError("GetWebSocketsToken", ["EGeneral:Permission denied"])
        return self.token


def test_key_that_gives_a_token_is_asked_first_from_then_on() -> None:
    """One that is refused is not asked at each connection: Kraken locks out whoever goes on."""
    trading, reading = Key(""), Key("t")
    token = token_of_any(cast("Any", [trading, reading]))
    assert [token(), token(), token()] == ["t"] * 3
    assert (trading.asked, reading.asked) == (1, 3)
    reading.token = ""
    with pytest.raises(AuthenticationError):
        token()
    trading.token = "other"
    assert token() == "other"


def test_other_troubles_of_a_key_try_no_other() -> None:
    """A network that is gone is gone for both."""

    class Mute(Key):
        def get_websockets_token(self) -> str:
            raise KrakenConnectionError("no route", request_sent=False)

    spare = Key("t")
    with pytest.raises(KrakenConnectionError):
        token_of_any(cast("Any", [Mute(""), spare]))()
    assert spare.asked == 0


def clients(**options: Any) -> tuple[KrakenAPI, KrakenAPI]:
    """Return a trading client and one that only reads."""
    url = "http://127.0.0.1:9"
    trading = KrakenAPI("key", "eHh4", url, use_websocket=False, **options)
    return trading, KrakenAPI(base_url=url)


def test_stream_belongs_to_a_run_that_can_place_orders() -> None:
    """Not to a dry run, not where its address is unknown, not where no stream is wanted."""
    account = "ws://127.0.0.1:9/v2"
    trading, reading = clients(ws_auth_url=account)
    exchange = KrakenExchange(trading, reading, lambda: 0.0, lambda *_, **__: None)
    feed = account_feed_of(exchange, reading)
    assert feed is not None
    assert feed.url == account
    assert list(exchange.clients) == [trading]
    assert account_feed_of(None, reading) is None
    quiet = KrakenAPI(base_url="http://127.0.0.1:9", use_websocket=False)
    assert account_feed_of(exchange, quiet) is None
    trading, reading = clients()
    exchange = KrakenExchange(trading, reading, lambda: 0.0, lambda *_, **__: None)
    assert account_feed_of(exchange, reading) is None


def test_watch_belongs_to_an_exchange() -> None:
    """Where no order can be placed none is watched."""
    world: Any = SimpleNamespace(exchange=None, account=None)
    parts: Any = (SETTINGS, SimpleQueue(), lambda *_, **__: None)
    assert account_watch_of(world, cast("Any", Worker()), *parts) is None
    world.exchange = Exchange()
    assert account_watch_of(world, cast("Any", Worker()), *parts) is not None
