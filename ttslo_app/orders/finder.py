"""Orders of unknown outcome: how they are looked for, and what an answer proves of one of them.

Two looks that both find nothing settle that no order stands: the first once no late copy can be
accepted any more, the second once an order that closed just before the first must be listed.
Absence is concluded from a well-formed answer to this very question alone. What must never happen
here: that silence, a single look, an answer which cannot be read, or one which answers something
else settles anything, or that an order passes for another because the two look alike.

Source: Kraken, REST OpenOrders, ClosedOrders and QueryOrders (read 2026-11); whether rows repeat
`cl_ord_id` is not written anywhere, so both are understood.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from krakenlink.errors import ProtocolError
from krakenlink.foreign import shown
from krakenlink.numbers import doubled, to_decimal, to_positive_decimal
from krakenlink.rest.answers import is_txid
from ttslo_app.messages import Looked, Sighting, Stop
from ttslo_app.orders import trouble_words, words
from ttslo_app.orders.ledger import UnreadableLife
from ttslo_app.orders.life import LATE, STANDS, Life, OrderSettings
from ttslo_app.orders.ports import Exchange, Tools
from ttslo_app.orders.request import OrderRequest

# Rows wait so many seconds at most for what became of an order from before the start: two looks
# settle it by then, and a crossing that waited so long is still young. What cannot be settled, as
# the key may not look or the books do not show it, is trouble of its own row.
_OTHERS_WAIT = 40.0
# Kraken refuses deadlines that are further away than this, in seconds.
_LONGEST_DEADLINE = 60.0


@dataclass(frozen=True, slots=True)
class Search:
    """How far the search for one uncertain order has come.

    Attributes:
        not_before: When to look next, in seconds of one monotonic clock, as `missed_at` is.
        missed_at: When a look found nothing for the first time.
        unanswered: How many looks in a row Kraken did not answer.
        settles_at: Before this moment no look settles that there is no order.
        stands: Whether the order certainly stands or stood: no look settles that there is none.
        held_until: Until then nothing else may fire, as the order was sent before the program
            started; 0 for any other.
    """

    not_before: float
    missed_at: float | None = None
    unanswered: int = 0
    settles_at: float = 0.0
    stands: bool = False
    held_until: float = 0.0


class Verdict(Enum):
    """What a look at Kraken's orders has settled."""

    FOUND = "found"
    NOT_PLACED = "not placed"
    LOOK_AGAIN = "look again"


def begin_search(seconds_to_deadline: float, now: float, settings: OrderSettings) -> Search:
    """Return a search that starts once no late copy of the order can be accepted any more."""
    return Search(now + max(0.0, seconds_to_deadline) + settings.deadline_margin)


def after_look(
    search: Search,
    sighting: Sighting | None,
    now: float,
    settings: OrderSettings,
    began: float | None = None,
) -> tuple[Verdict, Search]:
    """Return what a look that Kraken answered has settled, and the search to go on with.

    Args:
        search: The search so far.
        sighting: What was found.
        now: When the answer was there: what it does not show may have come about until then.
        settings: The numbers of the protocol.
        began: When the look began, which is what tells whether it came late enough; None for now.
    """
    if sighting is not None:
        return Verdict.FOUND, search
    missed_at = now if search.missed_at is None else search.missed_at
    settles_at = max(search.settles_at, missed_at + settings.lookup_gap)
    is_late_enough = (now if began is None else began) >= settles_at
    if search.missed_at is not None and is_late_enough and not search.stands:
        return Verdict.NOT_PLACED, search
    again = now + settings.lookup_gap
    if settles_at > now:
        again = min(again, settles_at)
    return Verdict.LOOK_AGAIN, replace(search, not_before=again, missed_at=missed_at, unanswered=0)


def after_silence(search: Search, now: float, settings: OrderSettings) -> Search:
    """Return the search to go on with when Kraken could not be asked."""
    wait = doubled(settings.ask_again, search.unanswered, settings.ask_again_max)
    return replace(search, not_before=now + wait, unanswered=search.unanswered + 1)


