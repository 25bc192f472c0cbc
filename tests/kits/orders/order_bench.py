"""An order thread with everything around it: a model of Kraken, files in memory, a clock."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import NamedTuple

from krakenlink.errors import KrakenConnectionError
from krakenlink.rest.answers import Outcome
from krakenlink.rest.verdicts import OutcomeKind, Pause
from ttslo_app.clocks import Clocks
from ttslo_app.messages import AcceptedRule, Adopt, BookChange, Crossing, Market, Sighting
from ttslo_app.orders.intents import intent_lines, read_intents, with_intents
from ttslo_app.orders.ledger import State
from ttslo_app.orders.life import Life, OrderSettings, RuleState
from ttslo_app.orders.ports import OrderSent
from ttslo_app.orders.request import OrderRequest, fingerprint
from ttslo_app.orders.worker import OrderWorker
from ttslo_app.rules.rule import Rule, read_rule

SETTINGS = OrderSettings()
ORDER = OrderRequest("XXBTZUSD", "sell", "0.01", "+5.0%")
NOW = "2026-11-23T12:00:00.000+00:00"
MARKET = Market("BTC/USD", "XXBTZUSD", "BTC/USD", 8, Decimal("0.0001"), Decimal("0.5"))
ROW = {
    "id": "btc",
    "pair": "BTC/USD",
    "threshold_price": "50000",
    "threshold_type": "above",
    "direction": "sell",
    "volume": "0.01",
    "trailing_offset_percent": "5.0",
    "enabled": "true",
}


def rule(rule_id: str = "btc", **changes: str) -> Rule:
    """Return a rule that sells 0.01 BTC at or above 50000, with changed cells."""
    return read_rule({**ROW, "id": rule_id, **changes})


def life(state: RuleState, **changes: object) -> Life:
    """Return a life of the rule "btc" in `state`."""
    born = Life("btc", state, 1, NOW, "an-id", ORDER, row=fingerprint(rule()))
    return born._replace(**changes)  # type: ignore[arg-type]  # fields by name


class ManualClock:
    """All clocks as one, moved by the test alone."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    @property
    def clocks(self) -> Clocks:
        """The clocks as the order thread takes them."""
        return Clocks(self.monotonic, self.monotonic, self.monotonic)

    def monotonic(self) -> float:
        return self.seconds


class Reply(Enum):
    """What the model does with the next AddOrder."""

    PLACED = "places it and answers"
    LOST = "places it, and the answer is lost"
    NEVER = "never gets it, and no answer comes"
    BUSY = "refuses it for now"
    OVERDUE = "refuses it for its deadline"
    TOO_FAST = "refuses it for its pace"
    BAD = "refuses it for good"
    KEY = "refuses the key"
    NO_INDEX = "has no index price"
    LOCKOUT = "is closed to all who call from here"


