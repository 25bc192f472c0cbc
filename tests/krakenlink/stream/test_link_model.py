"""The link beside a model of it: silence and lateness prove nothing, whatever comes in between."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krakenlink.stream.events import (
    PING,
    Due,
    FeedBack,
    FeedClosed,
    FeedConnecting,
    FeedLive,
    FeedStale,
    FeedSuspect,
)
from krakenlink.stream.link import Link
from krakenlink.stream.settings import FeedSettings, retry_delay
from krakenlink.stream.states import FeedState
from tests.kits.common.examples import many

NUMBERS = FeedSettings()
DEAD, PING_AFTER = NUMBERS.dead_after, NUMBERS.ping_after
# Seconds after which a connection ends whose first ping has no answer, and that one is looked at.
CAUGHT, BELIEVED = NUMBERS.lag_check_every + DEAD, 60.0
OPEN = (FeedState.LIVE, FeedState.SUSPECT)


@dataclass
class _Truth:
    """What is so: when the last frame came, since when nobody sees, and how often it failed."""

    is_open: bool = False
    last_frame: float | None = None
    opened_at: float = 0.0
    blind_since: float | None = None
    failures: int = 0
    attempts: int = 0
    connections: int = 0
    messages: int = 0


def _connect(link: Link, truth: _Truth, now: float) -> None:
    assert link.attempt(now) == [FeedConnecting(now, truth.failures + 1)]
    assert link.proof_age(now) is None
    events = link.opened(now)
    back = [] if truth.blind_since is None else [FeedBack(now, now - truth.blind_since)]
    assert events == [FeedLive(now), *back]
    truth.attempts += 1
    truth.connections += 1
    truth.is_open, truth.blind_since = True, None
    truth.last_frame = truth.opened_at = now


def _lose(link: Link, truth: _Truth, now: float) -> None:
    assert truth.last_frame is not None
    if now - truth.opened_at >= NUMBERS.stable_after:
        truth.failures = 0
    truth.failures += 1
    assert link.lost(now, "gone") == [FeedStale(now, "gone", truth.last_frame)]
    truth.is_open, truth.blind_since = False, truth.last_frame
    assert link.retry_at == now + retry_delay(NUMBERS, truth.failures, 0.0)


_steps = st.tuples(
    st.sampled_from(["frame", "frame", "frames", "connect", "lose", "check", "close", "abandon"]),
    st.sampled_from([0.0, 0.5, 1.0, 1.9, 2.0, 2.9, 3.0, 3.1, 31.0]),
)


@settings(max_examples=many(150))
@given(st.lists(_steps, max_size=30))
def test_proof_is_never_older_than_death(steps: list[tuple[str, float]]) -> None:
    """A frame proves what comes within three seconds of the one before, and nothing else does."""
    link, truth, now = Link(NUMBERS), _Truth(), 100.0
    for what, pause in steps:
        now += pause
        is_alive = truth.is_open and truth.last_frame is not None and now - truth.last_frame < DEAD
        if what in ("frame", "frames"):
            count = 1 if what == "frame" else 7
            found = link.heard(now, count)
            assert (found is not None) == is_alive
            if is_alive:
                truth.last_frame = now
                truth.messages += count
        elif what == "connect" and not truth.is_open:
            _connect(link, truth, now)
        elif what == "lose" and truth.is_open:
            _lose(link, truth, now)
        elif what == "check" and truth.is_open:
            due = Due()
            link.check(now, due)
            assert (due.lost is not None) == (not is_alive)
        elif what == "close":
            assert link.close(now) in ([], [FeedClosed(now)])
            assert link.close(now) == []
            truth.is_open, truth.last_frame, truth.blind_since, truth.failures = (
                False,
                None,
                None,
                0,
            )
        elif what == "abandon":
            told = link.abandon(now, "died")
            truth.failures += 1
            if truth.blind_since is None:
                since = truth.last_frame if truth.is_open else now
                assert since is not None
                assert told == [FeedStale(now, "died", since)]
                truth.blind_since = since
            else:
                assert told == []
            truth.is_open = False
        is_alive = truth.is_open and truth.last_frame is not None and now - truth.last_frame < DEAD
        assert link.is_open == truth.is_open == (link.state in OPEN)
        age = now - truth.last_frame if is_alive and truth.last_frame is not None else None
        assert link.proof_age(now) == age
        assert (link.live_since is not None) == truth.is_open
        assert link.blind_since == truth.blind_since
        found_counts = (link.failures, link.attempts, link.connections, link.messages)
        assert found_counts == (truth.failures, truth.attempts, truth.connections, truth.messages)


# --- silence and lag, at their bounds ------------------------------------------------------------


def opened(at: float = 100.0) -> Link:
    """Return a link that has just been made."""
    link = Link(NUMBERS)
    link.attempt(at)
    link.opened(at)
    return link


def looked(link: Link, now: float) -> tuple[int, list[type], bool]:
    """Return how many pings a look sends, what it tells, and whether the link is lost by it."""
    due = Due()
    link.check(now, due)
    assert set(due.frames) <= {PING}
    return len(due.frames), [type(event) for event in due.events], due.lost is not None


@pytest.mark.parametrize(
    ("silent_for", "found"),
    [
        (0.0, (0, [], False)),
        (PING_AFTER - 0.01, (0, [], False)),
        (PING_AFTER, (1, [FeedSuspect], False)),
        (DEAD - 0.01, (1, [FeedSuspect], False)),
        (DEAD, (0, [], True)),
        (DEAD + 100, (0, [], True)),
    ],
)
def test_silence_is_asked_about_from_two_seconds_and_deadly_from_three(
    silent_for: float, found: tuple[int, list[type], bool]
) -> None:
    """To the moment, and the look after it is not before it is named."""
    link = opened()
    assert link.next_due() == 100.0 + PING_AFTER
    assert looked(link, 100.0 + silent_for) == found
    if found[1]:
        assert link.next_due() == 100.0 + DEAD
        assert looked(link, 100.0 + silent_for) == (0, [], False)  # it has been asked


@pytest.mark.parametrize(
    ("has_ponged", "delay", "is_lost"),
    [
        (True, DEAD - 0.01, False),
        (True, DEAD, True),
        (False, DEAD, False),
        (False, 100.0, False),
    ],
)
def test_ping_that_has_no_answer_shows_that_prices_are_late(
    has_ponged: bool, delay: float, is_lost: bool
) -> None:
    """Where the server has ever answered a ping."""
    link = opened()
    if has_ponged:
        link.ponged(100.5)
    for second in range(101, 111):
        link.heard(float(second))
    asked_at = 100.0 + NUMBERS.lag_check_every
    assert looked(link, asked_at) == (1, [], False)
    if has_ponged:
        assert link.next_due() == asked_at + PING_AFTER
    now: float = asked_at
    while now < asked_at + delay - 1:
        now += 1
        link.heard(now)
    assert looked(link, asked_at + delay)[2] is is_lost


def test_server_that_has_answered_is_held_to_it_on_the_next_connection() -> None:
    """That one needs no answer first: a line that cannot keep up may bring none for long."""
    assert held(Link(NUMBERS), 100.0) == BELIEVED
    link = Link(NUMBERS)
    assert held(link, 100.0, answers_after=1) > CAUGHT  # all but the last of its pings
    assert held(link, 200.0) == CAUGHT


@pytest.mark.parametrize(("delay", "is_lost"), [(DEAD - 0.01, False), (DEAD, True), (20.0, True)])
def test_first_answer_of_all_that_is_late_shows_that_prices_are(
    delay: float, is_lost: bool
) -> None:
    """Before it nobody could know; a line that cannot keep up is believed no longer than that."""
    link = opened()
    asked_at = 100.0 + NUMBERS.lag_check_every
    for second in range(101, 111):
        link.heard(float(second))
    assert looked(link, asked_at) == (1, [], False)
    now = asked_at
    while now < asked_at + delay:
        now = min(now + 1.0, asked_at + delay)
        assert link.heard(now) == []
        assert not looked(link, now)[2]
    link.ponged(now)
    assert looked(link, now)[2] is is_lost


def test_server_that_answers_no_more_is_held_to_it_for_one_connection() -> None:
    """It may have been replaced by one that never does: then prices go on."""
    link = opened()
    looked(link, 102.0)
    link.ponged(102.0)
    link.lost(110.0, "reset")
    assert [held(link, began) for began in (110.0, 200.0)] == [CAUGHT, BELIEVED]


def test_nothing_counts_from_a_late_answer_on() -> None:
    """What stands behind it in the same read is as old as what stood before it."""
    link = opened()
    looked(link, 102.0)
    link.heard(102.5)
    link.heard(105.0)
    assert link.proof_age(105.0) == 0.0
    link.ponged(105.0)
    assert link.proof_age(105.0) is None
    assert link.heard(105.0) is None
    assert link.next_due() <= 105.0


def held(link: Link, began: float, *, answers_after: float | None = None) -> float:
    """Let frames come all the time on a new connection; return how long it is believed."""
    link.attempt(began)
    link.opened(began)
    pinged_at = None
    for step in range(1, int(BELIEVED) + 1):
        now = began + step
        link.heard(now)
        if pinged_at is not None and answers_after == now - pinged_at:
            link.ponged(now)
        pings, _, is_lost = looked(link, now)
        if is_lost:
            link.lost(now, "late")
            return now - began
        pinged_at = now if pings and pinged_at is None else pinged_at
    link.lost(began + BELIEVED, "reset")
    return BELIEVED


def test_server_that_answered_late_is_held_to_it_until_it_answers_in_time() -> None:
    """No answer is the line's doing then, and no connection over it is believed again."""
    link = Link(NUMBERS)
    assert held(link, 100.0, answers_after=20) == 30
    assert [held(link, began) for began in (200.0, 300.0, 400.0)] == [CAUGHT] * 3
    assert held(link, 500.0, answers_after=1) > CAUGHT
    assert [held(link, began) for began in (600.0, 700.0)] == [CAUGHT, BELIEVED]


