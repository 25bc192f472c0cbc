"""The life of the link: tried, open, suspected, lost."""

from __future__ import annotations

import pytest

from krakenlink.stream.events import (
    FeedBack,
    FeedConnecting,
    FeedLive,
    FeedStale,
    FeedSuspect,
)
from krakenlink.stream.feed import FeedProtocol
from krakenlink.stream.settings import FeedSettings
from krakenlink.stream.states import (
    TRANSITIONS,
    FeedSignal,
    FeedState,
    StateError,
)
from tests.kits.stream.feed_kit import (
    BTC,
    TICKER,
    live_feed,
    price,
    tell,
)


@pytest.mark.parametrize("signal", FeedSignal)
@pytest.mark.parametrize("state", FeedState)
def test_link_goes_where_the_table_says_or_stays(state: FeedState, signal: FeedSignal) -> None:
    """Each state with each signal leads on as written, or raises and changes nothing."""
    feed = FeedProtocol(FeedSettings())
    feed.link.state = state
    if (state, signal) in TRANSITIONS:
        feed.link.step(signal)
        assert feed.link.state is TRANSITIONS[state, signal]
    else:
        with pytest.raises(StateError, match=signal.name):
            feed.link.step(signal)
        assert feed.link.state is state


def test_late_frames_after_a_silence_prove_nothing() -> None:
    """What a socket still holds after a silence as long as death is no sign of life."""
    feed = live_feed()
    assert feed.link.heard(103.4) == []
    assert feed.link.heard(106.4) is None
    assert feed.link.good_until == 106.4


def test_silence_is_asked_about_and_then_deadly() -> None:
    """2 s without a frame: one ping. 3 s: the link is lost."""
    feed = live_feed()
    assert feed.due(102.4).frames == []
    due = feed.due(102.5)
    assert due.frames == ['{"method":"ping"}']
    assert due.events == [FeedSuspect(102.5, 2.0)]
    assert feed.due(103.0).frames == []
    assert feed.due(103.4).lost is None
    assert feed.due(103.5).lost == "no frame for 3.0 s"


def test_any_frame_ends_the_suspicion() -> None:
    """A heartbeat, a pong or a price: whatever comes is a sign of life, and prices stay."""
    feed = live_feed()
    feed.due(102.5)
    assert feed.link.heard(103.0) == [FeedLive(103.0)]
    assert feed.due(104.9).lost is None
    assert price(feed) == 2
    assert feed.link.good_until == 106.0


def test_server_that_never_answers_pings_is_neither_dropped_nor_asked_in_a_spin() -> None:
    """The check for lag holds only against those who have answered one."""
    feed = live_feed(lag_check_every=1.0)
    for step in range(1, 40):
        now = 100.5 + step * 0.5
        tell(feed, '{"channel":"heartbeat"}', at=now)
        assert feed.due(now).lost is None
        assert feed.next_due(now) > now


def test_prices_that_come_late_are_dropped_with_their_link() -> None:
    """Frames that flow but answer a ping seconds too late are old prices."""
    feed = live_feed(lag_check_every=1.0)
    assert feed.due(101.0).frames == ['{"method":"ping"}']
    tell(feed, '{"method":"pong"}', at=101.1)
    assert feed.due(102.0).frames == ['{"method":"ping"}']
    tell(feed, '{"channel":"heartbeat"}', at=103.5)
    assert feed.next_due(103.5) == 103.0  # one more ping
    tell(feed, '{"channel":"heartbeat"}', at=104.9)
    assert feed.due(104.9).lost is None
    assert "late" in (feed.due(105.0).lost or "")


@pytest.mark.parametrize(
    ("refusal", "is_lost"),
    [
        ('{"error":"Exceeded msg rate"}', False),
        ('{"error":"Exceeded msg rate","req_id":7}', True),
        ('{"error":"Exceeded msg rate","symbol":"BTC/USD"}', True),
    ],
)
def test_refusal_that_names_its_message_is_none_of_a_ping(refusal: str, is_lost: bool) -> None:
    """The ping under way has to be answered all the same."""
    feed = live_feed(lag_check_every=1.0)
    assert feed.due(101.0).frames == ['{"method":"ping"}']
    tell(feed, '{"method":"pong"}', at=101.1)
    assert feed.due(102.0).frames == ['{"method":"ping"}']
    tell(feed, refusal, at=102.1)
    for now in (103.5, 104.9):
        tell(feed, '{"channel":"heartbeat"}', at=now)
    assert (feed.due(105.0).lost is not None) is is_lost


