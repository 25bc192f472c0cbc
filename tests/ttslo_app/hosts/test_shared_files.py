"""Rows and lives of a shared store, with the face of the files of one machine."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.kits.hosts.memory_store import Fate, Line, MemoryStore
from tests.kits.orders.order_bench import MARKET, ROW, ManualClock, ModelKraken, life
from ttslo_app.cluster.books import Books
from ttslo_app.cluster.copy import Copy
from ttslo_app.cluster.records import Keys, Lead, lead_text, read_cells, row_text
from ttslo_app.cluster.store import Change
from ttslo_app.hosts.shared_files import SharedFiles, SharedManager
from ttslo_app.messages import AcceptedRule, Adopt, Crossing, StandBy, TakeUp
from ttslo_app.orders.ledger import cells_of
from ttslo_app.orders.life import RuleState
from ttslo_app.orders.request import letters_of
from ttslo_app.orders.worker import OrderWorker
from ttslo_app.rules.rule import Rule, RulesById

KEYS = Keys("prod")


class Shelf:
    """The files of one host, and the store behind them."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryStore()
        self.line, self.copy = Line(self.store), Copy(KEYS)
        self.books = Books(self.line, self.copy, KEYS)
        state, log = folder / "state.csv", folder / "logs.csv"
        self.manager = SharedManager("the rows", state, log, self.copy, self.books)
        self.files = SharedFiles(self.manager, self.copy, self.books)
        self.folder = folder

    def push(self, *rows: dict[str, str]) -> None:
        """Put rows into the store, as an operator does, and let this host hear of it."""
        puts = {KEYS.row(row["id"]): row_text(row, n, repr(row)) for n, row in enumerate(rows)}
        self.store.commit(Change({}, puts))
        self.hear()

    def hear(self) -> None:
        """Let this host know all that the store has."""
        self.copy.load(*self.line.list(KEYS.base))

    def lead(self) -> None:
        """Let this host lead."""
        answer = self.store.commit(Change({}, {KEYS.lead: lead_text(Lead(1, "a", "", "t"))}))
        self.hear()
        self.books.lead(answer.version)

    def rule(self) -> Rule:
        """Return the rule of BTC as it was pushed first."""
        rule = RulesById([ROW]).get("btc")
        assert rule is not None
        return rule

    def life_cells(self) -> dict[str, str]:
        """Return what the store has of BTC's life."""
        entry = self.store.get(KEYS.life("btc"))
        return {} if entry is None else read_cells(entry.key, entry.value)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """A host with one row."""
    shelf = Shelf(tmp_path)
    shelf.push(ROW)
    return shelf


def test_rows_of_the_store_are_read_as_a_file_is(shelf: Shelf) -> None:
    """In their order, with a version, and nothing odd about them."""
    shelf.push({**ROW, "id": "z"}, ROW)
    reading = shelf.manager.read_config()
    assert [row["id"] for row in reading.rows] == ["z", "btc"]
    assert {n: v for n, v in reading.rows[1].items() if v} == ROW
    assert reading.findings == ()
    assert reading.stamp == shelf.manager.config_stamp()
    assert shelf.manager.config_contents() == (reading.data, reading.stamp)
    assert shelf.manager.load_config() == list(reading.rows)


def test_pushed_row_is_an_edit_and_an_own_note_is_none(shelf: Shelf) -> None:
    """All rows are checked again after the one, and after the other none is."""
    shelf.lead()
    seen = shelf.manager.config_stamp()
    assert seen is not None
    shelf.files.note_orders([life(RuleState.PLACED)._replace(order_id="OA", trigger_price="1")])
    noted = shelf.manager.config_stamp()
    assert noted != seen
    assert shelf.manager.is_own_write(noted, seen)
    shelf.push({**ROW, "volume": "0.02"})
    assert not shelf.manager.is_own_write(shelf.manager.config_stamp(), seen)
    assert not shelf.manager.is_own_write(None, seen)


