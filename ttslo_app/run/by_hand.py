"""What a person tells the running program to do with one row: arm, disarm, fire, cancel.

`Hands.request` is the one door: the command line comes through a file beside the state, whatever
else has a hand calls it. To arm and to disarm is to edit config.csv, as an editor does. A row that
is fired by hand goes the way of any crossing. What it must never do: reach an order that this
program did not place, or do twice what was asked for once.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from krakenlink.errors import KrakenError
from krakenlink.machine import feed_clock, open_at_once, replace_file
from krakenlink.numbers import plain
from ttslo_app.clocks import outlasts
from ttslo_app.columns import TRIGGER_COLUMNS
from ttslo_app.messages import Crossing, tell
from ttslo_app.orders.exchange import KrakenExchange
from ttslo_app.orders.intents import Intents, read_intents, with_intents
from ttslo_app.orders.ledger import UnreadableLife, read_life
from ttslo_app.orders.life import Life, RuleState
from ttslo_app.orders.spellings import arming_word
from ttslo_app.rules.findings import has_order
from ttslo_app.rules.rule import Rule, reading_of
from ttslo_app.run import by_hand_words as words
from ttslo_app.run.saving import is_being_written
from ttslo_app.store.disk import Disk, read_settled
from ttslo_app.store.journal import IntentJournal
from ttslo_app.store.rule_file import RuleFile
from ttslo_app.store.state_text import StateReader

if TYPE_CHECKING:
    from ttslo_app.run.program import Program

_log = logging.getLogger(__name__)

# Seconds: between two looks for a command, for which an order is waited, and from which on a
# command is too old to be meant still.
_GLANCE, _PATIENCE, _OLD = 0.2, 15.0, 60.0
# Seconds: an older price is none to work a volume out with.
_FRESH = 30.0
_LARGEST = 10_000  # bytes: what is larger is no command
# Seconds between two looks whether config.csv is just being saved, and how many there are at most.
_SAVE_GLANCE, _MOST_GLANCES = 0.05, 60


class Verb(StrEnum):
    """What can be done with a row."""

    ARM = "arm"
    DISARM = "disarm"
    FIRE = "fire"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Command:
    """What is to be done with the row of an id."""

    verb: Verb
    row: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What has come of it: whether it was done, and a sentence for a person."""

    is_done: bool
    text: str


def command_path(state: str | os.PathLike[str], *, is_dry: bool = False) -> Path:
    """Return where a program with this state looks for a command; a dry run has its own place."""
    path = Path(state)
    return path.with_name(f"{path.name}{'.dry-run' if is_dry else ''}.command.json")


def answer_path(command: Path) -> Path:
    """Return where the answer to a command of that path is left."""
    return command.with_name(command.name.replace(".command.json", ".answer.json"))


def edit(
    config: str | os.PathLike[str],
    command: Command,
    look: Callable[[], Life | None] = lambda: None,
    disk: Disk | None = None,
    pause: Callable[[float], object] = time.sleep,
) -> Answer:
    """Arm or disarm a row in config.csv, as an editor does; every other byte stays. Blocks.

    Whoever is just saving the file in place is waited for, 3 s at most, and nothing is done where
    they are not at their end by then: what they have still to write would be lost. A row that is
    armed is not made what it was to the letter when it fired, as the program would take it for an
    old copy; one that cannot be armed for what has become of it stays as it is, and that is said.

    Args:
        config: The file.
        command: What to do.
        look: Returns what is known of the row at this moment, None for nothing.
        disk: Where it is; None for this machine's.
        pause: Waits so many seconds.
    """
    disk = disk or Disk()
    file = RuleFile(Path(config), disk)
    is_armed = command.verb is Verb.ARM
    try:
        if _is_saved_on_and_on(file, disk, pause):
            return Answer(False, words.is_being_saved(command.row, str(config)))
        rows = [row for row in file.read().rows if row.get("id") == command.row]
        life = look() if is_armed else None
        if life is not None and (hindrance := _hindrance(life, rows)):
            return Answer(False, hindrance)
        spellings = life.letters if life is not None else ""
        cells = _armed_cells(rows, spellings) if is_armed else {"enabled": "false"}
        file.update_row(command.row, cells)
    except (LookupError, ValueError, OSError) as error:
        return Answer(False, words.not_edited(command.row, str(config), error))
    return Answer(True, words.edited(command.row, is_armed=is_armed))


