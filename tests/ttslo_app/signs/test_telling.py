"""Whom a run tells: flags, settings and files, and the whole of it as a process of its own."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fake_kraken import FakeKraken
from tests.kits.program.live_program import LiveProgram, row
from tests.kits.program.program_process import HEADER, ROW, Scene
from tests.kits.signs.receiver_kit import Receiver
from ttslo import main
from ttslo_app.face.outbox import Level
from ttslo_app.signs.telling import (
    Telling,
    add_flags,
    exposed_files,
    telling_from,
)

SECRET = "s3cr3t-t0k3n"


def options(*argv: str) -> argparse.Namespace:
    """Return a command line with the flags of this room."""
    parser = argparse.ArgumentParser()
    add_flags(parser.add_argument)
    return parser.parse_args(argv)


def urls(telling: Telling) -> list[tuple[str, Level]]:
    """Return whom a run tells, and of what."""
    return [(address.url, address.level) for address, _ in telling.ways]


# --- settings ----------------------------------------------------------------------------------


def test_without_flags_and_settings_nobody_is_told(place_of_its_own: Path) -> None:
    """And no library is asked for."""
    telling = telling_from(options(), ".env")
    assert (telling.ways, telling.ping_url) == ((), "")


def test_addresses_come_from_flags_setting_and_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them count, each once; the setting may stand in the .env file as well."""
    listed = tmp_path / "addresses"
    listed.write_text("# mine\nall=json://127.0.0.1/c\njson://127.0.0.1/a\n", encoding="utf-8")
    env = tmp_path / "my.env"
    env.write_text(f"TTSLO_NOTIFY_FILE={listed}\nTTSLO_PING=http://127.0.0.1/p\n", encoding="utf-8")
    monkeypatch.setenv("TTSLO_NOTIFY", "json://127.0.0.1/b")
    telling = telling_from(options("--notify", "orders=json://127.0.0.1/a"), str(env))
    assert urls(telling) == [
        ("json://127.0.0.1/a", Level.ORDERS),
        ("json://127.0.0.1/b", Level.WARNINGS),
        ("json://127.0.0.1/c", Level.ALL),
    ]
    assert telling.ping_url == "http://127.0.0.1/p"


def test_setting_of_the_ping_is_the_real_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run beside it would keep the alarm quiet when the real one dies; a flag is meant."""
    monkeypatch.setenv("TTSLO_PING", "http://127.0.0.1/p")
    assert telling_from(options(), ".env").ping_url == "http://127.0.0.1/p"
    assert telling_from(options(), ".env", is_rehearsal=True).ping_url == ""
    flag = options("--ping", "http://127.0.0.1/q")
    assert telling_from(flag, ".env", is_rehearsal=True).ping_url == "http://127.0.0.1/q"


def test_flags_alone_count_for_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is told of made-up money without having asked for it."""
    monkeypatch.setenv("TTSLO_NOTIFY", "json://127.0.0.1/b")
    assert urls(telling_from(options())) == []


def test_credentials_of_systemd_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They lie under the names of the variables."""
    (tmp_path / "TTSLO_NOTIFY").write_text("json://127.0.0.1/a\n", encoding="utf-8")
    (tmp_path / "TTSLO_PING").write_text("http://127.0.0.1/p\n", encoding="utf-8")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    telling = telling_from(options(), ".env")
    assert (len(telling.ways), telling.ping_url) == (1, "http://127.0.0.1/p")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "which cannot be read (No such file or directory)"),
        ("folder", "which is no file"),
        (b"", "which is empty"),
        (b"x" * 200_000, "which is too large"),
    ],
)
def test_file_of_addresses_that_cannot_be_used_is_named_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | str | None, why: str
) -> None:
    """Addresses that are looked for in vain must not look like none that were given."""
    path = tmp_path / "addresses"
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    monkeypatch.setenv("TTSLO_NOTIFY_FILE", str(path))
    with pytest.raises(ValueError) as found:
        telling_from(options(), ".env")
    assert str(found.value).startswith(f"TTSLO_NOTIFY_FILE names {path}, {why}")
    assert str(found.value).endswith("put the addresses there, one a line, readable by the user "
        "of the program")  # fmt: skip


def test_service_manager_hears_of_a_real_run(exchange: FakeKraken, tmp_path: Path) -> None:
    """Ready once its rows are armed, with the nearest one, and of its end as soon as it begins."""
    if not hasattr(socket, "AF_UNIX") or os.name != "posix":
        return
    scene = Scene(exchange, tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "sock"))
        manager.settimeout(20)
        name = str(tmp_path / "sock")
        with scene.run(
            "--dry-run", plan={"quiet": True}, NOTIFY_SOCKET=name, WATCHDOG_USEC="400000"
        ) as program:
            ready = manager.recv(4096).decode()
            assert ready.startswith("READY=1\nSTATUS=1 armed")
            seen = {manager.recv(4096).decode().partition("=")[0] for _ in range(3)}
            assert "WATCHDOG" in seen
            assert program.end() == 0
        heard = [ready]
        manager.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                heard.append(manager.recv(4096).decode())
    assert heard[-1] == "STOPPING=1"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_file_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's own word for it is told."""
    path = tmp_path / "addresses"
    path.write_text("json://127.0.0.1", encoding="utf-8")
    path.chmod(0)
    monkeypatch.setenv("TTSLO_NOTIFY_FILE", str(path))
    with pytest.raises(ValueError, match="Permission denied"):
        telling_from(options(), ".env")


