"""What others have written, made fit to be shown: by Kraken, by a proxy, in an address.

Pure. Control characters are shown and not obeyed, so that no answer can forge a line of a log or of
a screen. What it must never do: pass on a name and password, or a text without an end.

Source: Unicode's categories, of which Cc, Cf, Zl, Zp and Cs act instead of being seen.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_ACTING = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs", "Co"})

LONGEST = 300
"""Characters of a foreign text in a message, unless another number is asked for."""


def shown(text: str, longest: int = LONGEST) -> str:
    r"""Return `text` for a message: one line, every character visible, cut with `...`.

    An escape becomes `\x1b`, a line end `\n`, a mark that turns the writing direction `\u202e`.
    """
    whole = text[: longest + 1]
    if not (whole.isascii() and whole.isprintable()):
        whole = "".join(map(_seen, whole))
    return whole if len(text) <= longest else whole[: longest - 3] + "..."


def _seen(one: str) -> str:
    if unicodedata.category(one) not in _ACTING:
        return one
    return one.encode("unicode_escape").decode("ascii")


def some_of(names: Sequence[str], most: int = 3) -> str:
    """Return the first names of many with commas, and how many more there are."""
    first = ", ".join(names[:most])
    return first if len(names) <= most else f"{first} and {len(names) - most} more"


def without_login(address: str) -> str:
    """Return an address, or what somebody meant to be one, without a name and password in it."""
    if "@" not in address:
        return address
    begin = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", address)
    # Up to the last @: a password may hold one, and a slash that nobody has encoded.
    return (begin[0] if begin else "") + address.rpartition("@")[2]
