"""The snapshot: what a running program leaves beside its state, for whoever wants to know.

Pure: what it holds, how it is written and read, and what a reader may conclude from it. It has no
key, no secret and no address with a password. What it must never do: let an old snapshot, or one
that cannot be read, pass for a program that watches.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from krakenlink.foreign import some_of
from krakenlink.numbers import counted

# Of the form of the file; a change that a reader could notice gives it another number.
SCHEMA = 1
# Seconds between two snapshots, and the age from which on nobody can rely on one.
EVERY, OLD = 2.0, 10.0
# A crossing without its order is trouble once it is so old, in seconds.
LATE = 5.0
# So many rows at most, those nearest to their thresholds: the file stays small.
MOST_ROWS, MOST_EVENTS = 100, 8

RUNNING, NOT_RUNNING, BLIND = 0, 3, 4


@dataclass(frozen=True, slots=True)
class Row:
    """A row of config.csv. Prices are Kraken's text; what is not known is None.

    Attributes:
        id: Its name.
        pair: As prices are told, such as `BTC/USD`.
        condition: Such as `at or above 50000`.
        action: Such as `sell 0.01, trailing 5 %`.
        state: `armed`, `blind` (armed, without a proven price), `waiting` (crossed, its order is
            not placed yet), `uncertain`, `placed`, `closed`, `disabled`, `refused`, `not armed`.
        detail: Why, or what became of its order; empty where there is nothing to say.
        price: The last price.
        source: Where it came from: `stream` or `REST`.
        age: Seconds since it was proven.
        away: How far the price is from the threshold, in percent of the price.
        worst: What it comes to where the price turns right after its crossing; empty once it has
            fired.
    """

    id: str
    pair: str
    condition: str
    action: str
    state: str
    detail: str
    price: str | None
    source: str | None
    age: float | None
    away: float | None
    worst: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """A stop that stands at Kraken.

    Attributes:
        row: The row that placed it.
        pair: As prices are told.
        txid: Kraken's id.
        action: Such as `sell 0.01, trailing 5 %`.
        stop: Where it stands now.
        best: The best price since it was placed.
        told_by: Who says so: `Kraken` (`paper` in a rehearsal), or `computed` from the prices that
            were seen since.
        is_triggered: Whether the price has come back to it.
        price: The last price.
        away: How far the price is from the stop, in percent of the price.
    """

    row: str
    pair: str
    txid: str
    action: str
    stop: str | None
    best: str | None
    told_by: str | None
    is_triggered: bool
    price: str | None
    away: float | None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that the program said. `at` is in seconds since 1970."""

    at: float
    level: str
    kind: str
    row: str
    text: str


