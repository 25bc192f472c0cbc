"""Tells people elsewhere, by way of the services that apprise knows, what the program has said.

One thread hears what is said and decides what goes where; each send has a short-lived thread of its
own, because a service may answer never, or one byte a minute for ever. What it must never do: make
anybody wait, let one service hold up another, or tell of itself for ever.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from krakenlink.foreign import shown
from krakenlink.machine import feed_clock
from krakenlink.once import Once
from ttslo_app.face import words
from ttslo_app.face.outbox import Day, Outbox, Parcel
from ttslo_app.face.services import DEADLINE, Address, Errand, Service
from ttslo_app.face.voice import Ear
from ttslo_app.messages import Kind, Said, Say, tell

_log = logging.getLogger(__name__)

# Of one address so many threads may hang at a time; then it is not sent to before one has ended.
_MOST_HANGING = 3
# How often it is looked after a send under way, and how long it sleeps at most, in seconds.
_GLANCE, _SLEEP = 0.1, 5.0
_LONGEST_NOTE = 120
# The hour of the daily digest, by the clock on this machine's wall.
DIGEST_HOUR = 7


class Way:
    """The way to one address: what waits, what is under way, and what hangs.

    For one thread; all moments are on `feed_clock`.

    Args:
        address: Where it leads.
        service: Sends there.
        mark: What the run is; empty for real money.
        say: Says what is wrong with it, once, and that it is well again.
    """

    def __init__(self, address: Address, service: Service, mark: str, say: Say) -> None:
        self.outbox = Outbox(address.level, mark)
        self._is_given_up = False
        self._address = address
        self._service = service
        self._say = say
        self._errand: Errand | None = None
        self._parcel: Parcel | None = None
        self._hanging: list[Errand] = []
        self._once = Once()

    def go_on(self, now: float, *, is_ending: bool = False) -> None:
        """See what became of the message under way, and send the next one if it is due."""
        if self._look(now) and is_ending:
            self._is_given_up = True
        if self._errand is not None or self._is_given_up:
            return
        self._hanging = [errand for errand in self._hanging if not errand.is_over]
        if len(self._hanging) >= _MOST_HANGING:
            return
        parcel = self.outbox.parcel(now, is_ending=is_ending)
        if parcel is not None:
            self._parcel = parcel
            self._errand = Errand(lambda: self._service.send(parcel))

    def _look(self, now: float) -> bool:
        """See what became of the message under way; tell whether it has not arrived."""
        errand, parcel = self._errand, self._parcel
        if errand is None or parcel is None:
            return False
        answer = errand.answer()
        if answer is None and now - errand.since < DEADLINE:
            return False
        self._errand = self._parcel = None
        if answer == "":
            self.outbox.sent()
            if self._once.has_healed("send"):
                tell(self._say, words.told_again(self._address.name))
            return False
        if answer is None:
            self._hanging.append(errand)
        self.outbox.failed(parcel, now, is_unknown=answer is None)
        why = f"it has not answered for {DEADLINE:.0f} s" if answer is None else answer
        if self._once.is_news("send"):
            tell(self._say, words.cannot_tell(self._address.name, why))
        return True

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to send, or nothing more is tried before the end."""
        return self._is_given_up or not self.left

    @property
    def left(self) -> int:
        """How many facts have not arrived."""
        return self.outbox.count + (len(self._parcel.facts) if self._parcel else 0)

    def wakes_at(self, now: float) -> float:
        """Return when to look again."""
        if self._errand is not None:
            return now + _GLANCE
        due = self.outbox.due_at()
        is_stuck = len(self._hanging) >= _MOST_HANGING
        return now + _SLEEP if due is None or is_stuck else due


def cleaned(note: object) -> str:
    """Return what a user noted beside a row, on one line and with nothing that acts."""
    return shown(" ".join(str(note or "").split()), _LONGEST_NOTE)


