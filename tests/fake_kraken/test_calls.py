"""Every endpoint of REST, over real sockets: what it answers, and what it refuses."""

import time
from decimal import Decimal

import pytest

from tests.kits.exchange.exchange_kit import STOP, Client


def test_time_and_status_have_krakens_shape(client: Client) -> None:
    """Kraken's clock may differ from this machine's."""
    client.exchange.clock_offset = 3600.0
    result = client.ok("Time")
    assert abs(result["unixtime"] - time.time() - 3600) < 60
    assert result["rfc1123"].endswith(" +0000")
    status = client.ok("SystemStatus")
    assert status["status"] == "online"
    assert status["timestamp"].endswith("Z")


def test_pairs_are_listed_as_kraken_lists_them(client: Client) -> None:
    """Tokenized assets are listed when asked for; a key follows the spelling of the question."""
    everything = client.ok("AssetPairs")
    assert everything["XXBTZUSD"]["wsname"] == "XBT/USD"
    assert "AAPLxUSD" not in everything
    assert list(client.ok("AssetPairs", aclass_base="tokenized_asset")) == ["AAPLxUSD"]
    assert list(client.ok("AssetPairs", pair="XBTUSD,ETH/BTC")) == ["XXBTZUSD", "ETH/BTC"]
    assert client.ok("AssetPairs", pair="XBTUSD", assetVersion=1)["BTC/USD"]["base"] == "BTC"
    assert client.ok("AssetPairs", pair="XBTUSD", info="margin")["XXBTZUSD"] == {
        "margin_call": 80,
        "margin_stop": 40,
    }


def test_assets_are_listed_as_kraken_lists_them(client: Client) -> None:
    """Legacy names carry prefixes, and names that only look so do not."""
    result = client.ok("Assets")
    names = {name: row["altname"] for name, row in result.items()}
    assert names["XXBT"] == "XBT"
    assert (names["XAUT"], names["XTZ"], names["ZUSD"]) == ("XAUT", "XTZ", "USD")
    assert "DOGE" in client.ok("Assets", assetVersion=1)
    assert list(client.ok("Assets", asset="XBT,ZUSD")) == ["XXBT", "ZUSD"]
    assert list(client.ok("Assets", aclass="tokenized_asset")) == ["AAPLx"]
    assert client.get("Assets", asset="NOPE")["error"] == ["EQuery:Unknown asset"]


def test_ticker_answers_in_the_spelling_of_the_question(client: Client) -> None:
    """One bad pair fails the whole call; none at all asks for every one."""
    client.exchange.set_price("XBTUSD", "50123.4")
    assert client.ok("Ticker", pair="XBTUSD")["XXBTZUSD"]["c"][0] == "50123.4"
    assert list(client.ok("Ticker", pair="BTC/USD,ETHUSD")) == ["BTC/USD", "XETHZUSD"]
    assert len(client.ok("Ticker")) > 30
    assert list(client.ok("Ticker", asset_class="tokenized_asset", pair="AAPLxUSD")) == ["AAPLxUSD"]
    for pair in ("XBTUSD,NOPE", "AAPLxUSD", "NOPE"):
        assert client.get("Ticker", pair=pair) == {"error": ["EQuery:Unknown asset pair"]}


def test_trades_are_paged_without_a_gap(client: Client) -> None:
    """`last` is the nanosecond to go on from; without `since` the latest come."""
    client.exchange.set_prices("XBTUSD", range(1, 8), at=1_700_000_000.0)
    first = client.ok("Trades", pair="XBTUSD", since=1_600_000_000, count=5)
    second = client.ok("Trades", pair="XBTUSD", since=first["last"])
    rows = first["XXBTZUSD"] + second["XXBTZUSD"]
    assert [row[0] for row in rows] == [f"{n}.0" for n in range(1, 8)]
    assert [row[6] for row in rows] == list(range(1, 8))
    assert [r[0] for r in client.ok("Trades", pair="XBTUSD", count=2)["XXBTZUSD"]] == ["6.0", "7.0"]
    assert client.ok("Trades", pair="BTC/USD", since=second["last"])["BTC/USD"] == []


