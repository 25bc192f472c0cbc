"""What is asked of Kraken beside a model of what it bears: never too fast, nobody forgotten."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krakenlink.pairs import Symbol
from krakenlink.stream.asking import Asking
from krakenlink.stream.events import Channel
from krakenlink.stream.settings import FeedSettings
from krakenlink.stream.states import Subscription, SubState
from tests.kits.common.examples import many
from tests.kits.stream.feed_kit import BTC, ETH, TICKER, TRADE

BURST, INTERVAL, BATCH = 3, 0.5, 2
NUMBERS = FeedSettings(send_burst=BURST, send_interval=INTERVAL, batch_size=BATCH)


def subscription(number: int, channel: Channel = TICKER, batch: int = BATCH) -> Subscription:
    """Return a subscription to a symbol of that number."""
    return Subscription(Symbol(f"S{number}/USD"), channel, batch)


class _Queue:
    """What waits, in its order, and the moments of all messages so far."""

    def __init__(self) -> None:
        self.asking = Asking(NUMBERS)
        self.now = 100.0
        self.waiting: list[Subscription] = []
        self.leaving: list[Subscription] = []
        self.moments: list[float] = []

    def put(self, what: str, sub: Subscription) -> None:
        """Let a subscription wait to be asked for, or to be left."""
        asks = what == "want"
        known = self.asking.to_ask if asks else self.asking.to_leave
        if sub.key not in known:
            known[sub.key] = sub
            (self.waiting if asks else self.leaving).append(sub)

    def send(self) -> None:
        """Let out what may go, and see that it is what has waited longest."""
        frames: list[str] = []
        asked = self.asking.ask(self.now, frames)
        self.moments += [self.now] * len(frames)
        names = []
        for frame in frames:
            message = json.loads(frame)
            params, is_leaving = message["params"], message["method"] == "unsubscribe"
            assert 1 <= len(params["symbol"]) <= BATCH
            assert is_leaving == bool(self.leaving)  # leaving goes first
            queue = self.leaving if is_leaving else self.waiting
            for name in params["symbol"]:
                first = next(sub for sub in queue if sub.channel == params["channel"])
                assert first.symbol == name
                queue.remove(first)
                names += [] if is_leaving else [name]
        assert [sub.symbol for sub in asked] == names
        assert all(sub.state is SubState.ASKED and sub.asked_at == self.now for sub in asked)

    def check_pace(self) -> None:
        """See that no stretch of time has more messages than a burst and one an interval."""
        for place, moment in enumerate(self.moments):
            for count, later in enumerate(self.moments[place:], 1):
                assert count <= BURST + (later - moment) / INTERVAL + 1e-9


_steps = st.tuples(st.sampled_from(["want", "leave", "wait"]), st.integers(0, 9), st.booleans())


@settings(max_examples=many(80))
@given(st.lists(_steps, max_size=25))
def test_questions_go_out_in_order_and_never_faster_than_kraken_bears(
    steps: list[tuple[str, int, bool]],
) -> None:
    """At most a burst at once and then one an interval; all go out at the named moments."""
    queue = _Queue()
    for what, number, is_trade in steps:
        if what == "wait":
            queue.now += number / 4
            queue.send()
        else:
            queue.put(what, subscription(number, TRADE if is_trade else TICKER))
    for _ in range(100):
        if not (queue.waiting or queue.leaving):
            break
        assert queue.asking.next_due(queue.now) == queue.now + INTERVAL
        queue.now += INTERVAL
        queue.send()
    assert (queue.waiting, queue.leaving) == ([], [])
    assert queue.asking.next_due(queue.now) == float("inf")
    queue.check_pace()


@pytest.mark.parametrize("refusals", range(1, 8))
def test_pause_doubles_to_its_longest_and_holds_everything_back(refusals: int) -> None:
    """Not before it is over, to the moment; a new connection has no part in it."""
    asking = Asking(NUMBERS)
    sub = subscription(1)
    asking.to_ask[sub.key] = sub
    for _ in range(refusals):
        asking.pause(100.0)
    pause = min(1.0 * 2 ** (refusals - 1), 10.0)
    assert asking.next_due(100.0) == 100.0 + max(pause, INTERVAL)
    frames: list[str] = []
    assert asking.ask(100.0 + pause - 0.01, frames) == []
    assert frames == []
    assert asking.ask(100.0 + pause, frames) == [sub]
    asking.begin_connection({sub.key: sub})
    assert asking.next_due(100.0) == 100.0 + INTERVAL
    assert asking.unanswered() == []


@pytest.mark.parametrize(
    ("req_id", "symbol", "channel", "meant"),
    [
        (1, BTC, None, [BTC]),
        (1, None, None, [BTC, ETH]),
        (1, "X/USD", None, []),
        (2, BTC, "trade", [BTC]),
        (3, BTC, None, []),  # of no question that waits for its answer
        (3, None, None, []),
        (None, None, None, []),
        (None, BTC, None, [BTC, BTC]),
        (None, BTC, "trade", [BTC]),
        (None, ETH, "trade", []),
        (None, ETH, "ticker", [ETH]),
    ],
)
def test_answer_is_meant_for_what_was_asked(
    req_id: int | None, symbol: Symbol | None, channel: str | None, meant: list[str]
) -> None:
    """By its number, else by symbol and channel as far as they are told; else for nobody."""
    asking = Asking(NUMBERS)
    subs = [Subscription(name, TICKER, BATCH) for name in (BTC, ETH)]
    subs.append(Subscription(BTC, TRADE, BATCH))
    asking.to_ask = {sub.key: sub for sub in subs}
    assert asking.ask(100.0, []) == subs
    assert [sub.symbol for sub in asking.meant_by(req_id, symbol, channel)] == meant


def test_question_with_nothing_left_in_it_is_forgotten() -> None:
    """What was asked anew since is another question, and stays."""
    asking = Asking(NUMBERS)
    first, second = subscription(1), subscription(2)
    asking.to_ask = {sub.key: sub for sub in (first, second)}
    asking.ask(100.0, [])
    asking.forget(first)
    assert asking.unanswered() == [second]
    asking.forget(second)
    assert (asking.unanswered(), asking._asks) == ([], {})
    again = subscription(1)
    asking.to_ask[again.key] = again
    asking.ask(101.0, [])
    first.req_id = again.req_id
    asking.forget(first)  # an older one of the same name
    assert asking.unanswered() == [again]
    asking.to_ask[again.key] = again
    asking.forget(again)
    assert (asking.unanswered(), asking.to_ask) == ([], {})


@pytest.mark.parametrize(("small", "sizes"), [(0, [1, 2, 1]), (1, [1, 1, 2]), (3, [2, 1, 1])])
def test_small_batch_is_asked_for_in_a_message_as_small(small: int, sizes: list[int]) -> None:
    """What is isolated by halving must not be put back among many."""
    asking = Asking(NUMBERS)
    subs = [subscription(n, batch=1 if n == small else BATCH) for n in range(4)]
    asking.to_ask = {sub.key: sub for sub in subs}
    frames: list[str] = []
    asking.ask(100.0, frames)
    assert [len(json.loads(frame)["params"]["symbol"]) for frame in frames] == sizes
