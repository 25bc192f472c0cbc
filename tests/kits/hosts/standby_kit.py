"""A trial of two hosts: processes of the real program, a real store, an exchange, and trouble.

In a trial rows are crossed one after another; with most of them the host that sends is stopped,
killed or cut off at some step, the other takes over, and the first comes back in the middle of it.
In the end orders are counted by row: one is right, two are a defect.
"""

from __future__ import annotations

import random
import secrets
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fake_kraken import FakeKraken
from tests.kits.chaos.chaos_proxy import FAIR, ChaosProxy, Weather
from tests.kits.crashes import trouble_kit
from tests.kits.program.program_process import (
    PAIR,
    ProgramProcess,
    environment_for,
    wait_until,
    with_reading_key,
)
from ttslo_app.cluster.etcd import EtcdStore, store_from
from ttslo_app.cluster.records import (
    Keys,
    Lead,
    cluster_text,
    dumped,
    lead_text,
    read_cells,
    read_lead,
    row_text,
)
from ttslo_app.cluster.store import Change, Entry, StoreError

if TYPE_CHECKING:
    from aiohttp import web

    from tests.kits.hosts.three_etcd import EtcdNodes

LONG = 60.0  # seconds in which a row has its order, whatever has happened
SILENCE = 1.5  # seconds after which a standby takes over; the program's own is 3
# Kraken takes no deadline under 2 s; the rest is as short as clocks allow.
SETTINGS = (
    "deadline=3.0,deadline_margin=1.05,lookup_gap=0.6,late_books=0.3,ask_again=0.2,"
    "ask_again_max=1,refusal_wait=0.3,refusal_wait_max=1.5,write_again=0.2,watch=1"
)
ACTS = ("stop", "stop", "stop", "kill")  # as often as each of them stands here
DARK, MUTE, DEAF = Weather(is_dark=True), Weather(loses_questions=True), Weather(loses_answers=True)
CUTS = {  # what a host may be cut off from: which of its lines, and what happens to them
    "answers of the store": (("store",), DEAF),
    "questions to the store": (("store",), MUTE),
    "the store": (("store",), DARK),
    "Kraken": (("rest", "stream"), DARK),
    "Kraken's REST": (("rest",), DARK),
    "Kraken's stream": (("stream",), DARK),
    "questions to Kraken": (("rest", "stream"), MUTE),
    "answers of Kraken": (("rest", "stream"), DEAF),
}
_OF_STORE = tuple(name for name, (lines, _) in CUTS.items() if lines == ("store",))
_OF_KRAKEN = tuple(name for name in CUTS if name not in _OF_STORE)
LONGEST_QUEUE = 6.0
_LEADS = "LEADS (epoch"  # what a host says once its crossings have their orders
_QUIET = 1.0  # seconds after which an order that was sent has arrived, unless it is queued


@dataclass(frozen=True)
class Setting:
    """What a trial is like.

    Attributes:
        rows: How many are crossed.
        troubled: With how many of them trouble comes.
        loses_answers: Whether Kraken's answers to some orders are lost.
        keeps_deadlines: Whether Kraken refuses late orders.
        queues: Whether Kraken lets some orders wait behind its nonce check.
        clocks: How far the clocks of the hosts are ahead, in seconds.
        acts: What may happen to the host that sends.
        steps: At which of its steps.
        stops: How long it is stopped or cut off, in seconds: from, to.
        cuts: What it may be cut off from; names of `CUTS`.
        early: Whether a host is cut off some seconds before a row is crossed, be it the one that
            leads or another, instead of at a step.
        together: Whether all rows are crossed at once, so that their orders go out in one request.
        shakes_store: Whether nodes of the store are stopped and killed meanwhile.
        is_naive: Whether hosts are those that must fail.
    """

    name: str
    rows: int = 5
    troubled: int = 3
    loses_answers: bool = False
    keeps_deadlines: bool = True
    queues: bool = False
    clocks: tuple[float, float] = (0.0, 0.0)
    acts: Sequence[str] = ACTS
    steps: Sequence[str] = trouble_kit.STEPS
    stops: tuple[float, float] = (1.0, 6.0)
    cuts: Sequence[str] = ("answers of the store",)
    early: bool = False
    together: bool = False
    shakes_store: bool = False
    is_naive: bool = False


