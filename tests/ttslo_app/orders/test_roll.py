"""What an edit of config.csv means."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.kits.common.calls_kit import calls_in
from tests.kits.orders.order_bench import (
    MARKET,
    Bench,
    Crash,
    Reply,
    dying_at,
    life,
    rule,
)
from ttslo_app.messages import (
    AcceptedRule,
    Adopt,
    BookArm,
    BookDisarm,
    Crossing,
)
from ttslo_app.orders.life import RuleState
from ttslo_app.orders.request import fingerprint
from ttslo_app.orders.roll import Adoption, adoption_of
from ttslo_app.orders.roll import put_back as put_back_among
from ttslo_app.rules.rule import Rule

CHANGED = rule(volume="0.02")


@pytest.fixture
def bench() -> Bench:
    """A worker with one armed rule."""
    return Bench(rule())


@pytest.mark.parametrize(
    ("state", "row", "fired_in_file", "noted", "expected"),
    [
        (None, rule(), False, False, Adoption.ARM),
        (None, rule(), True, False, Adoption.KEEP),
        (None, None, False, False, Adoption.KEEP),
        (RuleState.DISARMED, rule(), False, False, Adoption.ARM),
        (RuleState.ARMED, rule(), False, False, Adoption.KEEP),
        (RuleState.ARMED, CHANGED, False, False, Adoption.UPDATE),
        (RuleState.ARMED, None, False, False, Adoption.DISARM),
        (RuleState.REFUSED, CHANGED, False, False, Adoption.UPDATE),
        (RuleState.REFUSED, None, False, False, Adoption.DISARM),
        (RuleState.INTENDED, None, False, False, Adoption.KEEP),
        (RuleState.INTENDED, CHANGED, False, False, Adoption.KEEP),
        (RuleState.UNCERTAIN, rule(), False, False, Adoption.KEEP),
        (RuleState.PLACED, rule(), False, False, Adoption.NOTE),
        (RuleState.PLACED, rule(), False, True, Adoption.ARM),
        (RuleState.PLACED, rule(), True, True, Adoption.EXPLAIN),
        (RuleState.PLACED, None, True, True, Adoption.KEEP),
        (RuleState.CLOSED, rule(), False, True, Adoption.ARM),
        (RuleState.CLOSED, rule(), False, False, Adoption.NOTE),
    ],
)
def test_adoption_of_a_row(
    state: RuleState | None,
    row: Rule | None,
    fired_in_file: bool,
    noted: bool,
    expected: Adoption,
) -> None:
    """A row as it stands in the file means one thing for the life of its rule."""
    known = None if state is None else life(state, noted=noted)
    assert adoption_of(known, row, is_fired_in_file=fired_in_file) is expected


def test_rows_of_one_reading_are_armed_at_one_moment() -> None:
    """However long that takes: of 100,000 rows a text for each of them would fill 15 MB."""
    files = Bench(*(rule(f"r{number}") for number in range(20)))
    armed_at, row_at = (
        {id(cells[name]) for cells in files.worker.state.values()}
        for name in ("armed_at", "row_at")
    )
    assert len(armed_at) == 1
    assert row_at == armed_at


def test_new_row_is_told_from_others_once() -> None:
    """What tells a changed row from the same one is worked out for its arming, and not again."""
    bench = Bench()
    bench.files.rules = {r.id: r for r in (rule(f"r{number}") for number in range(20))}
    seen = calls_in(bench.adopt)
    assert seen["fingerprint"] == 20
    assert seen["client_order_id"] == 20
    assert seen["isoformat"] == 1
    assert calls_in(bench.adopt)["fingerprint"] == 0


@pytest.mark.parametrize(("pause", "tries"), [(5.0, 2), (100.0, 1)])
def test_refused_crossing_is_still_owed_after_a_restart(
    bench: Bench, pause: float, tries: int
) -> None:
    """A program that starts anew within the minute places what it owes, without its price."""
    bench.kraken.replies = [Reply.BUSY]
    bench.cross()
    bench.clock.seconds += pause
    bench.restart()
    bench.wait(1)
    assert len(bench.kraken.sent) == tries
    assert bench.placed == tries - 1


def test_row_that_is_disabled_or_changed_owes_nothing(bench: Bench) -> None:
    """An edit while a refused order waits for its next try takes the crossing back."""
    bench.kraken.replies = [Reply.BUSY]
    bench.cross()
    bench.files.rules = {"btc": rule(volume="0.02")}
    bench.adopt()
    bench.wait(100)
    assert len(bench.kraken.sent) == 1


@pytest.mark.parametrize("change", [{"threshold_price": "60000"}, {"volume": "0.02"}])
def test_row_that_is_changed_owes_nothing_after_a_restart_either(
    bench: Bench, change: dict[str, str]
) -> None:
    """The crossing of the row as it was fires nothing of the row as it is."""
    bench.kraken.replies = [Reply.BUSY]
    bench.cross()
    bench.files.rules = {"btc": rule(**change)}
    bench.adopt()
    bench.restart()
    bench.wait(100)
    assert len(bench.kraken.sent) == 1
    assert (bench.life().state, bench.life().trigger_price) == (RuleState.ARMED, "")


def test_row_that_is_removed_leaves_the_line(bench: Bench) -> None:
    """An edit decides about a crossing that waits in line, too."""
    bench.kraken.replies = [Reply.TOO_FAST]
    bench.cross()
    bench.files.rules = {}
    bench.adopt()
    bench.wait(10)
    assert (bench.placed, len(bench.kraken.sent)) == (0, 1)


def test_rule_that_was_refused_for_good_is_armed_by_no_other_row() -> None:
    """It waits for its own row to change, or to be switched off and on, as was said."""
    bench = Bench(rule(), rule("eth"))
    bench.kraken.replies = [Reply.BAD]
    bench.cross()
    bench.files.rules["eth"] = rule("eth", threshold_price="70000")
    bench.adopt()
    bench.adopt()
    assert bench.life().state is RuleState.DISARMED
    bench.files.rules["btc"] = rule(volume="0.02")
    bench.adopt()
    assert bench.life().state is RuleState.ARMED
    bench.kraken.replies = [Reply.BAD]
    bench.cross(rule(volume="0.02"))
    bench.files.rules["btc"] = rule(volume="0.02", enabled="false")
    bench.adopt()
    bench.files.rules["btc"] = rule(volume="0.02")
    bench.adopt()
    assert (bench.life().state, bench.life().generation) == (RuleState.ARMED, 3)


def test_start_arms_a_rule_again_that_was_refused_for_good(bench: Bench) -> None:
    """After a new start, with the key mended, the rule is armed and fires."""
    bench.kraken.replies = [Reply.BAD]
    bench.cross()
    bench.restart()
    bench.cross()
    assert bench.placed == 1


def test_crossing_of_a_row_that_is_removed_is_given_up_with_it(bench: Bench) -> None:
    """Once the whole file has been read without the row, there is nothing to place, and why."""
    bench.files.rules = {}
    bench.cross()
    bench.wait(5)
    bench.adopt()
    bench.wait(100)
    assert bench.kraken.sent == []
    assert bench.life().state is RuleState.DISARMED
    level, text = bench.said[-1]
    assert level == "WARNING"
    assert text.startswith("btc: no longer armed: BTC/USD at or above 50000 leads to no order")
    assert text.endswith(", and NO ORDER is placed for its crossing")


def test_removed_row_is_disarmed_and_leaves_the_book(bench: Bench) -> None:
    """A row that is gone is out of the book and does not fire."""
    bench.files.rules = {}
    bench.changes.clear()
    bench.adopt()
    assert bench.changes == [BookDisarm("btc")]
    assert bench.life().state is RuleState.DISARMED


def test_changed_row_keeps_its_arming_and_takes_its_new_threshold(bench: Bench) -> None:
    """An edit moves the threshold; the arming and its client order id stay."""
    before = bench.life().cl_ord_id
    moved = rule(threshold_price="60000")
    bench.files.rules = {"btc": moved}
    bench.changes.clear()
    bench.adopt()
    assert bench.changes == [BookArm(moved, MARKET)]
    assert bench.life().cl_ord_id == before
    assert bench.life().row == fingerprint(moved)


def test_fired_row_is_armed_again_only_by_its_user(bench: Bench) -> None:
    """Enabled with its order columns emptied, a fired row begins its next generation."""
    bench.cross()
    bench.clock.seconds += 10
    bench.files.notes.clear()
    bench.adopt()
    assert bench.life().generation == 2
    bench.cross()
    assert bench.placed == 2
    assert len({cl_ord_id for _, cl_ord_id, _ in bench.kraken.sent}) == 2


def test_file_read_before_the_order_was_noted_arms_nothing(bench: Bench) -> None:
    """A reading of config.csv that began before our own write is no wish to arm again."""
    read_at = bench.clock.monotonic()
    bench.clock.seconds += 1
    bench.cross()
    bench.files.notes.clear()
    bench.adopt(read_at=read_at)
    assert bench.life().generation == 1
    assert bench.life().has_fired


def test_row_enabled_without_emptying_its_order_is_explained(bench: Bench) -> None:
    """A fired row that was only set to true stays fired, and the user is told how."""
    bench.cross()
    bench.clock.seconds += 10
    accepted = {"btc": AcceptedRule(rule(), MARKET, is_fired_in_file=True)}
    bench.worker.submit(Adopt(accepted, bench.clock.monotonic()))
    bench.worker.work_off()
    assert bench.life().generation == 1
    assert bench.heard("empty its cells order_id, trigger_time and trigger_price")


def test_damaged_row_of_the_state_does_not_trade(bench: Bench) -> None:
    """A row from which nobody can tell whether it has fired stays still, loudly."""
    bench.files.disk["btc"]["rule_state"] = "on fire"
    bench.restart()
    bench.cross()
    assert bench.kraken.sent == []
    assert bench.heard("makes no sense")


def spoil(bench: Bench, rule_id: str, **cells: str) -> None:
    """Let a row of the state make no sense while the program runs: a caller may hold that dict."""
    bench.worker.state[rule_id].update(cells)


def test_one_unreadable_life_ends_no_other_row_of_an_edit() -> None:
    """Rows before and behind it, new ones and those that are gone: each takes effect."""
    bench = Bench(*map(rule, ("a", "bad", "gone", "z")))
    spoil(bench, "bad", rule_state="on fire")
    bench.files.rules = {
        r.id: r for r in (rule("a", volume="0.02"), rule("bad"), rule("z", volume="0.03"))
    }
    bench.files.rules["new"] = rule("new")
    bench.changes.clear()
    bench.adopt()
    told = {
        change.rule.id if isinstance(change, BookArm) else change.rule_id: type(change)
        for change in bench.changes
        if isinstance(change, BookArm | BookDisarm)
    }
    assert told == {
        "a": BookArm, "z": BookArm, "new": BookArm, "gone": BookDisarm, "bad": BookDisarm
    }  # fmt: skip
    assert bench.life("gone").state is RuleState.DISARMED
    assert list(bench.worker.ledger.rules) == ["a", "z", "new"]
    bench.cross(*bench.files.rules.values())
    assert sorted(order.volume for order, _, _ in bench.kraken.sent) == ["0.01", "0.02", "0.03"]
    assert all(bench.life(rule_id).has_fired for rule_id in ("a", "z", "new"))


def test_unreadable_row_of_an_edit_is_said_once_and_stays_doubtful(bench: Bench) -> None:
    """Which row, of which file, and what to do; a restart believes it no more than this run."""
    spoil(bench, "btc", triggered="perhaps")
    bench.files.rules = {"btc": rule(volume="0.02")}
    for _ in range(3):
        bench.adopt()
    said = [text for level, text in bench.said if level == "ERROR"]
    (text,) = said
    assert text.startswith("btc: does NOT trade: its row of the state file makes no sense")
    assert text.endswith("See at Kraken whether it has an order, then delete that row")
    assert "(triggered is 'perhaps', not true or false)" in text
    assert bench.files.disk["btc"]["rule_state"] == "doubtful"
    bench.restart()
    bench.cross(rule(volume="0.02"))
    assert bench.kraken.sent == []


def test_crossing_that_an_unreadable_row_was_owed_is_owed_no_more(bench: Bench) -> None:
    """Nobody can know whether it has its order; what waited for Kraken must not be sent."""
    bench.kraken.replies = [Reply.BUSY]
    bench.cross()
    assert bench.worker.is_held_back("btc")
    spoil(bench, "btc", generation="one")
    bench.files.rules = {"btc": rule(volume="0.02")}
    bench.adopt()
    assert not bench.worker.is_held_back("btc")
    bench.wait(100)
    assert len(bench.kraken.sent) == 1


def test_group_of_an_unreadable_row_waits_for_it() -> None:
    """It may have an order: no other row of its group may have one, too."""
    rows = [rule("x", group="g"), rule("y", group="g", threshold_price="60000")]
    bench = Bench(*rows)
    spoil(bench, "x", generation="one")
    bench.files.rules["x"] = rule("x", group="g", volume="0.02")
    bench.adopt()
    bench.cross(rows[1], price="60001")
    assert bench.kraken.sent == []


def test_rule_that_a_torn_state_file_lacks_does_not_trade() -> None:
    """When rows of the state file are lost, a rule that it does not know might have fired."""
    bench = Bench()
    bench.worker.ledger.distrust(None)
    bench.files.rules = {"btc": rule()}
    bench.adopt()
    bench.cross()
    assert bench.kraken.sent == []


def test_row_changed_while_its_order_was_uncertain_is_armed_as_it_is_now(bench: Bench) -> None:
    """What was not placed for the old row is never placed for the new one at the old price."""
    bench.kraken.replies = [Reply.NEVER]
    bench.cross()
    moved = rule(threshold_price="60000", volume="1")
    bench.files.rules = {"btc": moved}
    bench.adopt()
    bench.changes.clear()
    bench.wait(30)
    assert len(bench.kraken.sent) == 1
    assert bench.life().row == fingerprint(moved)
    assert [change.rule for change in bench.changes if isinstance(change, BookArm)] == [moved]


def test_row_removed_while_its_order_was_uncertain_is_not_promised_an_order(bench: Bench) -> None:
    """Nobody is told that an order is placed now when none is."""
    bench.kraken.replies = [Reply.NEVER]
    bench.cross()
    bench.files.rules = {}
    bench.adopt()
    bench.wait(30)
    assert bench.heard("its row is not armed any more")
    assert len(bench.kraken.sent) == 1


def test_old_crossing_in_the_batch_of_an_edit_leaves_the_new_row_armed(bench: Bench) -> None:
    """The new row stays known although the old one's crossing came in the same moment."""
    changed = rule(volume="0.02")
    bench.files.rules = {"btc": changed}
    adopt = Adopt({"btc": AcceptedRule(changed, MARKET)}, bench.clock.monotonic())
    bench.worker.submit(adopt)
    bench.worker.submit(Crossing(rule(), Decimal(50001), "50001"))
    bench.worker.work_off()
    bench.kraken.replies = [Reply.BUSY]
    bench.cross(changed)
    bench.wait(2)
    assert [order.volume for order, _, _ in bench.kraken.sent] == ["0.02", "0.02"]
    assert bench.placed == 1


