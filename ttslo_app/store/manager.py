"""The three CSV files: rules (config.csv), what became of them (state.csv), and the log.

The shell around the rooms that know their text: here are the locks and the order of steps. It
must never lose a byte of what somebody else wrote, and never take "cannot be read" for "empty":
the rules are merged one row at a time, files are replaced whole. Files only: no network, and
nothing is printed.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ttslo_app.store.csv_text import LOG_COLUMNS, log_detail, one_line, parse, quote
from ttslo_app.store.disk import TRIES, Changed, Disk, Stamp, read_settled, replace
from ttslo_app.store.lock import AlreadyRunning, LockHolder, StateLock
from ttslo_app.store.rule_text import (
    CONFIG_COLUMNS,
    RULE_COLUMNS,
    SAMPLE_CONFIG,
    TRIGGER_COLUMNS,
    Changes,
    ConfigRow,
    Rules,
    merge,
    read_rules,
)
from ttslo_app.store.state_text import (
    STATE_COLUMNS,
    StateProblem,
    StateReader,
    state_bytes,
    state_text,
)

__all__ = [
    "CONFIG_COLUMNS",
    "LOG_BYTES",
    "LOG_COLUMNS",
    "LOG_FILES",
    "STATE_COLUMNS",
    "TRIGGER_COLUMNS",
    "AlreadyRunning",
    "ConfigFile",
    "ConfigManager",
    "ConfigRow",
    "Disk",
    "LockHolder",
    "Stamp",
    "StateFile",
    "StateLock",
    "StateProblem",
]

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())

# About 40,000 lines: weeks of a busy program, and still quick to open in an editor.
LOG_BYTES = 5_000_000
LOG_FILES = 5
_COMPLAIN_EVERY = 60.0
_LITTER_AGE = 600.0


# --------------------------------------------------------------------------- what was read


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One reading of config.csv; `stamp` is None where there is no file.

    `rules` is what the next reading needs, so that it reads only the lines that have changed.
    """

    rows: tuple[ConfigRow, ...]
    findings: tuple[str, ...]
    stamp: Stamp | None
    rules: Rules | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class StateFile:
    """One reading of state.csv.

    Attributes:
        rows: Text by column, by id; also what can be read of rows that have a problem.
        problems: What cannot be relied upon.
        copy: Where the file as it was is kept; None where nothing was wrong with it, or where it
            could not be copied.
    """

    rows: dict[str, dict[str, str]]
    problems: tuple[StateProblem, ...]
    copy: Path | None


# --------------------------------------------------------------------------- the door


