"""What a host has of Kraken and of the shared store, and what follows where it lacks.

Pure: moments, and the memory of the host, come in. What must never happen here: that the lead goes
to a host that has no more of Kraken than the one that gives it away, that hosts pass it to and fro,
or that a silence which goes on is told only once, as nobody may have looked then.
"""

from __future__ import annotations

from dataclasses import dataclass

from krakenlink.once import Once
from ttslo_app.cluster import words
from ttslo_app.cluster.crew import Witness
from ttslo_app.messages import Sentence

# Seconds. A host tells the others soon of what it lacks, and gives the lead away much later: what
# all of them lack, all of them know of all by then, and nobody gives anything away.
_TOLD_AFTER, _GIVES_WAY_AFTER = 2.0, 10.0
# What goes on is told again so often.
_TELL_EVERY = 60.0
# Seconds. How new the store is is remembered on the disk of this host so often.
_REMEMBER_EVERY = 60.0
# Seconds. A store that is silent so long is told of.
_SILENT_AFTER = 2.0
_CUT_OFF = "cut off"


@dataclass(frozen=True, slots=True)
class Sight:
    """What a host has of Kraken at a moment.

    Attributes:
        blind_for: For how many seconds it has seen no live price; 0 while it sees one.
        cut_off_for: For how many seconds Kraken has taken none of its calls; 0 while it does.
    """

    blind_for: float
    cut_off_for: float

    @property
    def is_blind(self) -> bool:
        """Whether others are told that it sees no live price."""
        return self.blind_for >= _TOLD_AFTER

    @property
    def is_cut_off(self) -> bool:
        """Whether others are told that Kraken does not answer it, so that it can place nothing."""
        return self.cut_off_for >= _TOLD_AFTER

    @property
    def is_told_of(self) -> bool:
        """Whether others are told that it lacks something, so that nothing comes back to it."""
        return self.is_blind or self.is_cut_off

    @property
    def is_good(self) -> bool:
        """Whether it could lead as well as any."""
        return not (self.blind_for > 0 or self.is_cut_off)

    @property
    def gives_way(self) -> bool:
        """Whether it gives the lead to a host that has more of Kraken."""
        return max(self.blind_for, self.cut_off_for) >= _GIVES_WAY_AFTER


class Lookout:
    """What is to be said of it: at once, again while it goes on, and once it is over. One thread.

    Of prices alone the thread that reads them speaks.
    """

    def __init__(self) -> None:
        self._told = Once(_TELL_EVERY)

    def news(self, sight: Sight, now: float, *, leads: bool, can_other: bool) -> Sentence | None:
        """Return what is to be said at this moment; None for nothing.

        Args:
            sight: What this host has of Kraken.
            now: The present moment, in seconds of a steady clock.
            leads: Whether this host leads.
            can_other: Whether another host could.
        """
        if not sight.is_cut_off:
            return words.KRAKEN_IS_BACK if self._told.has_healed(_CUT_OFF) else None
        if not sight.gives_way or (leads and can_other):
            return None  # it may pass, or the lead does, which is said
        if not self._told.is_news(_CUT_OFF, leads, now):
            return None
        return words.kraken_is_silent(sight.cut_off_for, leads=leads)


class Silence:
    """The silence of a store. All moments are seconds of one steady clock.

    Args:
        now: The present moment: nothing was heard before.
    """

    def __init__(self, now: float) -> None:
        self._heard_at = now
        self._told_at: float | None = None

    def heard(self, now: float) -> None:
        """Note that the store has answered. Any thread."""
        self._heard_at = now

    def lasts(self, now: float) -> float:
        """Return for how many seconds the store has answered nothing. Any thread."""
        return now - self._heard_at

    def news(self, now: float, *, leads: bool) -> Sentence | None:
        """Return what is to be said at this moment; None for nothing.

        Args:
            now: The present moment.
            leads: Whether this host leads, so that no order can be placed anywhere.
        """
        silence = self.lasts(now)
        if silence < _SILENT_AFTER:
            was_told, self._told_at = self._told_at is not None, None
            return words.STORE_IS_BACK if was_told else None
        if self._told_at is not None and now - self._told_at < _TELL_EVERY:
            return None
        self._told_at = now
        return words.store_is_silent(silence, leads=leads)


class Age:
    """How new a store is. Safe from any thread: what one misses, the next one sees.

    Args:
        witness: What this host remembers of the store.

    Attributes:
        is_older: Whether the store was found older than it had been.
    """

    def __init__(self, witness: Witness) -> None:
        self.is_older = False
        self._witness = witness
        self._newest = self._before = 0
        self._kept_at = float("-inf")

    def ask(self) -> None:
        """Note that everything is about to be read. Blocks for the disk."""
        self._before = max(self._newest, self._witness.newest())

    def read(self, version: int) -> None:
        """Note how new that reading was."""
        self.is_older = version < self._before

    def heard(self, version: int, now: float) -> None:
        """Note an answer of the store; now and then that is kept. Blocks for the disk then."""
        if version >= self._newest and not self.is_older:
            self._newest = version
            if now - self._kept_at >= _REMEMBER_EVERY:
                self._kept_at = now
                self.keep(version)

    def keep(self, version: int) -> None:
        """Keep a version, unless a higher one is. Blocks for the disk."""
        self._witness.keep(max(version, self._witness.newest()))
