"""The end of a program whose starter has died: it is told by an input that ends.

Whoever starts a process keeps the other end of its standard input and never writes; the system
closes it with the starter, however that dies, and on every system. What it must never do: take for
dead who is only slow.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress

_STDIN = 0


def hold(let_go: Callable[[], object], number: int = _STDIN) -> None:
    """Call `let_go` once an input has ended, on a thread of its own. Never blocks.

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