def _hindrance(life: Life, rows: Sequence[Mapping[str, str]]) -> str:
    """Return why a row would not be armed, whatever is written into config.csv; empty if it may."""
    if life.is_unsettled:
        return words.is_under_way(life.id)
    if life.has_fired and not life.noted:
        return words.is_to_be_noted(life.id, life.order_id)
    rules = (reading_of(row) for row in rows)
    if any(isinstance(rule, Rule) and life.has_ended_as(rule) for rule in rules):
        return words.has_ended(life.id)
    return ""


def _armed_cells(rows: Sequence[Mapping[str, str]], spellings: str) -> dict[str, str]:
    """Return the cells that arm a row, one of the id or none, also where it has fired."""
    emptied = dict.fromkeys(TRIGGER_COLUMNS, "") if any(map(has_order, rows)) else {}
    word = arming_word({**rows[0], **emptied}, spellings) if rows else "true"
    return {"enabled": word, **emptied}


def life_on_disk(state: str | os.PathLike[str], rule_id: str) -> Life | None:
    """Return what a state file and its journal know of a row; None for nothing. Blocks.

    Never raises: what cannot be read tells nothing.
    """
    path, rows, intents = Path(state), dict[str, dict[str, str]](), Intents()
    # The journal first: what it has no more when it is read stands in the other then.
    with suppress(OSError):
        intents = read_intents(IntentJournal(path, Disk()).load())
    with suppress(OSError):
        data, _ = read_settled(Disk(), path)
        rows = {i: {**cells} for i, cells in StateReader(data, "state").rows.items()}
    return life_of(rule_id, with_intents(rows, intents).get(rule_id, {}))


def life_of(rule_id: str, cells: Mapping[str, str]) -> Life | None:
    """Return what a row of the state says; None where nobody can tell."""
    try:
        return read_life(rule_id, cells)
    except UnreadableLife:
        return None


def _is_saved_on_and_on(file: RuleFile, disk: Disk, pause: Callable[[float], object]) -> bool:
    """Wait for whoever is just saving the file; tell whether they are not at their end by then.

    Whoever replaces it each time, as the program does for its notes, has written all of it.
    """
    inodes: set[int] = set()

    def is_young() -> bool:
        stamp = file.stamp()
        inodes.add(-1 if stamp is None else stamp.inode)
        return stamp is not None and is_being_written(stamp, disk.now().timestamp())

    return outlasts(_MOST_GLANCES, _SAVE_GLANCE, is_young, pause) and len(inodes) == 1


class Hands:
    """Does what a person asks of a running program.

    Args:
        program: The program.
        patience: For how many seconds an order is waited for.
    """

    def __init__(self, program: Program, patience: float = _PATIENCE) -> None:
        self._program = program
        self._patience = patience

    def request(self, command: Command) -> Answer:
        """Do what is asked, once, and return what came of it. Blocks. Never raises; any thread."""
        tell(self._program.say, words.asked(command.row, command.verb))
        does: dict[Verb, Callable[[str], Answer]] = {
            Verb.FIRE: self._fire,
            Verb.CANCEL: self._cancel,
        }
        try:
            if command.verb in does:
                answer = does[command.verb](command.row)
            elif self._program.mode != "LIVE":
                answer = Answer(False, words.only_read(command.row, self._program.mode))
            else:
                config = self._program.config_manager.config_file
                answer = edit(config, command, lambda: self._life_of(command.row))
        except Exception as error:  # noqa: BLE001 - whoever asks must hear of it
            _log.exception("%s: what was asked by hand could not be done", command.row)
            answer = Answer(False, words.failed(command.row, error))
        tell(self._program.say, words.answered(command.row, answer.text, is_done=answer.is_done))
        return answer

    def _life_of(self, rule_id: str) -> Life | None:
        return life_of(rule_id, self._program.worker.state.get(rule_id) or {})

    def _fire(self, rule_id: str) -> Answer:
        worker, live = self._program.worker, self._program.live
        entry = worker.ledger.rules.get(rule_id)
        if entry is None or not worker.ledger.is_waiting_for(entry.rule):
            return Answer(False, words.not_waiting(rule_id))
        last = None if live is None else live.watch.last.get(entry.market.name)
        if last is None or feed_clock() - last[1] > _FRESH:
            return Answer(False, words.no_price(rule_id))
        price, at_ns = last[0], self._program.clocks.kraken_ns()
        crossing = Crossing(entry.rule, price, plain(price), "fired by hand", at_ns, feed_clock())
        worker.roll.leave_book(rule_id)  # from here on the order thread has it alone
        worker.submit(crossing)
        return self._outcome_of(rule_id)

    def _outcome_of(self, rule_id: str) -> Answer:
        """Wait until it is known what became of the order of a row."""
        worker, end = self._program.worker, time.monotonic() + self._patience
        pause = threading.Event()
        while time.monotonic() < end:
            cells = dict(worker.state.get(rule_id) or {})
            state, order_id = cells.get("rule_state"), cells.get("order_id", "")
            if state in (RuleState.PLACED, RuleState.CLOSED) and order_id:
                return Answer(True, words.fired(rule_id, order_id))
            if state in (RuleState.DISARMED, RuleState.REFUSED, RuleState.UNCERTAIN):
                return Answer(False, words.no_order(rule_id, str(state), cells.get("detail", "")))
            pause.wait(0.02)
        return Answer(False, words.no_order(rule_id, "not settled", ""))

    def _cancel(self, rule_id: str) -> Answer:
        worker = self._program.worker
        txid, exchange = worker.standing.get(rule_id), worker.exchange
        if txid is None:
            return Answer(False, words.no_standing(rule_id))
        if not isinstance(exchange, KrakenExchange):
            return Answer(False, words.cannot_cancel(rule_id))
        try:
            exchange.cancel(txid)
        except KrakenError as error:
            return Answer(False, words.not_cancelled(rule_id, txid, error))
        return Answer(True, words.cancelled(rule_id, txid))


