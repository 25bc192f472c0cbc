"""etcd's JSON gateway: what is asked and what is answered, without the network.

Pure. Keys and values travel in base64, numbers as text. etcd leaves out what is zero, false or
empty. What it must never do: take an answer that is not etcd's for one, or an unknown outcome for a
refusal.

Source: etcd 3.4 and 3.5, API reference and the errors of its `rpctypes` (read 2026-11).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any

from krakenlink.foreign import shown
from ttslo_app.cluster import words
from ttslo_app.cluster.store import Answer, Change, Entry, is_ours


class Fate(Enum):
    """What an answer that is none means for who asked."""

    ELSEWHERE = auto()  # another node may answer; a change may have been done
    NOT_DONE = auto()  # another node may answer; a change was not done
    LOGIN = auto()  # the token is not valid any more
    REFUSED = auto()  # no node will do it, and it was not done


class Refusal(Exception):
    """An answer that is none.

    Attributes:
        fate: What it means.
        text: What happened and what to do, for a person.
    """

    def __init__(self, fate: Fate, text: str) -> None:
        super().__init__(text)
        self.fate = fate
        self.text = text


class Odd(Exception):
    """An answer that etcd does not give."""


def text(data: bytes | str) -> str:
    """Return a key or a value as it travels."""
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def end_of(prefix: str) -> str:
    """Return the first key behind all that begin with `prefix`, as it travels."""
    data = prefix.encode().rstrip(b"\xff")
    return text(data[:-1] + bytes((data[-1] + 1,)) if data else b"\0")


def get_body(key: str, revision: int = 0) -> dict[str, Any]:
    """Return what asks for a key as of a revision; 0 for now."""
    return {"key": text(key), **({"revision": str(revision)} if revision else {})}


def page_body(prefix: str, after: str | None, revision: int, limit: int) -> dict[str, Any]:
    """Return what asks for a page of all that begins with `prefix`.

    Args:
        prefix: What the keys begin with.
        after: The last key of the page before; None for the first one.
        revision: As of when; 0 for now.
        limit: Most entries.
    """
    first = prefix if after is None else after + "\0"
    body = {"key": text(first), "range_end": end_of(prefix), "limit": limit}
    return {**body, "revision": str(revision)} if revision else body


def txn_body(change: Change) -> dict[str, Any]:
    """Return what asks for a change; where it is refused, the keys in its way are told."""
    compare = [
        {"key": text(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(version)}
        for key, version in change.rests_on.items()
    ]
    steps: list[dict[str, Any]] = [
        {"request_put": {"key": text(key), "value": text(value)}}
        for key, value in change.puts.items()
    ]
    steps += [{"request_delete_range": {"key": text(key)}} for key in change.deletes]
    looks = [{"request_range": {"key": text(key)}} for key in looked_at(change)]
    return {"compare": compare, "success": steps, "failure": looks}


def looked_at(change: Change) -> list[str]:
    """Return the keys that are read where a change is refused: only they tell whose it was."""
    return list(dict.fromkeys([*change.rests_on, *change.puts]))


def watch_body(prefix: str, after: int) -> dict[str, Any]:
    """Return what asks for all later changes below `prefix`, in pieces that the gateway takes."""
    create = {"key": text(prefix), "range_end": end_of(prefix), "start_revision": str(after + 1)}
    return {"create_request": {**create, "fragment": True}}


# --- answers -----------------------------------------------------------------------------------


def read_object(data: bytes) -> dict[str, Any]:
    """Return an answer as JSON.

    Raises:
        Odd: If it is no JSON object.
    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise Odd("no JSON") from None
    if not isinstance(found, dict):
        raise Odd("no JSON object")
    return found


def number(cells: Mapping[str, Any], name: str) -> int:
    """Return a number of an answer; 0 where etcd has left it out.

    Raises:
        Odd: If it is none.
    """
    found = cells.get(name, 0)
    try:
        return int(found)
    except (TypeError, ValueError):
        raise Odd(f"{name} is no number") from None


def revision_of(answer: Mapping[str, Any]) -> int:
    """Return the revision of the store at an answer.

    Raises:
        Odd: If it tells none.
    """
    header = answer.get("header")
    revision = number(header, "revision") if isinstance(header, dict) else 0
    if revision <= 0:
        raise Odd("no revision")
    return revision


