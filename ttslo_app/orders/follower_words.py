"""What the order thread says where several hosts share an account.

Pure: a function for each sentence. What it must never do: say of a kept crossing that it has an
order.
"""

from __future__ import annotations

from krakenlink.foreign import shown
from krakenlink.numbers import readable
from ttslo_app.messages import Crossing, Kind, Sentence
from ttslo_app.orders.life import Life
from ttslo_app.orders.words import of_row


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
