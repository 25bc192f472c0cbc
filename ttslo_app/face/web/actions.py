"""What the live page may do, where its owner lets it: asked once, confirmed once, done once.

Pure. A first question is answered with a sentence and a code; only the code of that very question,
shown within half a minute, does it. What it must never do: take a code twice, or one for another
row than was read in the sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ttslo_app.face.web import words
from ttslo_app.face.web.guard import same

VERBS = ("arm", "disarm", "fire", "cancel")
# A page of another site cannot set this header without being asked about first, and is refused.
HEADER = "X-TTSLO"
# Seconds for a person to read what will happen; and so many questions may be open.
_PATIENCE, _MOST = 30.0, 16
_LONGEST = 200


class NotAsked(ValueError):
    """A question that is none; the text says why."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be done with which row, and the code that confirms it; empty for a question."""

    verb: str
    row: str
    code: str = ""


def wish_from(body: object) -> Wish:
    """Return what a request asks for.

    Raises:
        NotAsked: If it is no such request.
    """
    cells = body if isinstance(body, Mapping) else {}
    verb, row, code = (cells.get(name, "") for name in ("verb", "row", "code"))
    if not (isinstance(verb, str) and isinstance(row, str) and isinstance(code, str)):
        raise NotAsked(words.no_wish())
    if verb not in VERBS or not row or max(len(row), len(code)) > _LONGEST:
        raise NotAsked(words.no_wish())
    return Wish(verb, row, code)


class Confirmations:
    """The questions that wait for their confirmation. For one thread.

    Args:
        clock: Seconds that only grow.
        draw: Returns a code that nobody can guess.
    """

    def __init__(self, clock: Callable[[], float], draw: Callable[[], str]) -> None:
        self._clock = clock
        self._draw = draw
        self._open: dict[str, tuple[Wish, float]] = {}  # the oldest first

    def ask(self, wish: Wish) -> str:
        """Return the code that confirms a wish."""
        code = self._draw()
        self._open[code] = (wish, self._clock() + _PATIENCE)
        for old in list(self._open)[:-_MOST]:
            del self._open[old]
        return code

    def take(self, wish: Wish) -> bool:
        """Tell whether a wish was asked about a moment ago; its code serves for nothing more."""
        found = [code for code in self._open if same(code, wish.code)]
        if not found:
            return False
        asked, until = self._open.pop(found[0])
        is_same = (asked.verb, asked.row) == (wish.verb, wish.row)
        return is_same and self._clock() <= until
