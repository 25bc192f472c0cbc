"""What a provider shows of its feed: only what is proven at this moment."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable
from typing import Any

import pytest

from krakenlink.pairs import Symbol
from krakenlink.stream.book import OrderBook
from krakenlink.stream.events import BookUpdate, BookWrong, Channel, ChannelLive, FeedStale
from krakenlink.stream.looks import checked_param
from tests.kits.stream.book_kit import ASKS, BIDS, BTC, book_frame, prices, snapshot
from tests.kits.stream.feed_kit import tell
from tests.kits.stream.stream_kit import LONG, QUICK, Make, Peer, Server, wait_for
from ws_price_provider import FeedReader, WebSocketPriceProvider


class Books:
    """A script of the server's: it acknowledges books and sends a snapshot of each."""

    def __init__(self, *, refuses: bool = False, is_mute: bool = False) -> None:
        self.refuses, self.is_mute, self.is_deaf = refuses, is_mute, False
        self.asked: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

    def __call__(self, peer: Peer) -> None:
        """Serve one connection."""
        peer.shake_hands()
        while True:
            message = peer.message()
            if self.is_deaf:
                continue
            if message["method"] == "ping":
                peer.send('{"method":"pong"}')
                continue
            params = message["params"]
            self.asked.put((message["method"], params.get("depth")))
            for symbol in params["symbol"]:
                self.answer(peer, message, symbol)

    def answer(self, peer: Peer, message: dict[str, Any], symbol: str) -> None:
        """Answer for one symbol."""
        head = {"method": message["method"], "req_id": message["req_id"]}
        if self.refuses:
            refusal = {"success": False, "error": "Subscription depth not supported"}
            peer.send(json.dumps({**head, **refusal, "symbol": symbol}))
            return
        result = {"channel": message["params"]["channel"], "symbol": symbol}
        peer.send(json.dumps({**head, "success": True, "result": result}))
        if message["method"] == "subscribe" and not self.is_mute:
            peer.send(snapshot(symbol=symbol))


def watched(server: Server, make: Make, **more: Any) -> tuple[WebSocketPriceProvider, FeedReader]:
    """Return a provider whose book of BTC/USD is live, and a reader of all since then."""
    server.scripts = [Books()]
    provider = make(**more)
    reader = provider.open_feed()
    provider.subscribe_symbol(BTC, "book")
    assert provider.wait_for_book(BTC, 10, LONG) is not None
    return provider, reader


def shown(provider: WebSocketPriceProvider, depth: int = 10) -> OrderBook:
    """Return the book that counts now."""
    book = provider.order_book(BTC, depth)
    assert book is not None
    return book


# --- books -------------------------------------------------------------------------------------


def test_book_is_shown_with_its_proof(server: Server, make: Make) -> None:
    """Exact, frozen, and with the age of its proof."""
    provider, _ = watched(server, make)
    book = shown(provider)
    assert (book.symbol, book.source, book.depth) == (BTC, "websocket", 10)
    assert prices(book.bids) == list(BIDS)[:10]
    assert prices(book.asks) == list(ASKS)[:10]
    assert 0 <= book.proven_age < LONG
    assert book.timestamp == "2026-11-23T02:11:31.742648Z"
    with pytest.raises(AttributeError):
        book.bids = ()  # type: ignore[misc]  # that is what is tested
    assert [health.channel for health in provider.health().symbols] == ["book"]
    assert provider.health().symbols[0].proven_age is not None


def test_book_that_is_not_subscribed_to_is_none(server: Server, make: Make) -> None:
    """Neither of another symbol, nor deeper than it is streamed; nobody waits for either."""
    provider, _ = watched(server, make)
    assert provider.order_book("ETH/USD") is None
    assert provider.wait_for_book("ETH/USD", 10, 100 * LONG) is None
    assert provider.order_book(BTC, 25) is None
    assert provider.wait_for_book(BTC, 25, 100 * LONG) is None
    assert len(shown(provider).bids) == 10


def test_reader_hears_of_changes_and_of_doubts(server: Server, make: Make) -> None:
    """A change that is confirmed, and one that is not."""
    provider, reader = watched(server, make)
    assert wait_for(reader, ChannelLive).channel == "book"
    assert wait_for(reader, BookUpdate).is_snapshot
    server.broadcast(book_frame({}, {"50000.1": "0.5"}, 7, "update"))
    wrong = wait_for(reader, BookWrong)
    assert (wrong.symbol, "checksum" in wrong.reason) == (BTC, True)
    assert provider.wait_for_book(BTC, 10, LONG) is not None  # it was asked for anew
    assert wait_for(reader, BookUpdate).is_snapshot


def test_reader_may_leave_books_out(server: Server, make: Make) -> None:
    """By its channels; the news of the channel come all the same."""
    server.scripts = [Books()]
    provider = make()
    reader = provider.open_feed(channels=["ticker"])
    provider.subscribe_symbol(BTC, "book")
    wait_for(reader, ChannelLive)
    provider.stop(LONG)
    seen = [type(event) for event in iter(lambda: reader.get(0), None)]
    assert BookUpdate not in seen


def test_silent_link_ends_the_book(server: Server, make: Make) -> None:
    """No frame for as long as death takes: the read itself sees it."""
    provider, reader = watched(server, make, settings=QUICK)
    script = server.scripts[0]
    assert isinstance(script, Books)
    script.is_deaf = True
    assert "no frame for" in wait_for(reader, FeedStale).reason
    assert provider.order_book(BTC) is None


