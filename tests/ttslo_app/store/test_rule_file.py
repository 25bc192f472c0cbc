"""config.csv on the disk: nothing of the user's is ever lost, whoever writes when."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kits.common.odd_files import ODD
from tests.kits.rows.store_kit import CELL, HEADER, ROW_A, ROW_B, FailingDisk, folder, litter, table
from ttslo_app.columns import CONFIG_COLUMNS
from ttslo_app.rules.rule import read_rule
from ttslo_app.store.disk import Disk, Stamp
from ttslo_app.store.rule_file import RuleFile, RuleReading, create_sample


def rule_file(data: bytes | str | None = None, disk: Disk | None = None) -> RuleFile:
    """Return the rules' file in the test's own folder, with these bytes."""
    path = Path("config.csv")
    if data is not None:
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return RuleFile(path, disk or FailingDisk())


def test_load_config_of_a_missing_file_is_empty() -> None:
    """No file is no row and no stamp."""
    files = rule_file()
    assert files.read().rows == ()
    assert files.stamp() is None
    assert files.read() == RuleReading((), (), None)


def test_load_config_of_an_unreadable_file_is_not_empty() -> None:
    """What cannot be read raises, so that nobody takes it for an empty file."""
    disk = FailingDisk("read", error=PermissionError(13, "denied"))
    with pytest.raises(PermissionError):
        rule_file(table(HEADER, ROW_A), disk).read()


def test_an_empty_file_is_empty_and_has_a_stamp() -> None:
    """A file of no bytes is no row, and it is told apart from no file."""
    files = rule_file("")
    assert files.read() == RuleReading((), (), files.stamp())
    assert files.stamp() is not None


def test_file_is_read_by_what_was_read_before() -> None:
    """Rows whose lines are the same are the same objects; a file that was gone has none of them."""
    files = rule_file(table(HEADER, ROW_A, ROW_B))
    first = files.read()
    Path("config.csv").write_text(table(HEADER, ROW_A, ROW_B.replace("yes", "no"), "odd"))
    second = files.read(first)
    assert second == files.read()
    assert [new is old for new, old in zip(second.rows, first.rows, strict=False)] == [True, False]
    assert second.stamp == files.stamp()
    Path("config.csv").unlink()
    gone = files.read(second)
    assert gone == RuleReading((), (), None)
    Path("config.csv").write_text(table(HEADER, ROW_A))
    assert files.read(gone) == files.read()


def test_a_file_that_keeps_changing_cannot_be_read() -> None:
    """A file that never stands still while it is read is an error, not half a file."""

    class Restless(FailingDisk):
        count = 0

        def stamp(self, path: Path) -> Stamp | None:
            self.count += 1
            return Stamp(self.count, 0, 0)

    with pytest.raises(OSError, match="keeps changing"):
        rule_file(table(HEADER, ROW_A), Restless()).read()


def test_a_file_that_vanishes_while_it_is_read_is_looked_for_again() -> None:
    """An editor that removes and renames is given the time to do so."""

    class Vanishing(FailingDisk):
        reads = 0

        def read(self, path: Path) -> bytes:
            self.reads += 1
            if self.reads == 1:
                raise FileNotFoundError(errno.ENOENT, "gone", str(path))
            return super().read(path)

    assert len(rule_file(table(HEADER, ROW_A), Vanishing()).read().rows) == 1


def trigger(files: RuleFile, config_id: str = "a") -> None:
    """Record a trigger with values that are easy to find."""
    files.note_trigger(config_id, "OID", "2026-11-23T12:00:00+00:00", "50001")


TRIGGERED = "OID,2026-11-23T12:00:00+00:00,50001"


def test_a_trigger_changes_one_row_and_the_header_alone() -> None:
    """The row is disarmed, three columns are appended, every other byte stays."""
    before = [f"{HEADER},note", "# c , c", f'{ROW_A},"x, y"', "", f" {ROW_B} , z,,", "short"]
    trigger(rule_file(table(*before, end="\r\n")))
    after = Path("config.csv").read_bytes().decode().split("\r\n")
    assert after[0] == f"{before[0]},,,order_id,trigger_time,trigger_price".replace(",,,", ",")
    assert after[2] == f'{ROW_A[:-4]}false,"x, y",{TRIGGERED}'
    assert [after[i] for i in (1, 3, 4, 5)] == [before[i] for i in (1, 3, 4, 5)]


def test_a_second_trigger_uses_the_columns_of_the_first() -> None:
    """Columns are appended once."""
    files = rule_file(table(HEADER, ROW_A, ROW_B))
    trigger(files, "a")
    trigger(files, "b")
    rows = files.read().rows
    assert [row["order_id"] for row in rows] == ["OID", "OID"]
    assert [row["enabled"] for row in rows] == ["false", "false"]
    assert Path("config.csv").read_text().count("order_id") == 1


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_trigger_keeps_separator_and_encoding(mark: str, codec: str) -> None:
    """The file is written back in its own encoding, with its own separator."""
    text = table(HEADER, ROW_A, ROW_B, "# é").replace(",", mark)
    trigger(rule_file(text.encode(codec)))
    after = Path("config.csv").read_bytes().decode(codec)
    changed = f"{ROW_A[:-4]}false,{TRIGGERED}"
    header = f"{HEADER},order_id,trigger_time,trigger_price"
    assert after == table(header, changed, ROW_B, "# é").replace(",", mark)


def test_a_file_without_enabled_gets_the_column() -> None:
    """Where `enabled` is missing it is appended; rows that do not say so are not armed."""
    header = HEADER.removesuffix(",enabled")
    files = rule_file(table(header, ROW_A.removesuffix(",true"), ROW_B.removesuffix(",yes")))
    trigger(files)
    fired, other = files.read().rows
    assert not read_rule(fired).enabled
    assert "ends before enabled" in other.findings[0]


def test_a_new_column_never_gives_a_surplus_cell_a_name() -> None:
    """A row that was refused for a cell too many is still refused after another row fired."""
    files = rule_file(table(HEADER, ROW_A, f"{ROW_B},surplus"))
    trigger(files)
    fired, long = files.read().rows
    assert long.findings == ("has 'surplus' in column 9, which has no name",)
    assert fired["order_id"] == "OID"


def test_a_quoted_cell_stays_quoted_and_spans_lines() -> None:
    """Quoted cells with line ends inside are left alone; a changed cell keeps its quotes."""
    row = 'a,XBTUSD,50000,above,sell,0.01,5.0,"true","two\r\nlines"'
    files = rule_file(f"{HEADER},note\n{row}\n{ROW_B}")
    files.update_row("a", {"enabled": "false", "order_id": 'a "b"\n,c'})
    text = Path("config.csv").read_bytes().decode()
    changed = row.replace('"true"', '"false"') + ',"a ""b""\n,c"'
    assert text == f"{HEADER},note,order_id\n{changed}\n{ROW_B}"


def test_an_update_that_changes_nothing_writes_nothing() -> None:
    """Writing the values that stand there leaves even the stamp alone."""
    files = rule_file(table(HEADER, ROW_A))
    before = files.stamp()
    files.update_row("a", {"enabled": "true"})
    assert files.stamp() == before


def test_update_row_without_that_row_raises() -> None:
    """No such id, and no header at all, are lookup errors and change nothing."""
    files = rule_file(table(HEADER, ROW_A))
    with pytest.raises(LookupError, match="no row has the id 'zz'"):
        files.update_row("zz", {"enabled": "false"})
    with pytest.raises(LookupError):
        rule_file("").update_row("a", {"enabled": "false"})


def test_update_row_without_the_file_raises() -> None:
    """A missing file is named."""
    with pytest.raises(FileNotFoundError, match=r"no config file.*config\.csv"):
        rule_file().update_row("a", {"enabled": "false"})


def test_a_trigger_without_row_or_file_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """There is nothing to disarm, and that is said."""
    trigger(rule_file())
    trigger(rule_file(table(HEADER, ROW_A)), "zz")
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


def test_update_row_with_a_duplicate_id_changes_neither() -> None:
    """Rows that share an id never trade, and nobody can tell which one is meant."""
    text = table(HEADER, ROW_A, ROW_A.replace("true", "no"))
    with pytest.raises(ValueError, match="lines 2, 3 share the id 'a'"):
        rule_file(text).update_row("a", {"enabled": "false"})
    assert Path("config.csv").read_text() == text


def test_update_row_refuses_what_the_encoding_cannot_hold() -> None:
    """Text outside an old encoding is refused instead of written as something else."""
    with pytest.raises(ValueError):
        rule_file(table(HEADER, ROW_A, "# \xe9").encode("cp1252")).update_row("a", {"pair": "Ω"})


def test_update_row_refuses_where_quotes_would_pair_up_anew() -> None:
    """A stray quote above the row could take the new cell's quotes for its own."""
    data = table(HEADER + ",note", '"q,XBTUSD', ROW_A + ',"n"x')
    with pytest.raises(ValueError, match="quote marks"):
        rule_file(data).update_row("a", {"pair": '","'})
    assert Path("config.csv").read_text() == data


