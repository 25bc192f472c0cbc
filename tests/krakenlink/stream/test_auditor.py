"""The audit's thread on real sockets: a stream that falls mute while it seems alive."""

from __future__ import annotations

import itertools
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from queue import SimpleQueue
from typing import Any, TypeVar

import pytest

from fake_kraken import FakeKraken
from kraken_api import KrakenAPI
from krakenlink.errors import KrakenConnectionError
from krakenlink.rest.quotes import Quote
from krakenlink.stream.audit import Audit, Finding, Remedy, View
from krakenlink.stream.auditor import AuditMeans, Auditor
from krakenlink.stream.events import (
    BookWrong,
    Channel,
    Event,
    FeedStale,
    SymbolDistrusted,
    SymbolTrusted,
    Tick,
)
from krakenlink.stream.handover import Bell
from krakenlink.stream.settings import FeedSettings
from krakenlink.stream.states import SubState
from tests.kits.stream.book_kit import snapshot
from tests.kits.stream.feed_kit import sent, tell, ticker_frame
from ws_price_provider import FeedReader, WebSocketPriceProvider

LONG = 60.0  # seconds that nothing here takes unless it is broken
PAIR, SYMBOL = "XXBTZUSD", "BTC/USD"
# As the real one, with seconds for minutes; silence is not the matter here.
BUSY = FeedSettings(
    audit_every=0.02,
    audit_again_after=0.02,
    ping_after=50 * LONG,
    dead_after=100 * LONG,
    mute_after=100 * LONG,
    lag_check_every=100 * LONG,
    connect_timeout=LONG,
    connect_patience=LONG,
    retry_delays=(0.0,),
)
NEVER = replace(BUSY, audit_every=0.0)


class Rest:
    """Asks the exchange's REST, counts, and wakes whoever waits for a look."""

    def __init__(self, exchange: FakeKraken) -> None:
        self.api = KrakenAPI(base_url=exchange.rest_url, use_websocket=False)
        self.asked: list[list[str]] = []
        self.errors: list[BaseException] = []
        self._changed = threading.Condition()

    def prices(self, symbols: list[str]) -> Mapping[str, Decimal]:
        """Return last prices, or raise the next error that was laid out."""
        with self._changed:
            self.asked.append(symbols)
            self._changed.notify_all()
        if self.errors:
            raise self.errors.pop()
        found = self.api.get_tickers(symbols)
        return {s: quote.price for s, quote in found.items() if isinstance(quote, Quote)}

    def wait_for_looks(self, count: int) -> None:
        """Wait for so many more looks; the last but one is complete then."""
        with self._changed:
            due = len(self.asked) + count
            assert self._changed.wait_for(lambda: len(self.asked) >= due, LONG)


Audited = Callable[..., tuple[WebSocketPriceProvider, Rest]]


@pytest.fixture
def audited(exchange: FakeKraken) -> Iterator[Audited]:
    """Hand out a maker of a provider with an auditor; BTC/USD is live."""
    made: list[tuple[WebSocketPriceProvider, Rest]] = []

    def make(settings: FeedSettings = BUSY) -> tuple[WebSocketPriceProvider, Rest]:
        provider = WebSocketPriceProvider(exchange.ws_url, settings=settings)
        rest = Rest(exchange)
        made.append((provider, rest))
        assert provider.accompany(lambda feed: Auditor(feed, rest.prices))
        provider.subscribe(PAIR)
        assert provider.wait_for_tick(SYMBOL, LONG) is not None
        return provider, rest

    yield make
    for provider, rest in made:
        provider.stop(LONG)
        rest.api.close()


def auditors() -> list[threading.Thread]:
    """Return the audit threads that are alive."""
    return [thread for thread in threading.enumerate() if thread.name == "kraken-audit"]


def until_dead(died: list[threading.Thread]) -> None:
    """Wait until threads live no more: each goes from the list a moment earlier."""
    until(lambda: not any(thread.is_alive() for thread in died))


E = TypeVar("E")


def wait_for(reader: FeedReader, kind: type[E]) -> E:
    """Return the next event of a kind; the ones before it are dropped."""
    while not isinstance(event := reader.get(LONG), kind):
        assert event is not None
    return event