@dataclass(frozen=True, slots=True)
class Connection:
    """One of several connections to Kraken's stream.

    Attributes:
        name: `1` for the first, `2` and so on, or `pairs` for the one with news of all pairs.
        link: Its state.
        frame_age: Seconds since its last frame; None where there was none.
        down_for: Seconds since it was lost; None while it is not.
        subscriptions: How many it carries.
        messages_per_second: How many frames, in the mean of the last seconds.
    """

    name: str
    link: str
    frame_age: float | None
    down_for: float | None
    subscriptions: int
    messages_per_second: float

    @property
    def words(self) -> str:
        """What a person reads of it."""
        load = counted(self.subscriptions, "subscription")
        if self.down_for is None:
            return f"{self.name} {self.link}, {load}, {self.messages_per_second:.1f} messages/s"
        return f"{self.name} DOWN for {span(self.down_for)}, {load}: over REST until it is back"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A program at one moment. Moments are seconds since 1970 by its machine's clock.

    Attributes:
        schema: Of this form.
        version: Of the program.
        mode: `LIVE`, `DRY RUN`, `DEMO`, `PAPER`, or of several hosts `LEADS` or `FOLLOWS`.
        phase: `starting`, `running` or `stopped`.
        exchange: Where, as the first line of the run says it.
        config: Its rules.
        state: Its state file.
        pid: Its process.
        host: Its machine.
        started_at: Since when it runs.
        written_at: When this was written.
        link: The state of the stream; `none` where prices come over REST alone.
        frame_age: Seconds since the stream's last frame; None where there was none.
        connections: Each connection of the stream, the first of them among them, where prices come
            over several or the one beside is down; else none.
        armed: How many rows are armed.
        late: The rows that were crossed at least `LATE` seconds ago and have no order yet.
        left_out: How many rows are not shown.
        rows: The rows.
        orders: The stops that stand.
        events: What was said last, the newest at the end.
    """

    version: str
    mode: str
    phase: str
    exchange: str
    config: str
    state: str
    pid: int
    host: str
    started_at: float
    written_at: float
    link: str
    frame_age: float | None
    connections: tuple[Connection, ...]
    armed: int
    late: tuple[str, ...]
    left_out: int
    rows: tuple[Row, ...]
    orders: tuple[Order, ...]
    events: tuple[Event, ...]
    schema: int = SCHEMA

    @property
    def place_of_stops(self) -> str:
        """Where the stops stand, for a title over them."""
        return "on paper" if self.mode == "PAPER" else "at Kraken"

    @property
    def spread(self) -> str:
        """How the stream spreads over connections; empty where there is nothing to tell."""
        if not self.connections:
            return ""
        words = "; ".join(one.words for one in self.connections)
        return f"{len(self.connections)} connections: {words}"

    @property
    def is_torn(self) -> bool:
        """Whether one of several connections is down."""
        return any(one.down_for is not None for one in self.connections)

    @property
    def blind(self) -> list[str]:
        """The armed rows that have no proven price, as far as rows are shown."""
        return [row.id for row in self.rows if row.state == "blind"]

    @property
    def nearest(self) -> Row | None:
        """The armed row whose threshold is nearest; None where no price is known."""
        known = [row for row in self.rows if row.state == "armed" and row.away is not None]
        return min(known, key=lambda row: row.away or 0.0, default=None)


# --- as a file -----------------------------------------------------------------------------------


class Unreadable(ValueError):
    """A snapshot that cannot be understood; the sentence says why."""


def encoded(snapshot: Snapshot) -> bytes:
    """Return the file: one JSON object on one line."""
    return (json.dumps(asdict(snapshot)) + "\n").encode()


def decoded(data: bytes) -> Snapshot:
    """Return what `encoded` wrote.

    Raises:
        Unreadable: If it is cut off, of another version, or something else altogether.
    """
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        raise Unreadable("it is cut off, or was not written by this program") from None
    if not isinstance(told, dict) or not isinstance(told.get("schema"), int):
        raise Unreadable("it was not written by this program")
    if told["schema"] != SCHEMA:
        raise Unreadable(
            f"another version of the program wrote it (form {told['schema']}, this one reads "
            f"{SCHEMA}); use the version that runs"
        )
    return _made(Snapshot, told)


_T = TypeVar("_T")


def _made(form: type[_T], told: object) -> _T:
    """Return an object of a form from its fields.

    Raises:
        Unreadable: If one is missing, or of the wrong kind.
    """
    if not isinstance(told, Mapping):
        raise Unreadable("it was not written by this program")
    values: dict[str, Any] = {}
    for one in fields(form):  # type: ignore[arg-type]  # each form is a dataclass
        if one.name not in told:
            raise Unreadable(f"{one.name} is missing in it")
        read = _READERS[str(one.type)]
        try:
            values[one.name] = read(told[one.name])
        except TypeError:
            raise Unreadable(f"{one.name} in it is not what it should be") from None
    return form(**values)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError
    return float(value)


def _of(kind: type[_T]) -> Callable[[object], _T]:
    def read(value: object) -> _T:
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise TypeError
        return value

    return read


def _maybe(read: Callable[[object], _T]) -> Callable[[object], _T | None]:
    return lambda value: None if value is None else read(value)


def _many(read: Callable[[object], _T]) -> Callable[[object], tuple[_T, ...]]:
    def read_all(value: object) -> tuple[_T, ...]:
        if not isinstance(value, list):
            raise TypeError
        return tuple(map(read, value))

    return read_all


_READERS: Mapping[str, Callable[[object], object]] = {
    "str": _of(str),
    "int": _of(int),
    "bool": _of(bool),
    "float": _number,
    "str | None": _maybe(_of(str)),
    "float | None": _maybe(_number),
    "tuple[str, ...]": _many(_of(str)),
    "tuple[Connection, ...]": _many(lambda told: _made(Connection, told)),
    "tuple[Row, ...]": _many(lambda told: _made(Row, told)),
    "tuple[Order, ...]": _many(lambda told: _made(Order, told)),
    "tuple[Event, ...]": _many(lambda told: _made(Event, told)),
}


# --- what it means -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reader concludes.

    Attributes:
        code: 0 it runs and sees, 3 it does not run, 4 it runs and could miss a crossing.
        word: `running`, `not running` or `blind`.
        text: A sentence for a person.
    """

    code: int
    word: str
    text: str


def judged(snapshot: Snapshot, now: float, *, is_alive: bool | None) -> Verdict:
    """Return what a snapshot means at a moment.

    Args:
        snapshot: The newest one.
        now: Seconds since 1970, by this machine's clock.
        is_alive: Whether its process is there; None where that cannot be told.
    """
    age = now - snapshot.written_at
    who = f"{snapshot.mode} (process {snapshot.pid} on {snapshot.host})"
    if snapshot.phase == "stopped":
        return Verdict(NOT_RUNNING, "not running", f"NOT RUNNING: it was stopped {ago(age)}")
    if is_alive is False:
        text = f"NOT RUNNING: {who} died without a last word, at most {ago(age)}; start it again"
        return Verdict(NOT_RUNNING, "not running", text)
    if age > OLD:
        text = f"NO SIGN OF LIFE of {who} for {span(age)}: it ended, hangs, or its disk is full"
        return Verdict(NOT_RUNNING, "not running", f"{text}. Look at its log")
    if snapshot.phase == "starting":
        text = f"STARTING: {who} has no row armed yet; look again in a moment"
        return Verdict(BLIND, "blind", text)
    if snapshot.late:
        text = f"CROSSED, AND NO ORDER YET: {some_of(snapshot.late)}. Look at the log of {who}"
        return Verdict(BLIND, "blind", text)
    if blind := snapshot.blind:
        text = f"BLIND: no proven price for {some_of(blind)}; look at the network of {who}"
        return Verdict(BLIND, "blind", text)
    length = span(now - snapshot.started_at)
    return Verdict(RUNNING, "running", f"{who} runs and sees, for {length} now")


def ago(seconds: float) -> str:
    """Return how long ago something was, as a person says it."""
    return f"{span(seconds)} ago"


def span(seconds: float) -> str:
    """Return a length of time as a person says it, in at most two units."""
    whole = max(0, int(seconds))
    for unit, name, part, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"),
                                    (60, "min", 1, "s")):  # fmt: skip
        if whole >= unit:
            rest = whole % unit // part
            return f"{whole // unit} {name} {rest} {small}" if rest else f"{whole // unit} {name}"
    return f"{whole} s"
