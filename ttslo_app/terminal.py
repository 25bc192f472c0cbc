"""What all command lines of the program have in common: flags that hide secrets, and lines printed.

What it must never do: end a command because nobody reads what it prints.
"""

from __future__ import annotations

import argparse
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from krakenlink.foreign import shown
from krakenlink.numbers import to_positive_decimal

ENV_FILE = ".env"
"""Where keys may stand, unless `--env-file` names another file."""
_LONGEST_LINE = 10_000


class Parser(argparse.ArgumentParser):
    """Shows no address that somebody has mistyped a flag before: it may be a secret."""

    def error(self, message: str) -> NoReturn:
        """End with 2 and what is wrong."""
        super().error(re.sub(r"(?<=://)\S+", "...", message))

    def refuse(self, text: str) -> NoReturn:
        """End with 2 and a sentence of ours, which repeats no address that could be a secret."""
        super().error(text)


def seconds_of(text: str) -> float:
    """Return the seconds of a flag.

    Raises:
        argparse.ArgumentTypeError: If they are none.
    """
    try:
        return float(to_positive_decimal(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; write seconds, such as 60") from None


def env_file(options: argparse.Namespace) -> str:
    """Return where keys may stand.

    Raises:
        ValueError: If there is no file of the name that the user chose: keys that are looked for
            in vain must not look like keys that nobody gave.
    """
    if options.env_file is None:
        return ENV_FILE
    if not Path(options.env_file).is_file():
        raise ValueError(
            f"there is no file {options.env_file}, which --env-file names. Correct the name, or "
            f"leave the flag out: then {ENV_FILE} is looked for"
        )
    return str(options.env_file)


class OutputClosed(Exception):
    """Nobody reads what is printed any more, such as after `| head`."""


def put(text: str) -> None:
    """Print a line, whatever the terminal can show. May block.

    Raises:
        OutputClosed: If nobody reads it any more.
    """
    stream = sys.stdout
    if stream is None:  # a program without a console
        raise OutputClosed
    encoding = stream.encoding or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except (OSError, ValueError):
        raise OutputClosed from None


def put_bytes(data: bytes) -> None:
    """Print what a file holds, to the byte. May block.

    Raises:
        OutputClosed: If nobody reads it any more.
    """
    stream = sys.stdout
    if stream is None:  # a program without a console
        raise OutputClosed
    try:
        stream.flush()
        stream.buffer.write(data)
        stream.buffer.flush()
    except (OSError, ValueError):
        raise OutputClosed from None


def put_trouble(text: str) -> None:
    """Print a line about what went wrong, on the standard error. Never raises OSError."""
    with suppress(OSError, ValueError):
        print(shown(text, _LONGEST_LINE), file=sys.stderr, flush=True)
