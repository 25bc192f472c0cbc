"""Books of the embedded exchange, over REST and the stream: levels, changes and sums."""

from __future__ import annotations

import zlib
from decimal import Decimal
from typing import Any

import pytest

from fake_kraken import FakeKraken
from fake_kraken.books import (
    BookTeller,
    book_frame,
    book_of,
    changes,
    checksum,
    depth_row,
    levels_from,
)
from fake_kraken.faults import Faults
from fake_kraken.market import Listing, default_pairs
from fake_kraken.params import Refusal
from tests.kits.exchange.exchange_kit import Client, Stream

AT = "2026-11-23T02:11:31.742648Z"


def market(price: str = "50000.0", key: str = "XXBTZUSD", symbol: str = "BTC/USD") -> Listing:
    """Return a market at a price."""
    return Listing(key, default_pairs()[0][key], Decimal(price), symbol)


# --- what is in a book -------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 10, 1000])
def test_book_follows_the_price(depth: int) -> None:
    """A level a tick on each side, best prices first, each with something at it."""
    bids, asks = book_of(market(), depth)
    assert (len(bids), len(asks)) == (depth, depth)
    assert next(iter(bids)) == Decimal("49999.9")
    assert next(iter(asks)) == Decimal("50000.1")
    assert list(bids) == sorted(bids, reverse=True)
    assert list(asks) == sorted(asks)
    assert all(qty > 0 for qty in (*bids.values(), *asks.values()))


def test_book_is_the_same_in_every_run() -> None:
    """And has no quantity that ends with a 0, which some clients cannot sum up."""
    first, second = book_of(market(), 25), book_of(market(), 25)
    assert first == second
    assert all(f"{qty:.8f}"[-1] == "3" for side in first for qty in side.values())


def test_nobody_buys_at_nothing() -> None:
    """Below a price of a few ticks there are few levels."""
    bids, asks = book_of(market("0.3"), 10)
    assert list(bids) == [Decimal("0.2"), Decimal("0.1")]
    assert len(asks) == 10


def test_book_of_a_test_takes_its_place() -> None:
    """In the order of a book, and cut to its depth."""
    listing = market()
    bids = levels_from([("1", "2"), (3, 4), ("2.5", "1")], is_bid=True)
    listing.book = bids, levels_from([("9", "1"), ("8", 1)], is_bid=False)
    assert [str(price) for price in book_of(listing, 2)[0]] == ["3", "2.5"]
    assert [str(price) for price in book_of(listing, 2)[1]] == ["8", "9"]


@pytest.mark.parametrize("level", [("0", 1), ("1", 0), ("-1", 1), ("x", 1), (1, "NaN"), (None, 1)])
def test_level_that_is_none_is_refused(level: tuple[object, object]) -> None:
    """Whoever writes a test is told."""
    with pytest.raises(ValueError, match="is no price"):
        levels_from([level], is_bid=True)


# --- sums and changes --------------------------------------------------------------------------


def test_sum_is_that_of_kraken_s_guide() -> None:
    """Its example, which says 974947235."""
    asks = {Decimal(5005 + 5 * n).scaleb(-5): Decimal("0.000005") for n in range(10)}
    bids = {Decimal(5000 - 5 * n).scaleb(-5): Decimal("0.000005") for n in range(11) if n != 3}
    assert checksum((bids, asks), 5) == 974947235


def test_sum_is_of_ten_levels_of_each_side() -> None:
    """What lies deeper changes nothing."""
    assert checksum(book_of(market(), 10), 1) == checksum(book_of(market(), 100), 1)
    assert checksum(({}, {}), 1) == 0


def test_changes_are_what_is_new_and_what_has_gone() -> None:
    """0 for a level that has gone; nothing for one that stayed."""
    one, two, three = (Decimal(n) for n in (1, 2, 3))
    bids, asks = changes(({one: one, two: two}, {three: one}), ({two: two}, {three: two}))
    assert (bids, asks) == ({one: Decimal(0)}, {three: two})
    assert changes(({one: one}, {}), ({one: one}, {})) == ({}, {})


def test_numbers_have_the_digits_of_their_pair() -> None:
    """Zeros at the end as well, as Kraken's have."""
    frame = book_frame(market(), ({Decimal(5): Decimal(1)}, {}), 7, "update", AT)
    assert '"bids":[{"price":5.0,"qty":1.00000000}],"asks":[],"checksum":7' in frame
    short = book_frame(
        market(), ({Decimal(50): Decimal("5E-8")}, {}), 7, "update", AT, is_short=True
    )
    assert '"bids":[{"price":50,"qty":5e-8}]' in short


def test_teller_tells_what_has_changed_since_it_told_last() -> None:
    """And nothing where nothing has."""
    listing = market()
    teller = BookTeller(listing, 10, Faults())
    assert '"type":"snapshot"' in teller.snapshot(AT)
    assert teller.updates(AT) == []
    listing.price += listing.tick
    (frame,) = teller.updates(AT)
    assert '"type":"update"' in frame
    assert frame.count('"qty":0.00000000') == 2
    assert teller.updates(AT) == []


