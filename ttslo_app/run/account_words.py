"""Every sentence about the account's stream.

Pure: a function for each sentence. What it must never do: call an order unwatched, which it is not
while REST answers.
"""

from __future__ import annotations

from krakenlink.rest.key_info import Right
from ttslo_app.messages import Kind, Sentence


def followed(every: float) -> Sentence:
    """Say that news of orders come at once."""
    return Sentence(
        Kind.LINK,
        "INFO",
        "Kraken tells at once what happens to orders; they are looked at over REST every "
        f"{every:.0f} s besides",
    )


def followed_again(seconds: float) -> Sentence:
    """Say that they do so again."""
    text = f"Kraken tells again at once what happens to orders, after {seconds:.0f} s"
    return Sentence(Kind.LINK, "INFO", text)


def lost(reason: str, every: float) -> Sentence:
    """Say that they do not, and what is done instead."""
    return Sentence(
        Kind.LINK,
        "WARNING",
        f"Kraken does not tell at once what happens to orders: {_ended(reason)} Until it does they "
        f"are looked at over REST every {every:.0f} s",
    )


def denied(said: str, every: float) -> Sentence:
    """Say that the key may not follow its orders, and which permission it lacks."""
    cure = "Mend the key"
    if "Permission denied" in said:
        cure = f'Permit "{Right.STREAM}" and "{Right.QUERY_OPEN}"'
    return Sentence(
        Kind.KEY,
        "WARNING",
        f"Orders are looked at every {every:.0f} s: no key may stream them ({said.strip(' .')}). "
        f"{cure}",
    )


def _ended(text: str) -> str:
    return f"{text.strip().rstrip('.')}."
