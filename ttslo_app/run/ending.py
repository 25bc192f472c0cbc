"""How a program ends: cleanly at the first signal, at once at the second, and with its starter.

What must never happen here: that a signal handler says anything or takes a lock. It interrupts
whatever the main thread is at, and that may hold any lock; so it writes one byte, and a thread
that waits for it does the rest.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType

# Windows has no terminal that hangs up.
_HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
_ENDS = [n for n in (signal.SIGINT, signal.SIGTERM, _HANGUP) if n is not None]
# The last word gets so many seconds; a screen or a disk that hangs does not get the program.
_LONGEST = 1.0
_STDIN = 0
_STOPS = "ttslo-signals"  # the thread that has a program come to its end


def kill(number: int) -> None:
    """End this process as the signal would have without a handler, which must be gone by now."""
    if os.name == "posix":
        os.kill(os.getpid(), number)
    os._exit(128 + number)


class Bell:
    """Has done on a thread of its own what signals ask for.

    Args:
        answer: Does it; called with the number that was rung. It may take locks, and block.
        name: The name of the thread.
    """

    def __init__(self, answer: Callable[[int], object], name: str) -> None:
        self._answer = answer
        self._inner, self._outer = os.pipe()
        # A daemon: it waits for what hardly ever comes.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def ring(self, number: int) -> None:
        """Have a signal answered. For signal handlers: writes a byte and returns."""
        os.write(self._outer, bytes([number]))

    def close(self) -> None:
        """End the thread once all that was rung is answered. Blocks for a second at most."""
        os.close(self._outer)
        self._thread.join(_LONGEST)

    def _run(self) -> None:
        try:
            while said := os.read(self._inner, 1):
                self._answer(said[0])
        finally:
            os.close(self._inner)


class Farewell(Bell):
    """Says the last word when it is rung, and ends the process.

    Args:
        last_word: Says it; called with the signal's name, on a thread of its own, and may block.
        end: Ends the process.
    """

    def __init__(
        self, last_word: Callable[[str], object], end: Callable[[int], object] = kill
    ) -> None:
        self._last_word = last_word
        self._end = end
        super().__init__(self._part, "ttslo-farewell")

    def _part(self, number: int) -> None:
        speaker = threading.Thread(
            target=self._last_word, args=(signal.Signals(number).name,), daemon=True
        )
        speaker.start()
        speaker.join(_LONGEST)
        self._end(number)


class HungUp(KeyboardInterrupt):
    """The terminal is gone."""


def code_of(end: KeyboardInterrupt) -> int:
    """Return the exit code of a program that was interrupted: 0 as wished, 129 if hung up on."""
    return 129 if isinstance(end, HungUp) else 0


def end_at_once_on_signals() -> None:
    """Let signals end the program as Ctrl-C does: what is under way is in the state file."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise HungUp if number == _HANGUP else KeyboardInterrupt

    for number in _ENDS:
        if number != signal.SIGINT:  # which does so by itself
            handle(number, interrupt)


@contextmanager
def ended_by_signals(stop: Callable[[], object]) -> Iterator[None]:
    """Let SIGINT and SIGTERM end what has no last word to say; afterwards they do what they did.

    Args:
        stop: Ends it; called on a thread of its own.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    bell = Bell(lambda _: stop(), _STOPS)
    for number in before:
        handle(number, lambda number, _: bell.ring(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            handle(number, handler)
        bell.close()


class Ending:
    """In a `with`: the first signal ends a program cleanly, a second at once, with a last word.

    Afterwards signals do what they did before.

    Args:
        stop: Ends it cleanly; called on a thread of its own.
        last_word: Says the last word; see `Farewell`.

    Attributes:
        code: The exit code that the first signal has led to.
    """

    def __init__(self, stop: Callable[[], object], last_word: Callable[[str], object]) -> None:
        self.code = 0
        self._stop = stop
        self._last_word = last_word
        self._bells: tuple[Bell, Farewell] | None = None
        self._before = {number: signal.getsignal(number) for number in _ENDS}

    def __enter__(self) -> Ending:
        # Two threads: a stop that hangs does not get the program.
        self._bells = Bell(lambda _: self._stop(), _STOPS), Farewell(self._last_word)
        for number in _ENDS:
            handle(number, self._first)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, before in self._before.items():
            handle(number, before)
        for bell in self._bells or ():
            bell.close()

    def _first(self, number: int, frame: FrameType | None) -> None:
        for other in _ENDS:
            handle(other, self._second)
        if number == _HANGUP:
            self.code = 129
        if self._bells is not None:
            self._bells[0].ring(number)

    def _second(self, number: int, frame: FrameType | None) -> None:
        handle(signal.Signals(number), signal.SIG_DFL)  # a third one ends it without a word
        if self._bells is not None:
            self._bells[1].ring(number)


Handler = Callable[[int, FrameType | None], object] | int | signal.Handlers | None


def handle(number: signal.Signals, handler: Handler) -> None:
    """Call `handler` on a signal, unless whoever started the program has it ignored.

    A shell does so with SIGINT for what it runs in the background, so that Ctrl-C ends only what
    runs in the foreground. A host program may run this on another thread, and then handles them.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and handler is not None and signal.getsignal(number) is not signal.SIG_IGN:
        signal.signal(number, handler)


def end_with_starter(let_go: Callable[[], object], number: int = _STDIN) -> None:
    """Call `let_go` once an input has ended, on a thread of its own. Never blocks.

    Whoever starts a process keeps the other end of its standard input and never writes; the system
    closes it with the starter, however that dies, and on every system.

    Args:
        let_go: May be called before a program has begun, and after its end.
        number: The file number of the input.
    """

    def wait() -> None:
        with suppress(OSError):  # it was never open, so nobody holds the other end
            while os.read(number, 1024):
                pass
        let_go()

    # A daemon: the input of a starter that lives does not end. The file is read as it is, since
    # Python's own stream would have to be let go of when the program ends.
    threading.Thread(target=wait, name="ttslo-lifeline", daemon=True).start()