def test_what_the_user_saves_in_between_is_not_lost() -> None:
    """A save between reading and replacing makes the program merge into what was saved."""
    disk = FailingDisk()
    disk.intrusions = [table(HEADER, ROW_B, ROW_A.replace("50000", "60000")).encode()]
    trigger(rule_file(table(HEADER, ROW_A), disk))
    kept, fired = RuleFile(Path("config.csv"), Disk()).read().rows
    assert (kept["id"], fired["threshold_price"], fired["order_id"]) == ("b", "60000", "OID")
    assert litter() == []


def test_a_row_that_the_user_removes_in_between_stays_removed() -> None:
    """A save that took the row away wins."""
    disk = FailingDisk()
    disk.intrusions = [table(HEADER, ROW_B).encode()]
    with pytest.raises(LookupError):
        rule_file(table(HEADER, ROW_A), disk).update_row("a", {"enabled": "false"})
    assert Path("config.csv").read_text() == table(HEADER, ROW_B)


def test_a_file_that_is_saved_without_end_is_given_up() -> None:
    """Merging stops after a number of tries, loudly, with the last save in place."""
    disk = FailingDisk()
    saves = [table(HEADER, ROW_A, f"# {'x' * number}").encode() for number in range(99)]
    disk.intrusions = list(saves)
    with pytest.raises(OSError, match="keeps changing"):
        rule_file(table(HEADER, ROW_A), disk).update_row("a", {"enabled": "false"})
    assert Path("config.csv").read_bytes() in saves
    assert litter() == []


