"""The order thread while another host leads, and when this host takes over.

It goes on watching: each crossing is kept with its moment, lives are those that the leader writes.
What must never happen here: that an order is sent or anything written while another host leads, or
that a crossing which was kept fires an arming that began after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from ttslo_app.messages import Adopt, Crossing, Shared, Sighting, TakeUp
from ttslo_app.orders import trouble_words as words
from ttslo_app.orders.clerk import Clerk
from ttslo_app.orders.finder import Finder, bare
from ttslo_app.orders.ledger import UnreadableLife
from ttslo_app.orders.life import Life
from ttslo_app.orders.owed import Why
from ttslo_app.orders.ports import Tools
from ttslo_app.orders.roll import Roll


def _kept(rule_id: str) -> str:
    """Return the subject of what is said of a kept crossing; no rule's id holds a blank."""
    return f"{rule_id} kept"


class Follower:
    """What the order thread does as one of several hosts. For the order thread.

    Args:
        tools: What every part has in hand.
        roll: The rows.
        finder: The search for orders of unknown outcome.
        clerk: The files.

    Attributes:
        is_following: Whether another host leads. Any thread.
        is_shared: Whether lives are shared with other hosts: then each intent was written before
            its order could be sent, and what has none has no order. Any thread.
    """

    def __init__(self, tools: Tools, roll: Roll, finder: Finder, clerk: Clerk) -> None:
        self.is_following = self.is_shared = False
        self._tools, self._ledger, self._owed = tools, tools.ledger, tools.owed
        self._roll, self._finder, self._clerk = roll, finder, clerk
        self._last: Adopt | None = None
        self._took_up_at = float("-inf")

    def doubt_unreadable(self) -> None:
        """Let rows not trade whose lives cannot be read; whoever leads says so."""
        for rule_id in list(self._ledger.state):
            if self._readable(rule_id) is None:
                self._ledger.distrust([rule_id])

    def guarded(self, message: Adopt) -> Adopt:
        """Return rows as they may be adopted, and remember them for when this host takes over.

        Of several hosts this one may have read them before it knew what the leader has armed: a row
        whose threshold is met looks refused then, and must not be disarmed for that. Whoever leads
        disarms what its user took away.
        """
        if not self.is_shared:
            return message
        self._last = message
        if not self.is_following and message.read_at > self._took_up_at:
            return message
        missing = [i for i in self._ledger.state if i not in message.accepted]
        waiting = frozenset(filter(self._is_waiting, missing))
        return replace(message, undecided=message.undecided | waiting)

    # --- while another leads -------------------------------------------------------------------

    def stand_by(self, done: Callable[[], None]) -> None:
        """Send and write nothing more; whoever waits is kept. Blocks where this host led.

        What is known is written before, where it still may be.
        """
        if not self.is_following and self.is_shared:
            self._clerk.settle(is_ending=True)
        self.is_following = self.is_shared = True
        self._finder.forget_all()
        self._owed.keep_all(Why.FOLLOWING)
        done()

    def keep(self, crossings: Iterable[Crossing]) -> None:
        """Keep crossings with their moments, in case that the leader places no order for them."""
        now = self._tools.now()
        for crossing in crossings:
            if not self._is_waiting(crossing.key):
                continue
            if crossing.key not in self._owed:
                said = words.kept_for_leader(crossing)
                self._tools.teller.tell_once(_kept(crossing.key), said, news="kept")
            self._owed.wait(self._owed.take(crossing, now), Why.FOLLOWING)

    def let_old_go(self) -> None:
        """Let rows be watched again whose crossings nobody acted upon for too long.

        The leader saw none of it, or lets the price of now decide by now; the next crossing must
        find the row on this host's book, too.
        """
        now = self._tools.now()
        for wait in self._owed:
            if not wait.is_young(now, self._tools.settings):
                self._owed.settle(wait.crossing.key)
                self._roll.arm_as_it_is(wait.crossing.key)

    def share(self, message: Shared) -> None:
        """Take over lives that another host has changed."""
        if not self.is_following:
            return  # our own, which are known here before
        for rule_id, cells in message.lives.items():
            before = self._readable(rule_id)
            self._ledger.state[rule_id] = dict(cells)
            life = self._readable(rule_id)
            if life is None:
                self._ledger.distrust([rule_id])
            is_placed = life is not None and life.has_fired and life.order_id
            self._ledger.stand(rule_id, life.order_id if life is not None and is_placed else None)
            if life is None or not life.is_waiting:
                self._owed.settle(rule_id)
                self._roll.leave_book(rule_id)
            elif before is None or not before.is_waiting or before.cl_ord_id != life.cl_ord_id:
                self._tools.teller.forget(_kept(rule_id))
                self._drop_if_older(life)
                if rule_id not in self._owed:
                    self._roll.arm_as_it_is(rule_id)

    def _drop_if_older(self, life: Life) -> None:
        """Forget a crossing that was kept of an arming before this one."""
        since, age = self._owed.since(life.id), self._tools.clocks.age_of(life.waits_since)
        if since is not None and self._tools.now() - since > age:
            self._owed.settle(life.id)

    # --- when this host takes over -------------------------------------------------------------

    def take_up(self, message: TakeUp) -> None:
        """Go by what all hosts share from now on, and lead. Blocks for a write.

        Each order of unknown outcome is looked up by itself; it holds up no other row.
        """
        self._ledger.begin_anew(message.lives)
        self._finder.forget_all()
        self.is_following, self.is_shared = False, True
        self._took_up_at = self._tools.now()
        for unsettled in self._roll.recover():
            self._finder.search_for(unsettled)
        self._note_what_is_noted()
        for rule_id, cells in list(self._ledger.state.items()):
            if (name := bare(cells.get("cl_ord_id", ""))) in message.standing:
                self._audit(rule_id, message.standing[name])
        if self._last is not None and self._roll.adopt(self.guarded(self._last)):
            self._ledger.must_write = True
        for wait in self._owed:
            life = self._readable(wait.crossing.key)
            if life is None or not life.is_waiting:
                self._owed.settle(wait.crossing.key)
            else:
                self._let_go(wait.crossing, life)
        self._clerk.settle(is_ending=True)
        message.done()

    def _note_what_is_noted(self) -> None:
        """Let no rows that were read until now arm what has fired, and whose row says so by now."""
        now = self._tools.now()
        for rule_id, cells in self._ledger.state.items():
            if cells.get("triggered") == cells.get("noted") == "true":
                self._ledger.noted_at[rule_id] = now

    def _let_go(self, crossing: Crossing, life: Life) -> None:
        self._drop_if_older(life)
        if crossing.key not in self._owed:
            self._roll.arm_as_it_is(crossing.key)

    def _audit(self, rule_id: str, sighting: Sighting) -> None:
        """Take in an order that stands at Kraken, and of which the shared lives do not tell."""
        life = self._readable(rule_id)
        if life is None or not (life.is_waiting or life.is_unsettled):
            return
        if life.is_waiting:
            self._tools.teller.tell(words.unknown_to_the_store(life, sighting.txid))
        self._clerk.found(life._replace(doubt=""), sighting)
        self._roll.leave_book(rule_id)

    # --- lives ---------------------------------------------------------------------------------

    def _readable(self, rule_id: str) -> Life | None:
        try:
            return self._ledger.life_of(rule_id)
        except UnreadableLife:
            return None

    def _is_waiting(self, rule_id: str) -> bool:
        life = self._readable(rule_id)
        return life is not None and life.is_waiting
