"""The next version of config.csv: what comes out is what reading all of it would give."""

from __future__ import annotations

import codecs
import tracemalloc
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kits.rows.store_kit import HEADER
from ttslo_app.store.rule_edit import changed_parts, read_edited
from ttslo_app.store.rule_row import RuleRow
from ttslo_app.store.rule_text import Rules, read_rules

ROWS = [f"r{number},XBTUSD,{50_000 + number},above,sell,0.01,5.0,true" for number in range(9)]


def file_of(*rows: str, header: str = HEADER, end: str = "\n") -> bytes:
    """Return a file of these lines."""
    return "".join(line + end for line in (header, *rows)).encode()


def shown(rules: Rules) -> tuple[list[tuple[dict[str, str], int, tuple[str, ...]]], object]:
    """Return all that is told of a file, for a comparison: a row as a dict hides its line."""
    return [(dict(row), row.line, row.findings) for row in rules.rows], rules.findings


def edited(old: bytes, new: bytes) -> tuple[list[int], Rules]:
    """Return which rows of the new version are the objects of the old one, and its rules."""
    before = read_rules(old).rows
    kept = {id(row) for row in before}
    rules = read_edited(new, old, before)
    assert shown(rules) == shown(read_rules(new))
    return [number for number, row in enumerate(rules.rows) if id(row) in kept], rules


# --- what is not read again ----------------------------------------------------------------------


def test_edited_row_alone_is_another_one() -> None:
    """All that stand above and below are the very same rows."""
    rows = [*ROWS[:4], ROWS[4].replace("50004", "60004"), *ROWS[5:]]
    kept, rules = edited(file_of(*ROWS), file_of(*rows))
    assert kept == [0, 1, 2, 3, 5, 6, 7, 8]
    assert rules.rows[4]["threshold_price"] == "60004"


def test_two_edits_far_apart_leave_what_is_between() -> None:
    """What has not changed is known by its text, wherever the first and the last change are."""
    rows = [ROWS[0].replace("true", "false"), *ROWS[1:8], ROWS[8].replace("true", "false")]
    assert edited(file_of(*ROWS), file_of(*rows))[0] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: ["# a note", *rows],
        lambda rows: [rows[0], "", *rows[1:]],
        lambda rows: rows[1:],
        lambda rows: rows[::-1],
        lambda rows: [*rows[3:], *rows[:3]],
        lambda rows: [*rows, rows[0]],
    ],
    ids=["comment", "blank", "first taken out", "upside down", "turned", "twice"],
)
def test_row_that_stands_elsewhere_says_so(change: Callable[[list[str]], list[str]]) -> None:
    """Its line is another one, and the old row is left as it was."""
    before = read_rules(file_of(*ROWS)).rows
    lines = [row.line for row in before]
    new = file_of(*change(ROWS))
    assert shown(read_edited(new, file_of(*ROWS), before)) == shown(read_rules(new))
    assert [row.line for row in before] == lines


def test_file_that_is_the_same_gives_the_same_rows() -> None:
    """Also where only its mark or the places of its bytes have changed."""
    data = file_of(*ROWS)
    for new in (
        data,
        codecs.BOM_UTF8 + data,
        codecs.BOM_UTF16_LE + data.decode().encode("utf-16-le"),
    ):
        assert edited(data, new)[0] == list(range(9))


GROWN = f"{HEADER},order_id,trigger_time,trigger_price"
FIRED = ROWS[4].replace("true", "false") + ",O1,2026-11-26T12:00:00Z,50004"


@pytest.mark.parametrize("header", [GROWN, f"{HEADER},order_id"])
def test_columns_of_the_first_trigger_leave_the_other_rows(header: str) -> None:
    """Rows that end before them say what they said; of 100,000 another copy would fill 50 MB."""
    rows = [*ROWS[:4], FIRED, *ROWS[5:]]
    kept, rules = edited(file_of(*ROWS), file_of(*rows, header=header))
    assert kept == [0, 1, 2, 3, 5, 6, 7, 8]
    assert (rules.rows[4]["order_id"], rules.rows[4]["enabled"]) == ("O1", "false")
    notes = ["# a note, with, separators, and, more, of, them, than, columns, are", ""]
    kept, _ = edited(file_of(*notes, *ROWS), file_of(*notes, *rows, header=header))
    assert kept == [0, 1, 2, 3, 5, 6, 7, 8]


