"""What a run is put together from, what goes on beside it, and what time it is.

What it must never do: let a run go by a clock that somebody can set, where Kraken can be asked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from kraken_api import WEBSOCKET_AVAILABLE
from krakenlink.errors import KrakenError
from krakenlink.machine import feed_clock
from ttslo_app.clocks import Clocks, KrakenClock
from ttslo_app.messages import Say, tell
from ttslo_app.orders.exchange import KrakenExchange, is_real
from ttslo_app.orders.life import OrderSettings
from ttslo_app.rules.rule import WhenBlind
from ttslo_app.run import words
from ttslo_app.watch.lookback import PastSource
from ttslo_app.watch.past import Pace

if TYPE_CHECKING:
    from krakenlink.stream.account import AccountFeed
    from ttslo_app.face.metrics import MetricsServer, Sources
    from ttslo_app.run.exclusive import Exclusive
    from ttslo_app.run.live import LiveRun
    from ttslo_app.run.program import Program
    from ws_price_provider import WebSocketPriceProvider


Item = Any  # whatever the threads put in; `LiveRun` knows them all


def _no_step(name: str) -> None:
    """Go on: only tests end the program at one of its steps."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may choose.

    Attributes:
        dry_run: Place nothing, write neither state nor config.
        verbose: Print details too.
        debug: Print everything.
        settings: The numbers of the order protocol.
        when_blind: What becomes of rows whose threshold was crossed while nobody could see it,
            unless their cell `when_blind` says otherwise.
        pace: How fast trades of blind times are fetched; Kraken's limits where it is None.
        metrics_port: Where figures are served on this machine; None for nowhere.
        exclusive: The trading key, as far as it is to be this program's alone; None for not at all.
        is_json: Whether what is printed is one JSON object a line.
        step: Called by name at each step of the order protocol, for tests that end it there.
    """

    dry_run: bool = False
    verbose: bool = False
    debug: bool = False
    settings: OrderSettings = field(default_factory=OrderSettings)
    when_blind: WhenBlind = WhenBlind.ARM_IF_BEYOND
    pace: Pace | None = None
    metrics_port: int | None = None
    exclusive: Exclusive | None = None
    is_json: bool = False
    step: Callable[[str], None] = _no_step


class PriceSource(PastSource, Protocol):
    """The part of `KrakenAPI` that prices, present and past, come from over REST."""

    def get_tickers(self, pairs: list[str]) -> Mapping[str, Any]:
        """Return a quote or an exception for each pair, with one call for all."""
        ...


class TapeFile(Protocol):
    """Where it is kept how far the tapes were seen."""

    def load_tape(self) -> str | None:
        """Return what was saved last, None where nothing was."""
        ...

    def save_tape(self, text: str) -> None:
        """Replace it durably."""
        ...


@dataclass(frozen=True, slots=True)
class World:
    """What lies around a run.

    Attributes:
        prices: Where REST prices come from.
        provider: The stream, or None to poll only.
        exchange: Kraken, where orders can be checked and watched; None in a dry run, and where
            there is no trading key.
        tape: Where it is kept how far the tapes were seen; None keeps nothing.
        clocks: The clocks.
        account: The account's stream; None to look at orders over REST only.
        set_clock: Asks Kraken for the time; blocks, and raises KrakenError.
        rests: Whether another host leads: then nothing is asked with a key.
    """

    prices: PriceSource
    provider: WebSocketPriceProvider | None
    exchange: KrakenExchange | None
    tape: TapeFile | None
    clocks: Clocks
    set_clock: Callable[[], None]
    account: AccountFeed | None
    rests: Callable[[], bool]


class Timed(Protocol):
    """The part of a program that knows the time, and whom to ask for it."""

    kraken_clock: KrakenClock
    kraken_api_readonly: Any  # what only resembles a `KrakenAPI`, too
    worker: Any  # the order thread, which has the exchange
    stopping: threading.Event  # set once it is to end


def kraken_clock(say: Say) -> tuple[KrakenClock, Clocks]:
    """Return Kraken's clock, and the clocks of a program, of which it is one.

    Args:
        say: Takes a level and a sentence for a person.
    """
    clock = KrakenClock(time.time, feed_clock, say)
    is_known, is_doubtful = clock.is_known, clock.is_doubtful
    return clock, Clocks(clock.now, time.time, feed_clock, is_known, is_doubtful, clock.hear)


def ask_for_time(program: Timed) -> None:
    """Ask Kraken for the time, where there is a Kraken to be asked. Blocks for a call or a few.

    Raises:
        KrakenError: If Kraken does not answer; the old estimate stays.
    """
    exchange = program.worker.exchange
    if isinstance(exchange, KrakenExchange):
        exchange.set_clock(program.stopping.wait)
    elif is_real(program.kraken_api_readonly):
        api, pause = program.kraken_api_readonly, program.stopping.wait
        program.kraken_clock.measure(api.server_time, pause)


def ask_if_doubtful(program: Timed) -> None:
    """Ask Kraken for the time if it was never asked, or a clock was set since. Blocks for one call.

    Without an answer the old estimate stays; the keeper asks again, and says so.
    """
    if program.kraken_clock.is_doubtful():
        with suppress(KrakenError):
            ask_for_time(program)


def sources_of(program: Program, live: LiveRun) -> Sources:
    """Return where figures of a run come from, for whoever serves them."""
    from ttslo_app.face.metrics import Sources  # here, for who wants no figures

    provider = program.kraken_api_readonly.price_provider() if WEBSOCKET_AVAILABLE else None
    health = provider.health if provider else lambda: None
    return Sources(health, live.armed, lambda: program.worker.answers, live.orderless)


def begin_beside(program: Program, live: LiveRun) -> MetricsServer | None:
    """Begin what goes on beside a run: figures, where they are wanted, and news of pairs."""
    metrics = _serve_metrics(program, live)
    if WEBSOCKET_AVAILABLE:  # no minimum of this morning is to bar a row tonight
        program.kraken_api_readonly.follow_instruments(timeout=0.0)
    return metrics


def _serve_metrics(program: Program, live: LiveRun) -> MetricsServer | None:
    """Serve figures on this machine, where that is wanted."""
    if program.options.metrics_port is None:
        return None
    from ttslo_app.face.metrics import MetricsServer  # here, for who wants no figures

    server = MetricsServer(program.options.metrics_port, sources_of(program, live)).start()
    tell(program.say, words.figures_at(server.url))
    return server
