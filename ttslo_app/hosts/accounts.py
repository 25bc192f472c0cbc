"""`ttslo --store URL --accounts a,b`: one host for several accounts, a process for each.

An account is one trading key: its nonces, its line of orders and its limits are its own, so its
program is, too, and one that dies takes no other with it. Who leads an account is nobody's business
here. What it must never do: let a process have the key of another account, end them without their
good order, or leave them behind when it dies.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from krakenlink.machine import feed_clock
from ttslo_app.cluster.records import Keys
from ttslo_app.cluster.store import StoreError
from ttslo_app.hosts import store_words, stores, words
from ttslo_app.run.ending import ended_by_signals
from ttslo_app.terminal import ENV_FILE, OutputClosed, Parser, put, put_trouble

ALL = "all"
# Seconds: between two looks at the processes, and at the store for accounts that were made since.
_LOOK, _NEW_EVERY = 0.2, 10.0
# A process that has ended begins anew after so long, twice as long each time.
_AGAIN, _LONGEST = 1.0, 60.0
# One that has lived so long had a good start.
_GOOD = 60.0
# Orders that are under way are settled within that, or by the next host.
_FAREWELL = 30.0
# Flags of one program that several would quarrel about.
_OF_ONE = ("--account", "--metrics-port", "--web", "--web-port", "--live", "--once", "--dry-run")


def parser() -> Parser:
    """Return the flags that are read here; all others are for the accounts."""
    made = Parser(
        prog="ttslo --accounts",
        description="Runs a host for each of several accounts of a store, a process each. All "
        "other flags are handed on to them.",
        allow_abbrev=False,
    )
    stores.add_flags(made, with_account=False)
    made.add_argument(
        "--accounts",
        required=True,
        metavar="A,B",
        help="the accounts, or all of the store for which there is a key here: "
        "KRAKEN_API_KEY_RW__A and KRAKEN_API_SECRET_RW__A in the environment or the .env file",
    )
    made.add_argument("--state", default="state.csv", help="gets the account's name: state.A.csv")
    made.add_argument("--log", default="logs.csv", help="likewise")
    return made


def main(argv: Sequence[str]) -> int:
    """Run the hosts until a signal, and return the exit code. Blocks."""
    made = parser()
    options, rest = made.parse_known_args(argv)
    stray = [one for one in rest if one.partition("=")[0] in _OF_ONE]
    if stray:
        made.refuse(words.of_one(stray[0]))

    def work() -> int:
        with stores.opened(options) as (store, keys):
            named = None if options.accounts == ALL else _named(keys, options.accounts)
            there = stores.accounts_in(store, keys)
            for name in named or ():
                if name not in there:
                    raise stores.NotMade(store_words.no_account(keys.cluster, name))
            hosts = Hosts(options, rest, command_of_child())
            with ended_by_signals(hosts.stopping.set):
                hosts.run(lambda: named or stores.accounts_in(store, keys))
        return stores.DONE

    return stores.run(made, work)


def _named(keys: Keys, text: str) -> list[str]:
    """Return the accounts of the flag, each a name that can be one.

    Raises:
        ValueError: If one cannot, or two would have one key.
    """
    names = [Keys(keys.cluster, one.strip()).account for one in text.split(",")]
    tails = {stores.tail_of(name) for name in names}
    if len(tails) < len(names):
        raise ValueError(words.SAME_NAMES)
    return names


def command_of_child() -> list[str]:
    """Return how this program is started once more."""
    own = sys.argv[0]
    return [sys.executable, own] if own.endswith(".py") else [own]


class Hosts:
    """The processes, one an account. One thread; `stopping` may be set by any.

    Args:
        options: The flags that were read here.
        rest: Those that are handed on.
        command: How a process is started.
    """

    def __init__(
        self, options: argparse.Namespace, rest: Sequence[str], command: Sequence[str]
    ) -> None:
        self._options, self._rest, self._command = options, list(rest), list(command)
        self._env_file = options.env_file or ENV_FILE
        self._hosts: dict[str, _Host] = {}
        self._keyless: set[str] = set()
        self.stopping = threading.Event()

    def run(self, names: Callable[[], Sequence[str]]) -> None:
        """Have a process for each account, until `stopping`; one that ends begins anew. Blocks.

        Args:
            names: Asks for the accounts; asked again and again, since new ones are made.

        Raises:
            NotMade: If there is a key for none of them.
        """
        looks_at = float("-inf")
        try:
            while not self.stopping.is_set():
                if feed_clock() >= looks_at:
                    looks_at = feed_clock() + _NEW_EVERY
                    with suppress(StoreError):  # those that run need no list
                        self._take_on(names())
                        if not self._hosts:
                            raise stores.NotMade(words.NO_KEY_AT_ALL)
                for host in self._hosts.values():
                    host.look()
                self.stopping.wait(_LOOK)
        finally:
            for host in self._hosts.values():
                host.ask_to_end()
            for host in self._hosts.values():
                host.end()

    def _take_on(self, names: Sequence[str]) -> None:
        for name in names:
            if name in self._hosts:
                continue
            environment = stores.environment_of(name, self._env_file)
            if environment is None:
                if name not in self._keyless:
                    self._keyless.add(name)
                    put_trouble(words.account_without_key(name, stores.tail_of(name)))
                continue
            self._hosts[name] = _Host(name, [*self._command, *self._flags(name)], environment)

    def _flags(self, name: str) -> list[str]:
        """Return the flags of one account's process, with files of its own."""
        state, log = (_of(name, one) for one in (self._options.state, self._options.log))
        own = ["--store", self._options.store, "--account", name, "--state", state, "--log", log]
        env = ["--env-file", self._options.env_file] if self._options.env_file else []
        return [*own, *env, "--end-with-stdin", *self._rest]


