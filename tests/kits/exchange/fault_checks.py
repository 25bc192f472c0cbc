"""What the faults of answers, books, keys and clocks claim, one check for each."""

import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.kits.exchange.exchange_kit import LONG, STOP, Client, Stream

CHECKED = {**STOP, "validate": "true"}
ID = "0b2f8a4e-6c1d-4a53-9e0f-1d2c3b4a5968"
Check = Callable[[Client, Stream], None]


def trade_snapshot(client: Client, stream: Stream) -> None:
    """trade_snapshot: prints from before come where nobody asked for them."""
    client.exchange.set_price("XBTUSD", 51000)
    client.exchange.fault("trade_snapshot", symbol="BTC/USD", count=1)
    assert stream.ask("BTC/USD", channel="trade", snapshot=False)["success"] is True
    frame = stream.next()
    assert (frame["type"], frame["data"][0]["price"]) == ("snapshot", 51000)


def ids_begin_anew(client: Client, stream: Stream) -> None:
    """ids_begin_anew: the count starts at 1 once, over REST too."""
    for _ in range(3):
        client.exchange.set_price("XBTUSD", 1)
    client.exchange.fault("ids_begin_anew", symbol="BTC/USD")
    for _ in range(2):
        client.exchange.set_price("XBTUSD", 2)
    rows = client.ok("Trades", pair="XBTUSD")["XXBTZUSD"]
    assert [row[6] for row in rows] == [1, 2, 3, 1, 2]


def huge_trade_id(client: Client, stream: Stream) -> None:
    """huge_trade_id: one print is out of line, here and there, and the next is not."""
    stream.ask("BTC/USD", channel="trade", snapshot=False)
    client.exchange.fault("huge_trade_id", symbol="BTC/USD", count=1)
    for _ in range(2):
        client.exchange.set_price("XBTUSD", 1)
    told = [stream.next()["data"][0]["trade_id"] for _ in range(2)]
    rows = client.ok("Trades", pair="XBTUSD")["XXBTZUSD"]
    assert [row[6] for row in rows] == told
    assert told[0] > 2**62
    assert told[1] == 2


def ordermin_lowered(client: Client, stream: Stream) -> None:
    """ordermin_lowered: the list says a tenth, which is taken."""
    small = {**STOP, "volume": "0.000005"}
    assert client.post("AddOrder", small)["error"] == ["EOrder:Order minimum not met"]
    client.exchange.change_pair("XBTUSD", costmin="0.01")
    client.exchange.fault("ordermin_lowered", symbol="BTC/USD")
    assert client.ok("AssetPairs", pair="XBTUSD")["XXBTZUSD"]["ordermin"] == "0.000005"
    assert client.post("AddOrder", small)["error"] == []


def open_orders_stale(client: Client, stream: Stream) -> None:
    """open_orders_stale: an order that was filled stands as open in the one book for a while."""
    client.exchange.fault("open_orders_stale")
    txid = client.place(cl_ord_id=ID)
    client.exchange.fill_order(txid)
    row = client.post("OpenOrders", {"cl_ord_id": ID})["result"]["open"][txid]
    assert (row["status"], row["vol_exec"], "closetm" in row) == ("open", "0.00000000", False)
    assert client.post("ClosedOrders")["result"]["count"] == 1
    client.exchange.clock_offset = 31.0
    assert client.post("OpenOrders")["result"]["open"] == {}


def closed_orders_never(client: Client, stream: Stream) -> None:
    """closed_orders_never: not even long after."""
    fault = client.exchange.fault("closed_orders_never")
    client.exchange.cancel_order(client.place())
    client.exchange.clock_offset = 80_000.0
    assert client.post("ClosedOrders")["result"] == {"closed": {}, "count": 0}
    fault.clear()
    assert client.post("ClosedOrders")["result"]["count"] == 1


def orders_foreign(client: Client, stream: Stream) -> None:
    """orders_foreign: in either book stands just what was not asked for."""
    client.exchange.cancel_order(client.place(cl_ord_id=ID))
    client.exchange.fault("orders_foreign")
    for endpoint, book in (("OpenOrders", "open"), ("ClosedOrders", "closed")):
        (order,) = client.post(endpoint, {"cl_ord_id": ID})["result"][book].values()
        assert (order["cl_ord_id"], order["status"]) == ("somebody-elses", book)


