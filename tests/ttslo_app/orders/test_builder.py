"""Rows with optional columns, from their arming to their order: still one crossing, one order."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenlink.errors import KrakenConnectionError
from tests.kits.common.calls_kit import calls_in
from tests.kits.orders.order_bench import MARKET, ROW, Bench, Crash, Reply, crowd, dying_at, rule
from ttslo_app.orders.life import RuleState
from ttslo_app.orders.request import letters_of

SILENCE = KrakenConnectionError("no route", request_sent=False)


def sent(bench: Bench) -> list[str]:
    """Return the volumes of the orders that were sent."""
    return [order.volume for order, _, _ in bench.kraken.sent]


# --- what is known before the crossing -----------------------------------------------------------


def test_order_is_built_before_its_crossing() -> None:
    """So is the digest of its row: an order waits for neither."""
    bench = Bench(row := rule())
    bench.letters["btc"] = ROW
    bench.adopt()
    bench.step = dying_at("answered")

    def until_it_is_answered() -> None:
        with suppress(Crash):
            bench.cross(row)

    seen = calls_in(until_it_is_answered)
    assert (seen["build_order"], seen["letters_of"]) == (0, 0)
    assert set(bench.kraken.prepared) == {order for order, _, _ in bench.kraken.sent}
    assert sent(bench) == ["0.01"]
    assert bench.life().letters == letters_of(ROW)


def test_row_that_was_changed_has_the_order_that_it_says_now() -> None:
    """What was built for it before is another row's."""
    bench = Bench(rule())
    bench.files.rules["btc"] = changed = rule(volume="0.02")
    bench.letters["btc"] = letters = {**ROW, "volume": "0.02"}
    bench.adopt()
    bench.cross(changed)
    assert sent(bench) == ["0.02"]
    assert bench.life().letters == letters_of(letters)


def test_row_whose_letters_alone_have_changed_has_its_own_digest() -> None:
    """Its order is the same, and what it says to the letter is not."""
    bench = Bench(rule())
    bench.letters["btc"] = letters = {**ROW, "volume": "0.010"}
    bench.adopt()
    bench.cross()
    assert bench.life().letters == letters_of(letters)


def test_crossing_of_a_row_that_was_read_anew_has_its_own_order() -> None:
    """A rule that only equals the one in the books is looked at by itself."""
    bench = Bench(rule())
    seen = calls_in(lambda: bench.cross(rule()))
    assert seen["build_order"] == 1
    assert sent(bench) == ["0.01"]


def test_order_is_cut_as_the_pair_wants_it_at_the_crossing() -> None:
    """Steps that changed since the arming count, and not those that it was built by."""
    row = rule(volume="0.19")
    bench = Bench(row)
    bench.kraken.market = replace(MARKET, lot_decimals=1)
    bench.cross(row)
    assert sent(bench) == ["0.1"]


def test_row_that_cannot_have_an_order_says_so_at_its_crossing() -> None:
    """Not before: until then its pair may take it."""
    row = rule(volume="0.000000001")
    bench = Bench(row)
    assert not bench.heard("is zero with the 8 decimals")
    bench.cross(row)
    assert bench.heard("is zero with the 8 decimals")
    assert (sent(bench), bench.kraken.prepared) == ([], [])


def test_rows_far_down_a_file_have_their_orders_all_the_same() -> None:
    """Those at its head are at hand; the others are worked out at their crossing."""
    bench, rows = crowd(130)
    seen = [calls_in(partial(bench.cross, row))["build_order"] for row in rows[126:]]
    assert seen == [0, 0, 1, 1]
    assert bench.placed == 4


# --- volumes that are worked out ------------------------------------------------------------------


def test_volume_is_what_is_free_at_the_crossing() -> None:
    """Not what was free at the start, and asked for once."""
    bench = Bench(all_of_it := rule(volume="all"))
    assert bench.kraken.weighed == []
    bench.kraken.free = Decimal("0.25")
    bench.cross(all_of_it)
    assert sent(bench) == ["0.25"]
    assert len(bench.kraken.weighed) == 1
    assert bench.life().order is not None
    assert bench.life().state is RuleState.PLACED


def test_rows_that_are_weighed_hold_up_no_plain_row() -> None:
    """Of one burst the plain ones leave first, and each other one once those before it are sent."""
    rows = [rule("a", volume="all"), rule("b"), rule("c", volume="50%"), rule("d")]
    bench = Bench(*rows)
    steps: list[str] = []
    bench.step = steps.append
    bench.cross(*rows)
    assert sent(bench)[:2] == ["0.01", "0.01"]
    assert steps.index("weighing") > steps.index("answered")
    assert [name for name in steps if name in ("weighing", "sending")][-4:] == [
        *("weighing", "sending", "weighing", "sending")
    ]
    assert bench.placed == 4


def test_number_asks_nobody() -> None:
    """No call stands between a crossing and its order where none is needed."""
    bench = Bench(rule())
    bench.cross()
    assert bench.kraken.weighed == []


@pytest.mark.parametrize("reply", [Reply.BUSY, Reply.TOO_FAST])
def test_volume_stays_what_it_was_for_this_arming(reply: Reply) -> None:
    """Refused and sent again, it is the same order, whatever is free by then."""
    bench = Bench(half := rule(volume="50%"))
    bench.kraken.free = Decimal("0.2")
    bench.kraken.replies = [reply]
    bench.cross(half)
    bench.kraken.free = Decimal("0.9")
    bench.wait(5)
    assert sent(bench) == ["0.1", "0.1"]
    assert len(bench.kraken.weighed) == 1