def test_note_disarms_the_row_and_names_its_order(shelf: Shelf) -> None:
    """Whoever pulls the rows sees what became of each."""
    shelf.lead()
    placed = life(RuleState.PLACED)._replace(
        order_id="OA", trigger_price="50001", trigger_time="now"
    )
    assert shelf.files.note_orders([placed, placed._replace(id="gone")]) == {"gone"}
    entry = shelf.store.get(KEYS.row("btc"))
    assert entry is not None
    cells = read_cells(entry.key, entry.value)
    assert (cells["enabled"], cells["order_id"]) == ("false", "OA")
    assert cells["trigger_price"] == "50001"


def test_host_that_follows_writes_nothing(shelf: Shelf) -> None:
    """Neither lives nor notes nor marks, and an intent is an error: nothing may be sent."""
    before = shelf.store.version
    cells = cells_of(life(RuleState.INTENDED))
    shelf.files.save_state({"btc": cells})
    shelf.files.save_tape("marks")
    assert shelf.files.note_orders([life(RuleState.PLACED)]) == ()
    with pytest.raises(OSError, match="another host leads"):
        shelf.files.save_intents({"btc": cells}, ["btc"])
    assert shelf.store.version == before


def test_lives_of_the_leader_come_back(shelf: Shelf) -> None:
    """What one host writes is the state of the next."""
    shelf.lead()
    cells = cells_of(life(RuleState.ARMED))
    shelf.files.save_state({"btc": cells})
    assert shelf.manager.load_state() == {"btc": {n: v for n, v in cells.items() if v}}
    reading = shelf.manager.load_state_checked()
    assert (set(reading.rows), reading.problems, reading.copy) == ({"btc"}, (), None)
    assert shelf.files.load_intents()[1] == ""


def test_intent_rests_on_the_row_that_was_checked(shelf: Shelf) -> None:
    """An edit that this host has not heard of refuses it, and is known afterwards."""
    shelf.lead()
    assert shelf.files.current_rows().rule_of(shelf.rule()) == shelf.rule()
    edited = row_text({**ROW, "enabled": "false"}, 0, "edit")
    shelf.store.commit(Change({}, {KEYS.row("btc"): edited}))
    cells = cells_of(life(RuleState.INTENDED))
    with pytest.raises(OSError, match="changed a moment ago"):
        shelf.files.save_intents({"btc": cells}, ["btc"])
    assert shelf.life_cells() == {}
    current = shelf.files.current_rows().rule_of(shelf.rule())
    assert current is not None
    assert not current.enabled
    shelf.files.save_intents({"btc": cells}, ["btc"])
    assert shelf.life_cells()["rule_state"] == "intended"


def test_row_is_handed_out_as_it_is_read_with_all_others(shelf: Shelf) -> None:
    """To the letter, under the columns of all rows: a note brings some to each."""
    shelf.lead()
    shelf.push({**ROW, "id": "eth", "note": 'a "note", and\nmore'}, ROW)
    known = AcceptedRule(shelf.rule(), MARKET, row=shelf.manager.read_config().rows[1])
    assert shelf.files.current_rows().row_of("btc", known) is known.row
    shelf.files.note_orders([life(RuleState.PLACED)._replace(id="eth", order_id="OA")])
    assert shelf.files.current_rows().row_of("btc", known) is known.row
    shelf.push({**ROW, "pair": "XBTUSD"})
    for name, one in (("btc", known), ("btc", None), ("eth", known)):
        row = shelf.files.current_rows().row_of(name, one)
        assert row is not None
        read = next(row for row in shelf.manager.read_config().rows if row["id"] == name)
        assert letters_of(row) == letters_of(read)
    assert shelf.files.current_rows().row_of("gone", known) is None