class Finder:
    """Knows what orders are looked for, and what the looks have settled. For the order thread.

    Args:
        tools: What every part has in hand.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._searches: dict[str, Search] = {}
        self._under_way: set[str] = set()  # the rules of whose orders Kraken is being asked

    @property
    def is_busy(self) -> bool:
        """Whether an order is still looked for."""
        return bool(self._searches)

    @property
    def must_settle_first(self) -> bool:
        """Whether an order from before the start may soon be settled, and is not yet."""
        if not self._searches:
            return False
        now = self._tools.now()
        is_recovering = any(now < search.held_until for search in self._searches.values())
        return is_recovering and self._tools.can_find

    def next_at(self) -> float | None:
        """Return when to look next; None while nothing is looked for that is not asked for now."""
        waiting = [s.not_before for i, s in self._searches.items() if i not in self._under_way]
        held = [s.held_until for s in self._searches.values() if s.held_until > self._tools.now()]
        return min([*waiting, *held], default=None)

    def search_for(self, life: Life, *, is_from_before: bool = False) -> None:
        """Look for the order of a life, once no late copy of it can be accepted any more."""
        tools, exchange = self._tools, self._tools.exchange
        if exchange is None:
            tools.teller.tell(words.no_key_to_settle(life))
        if exchange is None or not exchange.can_find:
            return
        # Where it seems to be longer, a clock was set: the look itself asks Kraken for the time.
        wait = min(_seconds_to_deadline(life, exchange), tools.settings.deadline)
        search = begin_search(wait, tools.now(), tools.settings)
        late = tools.settings.late_books if life.doubt == LATE else 0.0
        # Others do not wait for an order that this key cannot look up.
        is_held = is_from_before and not tools.is_sent_by_another(life)
        self._searches[life.id] = replace(
            search,
            settles_at=search.not_before + late,
            stands=life.doubt == STANDS,
            held_until=tools.now() + _OTHERS_WAIT if is_held else 0.0,
        )

    def forget_all(self) -> None:
        """Look for nothing any more: what becomes of the orders is another host's business."""
        self._searches.clear()
        self._under_way.clear()

    def due(self) -> list[Life]:
        """Return those that are to be looked for now, and take them for asked."""
        now = self._tools.now()
        due = [i for i, s in self._searches.items() if s.not_before <= now]
        lives = [self._tools.ledger.life_of(i) for i in due if i not in self._under_way]
        ours = [life for life in lives if self._is_ours(life)]
        self._under_way.update(life.id for life in ours)
        return ours

    def _is_ours(self, life: Life) -> bool:
        """Tell whether this key may settle an order; if not it is put off, and said."""
        if not self._tools.is_sent_by_another(life):
            return True
        self._put_off(life.id)
        self._tools.teller.tell_once(life.id, trouble_words.sent_by_another_key(life))
        return False

    def _put_off(self, rule_id: str) -> None:
        search, tools = self._searches[rule_id], self._tools
        self._searches[rule_id] = after_silence(search, tools.now(), tools.settings)

    def take_up(self, looked: Looked) -> None:
        """Have an order looked for again after an error of our own broke off the work on it."""
        self._under_way.discard(looked.rule_id)
        try:
            life = self._tools.ledger.life_of(looked.rule_id)
        except UnreadableLife:
            self._searches.pop(looked.rule_id, None)  # nobody can tell what to look for
            return
        if life.is_unsettled and life.id not in self._searches:
            self.search_for(life)
        elif life.id in self._searches:
            self._put_off(life.id)

    def take(self, looked: Looked) -> tuple[Life, Sighting | None] | None:
        """Return the life that a look has settled, and its order, None for none; else None."""
        self._under_way.discard(looked.rule_id)
        search = self._searches.get(looked.rule_id)
        life = self._tools.ledger.life_of(looked.rule_id)
        if not life.is_unsettled:
            self._searches.pop(life.id, None)  # somebody else has settled it
            return None
        if search is None or life.cl_ord_id != looked.cl_ord_id:
            return None  # of a row that has changed meanwhile
        error = looked.error or self._tools.other_row(life.id, looked.sighting)
        if error is not None:
            self._put_off(life.id)
            self._tools.teller.tell_once(life.id, words.still_uncertain(life, error))
            return None
        if looked.sighting is None and self._is_too_early(life, looked):
            # Kraken's clock, read during the look, says that a late copy can still arrive.
            self.search_for(life)
            again = self._searches[life.id]
            self._searches[life.id] = replace(again, held_until=search.held_until)
            return None
        return self._judged(life, search, looked)

    def _is_too_early(self, life: Life, looked: Looked) -> bool:
        """Tell whether a late copy could still arrive when the look began."""
        exchange, tools = self._tools.exchange, self._tools
        assert exchange is not None  # `search_for` looks for nothing without one
        ago = tools.now() - looked.began
        return 0 < _seconds_to_deadline(life, exchange) + ago <= _LONGEST_DEADLINE

    def _judged(
        self, life: Life, search: Search, looked: Looked
    ) -> tuple[Life, Sighting | None] | None:
        tools, sighting = self._tools, looked.sighting
        if sighting is None and search.stands:
            tools.teller.tell_once(life.id, trouble_words.stands_unseen(life))
        verdict, again = after_look(search, sighting, tools.now(), tools.settings, looked.began)
        if verdict is Verdict.LOOK_AGAIN:
            self._searches[life.id] = again
            return None
        del self._searches[life.id]
        if verdict is Verdict.FOUND:
            tools.begin_anew(life.id)
        else:
            tools.teller.forget(life.id)
            tools.owed.doubt(life.id, tools.now())
        tools.ledger.must_write = True
        return life, sighting


