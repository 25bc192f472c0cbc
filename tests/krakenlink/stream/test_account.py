"""The account's feed on its thread: real sockets, real tokens, and every way in which they end."""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any, TypeVar

import pytest

from fake_kraken import FakeKraken
from fake_kraken.keys import USUAL
from kraken_api import KrakenAPI
from krakenlink.errors import AuthenticationError, KrakenConnectionError
from krakenlink.stream.account import AccountFeed, AccountReader
from krakenlink.stream.budget import ConnectBudget
from krakenlink.stream.connection import Connection, open_websocket
from krakenlink.stream.private import (
    AccountClosed,
    AccountDenied,
    AccountEvent,
    AccountFollowed,
    AccountGap,
    AccountLost,
    AccountSnapshot,
    OrderNews,
)
from krakenlink.stream.settings import AccountSettings, FeedSettings

LONG = 60.0  # seconds that nothing here takes, unless it is broken
QUICK = FeedSettings(
    retry_delays=(0.0, 0.02),
    refused_delay=0.02,
    connect_timeout=LONG,
    # A busy machine is no dead link: behind a new one what was news is part of the snapshot.
    ping_after=50 * LONG,
    dead_after=100 * LONG,
)
ACCOUNT = AccountSettings(denied_delay=0.02, lockout_delay=0.02, snapshot_pause=0.01)
E = TypeVar("E", bound=AccountEvent)
STOP = {"pair": "XBTUSD", "order_type": "trailing-stop", "direction": "sell", "volume": "0.5",
        "price": "+5%"}  # fmt: skip


class Follower:
    """A feed with its reader, on an exchange."""

    def __init__(self, exchange: FakeKraken, **options: Any) -> None:
        self.exchange = exchange
        self.api = KrakenAPI(
            exchange.api_key, exchange.api_secret, exchange.rest_url, use_websocket=False
        )
        settings = {"settings": QUICK, "account": ACCOUNT, **options}
        self.feed = AccountFeed(
            exchange.ws_auth_url, settings.pop("token", self.api.get_websockets_token), **settings
        )
        self.reader = self.feed.open_feed()

    def next(self, kind: type[E]) -> E:
        """Return the next event of a kind, others left out."""
        while (event := self.reader.get(LONG)) is not None:
            if isinstance(event, kind):
                return event
        raise AssertionError(f"no {kind.__name__} came")

    def place(self) -> str:
        return str(self.api.add_order(**STOP)["txid"][0])

    def close(self) -> None:
        self.feed.stop(LONG)
        self.api.close()


Follow = Callable[..., Follower]


@pytest.fixture
def follow(exchange: FakeKraken) -> Iterator[Follow]:
    """Hand out a maker of followers, which are stopped with the test."""
    made: list[Follower] = []

    def make(**options: Any) -> Follower:
        made.append(Follower(exchange, **options))
        return made[-1]

    yield make
    for follower in made:
        follower.close()


def test_order_is_told_from_its_beginning_to_its_end(follow: Follow, exchange: FakeKraken) -> None:
    """What is open first, then each move of the stop, then the fill with its price."""
    follower = follow()
    assert follower.next(AccountSnapshot).orders == ()
    txid = follower.place()
    assert follower.next(OrderNews).order.order_id == txid
    exchange.set_price("XBTUSD", 60000)
    while (order := follower.next(OrderNews).order).stop != 57000:
        pass
    known = follower.feed.orders()
    assert known is not None
    assert known[txid].best == 60000
    assert known[txid].reference == "last"
    exchange.set_price("XBTUSD", 57000)
    while not (order := follower.next(OrderNews).order).is_final:
        pass
    assert (order.status, order.executed == order.volume) == ("filled", True)
    assert order.price == 57000
    assert (order.is_certain, order.is_triggered) == (True, True)
    assert follower.feed.orders() == {}
    assert exchange.count("GetWebSocketsToken") == 1


