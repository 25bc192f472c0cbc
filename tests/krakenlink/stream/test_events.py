"""What the feed tells: frozen values, and each of them one of the kinds that listeners know."""

import pickle
from dataclasses import FrozenInstanceError, asdict, replace
from decimal import Decimal
from typing import Any, get_args

import pytest

from krakenlink.pairs import Symbol
from krakenlink.stream import events
from krakenlink.stream.events import (
    Channel,
    Due,
    Event,
    FeedClosed,
    FeedLive,
    Message,
    Tick,
    TradePrint,
    Value,
)


def test_every_event_is_told_of_in_the_union() -> None:
    """A listener that handles `Event` has handled all; a print is a part of `Trades`."""
    own = (thing for thing in vars(events).values() if isinstance(thing, type))
    kinds = {kind for kind in own if kind.__module__ == events.__name__} - {Channel, Value}
    assert kinds == {*get_args(Event), *get_args(Message), TradePrint, Due}


@pytest.mark.parametrize("kind", [*get_args(Event), TradePrint])
def test_no_event_can_be_changed_by_one_of_its_listeners(kind: type) -> None:
    """One object goes to every thread that listens."""
    event = kind(*["x"] * len(kind.__match_args__))  # type: ignore[attr-defined]  # dataclasses have it
    name = kind.__match_args__[0]  # type: ignore[attr-defined]
    with pytest.raises(FrozenInstanceError):
        setattr(event, name, "y")
    assert not hasattr(event, "__dict__")


@pytest.mark.parametrize("kind", [*get_args(Event), TradePrint])
def test_event_is_equal_by_its_class_and_all_of_its_fields(kind: type[Any]) -> None:
    """And hashes likewise, shows them, travels between processes, and can be changed in a copy."""
    names = kind.__match_args__
    one, again = (kind(*[name.upper() for name in names]) for _ in range(2))
    assert one == again
    assert {one: 1}[again] == 1
    for name in names:
        other = replace(one, **{name: "other"})
        assert other != one
        assert asdict(other) == {**asdict(one), name: "other"}
    assert repr(one) == f"{kind.__name__}({', '.join(f'{n}={n.upper()!r}' for n in names)})"
    assert pickle.loads(pickle.dumps(one)) == one


def test_events_of_other_classes_are_other_events() -> None:
    """However equal their fields: the end of a link is not its beginning."""
    assert len({FeedLive(1.0), FeedClosed(1.0)}) == 2
    live: object = FeedLive(1.0)
    assert live not in (FeedClosed(1.0), (1.0,), 1.0)
    assert live.__eq__(1.0) is NotImplemented


def test_a_tick_may_have_neither_book_nor_time() -> None:
    """What Kraken did not send is None, never a zero."""
    tick = Tick(Symbol("BTC/USD"), Decimal("2.50"), None, None, 1.0)
    assert (str(tick.price), tick.bid, tick.ask, tick.timestamp) == ("2.50", None, None, None)


def test_channels_are_kraken_s_words() -> None:
    """They go into frames as they are."""
    names = ["ticker", "trade", "book", "instrument", "ohlc"]
    assert [f"{channel}" for channel in Channel] == names
    with pytest.raises(ValueError, match="spread"):
        Channel("spread")


def test_what_is_due_is_nobody_else_s() -> None:
    """Two moments share no list."""
    due = Due()
    due.events.append(FeedLive(1.0))
    due.frames.append("{}")
    assert Due() == Due([], [], None)
