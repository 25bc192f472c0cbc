"""Orders by themselves: what is asked for, and where a stop stands."""

import re
from decimal import Decimal
from typing import Any

import pytest

from fake_kraken.engine import Engine
from fake_kraken.orders import KINDS, offset_of, read_order, txid_of
from fake_kraken.params import Refusal
from tests.kits.exchange.engine_kit import NOW, STOP, engine_at, move, place

LISTING = Engine().listing("XBTUSD")


@pytest.mark.parametrize(
    ("pair", "side", "reference", "offset", "stop"),
    [
        ("XBTUSDT", "sell", "109645.7", "+11%", "97584.7"),
        ("XBTUSDT", "buy", "109545.2", "+9.0%", "119404.2"),
        ("XBTUSDT", "buy", "110961.7", "+15.0000%", "127605.9"),
        ("XBTUSDT", "sell", "110971.2", "+10%", "99874.1"),
        ("XRPEUR", "sell", "0.46847", "+50.0000%", "0.23424"),
        ("XBTUSD", "sell", "50000.0", "+500", "49500.0"),
        ("XBTUSD", "buy", "50000.0", "+0.05", "50000.1"),
    ],
)
def test_stop_stands_where_kraken_has_put_it(
    pair: str, side: str, reference: str, offset: str, stop: str
) -> None:
    """Stops come out to the digit: rounded to the tick towards the market, and never on it."""
    engine = Engine(prices={pair: reference}, balances={"XXBT": "9", "XXRP": "999", "USDT": "1e9",
                                                        "ZUSD": "1e9"})  # fmt: skip
    volume = "2" if pair == "XRPEUR" else "0.001"
    changes = {"pair": pair, "type": side, "price": offset, "volume": volume}
    assert place(engine, **changes).stop == Decimal(stop)


def test_limit_order_is_met_at_its_limit_alone() -> None:
    """A buy at or below it, a sell at or above it, and always for the limit."""
    for side, price, expected in (
        ("buy", "49999.9", Decimal(50000)),
        ("buy", "50000.1", None),
        ("sell", "50000.1", Decimal(50000)),
        ("sell", "49999.9", None),
    ):
        changes = {"type": side, "ordertype": "limit", "price": "50000"}
        order = read_order({**STOP, **changes}, LISTING, NOW)
        LISTING.start_at(Decimal(price))
        assert KINDS["limit"].met(order, LISTING) == expected


def test_order_that_is_read_is_not_entered() -> None:
    """It has no id, and stands where the market stands."""
    LISTING.start_at(Decimal(50000))
    # Any: exact decimals are compared with plain numbers, which mypy takes for a slip.
    order: Any = read_order({**STOP, "price": "+500", "userref": "7"}, LISTING, NOW)
    assert (order.txid, order.status, order.userref, order.opened_at) == ("", "open", 7, NOW)
    assert (order.anchor, order.stop, order.left) == (50000, 49500, Decimal("0.5"))


@pytest.mark.parametrize(
    ("text", "expected"), [("+5%", (Decimal(5), True)), ("+0.5", (Decimal("0.5"), False))]
)
def test_offset_is_in_percent_or_in_money(text: str, expected: tuple[Decimal, bool]) -> None:
    """The sign before it is Kraken's own."""
    assert offset_of(text) == expected


def test_order_ids_have_krakens_shape_and_never_repeat() -> None:
    """The same number leads to the same id."""
    assert txid_of(1) == txid_of(1) != txid_of(2)
    assert re.fullmatch(r"O[A-Z2-7]{5}-[A-Z2-7]{5}-[A-Z2-7]{6}", txid_of(1))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"type": "hold"}, "Invalid arguments:type"),
        ({"ordertype": "stop-loss"}, "Invalid arguments:ordertype"),
        ({"volume": "0"}, "Invalid arguments:volume"),
        ({"volume": "-1"}, "Invalid arguments:volume"),
        ({"price": "5%"}, "Invalid price argument"),
        ({"price": "+0%"}, "Invalid arguments:price"),
        ({"price": "+100%"}, "Invalid arguments:price"),
        ({"price": "+50000"}, "Invalid arguments:price"),
        ({"trigger": "mark"}, "Invalid arguments:trigger"),
        ({"ordertype": "limit", "price": "50000.01"}, "Tick size check failed"),
        ({"ordertype": "limit", "price": "x"}, "Invalid arguments:price"),
        ({"cl_ord_id": "a b"}, "Invalid arguments:cl_ord_id"),
        ({"userref": "x"}, "Invalid arguments:userref"),
    ],
)
def test_order_that_makes_no_sense_is_refused_in_krakens_words(
    changes: dict[str, str], words: str
) -> None:
    """Each names what is wrong with it."""
    LISTING.start_at(Decimal(50000))
    with pytest.raises(Refusal, match=words):
        read_order({**STOP, **changes}, LISTING, NOW)


def test_buy_may_trail_by_more_than_the_whole_price() -> None:
    """Its stop is above the market, and stays a price."""
    LISTING.start_at(Decimal(50000))
    order = read_order({**STOP, "type": "buy", "price": "+150%"}, LISTING, NOW)
    assert order.stop == Decimal(125000)


def test_index_is_the_reference_where_there_is_one() -> None:
    """Of bitcoin and ether; another asset has none, and Kraken says so."""
    engine = Engine()
    order = read_order({**STOP, "trigger": "index"}, engine.listing("XBTUSD"), NOW)
    assert order.trigger == "index"
    with pytest.raises(Refusal, match="Index unavailable"):
        read_order({**STOP, "trigger": "index"}, engine.listing("SOLUSD"), NOW)


