"""What a hundred thousand rows may cost, counted and not timed: questions, readings, writes."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from config import ConfigManager
from kraken_api import KrakenAPI
from krakenlink.errors import KrakenConnectionError
from krakenlink.pairs import Pair
from tests.kits.common.calls_kit import calls_in
from ttslo import TTSLO
from ttslo_app.rules.checked import KnownRows
from ttslo_app.rules.findings import all_cells
from ttslo_app.store.disk import Disk
from ttslo_app.store.rule_merge import merge
from ttslo_app.store.rule_row import shape_of
from ttslo_app.store.rule_text import read_rules
from ttslo_app.store.state_text import STATE_COLUMNS, state_bytes
from validator import ConfigValidator

HEADER = "id,pair,threshold_price,threshold_type,direction,volume,trailing_offset_percent,enabled"
PAIRS = 50


class Kraken(KrakenAPI):
    """A true client whose calls are counted and answered here; all pairs stand at 50000."""

    def __init__(self, key: str | None = "key") -> None:
        super().__init__(key, key and "secret", use_websocket=False)
        self.calls: Counter[str] = Counter()
        self.price = "50000"

    def _query_public(
        self, method: str, params: Mapping[str, object] | None = None, **more: Any
    ) -> dict[str, Any]:
        self.calls[method] += 1
        names = [f"C{number}USD" for number in range(PAIRS)]
        listing = {
            name: {
                "altname": name,
                "wsname": f"{name[:-3]}/USD",
                "base": name[:-3],
                "quote": "ZUSD",
            }
            for name in names
        }
        price = {side: [self.price] for side in "abc"}
        result = listing if method == "AssetPairs" else dict.fromkeys(names, price)
        return {"error": [], "result": result}

    def get_balance(self) -> dict[str, Any]:
        self.calls["Balance"] += 1
        return {}


class Raising(Kraken):
    """A Kraken that raises the minimums of pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.minimums: dict[str, str] = {}

    def resolve_pair(self, pair: str, max_age: float | None = None) -> Pair:
        least = Decimal(self.minimums.get(pair, "0.001"))
        return super().resolve_pair(pair, max_age)._replace(ordermin=least)


def lines(count: int, threshold: int = 60_000) -> list[str]:
    """Return the lines of a config file of so many rows."""
    rows = [f"r{n},C{n % PAIRS}USD,{threshold + n},above,sell,0.01,1.5,true" for n in range(count)]
    return [HEADER, *rows, ""]


def manager(folder: Path, rows: list[str], disk: Disk | None = None) -> ConfigManager:
    """Return a manager of files in `folder`, where config.csv has these lines."""
    (folder / "config.csv").write_text("\n".join(rows), encoding="utf-8")
    names = (folder / name for name in ("config.csv", "state.csv", "logs.csv"))
    return ConfigManager(*names, disk=disk)


def test_start_asks_kraken_once_for_all(tmp_path: Path) -> None:
    """Many rows on many pairs take one AssetPairs, one Ticker and one Balance."""
    api = Kraken()
    program = TTSLO(manager(tmp_path, lines(300)), api)
    assert program.validate_and_load_config()
    assert len(program.configs) == 300
    assert api.calls == {"AssetPairs": 1, "Ticker": 1, "Balance": 1}


def test_pair_is_looked_up_once_and_not_for_each_row(tmp_path: Path) -> None:
    """Rows that share a pair share the answer what it is, from the validation to the order side."""
    program = TTSLO(manager(tmp_path, lines(300)), Kraken())
    seen = calls_in(program.validate_and_load_config)
    assert seen["market_from"] == PAIRS
    assert seen["resolve_pair"] == 2 * PAIRS  # what it is, and what it costs


def test_first_start_asks_of_no_row_whether_it_was_armed(tmp_path: Path) -> None:
    """Of what is not in the state, nothing was."""
    program = TTSLO(manager(tmp_path, lines(300)), Kraken())
    assert calls_in(program.validate_and_load_config)["was_armed"] == 0
    assert len(program.state) == 300


