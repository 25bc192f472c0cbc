"""The program as a session commands it, and what a session is told at its start.

Pure: faces and values. Each of the calls says whether it may block.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from ttslo_app.cluster.records import Changed, Keys


class Fencing(Enum):
    """What Kraken said to the first call of an epoch."""

    ANSWERED = "answered"  # it took the nonce: every lower one is refused from now on
    REFUSED = "refused"  # it has seen a higher one
    UNASKED = "unasked"  # nobody knows


class Crew(Protocol):
    """The program, as the session commands it. Each call is made on the session's threads."""

    @property
    def is_ready(self) -> bool:
        """Whether rows are read and prices come, so that it could lead."""
        ...

    @property
    def is_deposed(self) -> bool:
        """Whether Kraken has refused a nonce of this epoch."""
        ...

    @property
    def has_taken_up(self) -> bool:
        """Whether the order thread goes by what `take_up` gave it."""
        ...

    @property
    def is_following(self) -> bool:
        """Whether the order thread has ended what it was at, and sends nothing."""
        ...

    def blind_for(self) -> float:
        """Return for how many seconds no live price was seen; 0 while one is."""
        ...

    def cut_off_for(self) -> float:
        """Return for how many seconds Kraken has taken no call; 0 while it does."""
        ...

    def fence(self, base: int) -> Fencing:
        """Have Kraken refuse all nonces below `base`. Blocks for one call."""
        ...

    def take_up(self, fence: int) -> None:
        """Have the order thread go by the lives of the copy, and open the door. Never blocks."""
        ...

    def cut(self) -> None:
        """See to it that nothing more is sent or written, from this moment on. Never blocks."""
        ...

    def follow(self) -> None:
        """Let the order thread end its turn and shut the door. Blocks until it has, for a while."""
        ...

    def changed(self, changed: Changed) -> None:
        """Take note of what others have changed in the store. Never blocks."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """What a host is to play.

    Attributes:
        name: The host's own name; no two have the same.
        patience: How long the one who leads may be silent, in seconds.
    """

    keys: Keys
    name: str
    patience: float = 3.0


class Witness(Protocol):
    """What this host remembers of the store, so that an older one is noticed."""

    def newest(self) -> int:
        """Return the highest version that was kept; 0 for none. Blocks for the disk."""
        ...

    def keep(self, version: int) -> None:
        """Remember a version. Blocks for the disk; never raises."""
        ...
