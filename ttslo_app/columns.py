"""What the columns of config.csv are called, and which foreign ones would change an order.

Pure. People misspell names, and files of later versions have columns that say when a row may fire,
or how much it trades. What it must never do: let a cell that means something pass for a note.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

REQUIRED_COLUMNS = (
    "id",
    "pair",
    "threshold_price",
    "threshold_type",
    "direction",
    "volume",
    "trailing_offset_percent",
)
CONFIG_COLUMNS = (*REQUIRED_COLUMNS, "enabled")
TRIGGER_COLUMNS = ("order_id", "trigger_time", "trigger_price")
WHEN_BLIND_COLUMN = "when_blind"
# What a row may say beyond that; each is left out in most files.
OFFSET_QUOTE_COLUMN, LIMIT_COLUMN = "trailing_offset_quote", "limit_offset"
TERM_COLUMNS = (OFFSET_QUOTE_COLUMN, LIMIT_COLUMN, "trigger", "fee_currency", "expires")
# Words of the user's own, which appear in notifications and mean nothing to the program.
NOTE_COLUMN = "note"
# Of the rows of a group one fires; a row waits until the order of the one before it is filled.
GROUP_COLUMN, AFTER_COLUMN = "group", "after"
# In files of other versions: what `after` says, told by the row that comes first.
LINK_COLUMN = "linked_order_id"

_LINK = "the row would depend on another one"
_DATE = "the row would fire, or end, by the calendar"
_SIZE = "the row would trade a sum of money and not its volume"
_KIND = "the order would be another one"
FOREIGN_COLUMNS: Mapping[str, str] = {
    **dict.fromkeys(("linked_id", "linked_to", "depends_on"), _LINK),
    **dict.fromkeys(("trigger_type", "trigger_datetime", "trigger_date"), _DATE),
    **dict.fromkeys(("activate_on", "activate_at", "active_from", "not_before"), _DATE),
    **dict.fromkeys(("valid_from", "valid_until", "expires_on", "expires_at"), _DATE),
    **dict.fromkeys(("fiat_amount", "fiat_volume", "quote_amount", "quote_volume"), _SIZE),
    **dict.fromkeys(("leverage", "reduce_only"), _KIND),
}
"""Columns that no row may have a value in, and what it would mean."""

# What such a column says where it asks for nothing else than what is done anyway.
_HARMLESS = {"trigger_type": "price", "reduce_only": "false"}

KNOWN_COLUMNS = (
    *CONFIG_COLUMNS,
    *TRIGGER_COLUMNS,
    WHEN_BLIND_COLUMN,
    *TERM_COLUMNS,
    NOTE_COLUMN,
    GROUP_COLUMN,
    AFTER_COLUMN,
    LINK_COLUMN,
    *FOREIGN_COLUMNS,
)

# Columns that are left out in most files: who means one of them and misspells it gets no other
# word, so what stands there is not passed over.
_OPTIONAL = frozenset(
    {
        *TRIGGER_COLUMNS,
        WHEN_BLIND_COLUMN,
        *TERM_COLUMNS,
        GROUP_COLUMN,
        AFTER_COLUMN,
        LINK_COLUMN,
        *FOREIGN_COLUMNS,
    }
)
# Written by this program elsewhere, or by later versions as a record of what has happened.
_RECORDS = frozenset({"triggered", "activated_on", "last_checked"})
# What people call a column of ours; it counts where that column is missing.
_OTHER_NAMES = {
    **dict.fromkeys(("name", "rule"), "id"),
    **dict.fromkeys(("symbol", "market"), "pair"),
    **dict.fromkeys(("price", "threshold", "level"), "threshold_price"),
    **dict.fromkeys(("target_price", "stop_price"), "threshold_price"),
    **dict.fromkeys(("type", "condition"), "threshold_type"),
    **dict.fromkeys(("side", "action"), "direction"),
    **dict.fromkeys(("amount", "size", "quantity", "qty"), "volume"),
    **dict.fromkeys(("offset", "trailing_offset", "trail"), "trailing_offset_percent"),
    **dict.fromkeys(("offset_percent", "trailing_percent"), "trailing_offset_percent"),
    **dict.fromkeys(("active", "enable", "armed"), "enabled"),
}
# One letter wrong in seven; of shorter names one that is there twice, or has a neighbour's place.
_CLOSE = 0.84
# A spreadsheet can write thousands of columns, and each would be compared with all known names.
_MOST_COMPARED = 100


def foreign_meaning(column: str, value: str) -> str:
    """Return why a row with `value` in that column must not trade; empty where it may."""
    meaning = FOREIGN_COLUMNS.get(column)
    if meaning is None or not value or value.lower() == _HARMLESS.get(column):
        return ""
    cure = "empty the cell to let the row fire by its price alone, or take the row out"
    return f"this version does not know what {column} asks for ({meaning}); {cure}"


def misspelled(columns: Sequence[str]) -> dict[str, str]:
    """Return the unknown columns that look like a known one which is missing, and which."""
    present = set(columns)
    targets = {_plain(name): name for name in KNOWN_COLUMNS if name not in present}
    for alias, name in _OTHER_NAMES.items():
        if name not in present:
            targets.setdefault(_plain(alias), name)
    unknown = [name for name in columns if name and name not in KNOWN_COLUMNS]
    if not unknown:
        return {}
    from difflib import get_close_matches  # here, because a slip of the hand is rare

    found: dict[str, str] = {}
    for name in unknown[:_MOST_COMPARED]:
        plain = _plain(name[:60])
        close = get_close_matches(plain, targets, 1, _CLOSE) if name not in _RECORDS else []
        if close:
            found[name] = targets[close[0]]
    return found


def column_findings(columns: Sequence[str]) -> Iterator[str]:
    """Yield what is odd about the names of columns."""
    for name, meant in misspelled(columns).items():
        yield f"column {name[:60]!r} is none of ours; did you mean {meant}?"


def suspicious(columns: Sequence[str]) -> dict[str, str]:
    """Return the misspelled columns in which no row may have a value, and which is meant."""
    return {name: meant for name, meant in misspelled(columns).items() if meant in _OPTIONAL}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
