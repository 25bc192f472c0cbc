"""Hosts in one process, a store whose answers are lost, and every order of events: one order.

The order threads, the books and the copies are the real ones; Kraken refuses nonces of an earlier
epoch, as it does, and everything that may happen between two of their turns is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from krakenlink.errors import KeyDeposed
from krakenlink.rest.answers import Outcome, outcome_of
from krakenlink.rest.verdicts import OutcomeKind
from tests.kits.hosts.memory_store import Fate, Line, MemoryStore
from tests.kits.orders.order_bench import (
    MARKET,
    ROW,
    Crash,
    ManualClock,
    ModelKraken,
    Reply,
    dying_at,
)
from ttslo_app.cluster.books import Books
from ttslo_app.cluster.copy import Copy
from ttslo_app.cluster.records import Keys, Lead, lead_text, read_lead, row_text
from ttslo_app.cluster.store import Change, Entry
from ttslo_app.hosts.shared_files import SharedFiles, SharedManager
from ttslo_app.messages import (
    AcceptedRule,
    Adopt,
    Crossing,
    Market,
    Shared,
    Sighting,
    StandBy,
    TakeUp,
)
from ttslo_app.orders.finder import bare
from ttslo_app.orders.ports import OrderSent
from ttslo_app.orders.request import OrderRequest
from ttslo_app.orders.worker import OrderWorker
from ttslo_app.rules.rule import Rule, RulesById

KEYS = Keys("prod")
STEPS = ("intending", "intended", "sending", "answered", "noting", "noted", "written")


class Sea:
    """What all hosts share: the store, Kraken, and the time."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, ManualClock()
        self.store, self.kraken = MemoryStore(), ModelKraken(self.clock)
        self.epoch = 0  # of the highest nonce that Kraken has seen
        self.checks_nonces = True
        self.store.commit(Change({}, {KEYS.row("btc"): row_text(ROW, 0, "t")}))
        self.hosts: list[Host] = []

    @property
    def rule(self) -> Rule:
        """The one rule."""
        rule = RulesById([ROW]).get("btc")
        assert rule is not None
        return rule

    @property
    def orders(self) -> int:
        """How many orders were ever placed."""
        return sum(map(len, self.kraken.orders.values()))

    def host(self) -> Host:
        """Return one more host."""
        host = Host(self, len(self.hosts))
        self.hosts.append(host)
        return host

    def alive(self) -> list[Host]:
        """Return the hosts that have not died."""
        return [host for host in self.hosts if not host.is_dead]


class Fenced:
    """Kraken as one host meets it: what its epoch has been overtaken by is refused."""

    can_find = True
    key_mark = "key-1"

    def __init__(self, host: Host) -> None:
        self._host, self._kraken = host, host.sea.kraken

    def now(self) -> float:
        return self._kraken.now()

    def market_of(self, pair: str) -> Market:
        return self._kraken.market_of(pair)

    def free_of(self, asset: str) -> Decimal | None:
        return self._kraken.free_of(asset)

    def _refusal(self) -> Outcome | None:
        if self._host.is_cut:
            return outcome_of(KeyDeposed())
        if self._host.sea.checks_nonces and self._host.epoch < self._host.sea.epoch:
            return Outcome(OutcomeKind.REFUSED, None, True, "EAPI:Invalid nonce", "Wait")
        return None

    def prepare(self, order: OrderRequest) -> None:
        self._kraken.prepare(order)

    def place(self, order: OrderRequest, cl_ord_id: str, deadline: str) -> Outcome:
        return self._refusal() or self._kraken.place(order, cl_ord_id, deadline)

    def place_batch(self, orders: list[OrderSent], deadline: str) -> None:
        return None

    def check(self, order: OrderRequest) -> Outcome:
        return self._refusal() or self._kraken.check(order)

    def find(self, cl_ord_id: str, order: OrderRequest) -> Sighting | None:
        if self._refusal() is not None:
            raise KeyDeposed
        return self._kraken.find(cl_ord_id, order)


class Host:
    """One host: a real order thread, worked off by hand, with real books and copies."""

    def __init__(self, sea: Sea, number: int) -> None:
        self.sea, self.epoch = sea, 0
        self.is_dead = self.is_cut = False
        self.line, self.copy = Line(sea.store), Copy(KEYS)
        self.books = Books(self.line, self.copy, KEYS)
        self.books.refused = self.refused
        state, log = (sea.folder / f"{number}-{name}" for name in ("state.csv", "logs.csv"))
        manager = SharedManager("rows", state, log, self.copy, self.books)
        self.step: Callable[[str], None] = lambda name: None
        self.worker = OrderWorker(
            {},
            SharedFiles(manager, self.copy, self.books),
            Fenced(self),  # type: ignore[arg-type]  # what it takes as a sequence is never looked at
            clock=sea.clock.clocks,
            say=lambda *said, **fields: None,
            step=lambda name: self.step(name),
        )
        self.copy.load(*sea.store.list(KEYS.base))
        rule = AcceptedRule(sea.rule, MARKET)
        self.submit(StandBy(lambda: None), Shared(self.copy.lives()))
        self.submit(Adopt({"btc": rule}, sea.clock.monotonic()))

    def submit(self, *messages: object) -> None:
        """Hand over messages and let the order thread work, unless it dies of that."""
        for message in messages:
            self.worker.submit(message)  # type: ignore[arg-type]
        if not self.is_dead:
            try:
                self.worker.work_off()
            except Crash:
                self.is_dead = True

    def refused(self, entry: Entry | None) -> None:
        """Be told by the store that another leads."""
        self.is_cut = True

    def cross(self) -> None:
        """See the price cross."""
        price = Decimal(50001)
        self.submit(Crossing(self.sea.rule, price, str(price), seen_at=self.sea.clock.monotonic()))

    def lead(self) -> None:
        """Win the election, have Kraken refuse the others, and take up what was under way."""
        entry = self.sea.store.get(KEYS.lead)
        before = 0 if entry is None else read_lead(entry.key, entry.value).epoch
        text = lead_text(Lead(before + 1, "h", "", f"t{before + 1}"))
        rests_on = {KEYS.lead: entry.version if entry else 0}
        answer = self.sea.store.commit(Change(rests_on, {KEYS.lead: text}))
        assert answer.is_done
        self.epoch = self.sea.epoch = before + 1
        self.is_cut = False
        standing = {
            bare(name): Sighting(txids[0], "open")
            for name, txids in self.sea.kraken.orders.items()
            if txids
        }
        self.submit(StandBy(lambda: None))  # it lets go of what it was at before
        self.copy.load(*self.sea.store.list(KEYS.base))
        self.books.lead(answer.version)
        self.submit(TakeUp(self.copy.lives(), standing, lambda: None))

    def hear(self) -> None:
        """Hear what others have written, and that another leads."""
        lead = self.sea.store.get(KEYS.lead)
        if lead is not None and read_lead(lead.key, lead.value).epoch != self.epoch:
            self.is_cut = True
            self.books.cut()
            self.submit(StandBy(lambda: None))
        self.copy.load(*self.sea.store.list(KEYS.base))
        self.submit(Shared(self.copy.lives()))


