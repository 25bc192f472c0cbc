"""What the order thread has in hand: faces of files and Kraken, its books, its clocks, its words.

All of it is handed in by `run`; the parts of the thread do not know each other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple, Protocol

from krakenlink.errors import ProtocolError
from krakenlink.rest.answers import Outcome
from ttslo_app.clocks import Clocks, Moments
from ttslo_app.messages import AcceptedRule, Market, Sighting
from ttslo_app.orders.ledger import Ledger, State
from ttslo_app.orders.life import Life, OrderSettings
from ttslo_app.orders.owed import Owed
from ttslo_app.orders.request import OrderRequest
from ttslo_app.orders.words import Teller
from ttslo_app.rules.rule import Rule


class Rows(Protocol):
    """The rows of config.csv at one moment."""

    def rule_of(self, rule: Rule) -> Rule | None:
        """Return what there is for a rule; None if that is gone or no rule."""
        ...

    def row_of(self, rule_id: str, known: AcceptedRule | None) -> Mapping[str, object] | None:
        """Return a row to the letter, None where there is none or nobody can tell.

        Args:
            rule_id: The row.
            known: As it was read last: where it is so still, this very row is returned.
        """
        ...


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

    def current_rows(self) -> Rows:
        """Return the rows of config.csv as they are now.

        Raises:
            OSError: If the file cannot be read, which says nothing about the row.
        """
        ...

    def is_being_saved(self) -> bool:
        """Tell whether somebody else may just be writing config.csv. Never raises."""
        ...

    def note_orders(self, lives: Sequence[Life]) -> Collection[str]:
        """Write the orders into the rows of config.csv, but for the ids that are returned.

        Those are not in the file just now, or not whole.

        Raises:
            OSError: If the file cannot be written; it is whole all the same.
        """
        ...


class OrderSent(NamedTuple):
    """One order of several, and the client id under which it is sent."""

    order: OrderRequest
    cl_ord_id: str


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

    def free_of(self, asset: str) -> Decimal | None:
        """Return what a new order may use of an asset, by Kraken's id; None where none is placed.

        Blocks for one call.

        Raises:
            KrakenError: If Kraken could not be asked, or answered something else.
            ValueError: If nobody knows.
        """
        ...

    def prepare(self, order: OrderRequest) -> None:
        """Do now what can be done of `place` before its crossing. Never asks anybody or raises."""
        ...

    def place(self, order: OrderRequest, cl_ord_id: str, deadline: str) -> Outcome:
        """Send one AddOrder, once. Blocks until the answer or the read deadline. Never raises."""
        ...

    def place_batch(self, orders: Sequence[OrderSent], deadline: str) -> Sequence[Outcome] | None:
        """Send orders of one pair in one request, once. Blocks as `place` does. Never raises.

        Args:
            orders: Two or more, each of another `cl_ord_id`.
            deadline: For all of them.

        Returns:
            What became of each, in their order; None if certainly none of them was placed, and
            each is to be sent by itself.
        """
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


@dataclass(frozen=True, slots=True)
class Tools:
    """The books, the world outside, and the numbers.

    Attributes:
        exchange: Kraken, or None where no trading key was given.
        step: Called at each step of the protocol by its name, for tests that end it there.
        moments: The present as text.
    """

    ledger: Ledger
    owed: Owed
    files: Files
    exchange: Exchange | None
    clocks: Clocks
    teller: Teller
    settings: OrderSettings
    step: Callable[[str], None]
    moments: Moments = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "moments", Moments(self.clocks))  # it is made from another field

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

    def other_row(self, rule_id: str, sighting: Sighting | None) -> ProtocolError | None:
        """Return the error of an answer that shows a row the order of another one; else None."""
        owner = "" if sighting is None else self.ledger.owner_of(sighting.txid, rule_id)
        if sighting is None or not owner:
            return None
        return ProtocolError(f"the answer shows {sighting.txid}, which is the order of {owner}")

    def now(self) -> float:
        """Return seconds that only ever grow, while the machine sleeps, too."""
        return self.clocks.monotonic()

    def timestamp(self) -> str:
        """Return the present moment by Kraken's clock, as the files hold it: ISO UTC."""
        return self.moments.now()

    def begin_anew(self, rule_id: str) -> None:
        """Forget how often a rule was refused, and what was said of that."""
        self.owed.begin_anew(rule_id)
        self.teller.forget(rule_id)
