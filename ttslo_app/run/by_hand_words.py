"""What is said of a row that is armed, disarmed or fired by hand, or whose order is cancelled so.

Pure. What it must never do: call something done that is not certain.
"""

from __future__ import annotations

from ttslo_app.messages import Kind, Sentence, of_row


def asked(row: str, verb: str) -> Sentence:
    """Say that somebody asks for something."""
    return of_row(Kind.OTHER, "INFO", row, f"somebody asks by hand to {verb} it")


def answered(row: str, text: str, *, is_done: bool) -> Sentence:
    """Say what came of it."""
    return of_row(Kind.OTHER, "INFO" if is_done else "WARNING", row, text.removeprefix(f"{row}: "))


def trouble(text: str) -> Sentence:
    """Say what is odd about a command that is not taken."""
    return Sentence(Kind.OTHER, "WARNING", text)


def not_taken(path: str) -> str:
    """Return what is said of a file that is no command of this program's user."""
    return f"{path} was no command of this program's user, and was left undone"


def too_old(row: str) -> str:
    """Return the answer to a command that has waited too long."""
    return f"{row}: that was asked over a minute ago, so nothing was done; ask again"


def edited(row: str, *, is_armed: bool) -> str:
    """Return the answer to an edit of config.csv."""
    if is_armed:
        return f"{row}: enabled in config.csv. The program arms it if nothing speaks against it"
    return f"{row}: disabled in config.csv. An order that stands at Kraken is not touched"


_AGAIN = "Ask again in a moment; where no program runs, start it first"


def is_under_way(row: str) -> str:
    """Return the answer to who arms a row whose order is on its way."""
    return (
        f"{row}: NOT armed: it was crossed, and its order is on its way, or placed and not written "
        f"down yet; then the program disables the row. {_AGAIN}"
    )


def is_to_be_noted(row: str, order_id: str) -> str:
    """Return the answer to who arms a row before config.csv is told that it has fired."""
    return (
        f"{row}: NOT armed: it has fired (order {order_id}), and the program has still to write "
        f"that into config.csv, which disables the row. {_AGAIN}"
    )


def has_ended(row: str) -> str:
    """Return the answer to who arms a row that has ended by itself and is as it was then."""
    return f"{row}: NOT armed: it has expired. To arm it, change its cell expires"


def not_edited(row: str, config: str, error: Exception) -> str:
    """Return the answer where config.csv stays as it is."""
    why = error.args[0] if isinstance(error, LookupError) and error.args else error
    return f"{row}: {config} stays as it is: {why}"


def is_being_saved(row: str, config: str) -> str:
    """Return the answer while somebody writes config.csv, whose next lines would be lost."""
    return (
        f"{row}: nothing was done, as {config} is being written to all the while; ask again once "
        "it is saved"
    )


def not_waiting(row: str) -> str:
    """Return the answer for a row that is not armed."""
    return f"{row}: it is not armed, so it cannot be fired; ttslo status tells where it stands"


def no_price(row: str) -> str:
    """Return the answer while no price has come."""
    return f"{row}: no price of its pair has come yet, so nothing was done; ask again in a moment"


def fired(row: str, order_id: str) -> str:
    """Return the answer once the order stands."""
    return f"{row}: fired by hand, order {order_id} is placed"


def no_order(row: str, state: str, detail: str) -> str:
    """Return the answer where no order is known to stand."""
    why = f": {detail.rstrip('. ')}" if detail else ""
    return f"{row}: fired by hand, and its order is {state}{why}. The log tells what becomes of it"


def no_standing(row: str) -> str:
    """Return the answer where there is nothing to cancel."""
    return f"{row}: no order of it stands that this program has placed, so nothing was cancelled"


def cannot_cancel(row: str) -> str:
    """Return the answer of a program that has no order at Kraken."""
    return f"{row}: this program places no orders at Kraken, so there is none to cancel"


def not_cancelled(row: str, txid: str, error: Exception) -> str:
    """Return the answer where Kraken did not cancel it."""
    return f"{row}: order {txid} was not cancelled: {error}. See at Kraken whether it stands"


def cancelled(row: str, txid: str) -> str:
    """Return the answer once it is cancelled."""
    return f"{row}: order {txid} is cancelled. Its position is no longer protected"


def failed(row: str, error: Exception) -> str:
    """Return the answer to what met an error that nobody foresaw."""
    return f"{row}: it could not be done ({type(error).__name__}); the log has the details"


def only_read(rule_id: str, mode: str) -> str:
    """Return that a rehearsal leaves the config alone."""
    return f"{rule_id}: nothing was done: a run in mode {mode} only reads the config"
