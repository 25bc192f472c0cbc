"""What channels beside the price bring, and when it counts: the proof is that of a price."""

from __future__ import annotations

import json
from typing import Any

import pytest

from krakenlink.pairs import Symbol
from krakenlink.stream.book import Book, Places
from krakenlink.stream.events import (
    EVERY,
    BookUpdate,
    BookWrong,
    Channel,
    ChannelLive,
    Event,
    InstrumentUpdate,
    Resubscribed,
    SymbolMute,
    SymbolRefused,
)
from krakenlink.stream.feed import FeedProtocol
from krakenlink.stream.settings import FeedSettings
from krakenlink.stream.states import Subscription, SubState
from tests.kits.stream.book_kit import (
    ASKS,
    BIDS,
    BTC,
    ack,
    book_frame,
    changed,
    refusal,
    snapshot,
    total,
)
from tests.kits.stream.feed_kit import beat, sent, tell

BOOK = Channel.BOOK
NAME = Symbol(BTC)


def asked(depth: int = 10, **settings: Any) -> FeedProtocol:
    """Return a feed that has asked for a book (req_id 1) at second 100."""
    feed = FeedProtocol(FeedSettings(**settings))
    feed.subscriptions.want(NAME, BOOK, depth)
    feed.link.attempt(100.0)
    feed.opened(100.0)
    feed.due(100.0)
    return feed


def live(depth: int = 10, **settings: Any) -> FeedProtocol:
    """Return a feed whose book is live."""
    feed = asked(depth, **settings)
    tell(feed, ack(depth=depth), snapshot(), at=100.5)
    assert book(feed) is not None
    return feed


def sub(feed: FeedProtocol) -> Subscription:
    """Return the book's subscription."""
    return feed.subscriptions.by_key[BOOK, NAME]


def book(feed: FeedProtocol) -> Book | None:
    """Return the book that counts."""
    content: Book | None = sub(feed).content
    return content


def change(bids: dict[str, str], **more: Any) -> str:
    """Return a change of the bids of `snapshot` whose sum is right."""
    after = changed(BIDS, bids, is_bid=True)
    return book_frame(bids, {}, more.get("checksum", total(after, ASKS)), "update")


GOOD = change({"49999.9": "2.00000000"})
WRONG = change({"49999.9": "3.00000000"}, checksum=1)


def kinds(events: list[Event]) -> list[type[Event]]:
    """Return what kinds of events there are."""
    return [type(event) for event in events]


# --- asking ------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [10, 25, 1000])
def test_book_is_asked_for_with_its_depth_and_left_with_it(depth: int) -> None:
    """Kraken wants the depth back."""
    feed = FeedProtocol(FeedSettings())
    feed.subscriptions.want(NAME, BOOK, depth)
    feed.link.attempt(100.0)
    feed.opened(100.0)
    params = {"channel": "book", "symbol": [BTC], "depth": depth}
    assert [x["params"] for x in sent(feed, 100.0)] == [{**params, "snapshot": True}]
    feed.subscriptions.unwant(NAME, BOOK)
    assert [(x["method"], x["params"]) for x in sent(feed, 101.0)] == [("unsubscribe", params)]


def test_books_of_different_depths_go_in_messages_of_their_own() -> None:
    """One message has one depth."""
    feed = FeedProtocol(FeedSettings())
    for symbol, depth in (("A/B", 10), ("C/D", 25), ("E/F", 10)):
        feed.subscriptions.want(Symbol(symbol), BOOK, depth)
    feed.link.attempt(100.0)
    feed.opened(100.0)
    told = [(x["params"]["symbol"], x["params"]["depth"]) for x in sent(feed, 100.0)]
    assert told == [(["A/B", "E/F"], 10), (["C/D"], 25)]


def test_deeper_book_is_asked_for_anew_and_a_shallower_one_is_in_it() -> None:
    """The old depth is left by its name; until the new one is there nothing counts."""
    feed = live()
    feed.subscriptions.want(NAME, BOOK, 100)
    assert book(feed) is None
    told = [(x["method"], x["params"]["depth"]) for x in sent(feed, 101.0)]
    assert told == [("unsubscribe", 10), ("subscribe", 100)]
    tell(feed, ack(req_id=3, depth=100), snapshot(), at=101.1)
    found = book(feed)
    assert found is not None
    assert found.depth == 100
    feed.subscriptions.want(NAME, BOOK, 25)
    assert book(feed) is found
    assert sent(feed, 102.0) == []