def test_edit_of_one_row_reads_and_adopts_one_row(tmp_path: Path) -> None:
    """A file that is read again costs its other rows no reading and no life."""
    files = manager(tmp_path, lines(300))
    program = TTSLO(files, Kraken())
    program.validate_and_load_config()
    rows = lines(300)
    rows[7] = rows[7].replace("true", "false")
    (tmp_path / "config.csv").write_text("\n".join(rows), encoding="utf-8")
    seen = calls_in(program.validate_and_load_config)
    assert seen["_values"] == 0  # cells are looked for one by one in odd files alone
    assert seen["read_rule"] == 1
    assert seen["_adopt_one"] == 1
    assert program.state["r6"]["rule_state"] == "disarmed"


@pytest.mark.parametrize("price", ["50000", "51234.5", "40000"])
@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(
            lambda rows: [*rows[:7], rows[7].replace("0.01", "0.02"), *rows[8:]], id="cell"
        ),
        pytest.param(
            lambda rows: [*rows[:7], rows[7].replace("r6", "new"), *rows[7:]], id="new row"
        ),
        pytest.param(lambda rows: [*rows[:-1], rows[7].replace("r6", "new"), ""], id="last row"),
    ],
)
def test_edit_of_one_row_checks_one_row(
    tmp_path: Path, edit: Callable[[list[str]], list[str]], price: str
) -> None:
    """All others keep what was read and found of them, whatever their prices are by now."""
    api = Kraken()
    program = TTSLO(manager(tmp_path, lines(300)), api)
    program.validate_and_load_config()
    api.price = price
    (tmp_path / "config.csv").write_text("\n".join(edit(lines(300))), encoding="utf-8")
    seen = calls_in(program.validate_and_load_config)
    names = ("all_cells", "reading_of", "_text_remarks", "_listing_remarks", "calm_of")
    assert {name: seen[name] for name in names} == dict.fromkeys(names, 1)
    assert seen["_check_market"] == 0  # exact numbers are for prices near to a threshold


def test_reading_that_finds_nothing_new_checks_nothing(tmp_path: Path) -> None:
    """A file that is read again for a row without a price costs a few calls for each other row."""

    def calls(count: int) -> Counter[str]:
        program = TTSLO(manager(tmp_path, lines(count)), Kraken(key=None))
        program.validate_and_load_config()
        return calls_in(program.validate_and_load_config)

    few, many = calls(300), calls(600)
    for name in ("all_cells", "reading_of", "_text_remarks", "_listing_remarks", "calm_of"):
        assert many[name] == 0, name
    assert many["Python"] - few["Python"] <= 300 * 12


def test_rows_of_one_pair_are_judged_anew_when_its_facts_change(tmp_path: Path) -> None:
    """A minimum that Kraken has raised is looked at in each row of the pair, and in no other."""
    api = Raising()
    program = TTSLO(manager(tmp_path, lines(300)), api)
    program.validate_and_load_config()
    api.minimums["C7USD"] = "5"
    seen = calls_in(program.validate_and_load_config)
    assert seen["_text_remarks"] == 300 // PAIRS
    assert program.validation is not None
    refused = {error["config_id"] for error in program.validation.errors}
    assert refused == {f"r{number}" for number in range(7, 300, PAIRS)}


def text_of(rows: list[str]) -> bytes:
    """Return a file of these lines."""
    return "\n".join(rows).encode()


def test_row_that_is_the_same_gives_the_same_rule() -> None:
    """Rules of rows that stay are the same objects; the others are read anew."""
    before = read_rules(text_of(lines(9))).rows
    changed = lines(9)
    changed[4] = changed[4].replace("1.5", "2.5")
    after = read_rules(text_of(changed)).rows
    same = [old == new for old, new in zip(before, after, strict=True)]
    assert same == [number != 3 for number in range(9)]
    known = KnownRows()
    rows = zip(known.read(before), known.read(after), strict=True)
    assert [new.label for old, new in rows if old.rule is not new.rule] == ["r3"]


def test_moved_line_has_its_new_place_and_its_old_rule() -> None:
    """A row that stands elsewhere says so, and its text means what it meant."""
    before = read_rules(text_of(lines(3))).rows
    after = read_rules(text_of([HEADER, "# a note", *lines(3)[1:]])).rows
    assert [row.line for row in after] == [3, 4, 5]
    known = KnownRows()
    assert [one.rule for one in known.read(before)] == [one.rule for one in known.read(after)]
    assert calls_in(lambda: known.read(before))["read_rule"] == 0


