"""How rows that belong together stand to each other, worked out from their lives."""

from __future__ import annotations

from itertools import permutations, product

import pytest

from tests.kits.orders.order_bench import MARKET, life, rule
from ttslo_app.messages import AcceptedRule
from ttslo_app.orders.kin import (
    FREE,
    MEANINGS,
    Bond,
    Families,
    Tie,
    chain_tie,
    families_of,
    group_tie,
    holder_among,
    is_armed_by,
)
from ttslo_app.orders.life import Life, RuleState
from ttslo_app.orders.request import after_of, condition_of, fingerprint, group_of
from ttslo_app.rules.rule import Rule

CHILD = rule("child", after="btc")
FILLED = life(RuleState.CLOSED, order_id="O1", order_status="closed", vol_exec="0.01")


def entries(*rules: Rule, fired: tuple[str, ...] = ()) -> dict[str, AcceptedRule]:
    """Return rows of config.csv by id."""
    return {r.id: AcceptedRule(r, MARKET, r.id in fired) for r in rules}


def waiting(armed_by: str = "", after: str = "btc") -> Life:
    """Return a child that is armed, perhaps by the fill of an order."""
    row = fingerprint(rule("child", after=after))
    return life(RuleState.ARMED, armed_by=armed_by, row=row)._replace(id="child")


# --- what is written of a row ----------------------------------------------------------------


def test_fingerprint_tells_kin_and_is_as_before_without() -> None:
    """Rows of earlier versions keep theirs; a change of group or chain is a change of the row."""
    plain = fingerprint(rule())
    assert "=" not in plain
    told = fingerprint(rule(group="exit", after="entry", when_blind="notify"))
    assert (group_of(told), after_of(told)) == ("exit", "entry")
    assert (group_of(plain), after_of(plain), group_of("")) == ("", "", "")
    assert condition_of(told) == condition_of(plain)


# --- the table -------------------------------------------------------------------------------


def test_table_has_every_state_and_no_order_is_taken_for_none() -> None:
    """Whoever may have an order holds or spends its group; only an end leads to a child."""
    assert set(MEANINGS) == set(RuleState)
    for state, (group, chain) in MEANINGS.items():
        known = life(state)
        assert (group is Bond.FREE) is not (known.has_fired or known.is_unsettled)
        assert (group is Bond.SPENT) is known.has_fired
        assert chain is (Bond.BARRED if state is RuleState.CLOSED else Bond.AWAITS)


@pytest.mark.parametrize("states", list(product(RuleState, repeat=2)), ids=str)
def test_the_strongest_bond_of_a_group_counts(states: tuple[RuleState, RuleState]) -> None:
    """One that has fired before one in doubt, and that before none."""
    families = families_of(entries(*(rule(i, group="g") for i in "abc")), {})
    lives = {i: life(state)._replace(id=i) for i, state in zip("bc", states, strict=True)}
    tie = group_tie(families, "a", lives.get)
    bonds = [MEANINGS[state][0] for state in states]
    expected = next((b for b in (Bond.SPENT, Bond.HELD) if b in bonds), Bond.FREE)
    assert tie.bond is expected
    if expected is not Bond.FREE:
        assert MEANINGS[lives[tie.by].state][0] is expected
    assert tie.may_arm is (expected is not Bond.SPENT)


def test_unknown_mate_holds_and_a_row_alone_is_free() -> None:
    """Nobody can know whether it has an order."""
    families = families_of(entries(rule("a", group="g"), rule("b", group="g"), rule("c")), {})
    assert group_tie(families, "a", lambda rule_id: None) == Tie(Bond.HELD, "b")
    assert group_tie(families, "c", lambda rule_id: None) is FREE
    assert group_tie(Families(), "a", lambda rule_id: None) is FREE


def test_order_that_config_alone_knows_counts_unless_the_state_knows_better() -> None:
    """A row that waits by the state is not one that has fired, whatever its cells say."""
    rules = entries(rule("a", group="g"), rule("b", group="g"), fired=("b",))
    families = families_of(rules, {})
    assert group_tie(families, "a", Life).bond is Bond.SPENT
    armed = life(RuleState.ARMED)._replace(id="b")
    assert group_tie(families, "a", lambda rule_id: armed).bond is Bond.FREE


# --- who belongs together --------------------------------------------------------------------


def test_rows_that_left_the_file_stay_in_their_group() -> None:
    """By the row that the state holds; one that is in the file goes by the file."""
    state = {
        "gone": {"row": fingerprint(rule("gone", group="g"))},
        "a": {"row": fingerprint(rule("a", group="old"))},
        "plain": {"row": fingerprint(rule("plain"))},
        "early": {},
    }
    families = families_of(entries(rule("a", group="g"), rule("b", after="a")), state)
    assert dict(families.groups) == {"g": ["a", "gone"]}
    assert (families.mates("a"), families.mates("gone"), families.mates("b")) == (
        ["gone"],
        ["a"],
        [],
    )
    assert dict(families.children) == {"a": ["b"]}
    assert [families.has(i) for i in ("a", "b", "gone", "plain")] == [True, False, True, False]


