"""`ttslo doctor`: what would keep the program from its work, found before it matters.

A table of checks, worked off in lanes beside each other within one deadline for all of them. What
it must never do: place an order, disturb a program that runs, or end without a word on a check.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from krakenlink import VERSION
from krakenlink.errors import KrakenError
from krakenlink.machine import feed_clock
from krakenlink.sockets import done_within
from ttslo_app.doctor import account, local, network
from ttslo_app.doctor.local import Findings, Patient
from ttslo_app.doctor.words import line_of, say, status_of
from ttslo_app.face.voice import show_line, write_line
from ttslo_app.messages import Sentence
from ttslo_app.run.account_words import no_consent
from ttslo_app.run.exclusive import CONSENT, ask_person
from ttslo_app.terminal import Parser

# Seconds for everything, so that with the start of Python it is less than ten.
BUDGET = 8.0
# Of the form of `--json`; a change that a reader could notice gives it another number.
SCHEMA = 1
_MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


@dataclass(frozen=True, slots=True)
class Check:
    """One check of the table.

    Attributes:
        id: Its name, which stays the same for those who read `--json`.
        lane: Checks of one lane follow one another; lanes go on beside each other.
        look: Does it, and yields what it finds.
        needs: Checks that come first, and without which this one has no sense.
        after: Checks that come first, however they end.
    """

    id: str
    lane: str
    look: Callable[[Patient], Findings]
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


# What is looked at of each key that Kraken takes.
_OF_KEYS = {
    "rights": account.look_at_rights,
    "batches": account.look_at_batches,
    "withdrawal": account.look_at_withdrawal,
    "expiry": account.look_at_expiry,
    "addresses": account.look_at_addresses,
    "nonces": account.look_at_nonces,
    "exclusive": account.look_at_exclusive,
}


def table(stream: network.StreamLook) -> tuple[Check, ...]:
    """Return all checks, in their order."""
    rows, keys, link = ("files.config", "rest.time"), ("keys.found",), ("stream.link",)
    return (
        Check("machine.python", "machine", local.look_at_python),
        Check("machine.libraries", "machine", local.look_at_libraries),
        Check("settings", "machine", local.look_at_settings),
        Check("files.names", "files", local.look_at_names),
        Check("files.keys", "files", local.look_at_keys_file),
        Check("files.locks", "files", local.look_at_locks),
        Check("files.config", "files", local.look_at_config),
        Check("files.state", "files", local.look_at_state),
        Check("files.journal", "files", local.look_at_journal),
        Check("files.note", "files", local.look_at_note),
        Check("files.log", "files", local.look_at_log),
        Check("files.space", "files", local.look_at_space),
        Check("net.address", "net", local.look_at_address),
        Check("net.proxy", "net", network.look_at_proxy, ("net.address",)),
        Check("net.name", "net", network.look_up_names, ("net.address",)),
        Check("net.port", "net", network.look_at_ports, ("net.name",)),
        Check("net.tls", "net", network.look_at_certificates, ("net.port",)),
        Check("rest.time", "net", network.look_at_clock, ("net.port",)),
        Check("rest.engine", "net", network.look_at_engine, ("rest.time",)),
        Check("stream.link", "stream", stream.look_at_link, ("net.port",)),
        Check("stream.price", "stream", stream.look_at_prices, ("net.address", rows[0]), link),
        Check("stream.account", "account", network.look_at_account_stream, ("net.address",)),
        Check("keys.found", "keys", account.look_at_keys, ("rest.time",), after=("files.locks",)),
        *(Check(f"keys.{name}", "keys", look, keys) for name, look in _OF_KEYS.items()),
        Check("rows.checked", "rows", account.look_at_rows, rows, after=("files.journal",)),
        Check("rows.pairs", "rows", account.look_at_pairs, rows),
        Check("rows.funds", "rows", account.look_at_funds, rows, after=("rows.checked", *keys)),
        Check("rows.orders", "rows", account.look_at_orders, rows, after=("rows.checked", *keys)),
        Check("notify.address", "notify", network.look_at_addresses),
        Check("notify.test", "notify", network.send_tests, ("notify.address",)),
    )  # fmt: skip


# --- examining ---------------------------------------------------------------------------------


class Examination:
    """The checks at work: each is told once it and all before it are done, or time is up.

    Args:
        patient: What is looked at.
        checks: In the order in which they are told.
        seconds: For everything.
    """

    def __init__(self, patient: Patient, checks: Sequence[Check], seconds: float) -> None:
        self._patient = patient
        self._checks = checks
        self._seconds = seconds
        self._changed = threading.Condition()  # guards the three below
        self._found: dict[str, list[Sentence]] = {check.id: [] for check in checks}
        self._begun: set[str] = set()
        self._done: set[str] = set()

    def findings(self) -> Iterator[tuple[str, Sentence]]:
        """Start the checks and yield what they find, each with the id of its check. Blocks."""
        for lane in dict.fromkeys(check.lane for check in self._checks):
            work = partial(self._work, [check for check in self._checks if check.lane == lane])
            # Daemon, because a disk or a name server may hang for minutes and holds nothing up.
            name = f"ttslo-doctor-{lane}"
            threading.Thread(target=work, name=name, daemon=True).start()
        for check in self._checks:
            with self._changed:
                self._wait_for(check.id)
                found = self._told_of(check.id)
            yield from ((check.id, sentence) for sentence in found)

    def _wait_for(self, name: str) -> None:
        self._changed.wait_for(lambda: name in self._done, self._patient.left())

    def _told_of(self, name: str) -> list[Sentence]:
        found = list(self._found[name])
        if name in self._done:
            return found
        is_begun = name in self._begun
        return [*found, say("no answer", seconds=self._seconds) if is_begun else say("not begun")]

    def _work(self, checks: Sequence[Check]) -> None:
        with done_within(self._patient.left()):
            for check in checks:
                for sentence in self._looked_at(check):
                    with self._changed:
                        self._found[check.id].append(sentence)
                with self._changed:
                    self._done.add(check.id)
                    self._changed.notify_all()

    def _looked_at(self, check: Check) -> Findings:
        blocked = self._wait_for_those_before(check)
        with self._changed:
            self._begun.add(check.id)
        if blocked is not None:
            yield say("not looked at", check=blocked)
            return
        try:
            yield from check.look(self._patient)
        except Exception as error:  # noqa: BLE001 - whatever is broken, the others are looked at
            kind = "" if isinstance(error, KrakenError) else f"{type(error).__name__}: "
            yield say("broke", error=f"{kind}{line_of(error)}")

    def _wait_for_those_before(self, check: Check) -> str | None:
        """Wait for the checks before this one; return the first that fails of those it needs."""
        with self._changed:
            for name in (*check.needs, *check.after):
                self._wait_for(name)
            return next((name for name in check.needs if self._keeps_from_going_on(name)), None)

    def _keeps_from_going_on(self, name: str) -> bool:
        """Tell whether nothing of a check is well: one bad row, or host, says nothing of others."""
        found = self._told_of(name)
        statuses = {status_of(sentence) for sentence in found}
        return "ok" not in statuses and ("fail" in statuses or any(map(_is_idle, found)))


def _is_idle(sentence: Sentence) -> bool:
    """Tell whether a check was itself not looked at: what builds on it has no sense either."""
    return sentence.text.startswith("not looked at")


# --- the command -------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """Return the flags of the command."""
    made = Parser(
        prog="ttslo doctor",
        description="Looks at all that the program needs, places nothing, and says what helps.",
        epilog="Exit codes: 0 nothing fails, 1 something does, 2 a flag is wrong.",
    )
    add = made.add_argument
    add("--config", default="config.csv", help="the rules (default: %(default)s)")
    add("--state", default="state.csv", help="what became of them (default: %(default)s)")
    add("--log", default="logs.csv", help="what the program did (default: %(default)s)")
    add("--env-file", metavar="FILE", help="where keys may stand (default: .env)")
    add("--no-websocket", action="store_true", help="as the program is run: prices over REST only")
    add("--notify", action="append", default=[], metavar="[LEVEL=]URL",
        help="an address to be told at, as the program is run; may be given again")  # fmt: skip
    add("--ping", default="", metavar="URL", help="the address to be fetched, as it is run")
    add("--send-test", action="store_true", help="send one message to each address")
    add("--exclusive-key-test", action="store_true", help="see whether Kraken refuses others once "
        "the trading key is exclusive; there is no way back for the key")  # fmt: skip
    add("--yes-this-key-is-ttslos-alone", action="store_true", help="agree to that")
    add("--json", action="store_true", help="tell it as one JSON object, for programs")
    return made


def main(argv: Sequence[str], *, seconds: float = BUDGET) -> int:
    """Run the command and return its exit code: 0 nothing fails, 1 something does.

    Args:
        argv: The arguments after `doctor`.
        seconds: For everything.
    """
    options = parser().parse_args(argv)
    if options.exclusive_key_test and not ask_person(options.yes_this_key_is_ttslos_alone):
        parser().error(no_consent(CONSENT))
    began = feed_clock()
    found: list[tuple[str, Sentence]] = []
    with ExitStack() as ending:
        patient = ending.enter_context(closing(_patient(options, began + seconds, ending)))
        stream = ending.enter_context(closing(network.StreamLook()))
        for finding in Examination(patient, table(stream), seconds).findings():
            found.append(finding)
            if not options.json:
                _tell(*finding)
    told = report(found, feed_clock() - began)
    write_line(sys.stdout, json.dumps(told, ensure_ascii=False) if options.json else _end(told))
    return 0 if told["ok"] else 1


def _patient(options: argparse.Namespace, ends_at: float, ending: ExitStack) -> Patient:
    """Return what is looked at; what it needs meanwhile goes with `ending`."""
    folder = None
    with suppress(OSError):  # where nothing can be written the kept list of pairs will do
        # A list of pairs of this minute: the one that is kept may be a day old.
        made = tempfile.TemporaryDirectory(prefix="ttslo-", ignore_cleanup_errors=True)
        folder = ending.enter_context(made)
    return Patient(
        files=(options.config, options.state, options.log),
        env_file=options.env_file or ".env",
        is_env_named=options.env_file is not None,
        use_websocket=not options.no_websocket,
        cache_dir=folder,
        ends_at=ends_at,
        notify=options.notify,
        ping=options.ping,
        is_sending=options.send_test,
        is_proving=options.exclusive_key_test,
    )


def _tell(name: str, sentence: Sentence) -> None:
    cure = sentence.fields["cure"]
    line = f"{_MARKS[status_of(sentence)]} {name:<18} {sentence.text}"
    show_line(sys.stdout, f"{line}. {cure}" if cure else line)


def _end(told: Mapping[str, Any]) -> str:
    counts = told["counts"]
    summary = f"{counts['ok']} ok, {counts['warn']} warn, {counts['fail']} FAIL"
    return f"{summary}, in {told['seconds']:.1f} s; nothing was placed"


def report(found: Sequence[tuple[str, Sentence]], seconds: float) -> dict[str, Any]:
    """Return the object of `--json`; its form is documented in docs/doctor.md."""
    statuses = [status_of(sentence) for _, sentence in found]
    counts = {status: statuses.count(status) for status in _MARKS}
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "ok": not counts["fail"],
        "counts": counts,
        "checks": [
            {
                "id": name,
                "status": status_of(sentence),
                "about": sentence.fields["about"],
                "text": sentence.text,
                "cure": sentence.fields["cure"],
            }
            for name, sentence in found
        ],
    }
