"""Sentences on trouble that is no row's own, on orders in doubt or unknown, and on other hosts.

Pure: a function for each sentence. Each crossing that trouble of a key or a disk holds back has a
line of its own, whatever was said of the trouble before. What they must never do: call anything
certain that is not, or say of a kept crossing that it has an order.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from krakenlink.foreign import shown
from krakenlink.numbers import readable
from ttslo_app.messages import Crossing, Kind, Sentence, Sighting, of_row
from ttslo_app.orders.life import Life
from ttslo_app.orders.words import crossed
from ttslo_app.rules.rule import Rule


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
    text = f"{crossed(crossing)}: NO ORDER yet, because {why}"
    return of_row(Kind.WAITING, "ERROR", crossing.key, text)


DISK = "the state file cannot be written; it is decided when it can be"
KEY = "Kraken refuses the trading key; it is decided when the key works again"


def one_by_one(reason: str) -> Sentence:
    """Say that orders of one pair no longer go together, and what would change that."""
    return Sentence(
        Kind.KEY,
        "WARNING",
        f"{_ended(reason)} Each order is now sent by itself; for several in one request let the "
        "key 'Cancel & close orders', and start anew",
    )


def _ended(text: str) -> str:
    text = text.strip()
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def sent_by_another_key(life: Life) -> Sentence:
    """Say that an order in doubt cannot be looked up, because another key has sent it."""
    return of_row(
        Kind.KEY,
        "ERROR",
        life.id,
        f"UNCERTAIN whether {life.order} stands: another key sent it. Start once with "
        "it, or see at Kraken and delete its row of the state",
        cl_ord_id=life.cl_ord_id,
    )


def stands_unseen(life: Life) -> Sentence:
    """Say that Kraken knows the id of an order and does not show it."""
    return of_row(
        Kind.UNCERTAIN,
        "WARNING",
        life.id,
        "its order stands, as Kraken refuses a second one under its id; it is looked for until "
        "Kraken shows it, and nothing is sent again",
        cl_ord_id=life.cl_ord_id,
    )


def cannot_prove(crossing: Crossing, error: Exception) -> Sentence:
    """Say that a crossing waits until Kraken says whether its arming has an order already."""
    return of_row(
        Kind.WAITING,
        "ERROR",
        crossing.key,
        f"{crossed(crossing)}, but WAITS: Kraken cannot say yet whether it has an order "
        f"({error}). Asked again",
    )


def has_an_order(life: Life, sighting: Sighting) -> Sentence:
    """Say that a rule which passes for armed has an order already, of an earlier time."""
    return of_row(
        Kind.PLACED,
        "ERROR",
        life.id,
        f"armed by the state file, but Kraken has its order {sighting.txid} already: the file "
        "is an older copy. Nothing is placed; the order is watched",
        order_id=sighting.txid,
    )


def stands_otherwise(life: Life, sighting: Sighting) -> Sentence:
    """Say that the order which was found is not what was sent last."""
    return of_row(
        Kind.PLACED,
        "ERROR",
        life.id,
        f"the order {sighting.txid} that stands under its id is another: {sighting.differs}. "
        "Look at it at Kraken; the row is not armed again",
        order_id=sighting.txid,
    )


def row_differs(life: Life, rule: Rule) -> Sentence:
    """Say that an order was found which the row, as it was edited since, does not describe."""
    return of_row(
        Kind.PLACED,
        "ERROR",
        life.id,
        f"order {life.order_id} is of the row as it was ({life.order}); it says {rule.direction} "
        f"{rule.volume_text} now. To arm that, set enabled to true and empty order_id, "
        "trigger_time and trigger_price",
        order_id=life.order_id,
    )


def as_it_was(life: Life, word: str) -> Sentence:
    """Say that a row which has fired lies in the file as it was before, and is not armed.

    `word` under `enabled` makes it another one.
    """
    return of_row(
        Kind.DISARMED,
        "ERROR",
        life.id,
        f"NOT armed again: an old copy of the row, from before order {life.order_id}, which "
        f"stays watched. To arm it, change one more cell, such as enabled={word}",
        order_id=life.order_id,
    )


def noted_into_a_save(lives: Sequence[Life]) -> Sentence:
    """Say that somebody was saving config.csv for too long to be waited for."""
    names = ", ".join(f"{life.id} ({life.order_id})" for life in lives)
    text = (
        f"config.csv is being written to all the while, and is told of {names} all the same. Look "
        "whether all is there that somebody is saving"
    )
    return Sentence(Kind.CONFIG, "WARNING", text)


def expired(rule: Rule, moment: datetime) -> Sentence:
    """Say that a row has ended by itself, and how it begins anew."""
    when = moment.strftime("%Y-%m-%d %H:%MZ")
    text = f"disarmed: it expired at {when}; no order was placed. To arm it, change expires"
    return of_row(Kind.DISARMED, "WARNING", rule.id, text)


def too_late(crossing: Crossing, moment: datetime) -> Sentence:
    """Say that a crossing came after its row had ended."""
    when = moment.strftime("%Y-%m-%d %H:%MZ")
    text = f"{crossed(crossing)} after the row had expired at {when}; no order is placed"
    return of_row(Kind.DISARMED, "WARNING", crossing.key, text)


def no_index(crossing: Crossing) -> Sentence:
    """Say that the stop follows another price than the row asks for."""
    text = (
        f"{crossing.rule.condition} {crossing.reason} at {readable(crossing.price)}; Kraken has no "
        "index price of the pair, so its stop follows the last price"
    )
    return of_row(Kind.WAITING, "WARNING", crossing.key, text)


def kept_for_leader(crossing: Crossing) -> Sentence:
    """Say that another host places the order of a crossing."""
    return of_row(
        Kind.STANDBY,
        "INFO",
        crossing.key,
        f"crossed at {readable(crossing.price_text)}. The host that leads places its order; it is "
        "kept here in case that one cannot",
    )


def unknown_to_the_store(life: Life, txid: str) -> Sentence:
    """Say that an order stands of which the shared store knew nothing."""
    return of_row(
        Kind.DOUBTFUL,
        "WARNING",
        life.id,
        f"order {shown(txid, 40)} stands at Kraken, and the store did not know it. It counts as "
        "placed; look whether the store lost more",
    )
