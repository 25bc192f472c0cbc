"""What REST shows: to the key and to the digit."""

from decimal import Decimal

import pytest

from fake_kraken.engine import Engine
from fake_kraken.shapes import (
    altname,
    amount_text,
    asset_row,
    candles,
    modern_asset,
    modern_row,
    moment_text,
    shown,
    ticker_row,
    trade_row,
)
from tests.kits.exchange.engine_kit import NOW, engine_at, move, place


def test_open_stop_is_shown_as_kraken_shows_it() -> None:
    """The captured answer, to the key and to the digit."""
    engine = Engine(prices={"XBTUSDT": "109645.7"})
    order = place(engine, pair="XBTUSDT", volume="0.00006600", price="+11%", trigger="index")
    assert shown(order, engine.listings["XBTUSDT"].row) == {
        "refid": None,
        "userref": 0,
        "status": "open",
        "opentm": NOW,
        "starttm": 0,
        "expiretm": 0,
        "descr": {
            "pair": "XBTUSDT",
            "aclass": "forex",
            "type": "sell",
            "ordertype": "trailing-stop",
            "price": "+11.0000%",
            "price2": "0",
            "leverage": "none",
            "order": "sell 0.00006600 XBTUSDT @ trailing stop +11.0000%",
            "close": "",
        },
        "vol": "0.00006600",
        "vol_exec": "0.00000000",
        "cost": "0.00000",
        "fee": "0.00000",
        "price": "0.00000",
        "stopprice": "97584.70000",
        "limitprice": "109645.70000",
        "misc": "",
        "oflags": "fcib",
        "trigger": "index",
    }


def test_filled_stop_shows_what_became_of_it() -> None:
    """Volume, cost, average price, the flag `stopped` and the moment."""
    engine = engine_at()
    order = place(engine, cl_ord_id="a")
    move(engine, 40000)
    row = shown(order, engine.listings["XXBTZUSD"].row)
    assert (row["status"], row["misc"], row["cl_ord_id"]) == ("closed", "stopped", "a")
    assert (row["vol_exec"], row["cost"]) == ("0.50000000", "20000.00000")
    assert row["price"] == "40000.00000"
    assert (row["closetm"], row["reason"]) == (NOW, None)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"price": "+500"}, "sell 0.50000000 XBTUSD @ trailing stop +500"),
        ({"price": "+1.00001%"}, "sell 0.50000000 XBTUSD @ trailing stop +1.00001%"),
        ({"ordertype": "limit", "price": "60000"}, "sell 0.50000000 XBTUSD @ limit 60000"),
        ({"ordertype": "market"}, "sell 0.50000000 XBTUSD @ market"),
    ],
)
def test_order_is_described_in_a_sentence(changes: dict[str, str], text: str) -> None:
    """`descr.order` says side, volume, pair, kind and price."""
    engine = engine_at()
    order = place(engine, **changes)
    assert shown(order, engine.listings["XXBTZUSD"].row)["descr"]["order"] == text


def test_ticker_tells_of_the_last_trade() -> None:
    """Last, high, low and opening have the pair's digits; bid and ask are a tick away."""
    engine = engine_at()
    move(engine, 51000, 49000, 50500)
    row = ticker_row(engine.listing("XBTUSD"))
    assert (row["c"], row["o"]) == (["50500.0", "0.01000000"], "50000.0")
    assert (row["h"][0], row["l"][0], row["t"]) == ("51000.0", "49000.0", [3, 3])
    assert (row["b"][0], row["a"][0], row["v"][1]) == ("50499.9", "50500.1", "0.03000000")


def test_candles_hold_the_trades_of_their_minutes() -> None:
    """Time, open, high, low, close, mean price, volume, count; empty minutes are left out."""
    engine = engine_at()
    listing = engine.listing("XBTUSD")
    for price, seconds in ((50000, 0), (50010, 10), (49990, 59), (50002, 125)):
        engine.trade(listing, Decimal(price), Decimal(1), 1_699_999_980 + seconds)
    assert candles(listing, 1) == [
        [1699999980, "50000.0", "50010.0", "49990.0", "49990.0", "50000.0", "3.00000000", 3],
        [1700000100, "50002.0", "50002.0", "50002.0", "50002.0", "50002.0", "1.00000000", 1],
    ]


@pytest.mark.parametrize(
    ("name", "alt", "modern"),
    [
        ("XXBT", "XBT", "BTC"),
        ("XXDG", "XDG", "DOGE"),
        ("XETH", "ETH", "ETH"),
        ("ZUSD", "USD", "USD"),
        ("XAUT", "XAUT", "XAUT"),
        ("ZETA", "ZETA", "ZETA"),
        ("SOL", "SOL", "SOL"),
        ("USDT", "USDT", "USDT"),
        ("1INCH", "1INCH", "1INCH"),
        ("AAPLx", "AAPLx", "AAPLx"),
    ],
)
def test_assets_have_their_three_names(name: str, alt: str, modern: str) -> None:
    """A prefix is one of the oldest assets' alone."""
    assert (altname(name), modern_asset(name)) == (alt, modern)


@pytest.mark.parametrize(
    ("name", "decimals", "shown_as"), [("ZEUR", 4, 2), ("XXBT", 10, 5), ("SOL", 10, 5)]
)
def test_cash_has_fewer_digits_than_coins(name: str, decimals: int, shown_as: int) -> None:
    """As REST Assets tells of them."""
    row = asset_row(name, "currency")
    assert (row["decimals"], row["display_decimals"]) == (decimals, shown_as)
    assert (row["aclass"], row["altname"], row["status"]) == ("currency", altname(name), "enabled")


def test_row_of_a_market_keeps_all_but_the_names() -> None:
    """Base and quote alone are the modern ones."""
    listing = engine_at().listing("XBTUSD")
    row = modern_row(listing)
    assert (row["base"], row["quote"]) == ("BTC", "USD")
    names = {"base", "quote"}
    assert {k: v for k, v in row.items() if k not in names} == {
        k: v for k, v in listing.row.items() if k not in names
    }


def test_trade_is_shown_as_rest_trades_shows_it() -> None:
    """Price and quantity as text, seconds, one letter for the side, and its number."""
    engine = engine_at()
    move(engine, "50001.5", "50001")
    listing = engine.listing("XBTUSD")
    first, second = (trade_row(trade, listing) for trade in listing.trades)
    assert first[:2] == ["50001.5", "0.01000000"]
    assert first[2] == pytest.approx(NOW, abs=1e-3)
    assert (first[3:6], second[3:6]) == (["b", "m", ""], ["s", "m", ""])
    assert (first[6], second[6]) == (1, 2)


def test_candle_without_volume_has_the_last_price_for_its_mean() -> None:
    """A quantity of nothing divides by nothing."""
    engine = engine_at()
    listing = engine.listing("XBTUSD")
    for price in ("50010", "50020"):
        engine.trade(listing, Decimal(price), Decimal(0), NOW)
    (row,) = candles(listing, 1)
    assert row[1:] == ["50010.0", "50020.0", "50010.0", "50020.0", "50020.0", "0.00000000", 2]


def test_amounts_and_moments_have_krakens_digits() -> None:
    """Ten decimals of an asset, six of a second."""
    assert amount_text(Decimal("1.5")) == "1.5000000000"
    assert moment_text(NOW) == "2023-11-14T22:13:20.000000Z"