def test_depth_that_kraken_refuses_gives_back_the_one_before() -> None:
    """It is told once; the same depth is not asked for again on any wish."""
    feed = live()
    feed.subscriptions.want(NAME, BOOK, 1000)
    sent(feed, 101.0)
    events = tell(feed, refusal("Subscription depth not supported", req_id=3), at=101.1)
    assert events == [SymbolRefused(NAME, "book", "Subscription depth not supported", 101.1)]
    assert [x["params"]["depth"] for x in sent(feed, 102.0)] == [10]
    tell(feed, ack(req_id=4), snapshot(), at=102.1)
    assert book(feed) is not None
    feed.subscriptions.want(NAME, BOOK, 500)
    assert sent(feed, 103.0) == []
    assert book(feed) is not None


def test_depth_that_kraken_gives_no_more_becomes_its_shallowest() -> None:
    """A wrong sum has the book asked for anew, and what was given before is refused by then."""
    feed = live(1000)
    assert BookWrong in kinds(tell(feed, WRONG, at=101.0))
    assert [x["method"] for x in sent(feed, 101.0)] == ["unsubscribe", "subscribe"]
    events = tell(feed, refusal("Subscription depth not supported", req_id=3), at=101.1)
    assert events == [SymbolRefused(NAME, "book", "Subscription depth not supported", 101.1)]
    assert [x["params"]["depth"] for x in sent(feed, 102.0)] == [10]
    tell(feed, ack(req_id=4), snapshot(), at=102.1)
    found = book(feed)
    assert found is not None
    assert found.depth == 10


@pytest.mark.parametrize(
    ("depth", "error"),
    [(10, "Subscription depth not supported"), (1000, "EService:Market in maintenance"), (25, "")],
)
def test_refusal_that_no_shallower_book_would_mend_is_one(depth: int, error: str) -> None:
    """The shallowest there is, or a market of which there is no book now: its depth is kept."""
    feed = live(depth)
    tell(feed, WRONG, at=101.0)
    sent(feed, 101.0)
    tell(feed, refusal(error, req_id=3), at=101.1)
    assert sent(feed, 102.0) == []
    assert (sub(feed).state, sub(feed).param) == (SubState.REFUSED, depth)


def test_shallowest_depth_that_is_refused_too_ends_the_asking() -> None:
    """One question more, and none after it."""
    feed = live(1000)
    tell(feed, WRONG, at=101.0)
    sent(feed, 101.0)
    for req_id, now in ((3, 101.1), (4, 102.1)):
        tell(feed, refusal("Subscription depth not supported", req_id=req_id), at=now)
        asked_anew = sent(feed, now + 0.9)
        assert len(asked_anew) == (req_id == 3)
    assert sub(feed).state is SubState.REFUSED


def test_book_that_is_refused_at_once_is_refused() -> None:
    """As a price is."""
    feed = asked(500)
    (event,) = tell(feed, refusal("Subscription depth not supported"), at=100.1)
    assert isinstance(event, SymbolRefused)
    assert sub(feed).state is SubState.REFUSED


# --- the proof ---------------------------------------------------------------------------------


def test_book_counts_after_its_acknowledgement_and_its_snapshot() -> None:
    """Then it is told, and each change with it."""
    feed = asked()
    assert tell(feed, ack(), at=100.1) == []
    assert book(feed) is None
    events = tell(feed, snapshot(), at=100.2)
    assert kinds(events) == [ChannelLive, BookUpdate]
    assert events[0] == ChannelLive(NAME, "book", 100.2)
    assert kinds(tell(feed, GOOD, at=100.3)) == [BookUpdate]
    found = book(feed)
    assert found is not None
    assert found.texts(1).bids[0].qty == 2
    assert found.timestamp == "2026-11-23T02:11:31.742648Z"


