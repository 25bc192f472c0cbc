"""The whole program and a crossing that Kraken does not take at once: one order, or a word."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from kraken_api import KrakenAPI, Timeouts
from tests.kits.chaos.arena import SECRET, Arena, arena, side_by_side
from tests.kits.orders.order_bench import Bench, Reply, rule
from tests.kits.program.live_program import wait_until
from ttslo_app.messages import BookArm
from ttslo_app.rules.rule import WhenBlind

MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
OTHER = "eth,ETH/USD,4100,above,sell,0.1,1.5,true,"
UNAVAILABLE = {"name": "error", "text": "EService:Unavailable"}


def moment_of(pit: Arena) -> float:
    """Return Kraken's clock, in seconds since 1970."""
    return pit.exchange.core.now()


def wait_for_moment(pit: Arena, seconds: float) -> None:
    """Let so much time pass at Kraken: its clock is known to a part of a second."""
    since = moment_of(pit)
    wait_until(lambda: moment_of(pit) > since + seconds, "a moment has passed")


# --- Kraken is not available ---------------------------------------------------------------------


def refused_twice(pit: Arena) -> None:
    """The price has gone back before Kraken takes orders again: the crossing is still owed."""
    with pit.run() as program:
        pit.wait_for_words("would take its order", levels="DEBUG")
        pit.on_order({**UNAVAILABLE, "count": 2})
        before = moment_of(pit)
        pit.cross()
        pit.wait_for_sent()
        after = moment_of(pit)
        pit.fall_back()
        pit.wait_for_order()
        pit.ends_with_order(program)
        assert len(pit.sent) == 3
        row = program.ttslo.state["btc"]
        assert Decimal(row["trigger_price"]) == 51001
        told = datetime.fromisoformat(row["trigger_time"]).timestamp()
        assert before - 1.5 <= told <= after + 1.5


def refused_before_a_restart(pit: Arena, *, is_met: bool) -> None:
    """What an earlier run was refused over a minute ago is placed only while it is met today."""
    refusing = pit.exchange.fault(**UNAVAILABLE, endpoint="AddOrder")
    with pit.run() as program:
        pit.cross()
        pit.wait_for_sent(2)
        told = program.ttslo.state["btc"]["trigger_time"]
    refusing.clear()
    pit.exchange.clock_offset += 2 * MINUTE
    sent = len(pit.sent)
    if is_met:
        with pit.run(waits=False) as program:
            pit.ends_with_order(program)
            row = program.ttslo.state["btc"]
            assert Decimal(row["trigger_price"]) == 51001
            later = datetime.fromisoformat(row["trigger_time"])
            assert later >= datetime.fromisoformat(told)
            pit.never_again(0.3)
        return
    pit.fall_back()
    with pit.run() as program:
        pit.never_again(0.5, most=0)
        assert len(pit.sent) == sent
        assert program.ttslo.state["btc"]["trigger_time"] == told
        pit.cross("51009")
        pit.wait_for_order()
        pit.ends_with_order(program)
        assert Decimal(program.ttslo.state["btc"]["trigger_price"]) == 51009
        pit.never_again(0.3)


def test_crossing_is_owed_for_a_minute_of_its_own_time(tmp_path: Path) -> None:
    """Younger, it has its order wherever the price is; older, today's price decides."""
    scenarios: dict[str, Callable[[Arena], None]] = {
        "two refusals": refused_twice,
        "a restart, and the price is back": lambda pit: refused_before_a_restart(pit, is_met=False),
        "a restart, and it is met": lambda pit: refused_before_a_restart(pit, is_met=True),
    }
    side_by_side(scenarios, tmp_path)


@pytest.mark.parametrize("is_met", [True, False])
def test_crossing_that_grew_old_in_doubt_is_met_by_todays_price(is_met: bool) -> None:
    """Four uncertain answers take over a minute: the row is armed as it is, and that is said."""
    bench = Bench(rule())
    bench.kraken.replies = [Reply.NEVER] * 4
    bench.cross()
    while bench.kraken.replies or not bench.life().is_waiting:
        bench.wait(0.5)
    assert (len(bench.kraken.sent), bench.placed) == (4, 0)
    assert bench.heard("it is if the threshold is still met")
    assert isinstance(bench.changes[-1], BookArm)
    assert bench.life().trigger_price == "50001"
    bench.wait(120)
    assert bench.placed == 0
    if is_met:
        bench.cross(price="50007")
        assert (bench.placed, bench.life().trigger_price) == (1, "50007")


# --- a row that its user has disabled ------------------------------------------------------------


def enabled_weeks_later(pit: Arena) -> None:
    """Refused for its funds, disabled, and enabled after three weeks with the price beyond."""
    pit.buy("0")
    with pit.run() as program:
        pit.cross()
        wait_until(pit.is_explained, "the crossing is explained")
        pit.write(pit.row.replace("true", "false"))
        pit.wait_for_words("no longer armed", "not armed any more")
    pit.buy("5")
    pit.exchange.clock_offset += 21 * DAY
    pit.write(pit.row)
    sent = len(pit.sent)
    with pit.run(waits=False) as program:
        pit.wait_for_words("already met", levels="")
        pit.never_again(0.5, most=0)
        assert len(pit.sent) == sent
        pit.fall_back()
        pit.wait_for_words("btc: armed: ", levels="")  # by itself: nobody has touched the file
        program.wait_for_watch("btc")
        pit.never_again(0.3, most=0)
        pit.cross("51007")
        pit.wait_for_order()
        pit.ends_with_order(program)
        assert Decimal(program.ttslo.state["btc"]["trigger_price"]) == 51007
        pit.never_again(0.3)