def worker_of(shelf: Shelf) -> tuple[OrderWorker, ModelKraken]:
    """Return an order thread that leads, with BTC's row armed, and its Kraken."""
    clock = ManualClock()
    kraken = ModelKraken(clock)
    worker = OrderWorker(
        {}, shelf.files, kraken, clock=clock.clocks, say=lambda *said, **fields: None
    )
    worker.submit(StandBy(lambda: None))
    worker.submit(Adopt({"btc": AcceptedRule(shelf.rule(), MARKET)}, clock.monotonic()))
    worker.submit(TakeUp({}, {}, lambda: None))
    worker.work_off()
    assert shelf.life_cells()["rule_state"] == "armed"
    return worker, kraken


def test_crossing_of_a_row_that_was_edited_a_moment_ago_sends_nothing(shelf: Shelf) -> None:
    """This host has not heard of the edit yet: the store refuses the intent, and then it has."""
    shelf.lead()
    worker, kraken = worker_of(shelf)
    edited = row_text({**ROW, "enabled": "false"}, 0, "edit")
    shelf.store.commit(Change({}, {KEYS.row("btc"): edited}))
    for _ in range(3):
        worker.submit(Crossing(shelf.rule(), Decimal(50001), "50001"))
        worker.work_off()
    assert kraken.sent == []
    assert shelf.life_cells()["rule_state"] == "armed"


def test_crossing_of_a_row_that_is_as_it_was_has_its_order(shelf: Shelf) -> None:
    """The same, without an edit; the row names the order afterwards."""
    shelf.lead()
    worker, kraken = worker_of(shelf)
    worker.submit(Crossing(shelf.rule(), Decimal(50001), "50001"))
    worker.work_off()
    assert len(kraken.sent) == 1
    assert shelf.life_cells()["rule_state"] == "placed"
    row = shelf.copy.row("btc")
    assert row is not None
    assert row.cells["order_id"] == shelf.life_cells()["order_id"]


def test_end_of_a_run_is_no_change_of_every_life(shelf: Shelf) -> None:
    """When a row was looked at last is for the file of one machine."""
    shelf.lead()
    cells = cells_of(life(RuleState.ARMED))
    shelf.files.save_state({"btc": cells})
    before = shelf.store.version
    shelf.files.save_state({"btc": {**cells, "last_checked": "now"}})
    assert shelf.store.version == before


def test_row_that_is_gone_is_no_rule(shelf: Shelf) -> None:
    """Nothing trades that the store does not have."""
    shelf.store.commit(Change({}, {}, (KEYS.row("btc"),)))
    shelf.hear()
    assert shelf.files.current_rows().rule_of(shelf.rule()) is None


def test_row_that_cannot_be_understood_is_no_rule(shelf: Shelf) -> None:
    """Somebody pushed it by another way than the command."""
    shelf.push({**ROW, "direction": "sideways"})
    assert shelf.files.current_rows().rule_of(shelf.rule()) is None


def test_store_without_an_answer_is_a_disk_that_cannot_be_written(shelf: Shelf) -> None:
    """The crossing waits, and is tried again."""
    shelf.lead()
    shelf.files.current_rows().rule_of(shelf.rule())
    shelf.line.fates.append(Fate.LOST)
    cells = cells_of(life(RuleState.INTENDED))
    with pytest.raises(OSError, match="no answer"):
        shelf.files.save_intents({"btc": cells}, ["btc"])
    shelf.files.save_intents({"btc": cells}, ["btc"])
    assert shelf.life_cells()["rule_state"] == "intended"


def test_marks_go_into_the_store(shelf: Shelf) -> None:
    """The next leader looks back from there."""
    shelf.lead()
    shelf.files.save_tape("until here")
    assert shelf.files.load_tape() == "until here"


def test_nothing_but_the_log_is_a_file(shelf: Shelf) -> None:
    """Rows and lives on a disk would be a second truth."""
    shelf.lead()
    shelf.files.save_state({"btc": cells_of(life(RuleState.ARMED))})
    shelf.files.note_orders([life(RuleState.PLACED)._replace(order_id="OA")])
    shelf.files.save_tape("x")
    shelf.manager.sweep()
    shelf.manager.log("INFO", "a word")
    assert {path.name for path in shelf.folder.iterdir()} == {"logs.csv"}
    assert shelf.files.look_for_another() is None
