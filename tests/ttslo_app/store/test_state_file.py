"""state.csv and the tape on the disk: whole or as it was, and no damage without a copy."""

import errno
import os
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kits.rows.store_kit import NOON, FailingDisk, folder, litter, table
from ttslo_app.store.disk import Disk
from ttslo_app.store.state_file import StateFile
from ttslo_app.store.state_text import STATE_COLUMNS

STATE_HEADER = ",".join(STATE_COLUMNS)


FIRED = "a,true,50001,2026-11-23T12:00:00+00:00,OID,2026-11-23T12:00:01+00:00,"


QUIET = "b,false,,,,,2026-11-23T12:00:00+00:00"


def state(data: bytes | str | None = None, disk: Disk | None = None) -> StateFile:
    """Return the state file in the test's own folder, with these bytes."""
    path = Path("state.csv")
    if data is not None:
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return StateFile(path, disk or FailingDisk())


def test_state_that_is_saved_is_loaded_again() -> None:
    """The contract's columns come first, then further ones; all values are text."""
    row = {"triggered": True, "order_id": None, "cl_ord_id": "u-1", "last_checked": 5}
    state().save({"a": row, "b": {"triggered": "false"}})
    text = Path("state.csv").read_text()
    assert text == f"{STATE_HEADER},cl_ord_id\na,true,,,,,5,u-1\nb,false,,,,,,\n"
    loaded = state().load()
    assert loaded["a"]["cl_ord_id"] == "u-1"
    assert loaded["b"]["id"] == "b"


@pytest.mark.parametrize("value", [" x ", "\ufeff", "\t", 'a "b"', "1,2", "one\r\ntwo", "'", "#"])
def test_state_values_come_back_to_the_letter(value: str) -> None:
    """Spaces, marks, quotes and line ends around and inside a value are part of it."""
    state().save({"a": {"order_id": value}})
    file = state().load_checked()
    assert (file.rows["a"]["order_id"], file.problems) == (value, ())


def test_saving_no_state_does_nothing() -> None:
    """An empty state neither creates nor empties a file."""
    state().save({})
    assert not Path("state.csv").exists()
    state(table(STATE_HEADER, FIRED)).save({})
    assert Path("state.csv").read_text() == table(STATE_HEADER, FIRED)


def test_unknown_columns_and_rows_survive_a_save() -> None:
    """What a later version wrote is kept, also columns in which no row says anything."""
    files = state(table(f"{STATE_HEADER},future,empty", f"{FIRED},x,", f"{QUIET},,"))
    loaded = files.load()
    loaded["b"]["last_checked"] = "now"
    files.save(loaded)
    lines = Path("state.csv").read_text().splitlines()
    assert lines[0] == f"{STATE_HEADER},future,empty"
    assert lines[1] == f"{FIRED},x,"


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


NAMES = st.sampled_from([*STATE_COLUMNS[2:], "cl_ord_id", "x"])


@given(
    st.dictionaries(
        TEXT.filter(lambda t: bool(t.strip("\ufeff \t\r\n") and t.strip())),
        st.dictionaries(NAMES, TEXT),
        min_size=1,
        max_size=4,
    )
)
def test_state_of_any_text_survives_a_round_trip(rows: dict[str, dict[str, str]]) -> None:
    """Quotes, separators, line ends, spaces and every script come back as they were."""
    with folder() as place:
        StateFile(place / "s.csv", Disk()).save(rows)
        file = StateFile(place / "s.csv", Disk()).load_checked()
    assert file.problems == ()
    assert list(file.rows) == list(rows)
    for identifier, row in rows.items():
        assert {name: file.rows[identifier][name] for name in row} == row


