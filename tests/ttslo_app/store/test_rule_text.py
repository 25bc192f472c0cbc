"""The text of config.csv: nothing dirty is passed off as sound, and nothing raises."""

import codecs
import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kits.rows.store_kit import CELL, HEADER, ROW_A, ROW_B, table
from ttslo_app.columns import CONFIG_COLUMNS
from ttslo_app.rules.rule import Rule, reading_of
from ttslo_app.store.rule_text import Rules, read_rules


def read(data: bytes | str) -> Rules:
    """Return the rules of a file of these bytes."""
    return read_rules(data.encode() if isinstance(data, str) else data)


def test_reading_gives_text_by_column_and_the_line() -> None:
    """A plain file is a list of dicts of text, each knowing its line."""
    rows = read(table(HEADER, ROW_A, ROW_B)).rows
    assert rows[0] == dict(zip(CONFIG_COLUMNS, ROW_A.split(","), strict=True))
    assert [row.line for row in rows] == [2, 3]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(codecs.BOM_UTF8 + table(HEADER, ROW_A).encode(), id="utf-8 with a mark"),
        pytest.param(table(HEADER, ROW_A).encode("utf-16"), id="utf-16"),
        pytest.param(codecs.BOM_UTF16_BE + table(HEADER, ROW_A).encode("utf-16-be"), id="utf-16be"),
        pytest.param(table(HEADER, ROW_A, end="\r\n").encode(), id="CRLF"),
        pytest.param(table(HEADER, ROW_A, end="\r").encode(), id="CR"),
        pytest.param(table(HEADER, ROW_A).replace(",", ";").encode(), id="semicolons"),
        pytest.param(table(HEADER, ROW_A).replace(",", "\t").encode(), id="tabs"),
        pytest.param(table("sep=;", HEADER, ROW_A).replace(",", ";").encode(), id="sep line"),
        pytest.param(table(HEADER.replace(",", " , "), ROW_A).encode(), id="header spaces"),
        pytest.param(table(HEADER.upper(), ROW_A).encode(), id="header case"),
        pytest.param(table(HEADER.replace("_", " "), ROW_A).encode(), id="header words"),
        pytest.param(table(HEADER, ROW_A.replace(",", " , ")).encode(), id="cell spaces"),
        pytest.param(table(HEADER, f'"{ROW_A.replace(",", chr(34) + "," + chr(34))}"').encode()),
        pytest.param(table(HEADER, ROW_A + ",,,").encode(), id="empty cells at the end"),
        pytest.param(f"{HEADER}\n{ROW_A}".encode(), id="no line end at the end"),
        pytest.param(table("", ",,,", "# hello, world", HEADER, "", ROW_A).encode(), id="blanks"),
    ],
)
def test_reading_tolerates_what_spreadsheets_do(data: bytes) -> None:
    """Marks, encodings, line ends, separators, spaces, case and quotes change no value."""
    rules = read(data)
    assert rules.rows == (dict(zip(CONFIG_COLUMNS, ROW_A.split(","), strict=True)),)
    assert rules.findings == ()


def test_reading_leaves_comments_and_blank_rows_out() -> None:
    """Rows whose id or pair begins with #, lines that begin with #, and blank rows are no rules."""
    lines = ["# one, two", '#"', "#x,XBTUSD", "y,#XBTUSD", '"# z",XBTUSD', ",,,", "  # t", ROW_A]
    assert [row["id"] for row in read(table(HEADER, *lines)).rows] == ["a"]


def test_reading_keeps_the_users_own_columns() -> None:
    """A column that is not ours is read under its own name, without the spaces around it."""
    rows = read(table(HEADER + ", My Note ", ROW_A + ', "x, ""y""\nz"')).rows
    assert rows[0]["My Note"] == 'x, "y"\nz'


def test_a_row_that_ends_before_a_required_column_is_marked() -> None:
    """Missing cells are empty text, their row carries the reason, and the others are read."""
    rules = read(table(HEADER, "s,XBTUSD,5", ROW_A))
    short, whole = rules.rows
    assert (short["volume"], whole["volume"]) == ("", "0.01")
    assert "ends before threshold_type, direction, volume" in short.findings[0]
    assert whole.findings == rules.findings == ()