def test_rest_shows_texts_and_a_moment() -> None:
    """Price, volume, time."""
    row = depth_row(market(), 2, 1700000000.5)
    assert [level[0] for level in row["bids"]] == ["49999.9", "49999.8"]
    assert [level[0] for level in row["asks"]] == ["50000.1", "50000.2"]
    assert all(isinstance(qty, str) and at == 1700000000 for _, qty, at in row["asks"])


# --- over the wires ----------------------------------------------------------------------------


def summed(row: Any, places: int = 1) -> int:
    """Return the sum of a snapshot, by code of its own."""
    numbers: list[str] = []
    for level in (*row["asks"][:10], *row["bids"][:10]):
        numbers += [f"{level['price']:.{places}f}", f"{level['qty']:.8f}"]
    return zlib.crc32("".join(n.replace(".", "").lstrip("0") for n in numbers).encode())


@pytest.mark.parametrize("depth", [None, 10, 25, 100, 500, 1000])
def test_book_is_acknowledged_and_begins_with_a_snapshot(
    exchange: FakeKraken, stream: Stream, depth: int | None
) -> None:
    """As deep as it was asked for, ten levels by itself."""
    more: dict[str, Any] = {} if depth is None else {"depth": depth}
    ack = stream.ask("BTC/USD", channel="book", **more)
    told = {"channel": "book", "symbol": "BTC/USD", "snapshot": True, "depth": depth or 10}
    assert ack["result"] == told
    frame = stream.next()
    (row,) = frame["data"]
    assert (frame["channel"], frame["type"], row["symbol"]) == ("book", "snapshot", "BTC/USD")
    assert (len(row["bids"]), len(row["asks"])) == (depth or 10, depth or 10)
    assert row["checksum"] == summed(row)
    assert exchange.is_subscribed("BTC/USD", "book")


@pytest.mark.parametrize("depth", [0, 11, "10", None, 10.5, [], True])
def test_depth_that_kraken_has_not_is_refused(stream: Stream, depth: object) -> None:
    """In its words."""
    answer = stream.ask("BTC/USD", channel="book", depth=depth)
    assert answer["error"] == "Subscription depth not supported"


def test_price_moves_the_book(exchange: FakeKraken, stream: Stream) -> None:
    """Who has not subscribed to it hears nothing of it."""
    stream.ask("BTC/USD", channel="book")
    stream.next()
    exchange.set_price("XBTUSD", "50000.1")
    (row,) = stream.next()["data"]
    assert [level["qty"] for level in row["asks"]].count(0) == 1
    other = Stream(exchange)
    other.next()
    other.ask("ETH/USD", channel="book")
    other.next()
    exchange.set_price("XBTUSD", "50000.2")
    assert other.pong()["method"] == "pong"
    other.close()


def test_book_that_is_left_is_told_no_more(exchange: FakeKraken, stream: Stream) -> None:
    """And may be asked for again, with another depth."""
    stream.ask("BTC/USD", channel="book")
    stream.next()
    assert stream.ask("BTC/USD", channel="book", depth=25)["error"] == "Already subscribed"
    assert stream.ask("BTC/USD", method="unsubscribe", channel="book")["success"] is True
    exchange.set_price("XBTUSD", "50000.1")
    assert stream.pong()["method"] == "pong"
    assert stream.ask("BTC/USD", channel="book", depth=25)["success"] is True
    assert len(stream.next()["data"][0]["bids"]) == 25


def test_book_is_put_in_place_and_taken_back(exchange: FakeKraken, stream: Stream) -> None:
    """Streams are told of both."""
    stream.ask("BTC/USD", channel="book")
    stream.next()
    exchange.set_book("XBTUSD", [("49000", "1.5")], [("51000", "2")])
    (row,) = stream.next()["data"]
    assert len(row["bids"]) == 11
    assert row["checksum"] == zlib.crc32(b"510000200000000490000150000000")
    exchange.set_book("XBTUSD")
    assert len(stream.next()["data"][0]["asks"]) == 11
    with pytest.raises(Refusal):
        exchange.set_book("NOSUCH", [], [])


def test_mute_market_has_no_book(exchange: FakeKraken, stream: Stream) -> None:
    """Acknowledged, and neither a snapshot nor a change."""
    exchange.fault("mute", symbol="BTC/USD")
    assert stream.ask("BTC/USD", channel="book")["success"] is True
    exchange.set_price("XBTUSD", "50000.1")
    assert stream.pong()["method"] == "pong"


@pytest.mark.parametrize(("count", "levels"), [(None, 100), (1, 1), (500, 500)])
def test_rest_tells_a_book(client: Client, count: int | None, levels: int) -> None:
    """A hundred levels by itself, under the key that was asked by."""
    params = {} if count is None else {"count": count}
    found = client.ok("Depth", pair="BTC/USD", **params)["BTC/USD"]
    assert (len(found["bids"]), len(found["asks"])) == (levels, levels)


@pytest.mark.parametrize("count", [0, 501, -1])
def test_rest_refuses_another_depth(client: Client, count: int) -> None:
    """It has 500 levels at most."""
    assert client.get("Depth", pair="XBTUSD", count=count)["error"]
