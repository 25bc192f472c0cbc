"""The sentences on orders in doubt, and on orders of which nobody here knew.

Pure, as `words`. What they must never do: call anything certain that is not.
"""

from __future__ import annotations

from ttslo_app.messages import Crossing, Kind, Sentence, Sighting
from ttslo_app.orders.life import Life
from ttslo_app.orders.words import crossed, of_row
from ttslo_app.rules.rule import Rule


def sent_by_another_key(life: Life) -> Sentence:
    """Say that an order in doubt cannot be looked up, because another key has sent it."""
    return of_row(
        Kind.KEY,
        "ERROR",
        life.id,
        f"UNCERTAIN whether the order {life.order} stands: another key has sent it, and this one "
        "cannot see it. Start once with the key of before, or look at Kraken and delete the row "
        "of the state file",
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
        f"{crossed(crossing)}, but WAITS: it was armed by an earlier run, and Kraken cannot be "
        f"asked whether it has an order already ({error}). It is asked again",
    )


def has_an_order(life: Life, sighting: Sighting) -> Sentence:
    """Say that a rule which passes for armed has an order already, of an earlier time."""
    return of_row(
        Kind.PLACED,
        "ERROR",
        life.id,
        f"the state file says that it is armed, and Kraken has its order {sighting.txid} "
        "already: the file is an older copy. Nothing is placed; the order is watched",
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
        f"the order {life.order_id} is of the row as it was ({life.order}); the row has changed "
        f"since and would {rule.direction} {rule.volume}. To arm it as it is, set enabled to "
        "true and empty its order_id, trigger_time and trigger_price",
        order_id=life.order_id,
    )


def as_it_was(life: Life) -> Sentence:
    """Say that a row which has fired lies in the file as it was before, and is not armed."""
    return of_row(
        Kind.DISARMED,
        "ERROR",
        life.id,
        f"NOT armed again: the row is letter for letter as it was before its order "
        f"{life.order_id}; an editor has probably saved an old copy. The order is noted anew and "
        "stays watched. To arm the row again, change one of its cells as well, such as enabled "
        "to yes",
        order_id=life.order_id,
    )
