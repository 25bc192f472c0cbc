"""What a client holds of the stream: wanted once, given back once, whoever stops it meanwhile."""

from __future__ import annotations

from krakenlink.held import Held


class StandIn:
    """A stream that notes what it is told."""

    stops = 0

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []

    def subscribe_symbol(self, symbol: str, channel: str, **_: int | None) -> int:
        """Note it."""
        self.told.append(("want", symbol, channel))
        return self.stops

    def unsubscribe_symbol(self, symbol: str, channel: str, *, of: int, **_: int | None) -> None:
        """Note it where it is not gone."""
        if of == self.stops:
            self.told.append(("leave", symbol, channel))


def test_held_is_given_back_once_for_each_depth() -> None:
    """What was wanted twice is left twice, and never again."""
    stream = StandIn()
    held: Held[StandIn] = Held()
    for depth in (10, 10, 25):
        assert held.follow(stream, "A/B", "book", depth)
    held.let_go()
    held.let_go()
    assert [word for word, *_ in stream.told] == ["want", "want", "leave", "leave"]


def test_held_of_a_stopped_stream_is_not_given_back() -> None:
    """It is gone already, and what is there now belongs to others."""
    stream = StandIn()
    held: Held[StandIn] = Held()
    held.follow(stream, "A/B", "book", 10)
    stream.stops = 1
    held.let_go()
    assert [word for word, *_ in stream.told] == ["want"]


def test_held_since_the_moment_of_a_stop_is_wanted_and_given_back_once() -> None:
    """The subscription came after the stop, though whoever made it had looked before."""

    class Stopping(StandIn):
        def subscribe_symbol(self, symbol: str, channel: str, **params: int | None) -> int:
            """Be stopped by somebody at this very moment."""
            self.stops = 1
            return super().subscribe_symbol(symbol, channel, **params)

    stream = Stopping()
    held: Held[StandIn] = Held()
    for _ in range(2):
        held.follow(stream, "A/B", "book", 10)
    held.let_go()
    assert [word for word, *_ in stream.told] == ["want", "leave"]


def test_what_was_waited_for_in_vain_is_hopeless_until_it_comes() -> None:
    """And a stop begins anew."""
    stream = StandIn()
    held: Held[StandIn] = Held()
    held.note("A/B", "book", 10, is_there=False)
    held.follow(stream, "A/B", "book", 10)
    held.note("A/B", "book", 10, is_there=False)
    assert not held.follow(stream, "A/B", "book", 10)
    held.note("A/B", "book", 10, is_there=True)
    assert held.follow(stream, "A/B", "book", 10)
