"""The line before Kraken's gates, step by step with a clock of the test's own."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from krakenlink.rest.verdicts import Pause
from ttslo_app.orders.line import ORDER_GAP, OrderLine


@dataclass(frozen=True)
class One:
    """Somebody in line."""

    key: str
    pair: str = "BTC/USD"


@pytest.fixture
def line() -> OrderLine[One]:
    """A line before the gate of BTC/USD, closed at 100 s."""
    closed: OrderLine[One] = OrderLine()
    closed.close("BTC/USD", Pause.PAIR, 100.0)
    return closed


def passed(line: OrderLine[One], now: float) -> list[str]:
    """Return whom the gates let through now."""
    return [one.key for _, one in line.let_through(now)]


def test_gate_is_closed_for_its_pair_only(line: OrderLine[One]) -> None:
    """Kraken counts per pair: others go on."""
    assert line.is_closed("BTC/USD")
    assert not line.is_closed("ETH/USD")


def test_pause_of_the_account_closes_every_pair(line: OrderLine[One]) -> None:
    """A limit on the key holds back whatever it trades, one at a time."""
    line.close("ETH/USD", Pause.ACCOUNT, 100.0)
    line.stand(One("a", "SOL/USD"), 100.0)
    line.stand(One("b", "ETH/USD"), 100.0)
    assert line.is_closed("SOL/USD")
    assert passed(line, 102.0) == ["a"]
    assert passed(line, 102.0 + ORDER_GAP) == ["b"]


def test_first_come_first_served_and_the_refused_one_before_all(line: OrderLine[One]) -> None:
    """The order of the crossings is the order of the orders; coming twice changes nothing."""
    for name in ("b", "c", "b"):
        line.stand(One(name), 100.0)
    line.stand_first(One("a"), 101.0)
    moments = [102.0, 102.5, 102.0 + ORDER_GAP, 103.0 + ORDER_GAP, 102.0 + 2 * ORDER_GAP]
    assert [passed(line, moment) for moment in moments] == [["a"], [], ["b"], [], ["c"]]


def test_two_pairs_move_side_by_side(line: OrderLine[One]) -> None:
    """One of each pair is let through at a time."""
    line.close("ETH/USD", Pause.PAIR, 100.0)
    for name, pair in (("a", "BTC/USD"), ("b", "BTC/USD"), ("c", "ETH/USD")):
        line.stand(One(name, pair), 100.0)
    assert passed(line, 102.0) == ["a", "c"]


def test_refusals_in_a_row_lengthen_the_wait_until_an_order_is_taken(line: OrderLine[One]) -> None:
    """Kraken's pauses get longer for those who call on; a minute is the longest of ours."""
    waits = []
    for _ in range(6):
        line.close("BTC/USD", Pause.PAIR, 200.0)
        waits.append((line.next_at() or 0.0) - 200.0)
    assert waits == [4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    line.passed("BTC/USD")
    line.close("BTC/USD", Pause.PAIR, 300.0)
    assert line.next_at() == 302.0


def test_gate_that_nobody_waits_for_is_taken_down_when_it_opens(line: OrderLine[One]) -> None:
    """The pace is given free again once the line is empty and its time has passed."""
    assert passed(line, 101.0) == []
    assert line.is_closed("BTC/USD")
    assert passed(line, 102.0) == []
    assert not line.is_closed("BTC/USD")
    assert line.next_at() is None


def test_gate_stays_while_somebody_waits(line: OrderLine[One]) -> None:
    """Those who come while the line moves stand at its end."""
    line.stand(One("a"), 100.0)
    line.stand(One("b"), 100.0)
    passed(line, 500.0)
    assert line.is_closed("BTC/USD")
    assert len(line) == 1


def test_whoever_leaves_is_not_let_through(line: OrderLine[One]) -> None:
    """A row that is gone does not come up, even while the line moves."""
    line.close("ETH/USD", Pause.PAIR, 100.0)
    line.stand(One("a"), 100.0)
    line.stand(One("b", "ETH/USD"), 100.0)
    turns = line.let_through(102.0)
    assert next(turns)[1].key == "a"
    line.leave("b")
    line.leave("nobody")
    assert list(turns) == []
    assert "b" not in line


def test_next_moment_is_one_at_which_somebody_can_pass(line: OrderLine[One]) -> None:
    """Behind two gates the later one counts: nobody is woken again and again for nothing."""
    line.close("ETH/USD", Pause.ACCOUNT, 100.0)
    line.close("ETH/USD", Pause.ACCOUNT, 110.0)
    line.stand(One("a"), 100.0)
    assert passed(line, 103.0) == []
    assert line.next_at() == 114.0
    assert passed(line, 114.0) == ["a"]
    assert line.next_at() == 114.0 + ORDER_GAP
