"""What Kraken tells of an API key: what it may do, until when, and from where.

Pure. Kraken's page names the fields, but other shapes have been met of calls as young as this one,
so names and values are read tolerantly. It must never take what it cannot read for a permission
that is missing, nor hold the key itself or the number of a bank account, which the answer has too.

Source: Kraken, REST GetApiKeyInfo and its guide on permissions (read 2026-11).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from krakenlink.foreign import shown


class Right(StrEnum):
    """A permission, as Kraken's page of keys calls it."""

    QUERY_FUNDS = "Query funds"
    QUERY_OPEN = "Query open orders & trades"
    QUERY_CLOSED = "Query closed orders & trades"
    MODIFY = "Create & modify orders"
    CANCEL = "Cancel & close orders"
    STREAM = "Access WebSockets"
    WITHDRAW = "Withdraw funds"
    ADDRESSES = "Change withdrawal addresses"


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """One key. None stands for what the answer does not tell.

    Attributes:
        rights: What it may do, as far as it matters here.
        expires_at: When it ends, in seconds since 1970; infinite for never.
        nonce_window: How far below the highest nonce one may be, in the unit of the nonces.
        addresses: The addresses that may use it; empty for all.
    """

    rights: frozenset[Right] | None = None
    expires_at: float | None = None
    nonce_window: int | None = None
    addresses: tuple[str, ...] | None = None


# Of a value that is looked into, however it is nested.
_DEEPEST, _MOST = 4, 500
_YES = frozenset({"true", "1", "yes", "on", "granted", "allowed", "enabled"})
# Seconds since 1970 that no key outlives; what is larger counts in smaller units.
_YEAR_5000 = 1e11


def read_key_info(result: object) -> KeyInfo:
    """Return what GetApiKeyInfo's `result` tells. Never raises."""
    fields = dict(_fields(result, _DEEPEST))
    found: dict[str, object] = {}
    for name, value in fields.items():
        kind = _kind_of(name)
        if kind:
            found.setdefault(kind, value)
    return KeyInfo(
        rights=_rights(found["rights"]) if "rights" in found else None,
        expires_at=_moment(found["expiry"]) if "expiry" in found else None,
        nonce_window=_whole(found.get("window")),
        addresses=_addresses(found["addresses"]) if "addresses" in found else None,
    )


def _kind_of(name: str) -> str:
    """Return what a field tells of; empty for all that does not matter, or must not be kept."""
    plain = "".join(_words(name))
    if "permission" in plain or plain in ("rights", "scopes"):
        return "rights"
    if plain in ("validuntil", "validto") or plain.startswith("expir"):
        return "expiry"
    if "nonce" in plain and "window" in plain:
        return "window"
    is_list = any(part in plain for part in ("allow", "white", "restrict", "list"))
    return "addresses" if is_list and "ip" in plain else ""


def _fields(value: object, deepest: int) -> Iterator[tuple[str, object]]:
    """Yield the named values, the outer ones first."""
    if not isinstance(value, Mapping) or deepest == 0:
        return
    entries = [(str(name), entry) for name, entry in value.items()][:_MOST]
    yield from entries
    for _, entry in entries:
        yield from _fields(entry, deepest - 1)


def _words(name: str) -> list[str]:
    """Return the words of a name in lower case, however they are joined."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name[:200])
    return re.findall(r"[a-z0-9]+", parted.lower())


# --- permissions -------------------------------------------------------------------------------


def _rights(value: object) -> frozenset[Right] | None:
    """Return the permissions; None where none of the names is one that is known."""
    names = list(_granted(value, "", _DEEPEST))[:_MOST]
    known = frozenset(right for name in names if (right := right_of(name)) is not None)
    return None if names and not known and not any(map(_is_other, names)) else known


def _granted(value: object, name: str, deepest: int) -> Iterator[str]:
    """Yield the names of what is granted: a list of names, or names with yes or no."""
    if deepest == 0:
        return
    if isinstance(value, Mapping):
        for key, entry in list(value.items())[:_MOST]:
            yield from _granted(entry, f"{name} {key}".strip(), deepest - 1)
    elif isinstance(value, list | tuple | set | frozenset):
        for entry in list(value)[:_MOST]:
            yield from _granted(entry, name, deepest - 1)
    elif isinstance(value, str):
        if not name or value.strip().lower() not in (_YES | {"false", "0", "no", "off", ""}):
            yield from (f"{name} {part}".strip() for part in re.split(r"[,;|]", value) if part)
        elif value.strip().lower() in _YES:
            yield name
    elif value is True or value == 1:
        yield name


def right_of(name: str) -> Right | None:
    """Return the permission that a name means, such as `query-funds`; None for any other."""
    words = set(_words(name))
    if any(word.startswith("withdraw") for word in words):
        return Right.ADDRESSES if words & {"address", "addresses"} else Right.WITHDRAW
    if words & {"websocket", "websockets", "ws", "token"}:
        return Right.STREAM
    is_query = bool(words & {"query", "read", "view"})
    if is_query and words & {"fund", "funds", "balance", "balances"}:
        return Right.QUERY_FUNDS
    if not words & {"order", "orders", "trade", "trades"}:
        return None
    if "open" in words and is_query:
        return Right.QUERY_OPEN
    if "closed" in words and is_query:
        return Right.QUERY_CLOSED
    if words & {"modify", "create", "place", "add"}:
        return Right.MODIFY
    return Right.CANCEL if words & {"cancel", "close"} else None


def _is_other(name: str) -> bool:
    """Tell whether a name is a permission of Kraken's that does not matter here."""
    return bool({"ledger", "ledgers", "export", "deposit", "earn"} & set(_words(name)))


# --- the rest ----------------------------------------------------------------------------------


def _moment(value: object) -> float | None:
    """Return a moment in seconds since 1970; infinite for none; None for what is no moment."""
    if value is None or value is False:
        return math.inf
    text = str(value).strip().lower()
    if text in ("", "0", "0.0", "never", "none", "null"):
        return math.inf
    try:
        number = float(text)
    except ValueError:
        return _iso(str(value).strip())
    if not math.isfinite(number) or number < 0:
        return None
    while number > _YEAR_5000:
        number /= 1000
    return number or math.inf


def _iso(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _whole(value: object) -> int | None:
    text = "" if isinstance(value, bool) else str(value).strip()
    return int(text) if re.fullmatch(r"\d{1,20}", text, re.ASCII) else None


def _addresses(value: object) -> tuple[str, ...] | None:
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        value = re.split(r"[,;\s]+", value)
    if isinstance(value, Mapping):
        value = list(value)
    if not isinstance(value, list | tuple):
        return None
    return tuple(shown(str(one).strip(), 60) for one in value[:_MOST] if str(one).strip())
