"""What the doctor finds on this machine: files in each condition, settings, Python, libraries."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fake_kraken import FakeKraken
from krakenlink.machine import feed_clock
from tests.kits.program.program_process import HEADER, ROW
from tests.kits.rows.store_kit import FailingDisk, litter
from ttslo_app.doctor import local
from ttslo_app.doctor.local import Findings, Patient
from ttslo_app.doctor.words import status_of
from ttslo_app.orders.intents import intent_lines
from ttslo_app.store.disk import Disk
from ttslo_app.store.lock import StateLock

ROOT = Path(__file__).resolve().parents[3]
Look = Callable[[Patient], Findings]
Line = tuple[str, str, str]
on_posix = pytest.mark.skipif(os.name == "nt", reason="links and modes are POSIX's")
STATE = "id,triggered,trigger_price,trigger_time,order_id,activated_on,last_checked\n"


def patient(disk: Disk | None = None, *, env_file: str = ".env", is_named: bool = False) -> Patient:
    """Return somebody whose three files are in this folder."""
    return Patient(
        ("config.csv", "state.csv", "logs.csv"),
        env_file,
        is_env_named=is_named,
        use_websocket=True,
        cache_dir=".",
        ends_at=feed_clock() + 5,
        disk=disk or Disk(),
    )


def found(look: Look, whom: Patient | None = None) -> list[Line]:
    """Return status, text and cure of each line of a check."""
    sentences = look(whom or patient())
    return [(status_of(one), one.text, one.fields["cure"]) for one in sentences]


def only(look: Look, whom: Patient | None = None) -> Line:
    """Return the one line of a check."""
    (line,) = found(look, whom)
    return line


def write_config(*rows: str) -> None:
    """Write config.csv."""
    Path("config.csv").write_text("\n".join([HEADER, *rows, ""]), encoding="utf-8")


# --- config.csv ------------------------------------------------------------------------------


def test_no_config_is_told_with_the_way_to_one() -> None:
    """The first thing that a new user meets."""
    status, text, cure = only(local.look_at_config)
    assert (status, text) == ("fail", "there is no config.csv")
    assert "ttslo --create-sample-config" in cure


@pytest.mark.parametrize("content", ["", HEADER, f"{HEADER}\n# nothing yet\n"])
def test_config_without_a_row_has_nothing_to_watch(content: str) -> None:
    """As the program itself says."""
    Path("config.csv").write_text(content)
    assert (
        "config.csv holds no row; there is nothing to watch" in found(local.look_at_config)[-1][1]
    )
    assert found(local.look_at_config)[-1][0] == "fail"


def test_config_that_cannot_be_read_is_not_empty() -> None:
    """It is told as that, with what the system says."""
    write_config(ROW)
    whom = patient(FailingDisk("read", error=PermissionError(errno.EACCES, "Permission denied")))
    assert only(local.look_at_config, whom) == (
        "fail",
        "config.csv cannot be read (Permission denied)",
        "Let the user of the program read it",
    )
    assert whom.rows == ()


def test_each_row_that_is_refused_for_its_text_is_told_once() -> None:
    """With its line, and the good ones are counted."""
    write_config(ROW, "bad,BTC/USD,soon,above,sell,0.01,0.5,true", "cut,BTC/USD,1,above,sell",
                 ROW.replace("btc,", "off,").replace(",true", ",false"))  # fmt: skip
    whom = patient()
    lines = found(local.look_at_config, whom)
    assert lines[0] == ("ok", "config.csv: 4 rows, 1 enabled", "")
    refused = [text for status, text, _ in lines if status == "fail"]
    assert any(text.startswith("bad: ") and "(line 3)" in text for text in refused)
    assert any(text.startswith("cut: ") and "(line 4)" in text for text in refused)
    assert not any(text.startswith(("btc: ", "off: ")) for text in refused)
    assert len(whom.refused) == len(refused)


def test_two_rows_of_one_name_are_both_refused() -> None:
    """One of them would hide what became of the other."""
    write_config(ROW, ROW)
    assert sum("Duplicate id" in text for _, text, _ in found(local.look_at_config)) == 2


def test_what_is_odd_about_the_file_is_told() -> None:
    """A column that nobody knows may be a slip of the pen."""
    Path("config.csv").write_bytes(HEADER.encode() + b",treshold\n" + ROW.encode() + b",5\n\xff\n")
    assert "warn" in [status for status, _, _ in found(local.look_at_config)]


def test_note_about_an_order_needs_a_config_that_can_be_replaced() -> None:
    """It only warns: whoever has no trading key needs no note."""
    write_config(ROW)
    assert only(local.look_at_note)[0] == "ok"
    disk = FailingDisk("create", error=OSError(errno.EROFS, "Read-only file system"))
    status, text, _ = only(local.look_at_note, patient(disk))
    assert status == "warn"
    assert "its file system is read-only; mount it writable" in text


# --- state and journal -----------------------------------------------------------------------


def test_new_state_and_a_kept_one_are_well() -> None:
    """With what they tell, and how long the disk takes; nothing is made."""
    assert only(local.look_at_state)[1].startswith("state.csv (new) can be replaced by rename")
    assert list(Path().iterdir()) == []
    Path("state.csv").write_text(STATE + "btc,false,,,,,\n")
    status, text, _ = only(local.look_at_state)
    assert (status, text[:18]) == ("ok", "state.csv (1 row) ")
    assert re.search(r"in \d\.\d{3} s$", text)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (STATE + "btc,perhaps,,,,,\n", "the row btc cannot be"),
        (STATE + "btc,tr", "state.csv"),
        ("nonsense\n", "state.csv"),
    ],
)
def test_damaged_state_fails_and_is_left_as_it_is(content: str, words: str) -> None:
    """No copy is made either: the doctor changes nothing."""
    Path("state.csv").write_text(content)
    lines = found(local.look_at_state)
    assert any(status == "fail" and words in text for status, text, _ in lines)
    assert "orders at Kraken" in lines[0][2]
    assert [path.name for path in Path().iterdir()] == ["state.csv"]


@pytest.mark.parametrize(
    ("step", "number", "words"),
    [
        ("write", errno.ENOSPC, "the disk is full; free some of it"),
        ("sync", errno.EINVAL, "its file system cannot bring it to the disk"),
        ("create", errno.EROFS, "its file system is read-only"),
        ("create", errno.EACCES, "this user may not write in its folder"),
    ],
)
def test_state_that_cannot_be_written_now_fails_with_the_cure(
    step: str, number: int, words: str
) -> None:
    """Also what may pass by itself: the question is how it is now."""
    disk = FailingDisk(step, error=OSError(number, "raw"))
    status, text, _ = only(local.look_at_state, patient(disk))
    assert (status, words in text) == ("fail", True)
    assert litter() == []


@on_posix
@pytest.mark.skipif(os.name != "nt" and os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder_is_told() -> None:
    """A real one."""
    Path().chmod(0o500)
    try:
        assert "this user may not write" in only(local.look_at_state)[1]
    finally:
        Path().chmod(0o700)


def test_state_that_cannot_be_read_is_not_new() -> None:
    """What happened before cannot be known."""
    Path("state.csv").write_text(STATE)
    whom = patient(FailingDisk("read", error=OSError(errno.EIO, "Input/output error")))
    assert found(local.look_at_state, whom)[0][:2] == (
        "fail",
        "state.csv cannot be read: Input/output error",
    )


def journal(data: bytes) -> None:
    """Write a journal."""
    Path("state.csv.intents").write_bytes(data)


def test_journal_of_a_clean_end_is_empty() -> None:
    """Or not there."""
    assert only(local.look_at_journal) == (
        "ok", "no order of an earlier run is left without its outcome", "")  # fmt: skip


def test_journal_of_a_run_that_died_names_its_rows() -> None:
    """Starting the program settles them, and a program that runs does so itself."""
    journal(intent_lines([{"id": "btc", "rule_state": "intended"}, {"id": "eth"}]))
    status, text, cure = only(local.look_at_journal)
    assert status == "warn"
    assert "btc, eth" in text
    assert "it looks them up at Kraken" in cure
    whom = patient()
    whom.holder = "process 7"
    assert only(local.look_at_journal, whom)[0] == "ok"


def test_damaged_journal_fails() -> None:
    """Nobody can tell which orders were on their way."""
    journal(b"\nnonsense" + intent_lines([{"id": "btc"}]))
    whom = patient()
    whom.holder = "process 7"
    status, text, cure = only(local.look_at_journal, whom)
    assert (status, "damaged in line 2" in text) == ("fail", True)
    assert "orders at Kraken" in cure


def test_journal_that_is_no_file_of_ours_fails() -> None:
    """A folder under its name, such as a container makes it."""
    Path("state.csv.intents").mkdir()
    assert only(local.look_at_journal)[0] == "fail"


# --- locks, log, space, names ----------------------------------------------------------------


def test_holder_is_named_and_remembered() -> None:
    """The checks that follow leave its key alone."""
    whom = patient()
    assert [status for status, _, _ in found(local.look_at_locks, whom)] == ["ok", "ok"]
    assert whom.holder == ""
    assert list(Path().iterdir()) == []
    with StateLock("state.csv"):
        lines = found(local.look_at_locks, whom)
    assert f"state.csv is in use by process {os.getpid()}" in lines[0][1]
    assert lines[1][1] == "no program works on config.csv"
    assert whom.holder.startswith(f"process {os.getpid()} on ")


@on_posix
def test_lock_that_is_a_link_is_told_and_not_followed() -> None:
    """Somebody else has put it there."""
    Path("precious").write_text("x")
    Path("state.csv.lock").symlink_to("precious")
    status, text, _ = found(local.look_at_locks)[0]
    assert status == "warn"
    assert "the lock of state.csv cannot be looked at" in text


def test_log_that_cannot_be_written_only_warns() -> None:
    """No price and no order needs it."""
    assert only(local.look_at_log)[0] == "ok"
    Path("logs.csv").mkdir()
    status, text, cure = only(local.look_at_log)
    assert (status, "it is a folder" in text, "--log" in cure) == ("warn", True, True)


@pytest.mark.parametrize(
    ("free", "status", "words"),
    [
        (5_000_000_000, "ok", "5000 MB"),
        (50_000_000, "warn", "only 50 MB"),
        (400_000, "fail", "no room"),
    ],
)
def test_room_is_told_in_three_steps(
    free: int, status: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Much, little, none."""
    usage = shutil.disk_usage(".")._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    line = only(local.look_at_space)
    assert line[0] == status
    assert words in line[1]


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """Hand out a folder on a real disk without room."""
    place = tmp_path / "full"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"nothing can be mounted here: {error}")
    try:
        with (place / "ballast").open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
    except OSError:
        yield place
    subprocess.run(["umount", str(place)], check=True)


