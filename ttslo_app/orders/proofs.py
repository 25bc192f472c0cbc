"""Armings of an earlier run: before their first send Kraken is asked whether they have an order.

A state file may be a copy, or restored from before an order that has been placed and filled
meanwhile; its rows say *armed*, and their orders stand. Somebody else looks them up one after the
other, so that a crossing need not wait for that; one that comes earlier waits for its own look.
What must never happen here: that "could not ask" counts as "has none".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from ttslo_app.messages import Crossing, Proved, Sighting
from ttslo_app.orders import trouble_words
from ttslo_app.orders.life import Life
from ttslo_app.orders.owed import Why
from ttslo_app.orders.ports import Exchange, Tools
from ttslo_app.orders.request import OrderRequest, order_to_find


@dataclass(frozen=True, slots=True)
class Unproven:
    """An arming of an earlier run, and the order that it would have."""

    rule_id: str
    cl_ord_id: str
    order: OrderRequest


def prove(one: Unproven, exchange: Exchange) -> Proved:
    """Return what Kraken says of an arming. Blocks. Never raises.

    A key that may not ask has no answer, and the order may stand.
    """
    try:
        return Proved(one.rule_id, one.cl_ord_id, exchange.find(one.cl_ord_id, one.order))
    except Exception as error:  # noqa: BLE001 - an answer that no code expected says nothing
        return Proved(one.rule_id, one.cl_ord_id, None, error)


class Proofs:
    """What is still to be proven. For the order thread, but for `unproven`.

    Args:
        tools: What every part has in hand.
        found: Takes a life and its order, of which nobody here knew.
        ask: Has a question put to Kraken; what it returns comes back by `take`.

    Attributes:
        unproven: What others may look up: replaced whole, never changed. Any thread.
    """

    def __init__(
        self,
        tools: Tools,
        found: Callable[[Life, Sighting], None],
        ask: Callable[[Callable[[], Proved]], None],
    ) -> None:
        self.unproven: tuple[Unproven, ...] = ()
        self._tools = tools
        self._ledger = tools.ledger
        self._found = found
        self._ask = ask
        self._doubts: set[str] = set()
        self._asked: set[str] = set()  # of whom Kraken is being asked for a crossing
        self._again_at: dict[str, float] = {}

    def doubt(self, rule_ids: Iterable[str]) -> None:
        """Have Kraken asked for an order of these armings before their first send."""
        if self._tools.can_find:
            self._doubts.update(rule_ids)

    def publish(self) -> None:
        """Let others read what is unproven, as config.csv now has it."""
        self._doubts = {i for i in self._doubts if self._ledger.is_waiting(i)}
        listed = (i for i in self._ledger.rules if i in self._doubts)
        self.unproven = tuple(one for one in map(self._unproven, listed) if one is not None)

    def take(self, message: Proved) -> None:
        """Take in what somebody has looked up."""
        rule_id = message.rule_id
        self._asked.discard(rule_id)
        if not self._is_open(rule_id):
            return
        error = message.error or self._tools.other_row(rule_id, message.sighting)
        if error is not None:
            self._put_off(rule_id, error)
        elif self._ledger.life_of(rule_id).cl_ord_id == message.cl_ord_id:
            self._close(rule_id, message.sighting)

    def _put_off(self, rule_id: str, error: Exception) -> None:
        """Have Kraken asked again a little later, and say so to whoever waits."""
        tools = self._tools
        self._again_at[rule_id] = tools.now() + tools.settings.ask_again
        waiting = [wait.crossing for wait in tools.owed if wait.crossing.key == rule_id]
        for crossing in waiting:
            tools.owed.wait(crossing, Why.HEALING, self._again_at[rule_id])
            tools.teller.tell_once(rule_id, trouble_words.cannot_prove(crossing, error))

    def is_free(self, crossing: Crossing) -> bool:
        """Tell whether an order may be sent for a crossing; if not, it waits or has one."""
        rule_id, exchange = crossing.key, self._tools.exchange
        if exchange is None or not self._is_open(rule_id):
            return True
        again_at = self._again_at.get(rule_id, 0.0)
        if again_at > self._tools.now():
            self._tools.owed.wait(crossing, Why.HEALING, again_at)
            return False
        return self._is_proven(crossing, exchange)

    def are_free(self, crossing: Crossing, mates: Iterable[str]) -> bool:
        """Tell the same of a crossing whose group must have no order; `mates` are its others."""
        exchange = self._tools.exchange
        if not self.is_free(crossing) or exchange is None:
            return exchange is None
        return all(self._is_mate_free(crossing, mate, exchange) for mate in mates)

    def _is_mate_free(self, crossing: Crossing, mate: str, exchange: Exchange) -> bool:
        """Tell whether another row of its group has certainly no order; else a crossing waits."""
        if not self._is_open(mate):
            return True
        again_at, owed = self._again_at.get(mate, 0.0), self._tools.owed
        if again_at > self._tools.now():
            owed.wait(crossing, Why.HEALING, again_at)
            return False
        owed.wait(crossing, Why.SETTLING)
        if mate not in self._asked:
            self._asked.add(mate)
            one = self._unproven(mate)
            if one is None:
                self._close(mate, None)
            else:
                self._ask(partial(prove, one, exchange))
        if self._is_open(mate):
            return False
        owed.take(crossing, self._tools.now())
        return True

    def _is_proven(self, crossing: Crossing, exchange: Exchange) -> bool:
        """Ask for the order of a crossing; tell whether there is certainly none by now."""
        rule_id, owed = crossing.key, self._tools.owed
        owed.wait(crossing, Why.SETTLING)
        if rule_id not in self._asked:
            self._asked.add(rule_id)
            try:
                one = self._unproven(rule_id) or self._unlisted(crossing, exchange)
            except Exception as error:  # noqa: BLE001 - what cannot be found out proves nothing
                self.take(Proved(rule_id, "", None, error))
                return False
            if one is None:
                self._close(rule_id, None)
            else:
                self._ask(partial(prove, one, exchange))
        is_free = not self._is_open(rule_id) and self._ledger.is_waiting(rule_id)
        if is_free:
            owed.take(crossing, self._tools.now())
        elif not self._ledger.is_waiting(rule_id):
            owed.settle(rule_id)
        return is_free

    def _is_open(self, rule_id: str) -> bool:
        return rule_id in self._doubts and self._ledger.is_waiting(rule_id)

    def _unproven(self, rule_id: str) -> Unproven | None:
        life, entry = self._ledger.life_of(rule_id), self._ledger.rules.get(rule_id)
        if life.order is not None:
            return Unproven(rule_id, life.cl_ord_id, life.order)
        if entry is None:
            return None
        with suppress(ValueError):  # no order can come of it
            market = entry.market
            order = order_to_find(entry.rule, market)
            return Unproven(rule_id, life.cl_ord_id, order)
        return None

    def _unlisted(self, crossing: Crossing, exchange: Exchange) -> Unproven | None:
        """Return the same of a row that a caller handed in, and no reading of config.csv."""
        life = self._ledger.life_of(crossing.key)
        with suppress(LookupError, ValueError):  # no order can come of it
            market = exchange.market_of(crossing.pair)
            order = order_to_find(crossing.rule, market)
            return Unproven(life.id, life.cl_ord_id, order)
        return None

    def _close(self, rule_id: str, sighting: Sighting | None) -> None:
        self._doubts.discard(rule_id)
        self._again_at.pop(rule_id, None)
        self.unproven = tuple(one for one in self.unproven if one.rule_id != rule_id)
        if sighting is not None:
            life, one = self._ledger.life_of(rule_id), self._unproven(rule_id)
            if one is not None and not sighting.differs:
                life = life._replace(order=one.order)  # what is told of it can be compared then
            self._tools.teller.tell(trouble_words.has_an_order(life, sighting))
            self._found(life, sighting)