@pytest.mark.parametrize("step", ["create", "write", "sync", "rename", "is_replaceable"])
def test_a_failing_write_leaves_the_config_as_it_was(step: str) -> None:
    """Whatever step fails, the file is whole, nothing is left beside it, and the caller knows."""
    text = table(HEADER, ROW_A)
    with pytest.raises(OSError):
        rule_file(text, FailingDisk(step)).update_row("a", {"enabled": "false"})
    assert Path("config.csv").read_text() == text
    assert litter() == []


def test_a_file_held_by_a_spreadsheet_is_tried_again() -> None:
    """Where another program holds the file for a moment, the rename is tried again."""
    disk = FailingDisk("rename", error=PermissionError(13, "in use"))
    disk.rename_tries = 3
    rule_file(table(HEADER, ROW_A), disk).update_row("a", {"enabled": "no"})
    assert disk.paused == 2
    assert RuleFile(Path("config.csv"), Disk()).read().rows[0]["enabled"] == "no"


def test_a_file_held_for_long_is_an_error_with_the_cure() -> None:
    """After the tries the error says what to do."""
    disk = FailingDisk("rename", error=PermissionError(13, "in use"))
    disk.rename_tries = 2
    with pytest.raises(PermissionError, match="spreadsheet"):
        rule_file(table(HEADER, ROW_A), disk).update_row("a", {"enabled": "no"})