def test_candles_are_served(client: Client) -> None:
    """OHLC rows come for Kraken's intervals."""
    client.exchange.set_prices("XBTUSD", [3, 1, 2], at=1_700_000_000.0)
    client.exchange.set_prices("XBTUSD", [5], at=1_700_000_100.0)
    result = client.ok("OHLC", pair="XBTUSD", interval=1)
    assert [row[1:5] for row in result["XXBTZUSD"]] == [["3.0", "3.0", "1.0", "2.0"], ["5.0"] * 4]
    assert client.ok("OHLC", pair="XBTUSD", since=result["last"])["XXBTZUSD"][0][4] == "5.0"


@pytest.mark.parametrize(
    ("endpoint", "params", "error"),
    [
        ("Nothing", {}, "EGeneral:Unknown method"),
        ("OHLC", {"interval": "x"}, "EGeneral:Invalid arguments:interval"),
        ("OHLC", {"interval": "7"}, "EGeneral:Invalid arguments:interval"),
        ("OHLC", {"interval": "0"}, "EGeneral:Invalid arguments:interval"),
        ("OHLC", {"since": "1e999999"}, "EGeneral:Invalid arguments:since"),
        ("Trades", {"count": "-1"}, "EGeneral:Invalid arguments:count"),
        ("Trades", {"count": "1" * 5000}, "EGeneral:Invalid arguments:count"),
        ("Trades", {"since": "Infinity"}, "EGeneral:Invalid arguments:since"),
        ("Trades", {"pair": ""}, "EQuery:Unknown asset pair"),
    ],
)
def test_public_garbage_is_refused(
    client: Client, endpoint: str, params: dict[str, str], error: str
) -> None:
    """Kraken answers 200 with an error, and so does this."""
    assert client.get(endpoint, **{"pair": "XBTUSD", **params}) == {"error": [error]}


@pytest.mark.parametrize("as_json", [False, True])
def test_trailing_stop_trails_from_order_to_fill(client: Client, as_json: bool) -> None:
    """Placed, shown open, followed, triggered, filled, shown closed; balances have moved."""
    order = {**STOP, "cl_ord_id": "mine", "trigger": "last"}
    result = client.post("AddOrder", order, as_json=as_json)["result"]
    assert result["descr"] == {"order": "sell 0.50000000 XBTUSD @ trailing stop +10.0000%"}
    txid = result["txid"][0]
    client.exchange.set_prices("XBTUSD", [60000, 55000])
    shown = client.post("OpenOrders", {"cl_ord_id": "mine"})["result"]["open"][txid]
    assert (shown["limitprice"], shown["stopprice"]) == ("60000.00000", "54000.00000")
    assert client.post("BalanceEx")["result"]["XXBT"]["hold_trade"] == "0.5000000000"
    client.exchange.set_price("XBTUSD", "53999.9")
    assert client.post("OpenOrders")["result"] == {"open": {}}
    closed = client.post("ClosedOrders", {"cl_ord_id": "mine"})["result"]
    assert closed["count"] == 1
    assert closed["closed"][txid]["price"] == "53999.90000"
    assert client.post("Balance")["result"]["XXBT"] == "99.5000000000"
    assert client.exchange.balances["ZUSD"] == Decimal("1026999.95")


def test_validated_order_has_no_txid(client: Client) -> None:
    """It is checked and described, and that is all."""
    answer = client.post("AddOrder", {**STOP, "validate": "true"})
    assert list(answer["result"]) == ["descr"]
    assert client.exchange.placed_count() == 0


def test_refused_order_has_errors_and_no_result(client: Client) -> None:
    """Errors are an array of strings."""
    assert client.post("AddOrder", {**STOP, "volume": "1000"}) == {
        "error": ["EOrder:Insufficient funds"]
    }


@pytest.mark.parametrize(
    ("ahead", "error"),
    [
        (-1, "EService:Deadline elapsed"),
        (1, "EGeneral:Invalid arguments:deadline"),
        (70, "EGeneral:Invalid arguments:deadline"),
        (10, None),
    ],
)
def test_deadline_is_two_to_sixty_seconds_ahead(
    client: Client, ahead: int, error: str | None
) -> None:
    """By Kraken's clock, which is not this machine's."""
    client.exchange.clock_offset = 7200.0
    moment = time.gmtime(client.exchange.now() + ahead)
    deadline = time.strftime("%Y-%m-%dT%H:%M:%SZ", moment)
    answer = client.post("AddOrder", {**STOP, "deadline": deadline})
    assert answer["error"] == ([error] if error else [])


