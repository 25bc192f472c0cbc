"""What a host has of Kraken, live prices and answers to its calls, and what follows where it lacks.

Pure: the seconds come in. What must never happen here: that the lead goes to a host that has no
more of Kraken than the one that gives it away, or that hosts pass it to and fro.
"""

from __future__ import annotations

from dataclasses import dataclass

from krakenlink.once import Once
from ttslo_app.cluster import lead_words as words
from ttslo_app.messages import Sentence

# Seconds. A host tells the others soon of what it lacks, and gives the lead away much later: what
# all of them lack, all of them know of all by then, and nobody gives anything away.
_TOLD_AFTER, _GIVES_WAY_AFTER = 2.0, 10.0
# What goes on is told again so often.
_TELL_EVERY = 60.0
_CUT_OFF = "cut off"


@dataclass(frozen=True, slots=True)
class Sight:
    """What a host has of Kraken at a moment.

    Attributes:
        blind_for: For how many seconds it has seen no live price; 0 while it sees one.
        cut_off_for: For how many seconds Kraken has answered none of its calls; 0 while it does.
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
            return words.kraken_is_back() if self._told.has_healed(_CUT_OFF) else None
        if not sight.gives_way or (leads and can_other):
            return None  # it may pass, or the lead does, which is said
        if not self._told.is_news(_CUT_OFF, leads, now):
            return None
        return words.kraken_is_silent(sight.cut_off_for, leads=leads)
