"""Rows of which nothing is known yet, armed by the thousand."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from functools import partial

import pytest

from tests.kits.common.calls_kit import calls_in
from tests.kits.common.fresh_python import run_python
from tests.kits.orders.order_bench import MARKET, NOW, Bench, ManualClock, rule
from ttslo_app.clocks import Clocks
from ttslo_app.messages import AcceptedRule, Adopt, BookArm, Kind, Sentence
from ttslo_app.orders.beginnings import Beginnings
from ttslo_app.orders.ledger import Ledger
from ttslo_app.orders.life import Life, arm, client_order_id
from ttslo_app.orders.request import fingerprint
from ttslo_app.rules.rule import Rule

RULES = [
    rule("a"),
    rule("b", volume="0.02"),
    rule("c", trailing_offset_percent="", trailing_offset_quote="250"),
    rule("d", when_blind="notify", threshold_price="51000.50"),
    rule("e", expires="+30d"),
]


def adopted(*rules: Rule) -> Bench:
    """Return a bench that has read a file of these rules for the first time."""
    bench = Bench()
    bench.files.rules = {one.id: one for one in rules}
    bench.adopt()
    return bench


def test_lives_that_begin_together_are_those_that_each_has_by_itself() -> None:
    """Cell by cell and in the order of the columns, and so is what the reader of prices is told."""
    together = adopted(*RULES)
    for one in RULES:
        alone = adopted(one)
        assert list(together.worker.state[one.id].items()) == [*alone.worker.state[one.id].items()]
        assert [c for c in together.changes if isinstance(c, BookArm) and c.rule.id == one.id] == [
            *alone.changes
        ]
    assert list(together.worker.state) == [one.id for one in RULES]
    assert together.files.disk == together.worker.state


def test_life_that_begins_as_others_is_the_first_of_its_rule() -> None:
    """It reads as `arm` makes it, with an id of its own for its order."""
    bench = adopted(*RULES)
    armed_at = bench.worker.state["a"]["armed_at"]
    for one in RULES:
        expected = arm(Life(one.id), fingerprint(one), armed_at)
        assert bench.worker.life_of(one.id) == expected
        assert expected.cl_ord_id == client_order_id(one.id, 1, armed_at)
    assert len({cells["cl_ord_id"] for cells in bench.worker.state.values()}) == len(RULES)


def test_reader_of_prices_is_told_the_whole_of_it() -> None:
    """Times too, which two messages that arm the same are not compared by."""
    bench = adopted(*RULES)
    told = [change for change in bench.changes if isinstance(change, BookArm)]
    assert [change.rule for change in told] == RULES
    first = told[0]
    assert first.since == bench.worker.state["a"]["armed_at"]
    for change in told:
        assert (change.since, change.seen, change.since_at) == (first.since, "", None)
        assert change.market == MARKET


def test_cells_of_one_row_stay_its_own() -> None:
    """What becomes of the first, or of a copy, is nothing to the others."""
    bench = adopted(*RULES)
    before = {i: dict(cells) for i, cells in bench.worker.state.items()}
    bench.worker.state["a"]["rule_state"] = "disarmed"
    bench.worker.state["b"]["mine"] = "x"
    for rule_id in "cde":
        assert bench.worker.state[rule_id] == before[rule_id]


@pytest.mark.parametrize(
    ("one", "is_fired_in_file", "cells"),
    [
        pytest.param(rule(enabled="false"), False, None, id="disabled"),
        pytest.param(rule(), True, None, id="has fired"),
        pytest.param(rule(group="g"), False, None, id="in a group"),
        pytest.param(rule(after="other"), False, None, id="follows"),
        pytest.param(rule(), False, {}, id="known"),
        pytest.param(rule(), False, {"id": "btc", "triggered": "false"}, id="of earlier versions"),
    ],
)
def test_row_with_a_past_or_with_kin_does_not_begin_like_others(
    one: Rule, is_fired_in_file: bool, cells: dict[str, str] | None
) -> None:
    """Its life is looked at as an edit looks at it."""
    bench = Bench()
    beginnings = Beginnings(bench.worker.roll._tools, lambda life, rule: life, NOW)
    assert beginnings.is_one(AcceptedRule(rule(), MARKET))
    if cells is not None:
        bench.worker.state["btc"] = cells
    assert not beginnings.is_one(AcceptedRule(one, MARKET, is_fired_in_file))


def test_row_that_came_before_the_others_is_not_begun_again() -> None:
    """A second reading arms what is new in it, and leaves all others as they are."""
    bench = adopted(*RULES[:2])
    before = {i: dict(cells) for i, cells in bench.worker.state.items()}
    bench.clock.seconds += 60
    bench.files.rules = {one.id: one for one in RULES}
    told = len(bench.changes)
    bench.adopt()
    assert {i: bench.worker.state[i] for i in before} == before
    assert [c.rule.id for c in bench.changes[told:] if isinstance(c, BookArm)] == ["c", "d", "e"]
    later = {bench.worker.state[i]["armed_at"] for i in "cde"}
    assert later == {bench.worker.state["c"]["armed_at"]} != {before["a"]["armed_at"]}


def test_row_that_another_one_follows_is_news_for_that() -> None:
    """Whichever way its cells came: what follows is armed once its order is filled."""
    books = Ledger({})
    family = {"a": rule("a"), "b": rule("b"), "z": rule("z", after="b")}
    books.relate({i: AcceptedRule(one, MARKET) for i, one in family.items()})
    books.kin_news.clear()
    for rule_id in "ab":
        books.enter(rule_id, {"id": rule_id})
    assert books.kin_news == {"b"}
    assert books.state == {"a": {"id": "a"}, "b": {"id": "b"}}


def test_what_was_said_of_a_row_of_that_name_is_over() -> None:
    """A row that was taken out of both files and comes again begins anew."""
    bench = adopted(*RULES[:2])
    once = partial(bench.worker.roll._tools.teller.tell_once, "b")
    said = Sentence(Kind.OTHER, "INFO", "x")
    once(said)
    once(said)
    assert len(bench.said) == 1
    bench.worker.state = {}
    bench.files.rules = {i: rule(i, volume="0.03") for i in "ab"}
    bench.adopt()
    once(said)
    assert len(bench.said) == 2


def test_order_that_stood_for_a_row_of_that_name_is_none_of_the_new_one() -> None:
    """Nobody looks for it any more on behalf of a row that has just begun."""
    bench = adopted(RULES[0])
    bench.worker.ledger.stand("c", "OLD")
    bench.files.rules = {one.id: one for one in RULES}
    bench.adopt()
    assert bench.worker.standing == {}
    assert bench.worker.state["c"]["rule_state"] == "armed"


class UnsetClock(ManualClock):
    """A machine's clock, before Kraken has told the time."""

    @property
    def clocks(self) -> Clocks:
        return replace(super().clocks, is_known=lambda: False)


