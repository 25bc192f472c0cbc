"""The files as the order thread needs them: what is noted, and what the journal brings back."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from config import ConfigManager
from tests.kits.orders.order_bench import MARKET
from tests.kits.program.caller_kit import SlowStandIn, StandIn, config, logged, manager_in, rows_of
from tests.kits.program.program_process import wait_until
from ttslo import TTSLO
from ttslo_app.messages import AcceptedRule, Mark, Message
from ttslo_app.orders.intents import intent_lines
from ttslo_app.orders.life import Life, RuleState
from ttslo_app.rules.rule import read_rule
from ttslo_app.run import loader
from ttslo_app.run.files import OrderFiles
from ttslo_app.run.keeper import TapeKeeper
from ttslo_app.store.disk import Disk
from ttslo_app.store.lock import AlreadyRunning, LockHolder, StateLock
from ttslo_app.watch.tape import Saved


@pytest.fixture
def manager(tmp_path: Path) -> ConfigManager:
    """Hand out the files, with one rule in config.csv."""
    return manager_in(tmp_path)


def left_behind(manager: ConfigManager, journal: bytes | None) -> TTSLO:
    """Return a program that starts with an armed row and the journal of a run that died."""
    first = TTSLO(manager, StandIn(), StandIn())
    assert first.validate_and_load_config()
    path = Path(f"{manager.state_file}.intents")
    if journal is None:
        path.mkdir()
    else:
        path.write_bytes(journal)
    program = TTSLO(manager, StandIn(), StandIn())
    program.load_state()
    program.validate_and_load_config()
    return program


def test_order_whose_config_file_is_gone_is_noted_when_it_is_back(manager: ConfigManager) -> None:
    """An editor that deletes and renames costs the file no order, and places none twice."""
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    program.run_once()
    text = Path(manager.config_file).read_bytes()
    Path(manager.config_file).unlink()
    program.process_config(config(), 60000)
    assert program.state["btc"]["noted"] == "false"
    Path(manager.config_file).write_bytes(text)
    again = TTSLO(manager, kraken, kraken)
    again.load_state()
    again.recover()
    kraken.price = 60000
    again.run_once()
    assert len(kraken.orders) == 1
    assert rows_of(manager)[0]["order_id"] == "OAAAAA-BBBBB-CCCCCC"


@pytest.mark.parametrize(
    ("journal", "said"),
    [
        (b"\n00000000 {}" + intent_lines([{"id": "eth"}]), "damaged in line 2, so nobody can tell"),
        (None, "state.csv.intents cannot be read ("),
    ],
)
def test_journal_that_cannot_be_read_lets_no_waiting_row_trade(
    manager: ConfigManager, journal: bytes | None, said: str
) -> None:
    """Where an order may have been on its way unseen, the row does not trade, and that is said."""
    program = left_behind(manager, journal)
    program.process_config(config(), 51000)
    assert program.state["btc"]["triggered"] != "true"
    assert "51000" not in logged(manager, "INFO")
    assert said in logged(manager, "ERROR")
    assert "btc: does NOT trade: the state file does not tell whether it has fired" in logged(
        manager, "ERROR"
    )


def test_damaged_journal_speaks_of_rows_that_the_state_lacks(manager: ConfigManager) -> None:
    """An order may have been on its way of a row whose state was never written."""
    Path(f"{manager.state_file}.intents").write_bytes(b"\nx" + intent_lines([{"id": "eth"}]))
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    program.load_state()
    program.validate_and_load_config()
    program.process_config(config(), 60000)
    assert kraken.orders == []


def test_journal_outlives_a_state_that_is_not_written(manager: ConfigManager) -> None:
    """An empty state is written nowhere, so nothing of the journal is in a file by then."""
    journal = Path(f"{manager.state_file}.intents")
    journal.write_bytes(intent_lines([{"id": "eth"}]))
    TTSLO(manager, StandIn(), StandIn()).save_state()
    assert journal.exists()


def test_without_a_journal_the_state_holds_the_intent_when_the_order_goes(
    manager: ConfigManager,
) -> None:
    """A program that does not hold the lock writes the whole state before each order."""
    kraken, seen = SlowStandIn(), list[str]()
    kraken.may_answer.set()
    kraken.is_asked.set = lambda: seen.append(  # type: ignore[method-assign]  # looks at the disk
        manager.load_state()["btc"]["rule_state"]
    )
    TTSLO(manager, kraken, kraken).process_config(config(), 60000)
    assert seen == ["intended"]


def test_empty_journal_changes_nothing(manager: ConfigManager) -> None:
    """After a clean end the row trades as ever."""
    program = left_behind(manager, b"")
    program.process_config(config(), 51000)
    assert program.state["btc"]["triggered"] == "true"


def test_edit_of_same_length_and_stamp_is_seen_before_an_order(
    manager: ConfigManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no time tells an edit in place, the bytes do: the old row places nothing."""
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    program.run_once()
    path = Path(manager.config_file)
    stamp = manager.config_stamp()
    path.write_text(path.read_text().replace("50000", "70000"), encoding="utf-8")
    monkeypatch.setattr(Disk, "stamp", lambda _disk, _path: stamp)
    kraken.price = 60000
    program.process_config(config(), 60000)
    assert kraken.orders == []
    assert "was changed in the same moment" in logged(manager, "WARNING")