@pytest.mark.parametrize("crossed", list(permutations("abxc")), ids="".join)
def test_of_one_trade_the_order_in_the_file_decides(crossed: tuple[str, ...]) -> None:
    """Rows of a group change places among themselves, and all others keep theirs."""
    rules = [rule(i, group="g") for i in "cab"]
    families = families_of(entries(*rules, rule("x")), {})
    ordered = families.in_file_order(crossed)
    assert ordered.index("x") == crossed.index("x")
    assert [i for i in ordered if i != "x"] == ["c", "a", "b"]


def test_rows_without_a_group_are_left_in_their_order() -> None:
    """Nearest threshold first, as ever."""
    families = families_of(entries(rule("a"), rule("b", group="g")), {})
    assert families.in_file_order(["b", "a"]) == ["b", "a"]
    assert families.in_file_order([]) == []
    assert Families().in_file_order(("q", "p")) == ["q", "p"]


# --- chains ----------------------------------------------------------------------------------


def test_row_without_after_is_bound_by_nothing() -> None:
    """Whatever is known of others."""
    assert chain_tie(rule(), Life("btc"), None) is FREE


@pytest.mark.parametrize("state", RuleState)
def test_only_a_filled_order_arms(state: RuleState) -> None:
    """Every other state keeps the row from being armed."""
    tie = chain_tie(CHILD, Life("child"), life(state, order_id="O1"))
    assert tie.bond is (Bond.BARRED if state is RuleState.CLOSED else Bond.AWAITS)
    assert not tie.may_arm
    assert tie.by == "btc"


def test_fill_is_told_with_its_order_and_amount() -> None:
    """Kraken's number, or that of the order where Kraken told none."""
    tie = chain_tie(CHILD, Life("child"), FILLED)
    assert (tie.bond, tie.fill, tie.filled) == (Bond.FREE, "O1", "0.01")
    assert chain_tie(CHILD, Life("child"), FILLED._replace(vol_exec="")).filled == "0.01"
    assert chain_tie(CHILD, Life("child"), FILLED._replace(vol_exec="", order=None)).filled == ""


@pytest.mark.parametrize("status", ["canceled", "expired"])
def test_part_of_an_order_arms_only_who_takes_a_part(status: str) -> None:
    """Half an order is half a position: a stop of the whole volume is not armed for it."""
    part = FILLED._replace(order_status=status, vol_exec="0.004")
    none = part._replace(vol_exec="0.00000000")
    assert chain_tie(CHILD, Life("child"), part).bond is Bond.BARRED
    tie = chain_tie(CHILD, Life("child"), part, takes_part=True)
    assert (tie.bond, tie.filled) == (Bond.FREE, "0.004")
    assert chain_tie(CHILD, Life("child"), none, takes_part=True).bond is Bond.BARRED


def test_one_fill_arms_once() -> None:
    """Armed by it, the row stays armed whatever becomes of the other; after that it waits anew."""
    assert is_armed_by(waiting("O1"), CHILD)
    for state in RuleState:
        assert chain_tie(CHILD, waiting("O1"), life(state)) is FREE
    assert chain_tie(CHILD, waiting("O1"), None) is FREE
    over = waiting("O1")._replace(state=RuleState.DISARMED)
    assert chain_tie(CHILD, over, FILLED).bond is Bond.AWAITS
    again = FILLED._replace(order_id="O2")
    assert chain_tie(CHILD, over, again).fill == "O2"


def test_other_row_before_or_none_known_binds_anew() -> None:
    """Armed behind one row, it is not armed behind another; of an unknown past nothing is known."""
    assert not is_armed_by(waiting("O1", after="other"), CHILD)
    assert not is_armed_by(waiting(""), CHILD)
    assert chain_tie(CHILD, waiting("O9", after="other"), life(RuleState.ARMED)).bond is Bond.AWAITS
    assert chain_tie(CHILD, Life("child"), None) == Tie(Bond.AWAITS, "btc")


# --- who is at it ----------------------------------------------------------------------------


def test_whoever_is_at_it_holds_the_others() -> None:
    """An order in doubt, a crossing that is owed, or a past that nobody knows."""
    lives = {"a": life(RuleState.ARMED), "b": life(RuleState.UNCERTAIN)}
    assert holder_among(["a"], lives.get, lambda mate: False) == ""
    assert holder_among(["a"], lives.get, lambda mate: mate == "a") == "a"
    assert holder_among(["a", "b"], lives.get, lambda mate: False) == "b"
    assert holder_among(["a", "lost"], lives.get, lambda mate: False) == "lost"
