"""`ttslo rows push` and `ttslo rows pull`: the rows of an account, from a file and into one.

What it must never do: go over a change of somebody else that its user has not seen, or leave it
open what was changed and what was not.
"""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from kraken_api import KrakenAPI
from ttslo_app.cluster.copy import Copy
from ttslo_app.cluster.records import Keys
from ttslo_app.cluster.sheet import Row, Step, change_of, filled, parts_of, steps_to
from ttslo_app.cluster.store import Store, StoreError
from ttslo_app.hosts import store_words as words
from ttslo_app.hosts import stores
from ttslo_app.hosts.stores import CODES, DONE, LIST_PATIENCE, NOT_DONE, PATIENCE
from ttslo_app.rules.checks import ConfigValidator
from ttslo_app.rules.findings import ValidationResult, format_validation_result
from ttslo_app.rules.price_checks import complete_prices
from ttslo_app.store.disk import Disk
from ttslo_app.store.rule_file import RuleFile
from ttslo_app.terminal import Parser, env_file, put, put_bytes, put_trouble

_MOST_SHOWN = 40  # differences; a file of thousands of new rows is not read on a screen


def parser() -> Parser:
    """Return the flags of the command."""
    made = Parser(prog="ttslo rows", description="The rows of an account in a shared store.")
    words_of = made.add_subparsers(dest="word", required=True, parser_class=Parser)
    push = words_of.add_parser(
        "push",
        help="make the rows of the store those of a file",
        description="Checks a file as --validate-config does, shows what differs from the rows "
        "in the store, and makes those of the store the same. Rows that the file does not have "
        "are taken out.",
        epilog=CODES,
    )
    push.add_argument("config", metavar="FILE", help="the rows, such as config.csv")
    push.add_argument("--check", action="store_true", help="change nothing")
    push.add_argument("--verbose", action="store_true", help="show what was checked, too")
    pull = words_of.add_parser(
        "pull",
        help="print the rows of the store as a config.csv",
        description="Prints the rows of the store, with their orders, as a config.csv. The same "
        "rows are always the same bytes.",
        epilog=CODES,
    )
    for one in (push, pull):
        stores.add_flags(one)
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command, `argv` being what follows its word, and return its exit code. Blocks."""
    made = parser()
    options = made.parse_args(argv)
    work = _push if options.word == "push" else _pull
    return stores.run(made, lambda: work(options))


def _pull(options: argparse.Namespace) -> int:
    with stores.opened(options) as (store, keys):
        data, _ = stores.copy_of(store, keys).config()
    put_bytes(data)
    return DONE


def _push(options: argparse.Namespace) -> int:
    reading = RuleFile(Path(options.config), Disk()).read()
    if reading.stamp is None:
        put_trouble(words.cannot(words.no_file(options.config)))
        return NOT_DONE
    with stores.opened(options) as (store, keys):
        copy = stores.copy_of(store, keys)
        known = copy.rows()
        result = _validated(reading.rows, known, env_file(options))
        result.file.extend(reading.findings)
        if not reading.rows:
            result.add_error(options.config, "rows", words.NO_ROW)
        put(format_validation_result(result, verbose=options.verbose))
        if not result.is_valid():
            put_trouble(words.not_pushed(options.config))
            return NOT_DONE
        steps = steps_to(reading.rows, known)
        _show(steps)
        if not steps:
            put(words.same(len(known)))
            return DONE
        if options.check:
            put(words.only_looked(len(steps)))
            return DONE
        return _done(store, keys, steps, copy)


def _validated(
    rows: Sequence[Mapping[str, str]], known: Sequence[Row], env_file: str
) -> ValidationResult:
    """Return what a run would say of the rows; those that are armed already may be crossed."""
    prices = KrakenAPI.from_env(readwrite=False, env_file=env_file, use_websocket=False)
    stands = {row.id: filled(row.cells) for row in known}
    same = {row["id"] for row in rows if stands.get(row.get("id", "")) == filled(row)}
    fired = {rule_id for rule_id, cells in stands.items() if cells.get("order_id")}
    result = ConfigValidator(prices).validate_config_file(
        rows, armed_before=same - fired, fired=fired & same, now=datetime.now(UTC)
    )
    complete_prices(result, prices)
    return result


def _show(steps: Sequence[Step]) -> None:
    for step in steps[:_MOST_SHOWN]:
        put(words.difference(step))
    if len(steps) > _MOST_SHOWN:
        put(words.more_differences(len(steps) - _MOST_SHOWN))


def _done(store: Store, keys: Keys, steps: Sequence[Step], copy: Copy) -> int:
    """Do the steps part by part, and say how far it came. Blocks."""
    done = 0
    for part in parts_of(steps):
        change = change_of(keys, part, secrets.token_hex(8))
        try:
            answer = store.commit(change, patience=PATIENCE)
        except StoreError:
            put_trouble(words.pushed_so_far(done, len(steps), len(part)))
            raise
        if not (answer.is_done or _are_gone(store, keys, part)):
            put_trouble(words.pushed_before(done, len(steps)))
            _show_others(store, keys, part, copy)
            return NOT_DONE
        done += len(part)
    put(words.pushed(done))
    return DONE


def _are_gone(store: Store, keys: Keys, part: Sequence[Step]) -> bool:
    """Tell whether a part only takes rows out, which are out: who did that leaves no trace."""
    return all(
        step.cells is None and store.get(keys.row(step.id), patience=PATIENCE) is None
        for step in part
    )


def _show_others(store: Store, keys: Keys, part: Sequence[Step], copy: Copy) -> None:
    """Tell which rows of a part somebody else has changed, and how they are now."""
    newest = Copy(keys)
    newest.load(*store.list(keys.base, patience=LIST_PATIENCE))
    for row_id in (step.id for step in part):
        if newest.version(keys.row(row_id)) != copy.version(keys.row(row_id)):
            now = newest.row(row_id)
            put_trouble(words.changed_meanwhile(row_id, None if now is None else now.cells))