def until(is_true: Callable[[], object]) -> None:
    """Wait until something is so that nobody tells about."""
    deadline = time.monotonic() + LONG
    while not is_true():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


def test_stream_that_falls_mute_is_found_and_cured(
    exchange: FakeKraken, audited: Audited, caplog: pytest.LogCaptureFixture
) -> None:
    """No data while heartbeats go on: distrusted, asked for anew, trusted when it speaks."""
    caplog.set_level(logging.INFO, "krakenlink.stream")
    provider, _ = audited()
    events = provider.open_feed()
    fault = exchange.fault("mute", symbol=SYMBOL)
    exchange.set_price(PAIR, 61000)
    until(lambda: provider.fresh_tick(SYMBOL) is None)
    assert provider.get_current_price(PAIR) is None
    fault.clear()
    until(lambda: provider.get_current_price(PAIR) == 61000)
    wait_for(events, SymbolDistrusted)
    assert wait_for(events, SymbolTrusted).symbol == SYMBOL
    assert wait_for(events, Tick).price == 61000
    until(lambda: "BTC/USD: the stream speaks again and counts" in caplog.messages)
    said = [message for message in caplog.messages if message.startswith("BTC/USD: ")]
    assert "the stream has fallen silent at" in said[0]


def test_stream_that_stays_mute_gets_one_new_connection(
    exchange: FakeKraken, audited: Audited
) -> None:
    """A new subscription that brings nothing is followed by one new connection, not by many."""
    provider, rest = audited()
    events = provider.open_feed(channels=())
    exchange.fault("mute", symbol=SYMBOL)
    exchange.set_price(PAIR, 61000)
    while not isinstance(event := events.get(LONG), FeedStale):
        assert event is not None
    assert event.reason == "the stream has fallen silent about BTC/USD"
    rest.wait_for_looks(10)
    assert provider.fresh_tick(SYMBOL) is None
    assert exchange.ws_connections_made == 2


class Overheard(SimpleQueue[Event]):
    """A reader's queue that notes which thread has put what."""

    def __init__(self) -> None:
        self.told: list[tuple[type, str]] = []

    def put(self, event: Event, block: bool = True, timeout: float | None = None) -> None:
        """Note it as well."""
        self.told.append((type(event), threading.current_thread().name))
        super().put(event)


def test_what_an_audit_finds_is_told_by_the_feed(exchange: FakeKraken, audited: Audited) -> None:
    """On a thread of its own the old price of a trusted symbol could follow a newer one."""
    provider, _ = audited()
    heard = Overheard()
    reader = provider.open_feed(sink=heard)
    fault = exchange.fault("mute", symbol=SYMBOL)
    exchange.set_price(PAIR, 61000)
    wait_for(reader, SymbolDistrusted)
    fault.clear()
    wait_for(reader, SymbolTrusted)
    assert wait_for(reader, Tick).price == 61000
    assert {name for _, name in heard.told} == {"kraken-price-feed"}


def test_quiet_and_fast_pairs_are_left_alone(exchange: FakeKraken, audited: Audited) -> None:
    """One pair moves all the time, one never: no alarm, one call for both, no reconnect."""
    provider, rest = audited()
    provider.subscribe_symbol("ETH/USD")
    assert provider.wait_for_tick("ETH/USD", LONG)
    until(lambda: rest.asked[-1:] == [[SYMBOL, "ETH/USD"]])
    due, prices = len(rest.asked) + 20, itertools.count(50000)

    def are_enough() -> bool:
        exchange.set_prices(PAIR, list(itertools.islice(prices, 50)))
        return len(rest.asked) >= due

    until(are_enough)
    assert exchange.count("Ticker") >= 20
    assert provider.fresh_tick(SYMBOL)
    assert provider.fresh_tick("ETH/USD")
    assert exchange.ws_connections_made == 1