def orders_unfiltered(client: Client, stream: Stream) -> None:
    """orders_unfiltered: all orders, whichever was asked for."""
    txids = {client.place(), client.place(cl_ord_id=ID)}
    client.exchange.fault("orders_unfiltered", endpoint="OpenOrders", count=1)
    asked = {"cl_ord_id": ID}
    assert set(client.post("OpenOrders", asked)["result"]["open"]) == txids
    assert len(client.post("OpenOrders", asked)["result"]["open"]) == 1


def orders_respelt(client: Client, stream: Stream) -> None:
    """orders_respelt: the same id to a person, another one to a program."""
    client.place(cl_ord_id=ID)
    client.place()
    client.exchange.fault("orders_respelt")
    orders = client.post("OpenOrders")["result"]["open"].values()
    assert [order.get("cl_ord_id") for order in orders] == [None, ID.replace("-", "").upper()]


def odd_result(client: Client, stream: Stream) -> None:
    """odd_result: anything in the place of the result, and the order stands."""
    for text, found in (("", []), ("null", None), ('{"open": 3}', {"open": 3}), ('"x"', "x")):
        client.exchange.fault("odd_result", text=text, count=1)
        assert client.post("AddOrder", STOP) == {"error": [], "result": found}
    assert client.exchange.placed_count() == 4


def order_unknown(client: Client, stream: Stream) -> None:
    """order_unknown: once, and then it is known."""
    txid = client.place()
    client.exchange.fault("order_unknown")
    assert client.post("QueryOrders", {"txid": txid}) == {"error": ["EOrder:Invalid order"]}
    assert txid in client.post("QueryOrders", {"txid": txid})["result"]


def two_lengths(client: Client, stream: Stream) -> None:
    """two_lengths: no library reads it, and the order stands."""
    client.exchange.fault("two_lengths", count=1)
    with pytest.raises(requests.RequestException, match="Content-Length"):
        client.place()
    assert client.exchange.placed_count() == 1
    client.place()


def dripping(name: str, least: int) -> Check:
    """Return the check of an answer that drips, of which `least` bytes and more do."""

    def check(client: Client, stream: Stream) -> None:
        client.exchange.fault(name, endpoint="Time", seconds=0.001, count=1)
        began = time.monotonic()
        assert client.get("Time")["error"] == []  # no silence was as long as its deadline
        assert time.monotonic() - began > least * 0.001
        client.exchange.fault(name, endpoint="AddOrder")
        with pytest.raises(requests.RequestException):
            client.post("AddOrder", STOP, timeout=0.1)
        assert client.exchange.wait_for(lambda e: e.placed_count() == 1, LONG)

    return check


def sent_twice(client: Client, stream: Stream) -> None:
    """sent_twice: one order, and the refusal of the copy."""
    client.exchange.fault("sent_twice", endpoint="AddOrder", count=1)
    assert client.post("AddOrder", STOP) == {"error": ["EAPI:Invalid nonce"]}
    assert client.exchange.placed_count() == 1


def copied_past_nonce(client: Client, stream: Stream) -> None:
    """copied_past_nonce: the id stops the copy; without one it is a second order."""
    client.exchange.fault("copied_past_nonce", endpoint="AddOrder", count=2)
    answer = client.post("AddOrder", {**STOP, "cl_ord_id": ID})
    assert answer == {"error": ["EOrder:Duplicate client order id"]}
    assert client.exchange.placed_count() == 1
    assert client.post("AddOrder", STOP)["error"] == []
    assert client.exchange.placed_count() == 3


def cached(name: str, age: str | None) -> Check:
    """Return the check of answers that are out of date."""

    def check(client: Client, stream: Stream) -> None:
        exchange = client.exchange
        exchange.set_prices("XBTUSD", [48000], at=exchange.now() - 400)
        exchange.set_price("XBTUSD", 51000)
        client.exchange.fault(name)
        url = exchange.rest_url + "/0/public/"
        answer = client.session.get(url + "Time", timeout=LONG)
        assert answer.headers.get("Age") == age
        assert 290 < time.time() - answer.json()["result"]["unixtime"] < 360
        assert client.ok("Ticker", pair="XBTUSD")["XXBTZUSD"]["c"][0] == "48000.0"
        assert [row[0] for row in client.ok("Trades", pair="XBT/USD")["XBT/USD"]] == ["48000.0"]
        assert client.ok("Ticker", pair="ETHUSD")["XETHZUSD"]["c"][0] == "4000.00"
        exchange.clear_faults()
        assert client.ok("Ticker", pair="XBTUSD")["XXBTZUSD"]["c"][0] == "51000.0"

    return check