def _of(name: str, file: str) -> str:
    """Return the file of an account: `state.a.csv`."""
    path = Path(file)
    return str(path.with_name(f"{path.stem}.{name}{path.suffix}"))


class _Host:
    """The process of one account, which begins anew where it ends."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._name, self._command, self._environment = name, command, environment
        self._again_at, self._pause, self._began_at = float("-inf"), _AGAIN, 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    def look(self) -> None:
        """Start the process where none runs, at its time. Never waits."""
        now = feed_clock()
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            if now - self._began_at >= _GOOD:
                self._pause = _AGAIN
            put_trouble(words.ended(self._name, code, self._pause))
            self._again_at, self._pause = now + self._pause, min(2 * self._pause, _LONGEST)
            self._let_go(self._process)
            self._process = None
        if now >= self._again_at:
            self._start(now)

    def _start(self, now: float) -> None:
        self._began_at = now
        # In a group of its own: Ctrl-C at the terminal is for this process, which hands it on once.
        flags = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this very program
                self._command,
                env=self._environment,
                stdin=subprocess.PIPE,  # never written to: it ends with this process, and tells so
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=os.name != "nt",
                creationflags=flags,
            )
        except OSError as error:
            put_trouble(words.not_started(self._name, error))
            self._again_at, self._pause = now + self._pause, min(2 * self._pause, _LONGEST)
            return
        self._reader = threading.Thread(
            target=self._pass_on, args=(self._process,), name="ttslo-account", daemon=True
        )
        self._reader.start()

    def _pass_on(self, process: subprocess.Popen[bytes]) -> None:
        """Print what the process says, with its account. On a thread of its own, until it ends."""
        assert process.stdout is not None  # it was asked for
        with process.stdout as lines:
            for line in lines:
                text = line.decode("utf-8", "backslashreplace").rstrip("\r\n")
                with suppress(OutputClosed):  # the process must not wait for who does not read
                    put(f"{self._name}: {text}")

    def ask_to_end(self) -> None:
        """Send the one signal after which the process ends in good order."""
        if self._process is not None:
            wish = getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM)
            with suppress(OSError):  # it has ended
                self._process.send_signal(wish)

    def end(self) -> None:
        """Wait for the end of the process, and end it hard where it does not come. Blocks."""
        if self._process is None:
            return
        try:
            self._process.wait(_FAREWELL)
        except subprocess.TimeoutExpired:
            put_trouble(words.ended_hard(self._name))
            self._process.kill()
            self._process.wait()
        if self._reader is not None:
            self._reader.join(_FAREWELL)
        self._let_go(self._process)

    @staticmethod
    def _let_go(process: subprocess.Popen[bytes]) -> None:
        if process.stdin is not None:
            process.stdin.close()
