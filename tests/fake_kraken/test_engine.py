"""The exchange without its wires: what it refuses, how stops trail, what fills move."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_kraken.engine import Engine
from fake_kraken.orders import txid_of
from fake_kraken.params import Refusal
from fake_kraken.shapes import shown
from tests.kits.common.fresh_python import run_python
from tests.kits.exchange.engine_kit import NOW, STOP, engine_at, move, place


def refusal_of(engine: Engine, **changes: str) -> list[str]:
    """Return the errors that the usual order with changes is refused with."""
    with pytest.raises(Refusal) as caught:
        place(engine, **changes)
    return caught.value.errors


# ------------------------------------------------------------------------------------ trailing


def test_selling_stop_follows_rises_and_stays_in_falls() -> None:
    """The best price since entry counts, and what was before entry does not."""
    engine = engine_at()
    move(engine, 90000, 50000)
    order = place(engine)
    move(engine, 60000, 54000.1, 58000)
    assert (order.anchor, order.stop, order.status) == (60000, 54000, "open")


def test_buying_stop_follows_falls_and_stays_in_rises() -> None:
    """A buy trails the lowest price, from above."""
    engine = engine_at()
    order = place(engine, type="buy")
    move(engine, 40000, 43999.9)
    assert (order.anchor, order.stop, order.status) == (40000, 44000, "open")
    move(engine, 44000)
    assert (order.status, order.fill_price) == ("closed", 44000)


def test_stop_that_is_met_is_filled_at_the_price_of_the_market() -> None:
    """A gap beyond the stop is paid for: it becomes a market order."""
    engine = engine_at()
    order = place(engine)
    move(engine, 45000.1)
    assert order.status == "open"
    move(engine, 41000)
    assert (order.status, order.misc, order.fill_price) == ("closed", "stopped", 41000)
    assert (engine.account.balances["XXBT"], engine.account.balances["ZUSD"]) == (
        Decimal("99.5"),
        1020500,
    )


def test_filled_stop_stays_filled() -> None:
    """What comes after the fill changes nothing."""
    engine = engine_at()
    order = place(engine)
    move(engine, 41000, 99000, 1)
    assert (order.anchor, order.executed, engine.account.balances["XXBT"]) == (
        50000,
        0.5,
        Decimal("99.5"),
    )


@given(st.lists(st.integers(1, 200_000), max_size=30), st.integers(1, 99), st.booleans())
def test_stop_never_moves_away_and_fills_once(path: list[int], offset: int, sells: bool) -> None:
    """Whatever the path: a stop moves one way only, and at most one fill follows."""
    engine = engine_at()
    order = place(engine, price=f"+{offset}%", type="sell" if sells else "buy")
    stops = [order.stop]
    for price in path:
        move(engine, price)
        stops.append(order.stop)
    assert stops == sorted(stops, reverse=not sells)
    change = Decimal(0) if order.status == "open" else Decimal("-0.5" if sells else "0.5")
    assert engine.account.balances["XXBT"] == 100 + change


# -------------------------------------------------------------------------------------- orders


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"pair": "NOPE"}, "EQuery:Unknown asset pair"),
        ({"pair": ""}, "EQuery:Unknown asset pair"),
        ({"pair": "AAPLxUSD"}, "EQuery:Unknown asset pair"),
        ({"asset_class": "tokenized_asset"}, "EQuery:Unknown asset pair"),
        ({"type": "hold"}, "EGeneral:Invalid arguments:type"),
        ({"ordertype": "stop"}, "EGeneral:Invalid arguments:ordertype"),
        ({"price": "10%"}, "EOrder:Invalid price:Invalid price argument."),
        ({"price": "-10%"}, "EOrder:Invalid price:Invalid price argument."),
        ({"price": ""}, "EOrder:Invalid price:Invalid price argument."),
        ({"price": "+"}, "EGeneral:Invalid arguments:price"),
        ({"price": "+0%"}, "EGeneral:Invalid arguments:price"),
        ({"price": "+100%"}, "EGeneral:Invalid arguments:price"),
        ({"price": "+50000"}, "EGeneral:Invalid arguments:price"),
        ({"price": "+" + "9" * 70}, "EGeneral:Invalid arguments:price"),
        ({"volume": ""}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "0"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "-1"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "NaN"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "5e-05"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "1_0"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "٣"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "0.123456789"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "0.00004999"}, "EOrder:Order minimum not met"),
        ({"volume": "100.00000001"}, "EOrder:Insufficient funds"),
        ({"type": "buy", "volume": "20.00000001"}, "EOrder:Insufficient funds"),
        ({"trigger": "mark"}, "EGeneral:Invalid arguments:trigger"),
        ({"userref": "x"}, "EGeneral:Invalid arguments:userref"),
        ({"userref": "2147483648"}, "EGeneral:Invalid arguments:userref"),
        ({"userref": "1" * 5000}, "EGeneral:Invalid arguments:userref"),
        ({"cl_ord_id": "x" * 19}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"cl_ord_id": "a", "userref": "1"}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"ordertype": "limit", "price": "50000.01"}, "EOrder:Tick size check failed"),
        ({"ordertype": "limit", "price": "x"}, "EGeneral:Invalid arguments:price"),
        (
            {"pair": "XRPUSD", "trigger": "index", "volume": "5"},
            "EGeneral:Invalid arguments:Index unavailable",
        ),
    ],
)
def test_order_is_refused_in_krakens_words(changes: dict[str, str], error: str) -> None:
    """Each mistake has its text, and leaves nothing behind."""
    engine = engine_at()
    assert refusal_of(engine, **changes) == [error]
    assert (engine.account.orders, engine.account.held("XXBT")) == ({}, 0)


def test_order_below_the_least_cost_is_refused() -> None:
    """The volume may be large enough and the money not."""
    engine = engine_at("100.0")
    assert refusal_of(engine, volume="0.00005") == ["EOrder:Cost minimum not met"]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("maintenance", "EService:Unavailable"),
        ("cancel_only", "EService:Market in cancel_only mode"),
        ("post_only", "EService:Market in post_only mode"),
    ],
)
def test_engine_that_is_not_online_takes_no_stop(status: str, error: str) -> None:
    """Only `online` takes a trailing stop; maintenance does not even cancel."""
    engine = engine_at()
    order = place(engine)
    engine.system_status = status
    assert refusal_of(engine) == [error]
    if status == "maintenance":
        with pytest.raises(Refusal, match="EService:Unavailable"):
            engine.cancel_by({"txid": order.txid}, NOW)


def test_pair_that_is_not_online_takes_no_stop() -> None:
    """A pair has a state of its own; `limit_only` still takes a limit order."""
    engine = engine_at()
    engine.listing("XBTUSD").row["status"] = "limit_only"
    assert refusal_of(engine) == ["EService:Market in limit_only mode"]
    assert place(engine, ordertype="limit", price="60000").status == "open"


def test_xstock_wants_its_asset_class() -> None:
    """An xStock is traded when it is called one."""
    engine = engine_at()
    assert place(engine, pair="AAPLxUSD", asset_class="tokenized_asset").pair == "AAPLxUSD"


@pytest.mark.parametrize("text", ["a", "x" * 18, "0" * 32, "6d1b345e-2821-40e2-ad83-4ecb18a06876"])
def test_client_order_id_is_unique_among_open_orders_alone(text: str) -> None:
    """An open order blocks its id; one that is cancelled or filled does not."""
    engine = engine_at()
    first = place(engine, cl_ord_id=text)
    assert refusal_of(engine, cl_ord_id=text) == ["EOrder:Duplicate client order id"]
    engine.cancel(first, NOW)
    second = place(engine, cl_ord_id=text)
    engine.fill(second, Decimal(50000), NOW)
    assert place(engine, cl_ord_id=text).txid not in (first.txid, second.txid)


def test_validated_order_leaves_nothing() -> None:
    """`validate` checks all but the funds, as Kraken's does, and enters nothing."""
    engine = engine_at()
    assert place(engine, validate="true", cl_ord_id="a").txid == ""
    assert place(engine, validate="true", volume="101").txid == ""
    assert refusal_of(engine, volume="101") == ["EOrder:Insufficient funds"]
    assert refusal_of(engine, validate="true", volume="0") != []
    assert (engine.account.orders, engine.account.held("XXBT")) == ({}, 0)
    place(engine, cl_ord_id="a")