def test_server_that_is_known_for_good_is_held_from_its_first_ping_on() -> None:
    """However often no answer comes; and whoever learns of it does the same."""
    link, other = Link(NUMBERS), Link(NUMBERS)
    link.expect_answers()
    other.learn_from(link)
    for one in (link, other):
        assert [held(one, began) for began in (100.0, 200.0, 300.0)] == [CAUGHT] * 3


def test_silence_is_no_sign_that_pings_are_answered_no_more() -> None:
    """Nothing came at all, and no ping was given its time."""
    link = opened()
    looked(link, 102.0)
    link.ponged(102.1)
    link.lost(102.5, "reset")
    link.attempt(103.0)
    link.opened(103.0)
    assert looked(link, 105.0)[0] == 1
    assert looked(link, 106.0)[2]
    link.lost(106.0, "no frame")
    assert held(link, 110.0) == CAUGHT


def test_line_that_is_late_is_blind_since_its_last_answer_in_time() -> None:
    """What was sent after that ping left may not have come; without one, since the connection."""
    link = opened()
    link.heard(101.9)
    assert looked(link, 103.9)[0] == 1
    link.heard(104.0)
    link.ponged(104.0)
    for second in range(105, 114):
        link.heard(float(second))
        is_lost = looked(link, float(second) + 0.9)[2]
        assert not is_lost
    for second in (114, 115, 116):
        link.heard(float(second))
        is_lost = looked(link, float(second) + 0.9)[2]
    assert is_lost
    assert link.lost(116.9, "late") == [FeedStale(116.9, "late", 103.9)]
    link.attempt(120.0)
    link.opened(120.0)
    for second in range(121, 133):
        link.heard(float(second))
        looked(link, float(second))
    link.heard(132.9)
    assert looked(link, 133.0)[2]
    assert link.lost(133.0, "late") == [FeedStale(133.0, "late", 120.0)]


