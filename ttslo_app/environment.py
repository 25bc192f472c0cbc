"""Names in the environment that look like ours and are none: a misspelt one is no setting.

Pure. It must never show a value: it may be a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ttslo_app.messages import Kind, Sentence

_KEYS = ("KRAKEN_API_KEY", "KRAKEN_API_SECRET", "KRAKEN_API_KEY_RW", "KRAKEN_API_SECRET_RW")
KNOWN = (
    *_KEYS,
    *(f"{name}_FILE" for name in _KEYS),
    *("KRAKEN_SPOT_URL", "KRAKEN_WS_PUBLIC_URL", "KRAKEN_WS_AUTH_URL"),
    *("TTSLO_CACHE_DIR", "TTSLO_ORDER_SETTINGS"),
    *("TTSLO_NOTIFY", "TTSLO_NOTIFY_FILE", "TTSLO_PING", "TTSLO_PING_FILE"),
    *("TTSLO_WEB_TOKEN", "TTSLO_WEB_TOKEN_FILE"),
    *("TTSLO_STORE_USER", "TTSLO_STORE_PASSWORD", "TTSLO_STORE_PASSWORD_FILE"),
    *("TTSLO_STORE_CA", "TTSLO_STORE_CERT", "TTSLO_STORE_KEY"),
)
# Behind these there may be two underscores and the name of an account.
_KEYS_OF_ACCOUNTS = frozenset({*_KEYS, *(f"{name}_FILE" for name in _KEYS)})
# What begins so is meant for this program; other names of Kraken's belong to other tools.
_OURS = re.compile(r"(TTSLO_|KRAKEN_?API|KRAKEN_(SECRET|KEY)|KRAKEN_\w*U[RL]+\b)", re.IGNORECASE)
# Words of people who know another program, or a flag.
_MEANT = {
    "KRAKEN_API_KEY_RO": "KRAKEN_API_KEY",
    "KRAKEN_API_SECRET_RO": "KRAKEN_API_SECRET",
    "KRAKEN_KEY": "KRAKEN_API_KEY",
    "KRAKEN_SECRET": "KRAKEN_API_SECRET",
    "KRAKEN_API_PRIVATE_KEY": "KRAKEN_API_SECRET",
    "KRAKEN_API_PUBLIC_KEY": "KRAKEN_API_KEY",
    "KRAKEN_WS_URL": "KRAKEN_WS_PUBLIC_URL",
    "KRAKEN_URL": "KRAKEN_SPOT_URL",
    "KRAKEN_API_URL": "KRAKEN_SPOT_URL",
    "TTSLO_DRYRUN": "the flag --dry-run",
    "TTSLO_DRY_RUN": "the flag --dry-run",
    "TTSLO_CONFIG": "the flag --config",
    "TTSLO_STATE": "the flag --state",
    "TTSLO_LOG": "the flag --log",
    "TTSLO_DEBUG": "the flag --debug",
    "TTSLO_VERBOSE": "the flag --verbose",
    "TTSLO_INTERVAL": "the flag --interval",
    "TTSLO_WHEN_BLIND": "the flag --when-blind",
    "TTSLO_DEMO": "the flag --demo",
}
_OWN_START = "TTSLO_"
_LONGEST = 60


def unknown_names(names: Iterable[str], *, any_case: bool = False) -> list[Sentence]:
    """Return a sentence for each name that looks like one of ours and is none.

    Args:
        names: Of the environment, and of the .env file.
        any_case: Whether the system takes lower case for upper case.
    """
    found = []
    for name in sorted(set(names)):
        plain, _, account = (name.upper() if any_case else name).partition("__")
        is_known = plain in (_KEYS_OF_ACCOUNTS if account else KNOWN)
        if _OURS.match(name) and not is_known:
            found.append(_unknown(name))
    return found


def _unknown(name: str) -> Sentence:
    shown = name[:_LONGEST]
    meant = _meant_by(name)
    hint = f"Did you mean {meant}?" if meant else f"There are {', '.join(KNOWN)}"
    return Sentence(
        Kind.START,
        "WARNING",
        f"{shown} is set, but no setting has that name: it is not used. {hint}",
    )


def _meant_by(name: str) -> str:
    upper = name.upper().replace("-", "_")
    if upper in KNOWN:
        return upper
    if upper in _MEANT:
        return _MEANT[upper]
    from difflib import get_close_matches  # here, because a slip of the hand is rare

    # What all names begin with makes none of them like another.
    start = _OWN_START if upper.startswith(_OWN_START) else ""
    names = {name.removeprefix(start): name for name in (*KNOWN, *_MEANT) if name.startswith(start)}
    close = get_close_matches(upper.removeprefix(start), names, n=1, cutoff=0.75)
    return _MEANT.get(names[close[0]], names[close[0]]) if close else ""