def test_row_of_which_nothing_can_be_found_out_stays_as_it_is(bench: Bench) -> None:
    """A pair that Kraken could not be asked about says nothing about its row."""
    bench.changes.clear()
    bench.worker.submit(Adopt({}, bench.clock.monotonic(), frozenset({"btc"})))
    bench.worker.work_off()
    assert bench.changes == []
    assert bench.life().state is RuleState.ARMED
    bench.cross()
    assert bench.placed == 1


def test_doubtful_row_with_an_order_under_way_does_not_stop_the_others() -> None:
    """A row of the state that cannot be relied upon is doubted, and everything else trades."""
    other = rule("other")
    bench = Bench(rule(), other)
    bench.step = dying_at("answered")
    with pytest.raises(Crash):
        bench.cross()
    bench.step = lambda name: None
    bench.restart(doubted=["btc"])
    bench.cross(other)
    bench.wait(60)
    assert bench.life("other").has_fired
    assert bench.placed == 2
    assert bench.heard("btc: does NOT trade: the state file does not tell whether it has fired")


def test_doubt_about_a_row_that_is_not_accepted_just_now_is_kept(bench: Bench) -> None:
    """Kraken could not be asked about the pair at the start: the row is no less doubtful."""
    rules, bench.files.rules = bench.files.rules, {}
    bench.restart(doubted=["btc"], undecided=["btc"])
    bench.worker.state.setdefault("other", {"id": "other"})
    bench.files.save_state(bench.worker.state)
    bench.files.rules = rules
    bench.restart()
    bench.cross()
    assert bench.kraken.sent == []