def test_data_that_overtake_the_acknowledgement_count_once_it_is_there() -> None:
    """Of a first question they can be the answer to nothing else; changes are not lost."""
    feed = asked()
    assert tell(feed, snapshot(), GOOD, at=100.1) == []
    assert book(feed) is None
    assert tell(feed, ack(), at=100.2) == [ChannelLive(NAME, "book", 100.2)]
    found = book(feed)
    assert found is not None
    assert found.texts(1).bids[0].qty == 2


def test_change_before_the_snapshot_is_no_book() -> None:
    """There is nothing that it could change."""
    feed = asked()
    assert tell(feed, ack(), GOOD, at=100.1) == []
    assert book(feed) is None
    assert sub(feed).state is SubState.ACKED


def test_book_of_which_only_changes_come_is_asked_for_again() -> None:
    """No snapshot, no data: left and asked anew, and then mute."""
    feed = asked()
    tell(feed, ack(), at=100.1)
    assert beat(feed, 100.5, 102.5) == []
    tell(feed, GOOD, at=102.6)
    assert [x["method"] for x in sent(feed, 103.1)] == ["unsubscribe", "subscribe"]
    tell(feed, ack(req_id=3), at=103.2)
    events = beat(feed, 103.5, 107.0)
    assert [event for event in events if isinstance(event, SymbolMute)] != []


@pytest.mark.parametrize("symbol", ["ETH/USD", "", "btc/usd"])
def test_book_that_nobody_asked_for_is_dropped(symbol: str) -> None:
    """It may be under way while it was left."""
    feed = live()
    assert tell(feed, snapshot(symbol=symbol or "X"), at=101.0) == []
    assert list(feed.subscriptions.by_key) == [(BOOK, NAME)]


def test_lost_link_ends_the_book_and_the_next_begins_anew() -> None:
    """Nothing carries over; an old connection's changes meet nothing."""
    feed = live()
    feed.lost(101.0, "gone")
    assert book(feed) is None
    feed.link.attempt(102.0)
    feed.opened(102.0)
    assert tell(feed, GOOD, at=102.1) == []
    sent(feed, 102.1)
    events = tell(feed, ack(req_id=2), snapshot(), at=102.2)
    assert kinds(events) == [Resubscribed, ChannelLive, BookUpdate]


# --- doubt -------------------------------------------------------------------------------------


def test_wrong_sum_ends_the_book_until_its_next_snapshot() -> None:
    """It is told, left and asked for anew; what is under way of the old one counts for nothing."""
    feed = live()
    (event,) = tell(feed, WRONG, at=101.0)
    assert isinstance(event, BookWrong)
    assert event.reason.startswith("its checksum is ")
    assert book(feed) is None
    assert tell(feed, GOOD, snapshot(), at=101.1) == []
    assert [x["method"] for x in sent(feed, 101.2)] == ["unsubscribe", "subscribe"]
    assert tell(feed, GOOD, snapshot(), at=101.3) == []  # before the acknowledgement
    assert book(feed) is None
    assert kinds(tell(feed, ack(req_id=3), at=101.4)) == [Resubscribed]
    assert book(feed) is None  # what came before it may be the rest of the first stream
    assert kinds(tell(feed, snapshot(), at=101.5)) == [ChannelLive, BookUpdate]
    assert book(feed) is not None


def test_snapshot_with_a_wrong_sum_is_asked_for_anew() -> None:
    """As any other doubt."""
    feed = asked()
    events = tell(feed, ack(), book_frame(BIDS, ASKS, 1), at=100.1)
    assert kinds(events) == [BookWrong]
    assert [x["method"] for x in sent(feed, 100.3)] == ["unsubscribe", "subscribe"]


def test_every_frame_of_a_book_is_counted() -> None:
    """So that a person sees whether anything comes."""
    feed = live()
    assert sub(feed).ticks == 1
    tell(feed, GOOD, WRONG, at=101.0)
    assert sub(feed).ticks == 3


def test_new_snapshot_takes_the_place_of_a_book() -> None:
    """Kraken may send one at any time."""
    feed = live()
    tell(feed, snapshot({"1.0": "1.00000000"}, {}), at=101.0)
    found = book(feed)
    assert found is not None
    assert len(found.texts(10).bids) == 1