def test_wait_ends_with_a_refusal(server: Server, make: Make) -> None:
    """Nobody waits for what cannot come."""
    server.scripts = [Books(refuses=True)]
    provider = make()
    provider.subscribe_symbol(BTC, "book", depth=1000)
    assert provider.wait_for_book(BTC, 1000, 100 * LONG) is None
    assert provider.health().symbols[0].error == "Subscription depth not supported"


def test_wait_has_an_end(server: Server, make: Make) -> None:
    """A book that does not come is None after the time."""
    server.scripts = [Books(is_mute=True)]
    provider = make()
    provider.subscribe_symbol(BTC, "book")
    assert provider.wait_for_book(BTC, 10, 0.05) is None


def test_book_goes_with_its_last_reference(server: Server, make: Make) -> None:
    """It is counted, as a price is."""
    provider, _ = watched(server, make)
    script = server.scripts[0]
    assert isinstance(script, Books)
    provider.subscribe_symbol(BTC, "book", depth=10)
    provider.unsubscribe_symbol(BTC, "book")
    assert shown(provider) is not None
    provider.unsubscribe_symbol(BTC, "book")
    assert provider.order_book(BTC) is None
    assert script.asked.get(timeout=LONG) == ("subscribe", 10)
    assert script.asked.get(timeout=LONG) == ("unsubscribe", 10)


def test_deeper_book_takes_the_place_of_the_one_before(server: Server, make: Make) -> None:
    """Whoever waits gets the deeper one; the shallow one is a part of it."""
    provider, _ = watched(server, make)
    provider.subscribe_symbol(BTC, "book", depth=100)
    deep = provider.wait_for_book(BTC, 100, LONG)
    assert deep is not None
    assert (len(deep.bids), deep.depth) == (12, 100)
    assert len(shown(provider).bids) == 10


# --- what is asked for ---------------------------------------------------------------------------


@pytest.mark.parametrize("channel", [Channel.TICKER, Channel.TRADE])
def test_channel_without_a_depth_takes_none(channel: Channel) -> None:
    """It would say something else than is meant."""
    assert checked_param(channel) == 0
    with pytest.raises(ValueError, match="no depth"):
        checked_param(channel, 10)


@pytest.mark.parametrize(("depth", "param"), [(None, 10), (10, 10), (1000, 1000)])
def test_book_without_a_depth_is_ten_deep(depth: int | None, param: int) -> None:
    """As Kraken's is."""
    assert checked_param(Channel.BOOK, depth) == param


@pytest.mark.parametrize("depth", [0, 11, "10", True])
def test_depth_that_cannot_be_is_refused_before_anything_is_asked(make: Make, depth: Any) -> None:
    """With those there are."""
    provider = make(url="ws://127.0.0.1:9/")
    with pytest.raises(ValueError, match="Kraken has 10, 25"):
        provider.subscribe_symbol(BTC, "book", depth=depth)
    assert provider.health().symbols == ()


def test_price_of_what_nobody_asked_for_is_none(make: Make) -> None:
    """And nobody waits for it."""
    provider = make(url="ws://127.0.0.1:9/")
    assert provider.proven("X/Y") is None
    assert provider.fresh_tick("X/Y") is None
    assert provider.proven_age("X/Y") is None
    assert provider.wait_for_tick("X/Y", 100 * LONG) is None
    assert provider.order_book(Symbol("X/Y")) is None


# --- pairs ---------------------------------------------------------------------------------------


def told_of_pairs(clock: Callable[[], float]) -> WebSocketPriceProvider:
    """Return a provider without a thread, to which all pairs were told at second 100."""
    provider = WebSocketPriceProvider("ws://127.0.0.1:1", clock=clock)
    thread = provider.pool.instruments().feed_thread
    thread._is_available = False
    provider.subscribe_symbol("*", "instrument")
    thread.feed.link.attempt(100.0)
    thread.feed.opened(100.0)
    thread.feed.due(100.0)
    answer = {"method": "subscribe", "success": True, "req_id": 1}
    answer["result"] = {"channel": "instrument"}
    rows = {"pairs": [{"symbol": BTC, "qty_min": 0.5}], "assets": [{"id": "BTC"}]}
    told = {"channel": "instrument", "type": "snapshot", "data": rows}
    tell(thread.feed, json.dumps(answer), json.dumps(told), at=100.0)
    return provider


def test_pair_is_not_proven_by_a_look_at_the_clock_before_it_was_taken() -> None:
    """A reader may stand still between any two of its steps, such as for ten seconds."""
    moments = [101.0, 111.0]
    provider = told_of_pairs(lambda: moments.pop(0) if len(moments) > 1 else moments[0])
    found = provider.proven_instrument(BTC)
    assert found is None or found[1] < provider.settings.dead_after
    assert provider.proven_instrument(BTC) is None
    assert (provider.instruments(), provider.assets()) == ({}, {})


def test_pairs_are_shown_while_they_are_proven() -> None:
    """As long as a price would be, though their connection is a patient one."""
    now = [101.0]
    provider = told_of_pairs(lambda: now[0])
    found = provider.proven_instrument(BTC)
    assert found is not None
    assert (str(found[0].qty_min), found[1]) == ("0.5", 1.0)
    assert (list(provider.instruments()), list(provider.assets())) == ([BTC], ["BTC"])
    assert provider.proven_instrument("X/Y") is None
    now[0] = 100.0 + provider.settings.dead_after
    assert (provider.instruments(), provider.assets()) == ({}, {})