@pytest.mark.skipif(os.name == "nt", reason="modes and links as POSIX has them")
def test_mode_and_link_survive_an_update() -> None:
    """A link stays a link to the same file, which keeps its mode."""
    Path("real.csv").write_text(table(HEADER, ROW_A))
    Path("real.csv").chmod(0o640)
    Path("config.csv").symlink_to("real.csv")
    trigger(rule_file())
    assert Path("config.csv").is_symlink()
    assert "OID" in Path("real.csv").read_text()
    assert Path("real.csv").stat().st_mode & 0o777 == 0o640


def test_own_writes_are_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that runs for months remembers the last ones; an older one is read again."""
    monkeypatch.setattr("ttslo_app.store.rule_file._KEPT_WRITES", 3)
    files = rule_file(table(HEADER, ROW_A, ROW_B))
    stamps = [stamp_of(files)]
    for number in range(6):
        files.update_row("a", {"volume": f"0.{number + 1}"})
        stamps.append(stamp_of(files))
    assert files.is_own_write(stamps[-1], stamps[-2])
    assert files.is_own_write(stamps[-1], stamps[-4])
    assert not files.is_own_write(stamps[-1], stamps[-5])


def test_own_writes_are_told_from_the_users() -> None:
    """A version that only this program led to is its own; a save of the user's is not."""
    files = rule_file(table(HEADER, ROW_A, ROW_B))
    seen = stamp_of(files)
    trigger(files, "a")
    between = stamp_of(files)
    trigger(files, "b")
    assert files.is_own_write(files.stamp(), seen)
    assert files.is_own_write(files.stamp(), between)
    assert not files.is_own_write(seen, between)
    Path("config.csv").write_text(table(HEADER))
    assert not files.is_own_write(files.stamp(), seen)


def test_an_own_write_over_an_edit_not_yet_seen_is_not_own() -> None:
    """The user's edit is not hidden by the program's write on top of it."""
    files = rule_file(table(HEADER, ROW_A, ROW_B))
    seen = stamp_of(files)
    Path("config.csv").write_text(table(HEADER, ROW_A.replace("50000", "60000"), ROW_B))
    trigger(files, "b")
    assert not files.is_own_write(files.stamp(), seen)
    assert files.is_own_write(files.stamp(), stamp_of(files))
    assert not files.is_own_write(None, seen)


def test_a_write_by_another_of_the_same_name_is_not_own() -> None:
    """What this object did not write itself is somebody else's, also if it is a copy of it."""
    files = rule_file(table(HEADER, ROW_A))
    seen = stamp_of(files)
    trigger(RuleFile(Path("config.csv"), Disk()))
    assert not files.is_own_write(files.stamp(), seen)


def stamp_of(files: RuleFile) -> Stamp:
    """Return the stamp of a file that is there."""
    stamp = files.stamp()
    assert stamp is not None
    return stamp


def test_many_triggers_are_one_replacement(caplog: pytest.LogCaptureFixture) -> None:
    """Rows that are there are noted in one go; the others are returned and said."""

    class Counting(FailingDisk):
        renamed = 0

        def rename(self, source: Path, target: Path) -> None:
            self.renamed += 1
            super().rename(source, target)

    disk = Counting()
    files = rule_file(table(HEADER, ROW_A, ROW_B), disk)
    left_out = files.note_triggers(dict.fromkeys(("a", "zz", "b"), ("OID", None, 5)))
    assert left_out == {"zz"}
    assert "nothing to disarm for zz" in caplog.text
    rows = files.read().rows
    assert [(r["enabled"], r["order_id"], r["trigger_time"], r["trigger_price"]) for r in rows] == [
        ("false", "OID", "", "5")
    ] * 2
    assert disk.renamed == 1