@pytest.mark.parametrize(
    "more", ["#x", "extra,1,2,3", '"quoted ""one""",1,2,3,4,5,6,7', "r1,short"]
)
def test_findings_are_said_again_at_each_reading(more: str) -> None:
    """What was odd about a row is odd the next time, too."""
    text = text_of([*lines(3)[:-1], more, ""])
    before, after = read_rules(text), read_rules(text)
    assert (after.rows, after.findings) == (before.rows, before.findings)
    assert [row.findings for row in after.rows] == [row.findings for row in before.rows]


def test_cells_that_many_rows_have_are_few_texts() -> None:
    """Also where they come only after thousands of ids that no other row has."""
    rows = [
        f"r{n},C{n % 5}USD,{60_000 + n // 1000},above,sell,1.{n:05},1.5,true" for n in range(9_000)
    ]
    read = [dict(all_cells(row)) for row in read_rules(text_of([HEADER, *rows, ""])).rows]
    assert len({id(row["threshold_price"]) for row in read}) < 20
    assert len({id(row["pair"]) for row in read}) < 50
    assert [row["threshold_price"] for row in read[::1000]] == [f"{60_000 + n}" for n in range(9)]


def test_row_is_its_line_and_nothing_more() -> None:
    """Rows keep no dict and no cell, and equal cells that are asked for are one text."""
    rows = read_rules(text_of(lines(200))).rows
    kinds = (str, int, type(shape_of((), "")), type)
    assert all(isinstance(kept, kinds) for row in rows for kept in gc.get_referents(row))
    assert not hasattr(rows[0], "__dict__")
    first, second, other = (all_cells(rows[number]) for number in (0, 1, PAIRS))
    assert first["pair"] is other["pair"]
    assert first["volume"] is second["volume"]


@pytest.mark.parametrize("count", [100, 5_000])
def test_writing_into_one_row_looks_at_that_row_alone(count: int) -> None:
    """An order is written into a file of thousands of rows at the cost of a few."""
    header = f"{HEADER},order_id"
    data = "\n".join([header, *(line + "," for line in lines(count)[1:-1])]).encode()
    changes = {"r50": {"enabled": "false", "order_id": "O1"}}
    merged, left_out = merge(data, changes)
    assert calls_in(lambda: merge(data, changes))["Python"] <= 599
    assert not left_out
    assert merged == data.replace(
        b"r50,C0USD,60050,above,sell,0.01,1.5,true,",
        b"r50,C0USD,60050,above,sell,0.01,1.5,false,O1",
    )


def test_rows_of_the_state_are_not_looked_at_cell_by_cell() -> None:
    """A state is written by `csv`; only a row with outer spaces is quoted by hand."""
    cells = {"triggered": "false", "id": "", "rule_state": "armed", "row": "BTC/USD 50000 above"}
    state = {f"r{number}": {**cells, "id": f"r{number}"} for number in range(500)}
    state["r7"]["note"] = 'a "b", c'
    state["r8"]["note"] = " a"
    seen = calls_in(lambda: state_bytes(state))
    assert seen["quote"] == len(STATE_COLUMNS) + 3
    lines = state_bytes(state).decode().splitlines()
    assert lines[0] == ",".join([*STATE_COLUMNS, "rule_state", "row", "note"])
    assert lines[7] == "r6,false,,,,,,armed,BTC/USD 50000 above,"
    assert lines[8] == 'r7,false,,,,,,armed,BTC/USD 50000 above,"a ""b"", c"'
    assert lines[9] == 'r8,false,,,,,,armed,BTC/USD 50000 above," a"'


@pytest.mark.parametrize(
    "text", ["a,b", " a", "a ", 'a"b', "a\nb", "ä", "\ufeffa", "a\tb", "a, ", ", a", "", "a b"]
)
def test_text_of_the_state_comes_back_wherever_it_stands(tmp_path: Path, text: str) -> None:
    """Cells that a pattern must not write as they are, are told by it."""
    files = manager(tmp_path, [])
    state = {"a": {"id": "a", "note": "x", "row": text, "z": "y"}, "b": {"id": "b", "row": text}}
    files.save_state(state)
    found = files.load_state()
    assert [found[name]["row"] for name in state] == [text, text]


