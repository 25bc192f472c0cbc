"""The whole program beside clocks and numbers beyond sense: one order, and nothing else fires."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.kits.chaos.arena import Arena, side_by_side
from ttslo_app.rules.rule import WhenBlind
from ttslo_app.run.parts import ask_for_time

# --- numbers and clocks ---------------------------------------------------------------------------


def absurd_clock(pit: Arena) -> None:
    """Kraken's clock says what no clock says, from the start and at the crossing."""
    with pit.run():
        pit.exchange.fault("absurd_time")
        pit.on_order({"name": "error", "text": "EService:Deadline elapsed"})
        pit.cross()
        pit.wait_for_words("")
        pit.never_again(1.0)
        pit.exchange.clear_faults()
        pit.wait_for_order()
        pit.never_again(0.5)


def clock_out_of_a_cache(pit: Arena) -> None:
    """Kraken's clock comes out of a cache when the program starts: orders go out all the same."""
    pit.exchange.fault("cached_reply", endpoint="Time")
    with pit.run():
        pit.cross()
        pit.wait_for_order()
        pit.never_again(0.5)


def armed_ahead(pit: Arena) -> None:
    """The machine's clock is an hour ahead while the row is armed, then less: nothing is missed."""
    pit.exchange.clock_offset = -3600.0
    with pit.run(when_blind=WhenBlind.ALWAYS):
        pass
    pit.exchange.clock_offset = -1800.0
    pit.cross()
    pit.fall_back()
    with pit.run(when_blind=WhenBlind.ALWAYS, waits=False) as program:
        pit.ends_with_order(program)
        pit.never_again(0.5)


def clock_jumps(pit: Arena, ahead: float, *, is_told: bool = False) -> None:
    """Kraken's clock and this machine's part while the program runs: one order, at once.

    So it is where the program has asked for the time in between, with a row of another hour.
    """
    with pit.run() as program:
        pit.exchange.clock_offset = ahead
        if is_told:
            ask_for_time(program.ttslo)
        pit.cross()
        pit.wait_for_order()
        pit.ends_with_order(program)
        pit.never_again(0.5)


def old_prints(pit: Arena) -> None:
    """Prints from before the row was there come as if they were of now: they fire nothing."""
    pit.cross()
    pit.fall_back()
    pit.exchange.fault("trade_snapshot")
    with pit.run() as program:
        pit.never_again(0.5, most=0)
        program.reconnect()
        pit.never_again(1.0, most=0)
        pit.cross("51005")
        pit.wait_for_order()


def numbers_begin_anew(pit: Arena) -> None:
    """Prints far too high, then from 1 again: each is a price."""
    for _ in range(3):
        pit.fall_back()
    with pit.run():
        pit.exchange.fault("huge_trade_id", count=1)
        pit.fall_back()
        pit.exchange.fault("ids_begin_anew")
        pit.cross()
        pit.wait_for_order()
        pit.never_again(0.5)


def blind_in_a_cache(pit: Arena) -> None:
    """Trades of the blind time come out of a cache: nothing is concluded before a fresh answer."""
    with pit.run(when_blind=WhenBlind.ALWAYS) as program:
        for _ in range(2):
            pit.fall_back()

        away = pit.exchange.fault("refuse_connect")

        def spike() -> None:
            pit.exchange.fault("cached_reply", endpoint="Trades")
            pit.cross()
            pit.fall_back()
            away.clear()

        program.reconnect(spike)
        pit.never_again(1.0, most=0)
        pit.exchange.clear_faults()
        pit.ends_with_order(program)


def unknown_once(pit: Arena) -> None:
    """Kraken does not know a fresh order once: it stays watched, and its end is told."""
    with pit.run() as program:
        pit.cross()
        pit.ends_with_order(program)
        pit.exchange.fault("order_unknown")
        pit.fill()
        pit.wait_for_words("filled")


CLOCKS: dict[str, Callable[[Arena], None]] = {
    **{f.__name__: f for f in (absurd_clock, armed_ahead, clock_out_of_a_cache, old_prints,
                               numbers_begin_anew, blind_in_a_cache, unknown_once)},
    "an hour back": lambda pit: clock_jumps(pit, -3600.0),
    "an hour on": lambda pit: clock_jumps(pit, 3600.0),
    "an hour back, and told": lambda pit: clock_jumps(pit, -3600.0, is_told=True),
    "an hour on, and told": lambda pit: clock_jumps(pit, 3600.0, is_told=True),
}  # fmt: skip


def test_clocks_and_numbers_beyond_sense(tmp_path: Path) -> None:
    """Whatever Kraken's clock and numbers say, a crossing has its order, and nothing else fires."""
    side_by_side(CLOCKS, tmp_path)
