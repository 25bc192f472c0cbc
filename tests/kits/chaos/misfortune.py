"""A row's life in which chance spoils answers, books, clocks and runs."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from tests.kits.chaos.arena import Arena
from ttslo_app.rules.rule import WhenBlind

Fault = dict[str, Any]

LOST: tuple[Fault, ...] = (
    {"name": "two_lengths"},
    {"name": "lost_reply"},
    {"name": "reset_mid_body"},
    {"name": "odd_result", "text": "{}"},
    {"name": "sent_twice"},
    {"name": "copied_past_nonce"},
    {"name": "http_502", "when": "after"},
    {"name": "http_504", "when": "before"},
    {"name": "delayed_reply", "seconds": 1},
    {"name": "error", "text": "EService:Busy"},
    {"name": "error", "text": "EService:Unavailable", "when": "after"},
)
MISLED: tuple[Fault, ...] = (
    {"name": "orders_foreign"},
    {"name": "orders_respelt"},
    {"name": "orders_unfiltered"},
    {"name": "odd_result", "text": "[]", "endpoint": "ClosedOrders"},
    {"name": "odd_result", "text": "{}", "endpoint": "OpenOrders"},
    {"name": "open_orders_stale", "seconds": 4},
    {"name": "open_orders_lag", "seconds": 2},
    {"name": "http_502", "endpoint": "OpenOrders", "count": 2},
    {"name": "black_hole", "endpoint": "ClosedOrders", "count": 1},
    {"name": "absurd_time", "count": 2},
    {"name": "cached_reply", "endpoint": "Time", "count": 1},
)


class Misfortune:
    """One row's life under a seed: what goes wrong, and when, is chance; the promise is not."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def __call__(self, pit: Arena) -> None:
        """Arm a row, let it cross, spoil what can be spoilt, mend all, and see the promise kept."""
        chance = self._chance
        # Longer than any book lags here; a minute is too long for a test.
        pit.settings = replace(pit.settings, late_books=5.0)
        options: dict[str, Any] = {"waits": False, "when_blind": WhenBlind.ALWAYS}
        with pit.run(when_blind=WhenBlind.ALWAYS) as program:
            pit.on_order(*chance.sample(LOST, chance.randint(1, 2)))
            for fault in chance.sample(MISLED, chance.randint(0, 2)):
                pit.exchange.fault(**fault)
            if chance.random() < 0.3:
                pit.exchange.clock_offset += chance.choice((-2.0, 1.5, 40.0))
            pit.cross()
            pit.wait_for_sent()
            if chance.random() < 0.5:
                pit.fill()
            if chance.random() < 0.3:
                program.reconnect()
            pit.never_again(chance.choice((0.0, 1.0, 6.0)))
        if chance.random() < 0.5:
            pit.fill()
        pit.exchange.clear_faults()
        with pit.run(**options) as program:
            pit.cross("51002")
            pit.ends_with_order(program)
            if chance.random() < 0.5:
                pit.fill()
            pit.never_again(chance.uniform(0.0, 0.5))
        with pit.run(**options):
            pit.cross("51003")
            pit.never_again(0.5)