def test_answer_to_one_ping_is_never_taken_for_that_to_a_later_one() -> None:
    """A slow line that falls silent again and again would seem to be in time for ever."""
    link, under_way, is_lost, step = opened(), list[float](), False, 0
    while not is_lost and step < 600:
        step += 1
        now, late_by = 100 + step / 10, min(2.0 + step / 100, 5.0)
        if step % 24 == 0:  # nothing comes for 2.4 s, and each is asked about after 2
            link.heard(now)
            while under_way and under_way[0] + late_by <= now:
                under_way.pop(0)
                link.ponged(now)
        pings, _, is_lost = looked(link, now)
        under_way += [now] * pings
    assert is_lost
    assert late_by < 4


def test_lag_that_is_never_to_be_asked_for_is_not() -> None:
    """And the moment at which something is due is always a number."""
    link = Link(FeedSettings(lag_check_every=float("inf")))
    link.attempt(100.0)
    link.opened(100.0)
    for second in range(101, 200):
        link.heard(float(second))
        assert looked(link, float(second)) == (0, [], False)
        assert link.next_due() == second + PING_AFTER


def test_first_ping_under_way_counts_and_its_answer_ends_that() -> None:
    """A second question does not make the first one's answer any younger."""
    link = opened()
    link.ponged(100.0)
    for now in (102.0, 102.9):
        looked(link, now)
    link.heard(102.95)
    assert not looked(link, 104.99)[2]
    link.heard(104.99)
    assert looked(link, 105.0)[2]  # three seconds after the first
    link.ponged(104.99)
    assert not looked(link, 105.0)[2]


