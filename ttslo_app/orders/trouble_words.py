"""Sentences of the order thread on trouble that is no row's own: key, disk, doubt without end.

Pure: a function for each sentence. Each crossing that such trouble holds back has a line of its
own, whatever was said of the trouble before.
"""

from __future__ import annotations

from collections.abc import Sequence

from ttslo_app.messages import Crossing, Kind, Sentence


def key_refused(rule_ids: Sequence[str], reason: str, cure: str, wait: float) -> Sentence:
    """Say that Kraken refuses the trading key, and which rows that leaves without protection."""
    count = len(rule_ids)
    rows = f"the row {rule_ids[0]} is NOT" if count == 1 else f"NONE of the {count} rows is"
    what = f"{rows} protected" if count else "nothing can be placed"
    text = (
        f"Kraken refuses the trading key, so {what}: {_ended(reason)} {_ended(cure)} The rows stay "
        f"armed; the key is tried again in {wait / 60:.0f} min"
    )
    return Sentence(Kind.KEY, "ERROR", " ".join(text.split()))


def key_works_again(waiting: int) -> Sentence:
    """Say that Kraken takes the trading key again, and what becomes of those that wait."""
    what = ""
    if waiting:
        what = (
            f"; of the {waiting} crossed before, those of the last minute are placed, the others "
            "if their threshold is met now"
        )
    return Sentence(Kind.KEY, "WARNING", f"The trading key works again{what}")


def no_order_yet(crossing: Crossing, why: str) -> Sentence:
    """Say of one crossing that it has no order yet, and why."""
    return Sentence(
        Kind.WAITING,
        "ERROR",
        f"{crossing.key}: {crossing.rule.condition} was crossed at {crossing.price_text}: NO "
        f"ORDER yet, because {why}",
        {"id": crossing.key},
    )


DISK = "the state file cannot be written; it is decided when it can be"
KEY = "Kraken refuses the trading key; it is decided when the key works again"


def _ended(text: str) -> str:
    text = text.strip()
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."
