"""What the command line says of a command by hand that nobody has answered, or that needs a yes.

Pure. What it must never do: call something undone that a program may have taken up.
"""

from __future__ import annotations

_NO_STATE = "start it with the same --config and --state"


def confirm(verb: str, row: str) -> str:
    """Return the question that a terminal is asked."""
    return f"{verb} {row}: are you sure? Write yes: "


def needs_yes(verb: str, row: str) -> str:
    """Return what is said where nobody can be asked."""
    return f"nothing was done: add --yes to {verb} {row}"


def not_running(state: str) -> str:
    """Return what is said where no program runs."""
    return f"no program runs with {state}, so nothing was done; {_NO_STATE}"


def not_taken_up(state: str) -> str:
    """Return what is said where the program did not take the command."""
    return f"the program with {state} did not take it up, so nothing was done; see ttslo status"


def not_answered(row: str) -> str:
    """Return what is said where the program took the command and did not answer."""
    return f"{row}: the program has taken it up and not answered; see its log and ttslo status"