def test_closed_orders_are_paged(client: Client) -> None:
    """Fifty a page, the latest first, and the count is of all."""
    txids = [client.place(volume="0.001") for _ in range(52)]
    for txid in txids:
        client.exchange.cancel_order(txid)
    first = client.post("ClosedOrders")["result"]
    second = client.post("ClosedOrders", {"ofs": "50"})["result"]
    assert [*first["closed"], *second["closed"]] == txids[::-1]
    assert first["count"] == second["count"] == 52


def test_closed_orders_are_found_by_time(client: Client) -> None:
    """`start` and `end` bound the closing time, or the opening time."""
    txid = client.place()
    client.exchange.clock_offset = 1000.0
    client.exchange.cancel_order(txid)
    middle = str(int(time.time()) + 500)
    assert client.post("ClosedOrders", {"start": middle})["result"]["count"] == 1
    assert client.post("ClosedOrders", {"end": middle})["result"]["count"] == 0
    opened = {"end": middle, "closetime": "open"}
    assert client.post("ClosedOrders", opened)["result"]["count"] == 1


def test_orders_are_looked_up_by_id(client: Client) -> None:
    """All of them, or none."""
    txids = [client.place() for _ in "ab"]
    result = client.post("QueryOrders", {"txid": ",".join(txids)})["result"]
    assert list(result) == txids
    for wanted in ("", "O?", f"{txids[0]},O?"):
        assert client.post("QueryOrders", {"txid": wanted})["error"] == ["EOrder:Invalid order"]
    many = {"txid": ",".join(txids * 26)}
    assert client.post("QueryOrders", many)["error"] == ["EGeneral:Invalid arguments:txid"]


def test_order_is_cancelled_once(client: Client) -> None:
    """Gone is gone; it shows as cancelled with its reason."""
    txid = client.place(userref="7")
    assert client.post("CancelOrder", {"txid": txid})["result"] == {"count": 1}
    assert client.post("CancelOrder", {"txid": txid})["error"] == ["EOrder:Unknown order"]
    row = client.post("ClosedOrders", {"userref": "7"})["result"]["closed"][txid]
    assert (row["status"], row["reason"]) == ("canceled", "User requested")


@pytest.mark.parametrize(
    ("endpoint", "params", "error"),
    [
        ("Nothing", {}, "EGeneral:Unknown method"),
        ("ClosedOrders", {"ofs": "x"}, "EGeneral:Invalid arguments:ofs"),
        ("ClosedOrders", {"ofs": "-1"}, "EGeneral:Invalid arguments:ofs"),
        ("ClosedOrders", {"start": "then"}, "EGeneral:Invalid arguments:start"),
        ("AddOrder", {**STOP, "userref": "x"}, "EGeneral:Invalid arguments:userref"),
        ("AddOrder", {**STOP, "deadline": "soon"}, "EGeneral:Invalid arguments:deadline"),
    ],
)
def test_private_garbage_is_refused(
    client: Client, endpoint: str, params: dict[str, str], error: str
) -> None:
    """Numbers that are none are invalid arguments."""
    assert client.post(endpoint, params) == {"error": [error]}


def test_trades_want_a_count(client: Client) -> None:
    """None of them is no number of trades, least of all is it all."""
    client.exchange.set_prices("XBTUSD", [1, 2, 3])
    assert len(client.ok("Trades", pair="XBTUSD", count=1)["XXBTZUSD"]) == 1
    answer = client.get("Trades", pair="XBTUSD", count=0)
    assert answer == {"error": ["EGeneral:Invalid arguments:count"]}


@pytest.mark.parametrize("endpoint", ["AssetPairs", "Ticker", "Trades", "OHLC"])
def test_tokenized_pair_wants_its_class_in_every_call(client: Client, endpoint: str) -> None:
    """Without it the pair is unknown, by either name."""
    name = "aclass_base" if endpoint == "AssetPairs" else "asset_class"
    for pair in ("AAPLx/USD", "AAPLxUSD"):
        unknown = {"error": ["EQuery:Unknown asset pair"]}
        assert client.get(endpoint, pair=pair) == unknown
        assert client.get(endpoint, pair=pair, **{name: "currency"}) == unknown
        assert pair in client.ok(endpoint, pair=pair, **{name: "tokenized_asset"})


