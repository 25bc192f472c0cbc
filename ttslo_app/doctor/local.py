"""What the doctor looks at on this machine: files, settings, Python and its libraries.

What it must never do: change a file that it asks about, or take a lock that a program needs.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter

import creds
from kraken_api import KrakenAPI, Timeouts
from krakenlink.errors import KrakenError
from krakenlink.foreign import some_of
from krakenlink.machine import feed_clock, read_plain
from krakenlink.numbers import counted
from krakenlink.rest.key_info import KeyInfo
from ttslo_app.doctor.words import say
from ttslo_app.environment import KNOWN, unknown_names
from ttslo_app.messages import Sentence
from ttslo_app.orders.intents import read_intents, with_intents
from ttslo_app.orders.ledger import Cells, Ledger, UnreadableLife
from ttslo_app.orders.life import settings_from
from ttslo_app.rules.checks import ConfigValidator
from ttslo_app.rules.findings import ValidationResult
from ttslo_app.rules.rule import Rule, reading_of
from ttslo_app.run.words import place_of
from ttslo_app.signs.telling import exposed_files
from ttslo_app.store.disk import Disk, read_settled
from ttslo_app.store.journal import IntentJournal
from ttslo_app.store.lock import StateLock
from ttslo_app.store.place import Unfit, check_writable, exposure, refuse_same
from ttslo_app.store.rule_file import RuleFile
from ttslo_app.store.rule_row import RuleRow
from ttslo_app.store.state_text import StateReader

# Seconds: a person waits for all of it, and each step must leave time for the next.
TIMEOUTS = Timeouts(connect=2.5, read=3.0, read_order=3.0, retry_pauses=(0.1,))
LEAST_PYTHON = (3, 11)
# As in pyproject.toml: what the program needs, and what only some ways to run it need.
NEEDED = {"requests": "2.32.3", "urllib3": "2.0.2", "filelock": "3.16", "platformdirs": "4.3"}
WANTED = {
    "websocket-client": ("1.8", "prices come over REST only"),
    "msgspec": ("0.19", "prices come over REST only"),
}
OPTIONAL = ("prometheus-client", "PySocks")
# Megabytes: the log's files take thirty, and the state of a thousand rows one.
_LITTLE_ROOM = 100

Findings = Iterator[Sentence]


@dataclass
class Patient:
    """What is looked at, and what the checks have found out for those that come after them.

    Attributes:
        files: The names of config, state and log.
        env_file: Where keys may stand.
        is_env_named: Whether the user has named that file.
        use_websocket: Whether prices are to stream.
        cache_dir: Where the list of pairs is kept meanwhile; None for the usual folder.
        ends_at: When all is to be over, on `feed_clock`.
        disk: The file system.
        notify: Addresses to be told at, as the flags name them.
        ping: The address to be fetched, as its flag names it.
        is_sending: Whether each address is to get a message.
        is_proving: Whether the trading key is to be made exclusive, to see that Kraken does that.
        holder: Who works on the files; empty for nobody.
        rows: The rows of config.csv, once they are read.
        refused: What was found wrong with the text of the rows alone.
        past: What became of the rows before.
        public: The client without a key, whose list of pairs is of this minute.
        clients: The clients with keys that Kraken takes: `reading`, `trading`.
        info: What is known of these keys.
        told: Those of them of which Kraken tells it itself.
        result: What the validation found.
    """

    files: tuple[str, str, str]
    env_file: str
    is_env_named: bool
    use_websocket: bool
    cache_dir: str | None
    ends_at: float
    disk: Disk = field(default_factory=Disk)
    notify: Sequence[str] = ()
    ping: str = ""
    is_sending: bool = False
    is_proving: bool = False
    holder: str = ""
    rows: Sequence[RuleRow] = ()
    refused: frozenset[tuple[str, str]] = frozenset()
    past: Mapping[str, Cells] = field(default_factory=dict)
    public: KrakenAPI | None = None
    clients: dict[str, KrakenAPI] = field(default_factory=dict)
    info: dict[str, KeyInfo] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    result: ValidationResult | None = None

    @property
    def config(self) -> str:
        """The name of config.csv."""
        return self.files[0]

    @property
    def state(self) -> str:
        """The name of state.csv."""
        return self.files[1]

    @property
    def log(self) -> str:
        """The name of the log."""
        return self.files[2]

    def close(self) -> None:
        """Give the sockets back."""
        for client in (self.public, *self.clients.values()):
            if client is not None:
                client.close()

    def left(self, most: float = 60.0) -> float:
        """Return the seconds that a step may take: what is left, and no more than `most`."""
        return max(0.0, min(most, self.ends_at - feed_clock()))

    def exchange(self) -> KrakenAPI:
        """Return the client without a key, for checks that come after `settings`."""
        if self.public is None:
            raise KrakenError("there is no exchange to be asked")
        return self.public

    def rules(self) -> list[Rule]:
        """Return what the rows say, as far as they are rules."""
        return [rule for row in self.rows if isinstance(rule := reading_of(row), Rule)]

    def armed(self) -> list[Rule]:
        """Return the rules that wait for their price, as far as that is known."""
        fired = self.books().fired()
        result = self.result
        return [
            rule
            for rule in self.rules()
            if rule.enabled
            and rule.id not in (fired if result is None else result.fired)
            and not (result is not None and result.has_error(rule.id))
        ]

    def books(self) -> Ledger:
        """Return what is known of the rows' lives."""
        return Ledger({rule_id: dict(cells) for rule_id, cells in self.past.items()})


