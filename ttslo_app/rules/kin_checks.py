"""Rows that belong together: groups, of which one fires, and rows that follow another one's fill.

Pure. A row is judged by the other rows of its file, refused ones too: a row that has a fault is
there all the same. What it must never do: let a row that is to wait for another one trade alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from krakenlink.foreign import some_of
from krakenlink.pairs import shown_pair
from ttslo_app.columns import AFTER_COLUMN, GROUP_COLUMN, LINK_COLUMN
from ttslo_app.rules.checked import CheckedRow
from ttslo_app.rules.findings import text_of
from ttslo_app.rules.rule import Rule

# What is said of these columns is said in any run.
KIN_FIELDS = frozenset({GROUP_COLUMN, AFTER_COLUMN})
_MOST_NAMES = 5


def check_kin(rows: Sequence[CheckedRow], armed_before: Collection[str]) -> None:
    """Refuse rows whose relations make no sense, and say what is odd about the others.

    Args:
        rows: All rows of a file.
        armed_before: Ids of rows that were armed earlier: a row that protects somebody does not
            end because the row before it was taken out of the file.
    """
    if not any(row.has_kin for row in rows):
        return  # as in most files
    _check_links(rows)
    tied = [(row, row.rule) for row in rows if row.rule and (row.rule.after or row.rule.group)]
    if not tied:
        return
    by_id = {row.label: row for row in rows}
    afters = {rule.id: rule.after for _, rule in tied if rule.after}
    groups: dict[str, list[tuple[CheckedRow, Rule]]] = {}
    for row, rule in tied:
        if rule.after:
            is_old = row.label in armed_before or row.has_fired
            _check_after(row, rule, by_id, afters, is_old=is_old)
        if rule.group:
            groups.setdefault(rule.group, []).append((row, rule))
    for name, members in groups.items():
        _check_group(name, members)


def _check_links(rows: Sequence[CheckedRow]) -> None:
    """Refuse a row that another one names as the next, and that does not know of it.

    Rows of a file know: whoever reads it sees to that. Rows that a caller made need not.
    """
    links: dict[str, str] = {}
    for row in rows:
        child = text_of(row.row, LINK_COLUMN)
        if child:
            links.setdefault(child, row.label)
    for row in rows if links else ():
        parent = links.get(row.label)
        if parent is None or row.rule is None:
            continue
        if row.rule.after != parent:
            said = f"{parent} names this row in {LINK_COLUMN}, so it is to wait for that one"
            row.refuse(AFTER_COLUMN, f"{said}; write {parent} in the cell {AFTER_COLUMN} of it")
        elif not row.rule.enabled and not row.has_fired:
            said = f"{parent} names this row in {LINK_COLUMN}, and it is disabled"
            cure = "set enabled to true: it is armed when that order is filled, and not before"
            row.warn(AFTER_COLUMN, f"{said}; {cure}")


# --- after --------------------------------------------------------------------------------------


def _check_after(
    row: CheckedRow,
    rule: Rule,
    by_id: Mapping[str, CheckedRow],
    afters: Mapping[str, str],
    *,
    is_old: bool,
) -> None:
    parent = by_id.get(rule.after)
    before = list(_before(rule.id, afters))
    if before[-1] == rule.id:
        circle = " after ".join([rule.id, *before])
        cure = "empty one of the cells, so that there is a first row"
        row.refuse(AFTER_COLUMN, f"The rows wait for each other in a circle: {circle}; {cure}")
        return
    if parent is None:
        said = f"There is no row {rule.after!r}, which this one is to follow"
        if is_old:
            row.warn(AFTER_COLUMN, f"{said}; it was armed before, and stays armed")
        else:
            cure = "write the id of a row of this file, or empty the cell to arm this row now"
            row.refuse(AFTER_COLUMN, f"{said}; {cure}")
        return
    for name in before:
        other = by_id.get(name)
        if rule.group and other is not None and other.rule and other.rule.group == rule.group:
            said = f"It follows {name}, and both are of the group {rule.group}, of which one fires"
            row.refuse(AFTER_COLUMN, f"{said}: it could never be armed; give it another group")
            return
    if row.waits and not is_old:
        _warn_of_parent(row, parent)


def _before(rule_id: str, afters: Mapping[str, str]) -> Iterator[str]:
    """Yield the rows that come before one, the next first; a circle ends where it closes."""
    seen: set[str] = set()
    here = afters.get(rule_id, "")
    while here and here not in seen:
        yield here
        if here == rule_id:
            return
        seen.add(here)
        here = afters.get(here, "")


def _warn_of_parent(row: CheckedRow, parent: CheckedRow) -> None:
    """Say why the order that a row waits for may never come."""
    if parent.is_refused or parent.rule is None:
        said = f"It waits for {parent.label}, which is refused, so it is not armed either"
        row.warn(AFTER_COLUMN, f"{said}; mend that row")
    elif not parent.rule.enabled and not parent.has_fired:
        said = f"It waits for {parent.label}, which is disabled, so it is never armed"
        row.warn(AFTER_COLUMN, f"{said}; set enabled to true there")


# --- groups -------------------------------------------------------------------------------------


def _check_group(name: str, members: Sequence[tuple[CheckedRow, Rule]]) -> None:
    live = [(row, rule) for row, rule in members if row.waits]
    if len(members) == 1:
        for row, _ in live:
            said = f"Group {name} has no other row, so it changes nothing"
            row.warn(GROUP_COLUMN, f"{said}; does another row lack the name?")
        return
    pairs = list(dict.fromkeys(shown_pair(rule.pair) for _, rule in members))
    for row, _ in live if len(pairs) > 1 else ():
        said = f"Group {name} has rows of different pairs: {some_of(pairs, _MOST_NAMES)}"
        row.warn(GROUP_COLUMN, f"{said}. The first of them that is crossed disarms the others")