class ConfigManager:
    """Read and write the three files. Safe from any thread.

    Args:
        config_file: The rules.
        state_file: What became of them.
        log_file: What the program did.
        disk: The file system; another one in tests.
    """

    def __init__(
        self,
        config_file: str | os.PathLike[str] = "config.csv",
        state_file: str | os.PathLike[str] = "state.csv",
        log_file: str | os.PathLike[str] = "logs.csv",
        *,
        disk: Disk | None = None,
    ) -> None:
        self.config_file = config_file
        self.state_file = state_file
        self.log_file = log_file
        self.findings: list[str] = []
        self._disk = disk or Disk()
        # Each lock makes the writes to one file follow one another, which is why it is held
        # while they last. They guard: the own writes and the stamp last loaded;
        self._config_lock = threading.Lock()
        self._own_writes: dict[Stamp, Stamp] = {}
        self._loaded: Stamp | None = None
        # whether the contents of the state file are still to be copied;
        self._state_lock = threading.Lock()
        self._is_copy_due = False
        # nothing else;
        self._tape_lock = threading.Lock()
        # when the log last could not be written.
        self._log_lock = threading.Lock()
        self._complained_at: float | None = None

    @property
    def disk(self) -> Disk:
        """The file system that all files are on."""
        return self._disk

    # ---- rules

    def load_config(self) -> list[ConfigRow]:
        """Return the rows of the config file, comments and blank rows left out.

        Returns:
            Text by column; [] where there is no file. What was odd about them stands in
            `findings` afterwards.

        Raises:
            OSError: If the file is there and cannot be read. That is not the same as an empty
                file: whoever asks must go on with the rows that it has.
        """
        return list(self.load_file().rows)

    def load_file(self, before: ConfigFile | None = None) -> ConfigFile:
        """Do what `load_config` does, with the rows of `before` where their lines are the same.

        They must not have been changed since.

        Raises:
            OSError: As `load_config` does.
        """
        file = self.read_config(before)
        with self._config_lock:
            self._loaded = file.stamp
        self.findings = list(file.findings)
        return file

    def read_config(self, before: ConfigFile | None = None) -> ConfigFile:
        """Return the rows and what is odd about them, and leave `findings` and `own_stamp` alone.

        Args:
            before: As in `load_file`.

        Raises:
            OSError: As `load_config` does.
        """
        path = Path(self.config_file)
        data, stamp = read_settled(self._disk, path)
        if stamp is None:
            return ConfigFile((), (), None)
        table = parse(data, RULE_COLUMNS, has_comments=True)
        rules = read_rules(table, before.rules if before else None)
        findings = tuple(f"{path.name} {said}" for said in rules.findings)
        return ConfigFile(rules.rows, findings, stamp, rules)

    def config_stamp(self) -> Stamp | None:
        """Return the stamp of the config file as it is now, None where there is none. Cheap."""
        return self._disk.stamp(Path(self.config_file))

    def is_own_write(self, stamp: Stamp | None, seen: Stamp | None = None) -> bool:
        """Tell whether only this program wrote between the versions `seen` and `stamp`.

        Args:
            stamp: The version that is found now.
            seen: The version that the caller knows; the one that `load_config` gave last where it
                is left out.
        """
        with self._config_lock:
            seen = seen or self._loaded
            for _ in range(len(self._own_writes)):
                if stamp is None or stamp == seen:
                    break
                stamp = self._own_writes.get(stamp)
            return stamp is not None and stamp == seen

    @property
    def loaded_stamp(self) -> Stamp | None:
        """The version that `load_config` gave last."""
        with self._config_lock:
            return self._loaded

    @property
    def own_stamp(self) -> Stamp | None:
        """The version that this program wrote last."""
        with self._config_lock:
            return next(reversed(self._own_writes), None)

    def update_row(self, config_id: str, cells: Mapping[str, str]) -> None:
        """Write `cells` into the row of `config_id`; every other byte of the file stays.

        Columns that the file lacks are appended. The file is read again right before, and if
        somebody saves it meanwhile all is done again with what they saved. What cannot be
        excluded is a save in the microseconds between the last look and the rename.

        Raises:
            LookupError: If no row has that id.
            ValueError: If several rows have it (such rows never trade, so none is changed), or if
                the file's encoding or quoting cannot take the cells.
            OSError: If the file is missing, cannot be read or replaced; it is whole then.
        """
        name = config_id.strip()
        for error in self.update_rows({name: cells}).values():
            raise error

    def update_rows(self, changes: Changes) -> dict[str, LookupError | ValueError]:
        """Write cells into many rows, by id, with one look at the file and one replacement.

        Everything else is as in `update_row`.

        Returns:
            Why a row was left out, by id; all others were written.

        Raises:
            ValueError: If the file's encoding or quoting cannot take the cells.
            OSError: As `update_row` does.
        """
        path = Path(self.config_file)
        texts = {i: {n: str(v) for n, v in cells.items()} for i, cells in changes.items()}
        with self._config_lock:
            for _ in range(TRIES):
                data, stamp = read_settled(self._disk, path)
                if stamp is None:
                    raise FileNotFoundError(errno.ENOENT, "there is no config file", str(path))
                merged, left_out = merge(data, texts)
                if merged == data:
                    return left_out
                with suppress(Changed):
                    self._own_writes[replace(self._disk, path, merged, stamp)] = stamp
                    return left_out
        raise OSError(errno.EBUSY, "keeps changing while a row is written", str(path))

    def update_config_on_trigger(
        self, config_id: str, order_id: object, trigger_time: object, trigger_price: object
    ) -> None:
        """Disarm the row of `config_id` and write down what its trigger led to.

        A file or a row that is not there needs no disarming: that is a warning in the log of the
        program. Everything else is as in `update_row`, which tells the two apart.

        Raises:
            ValueError: As `update_row` does.
            OSError: As `update_row` does, except for a missing file.
        """
        try:
            self.update_row(config_id, _trigger_cells(order_id, trigger_time, trigger_price))
        except (LookupError, FileNotFoundError) as error:
            logger.warning("%s: nothing to disarm for %s: %s", self.config_file, config_id, error)

    def update_config_on_triggers(
        self, triggers: Mapping[str, tuple[object, object, object]]
    ) -> frozenset[str]:
        """Do what `update_config_on_trigger` does for many rows, with one replacement.

        Args:
            triggers: Order id, time and price by the id of the row.

        Returns:
            The ids of rows that were not to be found, or not whole: they are as they were.

        Raises:
            ValueError: If the file cannot take the cells.
            OSError: As `update_row` does; a file that is gone may come back.
        """
        changes = {name: _trigger_cells(*facts) for name, facts in triggers.items()}
        left_out = self.update_rows(changes)
        for name, why in left_out.items():
            logger.warning("%s: nothing to disarm for %s: %s", self.config_file, name, why)
        return frozenset(left_out)

    def create_sample_config(self, filename: str | os.PathLike[str] = "config_sample.csv") -> None:
        """Write a config file that explains itself and arms nothing.

        Raises:
            FileExistsError: If there is such a file with something in it; it stays as it is.
            OSError: If it cannot be written.
        """
        path = Path(filename)
        stamp = self._disk.stamp(path)
        with suppress(Changed):
            if stamp is None or not stamp.size:
                replace(self._disk, path, SAMPLE_CONFIG.encode(), stamp)
                return
        said = "is there already and was left alone; choose another name"
        raise FileExistsError(errno.EEXIST, said, str(path))

    # ---- state

    def load_state(self) -> dict[str, dict[str, str]]:
        """Return the state by id, {} where there is no file.

        Raises:
            OSError: If the file is there and cannot be read.
        """
        file = self._load_state()
        for problem in file.problems:
            logger.warning("%s", problem.message)
        return file.rows

    def load_state_checked(self) -> StateFile:
        """Return what the state file says, and what about it cannot be relied upon.

        A damaged file is copied first, under a name ending in `.bad` beside it; `save_state` does
        not replace it before there is such a copy. Once it is saved the file is in order again,
        so whoever must remember a doubt has to write it into the state.
        """
        try:
            return self._load_state()
        except OSError as error:
            with self._state_lock:
                self._is_copy_due = True
            said = f"{self.state_file}: cannot be read: {error.strerror or error}. "
            cure = "What happened before cannot be known; make the file readable"
            return StateFile({}, (StateProblem(0, (), said + cure),), None)

    def _load_state(self) -> StateFile:
        path = Path(self.state_file)
        data, stamp = read_settled(self._disk, path)
        if stamp is None:
            return StateFile({}, (), None)
        reader = StateReader(data, path.name)
        copy = None
        with self._state_lock:
            self._is_copy_due = bool(reader.problems)
            if reader.problems:
                try:
                    copy = self._keep_copy_locked(path, data)
                except OSError as error:
                    said = f"{path.name}: cannot be copied ({error}), so it will not be replaced"
                    reader.problems.append(StateProblem(0, (), said))
        return StateFile(reader.rows, tuple(reader.problems), copy)

    def _keep_copy_locked(self, path: Path, data: bytes) -> Path:
        """Keep `data` beside `path` under a new name, unless such a copy is there already."""
        target = path.resolve()
        for copy in sorted(target.parent.glob("*.bad")):
            if copy.name.startswith(f"{target.name}.") and self._disk.read(copy) == data:
                self._is_copy_due = False
                return copy
        when = self._disk.now().strftime("%Y%m%dT%H%M%SZ")
        tries = 0
        while True:
            copy = target.with_name(f"{target.name}.{when}{f'-{tries}' if tries else ''}.bad")
            try:
                replace(self._disk, copy, data, None)
            except Changed:
                tries += 1
                continue
            self._is_copy_due = False
            return copy

    def save_state(self, state: Mapping[str, Mapping[str, object]]) -> None:
        """Replace the state file by `state`, durably: on return it is on the platter.

        The contract's columns come first, then all others that any row has: what `load_state`
        gave is kept, unknown columns too. None becomes an empty cell, True and False 'true' and
        'false', everything else its `str`. An empty `state` does nothing.

        Raises:
            OSError: If a step failed; then the old file stands as it was, unless it was the sync
                of the folder after all else, and no temporary file is left.
        """
        if not state:
            return
        path = Path(self.state_file)
        with self._state_lock:
            if self._is_copy_due and self._disk.stamp(path) is not None:
                self._keep_copy_locked(path, self._disk.read(path))
            self._write_locked(path, state_bytes(state))

    def _write_locked(self, path: Path, data: bytes) -> None:
        # One program writes this file, so what stands there may be replaced whatever it is.
        for _ in range(TRIES):
            with suppress(Changed):
                replace(self._disk, path, data, self._disk.stamp(path))
                return
        raise OSError(errno.EBUSY, "another program writes it; one state, one program", str(path))

    def initialize_state_file(self) -> None:
        """Create the state file with its header where there is none; never touch one that is there.

        Temporary files that a killed program left beside it long ago are taken away.

        Raises:
            OSError: If it cannot be written.
        """
        path = Path(self.state_file)
        with self._state_lock:
            self._sweep(path, _LITTER_AGE)
            if self._disk.stamp(path) is None:
                header = ",".join(STATE_COLUMNS) + "\n"
                with suppress(Changed):  # somebody was faster: then there is one
                    replace(self._disk, path, header.encode(), None)

    # ---- how far prices were seen

    @property
    def tape_file(self) -> Path:
        """The file beside the state that `save_tape` writes."""
        path = Path(self.state_file)
        return path.with_name(f"{path.name}.tape")

    def load_tape(self) -> str | None:
        """Return the text that `save_tape` wrote last, None where there is none.

        Raises:
            OSError: If it is there and cannot be read.
            ValueError: If it is no text.
        """
        data, stamp = read_settled(self._disk, self.tape_file)
        return None if stamp is None else data.decode("utf-8")

    def save_tape(self, text: str) -> None:
        """Replace the text, durably.

        It is no part of state.csv: that has one row a rule and belongs to the thread that
        places orders, which must not rewrite it every few seconds because prices move.

        Raises:
            OSError: If a step failed; the old text stands then.
        """
        with self._tape_lock:
            self._write_locked(self.tape_file, text.encode("utf-8"))

    def sweep(self) -> None:
        """Take away the temporary files of writes that a killed program did not end.

        For the one who holds the `StateLock`: what lies beside the state is nobody's then, while
        config.csv may just be written by somebody else, so only old files go there. Never raises.
        """
        with self._state_lock, self._tape_lock:
            self._sweep(Path(self.state_file), 0.0)
        with self._config_lock:
            self._sweep(Path(self.config_file), _LITTER_AGE)

    def _sweep(self, path: Path, age: float) -> None:
        """Take away what `replace` left beside `path`, `age` seconds ago or earlier."""
        target = path.resolve()
        oldest = self._disk.now().timestamp() - age
        # Between the two may stand what the file is a companion of: `.tape`, or a copy's moment.
        ours = re.compile(re.escape(target.name) + r"(\..+)?\.[0-9a-f]{32}\.tmp")
        with suppress(OSError):
            for litter in list(target.parent.glob("*.tmp")):
                if ours.fullmatch(litter.name) and litter.stat().st_mtime <= oldest:
                    litter.unlink()

    # ---- log

    def log(self, level: str, message: str, **fields: object) -> None:
        r"""Append one row to the log file: timestamp, level, message, details as `key=value`.

        Never raises: a log that cannot be written must not stop an order. It says so on `logging`,
        at most once a minute. Line ends are written as `\n`, so a row is always one line.
        """
        details = " ".join(log_detail(name, value) for name, value in fields.items())
        self._append_lines([self._log_line(level, message, details)])

    def log_lines(self, level: str, messages: Sequence[str]) -> None:
        """Append one row for each message, as `log` does, with one write for a thousand."""
        lines = [self._log_line(level, message, "") for message in messages]
        for start in range(0, len(lines), 1000):
            self._append_lines(lines[start : start + 1000])

    def _log_line(self, level: str, message: str, details: str) -> str:
        now = self._disk.now().isoformat(timespec="milliseconds")
        cells = (now, str(level), one_line(str(message)), details)
        return ",".join([quote(cell, ",") for cell in cells]) + "\n"

    def _append_lines(self, lines: Sequence[str]) -> None:
        data = "".join(lines).encode("utf-8", "backslashreplace")
        with self._log_lock:
            try:
                self._append_locked(data)
            except OSError as error:
                self._complain_locked(error)

    def _append_locked(self, line: bytes) -> None:
        path = Path(self.log_file)
        header = (",".join(LOG_COLUMNS) + "\n").encode()
        start, size, ends_line = self._look_at_log(path, len(header))
        is_foreign = start.replace(b"\r\n", b"\n")[: len(header) - 1] != header[:-1]
        if size and (is_foreign or size + len(line) > LOG_BYTES):
            self._rotate(path)
            size, ends_line = 0, True
        self._disk.append(path, (b"" if size else header) + (b"" if ends_line else b"\n") + line)

    def _look_at_log(self, path: Path, length: int) -> tuple[bytes, int, bool]:
        """Return how the log begins, its size, and whether its last line is complete."""
        if not path.is_file():
            return b"", 0, True
        with path.open("rb") as file:
            start = file.read(length)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            return start, size, file.read(1) in (b"", b"\n")

    def _rotate(self, path: Path) -> None:
        for number in reversed(range(1, LOG_FILES)):
            with suppress(FileNotFoundError):
                self._disk.rename(_numbered(path, number), _numbered(path, number + 1))
        self._disk.rename(path, _numbered(path, 1))

    def _complain_locked(self, error: OSError) -> None:
        now = self._disk.monotonic()
        if self._complained_at is None or now - self._complained_at >= _COMPLAIN_EVERY:
            self._complained_at = now
            logger.warning("%s cannot be written: %s", self.log_file, error)


def _trigger_cells(order_id: object, trigger_time: object, trigger_price: object) -> dict[str, str]:
    """Return the cells that a trigger writes into its row."""
    return {
        "enabled": "false",
        "order_id": state_text(order_id),
        "trigger_time": state_text(trigger_time),
        "trigger_price": state_text(trigger_price),
    }


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
