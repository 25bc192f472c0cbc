"""Every sentence of the watchdog: crossings without an order, and an order thread that hangs.

Pure: a function for each sentence. What it must never do: tell of an order that was never sent as
of one that is under way.
"""

from __future__ import annotations

from krakenlink.numbers import readable
from ttslo_app.messages import Crossing, Kind, Sentence

# What the order thread is at, by the names of its steps.
_AT = {
    "intending": "the disk has not taken its intent",
    "intended": "its order is being sent",
    "sending": "Kraken has not answered an order",
    "looking": "Kraken is asked what became of an earlier order",
    "noting": "config.csv is being written",
}


NOT_BEGUN = "it has not begun to watch yet"


def loop_hangs(seconds: float) -> str:
    """Return that no price is looked at."""
    return f"no price has been looked at for {seconds:.0f} s"


def orders_hang(seconds: float) -> str:
    """Return that the order thread does not come round, or has ended."""
    return f"the order thread has not turned for {seconds:.0f} s"


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
    return Sentence(
        Kind.LATE,
        "ERROR",
        f"{crossing.key}: crossed {seconds:.0f} s ago at {readable(crossing.price_text)}, "
        f"no order yet: {why}",
        {"id": crossing.key},
    )


def order_thread_hangs(step: str, seconds: float, backlog: int) -> Sentence:
    """Say that no order can be placed, as the thread that places them hangs."""
    return Sentence(
        Kind.LATE,
        "ERROR",
        f"NO ORDER can be placed just now: {at_what(step)} for {seconds:.0f} s. "
        f"{backlog} messages wait",
    )


def order_thread_goes_on() -> Sentence:
    """Say that orders can be placed again."""
    return Sentence(Kind.LATE, "INFO", "Orders can be placed again")


def order_thread_left(step: str) -> Sentence:
    """Say that the order thread was left at its work, while nothing was owed an order."""
    text = f"The program ends while {at_what(step)}; no crossing waits for an order"
    return Sentence(Kind.STOP, "WARNING", text)


def ends_without_order(crossing: Crossing, seconds: float, step: str, rule_state: str) -> Sentence:
    """Say what is known of a crossing whose order did not come before the end of the program."""
    crossed = f"{crossing.key}: crossed {seconds:.0f} s ago at {readable(crossing.price_text)}"
    if rule_state == "intended" and step == "intending":
        text = (
            f"{crossed}, and NO ORDER was sent: {at_what(step)}. The next start looks at it again"
        )
        return Sentence(Kind.STOP, "ERROR", text, {"id": crossing.key})
    if rule_state in ("intended", "uncertain"):
        text = (
            f"{crossed}. An order is still without an answer; the next start finds out what "
            "became of it"
        )
        return Sentence(Kind.STOP, "WARNING", text, {"id": crossing.key})
    text = f"{crossed}, and NO ORDER was placed. The next start looks at it again"
    return Sentence(Kind.STOP, "ERROR", text, {"id": crossing.key})