def gzip_bomb(client: Client, stream: Stream) -> None:
    """gzip_bomb: a thousand times what is sent."""
    client.exchange.fault("gzip_bomb", endpoint="Time")
    url = client.exchange.rest_url + "/0/public/Time"
    with client.session.get(url, timeout=LONG, stream=True) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        packed = answer.raw.read(decode_content=False)
    assert len(packed) < 2_000_000
    parts, size = 0, 0
    while packed:
        unpacker = zlib.decompressobj(31)
        size += len(unpacker.decompress(packed))
        parts, packed = parts + 1, unpacker.unused_data
        if parts == 3:
            break
    assert size > 1_000_000


def too_many(client: Client, stream: Stream) -> None:
    """http_429: with the seconds to wait."""
    client.exchange.fault("http_429", seconds=7, count=1)
    answer = client.send("Balance")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    client.exchange.fault("http_429", when="after", count=1)
    assert client.send("AddOrder", STOP).headers["Retry-After"] == "1"
    assert client.exchange.placed_count() == 1


def wants_password(client: Client, stream: Stream) -> None:
    """http_407: as proxies say it."""
    client.exchange.fault("http_407", count=1)
    answer = client.send("Balance")
    assert (answer.status_code, answer.headers["Proxy-Authenticate"][:5]) == (407, "Basic")


def clock_set(client: Client, stream: Stream) -> None:
    """clock_set: once, forward or back, before the call or after it."""
    exchange = client.exchange
    for options, ahead in (({}, 3600), ({"seconds": -7200}, -3600), ({"when": "after"}, -3600)):
        exchange.fault("clock_set", endpoint="Time", **options)
        client.ok("Ticker", pair="XBTUSD")
        assert abs(client.ok("Time")["unixtime"] - time.time() - ahead) < 60
    assert abs(client.ok("Time")["unixtime"] - time.time()) < 60


def absurd_time(client: Client, stream: Stream) -> None:
    """absurd_time: a number that no float holds."""
    client.exchange.fault("absurd_time")
    text = client.session.get(client.exchange.rest_url + "/0/public/Time", timeout=LONG).text
    assert '"unixtime": 1e999,' in text
    assert client.post("Balance")["error"] == []


def refused_with(name: str, endpoint: str, text: str) -> Check:
    """Return the check of one of Kraken's texts at one endpoint."""

    def check(client: Client, stream: Stream) -> None:
        client.exchange.fault(name)
        assert client.post(endpoint, STOP) == {"error": [text]}
        assert client.post("Balance")["error"] == []
        assert client.exchange.placed_count() == 0

    return check


def no_data(client: Client, stream: Stream) -> None:
    """no_data: an error and rows in one answer."""
    for symbol, missing in ((None, "XXBTZUSD"), ("ETH/USD", "XETHZUSD"), ("DOGE/USD", "XDGUSD")):
        client.exchange.fault("no_data", symbol=symbol, count=1)
        answer = client.get("Ticker", pair="XBTUSD,ETHUSD,XDGUSD")
        assert answer["error"] == ["EGeneral:No data"]
        assert set(answer["result"]) == {"XXBTZUSD", "XETHZUSD", "XDGUSD"} - {missing}


def validate_txid(client: Client, stream: Stream) -> None:
    """validate_txid: an id for an order that is none."""
    client.exchange.fault("validate_txid")
    assert client.post("AddOrder", CHECKED)["result"]["txid"] == ["OVALID-ATEDO-NLY234"]
    assert client.exchange.placed_count() == 0
    assert client.place() in client.post("OpenOrders")["result"]["open"]


def batch_row_missing(client: Client, stream: Stream) -> None:
    """batch_row_missing: the last order stands, and the answer does not name it."""
    client.exchange.fault("batch_row_missing", count=1)
    rows = client.batch({}, {}, {})["result"]["orders"]
    assert [row["txid"] for row in rows] == [o["txid"] for o in client.exchange.orders][:2]
    assert client.exchange.placed_count() == 3


