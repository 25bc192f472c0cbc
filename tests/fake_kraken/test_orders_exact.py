"""Orders to the last tick: where a stop and its limit lie, what meets them, and by which price."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fake_kraken.engine import Engine
from fake_kraken.orders import KINDS, Order, is_beyond, offset_of, read_order, stop_price, txid_of
from fake_kraken.params import Refusal
from tests.kits.exchange.engine_kit import NOW, STOP, engine_at, move, place

TICK = Decimal("0.1")
LIMITED = {"ordertype": "trailing-stop-limit", "price": "+10%"}

PRICES = st.integers(100, 10**7).map(lambda n: Decimal(n).scaleb(-1))
PERCENTS = st.integers(1, 9999).map(lambda n: Decimal(n).scaleb(-2))


def refused(**changes: str) -> list[str]:
    """Return what the usual order with changes is refused with at 50000."""
    with pytest.raises(Refusal) as caught:
        place(engine_at("50000.0"), **changes)
    return caught.value.errors


# --- where a stop stands -------------------------------------------------------------------------


@given(PRICES, PERCENTS, st.sampled_from(["sell", "buy"]))
def test_stop_is_the_exact_one_rounded_towards_the_market(
    price: Decimal, percent: Decimal, side: str
) -> None:
    """By less than a tick, and at least a tick away from the price that it is measured from."""
    order = read_order({**STOP, "type": side, "price": f"+{percent}%"}, listing_at(price), NOW)
    sign = -1 if side == "sell" else 1
    exact = price * (100 + sign * percent) / 100
    rounded = exact.quantize(TICK, ROUND_CEILING if side == "sell" else ROUND_FLOOR)
    if side == "sell":
        assert order.stop == max(min(rounded, price - TICK), TICK)
    else:
        assert order.stop == max(rounded, price + TICK)
    assert order.stop % TICK == 0
    assert order.anchor == price


def listing_at(price: Decimal) -> Any:
    """Return bitcoin at a price."""
    return engine_at(price).listing("XBTUSD")


@given(PRICES, PRICES, PERCENTS)
def test_selling_stop_of_a_higher_price_is_no_lower(
    one: Decimal, other: Decimal, percent: Decimal
) -> None:
    """The ratchet never turns back."""
    low, high = sorted((one, other))
    stops = []
    for price in (low, high):
        order = read_order({**STOP, "price": f"+{percent}%"}, listing_at(price), NOW)
        stops.append(stop_price(order, TICK))
    assert stops == sorted(stops)


@given(PRICES, PRICES)
def test_stop_is_met_at_itself_and_beyond(stop: Decimal, price: Decimal) -> None:
    """Downwards for a sale, upwards for a purchase; at the same price for both."""
    order = read_order(STOP, listing_at(Decimal(50000)), NOW)
    assert is_beyond(order, stop, price) == (price <= stop)
    order.side = "buy"
    assert is_beyond(order, stop, price) == (price >= stop)
    assert is_beyond(order, stop, stop)


@given(st.integers(1, 10**8), st.integers(0, 6), st.booleans())
def test_offset_is_read_as_it_is_written(digits: int, places: int, is_percent: bool) -> None:
    """To its last digit."""
    number = Decimal(digits).scaleb(-places)
    assert offset_of(f"+{number:f}" + "%" * is_percent) == (number, is_percent)


@pytest.mark.parametrize("text", ["", "5%", "5", "-5%", " +5%", "%"])
def test_offset_without_its_plus_has_an_error_of_its_own(text: str) -> None:
    """As clients of Kraken have met it."""
    assert refused(price=text) == ["EOrder:Invalid price:Invalid price argument."]


@pytest.mark.parametrize(
    ("side", "price", "is_taken"),
    [
        ("sell", "+99.99%", True),
        ("sell", "+100%", False),
        ("sell", "+49999.9", True),
        ("sell", "+50000", False),
        ("buy", "+100%", True),
        ("buy", "+50000", True),
        ("buy", "+60000", True),
    ],
)
def test_sale_keeps_a_positive_stop(side: str, price: str, *, is_taken: bool) -> None:
    """A purchase may trail by any distance."""
    if is_taken:
        assert place(engine_at("50000.0"), type=side, price=price, volume="0.1").stop > 0
    else:
        assert refused(type=side, price=price) == ["EGeneral:Invalid arguments:price"]


# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "limit", "price", "fills"),
    [
        ("buy", "40000", "40000.1", False),
        ("buy", "40000", "40000", True),
        ("buy", "40000", "39999.9", True),
        ("sell", "60000", "59999.9", False),
        ("sell", "60000", "60000", True),
        ("sell", "60000", "60000.1", True),
    ],
)
def test_limit_order_fills_at_its_limit(side: str, limit: str, price: str, *, fills: bool) -> None:
    """Reached exactly is met, and it is the limit that is paid."""
    engine = engine_at("50000.0")
    order = place(engine, type=side, ordertype="limit", price=limit, volume="0.1")
    move(engine, price)
    assert order.status == ("closed" if fills else "open")
    assert order.fill_price == (Decimal(limit) if fills else 0)
    assert order.misc == ""


@pytest.mark.parametrize(("price", "is_taken"), [("50000.1", True), ("50000.10", True),
                                                 ("50000", True), ("50000.01", False)])  # fmt: skip
def test_limit_is_a_whole_number_of_ticks(price: str, *, is_taken: bool) -> None:
    """Zeros at its end do not count."""
    if is_taken:
        order = place(engine_at("40000.0"), ordertype="limit", price=price)
        assert order.limit == Decimal(price)
    else:
        assert refused(ordertype="limit", price=price) == ["EOrder:Tick size check failed"]


@given(PERCENTS, st.sampled_from("+-"), st.booleans())
def test_limit_of_a_stop_lies_where_it_was_told_to(
    away: Decimal, sign: str, is_percent: bool
) -> None:
    """From the trigger, in percent of it or in money, cut to the tick below, a tick at least."""
    engine = engine_at("50000.0")
    order = place(engine, price2=f"{sign}{away}" + "%" * is_percent, **LIMITED)
    assert (order.stop, order.limit, order.is_triggered) == (45000, 0, False)
    move(engine, "45000.0")
    distance = 45000 * away / 100 if is_percent else away
    exact = 45000 + distance if sign == "+" else 45000 - distance
    assert order.is_triggered
    assert order.limit == max(exact.quantize(TICK, ROUND_FLOOR), TICK)
    assert order.status == ("open" if order.limit > 45000 else "closed")


@pytest.mark.parametrize("side", ["sell", "buy"])
@pytest.mark.parametrize("text", ["+0", "-0", "+0%", "+0.00", "-0.0%"])
def test_limit_at_the_trigger_itself_is_met_there(side: str, text: str) -> None:
    """0 is a limit like others."""
    engine = engine_at("50000.0")
    order = place(engine, type=side, price2=text, **LIMITED)
    move(engine, "45000.0" if side == "sell" else "55000.0")
    assert (order.status, order.misc) == ("closed", "stopped")
    assert order.fill_price == order.limit == order.stop


@pytest.mark.parametrize("text", ["", "0", "1%", "5", "%", "x"])
def test_limit_without_a_sign_names_price2(text: str) -> None:
    """Its own parameter, and not the offset's."""
    assert refused(price2=text, **LIMITED) == ["EGeneral:Invalid arguments:price2"]