def entry_of(cells: object) -> Entry:
    """Return a key with its value and version.

    Raises:
        Odd: If there is none.
    """
    if not isinstance(cells, dict):
        raise Odd("no key")
    try:
        key = base64.b64decode(cells.get("key", ""), validate=True).decode()
        value = base64.b64decode(cells.get("value", ""), validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise Odd("a key or value that is no base64") from None
    return Entry(key, value, number(cells, "mod_revision"))


def entries_of(answer: Mapping[str, Any]) -> list[Entry]:
    """Return the entries that an answer holds.

    Raises:
        Odd: If they are none.
    """
    found = answer.get("kvs") or []
    if not isinstance(found, list):
        raise Odd("kvs is no list")
    return [entry_of(one) for one in found]


def read_page(answer: Mapping[str, Any]) -> tuple[list[Entry], bool, int]:
    """Return the entries of a page, whether there are more, and the revision.

    Raises:
        Odd: If it is no page.
    """
    return entries_of(answer), answer.get("more") is True, revision_of(answer)


def read_txn(change: Change, answer: Mapping[str, Any]) -> Answer:
    """Return what became of a change.

    Raises:
        Odd: If the answer does not belong to it.
    """
    revision, parts = revision_of(answer), answer.get("responses") or []
    if not isinstance(parts, list):
        raise Odd("responses is no list")
    if answer.get("succeeded") is True:
        if len(parts) != len(change.puts) + len(change.deletes):
            raise Odd("other steps than were asked")
        return Answer(True, revision, {})
    found: dict[str, Entry] = {}
    keys = looked_at(change)
    if len(parts) != len(keys):
        raise Odd("other keys than were asked")
    for key, part in zip(keys, parts, strict=True):
        read = part.get("response_range") if isinstance(part, dict) else None
        if not isinstance(read, dict):
            raise Odd("no range")
        for entry in entries_of(read):
            if entry.key != key:
                raise Odd("another key than was asked")
            found[key] = entry
    if is_ours(found, change.puts):
        return Answer(True, max(found[key].version for key in change.puts), {})
    return Answer(False, revision, {k: e for k, e in found.items() if k in change.rests_on})


# --- what went wrong ---------------------------------------------------------------------------

# What etcd says, in lower case, what that means, and our sentence. The first that fits.
_MEANINGS: Sequence[tuple[tuple[str, ...], Fate, str]] = (
    (("invalid auth token", "auth store is old", "auth token"), Fate.LOGIN, words.LOGIN_OLD),
    (("invalid user id or password",), Fate.REFUSED, words.LOGIN_REFUSED),
    (("user name is empty", "user name not found"), Fate.REFUSED, words.NO_LOGIN),
    (("authentication is not enabled",), Fate.REFUSED, words.NO_USERS),
    (("permission denied", "permission not granted"), Fate.REFUSED, words.NO_RIGHT),
    (("database space exceeded", "nospace"), Fate.REFUSED, words.NO_SPACE),
    (("corrupt",), Fate.REFUSED, words.CORRUPT),
    (("too many operations", "request is too large"), Fate.REFUSED, words.TOO_LARGE),
    (("has been compacted",), Fate.REFUSED, words.COMPACTED),
    (("duplicate key",), Fate.REFUSED, words.TWICE),
    (("too many requests",), Fate.NOT_DONE, words.BUSY),
    (("no leader",), Fate.ELSEWHERE, words.NO_QUORUM),
    (("timed out", "deadline exceeded", "leader changed", "not leader"), Fate.ELSEWHERE,
     words.NO_QUORUM),
    (("server stopped", "not capable", "unhealthy", "learner"), Fate.ELSEWHERE, words.NOT_READY),
)  # fmt: skip


def refusal(status: int, kind: str, data: bytes) -> Refusal:
    """Return what an answer with an HTTP status that is no success means.

    Args:
        status: The HTTP status.
        kind: Its content type.
        data: The body.
    """
    try:
        told = read_object(data)
    except Odd:
        told = {}
    said = told.get("message") or told.get("error")
    if b"CommonName of client" in data:
        return Refusal(Fate.REFUSED, words.COMMON_NAME)
    if not isinstance(said, str):
        return Refusal(Fate.ELSEWHERE, words.not_etcd(status, kind))
    return meaning(said)


def meaning(said: str) -> Refusal:
    """Return what etcd's words for an error mean."""
    lower = said.lower()
    for marks, fate, sentence in _MEANINGS:
        if any(mark in lower for mark in marks):
            return Refusal(fate, f"{sentence} (it says: {shown(said, 100)})")
    return Refusal(Fate.ELSEWHERE, words.other(said))