def batch_row_more(client: Client, stream: Stream) -> None:
    """batch_row_more: the last row stands there twice."""
    client.exchange.fault("batch_row_more", count=1)
    first, second, third = client.batch({}, {})["result"]["orders"]
    assert first != second == third


def batch_row_odd(client: Client, stream: Stream) -> None:
    """batch_row_odd: anything in the place of the last row, and its order stands."""
    for text, found in (("", {}), ("null", None), ('{"txid": 7}', {"txid": 7})):
        client.exchange.fault("batch_row_odd", text=text, count=1)
        assert client.batch({}, {})["result"]["orders"][1] == found
    assert client.exchange.placed_count() == 6


def key_revoked(client: Client, stream: Stream) -> None:
    """key_revoked: one key, and not the other."""
    client.exchange.add_key("other", client.exchange.api_secret)
    client.exchange.fault("key_revoked", key="other")
    assert client.post("Balance", key="other") == {"error": ["EAPI:Invalid key"]}
    assert client.post("Balance")["error"] == []


def lockout(client: Client, stream: Stream) -> None:
    """lockout: the right key too, until nobody has called for so long."""
    locked: Any = {"error": ["EGeneral:Temporary lockout"]}
    client.exchange.fault("lockout", calls=2, seconds=600)
    for _ in range(2):
        assert client.post("Balance", key="?") == {"error": ["EAPI:Invalid key"]}
    for ahead in (0.0, 599.0, 1190.0):
        client.exchange.clock_offset = ahead
        assert client.post("Balance") == locked
    client.exchange.clock_offset = 1800.0
    assert client.post("Balance")["error"] == []


def _sum_of(bids: list[Any], asks: list[Any]) -> int:
    """Return Kraken's sum of ten levels of each side of a market with one decimal."""
    numbers: list[str] = []
    for level in (*asks[:10], *bids[:10]):
        numbers += [f"{level['price']:.1f}", f"{level['qty']:.8f}"]
    return zlib.crc32("".join(n.replace(".", "").lstrip("0") for n in numbers).encode())


def _book(stream: Stream) -> Any:
    """Subscribe to a book, and return its snapshot."""
    assert stream.ask("BTC/USD", channel="book")["success"] is True
    (row,) = stream.next()["data"]
    return row


def book_wrong_sum(client: Client, stream: Stream) -> None:
    """book_wrong_sum: the levels are right, and their sum is not."""
    client.exchange.fault("book_wrong_sum", symbol="BTC/USD", count=1)
    row = _book(stream)
    assert row["checksum"] == _sum_of(row["bids"], row["asks"]) ^ 1


def book_lost_change(client: Client, stream: Stream) -> None:
    """book_lost_change: one is not told; the sum of the next is that of all."""
    _book(stream)
    client.exchange.fault("book_lost_change", symbol="BTC/USD", count=1)
    client.exchange.set_book("XBTUSD", [], [("50001", 1)])
    client.exchange.set_book("XBTUSD", [("40000", 1)], [("50001", 1)])
    (row,) = stream.next()["data"]
    assert (len(row["bids"]), row["asks"]) == (1, [])


def book_crossed(client: Client, stream: Stream) -> None:
    """book_crossed: somebody buys at the price at which somebody sells, and is summed up."""
    client.exchange.fault("book_crossed", symbol="BTC/USD", count=1)
    row = _book(stream)
    assert row["bids"][0]["price"] == row["asks"][0]["price"]
    assert row["checksum"] == _sum_of(row["bids"], row["asks"])


def book_short_numbers(client: Client, stream: Stream) -> None:
    """book_short_numbers: the same numbers with fewer characters."""
    client.exchange.set_book("XBTUSD", [("40000", "0.00005")], [("50000.5", 10)])
    client.exchange.fault("book_short_numbers")
    stream.ask("BTC/USD", channel="book")
    text = stream.socket.recv()
    assert '"price":40000,"qty":0.00005' in text
    assert '"price":50000.5,"qty":10}' in text
    client.exchange.set_book("XBTUSD", [("40000", "0.00000005")], [("50000.5", 10)])
    assert '"qty":5e-8' in stream.socket.recv()