@given(st.binary(max_size=200) | st.text(alphabet='ai,;\r\n" \0true', max_size=80))
def test_load_state_raises_nothing_whatever_the_bytes(data: bytes | str) -> None:
    """Damage is a problem that is reported and copied, never an exception."""
    with folder() as place:
        path = place / "state.csv"
        data = data if isinstance(data, bytes) else f"{STATE_HEADER}\n{data}".encode()
        path.write_bytes(data)
        file = StateFile(path, Disk()).load_checked()
        assert path.read_bytes() == data
        assert (file.copy is not None) == bool(file.problems)
        assert file.copy is None or file.copy.read_bytes() == data


def test_a_missing_state_is_empty_without_a_problem() -> None:
    """The first start has no past."""
    file = state().load_checked()
    assert (file.rows, file.problems, file.copy) == ({}, (), None)


def test_an_unreadable_state_is_a_problem_and_not_empty() -> None:
    """A state that cannot be read puts every row in doubt, and it is not replaced."""
    files = state(table(STATE_HEADER, FIRED), FailingDisk("read", error=OSError(5, "I/O error")))
    (problem,) = files.load_checked().problems
    assert problem.ids == ()
    assert "cannot be read: I/O error" in problem.message
    with pytest.raises(OSError):
        files.load()
    with pytest.raises(OSError):
        files.save({"b": {}})
    assert Path("state.csv").read_text() == table(STATE_HEADER, FIRED)


def test_a_state_of_the_ancestor_is_read_without_a_problem() -> None:
    """CRLF, as Python's csv module writes it, and a header alone are in order."""
    assert state(table(STATE_HEADER, FIRED, QUIET, end="\r\n")).load_checked().problems == ()
    assert state(table(STATE_HEADER)).load_checked().problems == ()


@pytest.mark.parametrize(
    ("data", "ids", "line", "said"),
    [
        (b"", (), 0, "is empty"),
        (b"\0" * 64, (), 0, "is empty"),
        (b"nonsense\n1\n", (), 1, "no column 'id'"),
        (table(STATE_HEADER, QUIET, "a,true,5000"), ("a",), 3, "cut short"),
        (table(STATE_HEADER, FIRED, QUIET + ",,x"), ("b",), 3, "cells where the header"),
        (table(STATE_HEADER, ",true,50001,,,,"), (), 2, "has no id"),
        (table(STATE_HEADER, QUIET, FIRED.replace("true", "tru")), ("a",), 3, "'tru'"),
        (table(STATE_HEADER, FIRED.replace("OID", "O\0D")), ("a",), 2, "NUL"),
        (table(STATE_HEADER, FIRED.replace("OID", "\xe9")).encode("cp1252"), ("a",), 2, "encoding"),
        (table(STATE_HEADER, FIRED, FIRED.replace("true", "false")), ("a",), 3, "another story"),
    ],
)
def test_damage_names_line_and_ids_and_is_copied(
    data: bytes | str, ids: tuple[str, ...], line: int, said: str
) -> None:
    """Each kind of damage says which file, line and row, and the file is kept beside itself."""
    file = state(data).load_checked()
    (problem,) = file.problems
    assert (problem.ids, problem.line) == (ids, line)
    assert said in problem.message
    assert problem.message.startswith("state.csv")
    assert file.copy is not None
    assert file.copy.name == "state.csv.20261123T120000Z.bad"
    assert file.copy.read_bytes() == Path("state.csv").read_bytes()


def test_of_two_stories_the_one_that_fired_is_kept() -> None:
    """A row that may have fired counts as fired, in whichever order the two stand."""
    unfired = FIRED.replace("true", "false")
    for lines in ([FIRED, unfired], [unfired, FIRED]):
        rows = state(table(STATE_HEADER, *lines)).load_checked().rows
        assert rows["a"]["triggered"] == "true"


def test_a_row_that_is_there_twice_alike_is_no_problem() -> None:
    """The same fact twice is one fact."""
    assert state(table(STATE_HEADER, FIRED, FIRED)).load_checked().problems == ()


def test_load_state_says_problems_on_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Those who ask for the simple answer find the problems in the program's log."""
    assert set(state(table(STATE_HEADER, QUIET, "a,tr")).load()) == {"a", "b"}
    assert "cut short" in caplog.text


