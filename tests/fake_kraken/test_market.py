"""The markets: their names, rows and trades."""

from decimal import Decimal
from typing import Any

import pytest

from fake_kraken.engine import Engine
from fake_kraken.market import Listing, default_pairs, modern, synthetic_pairs
from fake_kraken.shapes import ticker_row
from tests.kits.exchange.engine_kit import NOW, engine_at, move, place


def test_trades_never_share_a_moment() -> None:
    """Whoever pages by time misses none, even of a sweep or of a clock that was set back."""
    engine = engine_at()
    move(engine, 1, 2)
    listing = engine.listing("XBTUSD")
    engine.trade(listing, Decimal(3), Decimal(1), NOW - 60)
    moments = [trade.at_ns for trade in listing.trades]
    assert moments == [int(NOW) * 10**9 + n * 1000 for n in range(3)]


def test_old_trades_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exchange that runs for weeks does not grow for weeks."""
    monkeypatch.setattr(Listing, "KEPT_TRADES", 3)
    engine = engine_at()
    move(engine, *range(1, 9))
    assert [int(trade.price) for trade in engine.listing("XBTUSD").trades] == [4, 5, 6, 7, 8]


def test_markets_have_all_of_their_names() -> None:
    """REST key, altname, v1 and v2 spelling lead to the same market; some rows are incomplete."""
    engine = Engine()
    for names in ("XXBTZUSD XBTUSD XBT/USD BTC/USD", "XXDGXXBT XDGXBT XDG/XBT DOGE/BTC"):
        assert len({engine.listing(name).key for name in names.split()}) == 1
    assert engine.listing("XBTUSD.d").symbol is None
    rows, _ = default_pairs()
    assert "wsname" not in rows["XXBTZUSD.d"]
    assert "status" not in rows["XCNUSD"]
    assert modern("XDG/XBT") == "DOGE/BTC"


def test_synthetic_markets_are_as_good_as_real_ones() -> None:
    """Hundreds of made-up pairs trade like others."""
    engine = Engine(*synthetic_pairs(500))
    assert len(engine.listings) == 500
    assert ticker_row(engine.listing("T0500/USD"))["c"][0] == "100.0000"
    order = place(engine, type="buy", pair="T0001USD", volume="1")
    assert order.stop == 110


@pytest.mark.parametrize("price", ["NaN", "0", "-1", "Infinity", "x", None])
def test_market_takes_no_price_that_is_none(price: object) -> None:
    """A starting price is a positive number."""
    with pytest.raises(ValueError, match="is no price"):
        Engine(prices={"XBTUSD": price})


def test_market_remembers_its_day() -> None:
    """Opening, high, low, volume, and whose side took each trade."""
    # Any: exact decimals are compared with plain numbers, which mypy takes for a slip.
    listing: Any = Engine(prices={"XBTUSD": 100}).listing("XBTUSD")
    sides = [listing.record(Decimal(p), Decimal(1), NOW).side for p in (110, 90, 90, 105)]
    assert sides == ["buy", "sell", "buy", "buy"]
    assert (listing.opening, listing.high, listing.low, listing.volume) == (100, 110, 90, 4)
    assert listing.quotes == (Decimal("104.9"), Decimal("105.1"))


def test_bid_is_never_nothing() -> None:
    """One tick is the least price there is."""
    listing = Engine(prices={"XBTUSD": "0.1"}).listing("XBTUSD")
    assert listing.quotes == (Decimal("0.1"), Decimal("0.2"))