SETTINGS_BY_NAME = {
    one.name: one
    for one in (
        Setting("plain"),
        Setting("answers are lost", loses_answers=True),
        Setting("deadlines are ignored", keeps_deadlines=False),
        Setting("orders are queued", queues=True, steps=("wire", "inflight", "sending")),
        Setting("clocks are wrong", clocks=(7.0, -7.0)),
        Setting("answers of the store are lost", acts=("cut", "cut", "stop")),
        Setting(
            "Kraken is cut off for one host", acts=("cut",), cuts=_OF_KRAKEN, stops=(1.0, 25.0)
        ),
        Setting(
            "Kraken is cut off before",
            acts=("cut",),
            cuts=_OF_KRAKEN,
            stops=(5.0, 25.0),
            early=True,
        ),
        Setting(
            "the store is cut off before",
            acts=("cut",),
            cuts=_OF_STORE,
            stops=(5.0, 25.0),
            early=True,
        ),
        Setting("rows cross together", together=True, troubled=1, loses_answers=True),
        Setting("the store is shaken", shakes_store=True),
    )
}
# They double wherever they are stopped longer than a lease; here that is certain.
CONTROL = Setting(
    "naive hosts", is_naive=True, rows=2, troubled=2, acts=("stop",), steps=("sending",),
    stops=(4.0, 5.0),
)  # fmt: skip


@dataclass
class Tally:
    """What came of a trial, or of several."""

    trials: int = 0
    one: int = 0
    two: int = 0
    none: int = 0
    acts: Counter[str] = field(default_factory=Counter)
    cuts: Counter[str] = field(default_factory=Counter)  # by what a host was cut off from
    refused: Counter[str] = field(default_factory=Counter)
    takeovers: list[float] = field(default_factory=list)  # seconds without anybody who leads
    changes: int = 0  # of who leads, whatever for
    doubles: list[str] = field(default_factory=list)  # where, to be looked at
    late: list[float] = field(default_factory=list)  # seconds from a crossing to its order

    def add(self, other: Tally) -> None:
        """Add what came of another trial."""
        self.trials += other.trials
        self.one += other.one
        self.two += other.two
        self.none += other.none
        self.acts += other.acts
        self.cuts += other.cuts
        self.late += other.late
        self.refused += other.refused
        self.takeovers += other.takeovers
        self.changes += other.changes
        self.doubles += other.doubles

    @property
    def crossings(self) -> int:
        """How many rows were crossed."""
        return self.one + self.two + self.none


class KrakenLines:
    """A host's own lines to Kraken, over REST and for the stream of prices.

    Attributes:
        urls: What leads the program over them, for its environment.
    """

    def __init__(self, exchange: FakeKraken) -> None:
        self.lines: dict[str, list[ChaosProxy]] = {}
        self.urls: dict[str, str] = {}
        for kind, variable, url in (
            ("rest", "KRAKEN_SPOT_URL", exchange.rest_url),
            ("stream", "KRAKEN_WS_PUBLIC_URL", exchange.ws_url),
        ):
            parts = urlsplit(url)
            assert parts.port is not None
            line = ChaosProxy(parts.port)
            self.lines[kind] = [line]
            self.urls[variable] = parts._replace(netloc=f"127.0.0.1:{line.port}").geturl()


class Member:
    """One host: its folder, its lines to the store, and its process, which may be begun anew."""

    def __init__(self, trial: Trial, name: str, clock: float) -> None:
        self.folder = trial.folder / name
        self.folder.mkdir(parents=True)
        self._trial, self._clock = trial, clock
        self._kraken = KrakenLines(trial.exchange)
        self.lines = {"store": [ChaosProxy(port) for port in trial.ports], **self._kraken.lines}
        self.process = self._started()

    def _started(self) -> ProgramProcess:
        trial = self._trial
        hosts = ",".join(f"127.0.0.1:{line.port}" for line in self.lines["store"])
        plan = {"trouble": str(trial.trouble), "clock": self._clock, "quiet": True}
        plan["naive"] = trial.setting.is_naive
        flags = ["--store", f"etcd://{hosts}/{trial.keys.cluster}"]
        flags += ["--standby-after", str(SILENCE), "--verbose"]
        environment = environment_for(
            trial.exchange,
            TTSLO_ORDER_SETTINGS=SETTINGS,
            XDG_CACHE_HOME=str(self.folder / "cache"),
            **self._kraken.urls,
        )
        return ProgramProcess(self.folder, environment, flags, plan)

    def restart(self) -> None:
        """Begin anew, as a service does once its process has died."""
        self.process.kill()
        self.process = self._started()

    def cut_off(self, name: str) -> None:
        """Cut it off from something of `CUTS`."""
        kinds, weather = CUTS[name]
        for line in (line for kind in kinds for line in self.lines[kind]):
            line.weather = weather

    def join(self) -> None:
        """Let everything through again."""
        for line in (line for lines in self.lines.values() for line in lines):
            if line.weather != FAIR:
                line.weather = FAIR
                line.reset()  # no stream goes on behind a hole

    def end(self) -> None:
        """End it, and its lines."""
        with suppress(OSError):
            self.process.send(signal.SIGCONT)
        self.process.kill()
        for line in (line for lines in self.lines.values() for line in lines):
            line.close()

    @property
    def output(self) -> str:
        """What all of its runs have said, the oldest first."""
        files = sorted(self.folder.glob("said-*.txt"), key=lambda f: f.stat().st_mtime)
        return "\n".join(file.read_text("utf-8", "replace") for file in files)