def next_digest(wall: float) -> float:
    """Return the next moment of the daily digest, both in seconds since 1970."""
    now = datetime.fromtimestamp(wall).astimezone()
    due = now.replace(hour=DIGEST_HOUR, minute=0, second=0, microsecond=0)
    return (due if due > now else due + timedelta(days=1)).timestamp()


class Notifier:
    """Tells addresses what the program says, from `start` to `stop`.

    Args:
        ways: Each address with its service.
        say: Says on screen and log what is wrong with an address; must not block.
        note_of: Returns what the user noted beside a row, by its id; any thread.
        standing: Returns how many rows are armed, and which is nearest, in words; any thread.
        mark: What the run is, such as `DRY RUN`; empty for real money.
        wall: This machine's clock, in seconds since 1970.

    Attributes:
        ear: Hears what the program says.
    """

    def __init__(
        self,
        ways: Sequence[tuple[Address, Service]],
        say: Say,
        *,
        note_of: Callable[[str], object] = lambda row: "",
        standing: Callable[[], tuple[int, str]] = lambda: (0, ""),
        mark: str = "",
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.ear = Ear()
        self._ways = [Way(address, service, mark, say) for address, service in ways]
        self._say = say
        self._note_of = note_of
        self._standing = standing
        self._wall = wall
        self._day, self._day_began = Day(), wall()
        self._digest_at = next_digest(wall())
        self._ends_at = float("inf")
        self._stopping = threading.Event()
        # A daemon: what it still has to tell at the end gets the time of `stop`.
        self._thread = threading.Thread(target=self._run, name="ttslo-notify", daemon=True)

    def start(self) -> Notifier:
        """Begin to tell."""
        self._thread.start()
        return self

    def stop(self, timeout: float) -> None:
        """Tell what is still to be told, for at most `timeout` seconds, and end. Blocks."""
        self._ends_at = time.monotonic() + timeout
        self._stopping.set()
        self.ear.hear(WAKE)
        self._thread.join(timeout)
        left = max((way.left for way in self._ways), default=0)
        if left:
            tell(self._say, words.left_untold(left))

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._do(self._turn)
        is_done = False
        while not is_done and time.monotonic() < self._ends_at:
            self._do(self._flush)
            is_done = all(way.is_done for way in self._ways)
            time.sleep(0.0 if is_done else _GLANCE / 2)

    def _do(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - who tells of trouble must outlive it
            # Without its text and its trace: there may be an address in them.
            _log.error("Notifications met an error and go on: %s", type(error).__name__)
            self._stopping.wait(_SLEEP)

    def _flush(self) -> None:
        self._hear(0.0)
        for way in self._ways:
            way.go_on(feed_clock(), is_ending=True)

    def _turn(self) -> None:
        now = feed_clock()
        self._hear(max(0.0, min(way.wakes_at(now) for way in self._ways) - now))
        if self._wall() >= self._digest_at:
            self._tell_digest()
        for way in self._ways:
            way.go_on(feed_clock())

    def _hear(self, timeout: float) -> None:
        """Take up all that was said; wait for it at most so many seconds."""
        said = self.ear.take(min(timeout, _SLEEP))
        now = feed_clock()
        while said is not None:
            self._day.take(said)
            note = cleaned(self._note_of(said.row)) if said.row else ""
            for way in self._ways:
                way.outbox.take(said, note, now)
            said = self.ear.take()
        if missed := self.ear.missed():
            for way in self._ways:
                way.outbox.missed(missed, now)

    def _tell_digest(self) -> None:
        wall = self._wall()
        self._digest_at = next_digest(wall)
        hours = max(0.0, wall - self._day_began) / 3600
        self._day_began = wall
        armed, nearest = self._standing()
        tell(self._say, words.digest(armed, nearest, self._day.told(), hours))


# Wakes the thread; nobody is told of it.
WAKE = Said(Kind.OTHER, "DEBUG", "", "", 0.0)