def test_constructor_starts_nothing_and_stop_leaves_nothing(exchange: FakeKraken) -> None:
    """It can be started again, and stopped twice."""
    asked: list[str] = []
    api = KrakenAPI(exchange.api_key, exchange.api_secret, exchange.rest_url, use_websocket=False)

    def token() -> str:
        asked.append("token")
        return api.get_websockets_token()

    feed = AccountFeed(exchange.ws_auth_url, token, settings=QUICK)
    assert (feed.orders(), feed.is_followed, asked) == (None, False, [])
    for round_number in (1, 2):
        reader = feed.open_feed()
        assert exchange.wait_for(lambda e: feed.is_followed)
        feed.stop(LONG)
        feed.stop()
        events = [reader.get(0) for _ in range(reader.backlog)]
        assert isinstance(events[-1], AccountClosed)
        assert len(asked) == round_number
        assert exchange.wait_for(lambda e: not e.account_stream.clients)
    api.close()


@pytest.mark.parametrize("url", ["ws://ws-auth.kraken.com/v2", "https://x", "wss://a:b@x/v2", ""])
def test_address_that_is_none_is_refused(url: str) -> None:
    """Under the rules of prices."""
    with pytest.raises(ValueError, match=r"WebSocket address|without TLS"):
        AccountFeed(url, lambda: "t")


@pytest.mark.parametrize(
    ("url", "is_bound"), [("wss://ws-auth.kraken.com/v2", True), ("wss://mirror.example", False)]
)
def test_server_of_kraken_is_held_to_its_answers(url: str, is_bound: bool) -> None:
    """From the first ping on; of others nobody knows whether they answer any."""
    feed = AccountFeed(url, str)
    assert feed._protocol.link._is_bound is is_bound


def test_reader_may_bring_its_queue_leave_and_be_forgotten(follow: Follow) -> None:
    """Whoever waits for other things, too, has one queue; nobody is told who has gone."""
    follower = follow()
    follower.next(AccountSnapshot)
    sink: SimpleQueue[Any] = SimpleQueue()
    own, leaving = follower.feed.open_feed(sink=sink), follower.feed.open_feed()
    follower.feed.open_feed()  # held by nobody
    gc.collect()
    leaving.close()
    follower.place()
    while not isinstance(sink.get(timeout=LONG), OrderNews):
        """A busy machine may have lost the stream, and found it again."""
    follower.feed.stop(LONG)  # between two looks at a queue something may come
    assert (own.backlog, leaving.backlog) == (sink.qsize(), 0)
    assert leaving.get(0) is None
    follower.feed.open_feed()
    assert len(follower.feed._readers) == 3


# --- tokens ------------------------------------------------------------------------------------


def test_missing_permission_is_told_and_heals(exchange: FakeKraken, follow: Follow) -> None:
    """No connection is made for it; given the permission, the feed follows."""
    secret = exchange.api_secret
    exchange.add_key(exchange.api_key, secret, USUAL - {"websocket"})
    follower = follow()
    assert follower.next(AccountDenied).error == "EGeneral:Permission denied"
    assert follower.next(AccountLost).reason.endswith("EGeneral:Permission denied")
    assert exchange.account_stream.connections_made == 0
    exchange.add_key(exchange.api_key, secret)
    follower.next(AccountFollowed)


def test_denied_subscription_is_told_and_heals(exchange: FakeKraken, follow: Follow) -> None:
    """The token is had, and the orders may not be seen."""
    exchange.fault("account_denied", count=1)
    follower = follow()
    assert follower.next(AccountDenied).error == "EGeneral:Permission denied"
    follower.next(AccountFollowed)


def test_refused_token_is_replaced(exchange: FakeKraken, follow: Follow) -> None:
    """It grew old before it was used; the next connection brings another."""
    exchange.fault("token_expired")
    follower = follow()
    assert "ESession:Invalid session" in follower.next(AccountLost).reason
    follower.next(AccountFollowed)
    assert exchange.count("GetWebSocketsToken") == 2