@dataclass
class ModelKraken:
    """Orders by client id, as the matching engine knows them."""

    clock: ManualClock
    can_find: bool = True
    key_mark: str = "key-1"
    replies: list[Reply] = field(default_factory=list)
    is_silent: bool = False
    market: Market = MARKET
    orders: dict[str, list[str]] = field(default_factory=dict)
    sent: list[tuple[OrderRequest, str, str]] = field(default_factory=list)
    answers: list[Reply] = field(default_factory=list)
    checked: list[tuple[float, OrderRequest]] = field(default_factory=list)
    takes_batches: bool = False
    batches: list[list[str]] = field(default_factory=list)
    batch_replies: list[Reply | None] = field(default_factory=list)
    free: Decimal | Exception | None = Decimal(1)
    weighed: list[str] = field(default_factory=list)
    prepared: list[OrderRequest] = field(default_factory=list)

    def now(self) -> float:
        return self.clock.seconds

    def market_of(self, pair: str) -> Market:
        if pair != "BTC/USD":
            raise LookupError(f"{pair} is no pair of Kraken's")
        return self.market

    def free_of(self, asset: str) -> Decimal | None:
        self.weighed.append(asset)
        if isinstance(self.free, Exception):
            raise self.free
        return self.free

    def prepare(self, order: OrderRequest) -> None:
        self.prepared.append(order)

    def place(self, order: OrderRequest, cl_ord_id: str, deadline: str) -> Outcome:
        self.sent.append((order, cl_ord_id, deadline))
        reply = self.replies.pop(0) if self.replies else Reply.PLACED
        if reply in (Reply.PLACED, Reply.LOST):
            self.orders.setdefault(cl_ord_id, []).append(f"O{len(self.sent)}")
        if reply is Reply.PLACED:
            return Outcome(OutcomeKind.PLACED, self.orders[cl_ord_id][-1])
        if reply is Reply.BUSY:
            return Outcome(OutcomeKind.REFUSED, None, True, "EOrder:Insufficient funds", "Pay in")
        if reply is Reply.OVERDUE:
            text = "EGeneral:Invalid arguments:deadline"
            return Outcome(OutcomeKind.REFUSED, None, True, text, "Try again")
        if reply is Reply.TOO_FAST:
            text = "EOrder:Rate limit exceeded"
            return Outcome(OutcomeKind.REFUSED, None, True, text, "Wait", Pause.PAIR)
        if reply is Reply.BAD:
            return Outcome(OutcomeKind.REFUSED, None, False, "EOrder:Invalid volume", "Fix")
        if reply is Reply.NO_INDEX:
            text = "EGeneral:Invalid arguments:Index unavailable"
            return Outcome(OutcomeKind.REFUSED, None, False, text, "Use last")
        if reply in (Reply.KEY, Reply.LOCKOUT):
            return self._of_key(reply)
        return Outcome(OutcomeKind.UNKNOWN, reason="no answer in 10 s")

    def place_batch(self, orders: Sequence[OrderSent], deadline: str) -> Sequence[Outcome] | None:
        """Answer for each order as its reply says; None where it takes single orders alone."""
        if not self.takes_batches:
            return None
        self.batches.append([cl_ord_id for _, cl_ord_id in orders])
        whole = self.batch_replies.pop(0) if self.batch_replies else None
        if whole is None:
            return [self.place(order, cl_ord_id, deadline) for order, cl_ord_id in orders]
        if whole is Reply.BAD:
            return None  # refused as a whole
        self.replies = [whole] * len(orders) + self.replies
        return [self.place(order, cl_ord_id, deadline) for order, cl_ord_id in orders]

    def _of_key(self, reply: Reply) -> Outcome:
        text = "EAPI:Invalid key" if reply is Reply.KEY else "EGeneral:Temporary lockout"
        pause = Pause.KEY if reply is Reply.KEY else Pause.LOCKOUT
        return Outcome(OutcomeKind.REFUSED, None, True, text, "Make a key", pause)

    def check(self, order: OrderRequest) -> Outcome:
        self.checked.append((self.clock.seconds, order))
        reply = self.answers.pop(0) if self.answers else Reply.PLACED
        if reply in (Reply.KEY, Reply.LOCKOUT):
            return self._of_key(reply)
        if reply is Reply.NEVER:
            return Outcome(OutcomeKind.UNKNOWN, reason="no answer in 10 s")
        return Outcome(OutcomeKind.VALID, is_judged=True)

    def find(self, cl_ord_id: str, order: OrderRequest) -> Sighting | None:
        if self.is_silent:
            raise KrakenConnectionError("no route", request_sent=False)
        txids = self.orders.get(cl_ord_id)
        return Sighting(txids[0], "open") if txids else None


class MemoryRows(NamedTuple):
    """The rows of `MemoryFiles` at one moment; of what was not typed the last reading counts."""

    rules: dict[str, Rule]
    letters: dict[str, dict[str, str]]

    def rule_of(self, rule: Rule) -> Rule | None:
        return self.rules.get(rule.id)

    def row_of(self, rule_id: str, known: AcceptedRule | None) -> Mapping[str, object] | None:
        return self.letters.get(rule_id, None if known is None else known.row)


@dataclass
class MemoryFiles:
    """What is on the disk: survives a crash of the worker, unlike its memory."""

    disk: State = field(default_factory=dict)
    rules: dict[str, Rule] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    is_full: bool = False
    is_unreadable: bool = False
    is_saved_now: bool = False
    note_error: Exception | None = None
    looks: int = 0
    letters: dict[str, dict[str, str]] = field(default_factory=dict)  # rows as they were typed

    def load(self) -> State:
        return copy.deepcopy(self.disk)

    def save_state(self, state: State) -> None:
        if self.is_full:
            raise OSError(28, "No space left on device")
        self.disk = copy.deepcopy(state)

    def save_intents(self, state: State, rule_ids: Sequence[str]) -> None:
        if self.is_full:
            raise OSError(28, "No space left on device")
        self.disk.update({rule_id: dict(state[rule_id]) for rule_id in rule_ids})

    def current_rows(self) -> MemoryRows:
        self.looks += 1
        if self.is_unreadable:
            raise PermissionError(13, "Permission denied")
        return MemoryRows(dict(self.rules), dict(self.letters))

    def is_being_saved(self) -> bool:
        return self.is_saved_now

    def note_orders(self, lives: Sequence[Life]) -> Collection[str]:
        if self.is_full:
            raise OSError(28, "No space left on device")
        if self.note_error is not None:
            raise self.note_error
        left_out = {life.id for life in lives if life.id not in self.rules}
        self.notes |= {life.id: life.order_id for life in lives if life.id not in left_out}
        return left_out