CUT = "id,pair,threshold_price,threshold_type,direction,enabled,volume,trailing_offset_percent"
WHOLE = f"{CUT}\nbtc,XBTUSD,50000,above,sell,true,0.01,12.5\n"


@pytest.mark.parametrize("is_read_already", [False, True])
def test_half_of_a_row_is_none_of_an_edit(manager: ConfigManager, is_read_already: bool) -> None:
    """Half of an offset is as good a number as all of it, but nobody has typed it."""
    path, files = Path(manager.config_file), OrderFiles(manager, is_dry=False)
    path.write_text(WHOLE, encoding="utf-8")
    rule = read_rule((reading := manager.read_config()).rows[0])
    files.take(reading, {"btc": rule})
    assert files.current_rows().rule_of(rule) == rule
    path.write_text(WHOLE.removesuffix("2.5\n"), encoding="utf-8")
    if is_read_already:  # by a thread that has not told yet what it made of it
        files.take(cut := manager.read_config(reading), {"btc": read_rule(cut.rows[0])})
    assert files.current_rows().rule_of(rule) is None
    path.write_text(WHOLE, encoding="utf-8")
    assert files.current_rows().rule_of(rule) == rule


def test_row_is_handed_out_as_it_is_spelt_now(manager: ConfigManager) -> None:
    """By whoever looks before an order, also where nobody else has read the edit, or has told."""
    path, files = Path(manager.config_file), OrderFiles(manager, is_dry=False)
    path.write_text(WHOLE, encoding="utf-8")
    rows = (reading := manager.read_config()).rows
    known = AcceptedRule(rule := read_rule(rows[0]), MARKET, row=rows[0])
    files.take(reading, {"btc": rule})
    assert files.current_rows().row_of("btc", known) is rows[0]
    path.write_text(WHOLE.replace(",0.01,", ",0.010,"), encoding="utf-8")
    row = files.current_rows().row_of("btc", known)
    assert row is not None
    assert row["volume"] == "0.010"
    files.take(reading := manager.read_config(reading), {"btc": read_rule(reading.rows[0])})
    assert files.current_rows().row_of("btc", known) is reading.rows[0]
    assert files.current_rows().row_of("btc", None) is reading.rows[0]
    assert files.current_rows().row_of("eth", known) is None
    assert OrderFiles(manager, is_dry=False).current_rows().row_of("eth", None) is None
    path.unlink()
    assert OrderFiles(manager, is_dry=False).current_rows().row_of("btc", known) is None


@pytest.mark.parametrize("volume", ["0.01", "0.010"], ids=["as it was read", "as it crossed"])
def test_row_that_was_saved_in_the_second_of_its_crossing_is_known_when_it_is_saved_back(
    manager: ConfigManager, volume: str
) -> None:
    """Its order is placed, its note written, and an editor saves what it had over that."""
    path, kraken = Path(manager.config_file), StandIn()
    path.write_text(WHOLE, encoding="utf-8")
    program = TTSLO(manager, kraken, kraken)
    program.run_once()
    path.write_text(WHOLE.replace(",0.01,", ",0.010,"), encoding="utf-8")
    kraken.price = 60000
    (row,) = program.configs
    program.process_config(row, 60000)
    assert (len(kraken.orders), rows_of(manager)[0]["enabled"]) == (1, "false")
    path.write_text(WHOLE.replace(",0.01,", f",{volume},"), encoding="utf-8")
    kraken.price = 40000
    program.run_once()
    kraken.price = 60000
    program.run_once()
    assert (len(kraken.orders), rows_of(manager)[0]["enabled"]) == (1, "false")
    assert "NOT armed again: an old copy of the row" in logged(manager, "ERROR")