def test_disk_that_is_really_full_is_told_twice(
    full_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its room, and by what cannot be written."""
    monkeypatch.chdir(full_disk)
    assert only(local.look_at_space)[:2] == ("fail", "no room is left where state.csv is")
    assert "the disk is full; free some of it" in only(local.look_at_state)[1]
    assert litter() == []
    monkeypatch.undo()


def test_two_names_of_one_file_are_refused() -> None:
    """As at the start of the program."""
    assert only(local.look_at_names)[0] == "ok"
    whom = patient()
    whom.files = ("config.csv", "config.csv", "logs.csv")
    status, text, cure = only(local.look_at_names, whom)
    assert status == "fail"
    assert "config.csv is the config and config.csv is the state" in text
    assert "--state" in cure


# --- the file of keys ------------------------------------------------------------------------


def test_file_of_keys_is_needed_only_where_it_is_named() -> None:
    """A name that leads nowhere is a slip of the pen."""
    assert only(local.look_at_keys_file)[0] == "ok"
    status, text, cure = only(local.look_at_keys_file, patient(env_file="my.env", is_named=True))
    assert (status, text) == ("fail", "there is no file my.env")
    assert "--env-file" in cure


@on_posix
def test_file_of_keys_that_others_may_read_is_warned_of() -> None:
    """With the command that helps."""
    Path(".env").write_text("KRAKEN_API_KEY=hush")
    Path(".env").chmod(0o600)
    assert only(local.look_at_keys_file)[0] == "ok"
    Path(".env").chmod(0o644)
    status, text, _ = only(local.look_at_keys_file)
    assert (status, "chmod 600 .env" in text) == ("warn", True)
    assert "hush" not in text


def test_folder_in_the_place_of_the_file_of_keys_fails() -> None:
    """Such as a container makes it of a file that was not there."""
    Path(".env").mkdir()
    assert only(local.look_at_keys_file)[0] == "fail"


# --- settings --------------------------------------------------------------------------------


def test_misspelt_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the environment and in the file of keys."""
    monkeypatch.setenv("KRAKEN_APIKEY", "hush")
    Path(".env").write_text("TTSLO_DRYRUN=1\n")
    lines = found(local.look_at_settings)
    assert [status for status, _, _ in lines] == ["warn", "warn", "ok"]
    assert "Did you mean KRAKEN_API_KEY?" in lines[0][1]
    assert "hush" not in str(lines)


def test_order_settings_that_are_none_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program would not start with them."""
    monkeypatch.setenv("TTSLO_ORDER_SETTINGS", "watch=often")
    status, text, _ = only(local.look_at_settings)
    assert (status, text.startswith("TTSLO_ORDER_SETTINGS: ")) == ("fail", True)
    monkeypatch.setenv("TTSLO_ORDER_SETTINGS", "watch=5")
    named = "variables of ours: TTSLO_CACHE_DIR, TTSLO_ORDER_SETTINGS"
    assert only(local.look_at_settings)[:2] == ("ok", named)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("KRAKEN_SPOT_URL", "api.kraken.com", "use https://"),
        ("KRAKEN_SPOT_URL", "http://example.com", "use https://"),
        ("KRAKEN_WS_PUBLIC_URL", "ws://example.com", "without TLS"),
        ("HTTPS_PROXY", "not an address", "no address"),
    ],
)
def test_address_that_is_refused_fails(
    name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what is wrong about it; nobody is asked there."""
    monkeypatch.setenv(name, value)
    whom = patient()
    status, text, _ = only(local.look_at_address, whom)
    assert (status, words in text) == ("fail", True)
    assert whom.public is None


@pytest.mark.parametrize("is_streaming", [True, False])
def test_exchange_is_named(is_streaming: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kraken is told from what is not."""
    whom = patient()
    whom.use_websocket = is_streaming
    text = only(local.look_at_address, whom)[1]
    assert text.startswith("orders go to Kraken (https://api.kraken.com)")
    assert text.endswith("from Kraken (wss://ws.kraken.com/v2)" if is_streaming else "nowhere")
    monkeypatch.setenv("KRAKEN_SPOT_URL", "http://127.0.0.1:8080")
    assert "http://127.0.0.1:8080 (not Kraken)" in only(local.look_at_address)[1]
    whom.close()


# --- Python and libraries --------------------------------------------------------------------


def test_python_and_libraries_of_this_machine_are_well() -> None:
    """The tests run with them."""
    assert only(local.look_at_python)[0] == "ok"
    status, text, _ = only(local.look_at_libraries)
    assert status == "ok"
    assert all(name in text for name in (*local.NEEDED, *local.WANTED))


def test_old_python_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where somebody has got so far with it."""
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    status, text, _ = only(local.look_at_python)
    assert (status, "is older than 3.11" in text) == ("fail", True)


@pytest.mark.parametrize(
    ("name", "version", "status", "words"),
    [
        ("requests", "", "fail", "requests is not installed"),
        ("requests", "2.9.1", "fail", "requests 2.9.1 is older than 2.32"),
        ("requests", "10.0", "", ""),
        ("msgspec", "", "warn", "msgspec is not installed: prices come over REST only"),
        ("websocket-client", "1.7.9", "warn", "websocket-client 1.7.9 is older than 1.8"),
        ("PySocks", "", "", ""),
    ],
)
def test_library_that_is_missing_or_old_is_named_with_the_command(
    name: str, version: str, status: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the program can do without only warns; what few need is not missed."""
    known = local._version_of
    monkeypatch.setattr(local, "_version_of", lambda one: version if one == name else known(one))
    lines = found(local.look_at_libraries)[1:]
    assert [line[0] for line in lines] == ([status] if status else [])
    for _, text, cure in lines:
        assert words in text
        assert cure.startswith(f"pip install '{name}>=")


def test_versions_are_those_of_the_project() -> None:
    """One table tells what is needed, and this one follows it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = dict(text.split(">=") for text in project["dependencies"])
    assert needed == {**local.NEEDED, **{name: least for name, (least, _) in local.WANTED.items()}}
    assert project["requires-python"] == ">=" + ".".join(map(str, local.LEAST_PYTHON))
    extras = {text.partition(">")[0] for part in ("metrics", "socks")
              for text in project["optional-dependencies"][part]}  # fmt: skip
    assert extras == set(local.OPTIONAL)


def test_list_of_pairs_is_kept_apart_from_the_programs(
    exchange: FakeKraken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kept one may be a day old: what is told of a pair is of this minute."""
    monkeypatch.setenv("KRAKEN_SPOT_URL", exchange.rest_url)
    whom = patient()
    whom.cache_dir = str(tmp_path / "of-this-minute")
    assert only(local.look_at_address, whom)[0] == "ok"
    whom.exchange().pair_directory()
    assert any((tmp_path / "of-this-minute").iterdir())
    whom.close()
