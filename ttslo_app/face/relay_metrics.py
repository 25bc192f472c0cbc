"""A relay's figures for Prometheus, and whether it has proven prices to give.

What it must never do: call a relay healthy whose prices nobody proves, or whom its broker does not
hear.

Source: Prometheus, naming of metrics (read 2026-11).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from krakenlink.machine import feed_clock
from krakenlink.relay.server import Standing
from ttslo_app.face.metrics import counter, feed_families, gauge
from ws_price_provider import FeedHealth


@dataclass(frozen=True, slots=True)
class RelayFigures:
    """What `ttslo relay` serves; each is called on a server's thread and must not block.

    Attributes:
        standing: How the relay stands.
        health: The snapshot of its connection to Kraken.
        dead_after: Seconds after which a proof holds no more.
    """

    standing: Callable[[], Standing]
    health: Callable[[], FeedHealth]
    dead_after: float

    def proof_age(self) -> float | None:
        """Return the seconds since Kraken's last proof of life; None where it does not hold."""
        proven_at = self.standing().proven_at
        age = None if proven_at is None else max(0.0, feed_clock() - proven_at)
        return age if age is not None and age < self.dead_after else None

    def families(self) -> Iterator[Any]:
        """Yield the metrics at this moment, as prometheus-client wants them."""
        yield from feed_families(self.health())
        now, age = self.standing(), self.proof_age()
        yield gauge("ttslo_relay_readers", "Readers that are remembered", now.readers)
        yield gauge("ttslo_relay_subscriptions", "Channels of symbols that are carried",
            now.subscriptions)  # fmt: skip
        yield counter("ttslo_relay_packets", "Messages that the broker took", now.packets)
        yield gauge("ttslo_relay_packets_per_second", "The same, in the mean of ten seconds",
            now.packets_per_second)  # fmt: skip
        yield gauge("ttslo_relay_proof_age_seconds", "Since Kraken's last proof of life", age)
        yield gauge("ttslo_relay_proven", "1 while prices are proven", age is not None)
        yield gauge("ttslo_relay_broker_up", "1 while the broker takes prices", now.is_heard)

    def healthz(self) -> tuple[int, str]:
        """Return status and text: 200 only while proven prices go out."""
        now, age = self.standing(), self.proof_age()
        if not now.is_heard:
            return 503, "the broker takes no prices\n"
        if age is None:
            return 503, "no proven prices from Kraken\n"
        return 200, f"ok: proven {age:.1f} s ago, {now.readers} readers\n"
