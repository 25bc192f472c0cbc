"""The trading key that Kraken refuses: what it does to rows, and how it comes back."""

from __future__ import annotations

import pytest

from krakenlink.errors import AuthenticationError
from krakenlink.rest.answers import Outcome
from krakenlink.rest.verdicts import OutcomeKind
from tests.kits.orders.order_bench import Bench, Reply, crowd, rule
from ttslo_app.messages import KeyRefused, Sighting
from ttslo_app.orders.life import RuleState
from ttslo_app.orders.owed import LOCKOUT_WAIT
from ttslo_app.orders.request import OrderRequest


def test_refused_key_is_one_call_and_said_once_for_all_rows() -> None:
    """Each of the crossed rows has its line; none is disarmed, and none is tried by itself."""
    bench, rules = crowd(25)
    bench.kraken.replies = [Reply.KEY]
    bench.kraken.answers = [Reply.KEY] * 100
    bench.cross(*rules)
    bench.wait(59)
    assert (len(bench.kraken.sent), bench.kraken.checked) == (1, [])
    assert sum("NONE of the 25 rows is protected" in text for _, text in bench.said) == 1
    for one in rules:
        assert sum(text.startswith(f"{one.id}: ") for _, text in bench.said) == 1
        assert bench.heard(f"{one.id}: BTC/USD at or above 50000 was crossed at 50001: NO ORDER")
        assert bench.life(one.id).is_waiting
    bench.wait(600)
    assert (len(bench.kraken.sent), len(bench.kraken.checked)) == (1, 3)


def test_key_that_works_again_is_said_and_young_crossings_are_placed() -> None:
    """An older crossing is met by today's price; both are told what becomes of them."""
    bench, rules = crowd(2)
    bench.kraken.replies, bench.kraken.answers = [Reply.KEY], [Reply.KEY]
    bench.cross(rules[0])
    bench.wait(150)
    bench.cross(rules[1])
    bench.changes.clear()
    bench.wait(40)
    assert bench.heard("The trading key works again; of the 2 crossed before")
    assert list(bench.files.notes) == ["r01"]
    assert [change.rule.id for change in bench.changes] == ["r00"]  # type: ignore[union-attr]
    assert bench.heard("r00: its order waited")


@pytest.mark.parametrize("answer", [Reply.KEY, Reply.LOCKOUT, Reply.NEVER])
def test_key_that_is_not_proven_good_places_nothing(answer: Reply) -> None:
    """Neither another refusal nor silence lets an order out."""
    bench = Bench(rule())
    bench.kraken.replies, bench.kraken.answers = [Reply.KEY], [answer]
    bench.cross()
    bench.wait(100)
    assert (len(bench.kraken.sent), len(bench.kraken.checked)) == (1, 1)
    assert bench.life().state is RuleState.REFUSED


def test_no_call_is_made_in_a_lockout() -> None:
    """Neither an order, nor a question, nor a look for a lost order."""
    bench, rules = crowd(2)
    bench.kraken.replies = [Reply.LOST, Reply.LOCKOUT]
    bench.cross(*rules)
    bench.wait(LOCKOUT_WAIT - 2)
    assert bench.kraken.checked == []
    assert bench.life("r00").state is RuleState.UNCERTAIN
    bench.wait(10)
    assert bench.life("r00").state is RuleState.PLACED


def test_earlier_arming_is_asked_for_by_nobody_while_the_key_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its crossing waits for the key; its order is asked for once the key is taken again."""
    bench, rules = crowd(2)
    bench.restart()
    asked: list[str] = []
    find = bench.kraken.find

    def counted(cl_ord_id: str, order: OrderRequest) -> Sighting | None:
        asked.append(cl_ord_id)
        return find(cl_ord_id, order)

    monkeypatch.setattr(bench.kraken, "find", counted)
    bench.kraken.replies, bench.kraken.answers = [Reply.KEY], [Reply.KEY]
    bench.cross(rules[0])
    assert asked == [bench.life("r00").cl_ord_id]
    bench.cross(rules[1])
    bench.wait(55)
    assert asked == [bench.life("r00").cl_ord_id]
    assert bench.heard("r01: BTC/USD at or above 50000 was crossed at 50001: NO ORDER")
    bench.wait(300)
    bench.cross(rules[1])
    assert asked[1:] == [bench.life("r01").cl_ord_id]
    assert bench.life("r01").state is RuleState.PLACED


class Refused(Bench):
    """Two rows, one of them in doubt, and looks that Kraken refuses for the key."""

    def __init__(self, words: str) -> None:
        super().__init__(rule("btc"), rule("eth"))
        self.kraken.replies = [Reply.LOST]
        self.cross(rule("btc"))
        self.find, self.looks = self.kraken.find, 0
        self.error: Exception | None = AuthenticationError("OpenOrders", [words])
        self.kraken.find = self._find  # type: ignore[method-assign]  # refused until it is healed

    def _find(self, cl_ord_id: str, order: OrderRequest) -> Sighting | None:
        self.looks += 1
        if self.error is not None:
            raise self.error
        return self.find(cl_ord_id, order)


@pytest.mark.parametrize("words", ["EAPI:Invalid key", "EAPI:Invalid signature"])
def test_key_that_a_look_finds_refused_shuts_the_same_gate(words: str) -> None:
    """One look, one sentence for all rows, no order with it; it heals by itself."""
    bench = Refused(words)
    bench.wait(40)
    assert bench.looks == 1
    assert sum("Kraken refuses the trading key" in text for _, text in bench.said) == 1
    bench.cross(rule("eth"))
    assert len(bench.kraken.sent) == 1
    bench.error = None
    bench.wait(40)
    assert bench.heard("is taken again") or bench.heard("works again")
    assert bench.life("btc").order_id == "O1"


def test_key_that_may_only_not_look_still_places_orders() -> None:
    """A missing permission to query says nothing of orders."""
    bench = Refused("EGeneral:Permission denied")
    bench.wait(40)
    assert not bench.worker.is_key_refused
    bench.cross(rule("eth"))
    assert bench.life("eth").order_id == "O2"


def test_key_that_a_check_finds_refused_shuts_the_same_gate() -> None:
    """Crossings wait with their moment; the key is tried once, with the order of the row."""
    bench = Bench(rule("btc"))
    bench.worker.submit(KeyRefused("btc", bench.kraken._of_key(Reply.KEY)))
    bench.worker.submit(KeyRefused("btc", bench.kraken._of_key(Reply.KEY)))
    bench.cross()
    assert bench.kraken.sent == []
    assert sum("is NOT protected" in text for _, text in bench.said) == 1
    bench.wait(61)
    assert [order.volume for _, order in bench.kraken.checked] == ["0.01"]
    assert not bench.worker.is_key_refused


def test_trouble_that_is_not_the_keys_shuts_no_gate() -> None:
    """Kraken that cannot be reached says nothing of the key."""
    bench = Bench(rule("btc"))
    for kind in (OutcomeKind.UNKNOWN, OutcomeKind.REFUSED):
        bench.worker.submit(KeyRefused("btc", Outcome(kind, reason="EOrder:Insufficient funds")))
    bench.cross()
    assert bench.life().order_id == "O1"
