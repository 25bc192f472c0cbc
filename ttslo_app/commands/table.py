"""The words of the command line: `ttslo price`, `ttslo status` and so on, each a module of its own.

A word's module is loaded when somebody writes the word, so nobody else pays for it. What it must
never do: take a flag, or anything the command line meant before there were words, for a word.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module

from krakenlink.foreign import shown
from ttslo_app.terminal import OutputClosed

# What people write who know other programs.
_MEANT = {"prices": "price", "ticker": "price", "check": "doctor", "show": "status", "ps": "status"}


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the command line.

    Attributes:
        module: Has `main(argv)`, which returns the exit code.
        help: What it does, in one line.
        first: What its `main` gets before the arguments, where several words share it.
    """

    module: str
    help: str
    first: tuple[str, ...] = ()


_BY_HAND = "ttslo_app.commands.by_hand"
WORDS = {
    "doctor": Word("ttslo_app.doctor.command", "look at all that the program needs, place nothing"),
    "status": Word("ttslo_app.commands.status", "tell what the running program says of itself"),
    "price": Word(
        "ttslo_app.commands.price", "tell prices, with their source and age; needs no keys"
    ),
    "paper": Word(
        "ttslo_app.paper.command", "rehearse the rows on live prices, with made-up money"
    ),
    "whatif": Word("ttslo_app.whatif.command", "tell what the rows would have done on past prices"),
    "arm": Word(_BY_HAND, "enable a row in config.csv", ("arm",)),
    "disarm": Word(_BY_HAND, "disable a row in config.csv", ("disarm",)),
    "fire": Word(_BY_HAND, "place the order of an armed row now", ("fire",)),
    "cancel": Word(_BY_HAND, "cancel the order that a row has placed", ("cancel",)),
    "store": Word("ttslo_app.hosts.store_command", "make a store that several hosts share"),
    "rows": Word("ttslo_app.hosts.rows_command", "put rows into a shared store, or print them"),
    "state": Word("ttslo_app.hosts.state_command", "take state.csv into a shared store, and back"),
    "handover": Word("ttslo_app.hosts.handover", "let another host lead an account"),
    "relay": Word(
        "ttslo_app.commands.relay", "share one connection's prices with many readers by Redis"
    ),
}


def dispatch(argv: Sequence[str]) -> int | None:
    """Run the word that a command line begins with and return its exit code. Blocks.

    Returns:
        None where it begins with no word: then it means what it always meant.
    """
    if not argv or argv[0] not in WORDS:
        return None
    word = WORDS[argv[0]]
    try:
        code: int = import_module(word.module).main([*word.first, *argv[1:]])
    except KeyboardInterrupt:
        return 130
    except OutputClosed:
        _let_go_of_output()
        return 0
    return code


def _let_go_of_output() -> None:
    """See to it that the end of the interpreter finds nobody gone: it flushes once more."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def unknown(word: str) -> str:
    """Return what is said of a first argument that is neither a flag nor a word."""
    from difflib import get_close_matches  # here, because a slip of the hand is rare

    close = get_close_matches(word.lower(), [*WORDS, *_MEANT], n=1, cutoff=0.6)
    meant = _MEANT.get(close[0], close[0]) if close else ""
    hint = f"did you mean {meant}?" if meant in WORDS else f"there are {', '.join(WORDS)}"
    return f"there is no command {shown(word, 40)!r}; {hint}"


def listing() -> str:
    """Return the words with what they do, a line each."""
    width = max(map(len, WORDS))
    lines = (f"  ttslo {name:<{width}}  {word.help}" for name, word in WORDS.items())
    return "\n".join(["commands, each with a --help of its own:", *lines])