VALUES = st.text(alphabet='xy,;\t"\n\r 1', max_size=5)


@given(
    st.lists(st.lists(CELL, min_size=1, max_size=5), min_size=1, max_size=6),
    st.sampled_from(["\n", "\r\n"]),
    st.dictionaries(st.sampled_from(["enabled", "pair", "order_id"]), VALUES, min_size=1),
)
def test_update_row_changes_no_byte_outside_row_and_header(
    grid: list[list[str]], end: str, cells: dict[str, str]
) -> None:
    """Whatever surrounds the row, it stays to the letter, or the update refuses to write."""
    above, below = (end.join(",".join(line) for line in part) for part in (grid[:3], grid[3:]))
    head, row, tail = f"id,pair,enabled{end}", f"target,p,true{end}", f"{below}{end}"
    data = f"{head}{above}{end}{row}{tail}".encode()
    with folder() as place:
        path = place / "config.csv"
        path.write_bytes(data)
        files = RuleFile(path, Disk())
        before = [dict(row) for row in files.read().rows]
        try:
            files.update_row("target", cells)
        except (LookupError, ValueError):
            assert path.read_bytes() == data
            return
        text, after = path.read_bytes().decode(), [dict(row) for row in files.read().rows]
    assert text.endswith(tail)
    assert f"{end}{above}{end}" in text
    assert (
        next(r for r in after if r["id"] == "target").items()
        >= {name: value.strip() for name, value in cells.items()}.items()
    )
    assert [r["id"] for r in after] == [r["id"] for r in before]


SAMPLE = Path("config_sample.csv")


def test_the_sample_is_readable_and_arms_nothing() -> None:
    """Whoever runs the sample as it is trades nothing, and every row of it is a good rule."""
    create_sample(Path("config.csv"), Disk())
    reading = rule_file().read()
    rules = [read_rule(row) for row in reading.rows]
    assert len(rules) == 3
    assert not any(rule.enabled for rule in rules)
    assert reading.findings == ()


def test_the_sample_explains_every_column() -> None:
    """Each column of the contract is explained in a comment."""
    create_sample(SAMPLE, Disk())
    text = SAMPLE.read_text()
    assert all(f"# {name} " in text for name in CONFIG_COLUMNS)


@pytest.mark.parametrize("is_late", [False, True])
def test_the_sample_replaces_nobodys_file(is_late: bool) -> None:
    """A file with something in it is left alone, also where it appears at the last moment."""
    disk = FailingDisk()
    if is_late:
        disk.intrusions = [b"mine"]
    else:
        SAMPLE.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="left alone"):
        create_sample(SAMPLE, disk)
    assert SAMPLE.read_bytes() == b"mine"


def test_the_sample_fills_an_empty_file() -> None:
    """A file of no bytes has nothing to lose."""
    SAMPLE.touch()
    create_sample(SAMPLE, Disk())
    assert SAMPLE.stat().st_size


@pytest.mark.parametrize("kind", ODD)
def test_config_that_is_no_file_is_no_empty_config(kind: str, tmp_path: Path) -> None:
    """Reading and writing say so at once, and what stands there stays."""
    path = tmp_path / "config.csv"
    ODD[kind](path)
    file = RuleFile(path, Disk())
    with pytest.raises(OSError, match="put a plain file in its place"):
        file.read()
    with pytest.raises(OSError, match="put a plain file in its place"):
        file.contents()
    with pytest.raises(OSError, match="put a plain file in its place"):
        file.update_row("btc", {"enabled": "false"})
    assert not path.is_file() or path.is_symlink()