def test_files_of_secrets_are_looked_at_for_who_may_read_them() -> None:
    """Those that a variable names, but for a container's own."""
    environ = {
        "KRAKEN_API_SECRET_RW_FILE": "/etc/ttslo/secret",
        "KRAKEN_API_KEY_RW_FILE": "/run/secrets/key",
        "TTSLO_NOTIFY_FILE": " /etc/ttslo/notify ",
        "SOME_FILE": "/etc/passwd",
    }
    found = {str(path) for path in exposed_files(environ)}
    assert found == {"/etc/ttslo/secret", "/etc/ttslo/notify"}


# --- the command line --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--notify", f"nosuch://{SECRET}"], "apprise knows no such service"),
        (["--notify", SECRET], "notification address 1 (...) is no address"),
        (["--notify", f"orders=tgram://{SECRET}"], "notification address 1 (tgram://...) cannot"),
        (["--ping", f"ftp://h/{SECRET}"], "--ping: that is no address that can be fetched"),
    ],
)
def test_wrong_address_ends_the_start_with_a_sentence_and_no_secret(
    argv: list[str], words: str, place_of_its_own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is found at the start, not at the first crossing."""
    Path("config.csv").write_text(f"{HEADER}\n{ROW}\n", encoding="utf-8")
    assert main(["--dry-run", *argv]) == 1
    printed = "".join(capsys.readouterr())
    assert f"Cannot run: {words}" in printed or words in printed
    assert SECRET not in printed


def test_missing_library_ends_the_start_with_what_to_install(
    place_of_its_own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever asks for notifications and cannot have them is told so at once."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    Path("config.csv").write_text(f"{HEADER}\n{ROW}\n", encoding="utf-8")
    assert main(["--dry-run", "--notify", f"ntfy://{SECRET}"]) == 1
    assert "--notify needs the library apprise: pip install apprise" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--notfy", f"ntfy://{SECRET}"], [f"ntfy://{SECRET}"]])
def test_mistyped_flag_shows_no_address(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The journal of a service manager keeps what is printed."""
    with pytest.raises(SystemExit) as end:
        main(argv)
    assert end.value.code == 2
    printed = "".join(capsys.readouterr())
    assert "ntfy://..." in printed
    assert SECRET not in printed


def test_json_is_printed_before_a_run_too(
    place_of_its_own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A program that cannot begin says so as it was told to speak."""
    assert main(["--log-format", "json"]) == 1
    printed = capsys.readouterr()
    said = json.loads(printed.out)
    assert (said["level"], said["row"], printed.err) == ("ERROR", None, "")
    assert said["text"].startswith("Cannot run: there is no config.csv")
    assert main([]) == 1
    assert capsys.readouterr().err.startswith("Cannot run: there is no config.csv")


@pytest.mark.parametrize("flags", [["--create-sample-config"], ["--validate-config"]])
def test_json_is_printed_where_nothing_runs(
    flags: list[str], exchange: FakeKraken, tmp_path: Path
) -> None:
    """A check of the rules is read by programs, too; each object is whole on its line."""
    scene = Scene(exchange, tmp_path)
    with scene.run("--log-format", "json", *flags, plan={"quiet": True}) as program:
        assert program.wait() == 0
        said = [json.loads(line) for line in program.output.splitlines()]
    assert said
    assert {one["kind"] for one in said} == {"other"}


def test_nobody_to_tell_costs_no_thread(exchange: FakeKraken, tmp_path: Path) -> None:
    """Without an address the `with` does nothing at all."""
    program = LiveProgram(exchange, tmp_path, [row("up", 51000)])
    with Telling().over(program.ttslo, "DEMO"):
        assert program.ttslo.voice._ears == ()


# --- the whole ---------------------------------------------------------------------------------


def test_run_tells_what_it_is_what_happens_and_its_end(
    exchange: FakeKraken, tmp_path: Path
) -> None:
    """One real run: notifications with mark and note, a ping, and JSON on the screen."""
    scene = Scene(exchange, tmp_path)
    (tmp_path / "config.csv").write_text(f"{HEADER},note\n{ROW},my savings\n", encoding="utf-8")
    with Receiver() as receiver, Receiver("mute") as mute, Receiver("garbled") as garbled:
        flags = ["--dry-run", "--verbose", "--log-format", "json"]
        for one in (receiver, garbled):  # of the latter its library logs the whole address
            flags += ["--notify", f"json://{one.place}/{SECRET}"]
        listed = tmp_path / "addresses"
        listed.write_text(f"json://{mute.place}/{SECRET}\n", encoding="utf-8")
        listed.chmod(0o644)
        flags += ["--ping", f"http://{receiver.place}/{SECRET}"]
        with scene.run(*flags, plan={"quiet": True}, TTSLO_NOTIFY_FILE=str(listed)) as program:
            scene.wait_for_stream(program)
            scene.cross()
            placed = receiver.wait_for_text("crossed at 51001")
            receiver.wait_for(lambda found: any(line.startswith("GET") for line, _ in found))
            garbled.wait_for(len)
            code = program.end()
            printed = program.output
        messages: list[dict[str, Any]] = receiver.messages
    assert code == 0
    assert all(message["title"].startswith("TTSLO DRY RUN: ") for message in messages)
    assert "Note: my savings" in placed["message"]
    assert "DRY RUN on" in messages[0]["message"]
    if os.name == "posix":
        assert "Stopped" in messages[-1]["message"]
        assert "addresses may be read by every user of this machine" in printed
    said = [json.loads(line) for line in printed.splitlines()]
    assert {tuple(one) for one in said} == {("time", "level", "kind", "row", "text")}
    (crossed,) = (one for one in said if "crossed at 51001" in one["text"])
    assert (crossed["row"], crossed["kind"]) == ("btc", "order placed")
    assert SECRET not in printed
    assert SECRET not in (tmp_path / "logs.csv").read_text(encoding="utf-8")
