"""The audit's thread: asks REST now and then whether the stream still tells the truth.

One call for all streamed symbols, once a minute; what the answers mean is `ws_audit`'s affair.
It runs beside the feed's thread and never in its way, begins and ends with it, and must never
make a price of its own: it only takes the stream's away, and gives them back.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

from krakenlink.errors import KrakenError
from krakenlink.stream.audit import Audit, Finding, Remedy, View
from krakenlink.stream.feed import Channel, FeedState, SubState

if TYPE_CHECKING:
    from ws_price_provider import FeedHealth, WebSocketPriceProvider

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())

_OPEN = frozenset({FeedState.LIVE, FeedState.SUSPECT})
_LIVE = SubState.LIVE.name.lower()


class Auditor:
    """Audits one provider for as long as its thread runs; see `accompany` there.

    Args:
        provider: The stream.
        ask: Returns REST's last prices of a list of symbols, with one call; those without a price
            are left out. It blocks, and may raise a `KrakenError`.
    """

    def __init__(
        self,
        provider: WebSocketPriceProvider,
        ask: Callable[[list[str]], Mapping[str, Decimal]],
    ) -> None:
        self._provider = provider
        self._ask = ask
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, unless it has or the settings say never. Called under the provider's lock."""
        if self._thread is not None or self._provider.settings.audit_every <= 0:
            return
        self._stop = threading.Event()
        # Daemon, because it sleeps or waits for an answer, and owns nothing to be saved.
        thread = threading.Thread(
            target=self._main, args=(self._stop,), name="kraken-audit", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # no more threads, or the interpreter is ending
            _log.warning("The stream is not audited (%s)", error)
        else:
            self._thread = thread

    def stop(self) -> threading.Thread | None:
        """Tell the thread to end, and return it; a call that is under way ends first."""
        self._stop.set()
        thread, self._thread = self._thread, None
        return thread

    def _main(self, stop: threading.Event) -> None:
        settings = self._provider.settings
        audit = Audit()
        while not stop.wait(settings.audit_again_after if audit.is_open else settings.audit_every):
            try:
                self._look(audit, stop)
            except KrakenError as error:
                _log.debug("No audit this time: %s", error)
            except Exception:  # noqa: BLE001 - top of the thread: one failure must not end the rest
                _log.exception("The audit met an error and goes on")

    def _look(self, audit: Audit, stop: threading.Event) -> None:
        before = views(self._provider.health())
        if not before:
            return
        prices = self._ask(sorted(before))
        after = views(self._provider.health())
        if not stop.is_set():
            for finding in audit.judge(before, prices, after):
                self._treat(finding)

    def _treat(self, finding: Finding) -> None:
        if finding.remedy is Remedy.TRUST:
            self._provider.trust(finding.symbol)
            return
        self._provider.distrust(finding.symbol, finding.sentence)
        if finding.remedy is Remedy.RECONNECT:
            self._provider.reconnect(f"the stream has fallen silent about {finding.symbol}")
            return
        for channel in Channel:
            self._provider.resubscribe(finding.symbol, channel)


def views(health: FeedHealth) -> dict[str, View]:
    """Return the stream's side of every symbol that has had a tick; none while there is no link."""
    if health.state not in _OPEN:
        return {}
    return {
        row.symbol: View(row.last_tick.price, row.ticks, health.reconnects, row.state == _LIVE)
        for row in health.symbols
        if row.channel == Channel.TICKER and row.last_tick is not None
    }
