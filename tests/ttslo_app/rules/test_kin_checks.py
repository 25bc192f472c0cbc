"""Groups and chains at validation: what makes no sense is refused by row, with the cure."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ttslo_app.rules.checks import ConfigValidator
from ttslo_app.rules.findings import ValidationResult
from ttslo_app.store.rule_text import read_rules

HEADER = "id,pair,threshold_price,threshold_type,direction,volume,trailing_offset_percent,enabled"


def row(rule_id: str, **changes: str) -> dict[str, str]:
    """Return a row of config.csv."""
    return {
        "id": rule_id,
        "pair": "BTC/USD",
        "threshold_price": "50000",
        "threshold_type": "above",
        "direction": "sell",
        "volume": "0.01",
        "trailing_offset_percent": "5",
        "enabled": "true",
        **changes,
    }


NOBODY: set[str] = set()


class Prices:
    """An exchange with one price and some funds."""

    api_key = "key"

    def __init__(self, price: str = "60000", **funds: str) -> None:
        self._price, self._funds = price, funds

    def get_current_price(self, pair: str) -> str:
        return self._price

    def get_balance(self) -> Mapping[str, str]:
        return self._funds


def check(
    *rows: Mapping[str, str],
    api: object = None,
    armed_before: set[str] = NOBODY,
    fired: set[str] = NOBODY,
) -> ValidationResult:
    """Return what a validation finds."""
    return ConfigValidator(api).validate_config_file(rows, armed_before=armed_before, fired=fired)


def errors(result: ValidationResult) -> dict[str, str]:
    """Return what refused each row."""
    return {one["config_id"]: one["message"] for one in result.errors}


def warnings(result: ValidationResult, field: str) -> dict[str, str]:
    """Return what is said of a column, by row."""
    return {one["config_id"]: one["message"] for one in result.warnings if one["field"] == field}


# --- after -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("afters", "refused"),
    [
        ({"a": "a"}, {"a"}),
        ({"a": "b", "b": "a"}, {"a", "b"}),
        ({"a": "b", "b": "c", "c": "a"}, {"a", "b", "c"}),
        ({"a": "b", "b": "c", "c": "b"}, {"b", "c"}),
        ({"a": "b", "b": "c"}, set()),
        ({"a": "c", "b": "c"}, set()),
    ],
)
def test_rows_that_wait_for_each_other_are_refused(
    afters: dict[str, str], refused: set[str]
) -> None:
    """All of a circle, and none that only leads into it."""
    found = errors(check(*(row(i, after=afters.get(i, "")) for i in "abc")))
    assert set(found) == refused
    for message in found.values():
        assert "in a circle" in message
        assert "empty one of the cells" in message


def test_row_that_does_not_exist_is_named_with_the_cure() -> None:
    """Unless the row was armed before: a protection does not end by that."""
    found = errors(check(row("a", after="gone")))
    assert "There is no row 'gone'" in found["a"]
    assert "empty the cell to arm this row now" in found["a"]
    old = check(row("a", after="gone"), armed_before={"a"})
    assert errors(old) == {}
    assert "stays armed" in warnings(old, "after")["a"]
    assert errors(check(row("a", after="gone"), fired={"a"})) == {}


@pytest.mark.parametrize("name", ["two words", "a,b", "ä"])
@pytest.mark.parametrize("column", ["after", "group"])
def test_odd_names_are_refused(column: str, name: str) -> None:
    """As an id is."""
    assert "use letters, digits, _ and - only" in errors(check(row("a", **{column: name})))["a"]


def test_row_cannot_follow_one_of_its_own_group() -> None:
    """Once the first has fired the group is spent, however far before it stands."""
    near = errors(check(row("a", group="g"), row("b", group="g", after="a")))
    assert "It follows a, and both are of the group g" in near["b"]
    far = check(row("a", group="g"), row("b", after="a"), row("c", group="g", after="b"))
    assert set(errors(far)) == {"c"}
    fine = check(row("a"), row("b", group="g", after="a"), row("c", group="g", after="a"))
    assert errors(fine) == {}


def test_row_is_told_when_it_waits_in_vain() -> None:
    """For one that is refused, or disabled and has not fired."""
    refused = check(row("a", volume="much"), row("b", after="a"))
    assert "which is refused" in warnings(refused, "after")["b"]
    disabled = check(row("a", enabled="false"), row("b", after="a"))
    assert "which is disabled" in warnings(disabled, "after")["b"]
    fired = check(row("a", enabled="false", order_id="O1"), row("b", after="a"))
    assert warnings(fired, "after") == {}


def test_price_of_today_says_nothing_of_a_row_that_waits_for_another() -> None:
    """Armed before it is looked at like any other."""
    rows = row("a"), row("b", after="a", threshold_price="50000")
    met = check(row("c"), api=Prices("60000"))
    assert "Threshold already met" in errors(met)["c"]
    assert set(errors(check(*rows, api=Prices("60000")))) == {"a"}
    armed = check(*rows, api=Prices("60000"), armed_before={"a", "b"})
    assert "it fires at once" in warnings(armed, "threshold_price")["b"]


# --- groups ----------------------------------------------------------------------------------


def test_group_of_one_and_of_several_pairs_is_said() -> None:
    """Both are allowed."""
    alone = check(row("a", group="g"), row("b"))
    assert "has no other row" in warnings(alone, "group")["a"]
    mixed = check(row("a", group="g"), row("b", group="g", pair="ETH/USD"))
    assert set(warnings(mixed, "group")) == {"a", "b"}
    assert "different pairs: BTC/USD, ETH/USD" in warnings(mixed, "group")["a"]
    assert alone.is_valid()
    assert mixed.is_valid()
    assert warnings(check(row("a", group="g"), row("b", group="g")), "group") == {}


def test_rows_of_a_group_share_their_funds() -> None:
    """A target and a stop on the same coins sell them once; two rows apart sell them twice."""
    api = Prices("45000", XXBT="0.01", ZUSD="0")
    behind = {"threshold_type": "below", "threshold_price": "40000"}
    apart = check(row("a"), row("b", **behind), api=api)
    assert any("Insufficient" in one["message"] for one in apart.warnings)
    tied = check(row("a", group="g"), row("b", group="g", **behind), api=api)
    assert not any("Insufficient" in one["message"] for one in tied.warnings)
    dear = check(row("a", group="g"), row("b", group="g", volume="0.02", **behind), api=api)
    assert any("Insufficient" in one["message"] for one in dear.warnings)


def test_row_that_waits_for_a_fill_is_not_asked_for_funds() -> None:
    """What it sells is bought by the one before it."""
    api = Prices("45000", XXBT="0", ZUSD="1000")
    entry = row("a", direction="buy", threshold_type="below", threshold_price="40000")
    found = check(entry, row("b", after="a"), api=api)
    assert not any("Insufficient" in one["message"] for one in found.warnings)


# --- files of other versions -----------------------------------------------------------------


def rows_of(*lines: str, columns: str = "linked_order_id") -> list[Mapping[str, str]]:
    """Return the rows of a file with some more columns."""
    text = "\n".join([f"{HEADER},{columns}", *lines, ""])
    return list(read_rules(text.encode()).rows)


LINE = "{},BTC/USD,50000,above,sell,0.01,5,{},{}"


def test_link_is_the_same_relation_seen_from_the_first_row() -> None:
    """The row that is named follows the one that names it."""
    rows = rows_of(LINE.format("a", "true", "b"), LINE.format("b", "true", ""))
    result = check(*rows)
    assert errors(result) == {}
    assert {one.rule.id: one.rule.after for one in result.accepted} == {"a": "", "b": "a"}


def test_linked_row_that_is_disabled_is_told_what_to_write() -> None:
    """Other versions enable it by themselves; this one never does."""
    rows = rows_of(LINE.format("a", "true", "b"), LINE.format("b", "false", ""))
    assert "set enabled to true" in warnings(check(*rows), "after")["b"]


def test_link_to_no_row_and_two_links_to_one_are_refused() -> None:
    """Nobody can tell what was meant."""
    lost = errors(check(*rows_of(LINE.format("a", "true", "x"))))
    assert "names 'x' in linked_order_id, which is no row" in lost["a"]
    twice = rows_of(
        *(LINE.format(i, "true", "c") for i in "ab"),
        LINE.format("c", "true", ""),
    )
    found = errors(check(*twice))
    assert set(found) == {"c"}
    assert "a row follows one other" in found["c"]
    both = rows_of(
        LINE.format("a", "true", "c,"),
        LINE.format("b", "true", ","),
        LINE.format("c", "true", ",b"),
        columns="linked_order_id,after",
    )
    assert set(errors(check(*both))) == {"c"}


def test_rows_that_a_caller_made_do_not_pass_a_link_over() -> None:
    """The row that is named would trade at once, and is refused."""
    found = errors(check(row("a", linked_order_id="b"), row("b")))
    assert "write a in the cell after of it" in found["b"]
    assert errors(check(row("a", linked_order_id="b"), row("b", after="a"))) == {}


def test_last_line_that_ends_in_a_name_may_have_been_cut_off() -> None:
    """Half a name of a group is another group."""
    text = f"{HEADER},group\n{LINE.format('a', 'true', 'exi')}"
    (cut,) = read_rules(text.encode()).rows
    assert "it may have been cut off" in cut.findings[0]
    (whole,) = read_rules(f"{text}\n".encode()).rows
    assert whole.findings == ()