# --- files -------------------------------------------------------------------------------------


def look_at_names(patient: Patient) -> Findings:
    """Look whether each file is one of its own."""
    names = {"config": patient.config, "state": patient.state, "log": patient.log}
    try:
        refuse_same({**names, "keys": patient.env_file})
    except ValueError as error:
        yield say("names clash", error=error)
    else:
        yield say("names differ")


def look_at_locks(patient: Patient) -> Findings:
    """Look whether a program works on the files, without taking a lock from it."""
    for name in (patient.state, patient.config):
        lock = StateLock(name, patient.disk)
        try:
            is_held = lock.is_held()
        except OSError as error:
            yield say("lock unknown", name, file=name, error=error)
            continue
        if is_held:
            patient.holder = str(lock.holder() or "another process")
            yield say("lock held", name, file=name, holder=patient.holder)
        else:
            yield say("lock free", name, file=name)


def look_at_config(patient: Patient) -> Findings:
    """Read config.csv, and tell what in its text is refused."""
    name = patient.config
    try:
        reading = RuleFile(Path(name), patient.disk).read()
    except OSError as error:
        yield say("config unreadable", name, file=name, error=error)
        return
    if reading.stamp is None:
        yield say("config gone", name, file=name)
        return
    for finding in reading.findings:
        yield say("config odd", name, file=name, what=finding)
    patient.rows = reading.rows
    if not reading.rows:
        yield say("config empty", name, file=name)
        return
    enabled = sum(rule.enabled for rule in patient.rules())
    counted_rows = counted(len(reading.rows), "row")
    yield say("config read", name, file=name, rows=counted_rows, armed=enabled)
    errors = ConfigValidator(_Nobody()).validate_config_file(reading.rows).errors
    patient.refused = frozenset((found["config_id"], found["message"]) for found in errors)
    for row, message in ((found["config_id"], found["message"]) for found in errors):
        yield say("row refused", row, row=row, what=message)


class _Nobody:
    """Somebody to ask who knows nothing: what is refused all the same is the text's own fault."""

    def get_current_price(self, pair: str) -> float:
        """Know no price."""
        raise KrakenError(f"nobody was asked for {pair}")


def look_at_note(patient: Patient) -> Findings:
    """Look whether the note about an order could be written into config.csv."""
    try:
        check_writable(patient.disk, Path(patient.config))
    except Unfit as error:
        yield say("config fixed", patient.config, error=error)
    else:
        yield say("config fit", patient.config, file=patient.config)


def look_at_state(patient: Patient) -> Findings:
    """Read state.csv and look whether it can be replaced, leaving it as it is."""
    name = patient.state
    try:
        data, stamp = read_settled(patient.disk, Path(name))
    except OSError as error:
        yield say("state doubtful", name, what=f"{name} cannot be read: {error.strerror or error}")
        data, stamp = b"", None
    reader = StateReader(data, Path(name).name)
    for problem in reader.problems if stamp is not None else ():
        yield say("state doubtful", name, what=problem.message)
    patient.past = reader.rows
    books = patient.books()
    for rule_id in reader.rows:
        try:
            books.life_of(rule_id)
        except UnreadableLife as error:
            yield say("state doubtful", name, what=f"{name}: the row {rule_id} cannot be: {error}")
    began = perf_counter()
    try:
        check_writable(patient.disk, Path(name))
    except Unfit as error:
        yield say("file unfit", name, error=error)
        return
    what = counted(len(reader.rows), "row") if stamp is not None else "new"
    seconds = perf_counter() - began
    yield say("state known", name, file=name, what=what, seconds=seconds)


