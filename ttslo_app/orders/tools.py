"""What every part of the order thread has in hand; the parts themselves do not know each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from ttslo_app.clocks import Clocks
from ttslo_app.orders.ledger import Ledger
from ttslo_app.orders.life import Life
from ttslo_app.orders.owed import Owed
from ttslo_app.orders.ports import Exchange, Files
from ttslo_app.orders.settings import OrderSettings
from ttslo_app.orders.words import Teller


@dataclass(frozen=True, slots=True)
class Tools:
    """The books, the world outside, and the numbers.

    Attributes:
        exchange: Kraken, or None where no trading key was given.
        step: Called at each step of the protocol by its name, for tests that end it there.
    """

    ledger: Ledger
    owed: Owed
    files: Files
    exchange: Exchange | None
    clocks: Clocks
    teller: Teller
    settings: OrderSettings
    step: Callable[[str], None]

    @property
    def can_find(self) -> bool:
        """Whether an order of unknown outcome can be looked up."""
        return self.exchange is not None and self.exchange.can_find

    @property
    def key_mark(self) -> str:
        """What tells the trading key from another; empty where there is none."""
        return "" if self.exchange is None else self.exchange.key_mark

    def is_sent_by_another(self, life: Life) -> bool:
        """Tell whether an order was sent by another key: only that one can look it up."""
        return bool(life.sent_by and self.key_mark and life.sent_by != self.key_mark)

    def now(self) -> float:
        """Return seconds that only ever grow, while the machine sleeps, too."""
        return self.clocks.monotonic()

    def timestamp(self, ago: float = 0.0) -> str:
        """Return a moment by this machine's clock, as the files hold it: ISO UTC.

        Args:
            ago: How long ago it was, in seconds.
        """
        moment = self.clocks.utc() - timedelta(seconds=ago)
        return moment.isoformat(timespec="milliseconds")

    def begin_anew(self, rule_id: str) -> None:
        """Forget how often a rule was refused, and what was said of that."""
        self.owed.begin_anew(rule_id)
        self.teller.forget(rule_id)
