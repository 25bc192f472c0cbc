"""One row by hand: armed and disarmed in the file, fired once, and only its own order cancelled."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event

import pytest

from fake_kraken import FakeKraken
from tests.kits.orders.order_bench import life
from tests.kits.program.live_program import HEADER, PAIR, LiveProgram, row, wait_until
from ttslo_app.orders.intents import intent_lines
from ttslo_app.orders.ledger import cells_of
from ttslo_app.orders.life import EXPIRED, Life, RuleState
from ttslo_app.orders.request import fingerprint, letters_of
from ttslo_app.rules.rule import read_rule
from ttslo_app.run.by_hand import (
    Answer,
    Command,
    Door,
    Hands,
    Verb,
    answer_path,
    command_path,
    decoded,
    door_of,
    edit,
    encoded,
    life_on_disk,
)
from ttslo_app.store.csv_text import quote
from ttslo_app.store.disk import Disk
from ttslo_app.store.rule_file import RuleFile

FIRE = Command(Verb.FIRE, "btc")


@pytest.fixture
def live(exchange: FakeKraken, tmp_path: Path) -> Iterator[LiveProgram]:
    """Hand out a program that waits for one crossing."""
    with LiveProgram(exchange, tmp_path, [row("btc", 51000)]) as program:
        wait_until(lambda: program.ttslo.live and program.ttslo.live.watch.last, "a price came")
        yield program


def trade(live: LiveProgram, price: int) -> None:
    """Let there be a trade, and wait until an order by hand would be worked out with its price."""
    live.exchange.set_price(PAIR, price)

    def has_come() -> bool:
        program = live.ttslo.live
        return program is not None and [p for p, _ in program.watch.last.values()] == [price]

    wait_until(has_come, "the price has come")


# --- config.csv ------------------------------------------------------------------------------


def noted(letters: str) -> Life:
    """Return the life of a row that has fired and was noted, by how it was spelt then."""
    return life(RuleState.PLACED, order_id="O1", noted=True, letters=letters)


def config(folder: Path, *lines: str, columns: str = "") -> Path:
    """Write a config.csv."""
    path = folder / "config.csv"
    path.write_text("\n".join([f"{HEADER}{columns}", *lines, ""]), encoding="utf-8")
    return path


def test_to_arm_and_to_disarm_changes_one_cell(tmp_path: Path) -> None:
    """Every other byte of the file stays as it is."""
    path = config(tmp_path, row("btc", 51000), row("eth", 4000))
    before = path.read_text(encoding="utf-8")
    assert edit(path, Command(Verb.DISARM, "eth")).is_done
    after = path.read_text(encoding="utf-8")
    assert after == before.replace(row("eth", 4000), row("eth", 4000).replace("true", "false"))
    assert edit(path, Command(Verb.ARM, "eth")).is_done
    assert path.read_text(encoding="utf-8") == before


def test_to_arm_a_row_that_has_fired_empties_its_order_columns(tmp_path: Path) -> None:
    """As a person would who wants it armed again; a row that has not fired gets no new columns."""
    fired = row("btc", 51000).replace("true", "false") + ",O1,2026-11-26T00:00:00Z,51001"
    path = config(tmp_path, fired, columns=",order_id,trigger_time,trigger_price")
    assert edit(path, Command(Verb.ARM, "btc")).is_done
    assert path.read_text(encoding="utf-8").splitlines()[1] == row("btc", 51000) + ",,,"


def test_row_is_not_armed_by_hand_as_what_it_was_when_it_fired(tmp_path: Path) -> None:
    """The program would take it for an old copy that an editor has saved over its note."""
    columns, cells = ",order_id,trigger_time,trigger_price", row("btc", 51000)
    path = config(tmp_path, f"{cells},,,", columns=columns)
    (before,) = RuleFile(path, Disk()).read().rows
    fired_as = letters_of(before)
    yes = cells.replace("true", "yes")
    for fired, armed in ((fired_as, f"{yes},,,"), ("another", f"{cells},,,"), ("", f"{cells},,,")):
        config(tmp_path, cells.replace("true", "false") + ",O1,then,51001", columns=columns)
        assert edit(path, Command(Verb.ARM, "btc"), partial(noted, fired)).is_done
        assert path.read_text(encoding="utf-8").splitlines()[1] == armed
    (before,) = RuleFile(path, Disk()).read().rows
    config(tmp_path, yes.replace("yes", "false") + ",O2,then,51001", columns=columns)
    spellings = letters_of({**before, "enabled": "yes"})
    assert edit(path, Command(Verb.ARM, "btc"), partial(noted, spellings)).is_done
    assert path.read_text(encoding="utf-8").splitlines()[1] == f"{cells},,,"


def test_row_that_is_disarmed_is_disarmed_whatever_it_was_when_it_fired(tmp_path: Path) -> None:
    """No digest in a state, whoever has written it, makes the opposite of a command."""
    path = config(tmp_path, row("btc", 51000))
    (before,) = RuleFile(path, Disk()).read().rows
    spellings = letters_of({**before, "enabled": "false"})
    assert edit(path, Command(Verb.DISARM, "btc"), partial(noted, spellings)).is_done
    (after,) = RuleFile(path, Disk()).read().rows
    assert after["enabled"] == "false"


def test_row_is_armed_by_hand_as_often_as_it_has_fired(live: LiveProgram) -> None:
    """With an order of its own each time, whether the program is asked or the file is edited."""
    hands, known = Hands(live.ttslo), partial(life_on_disk, live.folder / "state.csv", "btc")
    config_csv = live.folder / "config.csv"
    for number in range(1, 5):
        live.wait_for_watch("btc")
        # The last one may be too old by now: a note of a file that was just edited waits.
        trade(live, 50000 + number)
        assert hands.request(FIRE).is_done
        assert live.exchange.placed_count() == number
        wait_until(lambda: b",false," in config_csv.read_bytes(), "it is noted")
        wait_until(lambda: live.ttslo.state["btc"]["noted"] == "true", "and that is known")
        if number % 2:
            assert hands.request(Command(Verb.ARM, "btc")).is_done
        else:
            wait_until(lambda: (life := known()) and life.noted, "state.csv is written")
            assert edit(config_csv, Command(Verb.ARM, "btc"), known).is_done


def test_life_is_what_state_and_journal_know_together(tmp_path: Path) -> None:
    """An order that is on its way stands in the journal alone; its outcome outdoes that."""
    path = tmp_path / "state.csv"
    journal = tmp_path / "state.csv.intents"
    assert life_on_disk(path, "btc") == Life("btc")

    def written(known: Life) -> Life | None:
        cells = cells_of(known)
        text = ",".join(quote(cell, ",") for cell in cells.values())
        path.write_text(f"{','.join(cells)}\n{text}\n", encoding="utf-8")
        return life_on_disk(path, "btc")

    armed, intended = life(RuleState.ARMED), life(RuleState.INTENDED, sends=1)
    assert written(armed) == armed
    journal.write_bytes(intent_lines([cells_of(intended)]))
    assert written(armed) == intended
    placed = intended._replace(state=RuleState.PLACED, order_id="O1", letters="0123 4567")
    assert written(placed) == placed
    assert life_on_disk(path, "eth") == Life("eth")


@pytest.mark.parametrize("text", [b"id,triggered\nbtc,perhaps\n", b"\0", None])
def test_life_that_nobody_can_read_hinders_no_edit(tmp_path: Path, text: bytes | None) -> None:
    """The program says by itself what it does not trade for that."""
    path, state = config(tmp_path, row("btc", 51000)), tmp_path / "state.csv"
    if text is None:
        state.mkdir()
        (tmp_path / "state.csv.intents").mkdir()
    else:
        state.write_bytes(text)
    known = life_on_disk(state, "btc")
    assert known in (None, Life("btc"))
    assert edit(path, Command(Verb.ARM, "btc"), lambda: known).is_done


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (life(RuleState.INTENDED), "its order is on its way"),
        (life(RuleState.UNCERTAIN), "its order is on its way"),
        (life(RuleState.PLACED, order_id="O1"), "it has fired (order O1), and the program has"),
        (life(RuleState.CLOSED, order_id="O1"), "it has fired (order O1), and the program has"),
        (life(RuleState.DISARMED, detail=EXPIRED), "it has expired. To arm it, change its cell"),
    ],
)
def test_row_is_not_called_armed_that_would_not_be(tmp_path: Path, known: Life, said: str) -> None:
    """Its note would disable it, or it has ended: that is said, and nothing is written."""
    path = config(tmp_path, row("btc", 51000))
    (before,), data = RuleFile(path, Disk()).read().rows, path.read_bytes()
    known = known._replace(row=fingerprint(read_rule(before)))
    answer = edit(path, Command(Verb.ARM, "btc"), lambda: known)
    assert (answer.is_done, path.read_bytes()) == (False, data)
    assert "btc: NOT armed" in answer.text
    assert said in answer.text
    assert edit(path, Command(Verb.DISARM, "btc"), lambda: known).is_done
    if known.state is RuleState.DISARMED:
        config(tmp_path, row("btc", 52000))
        assert edit(path, Command(Verb.ARM, "btc"), lambda: known).is_done


def test_what_has_become_of_a_row_is_looked_at_after_whoever_saves_the_file(tmp_path: Path) -> None:
    """Its note waits for them just as long."""
    path, disk, seen = config(tmp_path, row("btc", 51000)), SteadyDisk(), list[float]()
    disk.date(path)

    def go_on(seconds: float) -> None:
        disk.seconds += seconds

    def known() -> Life:
        seen.append(disk.seconds - path.stat().st_mtime)
        return life(RuleState.PLACED, order_id="O1")

    assert not edit(path, Command(Verb.ARM, "btc"), known, disk, go_on).is_done
    assert seen[0] > 0.4


def test_row_that_has_fired_is_armed_by_hand_once_it_is_noted(live: LiveProgram) -> None:
    """Before that the answer says what is so; whoever was told that it is armed has it armed."""
    hands, files = Hands(live.ttslo), live.ttslo.files
    config_csv, may_note = live.folder / "config.csv", Event()
    arm, known = Command(Verb.ARM, "btc"), partial(life_on_disk, live.folder / "state.csv", "btc")
    note = files.note_orders

    def hold(lives: Sequence[Life]) -> Collection[str]:
        if not may_note.is_set():
            raise PermissionError(13, "Permission denied")
        return note(lives)

    files.note_orders = hold  # type: ignore[method-assign]  # somebody has locked the file
    assert hands.request(FIRE).is_done
    before = config_csv.read_bytes()
    for answer in (hands.request(arm), edit(config_csv, arm, known)):
        assert not answer.is_done
        assert "btc: NOT armed" in answer.text
        assert config_csv.read_bytes() == before
    may_note.set()
    wait_until(lambda: live.ttslo.state["btc"]["noted"] == "true", "it is noted")
    assert hands.request(arm).is_done
    live.wait_for_watch("btc")
    assert live.ttslo.state["btc"]["generation"] == "2"


@pytest.mark.parametrize("name", ["gone", ""])
def test_row_that_is_not_there_leaves_the_file_as_it_is(tmp_path: Path, name: str) -> None:
    """The answer names the row and the file."""
    path = config(tmp_path, row("btc", 51000))
    before = path.read_bytes()
    answer = edit(path, Command(Verb.ARM, name))
    assert not answer.is_done
    assert "stays as it is: no row has the id" in answer.text
    assert path.read_bytes() == before
    assert not edit(tmp_path / "none.csv", Command(Verb.ARM, "btc")).is_done


class SteadyDisk(Disk):
    """A disk beside a clock that moves by hand, by which its files are dated."""

    seconds = 1_800_000_000.25

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def date(self, path: Path) -> None:
        """Let a file be written just now."""
        moment = round(self.seconds * 1000) * 10**6
        os.utime(path, ns=(moment, moment))


def test_edit_by_hand_waits_for_whoever_saves_the_file_in_place(tmp_path: Path) -> None:
    """What they write behind it would be lost, and the rows there disarmed."""
    path, disk = config(tmp_path, row("btc", 51000), row("eth", 4000)), SteadyDisk()
    whole = path.read_bytes()
    pieces = [whole[:90], whole[90:120], whole[120:]]
    with path.open("wb", buffering=0) as file:
        file.write(pieces.pop(0))
        disk.date(path)

        def go_on(seconds: float) -> None:
            disk.seconds += seconds
            if pieces and disk.seconds - path.stat().st_mtime > 0.3:
                file.write(pieces.pop(0))
                disk.date(path)

        assert edit(path, Command(Verb.DISARM, "eth"), disk=disk, pause=go_on).is_done
    assert pieces == []
    disarmed = row("eth", 4000).replace("true", "false")
    assert path.read_bytes() == whole.replace(row("eth", 4000).encode(), disarmed.encode())


@pytest.mark.parametrize("is_replaced", [False, True], ids=["in place", "replaced each time"])
def test_edit_by_hand_is_never_written_into_a_save(tmp_path: Path, is_replaced: bool) -> None:
    """What comes behind it would be lost. Who replaces the file has nothing more to say in it."""
    path, disk = config(tmp_path, row("btc", 51000)), SteadyDisk()
    whole = path.read_bytes()
    disk.date(path)

    def go_on(seconds: float) -> None:
        disk.seconds += seconds
        if is_replaced:
            (tmp_path / "next").write_bytes(whole)
            (tmp_path / "next").replace(path)
        disk.date(path)

    began = disk.seconds
    answer = edit(path, Command(Verb.DISARM, "btc"), disk=disk, pause=go_on)
    assert 2.5 < disk.seconds - began < 3.5
    assert answer.is_done == is_replaced
    assert (path.read_bytes() == whole) is not is_replaced
    assert is_replaced or "is being written to all the while; ask again" in answer.text


# --- the command's file ----------------------------------------------------------------------


def test_command_comes_out_as_it_went_in() -> None:
    """And nothing else is one."""
    for verb in Verb:
        command = Command(verb, "btc")
        assert decoded(encoded("t", command, 7.0)) == ("t", command, 7.0)
    whole = json.loads(encoded("t", FIRE, 7.0))
    for broken in (
        b"",
        b"[]",
        b"{}",
        b"null",
        b"\xff",
        json.dumps({**whole, "verb": "sell"}).encode(),
    ):
        assert decoded(broken) is None
    for name in whole:
        assert decoded(json.dumps({k: v for k, v in whole.items() if k != name}).encode()) is None


def test_dry_run_has_its_own_place(tmp_path: Path) -> None:
    """So that a command never reaches the other program."""
    real, dry = command_path(tmp_path / "state.csv"), command_path(tmp_path / "s.csv", is_dry=True)
    assert real.name == "state.csv.command.json"
    assert answer_path(real).name == "state.csv.answer.json"
    assert dry.name == "s.csv.dry-run.command.json"


class Doer(Hands):
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Command] = []

    def request(self, command: Command) -> Answer:
        self.asked.append(command)
        return Answer(True, "done")


def door(folder: Path) -> tuple[Door, Doer, Path, list[str]]:
    """Return a door, who does what it brings, its file, and what it complains of."""
    doer = Doer()
    told: list[str] = []
    path = command_path(folder / "state.csv")
    return Door(doer, path, told.append), doer, path, told


def test_command_is_taken_once_and_answered(tmp_path: Path) -> None:
    """The file is gone before it is done, so that no crash does it twice."""
    gate, doer, path, _ = door(tmp_path)
    path.write_bytes(encoded("abc", FIRE, time.time()))
    gate.look()
    gate.look()
    assert doer.asked == [FIRE]
    assert json.loads(answer_path(path).read_bytes()) == {
        "token": "abc",
        "is_done": True,
        "text": "done",
    }
    assert [one.name for one in tmp_path.iterdir()] == [answer_path(path).name]


@pytest.mark.parametrize("age", [61.0, -61.0, 1e9])
def test_old_command_is_not_meant_any_more(tmp_path: Path, age: float) -> None:
    """It is answered, and nothing is done."""
    gate, doer, path, _ = door(tmp_path)
    path.write_bytes(encoded("abc", FIRE, time.time() - age))
    gate.look()
    assert doer.asked == []
    assert "nothing was done" in json.loads(answer_path(path).read_bytes())["text"]


@pytest.mark.parametrize("data", [b"rubbish", b"x" * 20_000])
def test_file_that_is_no_command_is_taken_away_and_told(tmp_path: Path, data: bytes) -> None:
    """Nobody waits for an answer to it."""
    gate, doer, path, told = door(tmp_path)
    path.write_bytes(data)
    gate.look()
    assert doer.asked == []
    assert not path.exists()
    assert "was no command" in told[0]


def test_command_from_before_the_start_is_not_meant(tmp_path: Path) -> None:
    """Whoever wrote it wrote it to another run."""
    gate, doer, path, _ = door(tmp_path)
    path.write_bytes(encoded("abc", FIRE, time.time()))
    with gate.over():
        assert not path.exists()
    assert doer.asked == []


# --- a running program -----------------------------------------------------------------------


def test_row_is_fired_by_hand_once_and_its_order_is_cancelled(live: LiveProgram) -> None:
    """The way of any crossing: one order, in both files; and a word for each thing done."""
    hands = Hands(live.ttslo)
    answer = hands.request(FIRE)
    assert answer.is_done, answer.text
    (order,) = live.exchange.orders
    assert order["txid"] in answer.text
    assert not hands.request(FIRE).is_done
    assert live.exchange.placed_count() == 1
    live.exchange.set_price("XXBTZUSD", "51001")
    cancelled = hands.request(Command(Verb.CANCEL, "btc"))
    assert cancelled.is_done, cancelled.text
    assert [one["status"] for one in live.exchange.orders] == ["canceled"]
    live.wait_for_line("fired by hand at 50000")
    live.wait_for_line("somebody asks by hand to cancel it")
    wait_until(lambda: not live.ttslo.worker.standing, "the program has seen the end of its order")
    assert not hands.request(Command(Verb.CANCEL, "btc")).is_done
    assert live.exchange.placed_count() == 1


def test_order_of_somebody_else_cannot_be_reached(live: LiveProgram) -> None:
    """Only what a row of this program has placed, and that stands, is cancelled."""
    hands = Hands(live.ttslo)
    for name in ("btc", "gone", "OAAAAA-BBBBB-CCCCCC"):
        answer = hands.request(Command(Verb.CANCEL, name))
        assert not answer.is_done
        assert "nothing was cancelled" in answer.text
    assert live.exchange.count("CancelOrder") == 0


def test_refusal_is_told_to_whoever_asked(live: LiveProgram) -> None:
    """The row stays where any refused crossing would leave it."""
    live.exchange.fault("error", text="EOrder:Insufficient funds", endpoint="AddOrder")
    answer = Hands(live.ttslo).request(FIRE)
    assert not answer.is_done
    assert "its order is refused" in answer.text
    assert "Insufficient funds" in answer.text


def test_row_that_is_not_armed_cannot_be_fired(live: LiveProgram) -> None:
    """Neither one that is disabled nor one that is not there."""
    assert "it is not armed" in Hands(live.ttslo).request(replace(FIRE, row="gone")).text
    hands = Hands(live.ttslo)
    assert hands.request(Command(Verb.DISARM, "btc")).is_done
    live.wait_for_watch("btc", is_armed=False)
    wait_until(
        lambda: live.ttslo.state["btc"]["rule_state"] == "disarmed", "the order thread knows it"
    )
    assert not hands.request(FIRE).is_done
    assert hands.request(Command(Verb.ARM, "btc")).is_done
    live.wait_for_watch("btc")
    assert live.exchange.placed_count() == 0


def test_command_line_reaches_the_program_by_its_file(live: LiveProgram) -> None:
    """A file beside the state, and the answer beside that."""
    state = str(live.folder / "state.csv")
    path = command_path(state)
    with door_of(live.ttslo, state).over():
        path.write_bytes(encoded("abc", FIRE, time.time()))
        wait_until(answer_path(path).exists, "the command is answered")
    assert json.loads(answer_path(path).read_bytes())["is_done"]
    assert live.exchange.placed_count() == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can chown")
def test_file_of_another_user_is_no_command(tmp_path: Path) -> None:
    """Who may write beside the state is not who may trade."""
    gate, doer, path, told = door(tmp_path)
    path.write_bytes(encoded("abc", FIRE, time.time()))
    os.chown(path, 65534, 65534)
    gate.look()
    assert (doer.asked, len(told)) == ([], 1)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with a name here")
def test_pipe_in_place_of_a_command_holds_nobody_up(tmp_path: Path) -> None:
    """It is taken away and told; whoever opened it to read would wait for its writer for ever."""
    gate, doer, path, told = door(tmp_path)
    os.mkfifo(path)
    gate.look()
    assert (doer.asked, len(told)) == ([], 1)
    assert not path.exists()


def test_rehearsal_leaves_the_config_alone(live: LiveProgram, tmp_path: Path) -> None:
    """A real run may go on in the same folder, and would obey what was written there."""
    live.ttslo.dry_run = True
    before = (tmp_path / "config.csv").read_bytes()
    for verb in (Verb.ARM, Verb.DISARM):
        answer = Hands(live.ttslo).request(Command(verb, "btc"))
        assert not answer.is_done
        assert "only reads the config" in answer.text
    assert (tmp_path / "config.csv").read_bytes() == before


def test_old_price_is_none_to_fire_at(live: LiveProgram, monkeypatch: pytest.MonkeyPatch) -> None:
    """A volume in money would be worked out of it."""
    monkeypatch.setattr("ttslo_app.run.by_hand._FRESH", -1.0)
    answer = Hands(live.ttslo).request(FIRE)
    assert not answer.is_done
    assert live.exchange.placed_count() == 0
