"""The text of state.csv: written so that each cell comes back, and read so that damage is told."""

import random
import tracemalloc
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttslo_app.store.csv_text import cell_text, quote
from ttslo_app.store.state_text import STATE_COLUMNS, StateReader, state_bytes, state_pieces

ODD = [
    "",
    " ",
    "a b",
    " a",
    "a ",
    "a,b",
    ", ",
    'say "no"',
    "a\nb",
    "\r",
    "\ufeff",
    "\x85a",
    "ä",
    "=1",
]


def cell_by_cell(state: Mapping[str, Mapping[str, object]]) -> bytes:
    """Return a state as text, each cell judged alone."""
    names = dict.fromkeys([*STATE_COLUMNS, *(str(n) for row in state.values() for n in row)])
    columns = [name for name in names if name]
    lines = [",".join(quote(cell_text(name), ",") for name in columns)]
    for identifier, row in state.items():
        cells = {str(name): cell_text(value) for name, value in row.items()}
        cells["id"] = cell_text(identifier)
        lines.append(",".join(quote(cells.get(name, ""), ",") for name in columns))
    return ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")


@pytest.mark.plenty
def test_twenty_thousand_rows_are_written_as_cell_by_cell() -> None:
    """The quick way over many rows gives the very bytes of the slow one."""
    chance = random.Random(7)
    state = {}
    for number in range(20_000):
        name = f"r{number}"
        row = {"id": name, "triggered": "false", "rule_state": "armed", "row": "BTC/USD 50000"}
        if number % 3 == 0:
            row |= {"order": '{"pair": "XBTUSD", "volume": "0.01"}', "triggered": "true"}
        if number % 50 == 0:
            row |= {"note": chance.choice(ODD), "last_checked": chance.choice(ODD)}
        state[name] = row
    assert state_bytes(state) == cell_by_cell(state)


TEXT = st.text(max_size=8) | st.sampled_from(ODD) | st.sampled_from(["a\0b", "\ud800"])
VALUE = TEXT | st.none() | st.booleans() | st.integers()


@given(st.dictionaries(TEXT, st.dictionaries(TEXT | st.just("id"), VALUE, max_size=4), max_size=4))
def test_any_row_is_written_as_cell_by_cell(state: dict[str, dict[str, object]]) -> None:
    """Whatever the names and values are, they get quotes where the reader needs them."""
    assert state_bytes(state) == cell_by_cell(state)


def test_row_goes_by_its_key_and_not_by_its_cell() -> None:
    """The id of a row is the one it is kept under."""
    assert state_bytes({"a": {"id": "b"}}) == (",".join(STATE_COLUMNS) + "\na,,,,,,\n").encode()


def test_row_that_is_no_dict_is_told_by_its_name() -> None:
    """What cannot be written says which row it is."""
    with pytest.raises(TypeError, match="the state of 'b' must be a dict, not NoneType"):
        state_bytes({"a": {}, "b": None})  # type: ignore[dict-item]  # the point


def test_many_rows_are_text_a_thousand_at_a_time() -> None:
    """Neither their text nor their bytes are ever in hand as a whole."""
    state = {f"r{number}": {"note": "x" * 200} for number in range(20_000)}
    size = len(state_bytes(state))
    tracemalloc.start()
    try:
        pieces = sum(len(piece) < size / 15 for piece in state_pieces(state))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert pieces == 21  # the header stands with the first rows
    assert peak < 0.5 * size


@pytest.mark.parametrize("count", [1, 999, 1000, 2500])
def test_pieces_are_the_whole(count: int) -> None:
    """Wherever one ends and the next begins, each row is in it once."""
    state = {f"r{number}": {"id": f"r{number}", "note": f"{number} "} for number in range(count)}
    assert b"".join(state_pieces(state)) == cell_by_cell(state)
    assert len(list(state_pieces(state))) == count // 1000 + 1


def test_problem_names_file_line_and_row() -> None:
    """A row that is cut short is told with its line, and what can be read of it is there."""
    reader = StateReader(b"id,triggered,order_id\na,true,O1\nb,tr\n", "state.csv")
    (problem,) = reader.problems
    assert (problem.line, problem.ids) == (3, ("b",))
    assert problem.message.startswith("state.csv line 3: row b is cut short; says 'tr'")
    assert reader.rows["a"] == {"id": "a", "triggered": "true", "order_id": "O1"}
    assert reader.rows["b"]["order_id"] == ""


@pytest.mark.parametrize(
    ("first", "second", "is_doubtful", "kept"),
    [
        ("O1", "O1", False, "O1"),  # written twice: one story
        ("O1", "O2", True, "O2"),
        ("", "O2", True, "O2"),
    ],
)
def test_two_rows_of_one_rule_are_doubtful_where_they_differ(
    first: str, second: str, is_doubtful: bool, kept: str
) -> None:
    """The same story twice harms nobody; of two the later counts until somebody looks."""
    data = f"id,order_id\na,{first}\na,{second}\nb,\n".encode()
    reader = StateReader(data, "state.csv")
    assert [problem.ids for problem in reader.problems] == [("a",)] * is_doubtful
    assert reader.rows["a"]["order_id"] == kept
    assert "b" in reader.rows


@pytest.mark.parametrize(("name", "is_doubtful"), [(b"caf\xe9", True), (b"cafe", False)])
def test_only_rows_with_letters_of_an_unknown_encoding_are_doubtful(
    name: bytes, is_doubtful: bool
) -> None:
    """An id that was read wrongly would be another rule's; ASCII is the same in all of them."""
    data = b"id,order_id,mine\n" + name + b",O1,\nother,O2,\nthird,,\xe9\n"
    reader = StateReader(data, "state.csv")
    doubted = {i for problem in reader.problems for i in problem.ids}
    assert doubted == {"third", *([name.decode("cp1252")] if is_doubtful else [])}