@pytest.mark.parametrize(("side", "back"), [("sell", "49999.9"), ("buy", "50000.1")])
@pytest.mark.parametrize("offset", ["+0.0001%", "+0.01", "+0.1"])
def test_stop_of_a_tiny_offset_waits_for_a_move(side: str, back: str, offset: str) -> None:
    """An offset of a tick or less is one tick: the price it was entered at does not fill it."""
    engine = engine_at()
    order = place(engine, type=side, price=offset)
    move(engine, "50000.0")
    assert (order.status, str(order.stop)) == ("open", back)
    move(engine, back)
    assert order.status == "closed"


def test_accounts_have_orders_and_funds_of_their_own() -> None:
    """An order of one is paid by it, found by it and cancelled by it, and by no other."""
    engine = engine_at()
    engine.add_account("second", {"XXBT": "1"})
    second = engine.accounts["second"]
    order = engine.add_order({**STOP, "cl_ord_id": "a"}, NOW, second)
    place(engine, cl_ord_id="a")  # an id is unique in an account alone
    assert refusal_of(engine, cl_ord_id="a") == ["EOrder:Duplicate client order id"]
    with pytest.raises(Refusal, match="Insufficient funds"):
        engine.add_order({**STOP, "volume": "0.6"}, NOW, second)
    with pytest.raises(Refusal, match="Unknown order"):
        engine.cancel_by({"txid": order.txid}, NOW)
    move(engine, 1)
    assert (second.owned("XXBT"), engine.account.owned("XXBT")) == (Decimal("0.5"), Decimal("99.5"))
    assert [o.owner for o in engine.orders.values()] == ["second", ""]


