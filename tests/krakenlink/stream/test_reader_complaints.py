"""What the log says of a symbol that stays wrong: once, until that is over or something else."""

from __future__ import annotations

import logging

import pytest

from krakenlink.stream.events import (
    BookWrong,
    ChannelLive,
    Event,
    FeedClosed,
    FirstData,
    Resubscribed,
    SymbolDistrusted,
    SymbolMute,
    SymbolRefused,
    SymbolTrusted,
)
from krakenlink.stream.reader import FeedReader, Readers, RelayedReaders
from tests.kits.stream.feed_kit import BTC, ETH

CROSSED, ALTERED = "its best bid is not below its best ask", "its checksum is 12, Kraken's is 34"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Return the log, down to what only a person asks for who looks for a defect."""
    caplog.set_level(logging.DEBUG, "krakenlink.stream.reader")
    return caplog


def levels(log: pytest.LogCaptureFixture, readers: Readers, *events: Event) -> list[int]:
    """Publish events and return at which levels they were logged."""
    log.clear()
    readers.publish(events)
    return [record.levelno for record in log.records]


DEBUG, INFO, WARNING = logging.DEBUG, logging.INFO, logging.WARNING
COMPLAINTS: list[tuple[type[Event], tuple[str, ...], Event]] = [
    (BookWrong, (CROSSED,), ChannelLive(BTC, "book", 500.0)),
    (SymbolMute, ("ticker",), FirstData(BTC, 500.0)),
    (SymbolMute, ("ohlc",), ChannelLive(BTC, "ohlc", 500.0)),
    (SymbolRefused, ("ticker", "Rate"), FirstData(BTC, 500.0)),
    (SymbolRefused, ("book", "Depth"), ChannelLive(BTC, "book", 500.0)),
    (SymbolDistrusted, ("it stands at 5.5 while REST is at 7",), SymbolTrusted(BTC, 500.0)),
]


@pytest.mark.parametrize(("kind", "fields", "end"), COMPLAINTS)
def test_complaint_is_a_warning_once_until_it_is_over(
    kind: type[Event], fields: tuple[str, ...], end: Event, log: pytest.LogCaptureFixture
) -> None:
    """However often it comes; an acknowledgement alone is not the end of it."""
    readers = Readers()

    def complaint(at: float) -> Event:
        return kind(BTC, *fields, at)  # type: ignore[call-arg, arg-type]  # as they all are

    for number in range(5):
        said = levels(log, readers, complaint(100.0 + 60 * number), Resubscribed(BTC, "book", 1.0))
        assert said == [DEBUG if number else WARNING, DEBUG]
    assert levels(log, readers, end) == [INFO]
    assert levels(log, readers, complaint(600.0), complaint(601.0)) == [WARNING, DEBUG]


def test_every_reader_gets_what_the_log_leaves_out() -> None:
    """It is no event the less."""
    readers, event = Readers(), BookWrong(BTC, CROSSED, 7.0)
    mine = FeedReader(lambda: 7.0, lambda _: None, None, None)
    readers.add(mine)
    readers.publish([event, event, event])
    assert [mine.get(0) for _ in range(4)] == [event, event, event, None]


def test_other_symbols_channels_and_reasons_are_news(log: pytest.LogCaptureFixture) -> None:
    """What is held back is the same sentence about the same thing, and no other."""
    first: list[Event] = [
        BookWrong(BTC, CROSSED, 1.0),
        BookWrong(ETH, CROSSED, 1.0),
        BookWrong(BTC, ALTERED, 1.0),
        SymbolMute(BTC, "book", 1.0),
        SymbolMute(BTC, "ticker", 1.0),
    ]
    assert levels(log, readers := Readers(), *first) == [WARNING] * 5
    assert levels(log, readers, *first[2:]) == [DEBUG] * 3


def test_same_reason_with_other_figures_is_the_same(log: pytest.LogCaptureFixture) -> None:
    """The sums of a market that moves are never those of a minute ago."""
    reasons = [f"its checksum is {n}, Kraken's is {n + 7}" for n in (1, 22, 333)]
    events: list[Event] = [BookWrong(BTC, reason, 1.0) for reason in reasons]
    assert levels(log, Readers(), *events) == [WARNING, DEBUG, DEBUG]


def test_what_comes_back_again_and_again_is_no_warning_for_ever(
    log: pytest.LogCaptureFixture,
) -> None:
    """Each snapshot is right and each change is wrong: who reads what is live reads that, too."""
    readers = Readers()
    assert levels(log, readers, BookWrong(BTC, CROSSED, 100.0)) == [WARNING]
    found = []
    for at in (101.0, 102.0, 162.0, 222.0):
        live = ChannelLive(BTC, "book", at)
        found.append(levels(log, readers, live, BookWrong(BTC, CROSSED, at + 0.1)))
    assert found == [[INFO, WARNING], [INFO, INFO], [INFO, INFO], [INFO, INFO]]
    live = ChannelLive(BTC, "book", 300.0)
    assert levels(log, readers, live, BookWrong(BTC, CROSSED, 360.0)) == [INFO, WARNING]


def test_connections_of_one_provider_say_it_once(log: pytest.LogCaptureFixture) -> None:
    """A symbol that moves to another connection brings its story with it."""
    readers = Readers()
    assert levels(log, readers, BookWrong(BTC, CROSSED, 1.0)) == [WARNING]
    assert levels(log, RelayedReaders(readers), BookWrong(BTC, CROSSED, 2.0)) == [DEBUG]


def test_feed_that_was_stopped_begins_anew(log: pytest.LogCaptureFixture) -> None:
    """Who subscribes again is told what he gets."""
    readers, event = Readers(), BookWrong(BTC, CROSSED, 1.0)
    assert levels(log, readers, event, FeedClosed(2.0), event) == [WARNING, INFO, WARNING]