@pytest.mark.parametrize("found_at", ["", "2020-01-01T00:00:00+00:00"])
def test_crossing_that_was_seen_is_known_after_a_restart(bench: Bench, found_at: str) -> None:
    """The reader of prices hears when it was, and of the first of them where that was found."""
    bench.kraken.replies = [Reply.BUSY] * 10
    bench.cross()
    bench.files.disk["btc"]["crossed_at"] = found_at
    seen_at = bench.life().trigger_time
    bench.restart()
    armed = bench.changes[-1]
    assert isinstance(armed, BookArm)
    assert armed.seen == (found_at or seen_at) != ""
    bench.files.rules = {"btc": rule(threshold_price="60000")}
    bench.adopt()
    changed = bench.changes[-1]
    assert isinstance(changed, BookArm)
    assert changed.seen == ""  # it was a crossing of the row as it was


@pytest.mark.parametrize("doubt", ["refused", "uncertain"])
def test_price_that_cannot_be_read_costs_no_row_its_arming(bench: Bench, doubt: str) -> None:
    """A cell that somebody spoilt by hand: the row waits for its price, and the program runs."""
    bench.kraken.replies = [Reply.BUSY if doubt == "refused" else Reply.NEVER]
    bench.cross()
    bench.files.disk["btc"]["trigger_price"] = "five"
    bench.restart()
    bench.wait(30)
    assert bench.placed == 0
    assert isinstance(bench.changes[-1], BookArm)
    bench.cross()
    assert bench.placed == 1