class Door:
    """Takes commands from a file beside the state, on a thread of its own.

    Args:
        hands: Does what they ask.
        path: Where they come.
        say_trouble: Called with what is odd about a command that is not taken.
    """

    def __init__(self, hands: Hands, path: Path, say_trouble: Callable[[str], None]) -> None:
        self._hands = hands
        self._path = path
        self._say_trouble = say_trouble
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ttslo-by-hand", daemon=True)

    @contextmanager
    def over(self) -> Iterator[Door]:
        """Take commands from here to the end of the `with`; what was left before is not meant."""
        with suppress(OSError):
            self._path.unlink()
        self._thread.start()
        try:
            yield self
        finally:
            self._stopping.set()
            self._thread.join(1.0)

    def _run(self) -> None:
        while not self._stopping.wait(_GLANCE):
            try:
                self.look()
            except Exception:  # noqa: BLE001 - one command must not end the next one's chance
                _log.exception("A command could not be taken; the program goes on")

    def look(self) -> None:
        """Take a command that is there, do it and leave the answer. Blocks."""
        taken = self._path.with_suffix(".taken")
        try:
            self._path.replace(taken)  # whoever wrote it can take it back until here
        except OSError:
            return
        try:
            data, is_own = _own_bytes(taken)
        finally:
            taken.unlink(missing_ok=True)
        found = decoded(data) if is_own else None
        if found is None:
            self._say_trouble(words.not_taken(str(self._path)))
            return
        token, command, asked_at = found
        if not -_OLD <= time.time() - asked_at <= _OLD:
            answer = Answer(False, words.too_old(command.row))
        else:
            answer = self._hands.request(command)
        told = {"token": token, **asdict(answer)}
        replace_file(answer_path(self._path), json.dumps(told).encode(), is_durable=False)


def _own_bytes(path: Path) -> tuple[bytes, bool]:
    """Return what a file holds, and whether this program's user, or root, has written it."""
    with open(path, "rb", opener=open_at_once) as file:  # a pipe holds nobody up
        owner = os.fstat(file.fileno()).st_uid
        data = file.read(_LARGEST + 1)
    is_own = not hasattr(os, "geteuid") or owner in (os.geteuid(), 0)
    return data, is_own and len(data) <= _LARGEST


def encoded(token: str, command: Command, asked_at: float) -> bytes:
    """Return a command as its file holds it."""
    return json.dumps({"token": token, **asdict(command), "asked_at": asked_at}).encode()


def decoded(data: bytes) -> tuple[str, Command, float] | None:
    """Return the token, the command and its moment of a file; None where it is no command."""
    try:
        found = json.loads(data)
        command = Command(Verb(found["verb"]), str(found["row"]))
        return str(found["token"]), command, float(found["asked_at"])
    except (ValueError, KeyError, TypeError):
        return None


def door_of(program: Program, state: str) -> Door:
    """Return what takes commands for a program."""

    def say_trouble(text: str) -> None:
        tell(program.say, words.trouble(text))

    path = command_path(state, is_dry=program.dry_run)
    return Door(Hands(program), path, say_trouble)