def test_columns_that_have_grown_are_as_good_as_any() -> None:
    """The next edits find them there already."""
    rows = [*ROWS[:4], FIRED, *ROWS[5:]]
    again = [*rows[:7], rows[7].replace("5.0", "4.0"), rows[8]]
    kept, _ = edited(file_of(*rows, header=GROWN), file_of(*again, header=GROWN))
    assert kept == [0, 1, 2, 3, 4, 5, 6, 8]


# --- where all of it is read ---------------------------------------------------------------------

SWITCHED = [ROWS[0], f'"{ROWS[1].replace(",", chr(34) + "," + chr(34))}"', *ROWS[2:]]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(file_of(*ROWS), file_of(*SWITCHED), id="a quote comes"),
        pytest.param(file_of(*SWITCHED), file_of(*ROWS), id="a quote goes"),
        pytest.param(file_of(*ROWS), file_of(*ROWS, header=HEADER + ",note"), id="column"),
        pytest.param(
            file_of(*ROWS), file_of(*ROWS, header=HEADER.replace("id", "name")), id="no id"
        ),
        pytest.param(file_of(*ROWS), file_of(*ROWS)[:-1], id="line end goes"),
        pytest.param(file_of(*ROWS)[:-4], file_of(*ROWS), id="line end comes"),
        pytest.param(file_of(*ROWS), b"", id="emptied"),
        pytest.param(b"", file_of(*ROWS), id="filled"),
        pytest.param(file_of(*ROWS), file_of(*ROWS).replace(b",", b";"), id="separator"),
        pytest.param(file_of(*ROWS), b"# note\n" + file_of(*ROWS), id="header moves"),
        pytest.param(file_of(*ROWS), file_of(*ROWS, header=f"{GROWN},note"), id="more columns"),
        pytest.param(file_of(*ROWS, header=GROWN), file_of(*ROWS), id="columns go"),
        pytest.param(
            file_of(*ROWS[:8], f"{ROWS[8]},O1"),
            file_of(*ROWS[:8], f"{ROWS[8]},O1", header=GROWN),
            id="a cell beyond the columns that have grown",
        ),
        pytest.param(
            file_of(*ROWS[:8], "r8,XBTUSD"),
            file_of(*ROWS[:8], "r8,XBTUSD", header=GROWN),
            id="a row that ends before them all",
        ),
        pytest.param(
            file_of(*ROWS, header=f"# one\n{HEADER}"),
            file_of(*ROWS, header=f"# two\n{GROWN}"),
            id="columns and what stands above",
        ),
        pytest.param(
            file_of(*(f"{row},5" for row in ROWS), header=f"{HEADER},trigger_pric"),
            file_of(*(f"{row},5" for row in ROWS), header=f"{HEADER},trigger_pric,trigger_price"),
            id="the column comes for which another one was meant",
        ),
        pytest.param(file_of(*ROWS, end="\r"), file_of(*ROWS[1:], end="\r"), id="CR alone"),
    ],
)
def test_line_that_may_mean_something_else_is_read_anew(old: bytes, new: bytes) -> None:
    """Whatever stands in both versions, no row of the old one is taken for one of the new."""
    assert edited(old, new)[0] == []


def test_rows_of_links_are_read_anew() -> None:
    """What one names is written into the other, which is to lose it again."""
    header = f"{HEADER},linked_order_id"
    rows = [f"{row}," for row in ROWS]
    linked = [*rows[:2], f"{ROWS[2]},r0", *rows[3:]]
    kept, rules = edited(file_of(*rows, header=header), file_of(*linked, header=header))
    assert (kept, rules.rows[0]["after"]) == ([], "r2")
    kept, rules = edited(file_of(*linked, header=header), file_of(*rows, header=header))
    assert (kept, rules.rows[0].get("after", "")) == ([], "")