def test_copies_never_overwrite_each_other() -> None:
    """Different damage in the same second gets a name of its own; the same damage one copy."""
    disk = FailingDisk()
    files = state("a", disk)
    first = files.load_checked().copy
    again = files.load_checked().copy
    second = state("b", disk).load_checked().copy
    assert first == again
    assert first is not None
    assert second is not None
    assert (first.read_bytes(), second.read_bytes()) == (b"a", b"b")


def test_a_damaged_state_is_not_replaced_before_there_is_a_copy() -> None:
    """Where the copy cannot be made the damaged file stays, and saving fails until it can."""
    disk = FailingDisk("create")
    files = state(b"damaged", disk)
    file = files.load_checked()
    assert file.copy is None
    assert "will not be replaced" in file.problems[-1].message
    with pytest.raises(OSError):
        files.save({"a": {}})
    assert Path("state.csv").read_bytes() == b"damaged"
    disk.failing.clear()
    files.save({"a": {}})
    assert Path("state.csv.20261123T120000Z.bad").read_bytes() == b"damaged"
    assert Path("state.csv").read_text().startswith(STATE_HEADER)


@pytest.mark.parametrize("step", ["stamp", "create", "write", "sync", "rename", "is_replaceable"])
def test_a_failing_save_leaves_the_state_as_it_was(step: str) -> None:
    """Whatever step fails, the old state is whole and nothing is left beside it."""
    files = state(table(STATE_HEADER, FIRED), FailingDisk(step))
    with pytest.raises(OSError):
        files.save({"b": {"triggered": "true"}})
    assert Path("state.csv").read_text() == table(STATE_HEADER, FIRED)
    assert litter() == []


class FullDisk(Disk):
    """A disk that is full after some writes, and notes what else is done."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.steps: list[str] = []

    def write(self, file: BinaryIO, data: bytes) -> None:
        self.steps.append("write")
        if self.steps.count("write") > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(file, data)

    def sync(self, file: BinaryIO) -> None:
        self.steps.append("sync")
        super().sync(file)

    def rename(self, source: Path, target: Path) -> None:
        self.steps.append("rename")
        super().rename(source, target)

    def sync_folder(self, folder: Path) -> None:
        self.steps.append("sync folder")
        super().sync_folder(folder)


def test_state_of_many_rows_is_synced_once_and_replaced_whole() -> None:
    """However many pieces there are, all of them are on the platter before the name is changed."""
    rows = {f"r{number}": {"id": f"r{number}", "triggered": "false"} for number in range(2500)}
    disk = FullDisk(3)
    state(disk=disk).save(rows)
    assert disk.steps == ["write", "write", "write", "sync", "rename", "sync folder"]
    assert list(state().load()) == list(rows)


def test_disk_that_is_full_in_the_middle_leaves_the_state_as_it_was() -> None:
    """A half of many rows is no state."""
    files = state(table(STATE_HEADER, FIRED), FullDisk(2))
    with pytest.raises(OSError, match="No space left"):
        files.save({f"r{number}": {} for number in range(2500)})
    assert Path("state.csv").read_text() == table(STATE_HEADER, FIRED)
    assert litter() == []


def test_a_folder_that_cannot_be_synced_is_said() -> None:
    """Until the rename is on the platter the save is not done."""
    files = state(table(STATE_HEADER, FIRED), FailingDisk("sync_folder"))
    with pytest.raises(OSError):
        files.save({"b": {}})
    assert litter() == []


def test_a_file_that_another_program_keeps_writing_is_not_saved() -> None:
    """Two programs on one state are an error and not a race."""
    disk = FailingDisk()
    disk.intrusions = [b"x" * number for number in range(1, 99)]
    with pytest.raises(OSError, match="another program"):
        state(table(STATE_HEADER), disk).save({"a": {}})


def test_a_device_is_never_replaced() -> None:
    """A state file that is no plain file, such as a device or a folder, is left alone."""
    Path("state.csv").mkdir()
    with pytest.raises(OSError):
        state().save({"a": {}})
    assert Path("state.csv").is_dir()


def test_initialize_creates_the_header_once() -> None:
    """The header is written where there is no file, and a file that is there is left alone."""
    state().initialize()
    assert Path("state.csv").read_text() == STATE_HEADER + "\n"
    state("precious").initialize()
    assert Path("state.csv").read_text() == "precious"


def test_initialize_leaves_a_file_that_appears_meanwhile() -> None:
    """Between the look and the rename somebody else may be faster."""
    disk = FailingDisk()
    disk.intrusions = [b"precious"]
    state(disk=disk).initialize()
    assert Path("state.csv").read_text() == "precious"


def test_initialize_sweeps_old_litter_of_its_own() -> None:
    """What a killed program left goes; other people's files and fresh ones stay."""
    names = [f"state.csv.{'a' * 32}.tmp", f"state.csv.{'b' * 32}.tmp", "state.csv.notes.tmp"]
    for name, age in zip(names, (3600, 10, 3600), strict=True):
        Path(name).touch()
        os.utime(name, (NOON.timestamp() - age,) * 2)
    state().initialize()
    assert sorted(litter()) == sorted(names[1:])