@pytest.mark.parametrize("kept", range(1, 8))
def test_a_line_cut_before_any_required_column_is_marked(kept: int) -> None:
    """Wherever a line was cut off, the row is not whole."""
    cut = ",".join(ROW_A.split(",")[:kept])
    for text in (f"{HEADER}\n{cut}", f"{HEADER}\n{cut}\n"):
        (row,) = read(text).rows
        assert "enabled" in row.findings[0]


@pytest.mark.parametrize("length", range(1, len(ROW_A)))
def test_no_cut_of_the_last_line_makes_another_whole_row(length: int) -> None:
    """Letter by letter: what is left of a row, in any order of columns, is marked or not armed."""
    names, cells = HEADER.split(","), ROW_A.split(",")
    for turn in range(len(names)):
        header, row = names[turn:] + names[:turn], ",".join(cells[turn:] + cells[:turn])
        for found in read(f"{','.join(header)}\n{row[:length]}").rows:
            is_another = dict(found) != dict(zip(names, cells, strict=True))
            rule = reading_of(found)
            is_armed = isinstance(rule, Rule) and rule.enabled
            assert not (is_another and is_armed and not found.findings), row[:length]


def test_a_last_line_that_ends_before_its_policy_is_marked() -> None:
    """`notify` that was cut off is not the program's default; above, cells may be left out."""
    header, policy = f"{HEADER},when_blind", f"{ROW_A},notify"
    assert read(table(header, policy, ROW_B)).rows[1].findings == ()
    (row,) = read(f"{header}\n{ROW_A}").rows
    assert "ends at when_blind" in row.findings[0]


@pytest.mark.parametrize("below", ["# a note", "#", "  ", "\n,,", "\n\n# two notes"])
@pytest.mark.parametrize("policy", ["always", '"always"'])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_row_above_an_open_note_is_whole(below: str, policy: str, end: str) -> None:
    """Its own line has an end: what may have been cut off below it is no part of it."""
    text = f"{HEADER},when_blind\n{ROW_B},\n{ROW_A},{policy}"
    whole, cut = read(f"{text}\n{below}".replace("\n", end)), read(text.replace("\n", end))
    assert [row.findings for row in whole.rows] == [(), ()]
    assert ["may have been cut off" in str(row.findings) for row in cut.rows] == [False, True]


def test_a_file_without_enabled_arms_nothing() -> None:
    """Which row trades has to be said in words, of each."""
    rows = read(table(HEADER.removesuffix(",enabled"), ROW_A.removesuffix(",true"))).rows
    assert "must say true" in rows[0].findings[0]


ERRORS = (
    *("#REF!", "#NAME?", "#N/A", "#VALUE!", "#DIV/0!", "#NULL!", "#SPILL!", "#ERROR!", "####"),
    *("#BEZUG!", "#WERT!", "#NV", "#\u00dcBERLAUF!", "#\u00a1REF!", "#\u00bfNOMBRE?", "#N/D"),
    *(
        "#VALEUR!",
        "#NOM?",
        "#RIF!",
        "#VERW!",
        "#SAKNAS!",
        "#HODNOTA!",
        "#\u0421\u0421\u042b\u041b\u041a\u0410!",
    ),
)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("column", [0, 1])
@pytest.mark.parametrize("form", ["{}", '"{}"', " {} "])
def test_a_spreadsheets_error_is_a_damaged_row_and_no_comment(
    error: str, column: int, form: str
) -> None:
    """A formula that lost its cell must not make its row vanish without a word."""
    cells = ROW_A.split(",")
    cells[column] = form.format(error)
    damaged, whole = read(table(HEADER, ",".join(cells), ROW_B)).rows
    assert (damaged.line, whole.findings) == (2, ())
    assert f"a spreadsheet's error {error}" in damaged.findings[0]