def test_open_orders_hold_what_they_will_sell() -> None:
    """Resting orders together cannot sell more than is there."""
    engine = engine_at()
    first = place(engine, volume="60")
    assert engine.account.held("XXBT") == 60
    assert refusal_of(engine, volume="41") == ["EOrder:Insufficient funds"]
    engine.cancel(first, NOW)
    assert engine.account.held("XXBT") == 0
    place(engine, volume="41")


def test_partial_fill_moves_its_part() -> None:
    """A part is executed, the rest rests; the end can still be a cancellation."""
    engine = engine_at()
    order = place(engine, type="buy", volume="1")
    engine.fill(order, Decimal(50000), NOW, volume=Decimal("0.25"))
    engine.fill(order, Decimal(40000), NOW, volume=Decimal("0.25"))
    assert (order.status, order.executed, order.fill_price) == ("open", Decimal("0.5"), 45000)
    assert (engine.account.balances["XXBT"], engine.account.balances["ZUSD"]) == (
        Decimal("100.5"),
        977500,
    )
    assert engine.account.held("ZUSD") == 25000
    engine.cancel(order, NOW)
    assert (order.status, engine.account.held("ZUSD")) == ("canceled", 0)


def test_closed_order_is_closed_for_good() -> None:
    """It can be neither filled nor cancelled again."""
    engine = engine_at()
    order = place(engine)
    engine.cancel(order, NOW)
    with pytest.raises(Refusal, match="EOrder:Unknown order"):
        engine.cancel(order, NOW)
    with pytest.raises(Refusal, match="EOrder:Unknown order"):
        engine.fill(order, Decimal(1), NOW)


def test_cancelling_finds_orders_by_each_name() -> None:
    """By txid and cl_ord_id one order, by userref all that bear it."""
    engine = engine_at()
    orders = [place(engine, cl_ord_id="a"), *(place(engine, userref="7") for _ in "xy")]
    orders.append(place(engine))
    assert engine.cancel_by({"cl_ord_id": "a"}, NOW) == 1
    assert engine.cancel_by({"txid": "7"}, NOW) == 2
    assert engine.cancel_by({"txid": orders[3].txid}, NOW) == 1
    for name in ({"cl_ord_id": "a"}, {"txid": "7"}, {"txid": orders[3].txid}, {"txid": "0"}, {}):
        with pytest.raises(Refusal, match="EOrder:Unknown order"):
            engine.cancel_by(name, NOW)


def test_market_order_is_filled_at_once() -> None:
    """It takes the last price."""
    engine = engine_at()
    order = place(engine, ordertype="market", price="")
    assert (order.status, order.fill_price, engine.account.held("XXBT")) == ("closed", 50000, 0)


@pytest.mark.parametrize(
    ("side", "limit", "fills"), [("buy", "49000", 48999), ("sell", "51000", 51001)]
)
def test_limit_order_waits_for_its_price(side: str, limit: str, fills: int) -> None:
    """It is filled at its limit when the market comes there, and not before."""
    engine = engine_at()
    order = place(engine, ordertype="limit", type=side, price=limit)
    move(engine, 50000)
    assert order.status == "open"
    move(engine, fills)
    assert (order.status, order.fill_price) == ("closed", Decimal(limit))


def test_thousand_orders_are_entered_and_found_cheaply() -> None:
    """Ids never repeat, and what is held adds up."""
    engine = engine_at()
    orders = [place(engine, volume="0.001", cl_ord_id=f"id{n}") for n in range(1000)]
    assert len({order.txid for order in orders}) == 1000
    assert engine.account.held("XXBT") == 1
    assert len({txid_of(n) for n in range(40_000)}) == 40_000


