"""What time it is: the clocks of a program, and who is asked for Kraken's.

What it must never do: let a run go by a clock that somebody can set, where Kraken can be asked.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, Protocol

from krakenlink.errors import KrakenError
from krakenlink.machine import feed_clock
from ttslo_app.clocks import Clocks, KrakenClock
from ttslo_app.messages import Say
from ttslo_app.orders.exchange import KrakenExchange, is_real


class Timed(Protocol):
    """The part of a program that knows the time, and whom to ask for it."""

    kraken_clock: KrakenClock
    kraken_api_readonly: Any  # what only resembles a `KrakenAPI`, too
    worker: Any  # the order thread, which has the exchange


def kraken_clock(say: Say) -> tuple[KrakenClock, Clocks]:
    """Return Kraken's clock, and the clocks of a program, of which it is one.

    Args:
        say: Takes a level and a sentence for a person.
    """
    clock = KrakenClock(time.time, feed_clock, say)
    return clock, Clocks(clock.now, time.time, feed_clock, clock.is_known, clock.is_doubtful)


def ask_for_time(program: Timed) -> None:
    """Ask Kraken for the time, where there is a Kraken to be asked. Blocks for one call.

    Raises:
        KrakenError: If Kraken does not answer; the old estimate stays.
    """
    exchange = program.worker.exchange
    if isinstance(exchange, KrakenExchange):
        exchange.set_clock()
    elif is_real(program.kraken_api_readonly):
        program.kraken_clock.measure(program.kraken_api_readonly.server_time)


def ask_if_doubtful(program: Timed) -> None:
    """Ask Kraken for the time if it was never asked, or a clock was set since. Blocks for one call.

    Without an answer the old estimate stays; the keeper asks again, and says so.
    """
    if program.kraken_clock.is_doubtful():
        with suppress(KrakenError):
            ask_for_time(program)
