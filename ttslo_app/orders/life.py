"""The life of a rule, from its arming to the end of its order, as one table of states.

Pure: files, HTTP, time and threads belong to the worker, which does what is decided here.
The protocol, in one paragraph: an intent with a client order id is written down before anything
is sent; it is sent once; an answer is *placed*, *refused* or *unknown*; the unknown is looked up
at Kraken once no late copy can arrive any more, and only when it is certain that no order stands
may another be sent, under the same client order id. The numbers of the protocol stand here too,
each with its reason.

Source: Kraken, REST AddOrder, OpenOrders, ClosedOrders and "client order identifiers"
(read 2026-11): `cl_ord_id` is unique among open orders only, so it finds an order but does not
by itself prevent a second one; `deadline` bounds how late a request can still be executed.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import NamedTuple

from krakenlink.numbers import to_decimal
from ttslo_app.orders.request import OrderRequest, fingerprint
from ttslo_app.rules.rule import Rule

# The namespace that makes our ids ours; chosen at random once, and never to be changed: the id
# of an order that is under way must come out the same after an update of the program.
_NAMESPACE = uuid.UUID("6f0a4cf2-3f57-4c3e-9d5b-5f4b5a0f2a11")


class RuleState(StrEnum):
    """Where a rule is in its life. The values are what state.csv holds."""

    ARMED = "armed"  # waiting for its crossing
    INTENDED = "intended"  # crossed; the order is written down and may be on the wire
    UNCERTAIN = "uncertain"  # sent, and nobody knows what became of it
    REFUSED = "refused"  # Kraken said no for now; tried again later
    PLACED = "placed"  # the order stands, or stood, at Kraken
    CLOSED = "closed"  # the order is filled, cancelled or expired
    DISARMED = "disarmed"  # does nothing until it is armed again


class Signal(Enum):
    """What can happen to a rule."""

    ARM = "arm"
    CHANGE = "change"
    INTEND = "intend"
    PLACE = "place"
    REFUSE = "refuse"
    LOSE = "lose sight of"
    MISS = "find nothing of"
    CLOSE = "close"
    DISARM = "disarm"
    AWAIT = "put behind another"


TRANSITIONS: Mapping[tuple[RuleState, Signal], RuleState] = MappingProxyType(
    {
        (RuleState.ARMED, Signal.INTEND): RuleState.INTENDED,
        (RuleState.ARMED, Signal.CHANGE): RuleState.ARMED,
        (RuleState.ARMED, Signal.DISARM): RuleState.DISARMED,
        # An order of this arming was found of which this state, an older copy, knows nothing.
        (RuleState.ARMED, Signal.PLACE): RuleState.PLACED,
        (RuleState.REFUSED, Signal.PLACE): RuleState.PLACED,
        (RuleState.REFUSED, Signal.INTEND): RuleState.INTENDED,
        (RuleState.REFUSED, Signal.CHANGE): RuleState.ARMED,  # the old crossing is owed no more
        (RuleState.REFUSED, Signal.DISARM): RuleState.DISARMED,
        # The answer to the order, or none.
        (RuleState.INTENDED, Signal.PLACE): RuleState.PLACED,
        (RuleState.INTENDED, Signal.REFUSE): RuleState.REFUSED,
        (RuleState.INTENDED, Signal.DISARM): RuleState.DISARMED,
        (RuleState.INTENDED, Signal.LOSE): RuleState.UNCERTAIN,
        # Two looks have settled it. Nothing else leads out of uncertainty.
        (RuleState.UNCERTAIN, Signal.PLACE): RuleState.PLACED,
        (RuleState.UNCERTAIN, Signal.MISS): RuleState.ARMED,
        (RuleState.PLACED, Signal.CLOSE): RuleState.CLOSED,
        # The next generation: by the user's hand, never by ours.
        (RuleState.PLACED, Signal.ARM): RuleState.ARMED,
        (RuleState.CLOSED, Signal.ARM): RuleState.ARMED,
        (RuleState.DISARMED, Signal.ARM): RuleState.ARMED,
        # The user wants it armed again, and the order before it is to be filled anew for that.
        (RuleState.PLACED, Signal.AWAIT): RuleState.DISARMED,
        (RuleState.CLOSED, Signal.AWAIT): RuleState.DISARMED,
    }
)


# What is written of a row that has ended by itself.
EXPIRED = "expired"
# What is known of an order in doubt.
STANDS, LATE = "stands", "late"


class IllegalTransition(RuntimeError):
    """A signal that the state of a rule has no answer to; nothing was changed."""


class Life(NamedTuple):
    """What is known of one rule's present arming. Times are ISO 8601 in UTC, numbers Kraken's text.

    Attributes:
        generation: Counts the armings of this id, from 1; 0 before the first.
        armed_at: When this arming began. Part of the client order id, so that a lost state file
            never makes an old order pass for a new one.
        deadline: The moment, by Kraken's clock, after which the order can no longer be accepted.
        sends: How often an order was sent under this client order id.
        noted: Whether config.csv has been told of the order; False means that it is owed.
        row: The row's settings when it was armed, to tell a changed row from the same one.
        letters: How the row was spelt from its firing to its note: digests of it to the letter,
            with blanks between them; empty where that is not known.
        row_at: Since when the rule waits for this very condition; empty in older files, where
            `armed_at` is the best that is known.
        sent_by: The mark of the key that sent the order; only that key can look it up.
        doubt: What is known of an order in doubt: `stands` if it certainly does or did, `late` if
            the books may be late to show it; empty otherwise.
        crossed_price: The first price that crossed the threshold, where it was found out only
            afterwards because nobody saw it; empty where it was seen.
        crossed_at: When that was, by Kraken's clock.
        armed_by: The order whose fill has armed the rule, or did before it fired; empty for a rule
            that follows no other.
        handed: How much of that order was filled then, as Kraken told it.
    """

    id: str
    state: RuleState = RuleState.DISARMED
    generation: int = 0
    armed_at: str = ""
    cl_ord_id: str = ""
    order: OrderRequest | None = None
    intended_at: str = ""
    deadline: str = ""
    sends: int = 0
    order_id: str = ""
    trigger_price: str = ""
    trigger_time: str = ""
    activated_on: str = ""
    noted: bool = False
    row: str = ""
    letters: str = ""
    row_at: str = ""
    order_status: str = ""
    vol_exec: str = ""
    fill_price: str = ""
    sent_by: str = ""
    doubt: str = ""
    crossed_price: str = ""
    crossed_at: str = ""
    armed_by: str = ""
    handed: str = ""
    detail: str = ""

    @property
    def has_executed(self) -> bool:
        """Whether any part of the order is filled."""
        return bool(self.vol_exec.strip("0."))

    @property
    def waits_since(self) -> str:
        """The moment from which on trades count for the rule as it is now; ISO UTC."""
        return self.row_at or self.armed_at

    @property
    def is_waiting(self) -> bool:
        """Whether a crossing may lead to an order."""
        return self.state in (RuleState.ARMED, RuleState.REFUSED)

    @property
    def has_fired(self) -> bool:
        """Whether an order of this arming stands or stood at Kraken."""
        return self.state in (RuleState.PLACED, RuleState.CLOSED)

    def has_ended_as(self, rule: Rule) -> bool:
        """Tell whether the row ended by itself, and is since as it was then."""
        has_ended = self.state is RuleState.DISARMED and self.detail == EXPIRED
        return has_ended and self.row == fingerprint(rule)

    @property
    def is_unsettled(self) -> bool:
        """Whether an order of this arming may stand at Kraken without our knowing."""
        return self.state in (RuleState.INTENDED, RuleState.UNCERTAIN)

    def after(self, signal: Signal, **changes: object) -> Life:
        """Return this life after `signal`.

        Raises:
            IllegalTransition: If the table has no such transition; nothing is changed.
        """
        return self._replace(state=self.state_after(signal), **changes)  # type: ignore[arg-type]  # fields by name

    def state_after(self, signal: Signal) -> RuleState:
        """Return the state that `signal` leads to.

        Raises:
            IllegalTransition: If the table has no such transition.
        """
        try:
            return TRANSITIONS[self.state, signal]
        except KeyError:
            raise IllegalTransition(
                f"rule {self.id} is {self.state}: cannot {signal.value} it"
            ) from None


def client_order_id(rule_id: str, generation: int, armed_at: str) -> str:
    """Return the one `cl_ord_id` of one arming: a UUID, the same whenever it is asked for.

    It is what `uuid.uuid5` gives, in a third of the time: a file may have 100,000 rows.
    """
    name = f"{rule_id}\n{generation}\n{armed_at}".encode()
    digits = hashlib.sha1(_NAMESPACE.bytes + name, usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digits[16], 16) % 4]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def arm(
    life: Life, row: str, at: str, *, since: str = "", armed_by: str = "", handed: str = ""
) -> Life:
    """Return the first life of the next generation of a rule.

    Args:
        life: The one before.
        row: Its settings.
        at: When; ISO UTC.
        since: From when on trades count for it, where that is another text; empty for `at`.
        armed_by: The order whose fill arms it.
        handed: How much of that was filled.
    """
    generation = life.generation + 1
    return Life(
        life.id,
        life.state_after(Signal.ARM),
        generation,
        armed_at=at,
        cl_ord_id=client_order_id(life.id, generation, at),
        row=row,
        row_at=since or at,
        armed_by=armed_by,
        handed=handed,
    )


def put_behind(life: Life) -> Life:
    """Return a life that has fired as one that waits for what comes before it, and may be armed."""
    state = life.state_after(Signal.AWAIT)
    return Life(
        life.id,
        state,
        life.generation,
        armed_at=life.armed_at,
        cl_ord_id=life.cl_ord_id,
        row=life.row,
        armed_by=life.armed_by,
    )


@dataclass(frozen=True, slots=True)
class OrderSettings:
    """The numbers of the protocol, in seconds, each with its reason.

    Attributes:
        deadline: How long Kraken may take to accept the order; Kraken allows 2 to 60. Long enough
            for a slow handshake, short enough that an unknown outcome is settled soon.
        deadline_margin: Waited beyond the deadline by Kraken's own clock, which is only known to
            about a second.
        lookup_gap: Between the two looks that must both find nothing. An order that closed just
            before the first look may be missing from ClosedOrders for 10 s.
        late_books: How long past the deadline an order may be missing from the books although it
            was placed, where something on the way answered in Kraken's place.
        ask_again: First wait after a look without an answer; doubles up to `ask_again_max`.
        ask_again_max: The longest of those waits.
        refusal_wait: First wait after a refusal that may heal; doubles up to `refusal_wait_max`.
        refusal_wait_max: The longest of those waits.
        owed: An order that turned out not to be placed is placed although the price has gone back
            when its crossing is younger than this: a spike is why the rule exists.
        in_line: The longest that a crossing waits in line because Kraken takes no more orders for
            now. Kraken lets at most 225 orders stand on a pair, which is 4 minutes of waiting;
            beyond this today's price has to meet the threshold again.
        write_again: Between two tries to write a state file that cannot be written.
        watch: Between two looks at the open orders, one call for all rows; Kraken's smallest
            allowance regains a call in 3 s.
        watch_streamed: The same for orders that the account's stream proves at this moment: what it
            could leave out shows within a minute.
    """

    deadline: float = 5.0
    deadline_margin: float = 1.5
    lookup_gap: float = 12.0
    late_books: float = 60.0
    ask_again: float = 1.0
    ask_again_max: float = 30.0
    refusal_wait: float = 1.0
    refusal_wait_max: float = 60.0
    owed: float = 60.0
    in_line: float = 600.0
    write_again: float = 1.0
    watch: float = 10.0
    watch_streamed: float = 60.0


def settings_from(text: str) -> OrderSettings:
    """Return the settings of `name=seconds,name=seconds`; names left out keep their defaults.

    Raises:
        ValueError: For an unknown name or a number that is not positive.
    """
    known = {f.name for f in fields(OrderSettings)}
    chosen: dict[str, float] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, value = part.partition("=")
        if name.strip() not in known:
            raise ValueError(f"{name.strip()!r} is none of {', '.join(sorted(known))}")
        number = float(to_decimal(value))
        if number <= 0:
            raise ValueError(f"{name.strip()}={value} is not positive")
        chosen[name.strip()] = number
    return OrderSettings(**chosen)
