"""config.csv as it is read, validated, and handed to the order thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from config import ConfigManager
from kraken_api import KrakenAPI
from krakenlink.errors import KrakenConnectionError, PriceUnavailable
from krakenlink.pairs import Pair
from tests.kits.common.fresh_python import ROOT, run_python
from tests.kits.program.caller_kit import HEADER, ROW, StandIn, config, logged, manager_in, rows_of
from tests.kits.rows.rows_kit import BTC
from ttslo import TTSLO
from ttslo_app.run import loader
from ttslo_app.store.disk import Disk, Stamp


@pytest.fixture
def manager(tmp_path: Path) -> ConfigManager:
    """Hand out the files, with one rule in config.csv."""
    return manager_in(tmp_path)


def test_config_file_is_new_once_and_after_a_change(manager: ConfigManager) -> None:
    """True at first and after an edit, False in between and after our own write."""
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    assert program.config_file_mtime is None
    assert program.check_config_file_changed() is True
    assert program.check_config_file_changed() is False
    assert program.config_file_mtime == Path(manager.config_file).stat().st_mtime
    Path(manager.config_file).write_text(f"{HEADER}\n{ROW}\n\n", encoding="utf-8")
    assert program.check_config_file_changed() is True
    program.validate_and_load_config()
    program.process_config(config(), 60000)
    assert program.check_config_file_changed() is False


def test_edit_right_before_our_own_write_is_still_seen(manager: ConfigManager) -> None:
    """A user's edit that the order thread met first, and wrote upon, still counts as an edit."""
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    program.run_once()
    other = "eth,XETHZUSD,4000,above,sell,0.1,5.0,true"
    Path(manager.config_file).write_text(f"{HEADER}\n{ROW}\n{other}\n", encoding="utf-8")
    program.process_config(config(), 60000)
    assert rows_of(manager)[0]["enabled"] == "false"
    assert program.check_config_file_changed() is True


