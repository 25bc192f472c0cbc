"""The face of the files: each call goes to its file, and all of them to one disk."""

import os
from pathlib import Path

import pytest

from tests.kits.rows.store_kit import HEADER, NOON, ROW_A, FailingDisk, litter, table
from ttslo_app.store.manager import ConfigManager


def test_names_are_those_that_were_given(tmp_path: Path) -> None:
    """Callers find the names as they gave them, and cannot change them behind the files' back."""
    files = ConfigManager("a.csv", tmp_path / "b.csv", log_file="c.csv")
    assert (files.config_file, files.state_file) == ("a.csv", tmp_path / "b.csv")
    assert files.log_file == "c.csv"
    with pytest.raises(AttributeError):
        files.config_file = "d.csv"  # type: ignore[misc]  # the point


def test_findings_are_those_of_the_last_load() -> None:
    """Reading alone leaves them as they are; loading brings those of the file as it is."""
    files = ConfigManager(disk=FailingDisk())
    Path("config.csv").write_text(table(HEADER + ",volume", ROW_A + ","))
    assert files.read_config().findings
    assert files.findings == []
    files.load_config()
    (finding,) = files.findings
    assert finding.startswith("config.csv line 1: names the column 'volume' 2 times")
    Path("config.csv").write_text(table(HEADER, ROW_A))
    files.load_config()
    assert files.findings == []


def test_every_file_is_on_the_disk_that_was_given() -> None:
    """A disk that fails is felt in each of them."""
    disk = FailingDisk("read", "write", "append")
    for name in ("config.csv", "state.csv", "state.csv.tape"):
        Path(name).write_text(table(HEADER, ROW_A))
    files = ConfigManager(disk=disk)
    for call in (files.load_config, files.load_state, files.load_tape):
        with pytest.raises(OSError):
            call()
    with pytest.raises(OSError):
        files.save_state({"a": {}})
    with pytest.raises(OSError):
        files.save_tape("text")
    files.log("INFO", "lost")
    assert files.disk is disk
    assert not Path("logs.csv").exists()


def test_own_write_is_told_by_the_stamps() -> None:
    """Between two stamps of the rules the caller learns whether anybody else wrote."""
    files = ConfigManager()
    Path("config.csv").write_text(table(HEADER, ROW_A))
    seen = files.config_stamp()
    assert seen is not None
    assert files.update_config_on_triggers({"a": ("O", "T", "P"), "b": ("O", "T", "P")}) == {"b"}
    assert files.is_own_write(files.config_stamp(), seen)


def test_tape_and_lines_of_the_log_go_to_their_files() -> None:
    """What the program keeps besides the contract's three calls lands where it belongs."""
    files = ConfigManager()
    files.save_tape("seen")
    assert files.load_tape() == Path("state.csv.tape").read_text() == "seen"
    files.log_lines("INFO", ["one", "two"])
    assert [line.split(",")[2] for line in Path("logs.csv").read_text().splitlines()[1:]] == [
        "one",
        "two",
    ]


def test_log_that_cannot_be_written_is_told_to_whoever_wants_to_know() -> None:
    """Its absence stops nothing, and is no secret."""
    Path("logs.csv").mkdir()
    files, told = ConfigManager(), []
    files.tell_log_troubles(lambda level, text: told.append((level, text)))
    files.log("INFO", "one")
    files.log("INFO", "two")
    ((level, text),) = told
    assert level in ("WARNING", "ERROR")
    assert "logs.csv" in text


def test_damaged_state_is_told_with_its_copy() -> None:
    """Whoever asks for the doubts gets them, with the file as it was."""
    Path("state.csv").write_text("a")
    reading = ConfigManager().load_state_checked()
    assert reading.problems
    assert reading.copy is not None


def test_sweep_takes_what_a_killed_program_left() -> None:
    """Beside the state all leftovers go, beside the rules old ones, and of others' files none."""
    ours = [f"state.csv.{'a' * 32}.tmp", f"state.csv.tape.{'b' * 32}.tmp"]
    old, fresh = f"config.csv.{'c' * 32}.tmp", f"config.csv.{'d' * 32}.tmp"
    foreign = ["state.csv.tmp", f"other.csv.{'e' * 32}.tmp", f"state_csv.{'f' * 32}.tmp"]
    for name in (*ours, old, fresh, *foreign):
        Path(name).touch()
        age = 3600 if name == old else 1
        os.utime(name, (NOON.timestamp() - age,) * 2)
    ConfigManager(disk=FailingDisk()).sweep()
    assert sorted(litter()) == sorted([fresh, *foreign])
