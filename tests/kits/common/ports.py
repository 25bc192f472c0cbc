"""Ports for what tests end and start again: nobody else gets them meanwhile."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

# Below those that any system hands out by itself. One that was handed out and left for a moment
# may be another test's by then, and whoever went on to knock there knocks at that one's door.
_KEPT = range(10_240, 32_768)


def kept_ports(count: int) -> list[int]:
    """Return so many ports of this machine at which nobody listens."""
    found: list[int] = []
    for port in random.SystemRandom().sample(_KEPT, len(_KEPT)):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
        if len(found) == count:
            break
    return found
