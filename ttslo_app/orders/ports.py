"""What the order thread needs of the world: files and Kraken, handed in by `run`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from krakenlink.rest.answers import Outcome
from ttslo_app.messages import Market, Sighting
from ttslo_app.orders.life import Life
from ttslo_app.orders.request import OrderRequest
from ttslo_app.orders.row import State
from ttslo_app.rules.rule import Rule


class Files(Protocol):
    """What the order thread needs of the files."""

    def save_state(self, state: State) -> None:
        """Write state.csv durably; raises OSError and leaves the old file whole."""
        ...

    def save_intents(self, state: State, rule_ids: Sequence[str]) -> None:
        """Make the rows of some rules durable, by less than a whole state.csv where that can be.

        Raises:
            OSError: If they may not be on the disk.
        """
        ...

    def current_rule(self, rule: Rule) -> Rule | None:
        """Return the row of `rule.id` as config.csv has it now, None if it is gone or no rule.

        Raises:
            OSError: If the file cannot be read, which says nothing about the row.
        """
        ...

    def note_orders(self, lives: Sequence[Life]) -> Collection[str]:
        """Write the orders into the rows of config.csv, but for the ids that are returned.

        Those are not in the file just now, or not whole.

        Raises:
            OSError: If the file cannot be written; it is whole all the same.
        """
        ...


class Exchange(Protocol):
    """What the order thread needs of Kraken.

    Attributes:
        can_find: Whether an order can be looked up.
        key_mark: What tells the trading key from another; empty where there is none.
    """

    can_find: bool
    key_mark: str

    def now(self) -> float:
        """Return Kraken's clock as estimated, in seconds since 1970. Never blocks."""
        ...

    def market_of(self, pair: str) -> Market:
        """Return what Kraken says of `pair`. May block the first time.

        Raises:
            LookupError: If Kraken has no such pair.
        """
        ...

    def place(
        self, order: OrderRequest, cl_ord_id: str, deadline: str, *, may_be_resend: bool
    ) -> Outcome:
        """Send one AddOrder, once. Blocks until the answer or the read deadline. Never raises."""
        ...

    def check(self, order: OrderRequest) -> Outcome:
        """Ask Kraken whether it would take `order`, without placing it. Blocks. Never raises."""
        ...

    def find(self, cl_ord_id: str, order: OrderRequest) -> Sighting | None:
        """Return the order of that id among the open and the closed ones, None if in neither.

        Raises:
            KrakenError: If Kraken could not be asked.
        """
        ...