def _seconds_to_deadline(life: Life, exchange: Exchange) -> float:
    try:
        deadline = datetime.fromisoformat(life.deadline).timestamp()
    except ValueError:
        return float("inf")  # a damaged cell
    return deadline - exchange.now()


def rows_of(orders: object) -> dict[str, Mapping[str, Any]]:
    """Return the orders of a `{txid: order}` answer, rows that are no orders left out."""
    if not isinstance(orders, Mapping):
        return {}
    return {str(txid): row for txid, row in orders.items() if isinstance(row, Mapping)}


def by_client_id(answer: object) -> dict[str, Sighting]:
    """Return the open orders of an OpenOrders answer by their client order ids, made `bare`.

    Those of which Kraken does not repeat the id are left out.
    """
    rows = rows_of(answer.get("open") if isinstance(answer, Mapping) else None)
    named = ((bare(row.get("cl_ord_id") or ""), txid, row) for txid, row in rows.items())
    return {name: _sighting(txid, row) for name, txid, row in named if name and is_txid(txid)}


def sightings_of(orders: object) -> list[Sighting]:
    """Return the orders of a `{txid: order}` answer as they are seen here."""
    return [_sighting(txid, row) for txid, row in rows_of(orders).items()]


def _sighting(txid: str, row: Mapping[str, Any]) -> Sighting:
    return Sighting(
        txid=shown(txid),
        status=shown(str(row.get("status", ""))),
        vol_exec=shown(str(row.get("vol_exec") or "")),
        price=shown(str(row.get("price") or "")),
        reason=shown(str(row.get("reason") or row.get("misc") or "")),
        stop=_stop(row),
    )


def _stop(row: Mapping[str, Any]) -> Stop | None:
    """Return where the stop of an order is; None for another kind of order, or damage.

    What Kraken calls `limitprice` is the best price since a trailing stop was entered.
    """
    descr = row.get("descr")
    kind = descr.get("ordertype") if isinstance(descr, Mapping) else None
    if kind not in ("trailing-stop", "trailing-stop-limit"):
        return None
    try:
        price = to_positive_decimal(row.get("stopprice"))
    except ValueError:
        return None
    best: Decimal | None = None
    with suppress(ValueError):
        best = to_positive_decimal(row.get("limitprice"))
    trigger = row.get("trigger") or "last"
    return Stop(price, best, trigger if trigger in ("last", "index") else "")