def test_flapping_connections_do_not_reset_the_delays_and_stable_ones_do() -> None:
    """A link that lives for a second counts as one more failure, half a minute starts anew."""
    feed = FeedProtocol(FeedSettings(retry_jitter=0.0))
    now, delays = 0.0, []
    for lasted in (1.0, 1.0, 1.0, 30.0, 1.0):
        feed.link.attempt(now)
        feed.opened(now)
        feed.lost(now + lasted, "reset")
        delays.append(feed.link.retry_at - now - lasted)
        now = feed.link.retry_at
    assert delays == [0, 1, 2, 0, 1]


def test_blindness_is_told_once_and_measured_from_the_last_proof() -> None:
    """Failing again while blind is no news; seeing again tells how long it was."""
    feed = FeedProtocol(FeedSettings())
    assert feed.link.attempt(1.0) == [FeedConnecting(1.0, attempt=1)]
    assert feed.lost(2.0, "refused") == [FeedStale(2.0, "refused", since=2.0)]
    assert feed.link.attempt(2.0) == [FeedConnecting(2.0, attempt=2)]
    assert feed.link.state is FeedState.RECONNECTING
    assert feed.lost(3.0, "refused") == []
    feed.link.attempt(4.0)
    assert FeedBack(5.0, blind_for=3.0) in feed.opened(5.0)


@pytest.mark.parametrize("state", [FeedState.IDLE, FeedState.WAITING, FeedState.CLOSED])
def test_used_up_budget_means_waiting(state: FeedState) -> None:
    """A feed that may not connect yet is known to be down."""
    feed = FeedProtocol(FeedSettings())
    sub = feed.subscriptions.want(BTC, TICKER)
    feed.link.state = state
    feed.link.delay(500.0)
    assert (feed.link.state, feed.link.retry_at) == (FeedState.WAITING, 500.0)
    assert feed.patience(sub, 1.0) == 0


def test_patience_follows_what_is_known_about_the_link() -> None:
    """A first attempt is worth a bounded wait, a living link too, a link known to be down none."""
    feed = FeedProtocol(FeedSettings())
    sub = feed.subscriptions.want(BTC, TICKER)
    assert feed.patience(sub, 0.0) == 2.0
    feed.link.attempt(10.0)
    assert feed.patience(sub, 11.5) == 0.5
    assert feed.patience(sub, 13.0) == 0
    feed.opened(13.0)
    assert feed.patience(sub, 14.0) == 2.0
    assert feed.patience(sub, 17.0) == 0
    feed.lost(17.0, "gone")
    feed.link.attempt(17.0)
    assert feed.patience(sub, 17.0) == 0


# --- where the coming of a frame is no proof by itself -------------------------------------------


def test_proof_counts_from_when_it_was_given_and_not_from_when_frames_came() -> None:
    """Behind a broker that keeps messages, a frame may come at any time."""
    link = live_feed().link
    connected_at = link.good_until - link.settings.dead_after
    assert link.heard(connected_at + 1.0, 1, connected_at + 0.4) == []
    assert link.good_until == connected_at + 0.4 + link.settings.dead_after
    assert link.proof_age(connected_at + 1.0) == pytest.approx(0.6)


def test_frames_that_bring_no_newer_proof_prolong_nothing() -> None:
    """However many: at the bound the link is lost."""
    link = live_feed().link
    proven_at = link.good_until - link.settings.dead_after
    for tenth in range(1, 30):
        assert link.heard(proven_at + tenth / 10, 100, proven_at) is not None
        assert link.good_until == proven_at + link.settings.dead_after
    assert link.heard(proven_at + 3.0, 100, proven_at) is None
    assert link.proof_age(proven_at + 3.0) is None


def test_proof_from_the_future_is_as_good_as_now() -> None:
    """No clock of another machine is asked, but a defect must not make a price immortal."""
    link = live_feed().link
    now = link.good_until - 1.0
    assert link.heard(now, 1, now + 1000.0) == []
    assert link.good_until == now + link.settings.dead_after


def test_proof_that_is_too_old_on_its_coming_is_none() -> None:
    """A number that came back after a stop of the broker says just how long that was."""
    link = live_feed().link
    now = link.good_until - 0.5
    assert link.heard(now, 1, now - link.settings.dead_after) is None
    assert link.proof_age(now) is None


def test_suspicion_ends_with_a_young_proof_and_not_with_a_frame() -> None:
    """A frame alone leaves it as it was."""
    feed = live_feed()
    link = feed.link
    proven_at = link.good_until - link.settings.dead_after
    due = feed.due(proven_at + 2.0)
    assert [type(event) for event in due.events] == [FeedSuspect]
    assert link.heard(proven_at + 2.1, 5, proven_at) == []
    assert link.heard(proven_at + 2.2, 5, proven_at + 2.0) == [FeedLive(proven_at + 2.2)]
    assert link.state is FeedState.LIVE