def test_half_a_line_at_the_end_is_doubted_and_whole_is_not() -> None:
    """A row whose text has not changed is in doubt while nobody has ended its line."""
    whole, torn = file_of(*ROWS), file_of(*ROWS)[:-5]
    cells = file_of(*ROWS).rstrip(b"\n").removesuffix(b",true")
    for old, new in ((whole, torn), (torn, whole), (whole, cells), (cells, whole)):
        edited(old, new)


# --- any edits -----------------------------------------------------------------------------------

LINES = [
    *ROWS[:4],
    "r1,ETHUSD,3000,below,buy,1,2,true",
    "r1,ETHUSD,3000,below,buy,1,2",
    "# note, with a separator",
    "#NAME?,XBTUSD,1,above,sell,1,2,true",
    "#x,XBTUSD",
    "",
    "  ,,",
    "a,#b,c",
    "r5;XBTUSD;1",
    "é,ß,ü",
    "a,b,c,d,e,f,g,h,i",
    "a,b,c,d,e,f,g,h,,",
    '"quoted",XBTUSD,"1,5",above,sell,1,2,true',
    '"over\nlines",XBTUSD,1,above,sell,1,2,true',
    'stray "quote,XBTUSD',
    '"open,XBTUSD',
    "nul\0,XBTUSD,1,above,sell,1,2,true",
    "mark\ufeff,XBTUSD,1,above,sell,1,2,true",
    "return\rr9,XBTUSD,1,above,sell,1,2,true",
    "separator\u2028,XBTUSD,1,above,sell,1,2,true",
    f"long,XBTUSD,{'1' * 20_000},above,sell,1,2,true",
    HEADER,
]
HEADERS = [
    *[HEADER] * 3,
    *(f"{HEADER},{more}" for more in ("note", "order_id", "linked_order_id")),
    f"{HEADER},order_id,trigger_time,trigger_price",
    "a;b\n",
]