def order_in(
    answer: object,
    book: str,
    cl_ord_id: str,
    order: OrderRequest,
    is_pair: Callable[[str], bool],
) -> Sighting | None:
    """Return the order of `cl_ord_id` in one book's answer; None if it is certainly not in it.

    Args:
        answer: The result of a call that asked for this id alone.
        book: `open` or `closed`, the key under which the orders stand.
        cl_ord_id: The id that was asked for.
        order: What was sent under it.
        is_pair: Tells whether a name that Kraken shows is that of the order's pair.

    Raises:
        ProtocolError: If the answer is none to this question, so that nothing follows from it.
    """
    rows = answer.get(book) if isinstance(answer, Mapping) else None
    if not isinstance(rows, Mapping):
        raise ProtocolError(f"the answer has no list of {book} orders")
    named: list[Sighting] = []
    nameless: list[Sighting] = []
    foreign = 0
    for txid, row in rows.items():
        _check_row(book, txid, row)
        differs = difference(row, order, is_pair)
        name = row.get("cl_ord_id")
        if name and bare(name) == bare(cl_ord_id):
            named.append(replace(_sighting(str(txid), row), differs=differs))
        elif name or differs:
            foreign += 1
        else:
            nameless.append(_sighting(str(txid), row))
    if len(named) > 1:
        raise _of_one_id(book, named)
    if not named and (foreign or len(nameless) > 1):
        raise ProtocolError(f"the list of {book} orders is not that of the one order asked for")
    return next(iter(named or nameless), None)


def _of_one_id(book: str, orders: Sequence[Sighting]) -> ProtocolError:
    txids = ", ".join(order.txid for order in orders[:5])
    said = f"{len(orders)} {book} orders have this one id ({txids})"
    return ProtocolError(f"{said}; cancel what is too much")


def _check_row(book: str, txid: object, row: object) -> None:
    if not isinstance(row, Mapping) or not isinstance(row.get("descr"), Mapping):
        raise ProtocolError(f"the list of {book} orders has a row that is no order")
    if not is_txid(str(txid)):
        name = shown(str(txid), 40)
        raise ProtocolError(f"the list of {book} orders has {name!r}, which is no order id")


def bare(cl_ord_id: object) -> str:
    """Return an id without what its spellings differ in: case, dashes, braces."""
    return "".join(c for c in str(cl_ord_id).lower() if c.isalnum())


def difference(row: Mapping[str, Any], order: OrderRequest, is_pair: Callable[[str], bool]) -> str:
    """Return in what an order that Kraken shows is another than `order`; empty if in nothing."""
    descr = row.get("descr")
    told: Mapping[str, Any] = descr if isinstance(descr, Mapping) else {}
    kind = told.get("ordertype")
    # Once its trigger is met such an order rests as the limit order that it has become.
    rests = order.ordertype == "trailing-stop-limit" and kind == "limit"
    found = [
        f"{name} {shown(str(theirs or 'unknown'), 40)} instead of {ours}"
        for name, theirs, ours, is_same in (
            ("side", told.get("type"), order.type, told.get("type") == order.type),
            (
                *("order type", kind, order.ordertype),
                rests or kind == order.ordertype,
            ),
            ("volume", row.get("vol"), order.volume, _is_volume(row.get("vol"), order.volume)),
            (
                *("offset", told.get("price"), order.price),
                rests or _is_equal(told.get("price"), order.price),
            ),
            (
                *("limit", told.get("price2"), order.price2),
                rests or not order.price2 or _is_equal(told.get("price2"), order.price2),
            ),
            *_told_beside(row, order),
            ("pair", told.get("pair"), order.pair, is_pair(str(told.get("pair") or ""))),
        )
        if not is_same
    ]
    return ", ".join(found)


def _told_beside(
    row: Mapping[str, Any], order: OrderRequest
) -> Iterator[tuple[str, object, str, bool]]:
    """Yield what only some answers tell: an answer without it says nothing of it."""
    trigger, flags = row.get("trigger"), str(row.get("oflags") or "")
    if trigger:
        # Without an index feed Kraken follows the last price by itself.
        is_same = trigger == order.trigger or (trigger, order.trigger) == ("last", "index")
        yield "trigger", trigger, order.trigger, is_same
    if flags and order.oflags:
        yield "oflags", flags, order.oflags, order.oflags in flags.split(",")


def _is_volume(theirs: object, ours: str) -> bool:
    """Tell whether a volume is ours; one that is still to be worked out is any."""
    return not ours or _is_equal(theirs, ours)


def _is_equal(theirs: object, ours: str) -> bool:
    """Tell whether two texts are the same number in the same unit, such as `+5.0%`."""
    text = str(theirs or "").strip()
    if text.endswith("%") != ours.endswith("%") or text.startswith("-") != ours.startswith("-"):
        return False
    try:
        return to_decimal(text.strip("+%")) == to_decimal(ours.strip("+%"))
    except ValueError:
        return False
