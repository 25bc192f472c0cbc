"""Groups and chains on a sequence of prices: the watch and the order thread, and what must come.

The order thread and the watch are the real ones, on one thread, with a model of Kraken that fills a
parent's order as soon as it stands. The oracle tries every row at every price.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from tests.kits.orders.order_bench import MARKET, Bench, rule
from ttslo_app.messages import (
    AcceptedRule,
    Adopt,
    BookArm,
    BookChange,
    BookDisarm,
    Sighting,
    Watched,
)
from ttslo_app.orders.life import RuleState
from ttslo_app.rules.rule import Rule
from ttslo_app.watch.watch import Watch


def walk(chance: random.Random, count: int, start: int = 40_000) -> list[Decimal]:
    """Return prices of a random walk."""
    price, prices = start, []
    for _ in range(count):
        price = max(1_000, price + chance.randint(-150, 150))
        prices.append(Decimal(price))
    return prices


def random_kin(
    chance: random.Random, prices: Sequence[Decimal], groups: int, chains: int
) -> list[Rule]:
    """Return groups of 2 to 4 rows, and chains of a parent with a child or a bracket."""
    low, high, first = int(min(prices)) - 200, int(max(prices)) + 200, prices[0]

    def make(name: str, group: str = "", after: str = "") -> Rule:
        level = Decimal(chance.randint(low, high))
        kind = "above" if level > first else "below"
        kind = chance.choice(["above", "below"]) if after else kind
        return rule(
            name, threshold_price=f"{level:f}", threshold_type=kind, group=group, after=after
        )

    rows: list[Rule] = []
    for number in range(groups):
        size = chance.randint(2, 4)
        rows += [make(f"g{number}_{n}", f"g{number}") for n in range(size)]
    for number in range(chains):
        parent = make(f"p{number}")
        rows.append(parent)
        if chance.random() < 0.5:
            rows.append(make(f"c{number}", after=parent.id))
        else:
            rows += [make(f"c{number}_{n}", f"x{number}", parent.id) for n in range(2)]
    chance.shuffle(rows)
    return rows


def oracle(rows: Sequence[Rule], prices: Sequence[Decimal]) -> dict[str, int]:
    """Return at which price each row fires, by trying every row at every price."""
    fired: dict[str, int] = {}
    spent: set[str] = set()
    armed_from = {row.id: 0 for row in rows if not row.after}
    for number, price in enumerate(prices):
        for row in rows:
            if row.id in fired or row.group in spent or armed_from.get(row.id, number + 1) > number:
                continue
            if row.is_met_by(price):
                fired[row.id] = number
                if row.group:
                    spent.add(row.group)
                for child in rows:
                    if child.after == row.id:
                        armed_from[child.id] = number + 1
    return fired


@dataclass
class Replay:
    """The order thread and the watch on a sequence of prices."""

    rows: Sequence[Rule]
    bench: Bench = field(init=False)
    fired: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bench = Bench()
        self.bench.files.rules = {row.id: row for row in self.rows}
        self._start()

    def _start(self) -> None:
        bench = self.bench
        bench.changes.clear()
        bench.restart()
        worker = bench.worker
        self.watch = Watch(
            submit=worker.submit,
            say=lambda level, text, **fields: None,
            want=lambda market, after, delay, distance: None,
            present=lambda market: None,
            clocks=bench.clock.clocks,
        )
        self.watch.in_order = lambda ids: worker.ledger.kin.in_file_order(ids)
        noted = bench.files.notes
        accepted = {r.id: AcceptedRule(r, MARKET, r.id in noted) for r in self.rows}
        worker.submit(Adopt(accepted, bench.clock.monotonic()))
        worker.work_off()
        self._pump()

    def restart(self) -> None:
        """Kill the program and start it again from its files."""
        self._start()

    def _pump(self) -> None:
        changes: list[BookChange] = list(self.bench.changes)
        self.bench.changes.clear()
        for change in changes:
            if isinstance(change, BookArm):
                self.watch.arm(change)
            elif isinstance(change, BookDisarm):
                self.watch.forget(change.rule_id)

    def price(self, number: int, price: Decimal) -> None:
        """Let a price come, and whatever follows from it happen."""
        self.bench.clock.seconds += 2.0
        self.watch.price(MARKET.name, price, self.bench.clock.monotonic())
        worker = self.bench.worker
        if not worker.backlog:
            return
        worker.work_off()
        self._pump()
        for rule_id, txid in list(worker.standing.items()):
            self.fired.setdefault(rule_id, number)
            worker.submit(Watched({rule_id: Sighting(txid, "closed", "0.01", f"{price:f}")}))
        worker.work_off()
        self._pump()

    def orders(self) -> dict[str, int]:
        """Return how many orders each row has at Kraken."""
        found = {}
        for row in self.rows:
            life = self.bench.worker.life_of(row.id)
            count = len(self.bench.kraken.orders.get(life.cl_ord_id, ()))
            if count or life.state in (RuleState.PLACED, RuleState.CLOSED):
                found[row.id] = count
        return found
