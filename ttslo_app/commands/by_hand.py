"""`ttslo arm`, `disarm`, `fire` and `cancel`: the command line of what is done by hand.

To arm and to disarm edits config.csv, whether a program runs or not; the others need one that
runs, and go to it through a file beside its state. What it must never do: act without a yes.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from krakenlink.machine import replace_file
from ttslo_app.commands import by_hand_words as words
from ttslo_app.commands.status import look
from ttslo_app.face.snapshot import NOT_RUNNING
from ttslo_app.run.by_hand import (
    Answer,
    Command,
    Verb,
    answer_path,
    command_path,
    edit,
    encoded,
    life_on_disk,
)
from ttslo_app.run.by_hand_words import not_edited
from ttslo_app.terminal import Parser, put, put_trouble

# For so many seconds the program is given to take a command up, and to answer.
_TAKEN, _ANSWERED = 5.0, 30.0
_DONE, _NOT_DONE, _WRONG, _UNCERTAIN = 0, 1, 2, 4
_MEANT = {
    Verb.ARM: "Sets enabled to true in config.csv, and empties its order columns.",
    Verb.DISARM: "Sets enabled to false in config.csv. An order that stands is not touched.",
    Verb.FIRE: "Lets the running program place the order of an armed row now.",
    Verb.CANCEL: "Lets the running program cancel the order of a row that it has placed.",
}


def parser(verb: Verb) -> argparse.ArgumentParser:
    """Return the flags of a command."""
    made = Parser(
        prog=f"ttslo {verb}",
        description=_MEANT[verb],
        epilog="Exit codes: 0 done, 1 not done and why, 2 no yes or a wrong flag, 3 no program "
        "runs, 4 the program has not answered.",
    )
    add = made.add_argument
    add("row", metavar="ID", help="the row's id")
    add("--config", default="config.csv", help="the rules (default: %(default)s)")
    add("--state", default="state.csv", help="the state file (default: %(default)s)")
    add("--yes", action="store_true", help="do not ask")
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command, `argv` beginning with its word, and return its exit code. Blocks."""
    verb = Verb(argv[0])
    options = parser(verb).parse_args(argv[1:])
    command = Command(verb, options.row)
    if not options.yes and not _says_yes(command):
        put_trouble(words.needs_yes(verb, options.row))
        return _WRONG
    if verb in (Verb.ARM, Verb.DISARM):
        known = partial(life_on_disk, options.state, options.row)
        return _told(edit(options.config, command, known))
    found = look(options.config, options.state)
    if found.verdict.code == NOT_RUNNING or found.snapshot is None:
        put_trouble(words.not_running(options.state))
        return NOT_RUNNING
    is_dry = found.snapshot.mode == "DRY RUN"
    return _asked(command, command_path(options.state, is_dry=is_dry), options.state)


def _says_yes(command: Command) -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        return False
    try:
        return input(words.confirm(command.verb, command.row)).strip().lower() == "yes"
    except EOFError:
        return False


def _told(answer: Answer) -> int:
    if answer.is_done:
        put(answer.text)
        return _DONE
    put_trouble(answer.text)
    return _NOT_DONE


def _asked(command: Command, path: Path, state: str) -> int:
    """Hand a command to the program, and wait for its answer."""
    token, pause = secrets.token_hex(16), threading.Event()
    try:
        replace_file(path, encoded(token, command, time.time()), is_durable=False)
    except OSError as error:
        put_trouble(not_edited(command.row, str(path), error))
        return _NOT_DONE
    end = time.monotonic() + _TAKEN
    while path.exists() and time.monotonic() < end:
        pause.wait(0.05)
    try:
        path.unlink()  # it was not taken, and it will not be
    except FileNotFoundError:
        return _answered(command, token, path)
    put_trouble(words.not_taken_up(state))
    return NOT_RUNNING


def _answered(command: Command, token: str, path: Path) -> int:
    """Wait for the answer to a command that was taken, and show it."""
    end, pause = time.monotonic() + _ANSWERED, threading.Event()
    while time.monotonic() < end:
        answer = _answer_to(token, answer_path(path))
        if answer is not None:
            return _told(answer)
        pause.wait(0.05)
    put_trouble(words.not_answered(command.row))
    return _UNCERTAIN


def _answer_to(token: str, path: Path) -> Answer | None:
    """Return the answer to a command; None while there is none."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(path.read_bytes())
        if found["token"] == token:
            path.unlink(missing_ok=True)
            return Answer(bool(found["is_done"]), str(found["text"]))
    return None