def test_crossing_of_the_future_is_as_old_as_one_of_the_past(bench: Bench) -> None:
    """A machine without a clock of its own starts in the past: what it owes nobody knows."""
    bench.kraken.replies = [Reply.BUSY]
    bench.cross()
    bench.clock.seconds -= 3600
    bench.restart()
    bench.wait(30)
    assert bench.placed == 0


@pytest.mark.parametrize("reply", [None, Reply.BUSY, Reply.TOO_FAST])
def test_row_that_was_switched_off_and_on_owes_nothing(bench: Bench, reply: Reply | None) -> None:
    """A crossing that waits, for the disk or for Kraken, goes with the row."""
    rules = bench.files.rules
    bench.files.is_full = reply is None
    bench.kraken.replies = [reply] if reply else []
    bench.cross()
    tries = len(bench.kraken.sent)
    for now in ({}, rules):
        bench.files.rules = now
        bench.adopt()
    bench.files.is_full = False
    bench.wait(10)
    assert len(bench.kraken.sent) == tries


# --- a row that lies there as it was ---------------------------------------------------------

TYPED = {"id": "btc", "pair": "BTC/USD", "threshold_price": "50000", "enabled": "true"}


def put_back(bench: Bench, **cells: str) -> None:
    """Save an editor's text of the row over what the program has noted."""
    bench.letters["btc"] = {**TYPED, **cells}
    bench.files.notes.clear()
    bench.adopt()


