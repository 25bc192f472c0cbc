"""The thread that asks Kraken for orders of unknown outcome, so that no crossing waits for a look.

A look may take as long as Kraken likes; the order of another row must leave meanwhile. One look is
under way at a time. What it must never do: decide anything. What Kraken answered goes to the order
thread, which owns every life.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from ttslo_app.messages import Looked
from ttslo_app.orders.life import Life
from ttslo_app.orders.ports import Exchange


class Seeker:
    """Looks for orders, one after another.

    Args:
        exchange: Kraken; None where there is no key, and nobody looks.
        now: Seconds that only ever grow.
        take: Takes what came of a look. Called from that thread; must not block.
        step: Called at each step by its name, for tests that end the program there.
    """

    def __init__(
        self,
        exchange: Exchange | None,
        now: Callable[[], float],
        take: Callable[[Looked], None],
        step: Callable[[str], None],
    ) -> None:
        self._exchange = exchange
        self._now = now
        self._take = take
        self._step = step
        self._wanted: queue.SimpleQueue[Life | None] = queue.SimpleQueue()

    def start(self) -> None:
        """Start the thread, where there is somebody to ask."""
        if self._exchange is None:
            return
        # A daemon: a process that is told to end must not hang on an answer from Kraken.
        threading.Thread(target=self._run, name="ttslo-finder", daemon=True).start()

    def stop(self) -> None:
        """Let the thread end after the look that is under way. Does not wait for it."""
        self._wanted.put(None)

    def look_for(self, life: Life) -> None:
        """Have the order of a life looked for, after those before it. Never blocks; any thread."""
        self._wanted.put(life)

    def _run(self) -> None:
        while (life := self._wanted.get()) is not None:
            self._take(self.look(life))

    def look(self, life: Life) -> Looked:
        """Look for the order of a life. Blocks for Kraken's answers, on the caller's thread."""
        self._step("looking")
        began = self._now()
        try:
            assert self._exchange is not None  # nothing is looked for without one
            assert life.order is not None  # `read_life` takes no unsettled life without one
            sighting = self._exchange.find(life.cl_ord_id, life.order)
        except Exception as error:  # noqa: BLE001 - an answer that no code expected says nothing
            return Looked(life.id, life.cl_ord_id, began, None, error)
        self._step("looked")
        return Looked(life.id, life.cl_ord_id, began, sighting)