@dataclass
class JournalFiles(MemoryFiles):
    """A disk with state.csv and its journal, each of which can fail by itself."""

    journal: bytes = b""
    # What was emptied and not synced since: a power cut brings it back.
    emptied: bytes = b""
    is_read_only: bool = False
    is_journal_broken: bool = False

    def load(self) -> State:
        return with_intents(self.disk, read_intents(self.journal))

    def save_state(self, state: State) -> None:
        if self.is_read_only:
            raise OSError(30, "Read-only file system")
        super().save_state(state)
        self.emptied, self.journal = self.journal or self.emptied, b""

    def save_intents(self, state: State, rule_ids: Sequence[str]) -> None:
        if self.is_journal_broken:
            self.save_state(state)
            return
        if self.is_full:
            raise OSError(28, "No space left on device")
        self.journal += intent_lines(state[rule_id] for rule_id in rule_ids)
        self.emptied = b""

    def cut_power(self) -> None:
        self.journal, self.emptied = self.journal or self.emptied, b""


class Bench:
    """A worker with everything around it; `restart` is what a crash and a new start do."""

    def __init__(self, *rules: Rule, with_key: bool = True) -> None:
        self.clock = ManualClock()
        self.kraken = ModelKraken(self.clock)
        self.files = MemoryFiles(rules={r.id: r for r in rules})
        self.said: list[tuple[str, str]] = []
        self.changes: list[BookChange] = []
        self.step: Callable[[str], None] = lambda name: None
        self._with_key = with_key
        self.restart()

    @property
    def letters(self) -> dict[str, dict[str, str]]:
        """The rows of config.csv as they were typed, where that matters."""
        return self.files.letters

    def restart(self, doubted: Sequence[str] = (), undecided: Sequence[str] = ()) -> None:
        """Start anew from the files, perhaps with rows of state.csv that nobody can rely upon."""
        self.worker = OrderWorker(
            self.files.load(),
            self.files,
            self.kraken if self._with_key else None,
            clock=self.clock.clocks,
            say=lambda level, message, **fields: self.said.append((level, message)),
            post=self.changes.append,
            settings=SETTINGS,
            step=lambda name: self.step(name),
        )
        self.worker.ledger.distrust(doubted)
        self.worker.recover()
        self.adopt(undecided=undecided)

    def adopt(self, *, read_at: float | None = None, undecided: Sequence[str] = ()) -> None:
        """Read config.csv as it is on the disk: rows that were noted are disabled there."""
        accepted = {
            i: AcceptedRule(r, MARKET, i in self.files.notes, self.letters.get(i, {}))
            for i, r in self.files.rules.items()
            if i not in self.files.notes
        }
        moment = self.clock.monotonic() if read_at is None else read_at
        self.worker.submit(Adopt(accepted, moment, frozenset(undecided)))
        self.worker.work_off()

    def cross(self, *rules: Rule, price: str = "50001") -> None:
        for crossed in rules or (rule(),):
            self.worker.submit(Crossing(crossed, Decimal(price), price))
        self.worker.work_off()

    def wait(self, seconds: float) -> None:
        """Let time pass, in small steps and then in larger ones, with the worker at work."""
        begin = self.clock.seconds
        while (waited := self.clock.seconds - begin) < seconds:
            self.clock.seconds += 0.5 if waited < 40 else min(2.5, seconds - waited)
            self.worker.work_off()

    def life(self, rule_id: str = "btc") -> Life:
        return self.worker.life_of(rule_id)

    def heard(self, text: str) -> bool:
        return any(text in message for _, message in self.said)

    @property
    def placed(self) -> int:
        return sum(len(txids) for txids in self.kraken.orders.values())


def crowd(count: int) -> tuple[Bench, list[Rule]]:
    """Return a bench with so many armed rules."""
    rules = [rule(f"r{number:02d}") for number in range(count)]
    return Bench(*rules), rules


class Crash(BaseException):
    """The end of the process, as far as the worker is concerned."""


def dying_at(step: str, nth: int = 1, error: type[BaseException] = Crash) -> Callable[[str], None]:
    """Return a step that ends everything when the `nth` step of a name is reached."""
    seen: list[str] = []

    def die(name: str) -> None:
        seen.append(name)
        if name == step and seen.count(step) == nth:
            raise error

    return die