def test_cost_of_refused_rows_grows_with_their_number_and_no_faster() -> None:
    """Twice as many rows with an error take about twice the work, not four times."""
    header = HEADER.split(",")

    def work(count: int) -> int:
        bad = [dict(zip(header, line.split(","), strict=True)) for line in lines(count)[1:-1]]
        for row in bad:
            row["volume"] = "none"
        return calls_in(lambda: ConfigValidator().validate_config_file(bad))["Python"]

    assert work(400) <= 2.2 * work(200)


class CountingDisk(Disk):
    """A disk that counts what is appended, and notes what is brought to the platter."""

    appended = 0

    def __init__(self) -> None:
        self.synced: list[str] = []

    def sync(self, file: BinaryIO) -> None:
        self.synced.append(Path(file.name).name.partition(".csv")[0] + ".csv")
        super().sync(file)

    def append(self, path: Path, data: bytes) -> None:
        self.appended += 1
        super().append(path, data)


def test_report_writes_a_thousand_lines_at_a_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each row has its line in the log and on the screen, and a thousand of them share a write."""
    disk = CountingDisk()
    program = TTSLO(manager(tmp_path, lines(2_500), disk), Kraken())
    program.validate_and_load_config()
    disk.appended = 0
    program.report()
    assert disk.appended == 3
    assert capsys.readouterr().out.count(": armed: ") == 2_500
    assert (tmp_path / "logs.csv").read_text(encoding="utf-8").count(": armed: ") == 2_500


class Keyless(Kraken):
    """One without keys, which is asked for no funds, so that nothing is said of them."""

    def __init__(self) -> None:
        super().__init__()
        self.api_key = None


def test_start_makes_the_state_durable_once(tmp_path: Path) -> None:
    """All rows are armed by one write, and what follows in the same turn has nothing to add."""
    disk = CountingDisk()
    program = TTSLO(manager(tmp_path, lines(300), disk), Kraken())
    program.load_state()
    program.recover()
    assert program.validate_and_load_config()
    program.worker.work_off()
    assert disk.synced == ["state.csv"]
    assert not program.worker.ledger.must_write


def test_start_works_out_little_for_a_row(tmp_path: Path) -> None:
    """What costs microseconds is done once for each row, and once for all where it is the same."""
    program = TTSLO(manager(tmp_path, lines(300)), Keyless())
    program.load_state()
    seen = calls_in(program.validate_and_load_config)
    assert seen["fingerprint"] == seen["client_order_id"] == seen["read_rule"] == 300
    assert seen["now_and_since"] == 1
    assert seen["Python"] < 200 * 300 - 1


def test_armed_row_takes_little_memory(tmp_path: Path) -> None:
    """Its cells as typed, the rule, how it was judged, its life: 1.8 kB of everything together."""
    count = 4_000

    def kept(folder: Path, count: int) -> int:
        folder.mkdir()
        rows = [f"r{n},C{n % 9}USD,60000,above,sell,1.{n:06},1.5,true" for n in range(count)]
        program = TTSLO(manager(folder, [HEADER, *rows, ""]), Keyless())
        gc.collect()
        tracemalloc.start()
        try:
            program.validate_and_load_config()
            gc.collect()
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    kept(tmp_path / "first", 10)  # what is loaded once
    assert kept(tmp_path / "many", count) < 2_050 * count


def test_report_has_a_thousand_lines_in_hand_at_a_time(tmp_path: Path) -> None:
    """Its lines are made as they are written: those of 100,000 rows together fill 50 MB."""

    def most_in_hand(count: int) -> int:
        folder = tmp_path / str(count)
        folder.mkdir()
        program = TTSLO(manager(folder, lines(count)), Kraken())
        program.validate_and_load_config()
        program.voice.show_by(lambda text: None)
        tracemalloc.start()
        try:
            program.report()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    most_in_hand(10)  # what is loaded once
    assert most_in_hand(9_000) < 1.5 * most_in_hand(1_500)


def test_edit_takes_little_memory_besides(tmp_path: Path) -> None:
    """What is held of all rows for a moment is 340 bytes each, its line included."""

    def most_in_hand(count: int) -> int:
        folder = tmp_path / str(count)
        folder.mkdir()
        program = TTSLO(manager(folder, lines(count)), Keyless())
        program.validate_and_load_config()
        rows = lines(count)
        rows[7] = rows[7].replace("1.5", "2.5")
        (folder / "config.csv").write_text("\n".join(rows), encoding="utf-8")
        gc.collect()
        tracemalloc.start()
        try:
            program.validate_and_load_config()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    most_in_hand(10)  # what is loaded once
    few, many = most_in_hand(4_000), most_in_hand(12_000)
    assert many - few < 8_000 * 340


def test_rows_that_the_order_thread_has_are_those_that_were_handed_to_it(tmp_path: Path) -> None:
    """Nobody makes another dict of all of them, unless some of them are left out."""
    program = TTSLO(manager(tmp_path, lines(30)), Keyless())
    program.validate_and_load_config()
    assert program.worker.ledger.rules is program.loader._ready
    program.worker.ledger.distrust(["r3"])
    program.validate_and_load_config()
    assert set(program.loader._ready) - set(program.worker.ledger.rules) == {"r3"}


def test_columns_of_the_first_trigger_leave_all_other_rows_the_same() -> None:
    """A header that has grown by them is no reason to read each rule a second time."""
    old = lines(9)
    before = read_rules(text_of(old)).rows
    new = [f"{HEADER},order_id,trigger_time,trigger_price", *old[1:]]
    new[3] += ",OABCDE,2026-01-01T00:00:00Z,60002"
    after = read_rules(text_of(new)).rows
    assert [n for n in range(9) if after[n] != before[n]] == [2]
    assert after[2]["order_id"] == "OABCDE"
    known = KnownRows()
    known.read(before)
    assert calls_in(lambda: known.read(after))["read_rule"] == 1


@pytest.mark.parametrize("appended", ["note", "order_id,note", "note,order_id", '"order_id"'])
def test_other_new_columns_are_in_each_row(appended: str) -> None:
    """A column of the user's own is in each row, with an empty cell where a row ends before it."""
    rows = read_rules(text_of([f"{HEADER},{appended}", *lines(3)[1:]])).rows
    own = {name for name in appended.split(",") if name == "note"}
    assert all(own <= set(row) for row in rows)
    assert all(row.get("note", "") == "" for row in rows)