@pytest.fixture
def fired() -> Bench:
    """A worker whose one row has fired, as it was typed."""
    bench = Bench(rule())
    bench.letters["btc"] = TYPED
    bench.adopt()
    bench.cross()
    bench.worker.work_off()
    return bench


def test_row_is_an_old_copy_only_where_it_has_fired_and_every_letter_is_as_it_was(
    fired: Bench,
) -> None:
    """And where anything is known of it at all."""
    books = fired.worker.ledger
    assert put_back_among(books, [("btc", TYPED), ("eth", TYPED)]) == {"btc"}
    assert put_back_among(books, [("btc", {**TYPED, "volume": "0.010"}), ("btc", {})]) == set()
    books.state["btc"]["triggered"] = "perhaps"
    assert put_back_among(books, [("btc", TYPED)]) == set()
    books.state["btc"] |= {"triggered": "false", "rule_state": "refused"}
    assert put_back_among(books, [("btc", TYPED)]) == set()


def test_old_text_of_an_editor_arms_no_row_again(fired: Bench) -> None:
    """The absence of the program's note is nobody's wish; the note is written anew."""
    fired.wait(5)
    put_back(fired)
    fired.cross()
    fired.wait(5)
    assert len(fired.kraken.sent) == 1
    assert fired.life().state is RuleState.PLACED
    assert fired.files.notes == {"btc": fired.life().order_id}
    assert fired.worker.standing == {"btc": fired.life().order_id}
    assert fired.heard("an old copy of the row, from before order")