def test_lost_answer_and_a_restart_keep_the_volume() -> None:
    """The number is in the intent; what comes after a crash is the same number."""
    bench = Bench(half := rule(volume="50%"))
    bench.kraken.free = Decimal("0.2")
    bench.kraken.replies = [Reply.NEVER]
    bench.cross(half)
    bench.kraken.free = Decimal("0.9")
    bench.restart()
    bench.wait(60)
    assert set(sent(bench)) == {"0.1"}
    assert bench.placed == 1


@pytest.mark.parametrize("step", ["weighing", "intending", "intended", "sending", "answered"])
def test_death_at_each_step_leaves_one_order_of_one_volume(step: str) -> None:
    """Before the intent nothing is known and the volume is worked out; after it, never again."""
    bench = Bench(half := rule(volume="50%"))
    bench.kraken.free = Decimal("0.2")
    bench.step = dying_at(step)
    with pytest.raises(Crash):
        bench.cross(half)
    bench.step = lambda name: None
    was_written = step in ("intended", "sending", "answered")
    bench.kraken.free = Decimal("0.9")
    bench.restart()
    bench.wait(60)
    bench.cross(half)
    bench.wait(60)
    assert bench.placed == 1
    assert set(sent(bench)) == ({"0.1"} if was_written else {"0.45"})


def test_next_arming_is_weighed_anew() -> None:
    """Its number is its own."""
    bench = Bench(half := rule(volume="50%"))
    bench.kraken.free = Decimal("0.2")
    bench.cross(half)
    bench.files.notes.clear()
    bench.kraken.free = Decimal("0.4")
    bench.clock.seconds += 10
    bench.adopt()
    bench.cross(half)
    assert sent(bench) == ["0.1", "0.2"]


def test_too_little_is_said_and_heals() -> None:
    """Nothing is sent; once there is enough, the order is."""
    bench = Bench(all_of_it := rule(volume="all"))
    bench.kraken.free = Decimal(0)
    bench.cross(all_of_it)
    assert sent(bench) == []
    assert bench.heard("all of 0 free")
    bench.kraken.free = Decimal(1)
    bench.wait(5)
    assert sent(bench) == ["1"]
    assert bench.placed == 1


def test_funds_that_cannot_be_asked_for_are_no_nought() -> None:
    """It is tried again, and said."""
    bench = Bench(all_of_it := rule(volume="all"))
    bench.kraken.free = SILENCE
    bench.cross(all_of_it)
    assert sent(bench) == []
    bench.kraken.free = Decimal(1)
    bench.wait(5)
    assert sent(bench) == ["1"]


def test_rehearsal_tells_the_words() -> None:
    """Nobody is asked for funds there, and no number is made up."""
    bench = Bench(all_of_it := rule(volume="all"))
    bench.kraken.free = None
    bench.cross(all_of_it)
    assert sent(bench) == ["all"]


@given(
    st.lists(st.sampled_from([Reply.BUSY, Reply.TOO_FAST, Reply.NEVER, Reply.LOST]), max_size=4),
    st.lists(st.decimals("0.01", 5, places=4), min_size=1, max_size=6),
    st.integers(0, 3),
)
def test_word_is_never_weighed_twice_for_one_arming(
    replies: list[Reply], funds: list[Decimal], restarts: int
) -> None:
    """Whatever Kraken answers, and however often the program dies, the number is one."""
    bench = Bench(half := rule(volume="50%"))
    bench.kraken.replies = list(replies)
    bench.kraken.free = funds[0]
    bench.cross(half)
    for number in range(restarts):
        bench.kraken.free = funds[(number + 1) % len(funds)]
        bench.restart()
        bench.wait(30)
    bench.kraken.free = funds[-1]
    bench.wait(120)
    assert len(set(sent(bench))) == 1
    assert len(bench.kraken.weighed) == 1
    assert bench.placed <= 1


# --- the index ------------------------------------------------------------------------------------


def test_stop_without_an_index_price_follows_the_last_one_and_that_is_said() -> None:
    """The position is not left unprotected for the want of a reference."""
    bench = Bench(by_index := rule(trigger="index"))
    bench.kraken.replies = [Reply.NO_INDEX]
    bench.cross(by_index)
    bench.wait(2)
    assert [order.trigger for order, _, _ in bench.kraken.sent] == ["index", "last"]
    assert bench.heard("no index price of the pair, so its stop follows the last price")
    assert bench.placed == 1


def test_next_arming_asks_for_the_index_again() -> None:
    """The feed may be back; where it is not, that is said of this crossing as well."""
    bench = Bench(by_index := rule(trigger="index"))
    bench.kraken.replies = [Reply.NO_INDEX]
    bench.cross(by_index)
    bench.wait(2)
    bench.files.notes.clear()
    bench.clock.seconds += 10
    bench.adopt()
    bench.cross(by_index)
    assert [order.trigger for order, _, _ in bench.kraken.sent] == ["index", "last", "index"]


def test_missing_index_is_no_excuse_for_a_row_that_asked_for_none() -> None:
    """Then the answer is a riddle, and the row is given up loudly as with any such refusal."""
    bench = Bench(rule())
    bench.kraken.replies = [Reply.NO_INDEX]
    bench.cross()
    bench.wait(2)
    assert len(bench.kraken.sent) == 1
    assert bench.life().state is RuleState.DISARMED