def test_row_that_was_disabled_begins_anew(tmp_path: Path) -> None:
    """Whoever disables a row ends what it is owed: enabled again, it waits for a new crossing."""
    side_by_side({"weeks later": enabled_weeks_later}, tmp_path)


# --- a machine's clock that is wrong -------------------------------------------------------------


OFF = {
    "3 days ahead": 3 * DAY,
    "1 h ahead": HOUR,
    "1 h behind": -HOUR,
    "3 days behind": -3 * DAY,
}


@pytest.mark.parametrize("ahead", OFF.values(), ids=OFF)
def test_clock_that_is_set_right_hides_no_crossing(
    ahead: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that was armed by a wrong clock is met by the spike that came while nobody saw."""
    real = time.time
    with arena(tmp_path / "pit") as pit:
        # Kraken's clock goes on as it is; this machine's is off by as much, until it is set.
        core = pit.exchange.core
        core.clock_offset = -ahead
        monkeypatch.setattr(time, "time", lambda: real() - core.clock_offset)
        with pit.run(when_blind=WhenBlind.ALWAYS) as program:
            wait_for_moment(pit, 0.5)
            away = pit.exchange.fault("refuse_connect")

            def spike() -> None:
                pit.cross()  # right after the cut
                pit.fall_back()
                core.clock_offset = 0.0
                away.clear()

            program.reconnect(spike)
            pit.wait_for_order()
            pit.ends_with_order(program)
            assert Decimal(program.ttslo.state["btc"]["trigger_price"]) == 51001
            (order,) = pit.sent
            assert abs(datetime.fromisoformat(order["deadline"]).timestamp() - real()) < MINUTE


@pytest.mark.parametrize("ahead", [3 * DAY, -3 * DAY], ids=["ahead", "behind"])
def test_time_that_nobody_told_at_the_start_hides_no_crossing(
    ahead: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is armed all the same; once Kraken tells the time, what was missed is looked up.

    What had crossed before the arming fires nothing.
    """
    real = time.time
    with arena(tmp_path / "pit") as pit:
        core = pit.exchange.core
        core.clock_offset = -ahead
        monkeypatch.setattr(time, "time", lambda: real() - core.clock_offset)
        pit.cross()
        pit.fall_back()
        wait_for_moment(pit, 0.5)
        deaf = pit.exchange.fault(**UNAVAILABLE, endpoint="Time")
        with pit.run(when_blind=WhenBlind.ALWAYS) as program:
            wait_for_moment(pit, 0.5)

            def spike() -> None:
                pit.cross("51004")  # right after the cut
                pit.fall_back()

            program.reconnect(spike)
            pit.never_again(0.3, most=0)
            deaf.clear()
            pit.wait_for_order()
            pit.ends_with_order(program)
            assert Decimal(program.ttslo.state["btc"]["trigger_price"]) == 51004
            told = datetime.fromisoformat(program.ttslo.state["btc"]["trigger_time"])
            assert abs(told.timestamp() - moment_of(pit)) < MINUTE
            pit.never_again(0.3)


def never_told(pit: Arena, ahead: float) -> None:
    """Kraken's clock is away from the machine's, and nobody can ask for it at any time."""
    pit.exchange.clock_offset += ahead
    pit.exchange.fault(**UNAVAILABLE, endpoint="Time")
    with pit.run() as program:
        pit.cross()
        pit.wait_for_order()
        pit.ends_with_order(program)
        pit.never_again(0.3)


def test_time_that_nobody_ever_tells_costs_no_order(tmp_path: Path) -> None:
    """The trades of the stream tell it well enough for a deadline, and for a look at the books."""
    side_by_side(
        {
            "an hour ahead": partial(never_told, ahead=HOUR),
            "behind": partial(never_told, ahead=-HOUR),
        },
        tmp_path,
    )


# --- the keeper asks with the same key -----------------------------------------------------------


def keeper_is_slow(pit: Arena) -> None:
    """The keeper's look at a standing order has no answer, and another row crosses."""
    pit.write(pit.row, OTHER)
    patient = Timeouts(connect=3.0, read=30.0, read_order=4.0)
    url = pit.exchange.rest_url
    trading = KrakenAPI(pit.exchange.api_key, SECRET, url, use_websocket=False, timeouts=patient)
    with pit.run(clients=(None, trading)) as program:
        pit.cross()
        pit.ends_with_order(program)
        pit.exchange.fault("black_hole", endpoint="QueryOrders")
        pit.exchange.fault("black_hole", endpoint="OpenOrders")

        def asked() -> int:
            return pit.exchange.count("QueryOrders") + pit.exchange.count("OpenOrders")

        before = asked()
        wait_until(lambda: asked() > before, "the keeper looks")
        looks = asked()
        pit.exchange.set_price("ETHUSD", "4101")
        pit.wait_for_order(2)
        assert asked() == looks, "the look has ended"
        pit.never_again(0.3, most=2)


def test_look_of_the_keeper_holds_no_order_back(tmp_path: Path) -> None:
    """An order with the same key leaves while the keeper's question is still open."""
    side_by_side({"never answered": keeper_is_slow}, tmp_path)
