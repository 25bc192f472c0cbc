"""The rows of one file after another: a row that stays as it is stays the same rule."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from ttslo_app.rules.rule import Rule, RuleReader, read_rule, reading_of

GOOD = {
    "id": "btc_1",
    "pair": "BTC/USD",
    "threshold_price": "50000",
    "threshold_type": "above",
    "direction": "sell",
    "volume": "0.01",
    "trailing_offset_percent": "5.0",
    "enabled": "true",
}


def test_row_that_stays_as_it_is_stays_the_same_rule() -> None:
    """Whoever holds a rule need not compare it with the one of the next version."""
    first = RuleReader()
    rule = first.read(GOOD)
    assert first.read(dict(GOOD)) is rule
    second = RuleReader(first)
    assert second.read(dict(GOOD)) is rule
    assert RuleReader(second).read(dict(GOOD)) is rule


def test_row_that_changed_is_read_anew() -> None:
    """In the same version of a file, and in the next one."""
    reader = RuleReader()
    first = reader.read(GOOD)
    edited = {**GOOD, "volume": "0.02"}
    second = reader.read(edited)
    assert isinstance(first, Rule)
    assert isinstance(second, Rule)
    assert (first.volume, second.volume) == (Decimal("0.01"), Decimal("0.02"))
    third = RuleReader(reader).read(GOOD)
    assert isinstance(third, Rule)
    assert third.volume == Decimal("0.01")


def test_row_that_is_no_rule_says_so_again() -> None:
    """What was wrong with it is kept as a rule is."""
    reader = RuleReader()
    bad = {**GOOD, "volume": "much"}
    problems = reader.read(bad)
    assert not isinstance(problems, Rule)
    assert [problem.field for problem in problems] == ["volume"]
    assert RuleReader(reader).read(dict(bad)) is problems


def test_rules_of_a_file_by_their_ids() -> None:
    """A row that is no rule, and an id that stands twice, are nobody's rule."""
    rows = [GOOD, {**GOOD, "id": "bad", "pair": ""}, {**GOOD, "id": "two"}, {**GOOD, "id": "two"}]
    rules = RuleReader().by_id(rows)
    assert list(rules) == ["btc_1", "bad", "two"]
    assert rules["bad"] is rules["two"] is None
    assert rules["btc_1"] == read_rule(GOOD)


def test_id_that_stood_twice_and_stands_once_is_a_rule_again() -> None:
    """What the last version said of the name does not stick to it."""
    reader = RuleReader()
    assert reader.by_id([GOOD, {**GOOD, "volume": "9"}]) == {"btc_1": None}
    assert RuleReader(reader).by_id([GOOD]) == {"btc_1": read_rule(GOOD)}


def test_row_without_an_id_is_read_all_the_same() -> None:
    """It is no rule, and two of them are not one."""
    nameless = {name: cell for name, cell in GOOD.items() if name != "id"}
    reader = RuleReader()
    first = reader.read(nameless)
    second = reader.read({**nameless, "pair": ""})
    assert not isinstance(first, Rule)
    assert not isinstance(second, Rule)
    assert len(first) < len(second)
    assert reader.by_id([nameless]) == {"": None}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["1", "2", "x"])), max_size=12))
def test_reader_says_what_reading_each_row_alone_says(cells: list[tuple[str, str]]) -> None:
    """However often the file changes, with whatever it held before."""
    reader: RuleReader | None = None
    for end in range(len(cells) + 1):
        rows = [{**GOOD, "id": name, "volume": volume} for name, volume in cells[:end]]
        reader = RuleReader(reader)
        names = [row["id"] for row in rows]
        for name, rule in reader.by_id(rows).items():
            alone = [reading_of(row) for row in rows if row["id"] == name]
            is_one = names.count(name) == 1 and isinstance(alone[0], Rule)
            assert rule == (alone[0] if is_one else None)
