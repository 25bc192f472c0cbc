"""One crossing, one order: the life of a rule, and every decision about its order.

Pure: files, HTTP, time and threads belong to `ttslo_worker`, which does what is decided here.
The protocol, in one paragraph: an intent with a client order id is written down before anything
is sent; it is sent once; an answer is *placed*, *refused* or *unknown*; the unknown is looked up
at Kraken once no late copy can arrive any more, and only when it is certain that no order stands
may another be sent, under the same client order id.

Source: Kraken, REST AddOrder, OpenOrders, ClosedOrders and "client order identifiers"
(read 2026-11): `cl_ord_id` is unique among open orders only, so it finds an order but does not
by itself prevent a second one; `deadline` bounds how late a request can still be executed.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from enum import Enum, StrEnum
from functools import lru_cache
from types import MappingProxyType

from krakenlink.numbers import doubled, plain, quantize_down, to_decimal, trailing_offset
from ttslo_app.messages import Market, Sighting
from ttslo_app.rules.rule import Rule

# The namespace that makes our ids ours; chosen at random once, and never to be changed: the id
# of an order that is under way must come out the same after an update of the program.
_NAMESPACE = uuid.UUID("6f0a4cf2-3f57-4c3e-9d5b-5f4b5a0f2a11")


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
    """

    deadline: float = 5.0
    deadline_margin: float = 1.5
    lookup_gap: float = 12.0
    ask_again: float = 1.0
    ask_again_max: float = 30.0
    refusal_wait: float = 1.0
    refusal_wait_max: float = 60.0
    owed: float = 60.0
    in_line: float = 600.0
    write_again: float = 1.0
    watch: float = 10.0


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


# --- the life of a rule ----------------------------------------------------------------------


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


TRANSITIONS: Mapping[tuple[RuleState, Signal], RuleState] = MappingProxyType(
    {
        (RuleState.ARMED, Signal.INTEND): RuleState.INTENDED,
        (RuleState.ARMED, Signal.CHANGE): RuleState.ARMED,
        (RuleState.ARMED, Signal.DISARM): RuleState.DISARMED,
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
    }
)


