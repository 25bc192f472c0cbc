"""The program's files, as its callers know them: rules, state, log, and how far prices were seen.

A face and nothing more: each file has a room of its own, with its lock and its order of steps.
Files only: no network, and nothing is printed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ttslo_app.store.disk import Disk, Stamp
from ttslo_app.store.log_file import LogFile
from ttslo_app.store.place import refuse_same
from ttslo_app.store.rule_file import RuleFile, RuleReading, create_sample
from ttslo_app.store.rule_row import ConfigRow, config_row
from ttslo_app.store.state_file import StateFile, StateReading


class ConfigManager:
    """Read and write the program's files. Safe from any thread; each call blocks for the disk.

    Args:
        config_file: The rules.
        state_file: What became of them.
        log_file: What the program did.
        disk: The file system; another one in tests.

    Raises:
        ValueError: If two of the names lead to one file.

    Attributes:
        config_file, state_file, log_file: As they were given.
        disk: The file system that all files are on.
        findings: What was odd about the rules when `load_config` read them last.
    """

    def __init__(
        self,
        config_file: str | os.PathLike[str] = "config.csv",
        state_file: str | os.PathLike[str] = "state.csv",
        log_file: str | os.PathLike[str] = "logs.csv",
        *,
        disk: Disk | None = None,
    ) -> None:
        refuse_same({"config": config_file, "state": state_file, "log": log_file})
        self._names = (config_file, state_file, log_file)
        self.disk = disk or Disk()
        self.findings: list[str] = []
        self._rules = RuleFile(Path(config_file), self.disk)
        self._state = StateFile(Path(state_file), self.disk)
        self._log = LogFile(Path(log_file), self.disk)

    @property
    def config_file(self) -> str | os.PathLike[str]:
        """The rules' file, as it was given."""
        return self._names[0]

    @property
    def state_file(self) -> str | os.PathLike[str]:
        """The state's file, as it was given."""
        return self._names[1]

    @property
    def log_file(self) -> str | os.PathLike[str]:
        """The log, as it was given."""
        return self._names[2]

    def sweep(self) -> None:
        """Take away the temporary files of writes that a killed program did not end.

        For the one who holds the `StateLock`: what lies beside the state is nobody's then, while
        config.csv may just be written by somebody else, so only old files go there. Never raises.
        """
        self._state.sweep()
        self._rules.sweep()

    # --- rules ---------------------------------------------------------------------------------

    def load_config(self) -> list[ConfigRow]:
        """Return the rows of the config file, comments and blank rows left out.

        Returns:
            Text by column; [] where there is no file. What was odd about them stands in
            `findings` afterwards.

        Raises:
            OSError: As `read_config` does.
        """
        reading = self.read_config()
        self.findings = list(reading.findings)
        return [config_row(row) for row in reading.rows]

    def read_config(self, before: RuleReading | None = None) -> RuleReading:
        """Return rows, findings and version of the config file; `findings` stays as it is.

        Args:
            before: An earlier reading: what has not changed since is not read again.

        Raises:
            OSError: If the file is there and cannot be read. That is not the same as an empty
                file: whoever asks must go on with the rows that it has.
        """
        return self._rules.read(before)

    def config_stamp(self) -> Stamp | None:
        """Return the stamp of the config file as it is now, None where there is none. Cheap."""
        return self._rules.stamp()

    def config_contents(self) -> tuple[bytes, Stamp | None]:
        """Return the bytes of the config file and their stamp, as `RuleFile.contents`.

        Raises:
            OSError: If the file is there and cannot be read.
        """
        return self._rules.contents()

    def config_holds(self, data: bytes) -> bool:
        """Tell whether the config file is these very bytes at this moment. Never raises."""
        return self._rules.holds(data)

    def is_own_write(self, stamp: Stamp | None, seen: Stamp) -> bool:
        """Tell whether only this program wrote config.csv between `seen` and `stamp`."""
        return self._rules.is_own_write(stamp, seen)

    def update_config_on_trigger(
        self, config_id: str, order_id: object, trigger_time: object, trigger_price: object
    ) -> None:
        """Disarm the row of `config_id` and write down what its trigger led to.

        As `RuleFile.note_trigger`.
        """
        self._rules.note_trigger(config_id, order_id, trigger_time, trigger_price)

    def update_config_on_triggers(
        self, triggers: Mapping[str, tuple[object, object, object]]
    ) -> frozenset[str]:
        """Do the same for many rows, and return those left out, as `RuleFile.note_triggers`."""
        return self._rules.note_triggers(triggers)

    def create_sample_config(self, filename: str | os.PathLike[str] = "config_sample.csv") -> None:
        """Write a config file that explains itself and arms nothing.

        Raises:
            FileExistsError: If there is such a file with something in it; it stays as it is.
            OSError: If it cannot be written.
        """
        create_sample(Path(filename), self.disk)

    # --- state ---------------------------------------------------------------------------------

    def load_state(self) -> dict[str, dict[str, str]]:
        """Return the state by id, {} where there is no file.

        Raises:
            OSError: If the file is there and cannot be read.
        """
        return self._state.load()

    def load_state_checked(self) -> StateReading:
        """Return the state and what cannot be relied upon, as `StateFile.load_checked`."""
        return self._state.load_checked()

    def save_state(self, state: Mapping[str, Mapping[str, object]]) -> None:
        """Replace the state file durably, as `StateFile.save`; an empty state does nothing.

        Raises:
            TypeError: If a row is no dict.
            OSError: If a step failed.
        """
        self._state.save(state)

    def initialize_state_file(self) -> None:
        """Create the state file with its header where there is none; never touch one that is there.

        Raises:
            OSError: If it cannot be written.
        """
        self._state.initialize()

    # --- how far prices were seen --------------------------------------------------------------

    def load_tape(self) -> str | None:
        """Return the text that `save_tape` wrote last, None where there is none.

        Raises:
            OSError: If it is there and cannot be read.
            ValueError: If it is no text.
        """
        return self._state.tape.load()

    def save_tape(self, text: str) -> None:
        """Replace the text, durably.

        Raises:
            OSError: If a step failed; the old text stands then.
        """
        self._state.tape.save(text)

    # --- log -----------------------------------------------------------------------------------

    def log(self, level: str, message: str, **fields: object) -> None:
        """Append one row to the log file, as `LogFile.write`. Never raises."""
        self._log.write(level, message, **fields)

    def tell_log_troubles(self, tell: Callable[[str, str], object]) -> None:
        """Have it told when the log cannot be written, as `LogFile.tell_troubles`."""
        self._log.tell_troubles(tell)

    def log_lines(self, level: str, messages: Iterable[str]) -> None:
        """Append one row for each message, with one write for a thousand. Never raises."""
        self._log.write_all(level, messages)
