"""The order of a crossing, put together from its row, its pair, and what is free at this moment.

For the order thread. What must never happen here: that a volume is worked out twice for one arming,
or that a row without words asks Kraken anything.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from krakenlink.numbers import to_decimal
from krakenlink.rest.answers import Outcome
from ttslo_app.messages import Crossing, Market
from ttslo_app.orders import trouble_words
from ttslo_app.orders.amounts import asset_of, volume_at
from ttslo_app.orders.life import Life
from ttslo_app.orders.ports import Exchange, Tools
from ttslo_app.orders.request import OrderRequest, build_order, fingerprint, order_to_find
from ttslo_app.orders.roll import expiry_of

NO_INDEX = "Index unavailable"


class Builder:
    """Builds orders.

    Args:
        tools: What every part has in hand.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        # Client ids of armings whose pair had no index price: their stop follows the last one.
        self._without_index: set[str] = set()

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
            return build_order(rule, market)
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
