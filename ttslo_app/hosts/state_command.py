"""`ttslo state import` and `ttslo state export`: lives from a state.csv into a store, and back.

What it must never do: take over a life whose order may be on its way, or go over one that the store
has already.
"""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from ttslo_app.cluster.records import Keys, life_text
from ttslo_app.cluster.store import Change, Store, StoreError
from ttslo_app.hosts import store_words as words
from ttslo_app.hosts import stores
from ttslo_app.hosts.stores import CODES, DONE, NOT_DONE, PATIENCE, NotMade, is_led
from ttslo_app.orders.intents import read_intents, with_intents
from ttslo_app.orders.ledger import UnreadableLife, read_life
from ttslo_app.store.disk import Disk
from ttslo_app.store.journal import IntentJournal
from ttslo_app.store.lock import AlreadyRunning, StateLock
from ttslo_app.store.state_file import StateFile
from ttslo_app.store.state_text import state_bytes
from ttslo_app.terminal import Parser, put, put_bytes, put_trouble

_MOST_LIVES = 60  # of one change


def parser() -> Parser:
    """Return the flags of the command."""
    made = Parser(prog="ttslo state", description="The lives of an account's rows in a store.")
    words_of = made.add_subparsers(dest="word", required=True, parser_class=Parser)
    taken = words_of.add_parser(
        "import",
        help="put what a state.csv says into the store",
        description="Puts what a state.csv, and the journal beside it, say of the rows into the "
        "store: orders that stand stay known. No program may use the file meanwhile.",
        epilog=CODES,
    )
    taken.add_argument("state", metavar="FILE", help="the state, such as state.csv")
    given = words_of.add_parser(
        "export",
        help="print what the store says as a state.csv",
        description="Prints what the store says of the rows as a state.csv. Stop all hosts first.",
        epilog=CODES,
    )
    for one in (taken, given):
        stores.add_flags(one)
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command, `argv` being what follows its word, and return its exit code. Blocks."""
    made = parser()
    options = made.parse_args(argv)
    work = _import if options.word == "import" else _export
    return stores.run(made, lambda: work(options))


# --- into the store ----------------------------------------------------------------------------


def _import(options: argparse.Namespace) -> int:
    path, disk = Path(options.state), Disk()
    if not path.exists():
        put_trouble(words.cannot(words.no_file(options.state)))
        return NOT_DONE
    with stores.opened(options) as (store, keys):
        try:
            with StateLock(path, disk):  # whoever has it may write another life at any moment
                return _put_lives(store, keys, lives_of(path, disk))
        except AlreadyRunning as error:
            put_trouble(words.cannot(error))
            return NOT_DONE


def lives_of(path: Path, disk: Disk) -> dict[str, dict[str, str]]:
    """Return the cells of all lives of a state file and its journal. Blocks for the disk.

    Raises:
        NotMade: If one of them is in doubt: nobody could settle that from the store.
    """
    reading = StateFile(path, disk).load_checked()
    if reading.problems:
        raise NotMade(reading.problems[0].message)
    journal = IntentJournal(path, disk)
    intents = read_intents(journal.load())
    if intents.damaged:
        raise NotMade(words.damaged_journal(str(journal.path)))
    lives = with_intents(reading.rows, intents)
    unsettled = []
    for rule_id, cells in lives.items():
        try:
            life = read_life(rule_id, cells)
        except UnreadableLife as error:
            raise NotMade(words.unreadable_life(rule_id, error)) from None
        if life.is_unsettled:
            unsettled.append(rule_id)
    if unsettled:
        raise NotMade(words.unsettled(unsettled, str(path)))
    return {rule_id: {**cells, "id": rule_id} for rule_id, cells in lives.items()}


def _put_lives(store: Store, keys: Keys, lives: Mapping[str, Mapping[str, str]]) -> int:
    lead, fence = stores.lead_of(store, keys)
    if lead.host and is_led(store, keys):
        raise NotMade(words.still_led(lead.host))
    known = stores.lives_in(stores.copy_of(store, keys), keys)
    other = [rule_id for rule_id, cells in known.items() if lives.get(rule_id) != cells]
    if other:
        raise NotMade(words.lives_there(other))
    missing = [rule_id for rule_id in lives if rule_id not in known]
    done = 0
    for at in range(0, len(missing), _MOST_LIVES):
        part = missing[at : at + _MOST_LIVES]
        token = secrets.token_hex(8)
        puts = {keys.life(one): life_text(lives[one], token) for one in part}
        change = Change({keys.lead: fence, **dict.fromkeys(puts, 0)}, puts)
        try:
            answer = store.commit(change, patience=PATIENCE)
        except StoreError:
            put_trouble(words.imported_so_far(done, len(missing)))
            raise
        if not answer.is_done:
            put_trouble(words.imported_so_far(done, len(missing)))
            raise NotMade(words.OTHERS_CHANGED)
        done += len(part)
    put(words.imported(done, len(known)))
    return DONE


# --- out of it ---------------------------------------------------------------------------------


def _export(options: argparse.Namespace) -> int:
    with stores.opened(options) as (store, keys):
        lead, _ = stores.lead_of(store, keys)
        if lead.host and is_led(store, keys):
            put_trouble(words.export_of_a_moment(lead.host))
        lives = stores.lives_in(stores.copy_of(store, keys), keys)
    unsettled = [one for one, cells in lives.items() if _is_unsettled(one, cells)]
    if unsettled:
        put_trouble(words.exported_unsettled(unsettled))
    put_bytes(state_bytes(lives))
    return DONE


def _is_unsettled(rule_id: str, cells: Mapping[str, str]) -> bool:
    try:
        return read_life(rule_id, cells).is_unsettled
    except UnreadableLife:
        return True