def test_rest_that_fails_ends_no_audit(audited: Audited, caplog: pytest.LogCaptureFixture) -> None:
    """An error of REST is passed over, one of ours is shown; the next look comes all the same."""
    _, rest = audited()
    rest.errors = [RuntimeError("ours"), KrakenConnectionError("theirs", request_sent=False)]
    rest.wait_for_looks(4)
    shown = [
        record.message for record in caplog.records if record.name == "krakenlink.stream.auditor"
    ]
    assert shown == ["The audit met an error and goes on"]


def test_auditor_lives_as_long_as_the_feed(exchange: FakeKraken, audited: Audited) -> None:
    """One daemon for each provider, from its first subscription to `stop`, and anew after it."""
    provider, rest = audited()
    (thread,) = auditors()
    assert thread.daemon
    assert not provider.accompany(lambda feed: Auditor(feed, rest.prices))
    provider.stop(LONG)
    assert auditors() == []
    provider.subscribe(PAIR)
    rest.wait_for_looks(2)
    assert len(auditors()) == 1


@pytest.mark.parametrize("is_early", [True, False])
@pytest.mark.parametrize(("channel", "told"), [("ticker", SymbolDistrusted), ("book", BookWrong)])
def test_every_connection_has_an_auditor_of_its_own(
    exchange: FakeKraken, channel: str, told: type, is_early: bool
) -> None:
    """What another connection carries is doubted there as it is on the first."""
    provider = WebSocketPriceProvider(exchange.ws_url, settings=replace(BUSY, pool_symbols=1))
    rest = Rest(exchange)

    def audit() -> None:
        assert provider.accompany(lambda feed: Auditor(feed, rest.prices, bids_of(rest)))

    with provider:
        if is_early:
            audit()
        for symbol in ("ETH/USD", SYMBOL):
            provider.subscribe_symbol(symbol, channel)
        (branch,) = provider.pool.branches
        assert exchange.wait_for(lambda _: branch.health().symbols[0].state == "live", LONG)
        if not is_early:
            audit()
        reader = provider.open_feed()
        exchange.fault("mute", symbol=SYMBOL)
        exchange.set_price(PAIR, 51000)
        while type(event := reader.get(LONG)) is not told:
            assert event is not None
        assert (provider.proven(SYMBOL), provider.order_book(SYMBOL)) == (None, None)
    rest.api.close()
    assert auditors() == []


def test_auditor_of_a_running_feed_begins_at_once(exchange: FakeKraken) -> None:
    """Somebody else has started the feed: the audit begins when it is handed in."""
    provider = WebSocketPriceProvider(exchange.ws_url, settings=BUSY)
    provider.subscribe(PAIR)
    rest = Rest(exchange)
    provider.accompany(lambda feed: Auditor(feed, rest.prices))
    rest.wait_for_looks(2)
    provider.stop(LONG)
    assert auditors() == []


def test_audit_can_be_switched_off(audited: Audited) -> None:
    """With 0 there is no thread and no call."""
    _, rest = audited(NEVER)
    assert auditors() == []
    assert rest.asked == []


