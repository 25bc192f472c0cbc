"""Books of a whole feed beside a model: whatever comes, only what Kraken's sum confirms counts."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from krakenlink.pairs import Symbol
from krakenlink.stream.book import Book
from krakenlink.stream.events import BookUpdate, BookWrong, Channel, ChannelLive, Event
from krakenlink.stream.feed import FeedProtocol
from krakenlink.stream.settings import FeedSettings
from tests.kits.stream.book_kit import BTC, ack, book_frame, changed, snapshot, total
from tests.kits.stream.feed_kit import sent, tell

BOOK, NAME = Channel.BOOK, Symbol(BTC)
DEPTH = 10


class Kraken:
    """The other side: a book, what it was told of, and which questions wait for an answer."""

    def __init__(self) -> None:
        self.bids = {f"{100 - n / 10:.1f}": "1.00000000" for n in range(1, 11)}
        self.asks = {f"{100 + n / 10:.1f}": "1.00000000" for n in range(1, 11)}
        self.is_streaming = False
        self.step = 0

    def change(self, *, is_told: bool = True) -> str | None:
        """Change a level; return the frame that tells it, if it is told."""
        self.step += 1
        bids = {f"{100 - (self.step % 12 + 1) / 10:.1f}": f"{self.step % 3}.00000000"}
        self.bids = changed(self.bids, bids, is_bid=True, depth=DEPTH)
        frame = book_frame(bids, {}, total(self.bids, self.asks), "update")
        return frame if is_told and self.is_streaming else None

    def whole(self) -> str:
        """Return the snapshot."""
        return snapshot(self.bids, self.asks)

    def frames_of(self, step: str) -> list[str]:
        """Let something happen; return what is told of it."""
        self.is_streaming &= step != "drop"
        if step == "lost":
            self.change(is_told=False)
        if step == "foreign":
            return [snapshot(symbol="NO/BODY")]
        if not self.is_streaming:
            return []
        if step == "damaged":
            return [book_frame({"-1": "1"}, {}, 1, "update")]
        if step == "wrong":
            return [book_frame({}, {}, 1, "update")]
        frame = self.change() if step == "change" else None
        return [self.whole()] if step == "snapshot" else [frame] if frame else []

    def check(self, content: Book) -> None:
        """See that a book is this one."""
        shown = content.texts(DEPTH)
        assert [(f"{p:.1f}", f"{q:.8f}") for p, q in shown.bids] == list(self.bids.items())
        assert [(f"{p:.1f}", f"{q:.8f}") for p, q in shown.asks] == list(self.asks.items())

    def answers(self, asked: list[dict[str, Any]]) -> list[str]:
        """Return the answers to what was asked: acknowledgements, and a snapshot after each."""
        frames: list[str] = []
        for message in asked:
            if message["method"] == "unsubscribe":
                self.is_streaming = False
                answer = {"method": "unsubscribe", "success": True, "req_id": message["req_id"]}
                frames.append(json.dumps({**answer, "result": {"channel": "book", "symbol": BTC}}))
            else:
                self.is_streaming = True
                frames += [ack(req_id=message["req_id"]), self.whole()]
        return frames


def is_new(event: Event) -> bool:
    """Tell whether a book begins or ends with this: nothing that was lost before matters then."""
    is_whole = isinstance(event, BookUpdate) and event.is_snapshot
    return is_whole or isinstance(event, ChannelLive | BookWrong)


_WORDS = ["change", "lost", "wrong", "damaged", "snapshot", "answer", "drop", "foreign"]
_STEPS = st.lists(st.sampled_from(_WORDS), max_size=40)


@settings(max_examples=120)
@given(_STEPS)
def test_only_what_the_sum_confirms_ever_counts(steps: list[str]) -> None:
    """A book that counts is Kraken's present one, but for a change that was lost since."""
    feed, kraken, now = FeedProtocol(FeedSettings()), Kraken(), 100.0
    feed.subscriptions.want(NAME, BOOK, DEPTH)
    feed.link.attempt(now)
    feed.opened(now)
    is_behind = False
    for step in steps:
        now += 0.2
        frames = kraken.frames_of(step)
        is_behind |= step == "lost"
        if step == "answer":
            frames = kraken.answers(sent(feed, now))
        elif step == "drop":
            feed.lost(now, "gone")
            feed.link.attempt(now)
            feed.opened(now)
        events = tell(feed, *frames, at=now)
        content = feed.subscriptions.by_key[BOOK, NAME].content
        is_behind &= content is not None and not any(map(is_new, events))
        if content is not None and not is_behind:
            kraken.check(content)


@settings(max_examples=60)
@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_book_heals_after_any_run_of_wrong_sums(rights: list[bool]) -> None:
    """Once Kraken's sums are right again and enough time is over, it counts again."""
    feed, kraken, now = FeedProtocol(FeedSettings()), Kraken(), 100.0
    feed.subscriptions.want(NAME, BOOK, DEPTH)
    feed.link.attempt(now)
    feed.opened(now)
    tell(feed, *kraken.answers(sent(feed, now)), at=now)
    for is_right in rights:
        now += 0.5
        frame = kraken.change() if is_right else book_frame({}, {}, 1, "update")
        tell(feed, *([frame] if frame else []), at=now)
        tell(feed, *kraken.answers(sent(feed, now)), at=now)
    for _ in range(300):
        now += 0.5
        tell(feed, '{"channel":"heartbeat"}', *kraken.answers(sent(feed, now)), at=now)
    frame = kraken.change()
    assert frame is not None
    assert any(isinstance(event, BookUpdate) for event in tell(feed, frame, at=now))
    assert feed.subscriptions.by_key[BOOK, NAME].content is not None