def test_column_that_is_there_twice_is_said_at_each_reading() -> None:
    """Its rows are whole, and the file says which of the two counts."""
    text = text_of([f"{HEADER},order_id,order_id", *lines(3)[1:]])
    rules = read_rules(text)
    assert rules.findings == ("line 1: names the column 'order_id' 2 times; the first one counts",)
    assert len(rules.rows) == 3


class Broken(Kraken):
    """A client that nobody answers, or that has no listing, as a test wants it."""

    failing = ""

    def _query_public(
        self, method: str, params: Mapping[str, object] | None = None, **more: Any
    ) -> dict[str, Any]:
        if method == self.failing:
            self._fail()
        return super()._query_public(method, params, **more)

    def get_balance(self) -> dict[str, Any]:
        if self.failing == "Balance":
            self._fail()
        return super().get_balance()

    def _fail(self) -> None:
        try:
            raise OSError("no route")
        except OSError as error:
            raise KrakenConnectionError("no route", request_sent=False) from error


@pytest.mark.parametrize("failing", ["", "Balance", "Ticker", "AssetPairs"])
def test_reading_goes_with_the_next_one(tmp_path: Path, failing: str) -> None:
    """Whatever could not be asked for: nobody looks for circles among so many rows."""
    kraken = Broken()
    rows = lines(20)
    rows[3] = rows[3].replace("true", "false")  # which waits for no price
    program = TTSLO(manager(tmp_path, rows), kraken)
    kraken.failing = failing
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        program.validate_and_load_config()
        before = weakref.ref(program.validation)
        rows[7] = rows[7].replace("1.5", "2.5")
        (tmp_path / "config.csv").write_text("\n".join(rows), encoding="utf-8")
        program.validate_and_load_config()
        assert before() is None
    finally:
        if was_enabled:
            gc.enable()