def test_token_that_expires_in_the_middle_is_replaced(exchange: FakeKraken, follow: Follow) -> None:
    """A gap asks for all anew; where the old token is refused a new connection does."""
    follower = follow()
    follower.next(AccountSnapshot)
    exchange.fault("token_expired")
    exchange.fault("account_gap", count=1)
    txid = follower.place()
    follower.next(AccountGap)
    shown = follower.next(AccountSnapshot)
    assert [order.order_id for order in shown.orders] == [txid]
    assert exchange.count("GetWebSocketsToken") == 2


@pytest.mark.parametrize("error", ["EAPI:Invalid nonce", "EGeneral:Temporary lockout"])
def test_token_that_is_not_had_just_now_is_asked_for_again(follow: Follow, error: str) -> None:
    """A nonce that was overtaken says nothing of the key; a lockout does."""
    errors = [AuthenticationError("GetWebSocketsToken", [error])]
    good: list[str] = []

    def token() -> str:
        if errors:
            raise errors.pop()
        return good[0]

    follower = follow(token=token)
    good.append(follower.api.get_websockets_token())
    seen: list[str] = []
    while not isinstance(event := follower.reader.get(LONG), AccountFollowed):
        assert event is not None
        if isinstance(event, AccountDenied):
            seen.append(event.error)
    assert seen == ([error] if "lockout" in error else [])


def test_no_answer_for_a_token_is_no_denial(follow: Follow) -> None:
    """REST cannot be heard for a moment; neither does a missing key end the thread."""
    failures: list[Exception] = [
        KrakenConnectionError("no route", request_sent=False),
        ValueError("API key and secret required"),
    ]
    good: list[str] = []

    def token() -> str:
        if failures:
            raise failures.pop()
        return good[0]

    follower = follow(token=token)
    good.append(follower.api.get_websockets_token())
    assert follower.next(AccountLost).reason == "API key and secret required"
    follower.next(AccountFollowed)