def test_state_that_is_no_dict_is_told_by_its_name() -> None:
    """A row of the state that cannot be written says which it is, and nothing is written."""
    with pytest.raises(TypeError, match="the state of 'b' must be a dict, not NoneType"):
        state().save({"a": {"id": "a"}, "b": None})  # type: ignore[dict-item]  # the point
    assert not Path("state.csv").exists()


def test_sweep_of_the_holder_takes_all_of_its_own() -> None:
    """What lies beside the state is nobody's for the one who holds its lock, however fresh."""
    ours = [f"state.csv.{'a' * 32}.tmp", f"state.csv.tape.{'b' * 32}.tmp"]
    for name in (*ours, "state.csv.tmp"):
        Path(name).touch()
        os.utime(name, (NOON.timestamp() - 1,) * 2)
    state().sweep()
    assert litter() == ["state.csv.tmp"]


def test_tape_that_is_saved_is_loaded_again() -> None:
    """No tape is None; what was written last stands beside the state, in every script."""
    tape = state().tape
    assert tape.load() is None
    for text in ("one", "zwei \u00e9"):
        tape.save(text)
    assert tape.load() == "zwei \u00e9"
    assert tape.path == Path("state.csv.tape")
    assert litter() == []


def test_tape_that_is_no_text_is_said() -> None:
    """Damage is an error and not an empty text."""
    Path("state.csv.tape").write_bytes(b"\xff")
    with pytest.raises(ValueError):
        state().tape.load()


def test_tape_that_cannot_be_written_stays_as_it_was() -> None:
    """A full disk leaves the old text."""
    disk = FailingDisk()
    tape = state(disk=disk).tape
    tape.save("old")
    disk.failing.add("write")
    with pytest.raises(OSError):
        tape.save("new")
    assert tape.load() == "old"


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
@pytest.mark.parametrize("is_there", [True, False])
def test_links_under_the_names_of_companions_lead_nowhere(is_there: bool) -> None:
    """In a folder that others may write to they could lead to any file of the user's."""
    precious = Path("precious")
    if is_there:
        precious.write_text("of the user")
    found = state(f"{STATE_HEADER}\na,maybe,,,,,\n")
    when = NOON.strftime("%Y%m%dT%H%M%SZ")
    for name in ("state.csv.tape", f"state.csv.{when}.bad"):
        Path(name).symlink_to(precious)
    with pytest.raises(OSError, match="take it away"):
        found.tape.load()
    found.tape.save("places")
    assert found.tape.load() == "places"
    copy = found.load_checked().copy
    assert copy is not None
    assert copy.read_bytes().endswith(b"a,maybe,,,,,\n")
    assert precious.exists() == is_there
    assert not is_there or precious.read_text() == "of the user"
