"""The watchdog: says which crossing has no order yet, for how long, and what the cause seems to be.

It has a thread of its own, because it is there for the case that another one hangs: in a disk that
does not answer, in a call, in a lock. It reads what those threads leave behind and waits for none
of their locks. What it must never do: place anything, or keep silent because another one does.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ttslo_app.clocks import Clocks
from ttslo_app.messages import BookChange, BookFired, Crossing, Say, Sentence, tell
from ttslo_app.run import watchdog_words as words

_log = logging.getLogger(__name__)

# It looks this often; a crossing without an order is said at the first of these ages, and later
# at three times the last one, in seconds.
_BEAT, _FIRST, _SLOWER, _SLOWEST = 0.5, 5.0, 3.0, 600.0
_FEW = 64  # cases that are over may lie about before they are cleared away
# An order thread that is at one thing for so long hangs, whether anything was crossed or not.
_HANGS = 30.0
# What becomes of a crossing that has its order, or will never have one, which was said then.
_OVER = frozenset({"placed", "closed", "disarmed"})


class Watched(Protocol):
    """What it reads of the order thread: references that are replaced whole."""

    @property
    def state(self) -> Mapping[str, Mapping[str, str]]:
        """The rows of state.csv, by id."""
        ...

    @property
    def doing(self) -> tuple[str, float]:
        """The step that it is at, and since when on the monotonic clock; empty while it waits."""
        ...

    @property
    def backlog(self) -> int:
        """How many messages wait for it."""
        ...


@dataclass(slots=True)
class _Case:
    """A crossing that was handed to the order thread.

    Attributes:
        since: When it was seen, on the monotonic clock.
        next_at: The age at which it is said next.
        is_over: Whether it has its order, or will have none.
    """

    crossing: Crossing
    since: float
    next_at: float = _FIRST
    is_over: bool = False


class Watchdog:
    """Watches crossings from the moment they are seen until their orders stand.

    Args:
        worker: The order thread.
        clocks: The clocks.
        say: Takes a level and a sentence for a person; must not block.
    """

    def __init__(self, worker: Watched, clocks: Clocks, say: Say) -> None:
        self._worker = worker
        self._clocks = clocks
        self._say = say
        # Changed by the thread that reads prices alone; whoever looks takes a copy first.
        self._cases: dict[str, _Case] = {}
        self._many = _FEW
        self._hangs_since: float | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    # --- the thread that reads prices ----------------------------------------------------------

    def note(self, crossing: Crossing) -> None:
        """Watch a crossing. Never blocks."""
        since = self._clocks.monotonic() if crossing.seen_at is None else crossing.seen_at
        self._cases[crossing.key] = _Case(crossing, since)
        if len(self._cases) > self._many:
            # Now and then, or each of a thousand crossings at once would wait for all before it.
            for rule_id in [i for i, case in self._cases.items() if case.is_over]:
                del self._cases[rule_id]
            self._many = max(_FEW, 2 * len(self._cases))

    def take_back(self, change: BookChange) -> None:
        """Note that the order thread has armed a rule anew, or taken it away. Never blocks."""
        rule_id = change.rule_id if not hasattr(change, "rule") else change.rule.id
        case = self._cases.get(rule_id)
        if case is not None and not isinstance(change, BookFired):
            case.is_over = True

    # --- its own thread ------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread."""
        # A daemon: it sleeps, and owns nothing that would have to be saved.
        self._thread = threading.Thread(target=self._run, name="ttslo-watchdog", daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End the thread; wait for it at most `timeout` seconds."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopping.wait(_BEAT):
            try:
                self.look()
            except Exception:  # noqa: BLE001 - who watches the others must outlive every surprise
                _log.exception("The watchdog met an error and goes on")

    def look(self) -> None:
        """Say what is to be said at this moment. Never blocks."""
        now = self._clocks.monotonic()
        for rule_id, case in list(self._cases.items()):
            age = now - case.since
            if age < case.next_at or self._is_over(rule_id, case):
                continue
            case.next_at = age + min(age * (_SLOWER - 1), _SLOWEST)
            tell(self._say, words.no_order_yet(case.crossing, age, self._cause(rule_id)))
        self._look_at_thread(now)

    def _look_at_thread(self, now: float) -> None:
        """Say once that the order thread hangs, and once that it goes on.

        Where a crossing waits for it that was said already, with the cause.
        """
        step, since = self._worker.doing
        if step and now - since >= _HANGS:
            if not self.orderless() and self._hangs_since != since:
                self._hangs_since = since
                backlog = self._worker.backlog
                tell(self._say, words.order_thread_hangs(step, now - since, backlog))
        elif self._hangs_since is not None:
            self._hangs_since = None
            tell(self._say, words.ORDER_THREAD_GOES_ON)

    def _is_over(self, rule_id: str, case: _Case) -> bool:
        """Tell whether a crossing has its order, or will have none."""
        if not case.is_over and self._state_of(rule_id).get("rule_state") in _OVER:
            case.is_over = True
        return case.is_over

    def _state_of(self, rule_id: str) -> Mapping[str, str]:
        return self._worker.state.get(rule_id) or {}

    def _cause(self, rule_id: str) -> str:
        cells, (step, since) = self._state_of(rule_id), self._worker.doing
        took = self._clocks.monotonic() - since
        return words.cause_of_delay(
            step, took, cells.get("rule_state", ""), cells.get("detail", "")
        )

    # --- any thread ----------------------------------------------------------------------------

    def orderless(self) -> dict[str, float]:
        """Return how long ago each rule without its order was crossed, in seconds, by id."""
        now = self._clocks.monotonic()
        return {
            rule_id: max(0.0, now - case.since)
            for rule_id, case in list(self._cases.items())
            if not self._is_over(rule_id, case)
        }

    def last_words(self) -> list[Sentence]:
        """Return what is to be said where the program ends and the order thread does not."""
        step, _ = self._worker.doing
        cases = list(self._cases.items())
        open_cases = [case for rule_id, case in cases if not self._is_over(rule_id, case)]
        if not open_cases:
            return [words.order_thread_left(step)]
        now = self._clocks.monotonic()
        return [
            words.ends_without_order(
                case.crossing,
                now - case.since,
                step,
                self._state_of(case.crossing.key).get("rule_state", ""),
            )
            for case in open_cases
        ]


def watched(watchdog: Watchdog, submit: Callable[..., None]) -> Callable[..., None]:
    """Return `submit`, each crossing of which is watched before it is handed over."""

    def submit_watched(message: object) -> None:
        if isinstance(message, Crossing):
            watchdog.note(message)
        submit(message)

    return submit_watched