class Trial:
    """One trial. To be run once.

    Args:
        folder: For the hosts' files.
        ports: Those of the nodes of the store.
        setting: What it is like.
        seed: What decides all that is left to chance.
    """

    def __init__(self, folder: Path, ports: Sequence[int], setting: Setting, seed: int) -> None:
        self.folder, self.ports, self.setting = folder, ports, setting
        folder.mkdir(parents=True)
        self.trouble = folder / "trouble"
        self._random = random.Random(seed)
        self.name = f"{setting.name}, seed {seed}"
        roots = ",".join(f"127.0.0.1:{port}" for port in ports)
        cluster = f"trial-{secrets.token_hex(6)}"
        self._store: EtcdStore = store_from(f"etcd://{roots}/{cluster}")[0]
        self.keys = Keys(cluster)
        self.tally = Tally(trials=1)
        self._members: list[Member] = []
        self._duties: list[tuple[float, Callable[[], None]]] = []
        self._struck_at: float | None = None
        self._leads: list[tuple[float, Lead]] = []
        self._stopping = threading.Event()

    def run(self) -> Tally:
        """Cross all rows, and count their orders. Blocks."""
        with self._two_hosts():
            rows = range(self.setting.rows)
            # Whoever crosses the last threshold has crossed them all.
            crossed = rows[-1:] if self.setting.together else rows
            troubled = self._random.sample(crossed, self.setting.troubled)
            for number in crossed:
                self._cross(number, is_troubled=number in troubled)
            self._come_to_rest()
            self._count()
        return self.tally

    @contextmanager
    def _two_hosts(self) -> Iterator[None]:
        """Run an exchange and two hosts of which one leads."""
        with ExitStack() as stack:
            self.exchange = stack.enter_context(with_reading_key(FakeKraken()))
            self._listen_to_refusals()
            self._set_up()
            watcher = threading.Thread(target=self._watch_lead, daemon=True)
            watcher.start()
            stack.callback(watcher.join, LONG)
            stack.callback(self._stopping.set)
            for name, clock in zip("ab", self.setting.clocks, strict=True):
                self._members.append(Member(self, name, clock))
                stack.callback(self._members[-1].end)
            self._wait(lambda: len(self._leads) > 0 and self._is_ready(), "a host leads")
            yield

    def hand_over(self, times: int) -> list[float]:
        """Return how long each of some hand-overs took, in seconds, without any trouble. Blocks."""
        with self._two_hosts():
            return [self._handed_over() for _ in range(times)]

    def _handed_over(self) -> float:
        """Ask who leads to hand over, and wait until the other one leads and sends."""
        told = self.said().count(_LEADS)
        time.sleep(SILENCE + 0.5)  # who has just handed over lets the others go first so long
        began = time.monotonic()
        word = dumped({"token": secrets.token_hex(8)})
        self._store.commit(Change({}, {self.keys.handover: word}), patience=LONG)
        self._wait(lambda: self.said().count(_LEADS) > told, "another leads")
        return time.monotonic() - began

    # --- what it begins with -------------------------------------------------------------------

    def _listen_to_refusals(self) -> None:
        """Count what Kraken refuses for its nonce or its deadline."""
        rest = self.exchange._rest
        answer = rest._answer

        async def counted(request: web.Request, call: Any) -> web.StreamResponse:
            response = await answer(request, call)
            text = getattr(response, "text", None) or ""
            for name, said in (("nonce", "Invalid nonce"), ("deadline", "Deadline elapsed")):
                self.tally.refused[name] += said in text
            return response

        rest._answer = counted  # type: ignore[method-assign]  # nothing else is told of them

    def _set_up(self) -> None:
        """Put a cluster with its rows into the store, and let Kraken be as it is to be."""
        puts = {self.keys.format: cluster_text(secrets.token_hex(8), secrets.token_hex(8))}
        for number in range(self.setting.rows):
            cells = {"id": f"row{number}", "pair": "BTC/USD", "threshold_type": "above"}
            cells |= {"threshold_price": str(self._threshold(number)), "direction": "sell"}
            cells |= {"volume": self._volume(number), "trailing_offset_percent": "0.5"}
            cells |= {"enabled": "true"}
            text = row_text(cells, number, secrets.token_hex(8))
            puts[self.keys.row(cells["id"])] = text
        if not self.setting.is_naive:  # an account that was made, and that nobody leads yet
            puts[self.keys.lead] = lead_text(Lead(0, "", "", secrets.token_hex(8)))
        self._store.commit(Change({}, puts), patience=LONG)
        self.exchange.fault("filled_at_once")
        if not self.setting.keeps_deadlines:
            self.exchange.fault("deadline_ignored")

    @staticmethod
    def _threshold(number: int) -> int:
        return 51_000 + 1_000 * number

    @staticmethod
    def _volume(number: int) -> str:
        """Return what tells a row's orders from another's, whatever id they have."""
        return f"0.0{number + 1}"

    def _is_ready(self) -> bool:
        if self.setting.is_naive:
            return True
        lives = self._store.list(self.keys.lives, patience=LONG)[0]
        states = [read_cells(one.key, one.value).get("rule_state") for one in lives]
        # A host that starts when a price is beyond already would judge rows by that price.
        both = all("FOLLOWS: " in m.output or _LEADS in m.output for m in self._members)
        return both and states == ["armed"] * self.setting.rows

    # --- what happens --------------------------------------------------------------------------

    def _cross(self, number: int, *, is_troubled: bool) -> None:
        """Let the price cross a row's threshold, and wait until it has its order."""
        if is_troubled:
            order = {
                "step": self._random.choice(self.setting.steps),
                "act": self._random.choice(self.setting.acts),
                "seconds": self._random.uniform(*self.setting.stops),
                "cut": self._random.choice(self.setting.cuts),
            }
            self._weaken_kraken()
            if self.setting.early:
                self._cut_off_early(order)
            else:
                trouble_kit.write(self.trouble, order)
        self.exchange.set_price(PAIR, str(self._threshold(number) + 1))
        crossed_at = time.monotonic()
        with suppress(AssertionError):  # counted as none
            self._wait(lambda: self._orders_of(number), f"row {number} has an order", LONG)
            self.tally.late.append(time.monotonic() - crossed_at)
        if (
            is_troubled and not self.setting.early
        ):  # at `answered` it strikes a moment after the order is placed
            with suppress(AssertionError):
                self._wait(lambda: not self.trouble.exists(), "trouble strikes", 1.0)
            self.trouble.unlink(missing_ok=True)

    def _cut_off_early(self, order: dict[str, Any]) -> None:
        """Cut a host off, and wait for some of the time."""
        self._wait(lambda: not self._duties, "all hosts go on")
        member = self._random.choice(self._members)
        self._cut_off(member, order)
        ends_at = time.monotonic() + self._random.uniform(0.0, order["seconds"])
        self._wait(lambda: time.monotonic() > ends_at, "some of the time is over")

    def _cut_off(self, member: Member, order: dict[str, Any]) -> None:
        self.tally.acts["cut"] += 1
        self.tally.cuts[order["cut"]] += 1
        member.cut_off(order["cut"])
        self._later(order["seconds"], member.join)

    def _weaken_kraken(self) -> None:
        """Let the next order meet what this exchange is known for."""
        endpoint = "AddOrderBatch" if self.setting.together else "AddOrder"
        if self.setting.queues:
            seconds = self._random.uniform(0.5, LONGEST_QUEUE)
            self.exchange.fault("queued_action", endpoint=endpoint, seconds=seconds, count=1)
        if self.setting.loses_answers and self._random.random() < 0.5:
            self.exchange.fault("lost_reply", endpoint=endpoint, count=1)

    def _wait(self, is_so: Callable[[], object], what: str, patience: float = LONG) -> None:
        """Wait, and meanwhile see to whoever was stopped, has died or was cut off."""

        def looked() -> object:
            self._see_to_trouble()
            return is_so()

        wait_until(looked, lambda: f"{what}; {self.name}\n{self.said()}", patience)

    def _see_to_trouble(self) -> None:
        now = time.monotonic()
        for told in self.folder.glob("trouble.[0-9]*"):
            order = None if told.suffix == ".new" else trouble_kit.read(told)
            if order is not None:
                told.unlink() if order["act"] != "cut" else None
                self._strike(order, told)
        for at, duty in list(self._duties):
            if at <= now:
                self._duties.remove((at, duty))
                duty()

    def _strike(self, order: dict[str, Any], told: Path) -> None:
        """Note what has struck a host, and see to it that it ends."""
        member = next((m for m in self._members if m.process.pid == order["pid"]), None)
        if member is None:
            return
        self._struck_at = order["at"]
        if order["act"] == "cut":
            self._cut_off(member, order)
            told.unlink()
            return
        self.tally.acts[order["act"]] += 1
        if order["act"] == "kill":
            self._later(0.5, member.restart)
        else:
            process = member.process
            self._later(order["seconds"], lambda: process.send(signal.SIGCONT))

    def _later(self, seconds: float, duty: Callable[[], None]) -> None:
        self._duties.append((time.monotonic() + seconds, duty))

    def _watch_lead(self) -> None:
        """Note each change of who leads, and how long nobody did."""
        after: int | None = None  # what others did before may be thrown away: read, then watch
        while not self._stopping.is_set():
            with suppress(StoreError):
                if after is None:
                    entries, after = self._store.list(self.keys.lead, patience=LONG)
                    self._note_leads(entries)
                for news in self._store.watch(self.keys.lead, after, patience=0.2):
                    self._note_leads(news.entries)
                    after = None if news.is_torn else news.version
                    if after is None or self._stopping.is_set():
                        break

    def _note_leads(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._note_lead(read_lead(entry.key, entry.value))

    def _note_lead(self, lead: Lead) -> None:
        now = time.monotonic()
        is_new = not self._leads or self._leads[-1][1].host != lead.host
        if is_new and lead.host:
            if self._leads:
                self.tally.changes += 1
            if self._struck_at is not None:
                self.tally.takeovers.append(now - self._struck_at)
            self._struck_at = None
        self._leads.append((now, lead))

    # --- what came of it -----------------------------------------------------------------------

    def _come_to_rest(self) -> None:
        """Wait until all that was struck goes on, and nothing can come any more."""
        self._wait(lambda: not self._duties, "all hosts go on")
        quiet = _QUIET + LONGEST_QUEUE * self.setting.queues
        ends_at = time.monotonic() + quiet
        self._wait(lambda: time.monotonic() > ends_at, "it is quiet")
        with suppress(AssertionError):  # counted as none
            self._wait(
                lambda: all(map(self._orders_of, range(self.setting.rows))), "all orders", LONG
            )

    def _orders_of(self, number: int) -> int:
        """Return how many orders a row has: each has a volume of its own."""
        volume = float(self._volume(number))
        return sum(float(order["vol"]) == volume for order in self.exchange.orders)

    def _count(self) -> None:
        for number in range(self.setting.rows):
            count = self._orders_of(number)
            self.tally.one += count == 1
            self.tally.none += count == 0
            self.tally.two += count > 1
            if count > 1:
                self.tally.doubles.append(f"{self.name}: row{number}, {count} orders")

    def said(self) -> str:
        """Return what both hosts have said, to see what went wrong."""
        return "\n".join(f"--- {m.folder.name}\n{m.output}" for m in self._members)


@contextmanager
def shaken(nodes: EtcdNodes, acts: Counter[str], pause: float = 4.0) -> Iterator[None]:
    """Stop and kill one node of the store after another, and mend it before the next."""
    done = threading.Event()

    def shake() -> None:
        chance = random.Random(1)
        while not done.wait(pause):
            node, is_killed = chance.randrange(nodes.count), chance.random() < 0.5
            acts["node killed" if is_killed else "node stopped"] += 1
            (nodes.kill if is_killed else nodes.stop)(node)
            done.wait(chance.uniform(1.0, 3.0))
            nodes.heal()

    thread = threading.Thread(target=shake)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        nodes.heal()