class Files:
    """A file that is edited again and again, by chance."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.lines = random.choices(LINES[:14], k=random.randint(0, 12))
        self.header, self.end, self.last, self.codec = HEADER, "\n", "\n", "utf-8"

    def edit(self) -> bytes:
        """Change one thing or several; return the file."""
        random, lines = self.random, self.lines
        for _ in range(random.choice([0, 1, 1, 1, 2, 5])):
            at = random.randint(0, len(lines))
            match random.randint(0, 7):
                case 0 | 1:
                    lines.insert(at, random.choice(LINES))
                case 2 | 3:
                    del lines[at : at + random.randint(1, 2)]
                case 4:
                    lines[at : at + 1] = [random.choice(LINES)]
                case 5:
                    lines[at : at + 4] = lines[at : at + 4][::-1]
                case 6:
                    lines[at:at] = lines[at : at + 3]
                case _:
                    random.shuffle(lines)
        if random.random() < 0.2:
            self.header = random.choice(HEADERS)
            self.end = random.choice(["\n", "\n", "\r\n", "\r"])
            self.last = random.choice(["\n", "\n", "\r\n", "\r", "", "\n \n", "\n ", ","])
            self.codec = random.choice(["utf-8", "utf-8-sig", "utf-16", "utf-8"])
        text = self.end.join([self.header, *lines]) + self.last
        return text.encode(self.codec)


@given(st.integers(0, 2**32))
def test_edited_file_is_read_as_any_file(seed: int) -> None:
    """Whatever is done to it, with rows that were carried over from any number of versions."""
    files, old = Files(seed), b""
    rows: tuple[RuleRow, ...] = ()
    for _ in range(12):
        data = files.edit()
        rules = read_edited(data, old, rows)
        assert shown(rules) == shown(read_rules(data))
        old, rows = data, rules.rows


def parts_of(new: bytes, old: bytes) -> list[tuple[int, int, int, int]]:
    """Return what has changed below the first line, which is one character long."""
    return list(changed_parts(new, old, 1, 1))


@given(
    st.text("ab\n", max_size=30),
    st.text("ab\n", max_size=12),
    st.integers(0, 31),
    st.integers(0, 9),
)
def test_changed_parts_are_all_that_has_changed(text: str, piece: str, at: int, gone: int) -> None:
    """Above, below and between them all is the same, and they are whole lines."""
    old = f"h\n{text}\n".encode()
    new = f"h\n{text[:at]}{piece}{text[at + gone :]}\n".encode()
    done = old_done = 1
    for start, stop, old_start, old_stop in [
        *parts_of(new, old),
        (len(new),) * 2 + (len(old),) * 2,
    ]:
        assert new[done:start] == old[old_done:old_start]
        assert all(place == 1 or new[place - 1 : place] == b"\n" for place in (start, stop))
        assert all(place == 1 or old[place - 1 : place] == b"\n" for place in (old_start, old_stop))
        done, old_done = stop, old_stop
    for start, stop, old_start, old_stop in parts_of(new, old):
        part, was = new[start:stop], old[old_start:old_stop]
        assert not (part and was) or part.splitlines()[0] != was.splitlines()[0] or start == 1


@given(st.lists(st.integers(0, 999), max_size=40, unique=True), st.integers(0, 40))
def test_each_line_that_has_changed_is_a_part_of_its_own(changed: list[int], longer: int) -> None:
    """So that the thousands between the first and the last of them are not looked at."""
    lines = [b"%06d\n" % number for number in range(1000)]
    old = b"".join(lines)
    for number in changed:
        lines[number] = b"x" * longer + lines[number].replace(b"0", b"y")
    new = b"".join(lines)
    found = [new.count(b"\n", 0, start) for start, *_ in changed_parts(new, old, 0, 0)]
    assert found == sorted(changed)


def test_many_changes_are_one_part_in_the_end() -> None:
    """A file that is another one is not compared line by line to its end."""
    old = b"".join(b"%06d\n" % number for number in range(10_000))
    new = old.replace(b"0", b"z").replace(b"1", b"y")
    parts = list(changed_parts(new, old, 0, 0))
    assert len(parts) < 6_000
    assert parts[-1][1::2] == (len(new), len(old))
    assert sum(stop - start for start, stop, *_ in parts) > 0.6 * len(new)


def test_lines_that_come_and_go_leave_those_around_them() -> None:
    """Where the number of lines is another one all between the first and the last is one part."""
    old = b"".join(b"%02d\n" % number for number in range(20))
    new = old.replace(b"05\n", b"").replace(b"07\n", b"a\nb\nc\n")
    assert list(changed_parts(new, old, 0, 0)) == [(15, 24, 15, 24)]


@pytest.mark.parametrize("block", range(0, 200_000, 65_536 // 2))
def test_change_is_found_wherever_it_is(block: int) -> None:
    """At the beginning of a long file, at its end, and at the seams of what is compared at once."""
    old = b"h\n" + b"0123456\n" * 30_000
    at = old.index(b"\n", block) + 1
    new = old[:at] + b"x" + old[at + 1 :]
    assert parts_of(new, old) == [(at, at + 8, at, at + 8)]
    ((start, stop, old_start, old_stop),) = parts_of(old[:at] + old[at + 8 :], old)
    assert (stop - start, old_stop - old_start) == (0, 8)
    assert parts_of(old, old) == []


HOLED = "\n".join(
    [HEADER, *(f"r{n},XBTUSD,{n + 1},above,sell,1.{n},2,true" for n in range(20_000)), ""]
)


def test_edits_at_both_ends_of_a_long_file_take_little_in_hand() -> None:
    """The lines between them are never texts of their own, and neither file is decoded."""
    old = HOLED.encode()
    new = old.replace(b"r3,XBTUSD,4,", b"r3,XBTUSD,5,").replace(b"r19998,XBT", b"r19998,ETH")
    before = read_rules(old).rows
    tracemalloc.start()
    try:
        rows = read_edited(new, old, before).rows
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [number for number in range(20_000) if rows[number] is not before[number]] == [3, 19_998]
    assert most < 0.9 * len(old)  # the rows themselves, one word each, are half of it


def test_rows_that_are_handed_in_are_not_changed() -> None:
    """The order thread may just be looking at them."""
    before = read_rules(file_of(*ROWS)).rows
    copy = shown(Rules(before))
    read_edited(file_of(*ROWS[1:]), file_of(*ROWS), before)
    assert shown(Rules(before)) == copy