@pytest.mark.parametrize(
    "line",
    [
        *("# NOTE!", "#NOTE!", "#ACHTUNG!, nicht anfassen", "#TODO!,,,,,,,", "#", "##", "####"),
        *("#btc,XBTUSD,50000,above,sell,0.01,5.0,true", "#Ref!,XBTUSD,50000,above,sell,1,5,true"),
        *(
            "#1!,XBTUSD,5,above,sell,1,5,true",
            "b,#ETHUSD,5,above,sell,1,5,true",
            "#REF! , see above",
        ),
        "#off,#REF!,50000,above,sell,0.01,5.0,true",
    ],
)
def test_a_comment_stays_a_comment(line: str) -> None:
    """What a person has written behind a # is theirs, above the header and below it."""
    above = line if line.startswith("#") else ""
    assert [row["id"] for row in read(table(above, HEADER, line, ROW_A)).rows] == ["a"]


def test_a_misspelled_column_is_named_once() -> None:
    """The name that was meant is told, and the rows miss the column as ever."""
    rules = read(table(HEADER.replace("trailing_offset_percent", "tralling_offset"), ROW_A))
    assert rules.findings == (
        "line 1: column 'tralling_offset' is none of ours; did you mean trailing_offset_percent?",
    )


@pytest.mark.parametrize(
    ("column", "meant"),
    [("when_blnd", "when_blind"), ("activate_onn", "activate_on"), ("orderid", "order_id")],
)
def test_a_value_under_a_misspelled_column_of_meaning_marks_its_row(
    column: str, meant: str
) -> None:
    """Who wrote it wanted something; an empty cell wants nothing."""
    empty, filled = read(table(f"{HEADER},{column}", ROW_A + ",", ROW_B + ",notify")).rows
    assert empty.findings == ()
    assert f"did you mean {meant}?" in filled.findings[0]


@pytest.mark.plenty
def test_a_row_of_a_megabyte_is_marked() -> None:
    """A text that was pasted into a cell is no rule, quoted or not."""
    for cell in ("x" * 1_000_000, '"' + "x\n" * 500_000 + '"'):
        huge, whole = read(table(f"{HEADER},note", f"{ROW_A},{cell}", ROW_B + ",")).rows
        assert "is longer than" in huge.findings[-1]
        assert whole.findings == ()


def test_a_long_row_is_marked_and_others_are_not() -> None:
    """A row with one cell too many carries the reason, so that it can be refused."""
    rules = read(table(HEADER, "l,XBTUSD,50,000,above,sell,0.01,5.0,true", ROW_A))
    long, whole = rules.rows
    assert "has 9 cells where the header names 8 columns" in long.findings[0]
    assert whole.findings == ()


def test_a_cell_under_no_column_name_marks_its_row() -> None:
    """A value whose column has no name might belong one column to the left."""
    (row,) = read(table(HEADER + ",,note", ROW_A + ",oops,fine")).rows
    assert row.findings == ("has 'oops' in column 9, which has no name",)


def test_duplicate_columns_are_said_and_contradictions_mark_the_row() -> None:
    """Of two columns with one name the first counts; rows where they differ are marked."""
    rules = read(table(HEADER + ",VOLUME", ROW_A + ",0.01", ROW_B + ",7"))
    same, differing = rules.rows
    assert same.findings == ()
    assert differing.findings == ("has two cells for volume: '0.5' and '7'",)
    assert "names the column 'volume' 2 times" in rules.findings[0]


def test_nul_bytes_mark_their_row() -> None:
    """A row with NUL bytes, as a crash leaves them, is marked; the others are read."""
    damaged, whole = read(table(HEADER, "x,XBT\0USD,5", ROW_A) + "\0" * 50).rows
    assert "NUL" in damaged.findings[0]
    assert whole.findings == ()


@pytest.mark.parametrize(("byte", "codec"), [(b"\xe9", "cp1252"), (b"\x81", "latin-1")])
def test_another_encoding_is_read_and_said(byte: bytes, codec: str) -> None:
    """A file in an old encoding is read, and named."""
    rules = read(table(HEADER + ",note", ROW_A).encode() + b"# caf" + byte)
    assert [row["id"] for row in rules.rows] == ["a"]
    assert rules.findings == (f"is not UTF-8; it was read as {codec}. Save it as UTF-8",)