WHO = st.integers(0, 2)
EVENTS = st.one_of(
    st.tuples(st.just("cross"), WHO),
    st.tuples(st.just("lead"), WHO),
    st.tuples(st.just("hear"), WHO),
    st.tuples(st.just("deliver"), WHO),
    st.tuples(st.just("die"), WHO, st.sampled_from(STEPS)),
    st.tuples(st.just("store"), WHO, st.sampled_from([Fate.LOST, Fate.NEVER, Fate.LATE])),
    st.tuples(st.just("kraken"), st.sampled_from([Reply.LOST, Reply.NEVER, Reply.BUSY])),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 3.0, 20.0])),
)


def pass_time(sea: Sea, seconds: float, at_once: float = 0.5) -> None:
    """Let time go by, so much at once, and each host look at the clock in between."""
    for _ in range(int(seconds / at_once)):
        sea.clock.seconds += at_once
        for host in sea.alive():
            host.submit()


def happen(sea: Sea, event: tuple[object, ...]) -> None:
    """Let one thing happen."""
    match event:
        case ("wait", float(seconds)):
            pass_time(sea, seconds)
        case ("kraken", Reply() as reply):
            sea.kraken.replies.append(reply)
        case (str(name), int(who), *more):
            host = sea.hosts[who]
            if host.is_dead:
                return
            if name == "store":
                host.line.fates.append(more[0])  # type: ignore[arg-type]
            elif name == "die":
                host.step = dying_at(str(more[0]))
            elif name == "deliver":
                host.line.deliver()
            else:
                getattr(host, name)()


@pytest.mark.parametrize("checks_nonces", [True, False])
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(events=st.lists(EVENTS, min_size=3, max_size=25))
def test_one_arming_has_one_order_whatever_happens(
    tmp_path: Path, events: list[tuple[object, ...]], checks_nonces: bool
) -> None:
    """Never two; and one, once a host leads whose store and Kraken answer.

    Where nobody is stopped between an intent and its sending, the store alone is fence enough: so
    it has to hold at a Kraken that takes any nonce, too.
    """
    sea = Sea(tmp_path)
    sea.checks_nonces = checks_nonces
    for _ in range(3):
        sea.host()
    sea.hosts[0].lead()
    for event in events:
        happen(sea, event)
        assert sea.orders <= 1
    last = sea.host()
    sea.kraken.replies.clear()
    last.lead()
    last.cross()
    pass_time(sea, 150.0, 5.0)
    last.cross()
    pass_time(sea, 150.0, 5.0)
    assert sea.orders == 1
    assert last.worker.life_of("btc").has_fired


@pytest.mark.parametrize("step", STEPS[:4])
def test_leader_that_is_overtaken_at_a_step_sends_nothing_more(step: str, tmp_path: Path) -> None:
    """It stands still at the step, another leads and places the order, and it goes on."""
    sea = Sea(tmp_path)
    first, second = sea.host(), sea.host()
    first.lead()
    second.hear()

    def overtaken(name: str) -> None:
        if name == step:
            first.step = lambda name: None
            second.lead()
            second.cross()
            happen(sea, ("wait", 60.0))

    first.step = overtaken
    first.cross()
    happen(sea, ("wait", 60.0))
    assert sea.orders == 1
    assert second.worker.life_of("btc").has_fired


def test_without_the_fence_of_the_store_and_of_kraken_there_would_be_two(tmp_path: Path) -> None:
    """The harness sees a double where nothing stands between two leaders."""
    sea = Sea(tmp_path)
    first, second = sea.host(), sea.host()
    first.lead()
    second.hear()
    second.epoch, second.is_cut = first.epoch, False  # both believe in the same epoch
    second.books.lead(sea.store.get(KEYS.lead).version)  # type: ignore[union-attr]
    second.submit(TakeUp(second.copy.lives(), {}, lambda: None))
    sea.kraken.replies = [Reply.LOST]
    first.cross()
    sea.store.commit(Change({}, {}, (KEYS.life("btc"),)))  # and no life that tells of the first
    second.copy.load(*sea.store.list(KEYS.base))
    second.cross()
    assert sea.orders == 2
