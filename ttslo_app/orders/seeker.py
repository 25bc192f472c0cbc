"""The thread that asks Kraken what it knows of orders, so that no crossing of others waits for it.

A look may take as long as Kraken likes; the order of another row must leave meanwhile. One look is
under way at a time. What it must never do: decide anything. What Kraken answered goes to the order
thread, which owns every life.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from ttslo_app.messages import Looked, Message
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
        take: Callable[[Message], None],
        step: Callable[[str], None],
    ) -> None:
        self._exchange = exchange
        self._now = now
        self._take = take
        self._step = step
        self._wanted: queue.SimpleQueue[Callable[[], Message] | None] = queue.SimpleQueue()

    def start(self) -> None:
        """Start the thread, where there is somebody to ask."""
        if self._exchange is None:
            return
        # A daemon: a process that is told to end must not hang on an answer from Kraken.
        threading.Thread(target=self._run, name="ttslo-finder", daemon=True).start()

    def stop(self) -> None:
        """Let the thread end after the look that is under way. Does not wait for it."""
        self._wanted.put(None)

    def ask(self, question: Callable[[], Message]) -> None:
        """Have a question asked, after those before it. Never blocks; any thread.

        Args:
            question: Asks, and returns what is to be told; must not raise.
        """
        self._wanted.put(question)

    def _run(self) -> None:
        while (question := self._wanted.get()) is not None:
            self._take(question())

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
