"""The engine against models of its own rules, in exact fractions and without a line of its code."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fake_kraken.engine import Engine
from fake_kraken.params import Refusal
from tests.kits.common.examples import many
from tests.kits.exchange.engine_kit import NOW, STOP

TICK = Fraction(1, 10)
BITCOIN, DOLLAR = "XXBT", "ZUSD"
PLENTY = {BITCOIN: "1000000", DOLLAR: "1000000000000"}
# Prices of BTC/USD, in ticks.
TICKS = st.integers(min_value=10, max_value=2_000_000)
PATHS = st.lists(TICKS, min_size=1, max_size=60)
PERCENTS = st.decimals(min_value="0.1", max_value="99.9", places=2)
SIDES = st.sampled_from(["sell", "buy"])


def price_of(ticks: int) -> Decimal:
    """Return a price of so many ticks."""
    return Decimal(ticks).scaleb(-1)


# --- a stop that trails ------------------------------------------------------------------------


@dataclass
class Trail:
    """A trailing stop as Kraken describes it: it follows the best price, and is met by another.

    It stands a whole number of ticks away, rounded towards the market, and never on its best price.
    """

    side: str
    offset: Fraction
    is_percent: bool
    best: Fraction

    @property
    def stop(self) -> Fraction:
        """Where it stands."""
        away = self.best * self.offset / 100 if self.is_percent else self.offset
        if self.side == "sell":
            stop = ceil((self.best - away) / TICK) * TICK
            return max(TICK, min(stop, self.best - TICK))
        return max(floor((self.best + away) / TICK) * TICK, self.best + TICK)

    def meets(self, price: Fraction) -> bool:
        """Follow a price; tell whether it meets the stop."""
        self.best = max(self.best, price) if self.side == "sell" else min(self.best, price)
        return price <= self.stop if self.side == "sell" else price >= self.stop


def assert_trails(side: str, text: str, is_percent: bool, path: list[int]) -> None:
    """Follow a path with both, and see that they agree at each price."""
    engine = Engine(prices={"XXBTZUSD": price_of(path[0])}, balances=PLENTY)
    offset = Fraction(text.strip("+%"))
    order = engine.add_order({**STOP, "type": side, "price": text}, NOW)
    model = Trail(side, offset, is_percent, Fraction(price_of(path[0])))
    for ticks in path[1:]:
        price = Fraction(price_of(ticks))
        is_met = model.meets(price)
        engine.trade(engine.listing("XBTUSD"), price_of(ticks), Decimal(1), NOW)
        assert Fraction(order.anchor) == model.best
        assert Fraction(order.stop) == model.stop
        assert (order.status == "closed") == is_met
        if is_met:
            assert order.fill_price == price_of(ticks)
            return


@settings(max_examples=many(60), deadline=None)
@given(side=SIDES, percent=PERCENTS, path=PATHS)
def test_stop_in_percent_follows_any_path_as_the_model_does(
    side: str, percent: Decimal, path: list[int]
) -> None:
    """Best price, stop and fill agree at every trade."""
    assert_trails(side, f"+{percent}%", is_percent=True, path=path)


@settings(max_examples=many(60), deadline=None)
@given(side=SIDES, ticks=st.integers(1, 5000), path=PATHS)
def test_stop_in_money_follows_any_path_as_the_model_does(
    side: str, ticks: int, path: list[int]
) -> None:
    """The same with an offset in quote currency, which must leave a sell a positive stop."""
    if side == "sell" and ticks >= path[0]:
        with pytest.raises(Refusal):
            assert_trails(side, f"+{price_of(ticks)}", is_percent=False, path=path)
    else:
        assert_trails(side, f"+{price_of(ticks)}", is_percent=False, path=path)


@settings(max_examples=many(40), deadline=None)
@given(percent=PERCENTS, path=PATHS)
def test_stop_never_moves_away_from_the_market(percent: Decimal, path: list[int]) -> None:
    """It ratchets: a sell's stop never falls, a buy's never rises."""
    for side, sign in (("sell", 1), ("buy", -1)):
        engine = Engine(prices={"XXBTZUSD": price_of(path[0])}, balances=PLENTY)
        order = engine.add_order({**STOP, "type": side, "price": f"+{percent}%"}, NOW)
        stops = [order.stop]
        for ticks in path[1:]:
            engine.trade(engine.listing("XBTUSD"), price_of(ticks), Decimal(1), NOW)
            stops.append(order.stop)
        assert stops == sorted(stops, key=lambda stop: sign * stop)


@settings(max_examples=many(40), deadline=None)
@given(percent=PERCENTS, path=PATHS)
def test_orders_of_two_sides_never_disturb_each_other(percent: Decimal, path: list[int]) -> None:
    """Each fills where it would have filled alone."""
    together = Engine(prices={"XXBTZUSD": price_of(path[0])}, balances=PLENTY)
    orders = {
        side: together.add_order({**STOP, "type": side, "price": f"+{percent}%"}, NOW)
        for side in ("sell", "buy")
    }
    for ticks in path[1:]:
        together.trade(together.listing("XBTUSD"), price_of(ticks), Decimal(1), NOW)
    for side, order in orders.items():
        alone = Engine(prices={"XXBTZUSD": price_of(path[0])}, balances=PLENTY)
        single = alone.add_order({**STOP, "type": side, "price": f"+{percent}%"}, NOW)
        for ticks in path[1:]:
            alone.trade(alone.listing("XBTUSD"), price_of(ticks), Decimal(1), NOW)
        assert (order.status, order.fill_price) == (single.status, single.fill_price)


# --- an account --------------------------------------------------------------------------------


@dataclass
class Held:
    """An open order as the model of an account knows it."""

    asset: str
    each: Fraction
    left: Fraction
    txid: str
    client_id: str | None


@dataclass
class Funds:
    """What is owned, and what open orders keep back, in exact fractions."""

    owned: dict[str, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    held: dict[str, Held] = field(default_factory=dict)

    def free(self, asset: str) -> Fraction:
        """Return what a new order may use."""
        kept = sum((o.left * o.each for o in self.held.values() if o.asset == asset), Fraction())
        return self.owned[asset] - kept


class AccountOfOne(RuleBasedStateMachine):
    """Orders come, are filled in part or whole, are cancelled; the funds add up all the while."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine(prices={"XXBTZUSD": "50000"}, balances={BITCOIN: "2", DOLLAR: "90000"})
        self.model = Funds()
        self.model.owned.update({BITCOIN: Fraction(2), DOLLAR: Fraction(90000)})
        self.number = 0

    @property
    def price(self) -> Fraction:
        """The last price."""
        return Fraction(self.engine.listing("XBTUSD").price)

    @rule(
        side=SIDES,
        volume=st.decimals(min_value="0.0001", max_value="1.5", places=4),
        has_name=st.booleans(),
    )
    def enter(self, side: str, volume: Decimal, has_name: bool) -> None:
        """Enter a stop that is far away: it is taken if and only if there are funds for it."""
        self.number += 1
        name = f"name-{self.number}" if has_name else ""
        asset, each = (BITCOIN, Fraction(1)) if side == "sell" else (DOLLAR, self.price)
        params = {**STOP, "type": side, "volume": f"{volume:f}", "price": "+99%", "cl_ord_id": name}
        if self.model.free(asset) < Fraction(volume) * each:
            with pytest.raises(Refusal, match="Insufficient funds"):
                self.engine.add_order(params, NOW)
            return
        order = self.engine.add_order(params, NOW)
        assert order.txid not in self.model.held
        self.model.held[order.txid] = Held(asset, each, Fraction(volume), order.txid, name or None)

    @rule(which=st.integers(0, 50), share=st.sampled_from(["0.25", "0.5", "1"]))
    def execute(self, which: int, share: str) -> None:
        """Fill some of an open order at the last price."""
        if not self.model.held:
            return
        txid = sorted(self.model.held)[which % len(self.model.held)]
        order, held = self.engine.orders[txid], self.model.held[txid]
        part = min(order.volume * Decimal(share), order.left)
        self.engine.fill(order, self.engine.listing("XBTUSD").price, NOW, volume=part)
        sign = 1 if order.side == "buy" else -1
        self.model.owned[BITCOIN] += sign * Fraction(part)
        self.model.owned[DOLLAR] -= sign * Fraction(part) * self.price
        held.left -= Fraction(part)
        if not held.left:
            del self.model.held[txid]
            assert order.status == "closed"

    @rule(which=st.integers(0, 50), by_name=st.booleans())
    def cancel(self, which: int, by_name: bool) -> None:
        """Cancel an open order by either of its names."""
        if not self.model.held:
            return
        txid = sorted(self.model.held)[which % len(self.model.held)]
        name = self.model.held[txid].client_id
        params = {"cl_ord_id": name} if by_name and name else {"txid": txid}
        assert self.engine.cancel_by(params, NOW) == 1
        del self.model.held[txid]
        with pytest.raises(Refusal, match="Unknown order"):
            self.engine.cancel_by({"txid": txid}, NOW)

    @invariant()
    def funds_add_up(self) -> None:
        """Owned, held and free agree to the last digit, and nothing free is ever negative."""
        account = self.engine.account
        for asset in (BITCOIN, DOLLAR):
            assert Fraction(account.owned(asset)) == self.model.owned[asset]
            if asset == BITCOIN:
                assert Fraction(account.free(asset)) == self.model.free(asset) >= 0
        assert set(account.open_orders) == set(self.model.held)
        assert set(account.open_orders) <= set(account.orders) == set(self.engine.orders)


