"""Events for a coroutine: the feed's thread wakes an event loop, and does nothing else for it.

No second connection, no thread more, and nothing that waits: a loop that is closed, or one whose
coroutine never reads, costs the feed an entry in a queue, up to a bound.

Source: Python, asyncio event loops (read 2026-11).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Self

from krakenlink.errors import KrakenError
from krakenlink.stream.events import Event, FeedClosed
from krakenlink.stream.reader import FeedReader

if TYPE_CHECKING:  # who is no coroutine loads nothing of it
    import asyncio

_log = logging.getLogger(__name__)

MOST_EVENTS = 100_000
"""How many events wait for a coroutine; somebody who has left more than these reads none."""


class LoopQueue(SimpleQueue[Any]):
    """A queue whose entries wake a coroutine.

    Args:
        most: How many entries it takes.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self._waiter: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None
        self.fate = ""  # why it takes nothing any more
        self.on_end: Callable[[], None] = _nothing

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Take an entry, and wake who waits. Never waits; called by the feed's thread."""
        if self.fate:
            return
        if self.qsize() >= self._most:
            self._end(f"{self._most} events were never read")
            return
        super().put(item)
        waiter, self._waiter = self._waiter, None
        if waiter is None:
            return
        loop, future = waiter
        try:
            loop.call_soon_threadsafe(_wake, future)
        except RuntimeError:
            self._end("its event loop is closed")

    def _end(self, why: str) -> None:
        self.fate = why
        _log.warning("A reader of events hears no more: %s", why)
        self.on_end()
        with suppress(Empty):  # the coroutine may take the last of them meanwhile
            while True:
                self.get_nowait()

    async def wait(self) -> None:
        """Wait until there may be an entry.

        Raises:
            RuntimeError: If another coroutine waits: one of the two would never be woken.
        """
        import asyncio  # whoever is here has it loaded

        loop = asyncio.get_running_loop()
        before = self._waiter
        if before is not None and not (before[1].done() or before[0].is_closed()):
            raise RuntimeError(
                "another coroutine waits for these events; let each have a stream of its own, by "
                "`provider.events()`"
            )
        future = loop.create_future()
        self._waiter = (loop, future)
        if self.empty() and not self.fate:  # asked again, since one may have come in between
            await future
        self._waiter = None


def _nothing() -> None:
    pass


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class EventStream:
    """The events of a feed, for `async for`; one coroutine reads it.

    It hears from the moment at which it is made, and is closed with `aclose` or `async with`, or by
    whoever drops it.

    Args:
        open_feed: Opens a reader with a queue.
        most: How many events wait for the coroutine.

    Raises:
        KrakenError: While it is read, if more than that were left unread: what is missing nobody
            knows.
        RuntimeError: While it is read, if another coroutine waits for it already.
    """

    def __init__(
        self, open_feed: Callable[[LoopQueue], FeedReader], most: int = MOST_EVENTS
    ) -> None:
        self._queue = LoopQueue(most)
        self._reader = open_feed(self._queue)
        # Not the reader itself: the feed holds it weakly, and so must whatever the feed calls.
        self._queue.on_end = self._reader.forgetting()
        self._is_over = False

    @property
    def backlog(self) -> int:
        """How many events wait to be read."""
        return self._queue.qsize()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._is_over:
            try:
                event: Event | None = self._queue.get_nowait()
            except Empty:
                event = None
            # Asked after it was taken: what stood before it may have been let go.
            if self._queue.fate:
                self._is_over = True
                raise KrakenError(f"events are missing: {self._queue.fate}")
            if event is None:
                await self._queue.wait()
                continue
            self._is_over = isinstance(event, FeedClosed)
            return event
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Listen no more; the next read is the last. Waits for nothing."""
        self._reader.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