def test_edit_is_taken_once_the_file_has_been_left_alone(
    manager: ConfigManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is looked at: half a second after the last piece, and no sooner."""
    path, taken, is_soon = Path(manager.config_file), list[int](), list[bool]()
    program = TTSLO(manager, StandIn(), StandIn())
    program.run_once()
    program.loader.tell_news()
    for eighth in range(25):
        monkeypatch.setattr(loader, "feed_clock", partial(float, eighth / 8))
        if eighth in (4, 6, 7, 10):
            path.write_bytes(path.read_bytes() + ROW.replace("btc", f"r{eighth}").encode() + b"\n")
        is_soon.append(program.look_at_files())
        taken.append(len(program.configs))
    assert taken == [1] * 14 + [5] * 11
    # After each piece until it has been taken, and until all of it is told of.
    assert is_soon == [True] * 15 + [False] * 10


class Busy(StandIn):
    """A Kraken that another thread is not done with while it is asked for a price."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: list[Callable[[], object]] = []

    def get_current_price(self, pair: str) -> object:
        while self.meanwhile:
            self.meanwhile.pop()()
        return super().get_current_price(pair)


def test_wish_to_read_the_file_again_outlives_the_reading_under_way(manager: ConfigManager) -> None:
    """What is armed may change, as other hosts know it, after this one was asked what is."""
    kraken = Busy()
    program = TTSLO(manager, kraken, kraken)
    assert program.check_config_file_changed()
    kraken.meanwhile.append(program.loader.read_again_soon)
    program.validate_and_load_config()
    assert not kraken.meanwhile
    assert [program.check_config_file_changed() for _ in range(2)] == [True, True]
    program.validate_and_load_config()
    assert not program.check_config_file_changed()


class CoarseDisk(Disk):
    """A disk whose files know to two seconds when they were written, as those of FAT do."""

    written_at = 0.0

    def stamp(self, path: Path) -> Stamp | None:
        found = super().stamp(path)
        at_ns = int(self.written_at // 2 * 2) * 10**9
        return None if found is None else Stamp(at_ns, found.size, found.inode)


def test_edit_of_the_same_length_is_taken_where_the_disk_has_a_coarse_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one has the stamp of the first, which must not have been read by then."""
    path, disk = Path(manager_in(tmp_path).config_file), CoarseDisk()
    manager = ConfigManager(path, tmp_path / "state.csv", tmp_path / "logs.csv", disk=disk)
    program = TTSLO(manager, StandIn(), StandIn())
    program.run_once()
    edits = {10.25: "51000", 11.5: "52000"}
    for now in (eighth / 8 for eighth in range(80, 112)):
        monkeypatch.setattr(loader, "feed_clock", partial(float, now))
        if (price := edits.get(now)) is not None:
            with path.open("r+") as file:  # in place, as some editors write
                file.write(f"{HEADER}\n{ROW.replace('50000', price)}\n")
            disk.written_at = now
        program.look_at_files()
    assert [row["threshold_price"] for row in program.configs] == ["52000"]
    assert [type(row).__mro__[1] for row in program.configs] == [dict]  # as callers know it
    assert program.configs is program.configs


class Slow(KrakenAPI):
    """A true client, whose user begins to write the file again while it is asked for the time."""

    def __init__(self, path: Path) -> None:
        super().__init__(use_websocket=False)
        self.path, self.half = path, b""

    def server_time(self) -> float:
        if self.half:
            self.path.write_bytes(self.half)
        raise KrakenConnectionError("no route", request_sent=False)

    def resolve_pair(self, pair: str, max_age: float | None = None) -> Pair:
        return BTC

    def get_tickers(self, pairs: Iterable[str]) -> dict[str, Any]:
        return dict.fromkeys(pairs, Decimal(40_000))


def test_file_that_is_written_while_kraken_is_asked_for_the_time_is_left(
    manager: ConfigManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was whole a moment ago may be half by the time that it is read."""
    path = Path(manager.config_file)
    kraken = Slow(path)
    program = TTSLO(manager, kraken)
    program.validate_and_load_config()
    whole = path.read_bytes() + ROW.replace("btc", "eth").encode() + b"\n"
    for half, ids in ((whole[:20], ["btc"]), (b"", ["btc", "eth"])):
        path.write_bytes(whole)
        kraken.half = half
        for now in (1.0, 2.0) if half else (3.0, 4.0):
            monkeypatch.setattr(loader, "feed_clock", partial(float, now))
            program.look_at_files()
        assert path.read_bytes() == (half or whole)
        assert [row["id"] for row in program.configs] == ids


class Failing(Slow):
    """A caller's own client, which fails in a way of its own, once, when asked for the time."""

    has_failed = False

    def server_time(self) -> float:
        if not self.has_failed:
            self.has_failed = True
            raise ZeroDivisionError("once")
        return super().server_time()


def test_edit_is_taken_although_something_fails_before_it_is_read(
    manager: ConfigManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That it is new is told once, and so must not be forgotten on the way to its reading."""
    path = Path(manager.config_file)
    program = TTSLO(manager, Failing(path))
    program.validate_and_load_config()
    path.write_bytes(path.read_bytes() + ROW.replace("btc", "eth").encode() + b"\n")
    for now, fails in ((1.0, False), (2.0, True), (3.0, False)):
        monkeypatch.setattr(loader, "feed_clock", partial(float, now))
        with pytest.raises(ZeroDivisionError) if fails else nullcontext():
            program.look_at_files()
    assert [row["id"] for row in program.configs] == ["btc", "eth"]


class Noting(Slow):
    """A true client: an order is noted in the file while it is asked for the time."""

    manager: ConfigManager | None = None

    def server_time(self) -> float:
        if self.manager is not None:
            self.manager.update_config_on_trigger("btc", "O1", "2026-11-20T10:00:00Z", "1")
            self.manager = None
        raise KrakenConnectionError("no route", request_sent=False)


def test_edit_is_taken_although_the_program_writes_over_it_while_kraken_is_asked(
    manager: ConfigManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own writing is no edit, and must not hide the one that it was put into."""
    path = Path(manager.config_file)
    kraken = Noting(path)
    program = TTSLO(manager, kraken)
    program.validate_and_load_config()
    path.write_bytes(path.read_bytes() + ROW.replace("btc", "eth").encode() + b"\n")
    kraken.manager = manager
    for now in range(1, 9):
        monkeypatch.setattr(loader, "feed_clock", partial(float, now))
        program.look_at_files()
    assert b"O1" in path.read_bytes()
    assert [row["id"] for row in program.configs] == ["btc", "eth"]


def test_edit_is_taken_although_the_next_one_comes_as_it_is_looked_at(
    manager: ConfigManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look whether the file is left alone and the one whether it is new."""
    path = Path(manager.config_file)
    program = TTSLO(manager, StandIn(), StandIn())
    program.run_once()
    more = [ROW.replace("btc", "eth").encode() + b"\n"]
    has_changed = program.loader.has_changed

    def edited() -> bool:
        if more:
            path.write_bytes(path.read_bytes() + more.pop())
        return has_changed()

    monkeypatch.setattr(program.loader, "has_changed", edited)
    path.write_bytes(path.read_bytes() + ROW.replace("btc", "sol").encode() + b"\n")
    for now in range(1, 9):
        monkeypatch.setattr(loader, "feed_clock", partial(float, now))
        program.look_at_files()
    assert [row["id"] for row in program.configs] == ["btc", "sol", "eth"]


def test_missing_config_file_has_not_changed(manager: ConfigManager) -> None:
    """No file is no change."""
    Path(manager.config_file).unlink()
    assert TTSLO(manager, StandIn()).check_config_file_changed() is False


def test_validation_lets_good_rows_trade_and_names_the_others(manager: ConfigManager) -> None:
    """A refused row never trades and never stops the others."""
    bad = "bad,XXBTZUSD,fifty,above,sell,0.01,5.0,true"
    Path(manager.config_file).write_text(f"{HEADER}\n{bad}\n{ROW}\n", encoding="utf-8")
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    assert program.validate_and_load_config() is True
    kraken.price = 60000
    program.run_once()
    assert [row["id"] for row in program.configs] == ["btc"]
    assert len(kraken.orders) == 1
    assert "bad: refused" in logged(manager, "ERROR")
    assert "threshold_price" in logged(manager, "ERROR")


def test_validation_with_no_good_row_is_false(manager: ConfigManager) -> None:
    """There is nothing to run with."""
    Path(manager.config_file).write_text(f"{HEADER}\nx,,,,,,,\n", encoding="utf-8")
    assert TTSLO(manager, StandIn()).validate_and_load_config() is False


def test_threshold_met_at_the_first_sight_is_refused(manager: ConfigManager) -> None:
    """A row whose threshold is met when it is first seen is a slip, and does not trade."""
    kraken = StandIn(price=60000)
    program = TTSLO(manager, kraken, kraken)
    assert program.validate_and_load_config() is False
    program.run_once()
    assert kraken.orders == []


def test_threshold_crossed_while_the_program_was_down_fires(manager: ConfigManager) -> None:
    """A row that was armed before and is met at the next start is acted upon."""
    kraken = StandIn(price=40000)
    first = TTSLO(manager, kraken, kraken)
    first.run_once()
    kraken.price = 60000
    second = TTSLO(manager, kraken, kraken)
    second.load_state()
    second.recover()
    second.run_once()
    assert len(kraken.orders) == 1


def test_half_typed_threshold_disarms_its_row_loudly(manager: ConfigManager) -> None:
    """An edit that does not pass takes the row out, last good version included."""
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    program.run_once()
    text = f"{HEADER}\n{ROW.replace('50000', '5')}\n"
    Path(manager.config_file).write_text(text, encoding="utf-8")
    program.run_once()
    kraken.price = 60000
    program.run_once()
    assert kraken.orders == []
    assert "NO LONGER IS" in logged(manager, "ERROR")


def test_unreadable_config_keeps_what_was_armed(manager: ConfigManager) -> None:
    """Cannot read is not the same as empty."""
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    program.run_once()
    Path(manager.config_file).unlink()
    Path(manager.config_file).mkdir()
    assert program.validate_and_load_config() is True
    kraken.price = 60000
    program.process_config(config(), 60000)
    assert "cannot be read" in logged(manager, "ERROR")
    assert len(kraken.orders) == 1


def test_edit_is_taken_beside_a_row_that_an_earlier_version_fired(manager: ConfigManager) -> None:
    """The note that is written for that row ends no reading that comes after it."""
    cells = "old,true,60005,2026-01-01T00:00:00,OAAAAA-BBBBB-CCCCCC,,2026-01-01T00:00:00"
    columns = "id,triggered,trigger_price,trigger_time,order_id,activated_on,last_checked"
    Path(manager.state_file).write_text(f"{columns}\n{cells}\n", encoding="utf-8")
    path, old = Path(manager.config_file), ROW.replace("btc", "old")
    path.write_text(f"{HEADER}\n{ROW}\n{old}\n", encoding="utf-8")
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    program.load_state()
    program.recover()
    program.validate_and_load_config()
    assert rows_of(manager)[1]["order_id"] == "OAAAAA-BBBBB-CCCCCC"
    path.write_text(path.read_text().replace("50000,above", "51000,above"), encoding="utf-8")
    assert program.validate_and_load_config()
    assert program.state["btc"]["row"].split()[1] == "51000"
    assert program.state["old"]["order_id"] == "OAAAAA-BBBBB-CCCCCC"
    assert kraken.orders == []


def test_old_copy_of_the_file_saved_over_a_fired_row_places_nothing(manager: ConfigManager) -> None:
    """A spreadsheet open since before the order must not fire its row again."""
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    old = Path(manager.config_file).read_bytes()
    program.run_once()
    kraken.price = 60000
    program.run_once()
    assert len(kraken.orders) == 1
    Path(manager.config_file).write_bytes(old)
    program.run_once()
    program.run_once()
    assert len(kraken.orders) == 1
    assert "NOT armed again: an old copy of the row" in logged(manager, "ERROR")


def test_new_row_without_a_price_is_not_armed_until_there_is_one(manager: ConfigManager) -> None:
    """A slip of the hand must not trade because nobody could look at the price."""
    kraken = StandIn(price=RuntimeError("no network"))
    program = TTSLO(manager, kraken, kraken)
    assert program.validate_and_load_config() is True
    assert "NOT ARMED YET" in logged(manager, "ERROR")
    program.report()
    assert "not armed yet" not in logged(manager, "INFO")  # each fact once
    kraken.price = 60000
    program.run_once()
    program.run_once()
    assert kraken.orders == []
    assert "Threshold already met" in logged(manager, "ERROR")


def test_row_that_waited_for_a_price_is_armed_by_the_next_reading(manager: ConfigManager) -> None:
    """Once there is a price the row is armed, without an edit of the file."""
    kraken = StandIn(price=RuntimeError("no network"))
    program = TTSLO(manager, kraken, kraken)
    program.run_once()
    kraken.price = 40000
    program.run_once()
    kraken.price = 60000
    program.run_once()
    assert len(kraken.orders) == 1


class Priceless(StandIn):
    """A Kraken that answers, and has no price yet for the pair."""

    has_price = False

    def get_tickers(self, pairs: list[str]) -> dict[str, object]:
        why = PriceUnavailable("XXBTZUSD", "Kraken's answer holds no price")
        return dict.fromkeys(pairs, self.price if self.has_price else why)


def test_row_of_a_pair_without_a_price_is_told_once_and_armed_when_it_has_one(
    manager: ConfigManager,
) -> None:
    """Its file is read again for as long as that lasts, and nothing is said twice."""
    kraken = Priceless(price=40000)
    program = TTSLO(manager, kraken, kraken)
    for _ in range(3):
        program.run_once()
    errors = logged(manager, "ERROR")
    assert errors.count("This row cannot fire: BTC/USD has no price at Kraken") == 1
    assert "NOT ARMED YET" not in errors
    kraken.has_price = True
    program.run_once()
    kraken.price = 60000
    program.run_once()
    assert len(kraken.orders) == 1


def test_edit_that_cannot_be_read_for_a_moment_is_read_later(manager: ConfigManager) -> None:
    """An unreadable moment does not lose the edit that it hid."""
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    program.run_once()
    path = Path(manager.config_file)
    path.unlink()
    path.mkdir()
    program.run_once()
    path.rmdir()
    path.write_text(f"{HEADER}\n{ROW.replace('50000', '55000')}\n", encoding="utf-8")
    program.run_once()
    assert program.configs[0]["threshold_price"] == "55000"


def test_config_that_is_gone_is_told_once_with_what_stays_armed(manager: ConfigManager) -> None:
    """Who moves the file away learns that its rows go on, and how to end that."""
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    program.run_once()
    path = Path(manager.config_file)
    away = path.with_name("away.csv")
    for _ in range(2):
        path.rename(away)
        for _ in range(3):
            assert program.check_config_file_changed() is False
        away.rename(path)
        program.check_config_file_changed()
    warnings = logged(manager, "WARNING").splitlines()
    gone = [line for line in warnings if "is GONE. What was read last stays armed" in line]
    assert len(gone) == 2
    assert "until it is back or the program ends: btc" in gone[0]
    assert logged(manager, "INFO").count("is there again") == 2


def test_finding_of_the_file_is_told_once_and_anew_after_it_was_mended(
    manager: ConfigManager,
) -> None:
    """A file that is read every few seconds, for want of a price, says what is odd once."""
    odd = f"{HEADER},volume\n{ROW},\n"
    program = TTSLO(manager, StandIn(), StandIn())
    for text in (odd, odd + "\n", f"{HEADER}\n{ROW}\n", odd):
        Path(manager.config_file).write_text(text, encoding="utf-8")
        program.validate_and_load_config()
    assert logged(manager, "WARNING").count("names the column 'volume' 2 times") == 2


def test_funds_that_do_not_suffice_are_said_without_being_asked(manager: ConfigManager) -> None:
    """Nobody needs to want details to learn that two rows sell more than there is."""
    rows = (ROW.replace("btc", name).replace("0.01", "0.6") for name in ("one", "two"))
    Path(manager.config_file).write_text("\n".join([HEADER, *rows, ""]), encoding="utf-8")
    assert TTSLO(manager, StandIn()).validate_and_load_config() is True
    said = "one, two: Insufficient BTC: 2 armed rows take 1.20000000 together"
    assert logged(manager, "WARNING").count("Insufficient BTC") == 1
    assert said in logged(manager, "WARNING")


def test_far_threshold_is_said_without_being_asked(manager: ConfigManager) -> None:
    """Nobody needs to want details to learn that a digit may be missing."""
    far = ROW.replace("50000", "5000000")
    Path(manager.config_file).write_text(f"{HEADER}\n{far}\n", encoding="utf-8")
    program = TTSLO(manager, StandIn(price=40000), StandIn(price=40000))
    program.run_once()
    program.run_once()
    assert logged(manager, "WARNING").count("Far threshold: 5000000 is 125 times the price") == 1


def test_notes_are_known_of_good_and_bad_rows_and_stay_in_the_file(manager: ConfigManager) -> None:
    """What the user wrote beside a row is kept as it is, and is no part of what the row means."""
    bad = "bad,XXBTZUSD,fifty,above,sell,0.01,5.0,true,mend me"
    text = f"{HEADER},note\n{bad}\n{ROW},half; of the savings\n"
    Path(manager.config_file).write_text(text, encoding="utf-8")
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    assert program.loader.notes == {}
    program.run_once()
    assert program.loader.notes == {"bad": "mend me", "btc": "half; of the savings"}
    kraken.price = 60000
    program.run_once()
    rows = {row["id"]: row for row in rows_of(manager)}
    assert rows["btc"]["enabled"] == "false"
    assert rows["btc"]["note"] == "half; of the savings"


def test_note_that_changes_arms_nothing_anew(manager: ConfigManager) -> None:
    """Words are no condition: the row waits on as it did."""
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    Path(manager.config_file).write_text(f"{HEADER},note\n{ROW},one\n", encoding="utf-8")
    program.run_once()
    before = dict(program.state["btc"])
    Path(manager.config_file).write_text(f"{HEADER},note\n{ROW},another\n", encoding="utf-8")
    program.run_once()
    assert program.loader.notes == {"btc": "another"}
    changed = {k for k, v in program.state["btc"].items() if before.get(k) != v}
    assert changed <= {"last_checked"}


# --- what the price alone keeps from being armed -------------------------------------------------


class Counting(StandIn):
    """Counts how often it was asked for a price."""

    asked = 0

    def get_current_price(self, pair: str) -> object:
        self.asked += 1
        return super().get_current_price(pair)


# Each with a price that refuses the row, its word for it, and one that lets it wait.
OFF_PRICE = {
    "met": (60000, "Threshold already met", 47000),
    "met exactly": (50000, "Threshold already met", 47000),
    "too near": (49000, "Insufficient gap", 47000),
}


@pytest.mark.parametrize(("price", "why", "good"), OFF_PRICE.values(), ids=OFF_PRICE)
def test_row_refused_for_the_price_is_armed_once_the_price_is_back(
    price: int, why: str, good: int, manager: ConfigManager
) -> None:
    """Nobody touches the file, and nothing fires before the price has been on the other side."""
    kraken = StandIn(price=price)
    program = TTSLO(manager, kraken, kraken)
    program.run_once()
    assert why in logged(manager, "ERROR")
    assert "armed as soon as the price is far enough on the other side" in logged(manager, "ERROR")
    for beyond in (60001, 70000, 50000):
        kraken.price = beyond
        program.run_once()
    assert (kraken.orders, program.configs) == ([], [])
    kraken.price = good
    program.run_once()
    program.loader.tell_news()
    assert [row["id"] for row in program.configs] == ["btc"]
    assert f"btc: armed: BTC/USD at or above 50000, now {good}" in logged(manager, "INFO")
    assert kraken.orders == []
    kraken.price = 50001
    program.run_once()
    assert len(kraken.orders) == 1


def test_row_that_came_near_first_is_armed_only_with_its_gap(manager: ConfigManager) -> None:
    """From beyond to just under the threshold is not far enough: a tick would fire it."""
    kraken = StandIn(price=60000)
    program = TTSLO(manager, kraken, kraken)
    program.run_once()
    kraken.price = 49900
    program.run_once()
    assert program.configs == []
    kraken.price = 60000
    program.run_once()
    assert kraken.orders == []


def test_what_the_price_refuses_is_said_once_however_it_moves(manager: ConfigManager) -> None:
    """The sentence holds today's price, and is no news with each tick."""
    kraken = StandIn(price=60000)
    program = TTSLO(manager, kraken, kraken)
    for price in range(60000, 60050, 10):
        kraken.price = price
        program.validate_and_load_config()
    assert logged(manager, "ERROR").count("Threshold already met") == 1


def test_edit_of_a_row_that_the_price_refuses_is_answered(manager: ConfigManager) -> None:
    """Another threshold that is met as well is another row: its user hears of it."""
    kraken = StandIn(price=60000)
    program = TTSLO(manager, kraken, kraken)
    program.run_once()
    Path(manager.config_file).write_text(
        f"{HEADER}\n{ROW.replace('50000', '55000')}\n", encoding="utf-8"
    )
    program.run_once()
    assert logged(manager, "ERROR").count("Threshold already met") == 2


def test_price_is_asked_for_those_alone_that_it_refuses(manager: ConfigManager) -> None:
    """A file whose rows are all armed, or refused for good, costs no call."""
    kraken = Counting()
    program = TTSLO(manager, kraken, kraken)
    program.run_once()
    asked = kraken.asked
    assert not any(program.check_config_file_changed() for _ in range(3))
    assert kraken.asked == asked
    kraken.price = 60000
    other = TTSLO(manager, kraken, kraken)
    other.validate_and_load_config()
    other.check_config_file_changed()
    asked = kraken.asked
    assert other.check_config_file_changed() is False
    assert kraken.asked == asked + 1


@pytest.mark.parametrize("price", [PriceUnavailable("XXBTZUSD", "no answer", None), "nan", 0])
def test_price_that_is_none_arms_nothing(price: object, manager: ConfigManager) -> None:
    """What cannot be asked for just now heals nobody."""
    kraken = StandIn(price=60000)
    program = TTSLO(manager, kraken, kraken)
    program.run_once()
    kraken.price = price
    program.run_once()
    assert (program.configs, kraken.orders) == ([], [])
    kraken.price = 40000
    program.run_once()
    assert [row["id"] for row in program.configs] == ["btc"]


def test_row_that_is_taken_away_is_not_asked_for(manager: ConfigManager) -> None:
    """A refused row that its user removed is nobody's business any more."""
    kraken = Counting(price=60000)
    program = TTSLO(manager, kraken, kraken)
    program.run_once()
    Path(manager.config_file).write_text(f"{HEADER}\n", encoding="utf-8")
    program.run_once()
    asked = kraken.asked
    kraken.price = 40000
    assert program.check_config_file_changed() is False
    assert kraken.asked == asked


MANY_ROWS = """
import gc
from pathlib import Path
from tests.kits.program.caller_kit import HEADER, StandIn
from config import ConfigManager
from ttslo import TTSLO
trader = StandIn()
program = TTSLO(ConfigManager("config.csv", "state.csv", "logs.csv"), trader, trader)
program.load_state()
program.log = lambda *words, **fields: None
kept = []
for edit in range(3):
    rows = [f"r{n},BTC/USD,{50000 + n + edit},above,sell,0.01,5.0,true" for n in range(COUNT)]
    Path("config.csv").write_text("\\n".join([HEADER, *rows, ""]), encoding="ascii")
    assert program.validate_and_load_config()
    program.worker.work_off()
    assert gc.isenabled()
    kept.append(gc.get_freeze_count())
"""


def loaded(count: int, then: str, folder: Path) -> str:
    """Return what `then` prints after three readings of so many rows in a fresh interpreter."""
    code = f"import os; os.chdir({str(folder)!r}); COUNT = {count}\n{MANY_ROWS}\n{then}"
    return run_python(code, PYTHONPATH=str(ROOT)).splitlines()[-1]


def test_rows_that_are_many_are_never_looked_through_for_garbage(tmp_path: Path) -> None:
    """Each look would stop all threads; they go with their last user after each edit."""
    then = "print(min(kept) > 10_001 * 5, max(kept) < 2 * min(kept))"
    assert loaded(10_001, then, tmp_path) == "True True"


def test_few_rows_are_as_all_else(tmp_path: Path) -> None:
    """To look through them takes no time."""
    assert loaded(100, "print(kept)", tmp_path) == "[0, 0, 0]"


@pytest.mark.parametrize("price", [60000.0, 40000.0])
@pytest.mark.parametrize("is_new_start", [False, True])
def test_old_copy_of_a_row_is_told_for_what_it_is_wherever_the_price_is(
    manager: ConfigManager, price: float, is_new_start: bool
) -> None:
    """Its order stands: nobody is told that it is refused and armed later, and it is noted anew."""
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    program.run_once()
    old = Path(manager.config_file).read_bytes()
    kraken.price = 60000.0
    program.run_once()
    noted = rows_of(manager)
    kraken.price = price
    Path(manager.config_file).write_bytes(old)
    again = TTSLO(manager, kraken, kraken) if is_new_start else program
    again.load_state()
    again.run_once()
    assert rows_of(manager) == noted
    assert len(kraken.orders) == 1
    assert "Threshold already met" not in logged(manager, "ERROR")
    assert "NOT armed again: an old copy of the row" in logged(manager, "ERROR")


def test_row_that_is_armed_anew_beyond_its_threshold_is_refused(manager: ConfigManager) -> None:
    """It is no old copy where one letter is another."""
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    program.run_once()
    old = Path(manager.config_file).read_bytes()
    kraken.price = 60000.0
    program.run_once()
    Path(manager.config_file).write_bytes(old.replace(b"true", b"yes"))
    program.run_once()
    assert "Threshold already met" in logged(manager, "ERROR")
    assert len(kraken.orders) == 1
