"""Every sentence about a run's account: its stream, and a trading key that is one program's alone.

Pure: a function for each sentence, a constant where it is always the same. What it must never do:
call an order unwatched, which it is not while REST answers, or let anybody agree to what is one way
without having been told so.
"""

from __future__ import annotations

from krakenlink.foreign import shown
from ttslo_app.messages import Kind, Sentence

# In the words of `key_info.Right`, which the doctor alone needs.
_PERMIT = 'Permit "Access WebSockets" and "Query open orders & trades"'
_ONE_WAY = (
    "From then on Kraken takes this key's calls from the newest start of ttslo alone and refuses "
    "every other program that uses the key, for ever"
)


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
        cure = _PERMIT
    return Sentence(
        Kind.KEY,
        "WARNING",
        f"Orders are looked at every {every:.0f} s: no key may stream them ({said.strip(' .')}). "
        f"{cure}",
    )


def _ended(text: str) -> str:
    return f"{text.strip().rstrip('.')}."


NO_KEY = "--exclusive-key needs a trading key: set KRAKEN_API_KEY_RW and KRAKEN_API_SECRET_RW"
FLAG_MISSING = (
    "the trading key was made exclusive from this machine, and Kraken takes no usual nonce of "
    "it any more. Start with --exclusive-key, or make a new key"
)


def was_deposed(mark: str, moment: str) -> str:
    """Say that this copy has lost the key, and must not take it back by itself."""
    since = f" at {shown(moment, 40)}" if moment else ""
    return (
        f"a later start elsewhere took this trading key over{since}. If that one has ended and "
        f"this copy is to be the one again, delete {mark} and start anew"
    )


def no_consent(consent: str) -> str:
    """Say what the flag means, and that nobody has agreed to it."""
    return (
        f"--exclusive-key is one way. {_ONE_WAY}. Make a key of its own for ttslo at Kraken, then "
        f"add {consent}"
    )


def not_taken(said: str) -> str:
    """Say that Kraken refuses even the highest nonces that were tried."""
    return (
        f"Kraken takes no exclusive nonce of this key ({shown(said)}). Some other program may use "
        "it with higher ones: make a new key for ttslo alone"
    )


QUESTION = f"--exclusive-key is one way. {_ONE_WAY}. Is this key ttslo's alone? Type yes:"
TAKEN = Sentence(
    Kind.KEY,
    "INFO",
    "The trading key is this run's alone: whoever used it before is refused from now on",
)


def taken_unasked(said: str) -> Sentence:
    """Say that Kraken has not confirmed it yet."""
    return Sentence(
        Kind.KEY,
        "WARNING",
        f"Kraken has not confirmed yet that the trading key is this run's alone ({shown(said)}). "
        "The next call that it takes does that",
    )


def deposed(path: str) -> Sentence:
    """Say that a later start has the key, and that this run is over."""
    return Sentence(
        Kind.KEY,
        "ERROR",
        "DEPOSED: a later start has this trading key. This run places NO ORDER more and ends; "
        f"orders at Kraken stay. To undo: end the other, delete {path}",
    )


def mark_not_written(path: str, error: Exception) -> Sentence:
    """Say that a restart would take the key back, as nothing keeps it from that."""
    return Sentence(
        Kind.DISK,
        "ERROR",
        f"{path} cannot be written ({shown(str(error))}): a restart of this program would take "
        "the key back. Keep it from starting again",
    )


def far_nonce_refused(said: str) -> str:
    """Say that Kraken does not take exclusive nonces."""
    return f"Kraken takes no exclusive nonce of this key ({shown(said)})"


LOWER_NONCE_TAKEN = (
    "Kraken took a LOWER nonce after an exclusive one: the key may have a nonce window. A "
    "second copy would not be refused"
)