def test_a_stray_quote_does_not_swallow_the_rows_below() -> None:
    """A quote that is never closed costs at most its own row, and is pointed at."""
    rules = read(table(HEADER, '"q,XBTUSD,5', ROW_A, ROW_B))
    assert [row["id"] for row in rules.rows] == ['"q', "a", "b"]
    assert "opens a quote" in rules.findings[0]


def test_quotes_that_take_in_a_row_are_pointed_at() -> None:
    """Two stray quotes that pair up over a line end would hide a row silently."""
    rules = read(table(HEADER + ",note", ROW_A + ',"oops', ROW_B + ',"', ROW_A + ',"a\nb"'))
    assert len(rules.rows) == 2
    assert len(rules.findings) == 1
    assert "take in what looks like a row" in rules.findings[0]


@pytest.mark.parametrize(
    ("text", "said"), [("# only this\n", "comments only"), ("a,b\n1,2\n", "no column 'id'")]
)
def test_a_file_without_a_header_is_said(text: str, said: str) -> None:
    """A file whose columns have no names says what the first line must be."""
    assert said in read(text).findings[0]


@given(st.binary(max_size=300) | st.text(alphabet='ai,;\t\r\n"# \0\ufeffd=', max_size=80))
def test_reading_raises_nothing_whatever_the_bytes(data: bytes | str) -> None:
    """No input makes the reader raise, and every value it gives is stripped text."""
    rows = read(data if isinstance(data, bytes) else f"id,pair\n{data}").rows
    assert all(value == value.strip() for row in rows for value in row.values())


@given(st.lists(st.lists(CELL, min_size=3, max_size=3), max_size=6), st.sampled_from(",;\t"))
def test_reading_reads_what_the_csv_module_writes(grid: list[list[str]], mark: str) -> None:
    """Quoting as everybody's CSV writers do it is understood."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=mark, quoting=csv.QUOTE_ALL)
    writer.writerows([["id", "pair", "volume"], *grid])
    rows = read(file.getvalue()).rows
    stripped = [[cell.strip() for cell in line] for line in grid]
    rules = [c for c in stripped if any(c) and not (c[0] + " " + c[1]).startswith("#")]
    rules = [c for c in rules if not c[1].startswith("#")]
    assert [list(row.values()) for row in rows] == rules


# --- rows at their bounds ------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "is_marked"), [(20_000, False), (20_001, True)])
def test_row_is_too_long_by_one_character(length: int, is_marked: bool) -> None:
    """All cells together count."""
    rest = length - len(ROW_A.replace(",", ""))
    (row,) = read_rules(table(f"{HEADER},mine", f"{ROW_A},{'x' * rest}").encode()).rows
    assert len("".join(row.values())) == length
    assert any("is longer than" in said for said in row.findings) is is_marked


@pytest.mark.parametrize("kept", range(len(CONFIG_COLUMNS) + 1))
def test_each_column_that_a_row_ends_before_is_named(kept: int) -> None:
    """Whole rows have no finding; of the others each says what it lacks, and no more."""
    line = ",".join(ROW_A.split(",")[:kept])
    rows = read_rules(table(HEADER, line).encode()).rows
    if not line:
        assert rows == ()
        return
    said = "".join(rows[0].findings)
    assert all(name in said for name in CONFIG_COLUMNS[kept:])
    assert bool(said) == (kept < len(CONFIG_COLUMNS))
    assert set(rows[0]) == set(CONFIG_COLUMNS)


def test_row_that_ends_before_the_trigger_s_columns_is_whole() -> None:
    """The first trigger appends them for one row; the others have no such cells, nor need them."""
    rows = read_rules(table(f"{HEADER},order_id,trigger_time,trigger_price", ROW_A).encode()).rows
    assert (set(rows[0]), rows[0].findings) == (set(CONFIG_COLUMNS), ())