def test_thread_that_cannot_start_is_said(
    audited: Audited, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No more threads: prices go on unaudited."""
    provider, rest = audited(NEVER)
    auditor = Auditor(WebSocketPriceProvider(provider.url, settings=BUSY).feed_thread, rest.prices)

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        auditor.start()
    assert "The stream is not audited (can't start new thread)" in caplog.messages
    assert auditor.stop() is None


@pytest.mark.parametrize("error", [MemoryError("no more"), RecursionError(), SystemExit(1)])
def test_whatever_an_audit_raises_there_is_a_next_one(
    audited: Audited, caplog: pytest.LogCaptureFixture, error: Any
) -> None:
    """It is said, prices go on, and the next call of the feed starts a dead audit again."""
    provider, rest = audited()
    rest.wait_for_looks(1)
    died = auditors()
    rest.errors.append(error)
    until(lambda: not rest.errors)
    if isinstance(error, SystemExit):
        until(lambda: "The audit has died; the next call starts it anew" in caplog.messages)
        until_dead(died)
        assert provider.get_current_price(PAIR) is not None
        provider.subscribe(PAIR)
    rest.wait_for_looks(2)
    assert len(auditors()) == 1
    assert [one.exc_info is not None for one in caplog.records if one.levelno >= 40] == [True]


def test_what_an_audit_distrusted_that_died_is_trusted_by_the_next(
    exchange: FakeKraken, audited: Audited
) -> None:
    """Without its memory the symbol would come over REST for ever."""
    provider, rest = audited()
    fault = exchange.fault("mute", symbol=SYMBOL)
    exchange.set_price(PAIR, 61000)
    until(lambda: provider.fresh_tick(SYMBOL) is None)
    died = auditors()
    rest.errors.append(SystemExit(1))
    until_dead(died)
    fault.clear()
    provider.subscribe(PAIR)
    until(lambda: provider.get_current_price(PAIR) == 61000)


def test_nothing_is_audited_without_a_link(exchange: FakeKraken, audited: Audited) -> None:
    """While the stream is down there is nothing that could lie, and REST is not asked."""
    provider, _ = audited(NEVER)
    assert set(provider.feed_thread.views()) == {SYMBOL}
    exchange.stop_listening()
    until(lambda: not provider.connected)
    assert provider.feed_thread.views() == {}


def test_client_has_its_stream_audited(
    exchange: FakeKraken, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever asks a client for prices gets REST's while the stream lies, with no further ado."""
    api = KrakenAPI(base_url=exchange.rest_url, ws_url=exchange.ws_url, feed_settings=BUSY)
    provider = api.price_provider()
    assert provider is not None
    assert auditors() == []
    api.get_current_price(PAIR)
    exchange.fault("mute", symbol=SYMBOL)
    exchange.set_price(PAIR, 61000)
    until(lambda: api.get_quote(PAIR).source == "rest")
    assert api.get_current_price(PAIR) == 61000
    until(lambda: "the stream has fallen silent at" in caplog.text)  # readers are told first
    provider.stop(LONG)
    api.close()


# --- books -------------------------------------------------------------------------------------


def bids_of(rest: Rest) -> Callable[[list[str]], Mapping[str, Decimal]]:
    """Return what asks REST for best bids."""

    def bids(symbols: list[str]) -> Mapping[str, Decimal]:
        found = rest.api.get_tickers(symbols)
        quotes = {s: quote.bid for s, quote in found.items() if isinstance(quote, Quote)}
        rest.prices(symbols)
        return {s: bid for s, bid in quotes.items() if bid is not None}

    return bids


@pytest.fixture
def books(exchange: FakeKraken) -> Iterator[tuple[WebSocketPriceProvider, Rest]]:
    """Hand out a provider whose book of BTC/USD is audited."""
    provider, rest = WebSocketPriceProvider(exchange.ws_url, settings=BUSY), Rest(exchange)
    assert provider.accompany(lambda feed: Auditor(feed, rest.prices, bids_of(rest)))
    provider.subscribe_symbol(SYMBOL, "book")
    assert provider.wait_for_book(SYMBOL, 10, LONG) is not None
    yield provider, rest
    provider.stop(LONG)
    rest.api.close()


def test_book_that_has_fallen_mute_is_found_and_asked_for_anew(
    exchange: FakeKraken, books: tuple[WebSocketPriceProvider, Rest]
) -> None:
    """Frames go on, its sums were right, and REST says something else."""
    provider, _ = books
    heard = Overheard()
    reader = provider.open_feed(sink=heard)
    exchange.fault("mute", symbol=SYMBOL)
    exchange.set_price(PAIR, 51000)
    while not isinstance(event := reader.get(LONG), BookWrong):
        assert event is not None
    assert (BookWrong, "kraken-price-feed") in heard.told
    assert event.reason == "REST has had another best bid twice"
    assert provider.order_book(SYMBOL) is None
    exchange.clear_faults()
    provider.feed_thread.resubscribe(SYMBOL, "book")
    book = provider.wait_for_book(SYMBOL, 10, LONG)
    assert book is not None
    assert book.bids[0].price == Decimal("50999.9")


def test_quiet_book_is_left_alone(
    exchange: FakeKraken, books: tuple[WebSocketPriceProvider, Rest]
) -> None:
    """However often REST says the same; neither is one that moves."""
    provider, rest = books
    reader = provider.open_feed()
    rest.wait_for_looks(4)
    for price in (50001, 50002, 50003):
        exchange.set_price(PAIR, price)
        rest.wait_for_looks(2)
    seen = [type(event) for event in iter(lambda: reader.get(0), None)]
    assert BookWrong not in seen
    assert provider.order_book(SYMBOL) is not None


def test_book_is_not_audited_where_nobody_asks_for_bids(
    exchange: FakeKraken, audited: Audited
) -> None:
    """As with a plain auditor of prices."""
    provider, rest = audited()
    provider.subscribe_symbol(SYMBOL, "book")
    assert provider.wait_for_book(SYMBOL, 10, LONG) is not None
    rest.wait_for_looks(3)
    assert rest.asked[-1] == [SYMBOL]
    assert provider.order_book(SYMBOL) is not None


def test_doubt_about_a_book_that_is_none_is_nothing(make_provider_url: str) -> None:
    """It was dropped already, or nobody wants it."""
    provider = WebSocketPriceProvider(make_provider_url, settings=NEVER)
    reader = provider.open_feed()
    provider.feed_thread.doubt_book(SYMBOL, "why")
    assert provider.feed_thread.book_views() == {}
    assert reader.get(0) is None


@pytest.fixture
def make_provider_url() -> str:
    """Return an address at which nobody listens."""
    return "ws://127.0.0.1:9/"


class Means(AuditMeans):
    """A feed that only notes what is done to it."""

    settings = NEVER
    is_wanted = True
    connection = 0

    def __init__(self) -> None:
        self.done: list[str] = []

    def reconnect(self, reason: str) -> None:
        self.done.append("reconnect")

    def resubscribe(self, symbol: str, channel: str = "ticker") -> None:
        self.done.append(f"resubscribe {channel}")

    def distrust(self, symbol: str, reason: str, of: object = None) -> bool:
        self.done.append("distrust")
        return self.is_wanted

    def trust(self, symbol: str, of: object = None) -> None:
        self.done.append("trust")

    def is_on(self, connection: int) -> bool:
        return connection == self.connection


class Flickering(Means):
    """A feed that loses its link in the middle of a look, once its symbol is distrusted."""

    def __init__(self) -> None:
        super().__init__()
        lying = {SYMBOL: View(Decimal(5), 9, 0, True)}
        cured = {SYMBOL: View(Decimal(7), 1, 1, True)}
        self.seen = [*[lying] * 4, lying, {}, cured, cured]

    def views(self) -> dict[str, View]:
        return self.seen.pop(0)

    def send(self, errand: Callable[[], None]) -> None:
        errand()


def test_lost_link_in_the_middle_of_a_look_lets_nothing_be_forgotten() -> None:
    """Else the symbol would be distrusted for ever: nobody would know that it is to be trusted."""
    feed = Flickering()
    auditor, audit, stop = Auditor(feed, lambda symbols: {SYMBOL: Decimal(7)}), Audit(), Bell()
    for _ in range(3):
        auditor._look(audit, stop)
    assert feed.done[0] == "distrust"
    assert "trust" not in feed.done
    auditor._look(audit, stop)
    assert feed.done[-1] == "trust"


@pytest.mark.parametrize(
    ("remedy", "done"),
    [
        (Remedy.TRUST, ["trust"]),
        (Remedy.RECONNECT, ["distrust", "reconnect"]),
        (Remedy.RESUBSCRIBE, ["distrust", *(f"resubscribe {one.value}" for one in Channel)]),
    ],
)
def test_each_finding_has_its_remedy_and_no_other(remedy: Remedy, done: list[str]) -> None:
    """Distrust comes first, so that no price counts while the cure is under way."""
    feed, stop = Means(), Bell()
    auditor = Auditor(feed, lambda symbols: {})
    finding = Finding(SYMBOL, remedy, "it is mute", View(Decimal(5), 9, 0, True))
    auditor._treat(finding, stop)
    assert feed.done == done
    stop.ring()
    auditor._treat(finding, stop)
    auditor._doubt_book(finding, stop)
    assert feed.done == done  # what is wanted after a stop was not looked at


@pytest.mark.parametrize("remedy", [Remedy.RECONNECT, Remedy.RESUBSCRIBE])
@pytest.mark.parametrize(("connection", "is_wanted"), [(1, True), (0, False)])
def test_cure_that_has_come_by_itself_is_not_tried(
    remedy: Remedy, connection: int, is_wanted: bool
) -> None:
    """It was asked for anew meanwhile, with all others: a good connection is not dropped for it."""
    feed = Means()
    feed.connection, feed.is_wanted = connection, is_wanted
    finding = Finding(SYMBOL, remedy, "it is mute", View(Decimal(5), 9, 0, True))
    Auditor(feed, lambda symbols: {})._treat(finding, Bell())
    assert feed.done == ["distrust"]


class Standing:
    """A feed without a thread, whose ticker and book are live; what its thread does is done here.

    What an audit finds waits until `run`, as it does while the thread connects.
    """

    def __init__(self) -> None:
        self.provider = WebSocketPriceProvider("ws://127.0.0.1:9/", settings=NEVER, clock=lambda: 1)
        self.thread = self.provider.feed_thread
        self.thread._is_available = False
        for channel in CHANNELS:
            self.provider.subscribe_symbol(SYMBOL, channel)
        self.connect()
        self.stop = Bell()
        self.auditor = Auditor(self.thread, lambda symbols: {SYMBOL: Decimal(7)}, self._bids)
        self.prices, self.books = Audit(), Audit(counts_again=True)

    def _bids(self, symbols: list[str]) -> Mapping[str, Decimal]:
        return {SYMBOL: Decimal(7)}

    def connect(self) -> None:
        """Make the connection, or another one."""
        if self.thread.feed.link.is_open:
            self.thread.feed.lost(1.0, "closed")
        self.thread.feed.link.attempt(1.0)
        self.thread.feed.opened(1.0)
        self.serve()

    def serve(self) -> None:
        """Let all that is due be asked for, and Kraken answer it."""
        tell(self.thread.feed, *map(self._answer, sent(self.thread.feed, 1.0)), at=1.0)
        tell(self.thread.feed, ticker_frame(last=5.0), snapshot(), at=1.0)

    def _answer(self, message: dict[str, Any]) -> str:
        result = {"channel": message["params"]["channel"], "symbol": SYMBOL}
        head = {"method": message["method"], "req_id": message["req_id"]}
        return json.dumps({**head, "success": True, "result": result})

    def look(self) -> None:
        """Let the audit look once; what it finds is still to be done."""
        self.auditor._look(self.prices, self.stop)
        self.auditor._look_at_books(self.books, self.stop)

    @property
    def shown(self) -> list[bool]:
        """Whether there is a price, and whether there is a book."""
        thing = (self.provider.proven(SYMBOL), self.provider.order_book(SYMBOL))
        return [one is not None for one in thing]


CHANNELS = ("ticker", "book")


def test_what_is_wanted_since_a_look_is_not_judged_by_it() -> None:
    """Nobody has looked at it, so nobody would know that it is to be trusted again."""
    feed = Standing()
    feed.look()
    feed.look()
    for channel in CHANNELS:
        feed.provider.unsubscribe_symbol(SYMBOL, channel)
        feed.provider.subscribe_symbol(SYMBOL, channel)
    feed.serve()
    reader = feed.provider.open_feed()
    feed.thread.do_errands()
    assert feed.shown == [True, True]
    assert reader.get(0) is None
    for _ in range(2):  # but it may lie as well as the one before
        feed.look()
        feed.thread.do_errands()
    assert feed.shown == [False, False]


def test_what_lies_is_distrusted_on_the_next_connection_until_it_is_looked_at() -> None:
    """Its new subscription may lie like the one before; its new book is none that was looked at."""
    feed = Standing()
    feed.look()
    feed.look()
    feed.connect()
    feed.thread.do_errands()
    assert feed.shown == [False, True]
    assert feed.thread.feed.subscriptions.tickers[SYMBOL].state is SubState.LIVE
    tell(feed.thread.feed, ticker_frame(last=7.0), at=1.0)
    feed.look()
    feed.thread.do_errands()
    assert feed.shown == [True, False]  # the price is true by now, and the book still is not