@pytest.mark.parametrize("is_armed_again", [False, True])
def test_program_that_died_right_after_its_note_places_no_second_order(
    manager: ConfigManager, is_armed_again: bool
) -> None:
    """config.csv has the order and state.csv does not know it: the next start makes up for that.

    A row that was armed anew in between cannot be told from one that was never noted.
    """
    kraken = StandIn()
    first = TTSLO(manager, kraken, kraken)
    first.run_once()
    before = Path(manager.config_file).read_bytes()
    first.process_config(config(), 60000)
    state = manager.load_state()
    state["btc"]["noted"] = "false"
    manager.save_state(state)
    if is_armed_again:
        Path(manager.config_file).write_bytes(before)
    again = TTSLO(manager, kraken, kraken)
    again.load_state()
    again.recover()
    kraken.price = 60000
    again.run_once()
    assert len(kraken.orders) == 1
    assert again.state["btc"]["noted"] == "true"
    assert rows_of(manager)[0]["enabled"] == "false"


class Lock(StateLock):
    """A lock of which the test says what becomes of it."""

    def __init__(self, trouble: Exception | None) -> None:
        super().__init__("state.csv")
        self.trouble = trouble

    def renew(self) -> None:
        if self.trouble is not None:
            raise self.trouble


TAKEN = AlreadyRunning(Path("state.csv"), LockHolder(7, "here", "2026-11-25"))


