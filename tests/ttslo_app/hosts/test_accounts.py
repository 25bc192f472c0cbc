"""A host of several accounts: a process each, with its own key and files, in good order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest

from tests.kits.hosts.store_cli_kit import LONG, made
from tests.kits.hosts.three_etcd import EtcdNodes, wait_until
from ttslo_app.commands import cli
from ttslo_app.hosts import accounts
from ttslo_app.hosts.accounts import Hosts, command_of_child, parser

ROOT = Path(__file__).resolve().parents[3]
Said = pytest.CaptureFixture[str]

# Writes down how it was started, says a word, and ends when it is asked to.
CHILD = """\
import json, os, signal, sys, threading
account = sys.argv[sys.argv.index("--account") + 1]
ended = threading.Event()
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: ended.set())
told = {"argv": sys.argv[1:], "env": dict(os.environ), "pid": os.getpid()}
with open(f"{account}.tmp", "w") as file:
    json.dump(told, file)
os.replace(f"{account}.tmp", f"{account}.json")
print(f"\\u20ac {account} is here", flush=True)
if account == "dies":
    sys.exit(7)
while not ended.wait(0.1):
    pass
print("ended in good order", flush=True)
"""


@pytest.fixture
def child() -> list[str]:
    """Return the command of a stand-in for the program of one account."""
    Path("child.py").write_text(CHILD, encoding="utf-8")
    return [sys.executable, "-X", "utf8", "child.py"]


def keyed(patch: pytest.MonkeyPatch, *names: str) -> None:
    """Let there be trading keys of some accounts."""
    for name in names:
        patch.setenv(f"KRAKEN_API_KEY_RW__{name}", f"key of {name}")
        patch.setenv(f"KRAKEN_API_SECRET_RW__{name}", f"secret of {name}")


def started(name: str) -> dict[str, object]:
    """Return how the process of an account was started, once it was."""
    wait_until(Path(f"{name}.json").exists)
    return dict(json.loads(Path(f"{name}.json").read_text(encoding="utf-8")))


def run(hosts: Hosts, *names: str) -> threading.Thread:
    """Run hosts on a thread."""
    thread = threading.Thread(target=hosts.run, args=(lambda: list(names),))
    thread.start()
    return thread


def test_each_account_has_its_own_key_and_files(
    child: list[str], monkeypatch: pytest.MonkeyPatch, capfd: Said
) -> None:
    """And not that of another; all other flags are the same."""
    keyed(monkeypatch, "A", "B_1")
    monkeypatch.setenv("KRAKEN_API_KEY", "of nobody knows whom")
    monkeypatch.setenv("KRAKEN_API_KEY__B_1", "reads b")
    monkeypatch.setenv("KRAKEN_API_SECRET__B_1", "secret to read b")
    options, rest = parser().parse_known_args(
        ["--store", "etcd://127.0.0.1/x", "--accounts", "a,b-1", "--verbose", "--log", "d/l.csv"]
    )
    hosts = Hosts(options, rest, child)
    thread = run(hosts, "a", "b-1")
    try:
        first, second = started("a"), started("b-1")
    finally:
        hosts.stopping.set()
        thread.join(LONG)
    assert first["argv"] == [
        *("--store", "etcd://127.0.0.1/x", "--account", "a", "--state", "state.a.csv"),
        *("--log", str(Path("d") / "l.a.csv"), "--end-with-stdin", "--verbose"),
    ]
    for told, key, reading in ((first, "A", "key of A"), (second, "B_1", "reads b")):
        environment = told["env"]
        assert isinstance(environment, dict)
        assert environment["KRAKEN_API_KEY_RW"] == f"key of {key}"
        assert environment["KRAKEN_API_KEY"] == reading
        others = {v for n, v in environment.items() if n.startswith("KRAKEN_API")}
        assert not any("nobody" in v or ("A" if key != "A" else "B_1") in v for v in others)
    out = capfd.readouterr().out
    assert "a: \u20ac a is here" in out
    assert "b-1: ended in good order" in out


def test_one_that_ends_begins_anew_and_troubles_no_other(
    child: list[str], monkeypatch: pytest.MonkeyPatch, capfd: Said
) -> None:
    """After a pause; and one that is killed does, too."""
    monkeypatch.setattr(accounts, "_AGAIN", 0.1)
    keyed(monkeypatch, "A", "DIES")
    options, rest = parser().parse_known_args(["--store", "x", "--accounts", "a,dies"])
    hosts = Hosts(options, rest, child)
    thread = run(hosts, "dies", "a", "keyless")
    try:
        before = started("a")["pid"]
        pids = {started("dies")["pid"]}
        wait_until(lambda: len(pids | {started("dies")["pid"]}) > 1)
        assert started("a")["pid"] == before
        assert isinstance(before, int)
        os.kill(before, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
        wait_until(lambda: started("a")["pid"] != before)
    finally:
        hosts.stopping.set()
        thread.join(LONG)
    err = capfd.readouterr().err
    assert "dies: its program ended with 7" in err
    assert err.count("keyless: there is no key for it here") == 1


def test_a_program_that_is_not_there_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, capfd: Said
) -> None:
    """It is said, and the others go on."""
    keyed(monkeypatch, "A")
    options, rest = parser().parse_known_args(["--store", "x", "--accounts", "a"])
    hosts = Hosts(options, rest, [str(Path("not there").resolve())])
    host_told = threading.Event()
    monkeypatch.setattr(accounts, "put_trouble", lambda text: host_told.set())
    thread = run(hosts, "a")
    assert host_told.wait(LONG)
    hosts.stopping.set()
    thread.join(LONG)


def test_accounts_that_are_none_and_flags_of_one_are_refused(
    three_etcd: EtcdNodes, capsys: Said
) -> None:
    """Before any process is started."""
    cluster = f"t{uuid.uuid4().hex[:12]}"
    url = three_etcd.url(cluster)
    for words, code, said in (
        (("--accounts", "a", "--live"), 2, "--live is for one account"),
        (("--accounts", "a,A"), 2, "the same name in the environment"),
        (("--accounts", "a/b"), 2, "the account's name"),
        (("--accounts", "a"), 1, f"has no cluster {cluster}"),
    ):
        assert ended_with(["--store", url, *words]) == code
        assert said in capsys.readouterr().err
    made(url, account="a")
    assert ended_with(["--store", url, "--accounts", "a,other"]) == 1
    assert "has no account other" in capsys.readouterr().err
    assert ended_with(["--store", url, "--accounts", "all"]) == 1
    err = capsys.readouterr().err
    assert "a: there is no key for it here" in err
    assert "a key here for none of the accounts" in err
    assert ended_with(["--accounts", "a"]) == 2


def ended_with(argv: list[str]) -> int:
    """Return the exit code of a command line."""
    try:
        return cli.main(argv)
    except SystemExit as end:
        return int(end.code or 0)


@pytest.mark.skipif(os.name == "nt", reason="a console of its own would be needed for the signal")
def test_a_signal_ends_all_of_them_once_and_in_good_order(
    three_etcd: EtcdNodes, child: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the accounts of the store, new ones too, those with a key here have their process."""
    url = three_etcd.url(f"t{uuid.uuid4().hex[:12]}")
    for account in ("a", "b", "keyless"):
        made(url, account=account)
    keyed(monkeypatch, "A", "B")
    script = (
        "import sys\nfrom ttslo_app.commands import cli\nfrom ttslo_app.hosts import accounts\n"
        f"accounts.command_of_child = lambda: {child!r}\n"
        f"sys.exit(cli.main(['--store', {url!r}, '--accounts', 'all']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-X", "utf8", "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    try:
        started("a")
        started("b")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LONG)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, err
    assert out.count("ended in good order") == 2
    assert "keyless: there is no key" in err


def test_the_program_is_started_as_it_was_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a file, or as the command that pip has made."""
    monkeypatch.setattr(sys, "argv", ["/x/ttslo.py", "--store"])
    assert command_of_child() == [sys.executable, "/x/ttslo.py"]
    monkeypatch.setattr(sys, "argv", ["/usr/bin/ttslo"])
    assert command_of_child() == ["/usr/bin/ttslo"]