@pytest.mark.parametrize("ends", ["lost", "closed", "abandoned"])
def test_ping_of_an_earlier_connection_is_forgotten(ends: str) -> None:
    """Nothing follows from it for the present one."""
    link = opened()
    link.ponged(100.0)
    looked(link, 102.0)
    if ends == "lost":
        link.lost(103.0, "gone")
    elif ends == "closed":
        link.close(103.0)
    else:
        link.abandon(103.0, "died")
    link.attempt(104.0)
    link.opened(104.9)
    assert looked(link, 106.0) == (0, [], False)


def test_ping_that_may_have_been_refused_is_forgotten_and_soon_asked_anew() -> None:
    """Else nobody would know for long how late prices come."""
    link = opened()
    link.ponged(100.0)
    looked(link, 102.0)
    link.forget_ping()
    for now in (102.5, 104.9):
        link.heard(now)
    assert looked(link, 104.99) == (0, [], False)
    assert looked(link, 105.0) == (1, [], False)
    for now in (106.0, 107.9):
        link.heard(now)
    assert looked(link, 108.0) == (0, [], True)
    link.ponged(102.6)
    link.forget_ping()  # none is under way, and none is asked for
    assert looked(link, 108.0) == (0, [], False)


# --- who waits, and how long ---------------------------------------------------------------------


@pytest.mark.parametrize("failures", range(1, 12))
@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_delays_grow_to_the_last_and_are_shortened_by_chance(failures: int, chance: float) -> None:
    """The first retry is at once; no delay is ever longer than the table's."""
    whole = (0.0, 1.0, 2.0, 5.0, 5.0, 10.0, 20.0, 30.0)[min(failures, 8) - 1]
    assert retry_delay(NUMBERS, failures, chance) == whole * (1 - chance / 4)


@pytest.mark.parametrize(
    ("lasted", "at_least", "delay"),
    [(NUMBERS.stable_after, 0.0, 0.0), (29.9, 0.0, 2.0), (29.9, 30.0, 30.0), (31.0, 5.0, 5.0)],
)
def test_connection_that_lasted_begins_the_delays_anew(
    lasted: float, at_least: float, delay: float
) -> None:
    """Shorter ones are flapping; and no delay is shorter than is decent after such an end."""
    link = Link(NUMBERS)
    link.attempt(100.0)
    link.lost(100.0, "no route")
    link.attempt(100.0)
    assert link.lost(100.0, "no route") == []  # it was said already
    link.attempt(101.0)
    link.opened(200.0)
    link.lost(200.0 + lasted, "gone", at_least=at_least)
    assert link.retry_at == 200.0 + lasted + delay


def test_link_that_never_was_is_blind_since_the_attempt_failed() -> None:
    """And what was blind once says so once, until it sees."""
    link = Link(NUMBERS)
    link.attempt(100.0)
    assert link.lost(101.0, "no route") == [FeedStale(101.0, "no route", 101.0)]
    link.delay(110.0)
    assert (link.state, link.retry_at, link.patience(102.0)) == (FeedState.WAITING, 110.0, 0.0)
    link.attempt(110.0)
    assert link.patience(110.0) == 0.0  # known to be down: nobody waits
    assert link.opened(111.0) == [FeedLive(111.0), FeedBack(111.0, 10.0)]


@pytest.mark.parametrize(("after", "left"), [(0.0, 2.0), (1.5, 0.5), (2.0, 0.0), (9.0, 0.0)])
def test_first_connect_is_worth_a_little_patience(after: float, left: float) -> None:
    """Then callers have REST."""
    link = Link(NUMBERS)
    assert link.patience(100.0) == NUMBERS.connect_patience
    link.attempt(100.0)
    assert link.patience(100.0 + after) == left


def test_abandoned_link_waits_and_is_blind_since_its_last_proof() -> None:
    """Whatever its state was; it says so once, and the second time is blind since the first."""
    link = opened(104.0)
    assert link.abandon(105.0, "died") == [FeedStale(105.0, "died", 104.0)]
    assert (link.is_open, link.proof_age(105.0), link.blind_since) == (False, None, 104.0)
    assert link.retry_at == 106.0  # not at once: it may end the same way again
    assert link.abandon(107.0, "died") == []
    assert (link.blind_since, link.retry_at) == (104.0, 108.0)
    link.attempt(108.0)
    assert link.opened(109.0) == [FeedLive(109.0), FeedBack(109.0, 5.0)]


def test_link_that_is_abandoned_before_it_ever_was_is_blind_since_then() -> None:
    """There has been no proof before."""
    link = Link(NUMBERS)
    assert link.abandon(105.0, "died") == [FeedStale(105.0, "died", 105.0)]
    link.attempt(106.0)
    assert link.lost(107.0, "no route") == []  # it was said already
