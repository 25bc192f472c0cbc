"""What the watchdog says: of crossings without an order, and of the thread that places orders.

Pure: a function for each sentence, a constant where it is always the same. What it must never do:
tell of an order that was never sent as of one that is under way.
"""

from __future__ import annotations

from krakenlink.numbers import readable
from ttslo_app.messages import Crossing, Kind, Sentence, of_row

# What the order thread is at, by the names of its steps.
_AT = {
    "intending": "the disk has not taken its intent",
    "intended": "its order is being sent",
    "sending": "Kraken has not answered an order",
    "looking": "Kraken is asked what became of an earlier order",
    "noting": "config.csv is being written",
}


def at_what(step: str) -> str:
    """Return what the order thread is at."""
    return _AT.get(step, "the order thread is busy")


def cause_of_delay(step: str, took: float, rule_state: str, detail: str) -> str:
    """Return why a crossing seems to have no order yet.

    Args:
        step: What the order thread is at; empty while it waits.
        took: For how many seconds.
        rule_state: How the rule stands.
        detail: What was last said of its order.
    """
    if step:
        return f"{at_what(step)} for {took:.0f} s"
    if rule_state == "uncertain":
        return "it is being found out whether one stands"
    if rule_state == "refused" and detail:
        return f"it was refused ({detail}) and is tried again"
    return "it waits to be tried again"


def no_order_yet(crossing: Crossing, seconds: float, why: str) -> Sentence:
    """Say that a crossing has no order yet."""
    text = f"{_crossed(crossing, seconds)}, no order yet: {why}"
    return of_row(Kind.LATE, "ERROR", crossing.key, text)


def _crossed(crossing: Crossing, seconds: float) -> str:
    return f"crossed {seconds:.0f} s ago at {readable(crossing.price_text)}"


def order_thread_hangs(step: str, seconds: float, backlog: int) -> Sentence:
    """Say that no order can be placed, as the thread that places them hangs."""
    return Sentence(
        Kind.LATE,
        "ERROR",
        f"NO ORDER can be placed just now: {at_what(step)} for {seconds:.0f} s. "
        f"{backlog} messages wait",
    )


ORDER_THREAD_GOES_ON = Sentence(Kind.LATE, "INFO", "Orders can be placed again")


def order_thread_left(step: str) -> Sentence:
    """Say that the order thread was left at its work, while nothing was owed an order."""
    text = f"The program ends while {at_what(step)}; no crossing waits for an order"
    return Sentence(Kind.STOP, "WARNING", text)


def ends_without_order(crossing: Crossing, seconds: float, step: str, rule_state: str) -> Sentence:
    """Say what is known of a crossing whose order did not come before the end of the program."""
    crossed = _crossed(crossing, seconds)
    if rule_state == "intended" and step == "intending":
        text = (
            f"{crossed}, and NO ORDER was sent: {at_what(step)}. The next start looks at it again"
        )
        return of_row(Kind.STOP, "ERROR", crossing.key, text)
    if rule_state in ("intended", "uncertain"):
        text = (
            f"{crossed}. An order is still without an answer; the next start finds out what "
            "became of it"
        )
        return of_row(Kind.STOP, "WARNING", crossing.key, text)
    text = f"{crossed}, and NO ORDER was placed. The next start looks at it again"
    return of_row(Kind.STOP, "ERROR", crossing.key, text)
