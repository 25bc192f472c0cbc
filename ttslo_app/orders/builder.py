"""The order of a crossing, put together from its row, its pair, and what is free at this moment.

For the order thread. What must never happen here: that a volume is worked out twice for one arming,
or that a row without words asks Kraken anything.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice

from krakenlink.numbers import to_decimal
from krakenlink.rest.answers import Outcome
from ttslo_app.messages import AcceptedRule, Crossing, Market
from ttslo_app.orders import trouble_words
from ttslo_app.orders.amounts import asset_of, volume_at
from ttslo_app.orders.expiry import expiry_of
from ttslo_app.orders.life import Life
from ttslo_app.orders.ports import Exchange, Tools
from ttslo_app.orders.request import (
    OrderRequest,
    build_order,
    fingerprint,
    letters_of,
    order_to_find,
)
from ttslo_app.rules.rule import Rule

NO_INDEX = "Index unavailable"


# Of so many rows at the head of the file all is worked out that is known before their crossings.
# Others wait for it a moment longer: a crossing must not wait until a long file is gone through.
_ROWS_AT_HAND = 128


@dataclass(frozen=True, slots=True)
class _AtHand:
    """What is known of the order of a row before its crossing.

    Attributes:
        entry: The row, by which it is seen whether this still counts.
        letters: What `letters_of` says of it.
        order: Its order; None where it is worked out at the crossing, or there can be none.
    """

    entry: AcceptedRule
    letters: str
    order: OrderRequest | None


def _at_hand(entry: AcceptedRule, exchange: Exchange | None) -> _AtHand:
    order: OrderRequest | None = None
    with suppress(ValueError):  # said at the crossing
        order = build_order(entry.rule, entry.market)
        order.to_json()  # kept, as it is written down before it is sent
        if exchange is not None:
            exchange.prepare(order)
    return _AtHand(entry, letters_of(entry.row), order)


class Builder:
    """Builds orders.

    Args:
        tools: What every part has in hand.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        # Client ids of armings whose pair had no index price: their stop follows the last one.
        self._without_index: set[str] = set()
        self._at_hand: dict[str, _AtHand] = {}

    def prepare(self) -> None:
        """Have at hand what the first rows of config.csv need at their crossings."""
        known, found, exchange = self._at_hand, {}, self._tools.exchange
        for rule_id, entry in islice(self._tools.ledger.rules.items(), _ROWS_AT_HAND):
            kept = known.get(rule_id)
            found[rule_id] = kept if kept and kept.entry is entry else _at_hand(entry, exchange)
        self._at_hand = found
        self._tools.ledger.have_at_hand(found)

    def letters(self, rule_id: str) -> str:
        """Return what tells a row from one that differs in any letter; empty for no row."""
        entry, kept = self._tools.ledger.rules.get(rule_id), self._at_hand.get(rule_id)
        if kept is not None and kept.entry is entry:
            return kept.letters
        return "" if entry is None else letters_of(entry.row)

    def _plain(self, rule: Rule, market: Market) -> OrderRequest:
        """Return the order of a row that says all of it; `market` is the one of this moment."""
        kept = self._at_hand.get(rule.id)
        if kept is None or kept.entry.rule is not rule or kept.entry.market != market:
            return build_order(rule, market)
        return kept.order or build_order(rule, market)

    def is_too_late(self, crossing: Crossing, life: Life) -> bool:
        """Tell whether a row had ended by itself when its threshold was crossed, and say so."""
        moment = expiry_of(crossing.rule, life)
        if moment is None:
            return False
        seen_at = crossing.seen_at
        age = 0.0 if seen_at is None else self._tools.now() - seen_at
        if self._tools.clocks.utc() - timedelta(seconds=age) < moment:
            return False
        self._tools.teller.tell(trouble_words.too_late(crossing, moment))
        return True

    def build(self, crossing: Crossing, life: Life, exchange: Exchange) -> OrderRequest:
        """Return the order of a crossing. Blocks for one call where its volume is worked out.

        Raises:
            LookupError: If Kraken has no such pair.
            NotEnough: If what is free comes to no order.
            ValueError: If there can be no such order.
            KrakenError: If Kraken had to be asked, and could not be.
        """
        market = exchange.market_of(crossing.pair)
        order = self._sized(crossing, life, market, exchange)
        return replace(order, trigger="last") if life.cl_ord_id in self._without_index else order

    def _sized(
        self, crossing: Crossing, life: Life, market: Market, exchange: Exchange
    ) -> OrderRequest:
        rule = crossing.rule
        if rule.terms.share is None:
            return self._plain(rule, market)
        if rule.terms.share.is_filled:
            # Known since the arming, so nobody is asked; without it there is no order to build.
            if not life.handed:
                raise ValueError(f"nothing is known of what {rule.after} has filled")
            return build_order(rule, market, to_decimal(life.handed))
        if life.order is not None and life.row == fingerprint(rule):
            return build_order(rule, market, to_decimal(life.order.volume))
        self._tools.step("weighing")
        free = exchange.free_of(asset_of(rule, market))
        if free is None:  # nothing is placed here, so nobody needs to know
            return replace(order_to_find(rule, market), volume=rule.volume_text)
        return build_order(rule, market, volume_at(rule, market, crossing.price, free))

    def does_without_index(self, crossing: Crossing, life: Life, outcome: Outcome) -> bool:
        """Tell whether an order was refused for its trigger alone, and say so.

        The next one of that row follows the last price: better than no stop.
        """
        is_index = life.order is not None and life.order.trigger == "index"
        if not is_index or NO_INDEX not in outcome.reason:
            return False
        self._without_index.add(life.cl_ord_id)
        self._tools.teller.tell(trouble_words.no_index(crossing))
        return True