class IllegalTransition(RuntimeError):
    """A signal that the state of a rule has no answer to; nothing was changed."""


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """The exact order, in Kraken's words and texts: what is written down is what is sent."""

    pair: str
    type: str
    volume: str
    price: str
    ordertype: str = "trailing-stop"
    trigger: str = "last"

    def to_json(self) -> str:
        """Return the order as one line of JSON, for the state file."""
        return json.dumps({f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def from_json(cls, text: str) -> OrderRequest | None:
        """Return the order that `to_json` wrote, or None if `text` is nothing of the kind."""
        try:
            found = json.loads(text)
            return cls(**{f.name: str(found[f.name]) for f in fields(cls)})
        except (ValueError, KeyError, TypeError):
            return None

    def __str__(self) -> str:
        return f"{self.type} {self.volume} {self.pair} {self.ordertype} {self.price}"


@dataclass(frozen=True, slots=True)
class Life:
    """What is known of one rule's present arming. Times are ISO 8601 in UTC, numbers Kraken's text.

    Attributes:
        generation: Counts the armings of this id, from 1; 0 before the first.
        armed_at: When this arming began. Part of the client order id, so that a lost state file
            never makes an old order pass for a new one.
        deadline: The moment, by Kraken's clock, after which the order can no longer be accepted.
        sends: How often an order was sent under this client order id.
        noted: Whether config.csv has been told of the order; False means that it is owed.
        row: The row's settings when it was armed, to tell a changed row from the same one.
        row_at: Since when the rule waits for this very condition; empty in older files, where
            `armed_at` is the best that is known.
        crossed_price: The first price that crossed the threshold, where it was found out only
            afterwards because nobody saw it; empty where it was seen.
        crossed_at: When that was, by Kraken's clock.
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
    row_at: str = ""
    order_status: str = ""
    vol_exec: str = ""
    fill_price: str = ""
    crossed_price: str = ""
    crossed_at: str = ""
    detail: str = ""

    @property
    def waits_since(self) -> str:
        """The moment from which on trades count for the rule as it is now; ISO UTC."""
        return self.row_at or self.armed_at

    @property
    def has_fired(self) -> bool:
        """Whether an order of this arming stands or stood at Kraken."""
        return self.state in (RuleState.PLACED, RuleState.CLOSED)

    @property
    def is_unsettled(self) -> bool:
        """Whether an order of this arming may stand at Kraken without our knowing."""
        return self.state in (RuleState.INTENDED, RuleState.UNCERTAIN)

    def after(self, signal: Signal, **changes: object) -> Life:
        """Return this life after `signal`.

        Raises:
            IllegalTransition: If the table has no such transition; nothing is changed.
        """
        return replace(self, state=self.state_after(signal), **changes)  # type: ignore[arg-type]  # fields by name

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
    """Return the one `cl_ord_id` of one arming: a UUID, the same whenever it is asked for."""
    return str(uuid.uuid5(_NAMESPACE, f"{rule_id}\n{generation}\n{armed_at}"))


def arm(life: Life, row: str, at: str) -> Life:
    """Return the first life of the next generation of a rule."""
    generation = life.generation + 1
    return Life(
        life.id,
        life.state_after(Signal.ARM),
        generation,
        armed_at=at,
        cl_ord_id=client_order_id(life.id, generation, at),
        row=row,
        row_at=at,
    )


def fingerprint(rule: Rule) -> str:
    """Return what decides *when and what* `rule` trades, to tell whether a row was changed."""
    parts = (
        rule.pair,
        plain(rule.threshold.normalize()),
        rule.threshold_type,
        rule.direction,
        plain(rule.volume.normalize()),
        plain(rule.offset_percent),
        # Last, and only where it is set: rows of earlier versions keep their fingerprint.
        *((rule.when_blind,) if rule.when_blind else ()),
    )
    return " ".join(parts)


def condition_of(row: str) -> str:
    """Return the part of a `fingerprint` that says when the rule fires."""
    return " ".join(row.split(" ")[:3])


def build_order(rule: Rule, pair: str, lot_decimals: int | None) -> OrderRequest:
    """Return the order that `rule` stands for, on Kraken's own name of its pair.

    Raises:
        ValueError: If the volume is nothing once cut to the digits that Kraken takes.
    """
    volume = rule.volume if lot_decimals is None else quantize_down(rule.volume, lot_decimals)
    if volume <= 0:
        raise ValueError(
            f"volume {plain(rule.volume)} is zero with the {lot_decimals} decimals of {pair}"
        )
    return OrderRequest(
        pair, rule.direction.value, plain(volume), trailing_offset(rule.offset_percent)
    )


# --- what the market allows ------------------------------------------------------------------


def market_objection(rule: Rule, market: Market, price: Decimal) -> tuple[str, bool] | None:
    """Return why Kraken would refuse `rule` now and whether that may heal; None if it would not."""
    if market.status != "online":
        return f"{rule.pair} is {market.status} at Kraken", True
    if market.ordermin is not None and rule.volume < market.ordermin:
        minimum = plain(market.ordermin)
        return f"volume {plain(rule.volume)} is below Kraken's minimum of {minimum}", False
    if market.costmin is not None and rule.volume * price < market.costmin:
        cost, minimum = plain(rule.volume * price), plain(market.costmin)
        return f"volume x price is {cost}, below Kraken's minimum cost of {minimum}", True
    return None


# --- settling an unknown outcome -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Search:
    """How far the search for one uncertain order has come.

    Attributes:
        not_before: When to look next, in seconds of one monotonic clock, as `missed_at` is.
        missed_at: When a look found nothing for the first time.
        unanswered: How many looks in a row Kraken did not answer.
        is_from_before: Whether the order was sent before the program started; nothing else may
            fire until such an order is settled.
    """

    not_before: float
    missed_at: float | None = None
    unanswered: int = 0
    is_from_before: bool = False


class Verdict(Enum):
    """What a look at Kraken's orders has settled."""

    FOUND = "found"
    NOT_PLACED = "not placed"
    LOOK_AGAIN = "look again"


def begin_search(seconds_to_deadline: float, now: float, settings: OrderSettings) -> Search:
    """Return a search that starts once no late copy of the order can be accepted any more."""
    return Search(now + max(0.0, seconds_to_deadline) + settings.deadline_margin)


def after_look(
    search: Search, sighting: Sighting | None, now: float, settings: OrderSettings
) -> tuple[Verdict, Search]:
    """Return what a look that Kraken answered has settled, and the search to go on with."""
    if sighting is not None:
        return Verdict.FOUND, search
    if search.missed_at is not None and now - search.missed_at >= settings.lookup_gap:
        return Verdict.NOT_PLACED, search
    missed_at = now if search.missed_at is None else search.missed_at
    again = max(now, missed_at + settings.lookup_gap)
    return Verdict.LOOK_AGAIN, replace(search, not_before=again, missed_at=missed_at, unanswered=0)


def after_silence(search: Search, now: float, settings: OrderSettings) -> Search:
    """Return the search to go on with when Kraken could not be asked."""
    wait = doubled(settings.ask_again, search.unanswered, settings.ask_again_max)
    return replace(search, not_before=now + wait, unanswered=search.unanswered + 1)


def refusal_wait(refusals: int, settings: OrderSettings) -> float:
    """Return the pause before a refused rule may try again, after so many refusals in a row."""
    return doubled(settings.refusal_wait, refusals - 1, settings.refusal_wait_max)


# --- what an edit of config.csv means --------------------------------------------------------


class Adoption(Enum):
    """What becomes of a rule when config.csv is read."""

    KEEP = "keep"  # nothing new
    ARM = "arm"  # a new arming begins
    DISARM = "disarm"  # armed until now, and no longer
    UPDATE = "update"  # stays armed, with changed settings
    NOTE = "note"  # fired, and config.csv does not say so yet
    EXPLAIN = "explain"  # enabled although it has fired: say how to arm it again


def adoption_of(life: Life | None, rule: Rule | None, *, is_fired_in_file: bool) -> Adoption:
    """Return what `rule`, as config.csv now has it, means for `life`.

    Args:
        life: What the state file knows of the id; None for an id never seen.
        rule: The accepted row; None where it is gone, refused or not enabled.
        is_fired_in_file: Whether the row's order columns are filled.
    """
    if life is None or life.state is RuleState.DISARMED:
        return Adoption.ARM if rule is not None and not is_fired_in_file else Adoption.KEEP
    if life.is_unsettled:
        return Adoption.KEEP
    if life.has_fired:
        if rule is None:
            return Adoption.KEEP
        if not life.noted and not is_fired_in_file:
            return Adoption.NOTE
        return Adoption.EXPLAIN if is_fired_in_file else Adoption.ARM
    if rule is None:
        return Adoption.DISARM
    return Adoption.KEEP if life.row == fingerprint(rule) else Adoption.UPDATE


# --- state.csv -------------------------------------------------------------------------------

# The contract's columns come first and keep their meaning; these are ours.
_OWN_TEXT = (
    "armed_at",
    "cl_ord_id",
    "intended_at",
    "deadline",
    "row",
    "row_at",
    "order_status",
    "vol_exec",
    "fill_price",
    "crossed_price",
    "crossed_at",
    "detail",
)
_CONTRACT_TEXT = ("order_id", "trigger_price", "trigger_time", "activated_on")
_TEXT = _CONTRACT_TEXT + _OWN_TEXT
STATE_CONTRACT = frozenset({"id", "triggered", *_CONTRACT_TEXT})


# Small numbers of many rows are one text each.
_count = lru_cache(maxsize=256)(str)


def cells_of(life: Life) -> dict[str, str]:
    """Return the cells that state.csv holds of `life`; `last_checked` is not among them."""
    cells = {"id": life.id, "triggered": "true" if life.has_fired else "false"}
    cells.update({name: getattr(life, name) for name in _TEXT})
    cells["rule_state"] = life.state.value
    cells["generation"] = _count(life.generation)
    cells["sends"] = _count(life.sends)
    cells["noted"] = "true" if life.noted else "false"
    cells["order"] = life.order.to_json() if life.order else ""
    return cells


class UnreadableLife(ValueError):
    """A row of state.csv from which nobody can tell whether its rule has fired."""


def read_life(rule_id: str, cells: Mapping[str, str]) -> Life:
    """Return what `cells`, one row of state.csv, say of a rule.

    Rows of earlier versions have the contract's columns only: `triggered` decides.

    Raises:
        UnreadableLife: If the row contradicts itself or holds words that nobody wrote.
    """
    if not isinstance(cells, Mapping):
        raise UnreadableLife(f"it is {type(cells).__name__} and not a dict")
    if not cells:
        return Life(rule_id)
    cells = {name: "" if value is None else str(value) for name, value in cells.items()}
    triggered = cells.get("triggered", "").strip().lower()
    if triggered not in ("true", "false", ""):
        raise UnreadableLife(f"triggered is {cells.get('triggered')!r}, not true or false")
    text = {name: cells.get(name, "") for name in _TEXT}
    word = cells.get("rule_state", "").strip()
    if not word:
        has_fired = triggered == "true" or bool(text["order_id"])
        state = RuleState.PLACED if has_fired else RuleState.DISARMED
        return Life(rule_id, state, **text)  # type: ignore[arg-type]  # fields by name
    try:
        life = Life(
            rule_id,
            RuleState(word),
            generation=int(cells.get("generation") or 0),
            sends=int(cells.get("sends") or 0),
            noted=cells.get("noted") == "true",
            order=OrderRequest.from_json(cells["order"]) if cells.get("order") else None,
            **text,
        )
    except ValueError as error:
        raise UnreadableLife(str(error)) from error
    if life.has_fired != (triggered == "true"):
        raise UnreadableLife(f"rule_state is {word} and triggered is {triggered or 'empty'}")
    if life.is_unsettled and not (life.cl_ord_id and life.order):
        raise UnreadableLife(f"rule_state is {word} without a cl_ord_id and an order")
    return life
