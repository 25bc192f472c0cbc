"""What is said of groups and chains: which row it is about, which one decides, and the cure."""

from __future__ import annotations

from decimal import Decimal

from tests.kits.orders.order_bench import life, rule
from ttslo_app.messages import Crossing, Kind
from ttslo_app.orders import kin_words
from ttslo_app.orders.kin import Bond, Tie
from ttslo_app.orders.life import RuleState

CHILD = rule("stop", after="entry", group="exit")
CROSSED = Crossing(CHILD, Decimal(50001), "50001")
PLACED = life(RuleState.PLACED, order_id="O1")


def test_disarmed_row_is_told_of_what_it_loses() -> None:
    """The sentence is short where nothing is lost, and names the crossing where one is."""
    assert kin_words.disarmed("stop", "target", None).text == "stop: disarmed, target has fired"
    lost = kin_words.disarmed("stop", "target", CROSSED)
    assert lost.text.endswith("was crossed at 50001, and no order is placed for that")
    assert (lost.kind, lost.fields["id"]) == (Kind.DISARMED, "stop")


def test_held_crossing_names_whom_it_waits_for() -> None:
    """And that the file decided, where one trade crossed both."""
    apart = kin_words.held(CROSSED, "target", is_same_trade=False).text
    assert apart.endswith("waits for what becomes of target of its group")
    same = kin_words.held(CROSSED, "target", is_same_trade=True).text
    assert "by the same trade as target, which is first in the file" in same
    assert "when_blind" in kin_words.let_go(CROSSED).text


def test_row_that_a_fill_arms_is_told_in_full() -> None:
    """Which order, how much, what it waits for and what it will do."""
    text = kin_words.armed(CHILD, Tie(Bond.FREE, "entry", None, "O1", "0.01")).text
    for part in ("O1 of entry", "filled (0.01)", "at or above 50000", "sell 0.01, trailing 5 %"):
        assert part in text


def test_standing_says_which_row_and_what_to_do() -> None:
    """For every bond that keeps a row from being armed."""
    spent = kin_words.standing(CHILD, Tie(Bond.SPENT, "target", PLACED))
    assert "target of its group has fired" in spent
    assert "empty the order columns of target" in spent
    none = life(RuleState.CLOSED, order_id="O1", order_status="canceled", vol_exec="0.0000")
    barred = kin_words.standing(CHILD, Tie(Bond.BARRED, "entry", none))
    assert "order O1 of entry has ended, nothing of it was filled" in barred
    part = life(RuleState.CLOSED, order_id="O1", order_status="canceled", vol_exec="0.004")
    assert "only 0.004 of it were filled" in kin_words.standing(
        CHILD, Tie(Bond.BARRED, "entry", part)
    )
    assert "empty its cell after" in barred
    unknown = kin_words.standing(CHILD, Tie(Bond.AWAITS, "entry"))
    assert "nobody knows what became of entry" in unknown
    waits = kin_words.standing(CHILD, Tie(Bond.AWAITS, "entry", PLACED))
    assert waits == "waits until order O1 of entry is filled; it is armed then"
    early = kin_words.standing(CHILD, Tie(Bond.AWAITS, "entry", life(RuleState.ARMED)))
    assert early == "waits until entry has fired and its order is filled; it is armed then"
    filled = life(RuleState.CLOSED, order_id="O1", order_status="closed")
    anew = kin_words.standing(CHILD, Tie(Bond.AWAITS, "entry", filled))
    assert "is filled anew: that order has armed it before" in anew


def test_only_an_end_without_a_fill_is_an_error() -> None:
    """To wait is what such a row is for."""
    barred = kin_words.not_armed(CHILD, Tie(Bond.BARRED, "entry", PLACED))
    assert (barred.level, barred.kind) == ("ERROR", Kind.DISARMED)
    waits = kin_words.not_armed(CHILD, Tie(Bond.AWAITS, "entry", PLACED))
    assert (waits.level, waits.kind) == ("INFO", Kind.STANDING)


def test_order_that_is_left_alone_is_named() -> None:
    """It stands at Kraken, and nobody here looks after it any more."""
    said = kin_words.left_alone(PLACED)
    assert "O1 still stands at Kraken and is no longer watched" in said.text
    assert said.level == "WARNING"