def test_moment_that_nobody_knows_is_told_by_the_steady_clock() -> None:
    """Of each row: once the time is known, it waits since when it was armed."""
    bench = Bench()
    bench.clock = UnsetClock()
    bench.files.rules = {one.id: one for one in RULES}
    bench.restart()
    told = [change for change in bench.changes if isinstance(change, BookArm)]
    assert [change.since_at for change in told] == [bench.clock.seconds] * len(RULES)
    assert not told[1].since.endswith("+00:00")


def test_row_costs_few_calls_to_arm() -> None:
    """What is the same for all is worked out for the first one."""

    def calls(count: int) -> Counter[str]:
        rules = [rule(f"r{number}") for number in range(count)]
        message = Adopt({one.id: AcceptedRule(one, MARKET) for one in rules}, 0.0)
        return calls_in(lambda: Bench().worker.roll.adopt(message))

    few, many = calls(20), calls(120)
    for name in ("cells_of", "read_life", "adoption_of", "now_and_since", "guessed_at"):
        assert many[name] == few[name] <= 2, name
    assert many["fingerprint"] == 120
    assert many["Python"] - few["Python"] <= 100 * 25


SIZES = """
import sys
from tests.kits.orders.order_bench import Bench, rule

bench = Bench()
bench.files.rules = {one.id: one for one in (rule(f"r{number}") for number in range(40))}
bench.adopt()
rows = list(bench.worker.state.values())
print(max(map(sys.getsizeof, rows[1:])), sys.getsizeof(dict(rows[5])))
for cells in rows:
    cells["last_checked"] = "now"
print(max(map(sys.getsizeof, rows)))
"""


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="dicts are CPython's own")
def test_copies_have_their_names_in_common_and_room_for_no_more() -> None:
    """Of 100,000 rows the names would fill 25 MB, and room for 30 of them 12 MB; to the end."""
    shared, own, checked = map(int, run_python(SIZES).split())
    assert shared < 0.6 * own
    assert checked <= shared
