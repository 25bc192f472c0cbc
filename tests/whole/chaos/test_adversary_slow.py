"""The whole program beside answers, prices and disks that hang: the next crossing has its order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from kraken_api import KrakenAPI, Timeouts
from tests.kits.chaos.arena import SECRET, Arena, Fault, side_by_side
from tests.kits.program.live_program import wait_until
from ttslo_app.store.disk import Disk

OTHER = "eth,ETH/USD,4100,above,sell,0.1,1.5,true,"


def slow(*faults: Fault, within: float) -> Callable[[Arena], None]:
    """Return a scenario: one row's order is looked for, Kraken is slow, and another row crosses."""

    def scenario(pit: Arena) -> None:
        pit.write(pit.row, OTHER)
        with pit.run():
            pit.on_order({"name": "lost_reply"})
            for fault in faults:
                pit.exchange.fault(**fault)
            pit.cross()
            pit.wait_for_order()
            wait_until(lambda: pit.exchange.count("OpenOrders") >= 1, "the books are asked")
            pit.exchange.set_price("ETHUSD", "4101")
            done = pit.exchange.wait_for(lambda e: e.placed_count() == 2, within)
            assert done, "the other row's order waits"
            pit.never_again(0.5, most=2)

    return scenario


def look(name: str, **more: float) -> Callable[[Arena], None]:
    """Return a scenario: the look for one row's order gets no answer, and another row crosses."""
    patient = Timeouts(connect=3.0, read=30.0, read_order=4.0)

    def scenario(pit: Arena) -> None:
        pit.write(pit.row, OTHER)
        url = pit.exchange.rest_url
        trading = KrakenAPI(
            pit.exchange.api_key, SECRET, url, use_websocket=False, timeouts=patient
        )
        with pit.run(clients=(None, trading)) as program:
            pit.on_order({"name": "lost_reply"})
            pit.exchange.fault(name, endpoint="OpenOrders", count=1, **more)
            pit.cross()
            wait_until(lambda: pit.exchange.count("OpenOrders") >= 1, "the books are asked")
            pit.exchange.set_price("ETHUSD", "4101")
            done = pit.exchange.wait_for(lambda e: e.placed_count() == 2, 20.0)
            assert done, "the other row's order waits"
            assert not program.ttslo.state["btc"]["order_id"], "the look has ended"
            pit.never_again(0.5, most=2)

    return scenario


def start_drips(pit: Arena) -> None:
    """Kraken's clock drips when the program starts: it starts all the same, and trades."""
    pit.exchange.fault("dripping_reply", endpoint="Time", seconds=1, count=1)
    with pit.run():
        pit.cross()
        pit.wait_for_order()


def sync_hangs(pit: Arena) -> None:
    """The disk never answers: the crossing is told, with its row, from another thread."""
    going_on = threading.Event()

    class Stuck(Disk):
        def sync(self, file: BinaryIO) -> None:
            if pit.exchange.price_of("XBTUSD") > 51000:
                going_on.wait(60)
            super().sync(file)

    with pit.run(disk=Stuck()):
        try:
            pit.cross()
            pit.wait_for_words("no order yet", levels="WARNING|ERROR")
            assert pit.is_explained()
            pit.never_again(0.1, most=0)
        finally:
            going_on.set()
        pit.wait_for_order()
        pit.never_again(0.5)


SLOW = {
    "prices that drip": slow({"name": "dripping_reply", "endpoint": "Ticker", "seconds": 1},
                             within=60.0),
    "a look that is never answered": look("black_hole"),
    "a look that is slow": look("delayed_reply", seconds=25),
    "a look that drips": look("dripping_reply", seconds=5),
    "a start that drips": start_drips,
    "a disk that hangs": sync_hangs,
}  # fmt: skip


def test_no_slow_answer_holds_an_order_back(tmp_path: Path) -> None:
    """Prices, clocks and disks may hang; the next crossing has its order, or a word."""
    side_by_side(SLOW, tmp_path)