@pytest.mark.parametrize("text", ["+", "-%", "+.", "+x", "+1e3", "--1", "+1%%", "+" + "9" * 21])
def test_limit_that_is_no_number_names_price2(text: str) -> None:
    """Behind its sign."""
    assert refused(price2=text, **LIMITED) == ["EGeneral:Invalid arguments:price2"]


# --- which price counts --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pair", "is_taken"), [("XBTUSD", True), ("ETHUSD", True), ("ETHEUR", True), ("SOLUSD", False),
                           ("XRPUSD", False), ("USDTUSD", False)]
)  # fmt: skip
def test_index_is_known_of_bitcoin_and_ether(pair: str, *, is_taken: bool) -> None:
    """In whatever they are paid."""
    engine = Engine()
    params = {**STOP, "pair": pair, "trigger": "index", "volume": "10"}
    if is_taken:
        assert read_order(params, engine.listing(pair), NOW).trigger == "index"
        return
    with pytest.raises(Refusal) as caught:
        read_order(params, engine.listing(pair), NOW)
    assert caught.value.errors == ["EGeneral:Invalid arguments:Index unavailable"]


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 10**6)), max_size=12))
def test_stop_follows_its_own_price_and_no_other(moves: list[tuple[bool, int]]) -> None:
    """The last price and the index go their own ways; each moves the stop that is by it."""
    engine = engine_at("50000.0")
    listing = engine.listing("XBTUSD")
    engine.move_index(listing, Decimal(50000), NOW)
    orders = {True: place(engine, trigger="index"), False: place(engine)}
    best = dict.fromkeys(orders, Decimal(50000))
    for is_index, number in moves:
        price = Decimal(number)
        if is_index:
            engine.move_index(listing, price, NOW)
        else:
            move(engine, price)
        order = orders[is_index]
        if order.status == "open":
            best[is_index] = max(best[is_index], price)
        assert [orders[kind].anchor for kind in best] == list(best.values())


@given(PRICES)
def test_market_order_is_filled_at_the_price_of_now(price: Decimal) -> None:
    """And is no stop: nothing has triggered it."""
    assume(price * Decimal("0.5") >= Decimal("0.5"))
    order = place(engine_at(price), ordertype="market", price="")
    assert (order.status, order.fill_price, order.misc) == ("closed", price, "")
    assert not order.is_triggered
    assert not order.is_trailing


# --- what an order is before it is entered -------------------------------------------------------


def test_order_is_nothing_but_what_was_asked_for() -> None:
    """All else is at its beginning."""
    order: Any = Order("", "XXBTZUSD", "sell", "market", Decimal(1), "", NOW)
    zeros = (order.limit, order.offset, order.anchor, order.stop, order.executed, order.cost)
    assert set(zeros) == {0}
    assert (order.userref, order.fee, order.fill_price, order.left) == (0, 0, 0, 1)
    assert (order.status, order.trigger, order.hold[0], order.hold[1]) == ("open", "last", "", 0)
    texts = (order.fee_flag, order.limit_text, order.reason, order.misc, order.owner)
    assert set(texts) == {""}
    assert order.cl_ord_id is order.closed_at is None
    assert (order.is_percent, order.is_triggered) == (False, False)


@pytest.mark.parametrize("kind", KINDS)
def test_two_kinds_trail_and_two_do_not(kind: str) -> None:
    """By their names."""
    order = Order("", "XXBTZUSD", "sell", kind, Decimal(1), "", NOW)
    assert order.is_trailing == kind.startswith("trailing-stop")


def test_order_ids_of_a_long_life_are_all_different() -> None:
    """And all of Kraken's shape, of which every letter is used."""
    ids = [txid_of(n) for n in range(20_000)]
    assert len(set(ids)) == len(ids)
    assert {len(txid) for txid in ids} == {19}
    assert set("".join(ids)) == set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567-")