def test_market_order_is_met_by_whatever_the_price_is() -> None:
    """At once, and for that price."""
    LISTING.start_at(Decimal("49321.5"))
    order = read_order({**STOP, "ordertype": "market", "price": ""}, LISTING, NOW)
    assert KINDS["market"].met(order, LISTING) == Decimal("49321.5")


def test_price_of_a_fill_is_the_mean_of_its_parts() -> None:
    """Weighed by what each part was; nothing was paid for nothing."""
    engine = Engine(prices={"XXBTZUSD": "50000"})
    order = place(engine, price="+50%", volume="1")
    assert order.fill_price == 0
    engine.fill(order, Decimal(50000), NOW, volume=Decimal("0.25"))
    engine.fill(order, Decimal(40000), NOW)
    assert order.fill_price == Decimal(42500)
    assert (order.left, order.status) == (Decimal(0), "closed")


# --- a stop with a limit, the index, and who pays the fee -----------------------------------------


LIMITED = {"ordertype": "trailing-stop-limit", "price": "+10%"}


@pytest.mark.parametrize(
    ("side", "text", "limit"),
    [
        ("sell", "-1%", "44550.0"),
        ("sell", "-50", "44950.0"),
        ("sell", "+0", "45000.0"),
        ("buy", "+1%", "55550.0"),
        ("buy", "+50", "55050.0"),
    ],
)
def test_triggered_stop_becomes_a_limit_order(side: str, text: str, limit: str) -> None:
    """Its limit lies where it was told to, from the trigger on."""
    engine = engine_at("50000.0")
    order = place(engine, type=side, price2=text, **LIMITED)
    assert (order.stop, order.limit) == (Decimal("45000.0" if side == "sell" else "55000.0"), 0)
    move(engine, "40000.0" if side == "sell" else "60000.0")
    assert order.is_triggered
    assert order.limit == Decimal(limit)
    assert order.status == "open", "the market is beyond its limit"
    back = "44990" if side == "sell" else "55010"
    move(engine, "46000.0" if side == "sell" else "54000.0")
    assert order.status == "closed"
    assert order.fill_price != Decimal(back)


def test_triggered_stop_does_not_trail_any_more() -> None:
    """Neither its limit nor its stop follows a price that turns again."""
    engine = engine_at("50000.0")
    order = place(engine, price2="+0", **LIMITED)
    move(engine, "44000.0")
    stop, limit = order.stop, order.limit
    move(engine, "44900.0", "44000.0", "44999.9")
    assert (order.stop, order.limit, order.status) == (stop, limit, "open")


def test_stop_within_its_limit_fills_at_once() -> None:
    """As nearly all do: for the better of the limit and the market."""
    engine = engine_at("50000.0")
    order = place(engine, price2="-1%", **LIMITED)
    move(engine, "44900.0")
    assert (order.status, order.fill_price) == ("closed", Decimal("44900.0"))


@pytest.mark.parametrize("text", ["", "1%", "5", "-x", "-", "+%", "--1"])
def test_limit_without_its_sign_is_refused(text: str) -> None:
    """As at Kraken."""
    with pytest.raises(Refusal, match="price2"):
        place(engine_at(), price2=text, **LIMITED)


def test_stop_by_the_index_follows_the_index() -> None:
    """The last price may go where it likes; and the order fills at the last price."""
    engine = engine_at("50000.0")
    listing = engine.listing("XXBTZUSD")
    order = place(engine, trigger="index")
    engine.move_index(listing, Decimal("50000.0"), NOW)
    move(engine, "30000.0")
    assert order.status == "open"
    engine.move_index(listing, Decimal("60000.0"), NOW)
    assert order.stop == Decimal("54000.0")
    engine.move_index(listing, Decimal("53000.0"), NOW)
    assert (order.status, order.fill_price) == ("closed", Decimal("30000.0"))


def test_index_is_the_last_price_until_somebody_moves_it_away() -> None:
    """And again once it is put back."""
    engine = engine_at("50000.0")
    listing = engine.listing("XXBTZUSD")
    assert listing.index_price == 50000
    engine.move_index(listing, Decimal(1), NOW)
    assert listing.index_price == 1
    engine.move_index(listing, None, NOW)
    assert listing.index_price == 50000


def test_pair_without_an_index_refuses_it() -> None:
    """In Kraken's words."""
    engine = engine_at("100", "SOLUSD")
    with pytest.raises(Refusal, match="Index unavailable"):
        place(engine, pair="SOLUSD", trigger="index")


@pytest.mark.parametrize(
    ("side", "flag", "coins", "money"),
    [
        ("sell", "", "0.495", "50000"),
        ("sell", "fcib", "0.495", "50000"),
        ("sell", "fciq", "0.5", "49500"),
        ("buy", "", "1.5", "-50500"),
        ("buy", "fcib", "1.495", "-50000"),
    ],
)
def test_fee_is_taken_in_the_currency_that_is_asked_for(
    side: str, flag: str, coins: str, money: str
) -> None:
    """By default in what was given away; in the same worth."""
    engine = Engine(prices={"XBTUSD": "100000.0"}, balances={"XXBT": "1", "ZUSD": "0"})
    engine.fee = Decimal(1)
    engine.account.change("ZUSD", Decimal(10**6))
    order = place(engine, type=side, ordertype="market", oflags=flag)
    assert order.fee == 500
    assert engine.account.owned("XXBT") == Decimal(coins)
    assert engine.account.owned("ZUSD") - 10**6 == Decimal(money)


@pytest.mark.parametrize("flags", ["viqc", "fcib,fciq", "x"])
def test_flag_that_is_not_known_is_refused(flags: str) -> None:
    """And two that contradict each other."""
    with pytest.raises(Refusal, match="oflags"):
        place(engine_at(), oflags=flags)
