"""The life of one connection after another, whatever they carry: tried, open, suspected, lost.

Pure and not thread-safe: time and chance come in as arguments. It knows no channel and no symbol.
It must never let a silence count as life: `good_until` moves on with frames alone, and what comes
later than it proves nothing.

Sources: Kraken, spot WebSocket v2 (heartbeat, ping) and its guide on connecting (read 2026-11).
"""

from __future__ import annotations

from collections import deque

from krakenlink.stream.events import (
    PING,
    Due,
    Event,
    FeedBack,
    FeedClosed,
    FeedConnecting,
    FeedLive,
    FeedStale,
    FeedSuspect,
)
from krakenlink.stream.settings import FeedSettings, retry_delay
from krakenlink.stream.states import TRANSITIONS, FeedSignal, FeedState, next_state

_NEVER = float("-inf")
_SUSPECT = FeedState.SUSPECT  # the hot path looks into no enumeration
_OPEN = frozenset({FeedState.LIVE, FeedState.SUSPECT})


class Link:
    """One connection at a time, and what is known about it.

    Attributes:
        state: Where it is in its life.
        good_until: The moment at which all that it brought stops counting, if no frame comes
            before; in the past while there is no connection.
        last_frame_at: When the last frame came; None before the first connection.
        live_since: Since when the present connection is open; None without one.
        blind_since: The last proof of life before the link was lost; None while it lives.
        retry_at: When the next attempt is due.
        failures: Attempts and short connections in a row that came to nothing.
        attempts: How often it was tried, ever.
        connections: How often that succeeded, ever.
        messages: How many messages came, ever.
    """

    def __init__(self, settings: FeedSettings) -> None:
        self.settings = settings
        self.state = FeedState.IDLE
        self.good_until = _NEVER
        self.last_frame_at: float | None = None
        self.live_since: float | None = None
        self.blind_since: float | None = None
        self.retry_at = _NEVER
        self.failures = 0
        self.attempts = 0
        self.connections = 0
        self.messages = 0
        self._connecting_since = _NEVER
        self._is_answered = False  # whether a server on the way here is known to answer pings
        self._is_slow = False  # whether its last answer came too late
        self._is_bound = False  # whether it is known for good
        self._begin_connection()

    def expect_answers(self) -> None:
        """Hold the server to its answers from the first ping on, and for good."""
        self._is_answered = self._is_bound = True

    def learn_from(self, other: Link) -> None:
        """Take over what is known of the server, which is `other`'s, too."""
        self._is_answered, self._is_slow = other._is_answered, other._is_slow
        self._is_bound = other._is_bound

    def _begin_connection(self) -> None:
        """Forget what belongs to one connection."""
        self._pings: deque[float] = deque()  # when each left that is under way
        self._ask_at = self._in_time_at = _NEVER
        self._has_ponged = False

    def step(self, signal: FeedSignal) -> None:
        """Go where `signal` leads."""
        self.state = next_state(TRANSITIONS, self.state, signal)

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self.state in _OPEN

    # -- it comes and goes

    def attempt(self, now: float) -> list[Event]:
        """An attempt to connect begins."""
        self.step(FeedSignal.ATTEMPT)
        self._connecting_since = now
        self.attempts += 1
        return [FeedConnecting(now, self.failures + 1)]

    def delay(self, until: float) -> None:
        """Attempts have to wait: the budget is used up."""
        self.step(FeedSignal.DELAY)
        self.retry_at = until

    def opened(self, now: float) -> list[Event]:
        """The handshake is done, which is a first proof of life."""
        self.step(FeedSignal.OPENED)
        self._begin_connection()
        self.connections += 1
        self.live_since = self._in_time_at = now
        # Not at once: the snapshots of all that is asked for anew may take their seconds.
        self._ask_at = now + self.settings.lag_check_every
        self._heard(now)
        events: list[Event] = [FeedLive(now)]
        if self.blind_since is not None:
            events.append(FeedBack(now, now - self.blind_since))
            self.blind_since = None
        return events

    def heard(
        self, now: float, count: int = 1, proven_at: float | None = None
    ) -> list[Event] | None:
        """Frames came, `count` of them. None when they came too late to prove anything.

        `proven_at` is when Kraken was last known to live, where that is not `now` itself.

        After a silence as long as death - the machine slept, the process was stopped - what the
        socket still holds is as old as the silence: the link has to be made anew.
        """
        if now >= self.good_until:
            return None
        self.messages += count
        if proven_at is None:
            # As `_heard` does: the hot path.
            self.last_frame_at, self.good_until = now, now + self.settings.dead_after
        else:
            self._heard(min(now, proven_at))
            if now >= self.good_until:
                return None
            if now - proven_at >= self.settings.ping_after:
                return []  # as silent as before
        if self.state is _SUSPECT:
            self.step(FeedSignal.FRAME)
            return [FeedLive(now)]
        return []

    def _heard(self, now: float) -> None:
        self.last_frame_at = now
        self.good_until = now + self.settings.dead_after

    def lost(
        self, now: float, reason: str, chance: float = 0.0, *, at_least: float = 0.0
    ) -> list[Event]:
        """It is gone, or could not be made: at this moment all that it brought stops counting.

        Args:
            now: The moment.
            reason: A sentence for people.
            chance: A random number from 0 to 1 for the jitter.
            at_least: The shortest delay that is decent after such an end, in seconds.
        """
        since = self.last_frame_at if self.is_open else None
        if since is not None and self._is_lagging(now):
            since = min(since, self._in_time_at)
            # Where nothing says that the line is slow, perhaps pings are answered no more.
            self._is_answered = self._has_ponged or self._is_slow or self._is_bound
        self.step(FeedSignal.LOST)
        self.good_until = _NEVER
        if self.live_since is not None and now - self.live_since >= self.settings.stable_after:
            self.failures = 0
        self.live_since = None
        self._begin_connection()
        self.failures += 1
        self.retry_at = now + max(at_least, retry_delay(self.settings, self.failures, chance))
        return self._blind(now, reason, since)

    def _blind(self, now: float, reason: str, since: float | None) -> list[Event]:
        if self.blind_since is not None:
            return []  # it was said already, at the first failure
        self.blind_since = now if since is None else since
        return [FeedStale(now, reason, self.blind_since)]

    def close(self, now: float) -> list[Event]:
        """Stop, and be as new."""
        was_closed = self.state is FeedState.CLOSED
        self.step(FeedSignal.STOP)
        self.good_until = _NEVER
        self._begin_connection()
        self.live_since = self.last_frame_at = self.blind_since = None
        self.failures = 0
        self.retry_at = _NEVER
        return [] if was_closed else [FeedClosed(now)]

    def abandon(self, now: float, reason: str) -> list[Event]:
        """It is gone in no orderly way, whatever its state: nothing counts, nobody waits for it."""
        since = self.last_frame_at if self.is_open else None
        self.state = FeedState.WAITING
        self.good_until = _NEVER
        self.live_since = None
        self._begin_connection()
        self.failures += 1
        self.retry_at = now + retry_delay(self.settings, max(2, self.failures), 0.0)
        return self._blind(now, reason, since)

    # -- whether it lives

    def proof_age(self, now: float) -> float | None:
        """Return the seconds since the last proof of life; None where it does not hold now."""
        if self.last_frame_at is None or now >= self.good_until:
            return None
        return max(0.0, now - self.last_frame_at)

    def ponged(self, now: float) -> None:
        """The answer to a ping came: all that was sent before it has come, too.

        One that came too late shows how old all of that is: nothing counts any more, and the next
        look ends the link.
        """
        self._has_ponged = self._is_answered = True
        self._is_slow = self._is_lagging(now)
        if self._is_slow:
            self.good_until = _NEVER
        elif self._pings:
            self._in_time_at = self._pings.popleft()

    def forget_ping(self) -> None:
        """A ping under way may have been refused: nothing follows from it; another leaves soon."""
        if self._pings:
            self._ask_at = min(self._ask_at, self._pings[0] + self.settings.dead_after)
            self._pings.clear()

    def check(self, now: float, due: Due) -> None:
        """Put into `due` what its silence or lag at `now` calls for. There is a connection."""
        settings = self.settings
        assert self.last_frame_at is not None
        silent_for = now - self.last_frame_at
        if silent_for >= settings.dead_after:
            due.lost = f"no frame for {silent_for:.1f} s"
        elif self._is_lagging(now):
            due.lost = f"frames come more than {settings.dead_after:g} s late"
        elif self.state is FeedState.LIVE and silent_for >= settings.ping_after:
            self.step(FeedSignal.SILENCE)
            self._ping(now, due)
            due.events.append(FeedSuspect(now, silent_for))
        elif now >= self._ask_at:
            self._ping(now, due)

    def next_due(self) -> float:
        """Return the moment at which `check` has work again, if nothing happens before."""
        settings = self.settings
        assert self.last_frame_at is not None  # there is a connection whenever this is asked
        is_calm = self.state is FeedState.LIVE
        moments = [
            self.last_frame_at + settings.ping_after if is_calm else self.good_until,
            self._ask_at,
        ]
        if self._is_answered and self._pings:
            moments.append(self._pings[0] + settings.dead_after)
        return min(moments)

    def _is_lagging(self, now: float) -> bool:
        return self._is_answered and self._is_overdue(now)

    def _is_overdue(self, now: float) -> bool:
        return bool(self._pings) and now - self._pings[0] >= self.settings.dead_after

    def _ping(self, now: float, due: Due) -> None:
        self._ask_at = now + self.settings.lag_check_every
        if not self._is_overdue(now):  # else the next answer is too late, whichever it is
            self._pings.append(now)
        due.frames.append(PING)

    def patience(self, now: float) -> float:
        """Return for how many seconds what it may bring is worth waiting; 0 for not at all."""
        if self.state is FeedState.CONNECTING:
            return max(0.0, self._connecting_since + self.settings.connect_patience - now)
        if self.state in (FeedState.IDLE, FeedState.CLOSED):  # the thread is about to begin
            return self.settings.connect_patience
        return max(0.0, self.good_until - now) if self.is_open else 0.0