PLAUSIBLE: dict[str, Any] = {
    "pair": st.sampled_from(["XBTUSD", "XXBTZUSD", "BTC/USD", "ETHXBT", "AAPLxUSD", "?"]),
    "type": st.sampled_from(["buy", "sell", "BUY"]),
    "ordertype": st.sampled_from(["trailing-stop", "market", "limit", "stop-loss"]),
    "volume": st.one_of(st.decimals(allow_nan=True).map(str), st.sampled_from(["1", "0.01"])),
    "price": st.one_of(
        st.decimals(allow_nan=True).map(str),
        st.decimals(0, 10**30).map(lambda d: f"+{d:f}%"),
        st.decimals(0, 10**30).map(lambda d: f"+{d:f}"),
    ),
}
ANY_TEXT = st.text(max_size=40)
PARAMS = st.fixed_dictionaries(
    {},
    optional={
        **{name: values | ANY_TEXT for name, values in PLAUSIBLE.items()},
        **dict.fromkeys(("trigger", "userref", "cl_ord_id", "asset_class"), ANY_TEXT),
        "validate": st.sampled_from(["true", "false", ""]),
    },
)


def outcome_of(engine: Engine, params: dict[str, str]) -> tuple[list[str], str]:
    """Return the errors of an order, or else its description."""
    try:
        order = engine.add_order(params, NOW)
    except Refusal as refusal:
        return refusal.errors, ""
    return [], shown(order, engine.listings[order.pair].row)["descr"]["order"]


@given(PARAMS)
def test_no_parameters_do_harm(params: dict[str, str]) -> None:
    """Any parameters are taken or refused with Kraken's errors, and the books stay in order."""
    engine = engine_at()
    errors, text = outcome_of(engine, params)
    assert text or errors
    assert all(error.startswith("E") for error in errors)
    assert all(engine.account.held(asset) >= 0 for asset in engine.account.balances)


# --------------------------------------------------------------------------------- by itself


WITHOUT_SERVER = """
import sys
sys.modules["aiohttp"] = None
from decimal import Decimal
from fake_kraken import FAULTS, random_path, read_replay
from fake_kraken.engine import Engine
import fake_kraken.calls, fake_kraken.shapes, fake_kraken.core, fake_kraken.keys
engine = Engine(prices={"XBTUSD": "50000"})
stop = {"pair": "XBTUSD", "type": "sell", "ordertype": "trailing-stop", "volume": "1"}
order = engine.add_order({**stop, "price": "+10%"}, 0.0)
for price in (60000, 54000):
    engine.trade(engine.listing("XBTUSD"), Decimal(price), Decimal(1), 1.0)
print(order.status, order.fill_price)
try:
    from fake_kraken import FakeKraken
except SystemExit as error:
    print("aiohttp" in str(error))
"""


def test_engine_needs_no_server() -> None:
    """Without aiohttp a stop is placed, trails and fills; only the server says what it misses."""
    assert run_python(WITHOUT_SERVER).splitlines() == ["closed 54000", "True"]


# --------------------------------------------------------------------------------- what is told


def test_each_change_is_told_while_the_order_is_as_it_was_then() -> None:
    """Entered and live, then the move of its stop, then trigger, trade and end."""
    engine = engine_at()
    told: list[tuple[str, str, Decimal, bool]] = []
    engine.tell = lambda change: told.append(
        (change.kind, change.order.status, change.order.stop, change.order.is_triggered)
    )
    place(engine)
    move(engine, 60000, 59000, 54000)
    low, high = Decimal(45000), Decimal(54000)
    assert told == [
        ("pending_new", "open", low, False),
        ("new", "open", low, False),
        ("status", "open", high, False),
        ("status", "open", high, True),
        ("trade", "open", high, True),
        ("filled", "closed", high, True),
    ]


def test_what_is_only_checked_or_refused_is_told_to_nobody() -> None:
    """Nothing has happened to any order."""
    engine = engine_at()
    told: list[str] = []
    engine.tell = lambda change: told.append(change.kind)
    place(engine, validate="true")
    refusal_of(engine, volume="0")
    assert told == []
    engine.cancel(place(engine), NOW, status="expired")
    assert told == ["pending_new", "new", "expired"]


def test_market_order_is_told_as_filled_without_a_trigger() -> None:
    """It has no stop that could be met."""
    engine = engine_at()
    told: list[tuple[str, Decimal]] = []
    engine.tell = lambda change: told.append((change.kind, change.part))
    place(engine, ordertype="market")
    kinds = ["pending_new", "new", "trade", "filled"]
    assert told == list(zip(kinds, (0, 0, Decimal("0.5"), 0), strict=True))