def test_tokenized_order_wants_its_class(client: Client) -> None:
    """To be checked and to be placed."""
    order = {**STOP, "pair": "AAPLx/USD", "volume": "1"}
    for more in ({}, {"validate": "true"}):
        assert client.post("AddOrder", order | more)["error"] == ["EQuery:Unknown asset pair"]
        assert (
            client.post("AddOrder", {**order, **more, "asset_class": "tokenized_asset"})["error"]
            == []
        )


# --- several orders in one call ---


def test_batch_is_answered_order_by_order(client: Client) -> None:
    """Each row has its words and its txid, a text, in the order in which they were sent."""
    rows = client.batch({"cl_ord_id": "a"}, {"volume": "0.25", "type": "buy"})["result"]["orders"]
    assert [row["descr"]["order"] for row in rows] == [
        "sell 0.50000000 XBTUSD @ trailing stop +10.0000%",
        "buy 0.25000000 XBTUSD @ trailing stop +10.0000%",
    ]
    assert [row["txid"] for row in rows] == [order["txid"] for order in client.exchange.orders]
    assert client.exchange.orders[0]["cl_ord_id"] == "a"


def test_batch_with_one_bad_order_is_refused_as_a_whole(client: Client) -> None:
    """Nothing of it is entered, whichever of them it is."""
    for bad, error in (
        ({"volume": "0.00001"}, "EOrder:Order minimum not met"),
        ({"price": "10%"}, "EOrder:Invalid price:Invalid price argument."),
        ({"cl_ord_id": "a"}, "EOrder:Duplicate client order id"),
    ):
        for rows in (({"cl_ord_id": "a"}, bad), (bad, {"cl_ord_id": "a"})):
            assert client.batch(*rows) == {"error": [error]}
    assert client.exchange.placed_count() == 0


def test_order_of_a_batch_that_lacks_funds_is_refused_by_itself(client: Client) -> None:
    """Those before and behind it are taken."""
    rows = client.batch({"volume": "90"}, {"volume": "11"}, {"volume": "10"})["result"]["orders"]
    assert rows[1] == {"error": "EOrder:Insufficient funds"}
    assert [order["vol"] for order in client.exchange.orders] == ["90.00000000", "10.00000000"]
    assert all(rows[place]["txid"] for place in (0, 2))


def test_batch_is_checked_and_bounded_in_time_as_one_order_is(client: Client) -> None:
    """Its `validate` and its `deadline` count for all of them."""
    rows = client.batch({}, {}, validate=True)["result"]["orders"]
    assert [set(row) for row in rows] == [{"descr"}] * 2
    moment = time.gmtime(client.exchange.now() + 1)
    deadline = time.strftime("%Y-%m-%dT%H:%M:%SZ", moment)
    answer = client.batch({}, {}, deadline=deadline)
    assert answer["error"][0] in (
        "EGeneral:Invalid arguments:deadline",
        "EService:Deadline elapsed",
    )
    assert client.exchange.placed_count() == 0


@pytest.mark.parametrize("rows", [(), ({},), ({},) * 16, ({}, "x"), ({}, 7)])
def test_batch_is_two_to_fifteen_orders(client: Client, rows: tuple[object, ...]) -> None:
    """All others are refused as a whole, and so is a form, which nobody has seen."""
    assert client.batch(*rows) == {"error": ["EGeneral:Invalid arguments:orders"]}
    form = client.post("AddOrderBatch", {**STOP, "orders[0][type]": "sell"})
    assert form == {"error": ["EGeneral:Invalid arguments:orders"]}
    assert client.exchange.placed_count() == 0


def test_order_of_a_batch_counts_half(client: Client) -> None:
    """A batch that is more than what is left of the pace is refused as a whole."""
    client.exchange.core.engine.order_pace = (3.0, 1e-9)
    assert client.batch(*[{"volume": "0.1"}] * 4)["error"] == []
    assert client.batch(*[{"volume": "0.1"}] * 3) == {"error": ["EOrder:Rate limit exceeded"]}
    assert client.batch(*[{"volume": "0.1"}] * 2)["error"] == []
    assert client.exchange.placed_count() == 6
