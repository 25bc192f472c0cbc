"""The screen: lines are folded where they would run over the edge of a terminal.

On a terminal only: who reads a pipe or the log file wants each line whole. What it must never do:
lose a letter, or raise for a terminal that is gone.
"""

from __future__ import annotations

import os
import textwrap
from typing import TextIO

from ttslo_app.face.voice import write_line

# What follows the first line stands under its text, not under the time before it.
_INDENT = " " * 11
# A terminal that is narrower than this is taken for one that does not know its width.
_NARROWEST = 30


def width_of(stream: TextIO | None) -> int | None:
    """Return how many columns `stream` shows, None where it is no terminal."""
    try:
        if stream is None or not stream.isatty():
            return None
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):
        return None
    return columns if columns >= _NARROWEST else None


def folded(text: str, width: int | None) -> str:
    """Return `text` with each of its lines folded to `width` columns; None leaves it as it is.

    Words stay whole, so a name or an address can still be copied.
    """
    if width is None:
        return text
    return "\n".join(_folded_line(line, width) for line in text.split("\n"))


def _folded_line(line: str, width: int) -> str:
    if len(line) <= width:
        return line
    pieces = textwrap.wrap(
        line,
        width,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
        replace_whitespace=False,
        expand_tabs=False,
    )
    return "\n".join(pieces) or line


def show_line(stream: TextIO | None, text: str) -> None:
    """Write a line, folded where `stream` is a terminal. May block; never raises OSError."""
    write_line(stream, folded(text, width_of(stream)))