@pytest.mark.parametrize(
    ("trouble", "ends"), [(None, False), (OSError(5, "I/O error"), False), (TAKEN, True)]
)
def test_program_ends_when_another_has_its_files(
    manager: ConfigManager, trouble: Exception | None, ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said once, and no row is read any more; trouble of the disk ends nothing."""
    program = TTSLO(manager, StandIn(), StandIn())
    program.files.locks = [Lock(None), Lock(trouble)]
    for now in (1.0, 2.0):
        monkeypatch.setattr(loader, "feed_clock", partial(float, now))
        program.look_at_files()
    assert (program.stopping.is_set(), program.files.lost is TAKEN) == (ends, ends)
    said = [line for line in logged(manager, "ERROR").splitlines() if "this one ENDS" in line]
    assert len(said) == ends
    assert all("process 7 on here" in line for line in said)
    assert bool(program.configs) is not ends


def test_nothing_is_written_once_another_program_has_the_files(manager: ConfigManager) -> None:
    """Neither an intent nor a state nor a note: what the other one wrote stays."""
    files = OrderFiles(manager, is_dry=False)
    assert files.journal is not None
    files.journal.keep()
    files.save_state({"btc": {"id": "btc"}})
    files.save_tape("as far as it goes")
    before = Path(manager.state_file).read_bytes(), Path(manager.config_file).read_bytes()

    files.locks = [Lock(None), Lock(AlreadyRunning(Path("state.csv"), None))]
    placed = Life("btc", RuleState.PLACED, 1, order_id="OAAAAA-BBBBB-CCCCCC")
    for write in (
        lambda: files.save_state({"btc": {"id": "btc", "order_id": "O1"}}),
        lambda: files.save_intents({"btc": {"id": "btc", "order_id": "O1"}}, ["btc"]),
        lambda: files.note_orders([placed]),
        lambda: files.save_tape("further"),
    ):
        with pytest.raises(OSError, match="is in use by another process"):
            write()
    assert before == (Path(manager.state_file).read_bytes(), Path(manager.config_file).read_bytes())
    assert files.journal.load() == b""
    assert files.load_tape() == "as far as it goes"
    files.journal.close()


def test_program_whose_files_were_taken_ends_without_a_last_word_in_them(
    manager: ConfigManager,
) -> None:
    """How far prices were seen is the other's to say, at the very end as well."""
    program = TTSLO(manager, StandIn(), StandIn())
    manager.save_tape("the other's")
    program.files.locks = [Lock(TAKEN)]

    def pass_on(message: Message) -> None:
        assert isinstance(message, Mark)
        message.passed()

    tape = TapeKeeper(program.files, pass_on, program.say)
    tape.mark(lambda: Saved(at=1.0))
    tape.keep()
    assert manager.load_tape() == "the other's"
    program.files.locks = [Lock(None)]
    tape.keep()
    assert manager.load_tape() == Saved(at=1.0).to_text()


def test_dry_run_asks_for_no_lock(manager: ConfigManager) -> None:
    """It writes nothing, so it may run beside the program."""
    files = OrderFiles(manager, is_dry=True)
    files.locks = [Lock(AssertionError("it asks"))]
    files.save_state({"btc": {"id": "btc"}})
    files.save_intents({"btc": {"id": "btc"}}, ["btc"])
    assert files.note_orders([Life("btc", RuleState.PLACED, 1, order_id="O1")]) == ()


# --- somebody else who writes config.csv ---------------------------------------------------------

NOW = 1_800_000_000.75


def saved(manager: ConfigManager, ago: float) -> None:
    """Let config.csv have been written so many seconds before `NOW`, which it is."""
    manager.disk.now = lambda: datetime.fromtimestamp(NOW, UTC)  # type: ignore[method-assign]
    moment = round((NOW - ago) * 1000) * 10**6
    os.utime(manager.config_file, ns=(moment, moment))


@pytest.mark.parametrize(
    ("ago", "is_so"),
    [
        (0.0, True),
        (0.4, True),
        (0.6, False),
        (0.75, True),  # to the second: perhaps more is not told
        (1.75, True),
        (2.75, False),
        (86_400.0, False),
        (-86_400.0, False),  # another machine's clock
    ],
)
def test_config_csv_may_be_in_the_middle_of_a_save_a_while_after_it_was_written(
    manager: ConfigManager, ago: float, is_so: bool
) -> None:
    """As long as an edit is not taken for whole either."""
    files = OrderFiles(manager, is_dry=False)
    saved(manager, ago)
    assert files.is_being_saved() is is_so


def test_own_note_is_nobody_s_save(manager: ConfigManager) -> None:
    """The next note need not wait for it, but for whoever writes after it."""
    files = OrderFiles(manager, is_dry=False)
    files.take(manager.read_config(), {})
    manager.disk.now = lambda: datetime.now(UTC)  # type: ignore[method-assign]
    placed = Life("btc", RuleState.PLACED, 1, order_id="O1", trigger_price="1", trigger_time="now")
    assert files.note_orders([placed]) == frozenset()
    saved_at = Path(manager.config_file).stat().st_mtime
    manager.disk.now = lambda: datetime.fromtimestamp(saved_at, UTC)  # type: ignore[method-assign]
    assert not files.is_being_saved()
    with Path(manager.config_file).open("ab") as file:
        file.write(b"# more\n")
    os.utime(manager.config_file, (saved_at, saved_at))
    assert files.is_being_saved()


def test_version_that_is_new_here_may_be_in_the_middle_of_a_save_whatever_its_date(
    manager: ConfigManager,
) -> None:
    """On a network drive the date is another machine's; a version that was taken is whole."""
    files = OrderFiles(manager, is_dry=False)
    saved(manager, 86_400.0)
    files.take(manager.read_config(), {})
    assert not files.is_being_saved()
    with Path(manager.config_file).open("ab") as file:
        file.write(b"# more\n")
    saved(manager, -86_400.0)
    assert files.is_being_saved()
    wait_until(lambda: not files.is_being_saved(), "nobody has written for half a second")
    saved(manager, 3_600.0)
    assert files.is_being_saved()
    files.take(manager.read_config(), {})
    assert not files.is_being_saved()


def test_file_that_is_gone_or_nobody_s_business_is_not_being_saved(manager: ConfigManager) -> None:
    """What becomes of a note then is told where it is written."""
    files = OrderFiles(manager, is_dry=False)
    saved(manager, 0.0)
    Path(manager.config_file).unlink()
    assert not files.is_being_saved()
    files.journal = None  # as with a manager of a caller's own
    assert not files.is_being_saved()
