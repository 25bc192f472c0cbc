"""How a row was spelt while it fired: by that an old copy of it is told from a wish to arm it.

Pure. An editor has the text of before the program's note, and may save it over the note: as the
program read it last, as the file had it at the crossing, or as the note found it. What must never
happen here: that a row which lies there again as it was passes for one that its user has touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ttslo_app.messages import AcceptedRule
from ttslo_app.orders.ports import Files, Rows
from ttslo_app.orders.request import letters_of
from ttslo_app.rules.rule import Rule

# So many are kept, the newest: more than one firing has, and fewer than there are words below.
_MOST = 6
# What says in the column `enabled` that a row is armed, in the order in which it is proposed.
_WORDS = ("true", "yes", "1", "True", "Yes", "TRUE", "YES")


def spelt(spellings: str, digest: str) -> str:
    """Return the spellings of a row, digests with blanks between them, and one more."""
    known = spellings.split()
    return spellings if not digest or digest in known else " ".join([*known, digest][-_MOST:])


def is_spelt(row: Mapping[str, object], spellings: str) -> bool:
    """Tell whether a row is to the letter what it was in one of its spellings."""
    return bool(spellings) and letters_of(row) in spellings.split()


def arming_word(row: Mapping[str, object], spellings: str) -> str:
    """Return what under `enabled` arms a row and makes it none of its old spellings."""
    words = (word for word in _WORDS if not is_spelt({**row, "enabled": word}, spellings))
    return next(words, _WORDS[0])


class PresentRows:
    """The rows of config.csv as they are when the first of a burst is looked at.

    One look is enough for orders that one write makes durable; a file of 100,000 rows takes
    milliseconds to read.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._found: Rows | None = None

    def rule_of(self, rule: Rule) -> Rule | None:
        """Return the row of a rule, None if it is gone or no rule.

        Raises:
            OSError: If the file cannot be read, which says nothing about the row.
        """
        if self._found is None:
            self._found = self._files.current_rows()
        return self._found.rule_of(rule)

    def spellings_of(
        self, rule_id: str, known: AcceptedRule | None, digest: Callable[[str], str]
    ) -> str:
        """Return how a row is spelt: as it was read last, and as it is now where that is new.

        Args:
            rule_id: The row.
            known: What was read last.
            digest: Returns the digest of that.
        """
        spellings = digest(rule_id)
        row = None if self._found is None else self._found.row_of(rule_id, known)
        if row is None or (known is not None and row is known.row):
            return spellings
        return spelt(spellings, letters_of(row))