def look_at_journal(patient: Patient) -> Findings:
    """Look what the journal of intents says beyond state.csv."""
    journal = IntentJournal(Path(patient.state), patient.disk)
    name = f"{patient.state}.intents"
    try:
        intents = read_intents(journal.load())
    except OSError as error:
        yield say("journal damaged", name, what=f"{name} cannot be read: {error.strerror or error}")
        return
    if intents.damaged:
        lines = some_of([str(number) for number in intents.damaged])
        yield say("journal damaged", name, what=f"{name}: damaged in line {lines}")
    patient.past = with_intents({i: dict(c) for i, c in patient.past.items()}, intents)
    rows = list(dict.fromkeys(row.get("id", "") for row in intents.rows))
    if rows and not patient.holder:  # a program that runs settles them itself
        yield say("journal kept", name, file=name, rows=some_of(rows))
    elif not intents.damaged:
        yield say("journal empty", name)


def look_at_log(patient: Patient) -> Findings:
    """Look whether the log can be kept."""
    name = patient.log
    try:
        check_writable(patient.disk, Path(name))
    except Unfit as error:
        yield say("log unfit", name, error=error)
    else:
        yield say("log fit", name, file=name)


def look_at_space(patient: Patient) -> Findings:
    """Look how much room is left where the files are."""
    places = {Path(name).resolve().parent: name for name in (patient.log, patient.state)}
    for folder, name in places.items():
        room = shutil.disk_usage(folder).free // 1_000_000
        how = "space left" if room >= _LITTLE_ROOM else "space low" if room else "space gone"
        holes = {"megabytes": room} if room else {}
        yield say(how, name, file=name, **holes)


def look_at_keys_file(patient: Patient) -> Findings:
    """Look whether the file of keys is there if it is named, and whether others may read it."""
    for secret in exposed_files(os.environ):
        if exposed := exposure(secret):
            yield say("keys exposed", str(secret), what=exposed)
    name = patient.env_file
    path = Path(name)
    if not path.exists():
        if patient.is_env_named:
            yield say("keys unreadable", name, error=f"there is no file {name}")
        else:
            yield say("keys elsewhere", name, file=name)
        return
    try:
        read_plain(path, 1)
    except OSError as error:
        yield say("keys unreadable", name, error=f"{name} cannot be read: {error.strerror}")
        return
    exposed = exposure(path)
    if exposed:
        yield say("keys exposed", name, what=exposed)
    else:
        yield say("keys private", name, file=name)


# --- settings and machine ----------------------------------------------------------------------


def look_at_settings(patient: Patient) -> Findings:
    """Look at the environment, and at the addresses in it."""
    names = {*os.environ, *creds.names_in(patient.env_file)}
    for unknown in unknown_names(names, any_case=os.name == "nt"):
        yield say("setting odd", what=unknown.text)
    variable = "TTSLO_ORDER_SETTINGS"
    try:
        settings_from(os.environ.get(variable, ""))
    except ValueError as error:
        yield say("setting bad", variable, error=f"{variable}: {error}")
    else:
        ours = sorted(name for name in names if name in KNOWN)
        yield say("settings good", names=", ".join(ours) or "none")


def look_at_address(patient: Patient) -> Findings:
    """Look at which exchange the environment means."""
    try:
        api = patient.public = KrakenAPI(
            use_websocket=patient.use_websocket, timeouts=TIMEOUTS, cache_dir=patient.cache_dir
        )
    except ValueError as error:
        yield say("setting bad", error=error)
        return
    stream = place_of(api.ws_url) if api.ws_url and patient.use_websocket else "nowhere"
    yield say("exchange", rest=place_of(api.base_url), stream=stream)


def look_at_python(patient: Patient) -> Findings:
    """Look whether this Python is new enough."""
    least = ".".join(map(str, LEAST_PYTHON))
    if sys.version_info[:2] < LEAST_PYTHON:
        yield say("python old", version=platform.python_version(), least=least)
    else:
        system = f"{platform.system()} {platform.release()} ({platform.machine()})"
        yield say("python fits", version=platform.python_version(), system=system)


def look_at_libraries(patient: Patient) -> Findings:
    """Look which libraries there are, and whether they are new enough."""
    found = {name: _version_of(name) for name in (*NEEDED, *WANTED, *OPTIONAL)}
    yield say("libraries", names=", ".join(f"{n} {v}" for n, v in found.items() if v))
    for name, least in NEEDED.items():
        if what := _lack(found[name], least):
            yield say("library missing", name, name=name, what=what, least=least)
    for name, (least, why) in WANTED.items():
        if what := _lack(found[name], least):
            yield say("library wanted", name, name=name, what=what, least=least, why=why)


def _version_of(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _lack(found: str, least: str) -> str:
    """Return what is wrong with a version; empty where it is new enough."""
    if not found:
        return "is not installed"
    return f"{found} is older than {least}" if _numbers(found) < _numbers(least) else ""


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)[:3]]
