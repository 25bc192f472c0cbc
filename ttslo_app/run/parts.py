"""What a run is put together from: what its user wants, and what lies around it.

Values and protocols alone; nothing in here does anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ttslo_app.orders.settings import OrderSettings
from ttslo_app.rules.rule import WhenBlind
from ttslo_app.watch.lookback import PastSource
from ttslo_app.watch.past import Pace

if TYPE_CHECKING:
    from ttslo_app.clocks import Clocks
    from ttslo_app.orders.exchange import KrakenExchange
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
        step: Called by name at each step of the order protocol, for tests that end it there.
    """

    dry_run: bool = False
    verbose: bool = False
    debug: bool = False
    settings: OrderSettings = field(default_factory=OrderSettings)
    when_blind: WhenBlind = WhenBlind.ARM_IF_BEYOND
    pace: Pace | None = None
    metrics_port: int | None = None
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
        set_clock: Asks Kraken for the time; blocks, and raises KrakenError.
    """

    prices: PriceSource
    provider: WebSocketPriceProvider | None
    exchange: KrakenExchange | None
    tape: TapeFile | None
    clocks: Clocks
    set_clock: Callable[[], None]