def test_book_that_is_wrong_again_and_again_is_mute_for_a_while() -> None:
    """Whatever is wrong stays so: it is not asked for without a pause, and nothing counts."""
    feed = live(wrong_most=2, mute_retry_every=60.0)
    now, events = 101.0, []
    for number in (3, 5):
        events += tell(feed, WRONG, at=now)
        assert [x["method"] for x in sent(feed, now + 0.5)] == ["unsubscribe", "subscribe"]
        tell(feed, ack(req_id=number), snapshot(), at=now + 0.6)
        now += 1.0
    events += tell(feed, WRONG, at=now)
    assert kinds(events) == [BookWrong, BookWrong, BookWrong, SymbolMute]
    assert (sub(feed).state, book(feed)) == (SubState.MUTE, None)
    assert tell(feed, GOOD, at=now + 0.1) == []
    assert sent(feed, now + 1.0) == []
    beat(feed, now + 1.0, now + 59.0)
    assert [x["method"] for x in sent(feed, now + 60.0)] == ["unsubscribe", "subscribe"]
    tell(feed, ack(req_id=7), snapshot(), at=now + 60.1)
    assert (sub(feed).state, book(feed) is None) == (SubState.LIVE, False)


def test_doubts_that_are_long_ago_do_not_add_up() -> None:
    """A wrong sum an hour is no reason to give a book up."""
    feed = live(wrong_most=1, wrong_forgotten=10.0)
    for now, number in ((101.0, 3), (112.0, 5), (130.0, 7)):
        beat(feed, feed.link.last_frame_at or 0.0, now)
        assert kinds(tell(feed, WRONG, at=now)) == [BookWrong]
        sent(feed, now + 0.5)
        tell(feed, ack(req_id=number), snapshot(), at=now + 0.6)
        assert book(feed) is not None


def test_crossed_book_is_none() -> None:
    """Whatever its sum says."""
    feed = live()
    after = changed(BIDS, {"50000.1": "1.00000000"}, is_bid=True)
    frame = book_frame({"50000.1": "1.00000000"}, {}, total(after, ASKS), "update")
    (event,) = tell(feed, frame, at=101.0)
    assert isinstance(event, BookWrong)
    assert event.reason == "its best bid is not below its best ask"
    assert book(feed) is None


@pytest.mark.parametrize("price", ["-1", "0", '"x"', "null", "[]", "1e400", "49999.95"])
def test_damaged_level_ends_the_book(price: str) -> None:
    """Nobody knows what has changed."""
    feed = live()
    row = f'"bids":[{{"price":{price},"qty":1}}],"asks":[],"checksum":1'
    frame = f'{{"channel":"book","type":"update","data":[{{"symbol":"{BTC}",{row}}}]}}'
    assert kinds(tell(feed, frame, at=101.0)) == [BookWrong]
    assert book(feed) is None


def test_book_and_price_of_a_symbol_live_by_themselves() -> None:
    """A doubt about one says nothing of the other."""
    feed = live()
    feed.subscriptions.want(NAME, Channel.TICKER)
    sent(feed, 101.0)
    ticker = '{"channel":"ticker","data":[{"symbol":"BTC/USD","last":2.0}]}'
    answer = ack(req_id=2).replace('"book"', '"ticker"')
    tell(feed, answer, ticker, at=101.1)
    tell(feed, WRONG, at=101.2)
    assert book(feed) is None
    assert feed.subscriptions.tickers[BTC].price == 2.0


# --- instruments -------------------------------------------------------------------------------

ALL = (Channel.INSTRUMENT, EVERY)


def rows(*pairs: dict[str, Any], kind: str = "snapshot") -> str:
    """Return a frame of instruments."""
    data = {"pairs": list(pairs), "assets": []}
    return json.dumps({"channel": "instrument", "type": kind, "data": data})


def following() -> FeedProtocol:
    """Return a feed that has asked for all pairs (req_id 1)."""
    feed = FeedProtocol(FeedSettings())
    feed.subscriptions.want(EVERY, Channel.INSTRUMENT)
    feed.link.attempt(100.0)
    feed.opened(100.0)
    feed.due(100.0)
    return feed