def test_old_text_after_a_restart_arms_no_row_again(fired: Bench) -> None:
    """What the row was like stands in the state, so that a restart knows it, too."""
    fired.files.notes.clear()
    fired.restart()
    fired.cross()
    assert len(fired.kraken.sent) == 1


@pytest.mark.parametrize(
    "cells", [{"enabled": "yes"}, {"order_id": ""}, {"threshold_price": "50000.0"}]
)
def test_row_that_its_user_has_touched_is_armed_again(fired: Bench, cells: dict[str, str]) -> None:
    """Another letter, or cells that are there and empty, are somebody's act."""
    fired.wait(5)
    put_back(fired, **cells)
    assert fired.life().generation == 2
    fired.cross()
    assert len(fired.kraken.sent) == 2


@pytest.mark.parametrize("cells", [{}, {"group": "exit"}])
def test_note_that_an_old_copy_is_owed_does_not_disable_what_its_user_has_armed(
    cells: dict[str, str],
) -> None:
    """The note waits while the file cannot be written, and an edit may come before it."""
    bench = Bench(rule(**cells))
    bench.letters["btc"] = TYPED
    bench.adopt()
    bench.cross(rule(**cells))
    bench.wait(5)
    bench.files.note_error = PermissionError(13, "Permission denied")
    put_back(bench)
    assert bench.heard("an old copy of the row, from before order")
    bench.files.rules["btc"] = rule(**{**cells, **({"group": "next"} if cells else {})})
    put_back(bench, enabled="yes")
    assert bench.life().generation == 2
    bench.files.note_error = None
    bench.wait(120)
    assert bench.files.notes == {}
    bench.adopt()
    assert bench.life().state is RuleState.ARMED
    assert not bench.life().noted


def test_disabling_ends_what_a_refused_row_is_owed() -> None:
    """Nothing in the state makes its next arming anything but that of a new row."""
    bench = Bench(rule())
    bench.kraken.replies = [Reply.BUSY] * 100
    bench.cross()
    bench.files.rules = {"btc": rule(enabled="false")}
    bench.adopt()
    assert (bench.life().state, bench.life().intended_at) == (RuleState.DISARMED, "")
    bench.wait(100)
    assert len(bench.kraken.sent) == 1


@pytest.mark.parametrize(
    ("changes", "is_anew"),
    [
        ({"threshold_price": "51000"}, True),
        ({"threshold_type": "below"}, True),
        ({"volume": "0.02"}, False),
        ({"trailing_offset_percent": "4"}, False),
    ],
)
def test_trades_from_before_an_edit_count_for_the_same_condition_alone(
    bench: Bench, changes: dict[str, str], is_anew: bool
) -> None:
    """A price of before the edit says nothing of a threshold that was not there then."""
    before = bench.life()
    bench.wait(60)
    bench.files.rules["btc"] = rule(**changes)
    bench.adopt()
    last = bench.changes[-1]
    assert isinstance(last, BookArm)
    assert (last.since > before.waits_since) is is_anew
    assert (last.since == before.waits_since) is not is_anew
    assert bench.life().armed_at == before.armed_at