TestAccountOfOne = AccountOfOne.TestCase
TestAccountOfOne.settings = settings(max_examples=many(15), stateful_step_count=25, deadline=None)


# --- the pace of orders --------------------------------------------------------------------------


@settings(max_examples=many(40), deadline=None)
@given(
    gaps=st.lists(st.integers(0, 40), min_size=1, max_size=40),
    most=st.integers(1, 10),
    decay=st.sampled_from([0.5, 1.0, 3.75]),
)
def test_counter_takes_what_the_model_takes(gaps: list[int], most: int, decay: float) -> None:
    """It falls with time and never below nothing, and a refused order is not counted."""
    engine = Engine(prices={"XXBTZUSD": "50000"}, balances=PLENTY)
    engine.order_pace = (float(most), decay)
    counter, now = 0.0, NOW
    for gap in gaps:
        now += gap / 8  # exact in binary
        counter = max(0.0, counter - gap / 8 * decay)
        is_taken = counter + 1 <= most
        counter += is_taken
        if is_taken:
            assert engine.add_order({**STOP, "volume": "0.001"}, now).txid
        else:
            with pytest.raises(Refusal, match="Rate limit exceeded"):
                engine.add_order({**STOP, "volume": "0.001"}, now)


# --- the past of a market ------------------------------------------------------------------------


@given(path=PATHS, cut=st.integers(0, 60))
def test_market_of_a_moment_is_what_it_was_then(path: list[int], cut: int) -> None:
    """Price, number, extremes and trades are those of the trades until then."""
    engine = Engine(prices={"XXBTZUSD": "50000"})
    listing = engine.listing("XBTUSD")
    seen: list[Any] = []
    for number, ticks in enumerate(path):
        engine.trade(listing, price_of(ticks), Decimal("0.5"), NOW + number)
        seen.append((listing.price, listing.trade_id, listing.high, listing.low, listing.volume))
    number = min(cut, len(path)) - 1
    then = engine.as_of(NOW + number).listing("BTC/USD")
    if number < 0:
        assert (then.price, then.trade_id, then.trades) == (Decimal(50000), 0, [])
    else:
        assert (then.price, then.trade_id, then.high, then.low, then.volume) == seen[number]
        assert then.trades == listing.trades[: number + 1]
    assert listing.price == price_of(path[-1])  # the market itself goes on as it was