ALL_ACK = json.dumps(
    {
        "method": "subscribe",
        "req_id": 1,
        "success": True,
        "result": {"channel": "instrument", "snapshot": True},
    }
)
ROW = {"symbol": BTC, "status": "online", "qty_min": 0.5}


def statuses(feed: FeedProtocol) -> dict[str, str | None]:
    """Return what is known of each pair's status."""
    content = feed.subscriptions.by_key[ALL].content
    return {} if content is None else {name: x.status for name, x in content.pairs.items()}


def test_instruments_count_after_their_acknowledgement_and_snapshot() -> None:
    """It names no symbol: the number of the question says what is meant."""
    feed = following()
    assert tell(feed, ALL_ACK, rows(ROW, kind="update"), at=100.1) == []
    assert statuses(feed) == {}
    events = tell(feed, rows(ROW), at=100.2)
    assert kinds(events) == [ChannelLive, InstrumentUpdate]
    assert statuses(feed) == {BTC: "online"}


def test_instruments_that_overtake_their_acknowledgement_count_with_it() -> None:
    """As books do."""
    feed = following()
    assert tell(feed, rows(ROW), at=100.1) == []
    assert tell(feed, ALL_ACK, at=100.2) == [ChannelLive(EVERY, "instrument", 100.2)]
    assert statuses(feed) == {BTC: "online"}


def test_changes_of_instruments_are_told_and_taken_in() -> None:
    """What was not told stays."""
    feed = following()
    tell(feed, ALL_ACK, rows(ROW), at=100.1)
    change = {"symbol": BTC, "status": "cancel_only"}
    events = tell(feed, rows(change, {"symbol": "N/W"}, kind="update"), at=101.0)
    assert kinds(events) == [InstrumentUpdate]
    assert statuses(feed) == {BTC: "cancel_only", "N/W": None}
    assert feed.subscriptions.by_key[ALL].content.pairs[BTC].qty_min is not None


def test_new_snapshot_of_instruments_forgets_what_is_not_in_it() -> None:
    """A pair may have gone."""
    feed = following()
    tell(feed, ALL_ACK, rows(ROW, {"symbol": "A/B"}), rows(ROW), at=100.1)
    assert list(statuses(feed)) == [BTC]


def test_damaged_instruments_are_asked_for_anew() -> None:
    """Nothing of them counts meanwhile."""
    feed = following()
    tell(feed, ALL_ACK, rows(ROW), at=100.1)
    tell(feed, '{"channel":"instrument","type":"update","data":[]}', at=101.0)
    assert statuses(feed) == {}
    assert [x["method"] for x in sent(feed, 101.5)] == ["unsubscribe", "subscribe"]


def test_instruments_that_nobody_asked_for_are_dropped() -> None:
    """And those of a lost link are gone."""
    assert tell(live(), rows(ROW), at=101.0) == []
    feed = following()
    tell(feed, ALL_ACK, rows(ROW), at=100.1)
    feed.lost(101.0, "gone")
    assert statuses(feed) == {}


def test_book_takes_the_decimals_that_were_told() -> None:
    """With them a snapshot of a single short level is read right at once."""
    seen: list[str] = []

    def places(symbol: Symbol) -> Places:
        seen.append(symbol)
        return Places(1, 8)

    feed = asked()
    feed.contents.places = places
    tell(feed, ack(), snapshot(), at=100.1)
    assert book(feed) is not None
    assert seen == [BTC]


@pytest.mark.parametrize(("asked_for", "told"), [(10, 100), (100, 10), (10, 10)])
def test_book_is_as_deep_as_its_acknowledgement_says(asked_for: int, told: int) -> None:
    """A relay streams it as deep as its deepest reader wants: levels must not be cut before."""
    feed = asked(asked_for)
    tell(feed, ack(depth=told), snapshot(), at=100.5)
    found = book(feed)
    assert found is not None
    assert found.depth == told


@pytest.mark.parametrize("told", [None, 7, "100", True, 10**9])
def test_depth_that_is_none_of_kraken_s_is_left_out(told: object) -> None:
    """The one that was asked for stays."""
    feed = asked(25)
    tell(feed, ack(depth=told), snapshot(), at=100.5)
    found = book(feed)
    assert found is not None
    assert found.depth == 25