def book_bad_level(client: Client, stream: Stream) -> None:
    """book_bad_level: something stands where a price should."""
    client.exchange.fault("book_bad_level", text="null", count=1)
    assert _book(stream)["bids"][0]["price"] is None


def refuse_depth(client: Client, stream: Stream) -> None:
    """refuse_depth: as one that Kraken does not have."""
    client.exchange.fault("refuse_depth")
    answer = stream.ask("BTC/USD", channel="book", depth=100)
    assert answer["error"] == "Subscription depth not supported"
    assert stream.ask("BTC/USD", channel="book")["success"] is True


def unasked(client: Client, stream: Stream) -> None:
    """unasked: a market that is not there, after one that was asked for."""
    _book(stream)
    client.exchange.fault("unasked", count=1)
    client.exchange.set_book("XBTUSD", [("40000", 1)], [("50001", 1)])
    symbols = [stream.next()["data"][0]["symbol"] for _ in range(2)]
    assert symbols == ["BTC/USD", "NOBODY/USD"]


def instrument_bad_row(client: Client, stream: Stream) -> None:
    """instrument_bad_row: one minimum that cannot be, the others as they are."""
    client.exchange.fault("instrument_bad_row", symbol="ETH/USD", count=1)
    assert stream.ask(channel="instrument")["success"] is True
    least = {x["symbol"]: x["qty_min"] for x in stream.next()["data"]["pairs"]}
    assert (least["ETH/USD"], least["SOL/USD"] > 0) == (-1, True)


def _candle(client: Client, stream: Stream) -> Any:
    """Subscribe to candles, let somebody trade, and return the candle that is told."""
    assert stream.ask("BTC/USD", channel="ohlc", snapshot=False)["success"] is True
    client.exchange.set_price("XBTUSD", 50000)
    (row,) = stream.next()["data"]
    return row


def candle_from_future(client: Client, stream: Stream) -> None:
    """candle_from_future: its interval begins long after this one."""
    client.exchange.fault("candle_from_future", symbol="BTC/USD", count=1)
    year = int(_candle(client, stream)["interval_begin"][:4])
    client.exchange.set_price("XBTUSD", 50000)
    assert int(stream.next()["data"][0]["interval_begin"][:4]) == year - 1


def candle_bad(client: Client, stream: Stream) -> None:
    """candle_bad: its lowest price is negative."""
    client.exchange.fault("candle_bad", symbol="BTC/USD", count=1)
    assert _candle(client, stream)["low"] == -1


def trade_lost(client: Client, stream: Stream) -> None:
    """trade_lost: one number is missing, over REST it is not."""
    stream.ask("BTC/USD", channel="trade", snapshot=False)
    client.exchange.fault("trade_lost", symbol="BTC/USD", count=1)
    for price in (1, 2):
        client.exchange.set_price("XBTUSD", price)
    assert stream.next()["data"][0]["trade_id"] == 2
    assert len(client.ok("Trades", pair="XBTUSD")["XXBTZUSD"]) == 2


MARKET_MODE = refused_with("market_mode", "AddOrder", "EService:Market in reduce_only mode")
LIMIT_EXCEEDED = refused_with("limit_exceeded", "AddOrder", "EBM:limit exceeded:CAL")
CHECKS: dict[str, Check] = {
    **{check.__name__: check for check in (
        book_wrong_sum, book_lost_change, book_crossed, book_short_numbers, book_bad_level,
        refuse_depth, unasked, instrument_bad_row, candle_from_future, candle_bad, trade_lost,
        trade_snapshot, ids_begin_anew, huge_trade_id, ordermin_lowered, open_orders_stale,
        closed_orders_never, orders_foreign, orders_unfiltered, orders_respelt, odd_result,
        order_unknown, two_lengths, sent_twice, copied_past_nonce, gzip_bomb, clock_set,
        absurd_time, no_data, validate_txid, key_revoked, lockout, batch_row_missing,
        batch_row_more, batch_row_odd,
    )},
    "dripping_reply": dripping("dripping_reply", 40),
    "dripping_head": dripping("dripping_head", 140),
    "cached_reply": cached("cached_reply", "300"),
    "old_reply": cached("old_reply", None),
    "http_429": too_many,
    "http_407": wants_password,
    "market_mode": MARKET_MODE,
    "limit_exceeded": LIMIT_EXCEEDED,
}  # fmt: skip