def test_token_is_in_no_log(follow: Follow, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong with it."""
    tokens: list[str] = []
    caplog.set_level(logging.DEBUG)
    holder: list[Follower] = []

    def token() -> str:
        tokens.append(holder[0].api.get_websockets_token())
        return tokens[-1]

    ready = threading.Event()

    def waiting() -> str:
        assert ready.wait(LONG)
        return token()

    follower = follow(token=waiting)
    holder.append(follower)
    follower.exchange.fault("token_expired")
    ready.set()
    follower.next(AccountFollowed)
    assert len(tokens) == 2
    assert not any(one in caplog.text for one in tokens)


@pytest.mark.parametrize(
    ("error", "pause"), [("EGeneral:Permission denied", 300.0), ("EAPI:Invalid key", 960.0)]
)
def test_refused_key_is_asked_for_a_token_seldom(follow: Follow, error: str, pause: float) -> None:
    """An unknown one more seldom: a few wrong calls close the door to every order."""

    def token() -> str:
        raise AuthenticationError("GetWebSocketsToken", [error])

    follower = follow(token=token, account=AccountSettings())
    assert follower.next(AccountDenied).error == error
    lost_at = follower.next(AccountLost).at
    assert follower.feed._protocol.link.retry_at == lost_at + pause


# --- losses ------------------------------------------------------------------------------------


def test_lost_connection_comes_back_with_what_is_open_now(
    exchange: FakeKraken, follow: Follow
) -> None:
    """While it is away nothing is proven; what ended meanwhile is not in the new snapshot."""
    follower = follow()
    txid = follower.place()
    while follower.feed.orders() is None or txid not in (follower.feed.orders() or {}):
        follower.reader.get(LONG)
    away = exchange.fault("account_refuse_connect")
    exchange.fault("account_drop", count=1)
    follower.next(AccountLost)
    assert (follower.feed.orders(), follower.feed.is_followed) == (None, False)
    exchange.cancel_order(txid)
    away.clear()
    assert follower.next(AccountSnapshot).orders == ()
    assert follower.feed.orders() == {}


def test_silent_connection_is_given_up(exchange: FakeKraken, follow: Follow) -> None:
    """The socket is open and nothing comes: as with prices, that is death."""
    quick = FeedSettings(
        retry_delays=(0.0,), ping_after=0.2, dead_after=1.0, connect_timeout=LONG, mute_after=LONG
    )
    follower = follow(settings=quick)
    silence = exchange.fault("account_silent")
    reason = follower.next(AccountLost).reason
    assert "no frame for" in reason or "was heard for longer" in reason  # as a busy machine sees it
    silence.clear()
    follower.next(AccountFollowed)


def test_gap_is_told_and_followed_by_a_snapshot(exchange: FakeKraken, follow: Follow) -> None:
    """On the same connection, with the same token."""
    follower = follow()
    follower.next(AccountSnapshot)
    txid = follower.place()
    while follower.next(OrderNews).order.status != "new":
        pass
    exchange.fault("account_gap", count=1)
    exchange.fill_order(txid, "0.5")
    exchange.set_price("XBTUSD", 60000)
    follower.next(AccountGap)
    (order,) = follower.next(AccountSnapshot).orders
    assert (order.executed * 2, order.is_certain) == (order.volume, True)
    assert (follower.feed.gaps, exchange.count("GetWebSocketsToken")) == (1, 1)
    assert exchange.account_stream.connections_made == 1


def test_renumbered_stream_is_not_taken_for_doubled_events(
    exchange: FakeKraken, follow: Follow
) -> None:
    """Numbers that begin anew are a gap once, and then they count."""
    follower = follow()
    follower.next(AccountSnapshot)
    txid = follower.place()
    while follower.next(OrderNews).order.status != "new":
        pass
    exchange.fault("account_renumbered")
    exchange.cancel_order(txid)
    assert follower.next(AccountGap).found == 1
    assert follower.next(OrderNews).order.status == "canceled"
    follower.next(AccountSnapshot)


def test_full_budget_lets_the_account_wait(tmp_path: Any, follow: Follow) -> None:
    """Attempts of all processes count: prices have their share of them."""
    settings = FeedSettings(budget_attempts=1, budget_window=600.0)
    budget = ConnectBudget(settings, tmp_path)
    follower = follow(budget=budget)
    follower.next(AccountFollowed)
    follower.exchange.fault("account_drop", count=1)
    follower.next(AccountLost)
    assert follower.exchange.wait_for(
        lambda e: (
            follower.feed._protocol.link.state.name == "WAITING"
            and follower.feed._protocol.link.retry_at - follower.feed._clock() > 100
        )
    )
    assert follower.exchange.account_stream.connections_made == 1


# --- defects -----------------------------------------------------------------------------------


def test_defect_of_its_own_is_said_and_survived(
    follow: Follow, caplog: pytest.LogCaptureFixture
) -> None:
    """With its traceback, and a new connection."""
    broken = [RuntimeError("?")]

    def connect(url: str, timeout: float) -> Connection:
        if broken:
            raise broken.pop()
        return open_websocket(url, timeout)

    follower = follow(connect=connect)
    assert follower.next(AccountLost).reason == "defect: RuntimeError"
    follower.next(AccountFollowed)
    assert "met a defect of its own" in caplog.text


def test_thread_that_died_is_started_by_the_next_start(
    exchange: FakeKraken, follow: Follow, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever ended it is said in one place; nobody waits for it."""
    ends: list[BaseException] = [SystemExit()]

    def connect(url: str, timeout: float) -> Connection:
        if ends:
            raise ends.pop()
        return open_websocket(url, timeout)

    follower = follow(connect=connect)
    assert exchange.wait_for(lambda e: "has died" in caplog.text)
    assert exchange.wait_for(lambda e: follower.feed._run is None)
    assert follower.feed.orders() is None
    assert follower.next(AccountLost).reason == "defect: SystemExit"
    follower.feed.start()
    follower.next(AccountFollowed)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_child_of_a_fork_has_a_feed_without_a_thread(follow: Follow) -> None:
    """Its lock is free, and the parent's connection lives on."""
    follower = follow()
    follower.next(AccountSnapshot)
    follower.feed._lock.acquire()
    pid = os.fork()
    if pid == 0:
        is_new = follower.feed._run is None and follower.feed.orders() is None
        os._exit(0 if is_new else 1)
    follower.feed._lock.release()
    assert os.waitpid(pid, 0)[1] == 0
    follower.place()
    follower.next(OrderNews)


class Stopping(SimpleQueue[AccountEvent]):
    """A reader's queue that stops the feed below what it tells, as a finalizer may."""

    feed: AccountFeed | None = None

    def put(self, event: AccountEvent, block: bool = True, timeout: float | None = None) -> None:
        """Stop at the first snapshot."""
        feed = self.feed
        if isinstance(event, AccountSnapshot) and feed is not None:
            self.feed = None
            feed.stop()
        super().put(event)


def test_stop_below_what_the_thread_tells_comes_after_it(follow: Follow) -> None:
    """What it has taken in by then is told first: the end is the last."""
    follower = follow()
    follower.next(AccountSnapshot)
    follower.feed.stop(LONG)
    told = Stopping()
    told.feed = follower.feed
    reader = follower.feed.open_feed(sink=told)
    kinds: list[type] = []
    while kinds[-1:] != [AccountClosed] or AccountSnapshot not in kinds:
        event = reader.get(LONG)
        assert event is not None, kinds
        kinds.append(type(event))
    assert kinds[-2:] == [AccountSnapshot, AccountClosed]


def test_stop_below_the_lock_is_done_after_it(follow: Follow) -> None:
    """In a finalizer or a handler this very thread may be at work in here: it only hands over."""
    follower = follow()
    feed = follower.feed
    run = feed._run
    assert run is not None
    assert run.thread is not None
    with feed._lock:
        feed.stop()
        assert feed._run is run
    run.thread.join(LONG)
    assert not run.thread.is_alive()
    assert feed._run is None
    follower.next(AccountClosed)
    assert not feed._farewells


# --- the door ----------------------------------------------------------------------------------


def test_client_has_one_feed_and_ends_it_with_itself(exchange: FakeKraken) -> None:
    """`with` closes it; the address comes with the client or from the environment."""
    with KrakenAPI(
        exchange.api_key,
        exchange.api_secret,
        exchange.rest_url,
        use_websocket=False,
        ws_auth_url=exchange.ws_auth_url,
    ) as api:
        feed = api.account_feed()
        assert feed is not None
        assert api.account_feed() is feed
        reader = feed.open_feed()
        while not isinstance(reader.get(LONG), AccountSnapshot):
            pass
        assert feed.orders() == {}
    assert exchange.wait_for(lambda e: not e.account_stream.clients)
    assert isinstance(reader, AccountReader)


def test_feed_of_a_client_that_has_gone_ends(exchange: FakeKraken) -> None:
    """It keeps neither the client nor its sockets."""
    api = KrakenAPI(
        exchange.api_key,
        exchange.api_secret,
        exchange.rest_url,
        ws_auth_url=exchange.ws_auth_url,
        feed_settings=QUICK,
    )
    feed = api.account_feed()
    assert feed is not None
    feed.start()
    assert exchange.wait_for(lambda e: feed.is_followed)
    assert feed._run is not None
    thread = feed._run.thread
    assert thread is not None
    del api
    gc.collect()
    thread.join(LONG)
    assert not thread.is_alive()


def test_without_keys_or_an_address_there_is_none(
    exchange: FakeKraken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account of another exchange would not be this one's; the environment may name it."""
    keys = (exchange.api_key, exchange.api_secret)
    assert KrakenAPI(*keys, exchange.rest_url).account_feed() is None
    keyless = KrakenAPI(base_url=exchange.rest_url, ws_auth_url=exchange.ws_auth_url)
    assert keyless.account_feed() is None
    assert KrakenAPI(*keys).ws_auth_url == "wss://ws-auth.kraken.com/v2"
    monkeypatch.setenv("KRAKEN_WS_AUTH_URL", exchange.ws_auth_url)
    assert KrakenAPI(*keys, exchange.rest_url).account_feed() is not None
    monkeypatch.setenv("KRAKEN_WS_AUTH_URL", "ws://example.com/v2")
    with pytest.raises(ValueError, match="without TLS"):
        KrakenAPI(*keys, exchange.rest_url)
