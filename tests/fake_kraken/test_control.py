"""The switches that other processes reach over HTTP."""

from decimal import Decimal

import pytest

from tests.kits.exchange.exchange_kit import STOP, Client, Stream


def test_other_processes_reach_the_switches(client: Client, stream: Stream) -> None:
    """Prices, faults, orders and calls over HTTP."""
    assert client.control("price", {"pair": "XBTUSD", "price": "51000"}).json() == {}
    assert client.control("price", {"pair": "XBTUSD", "prices": [1, 2], "at": 1.7e9}).json() == {}
    assert client.exchange.price_of("XBTUSD") == 2
    client.control("fault", {"name": "http_502", "count": 1})
    assert client.send("AddOrder", STOP).status_code == 502
    client.control("fault", {"name": "http_502"})
    client.control("clear")
    txid = client.place()
    assert client.control("orders").json()[0]["txid"] == txid
    assert [row[1] for row in client.control("requests").json()] == ["AddOrder"] * 2
    client.control("drop")
    with pytest.raises(ConnectionResetError):
        stream.next()


@pytest.mark.parametrize(
    ("what", "order"),
    [
        ("nothing", {}),
        ("price", {}),
        ("price", {"pair": "NOPE", "price": 1}),
        ("price", {"pair": "XBTUSD", "price": "x"}),
        ("price", {"pair": "XBTUSD", "prices": 5}),
        ("price", {"pair": ["XBTUSD"], "price": 5}),
        ("price", {"pair": "XBTUSD", "price": 5, "at": "then"}),
        ("price", []),
        ("fault", {"seconds": 1}),
    ],
)
def test_switch_that_is_none_is_refused(client: Client, what: str, order: object) -> None:
    """With 400, and a sentence that names it."""
    response = client.control(what, order)
    assert response.status_code == 400
    assert response.json()["error"].startswith(f"{what}: ")


def test_pairs_can_be_changed_from_elsewhere(client: Client) -> None:
    """The list says so, and orders must keep to it."""
    changes = {"ordermin": "0.6"}
    assert client.control("pair", {"pair": "BTC/USD", "changes": changes}).json() == {}
    assert client.ok("AssetPairs", pair="XBTUSD")["XXBTZUSD"]["ordermin"] == "0.6"
    assert client.post("AddOrder", STOP)["error"] == ["EOrder:Order minimum not met"]
    assert client.control("pair", {"pair": "NOPE", "changes": changes}).status_code == 400


def test_share_of_an_order_is_filled_and_the_rest_stays(client: Client) -> None:
    """Under one it is a share of the whole; one is all that is left."""
    txid = client.place(volume="1")
    exchange = client.exchange
    for share, executed, status in (
        (0.25, "0.25", "open"),
        (0.5, "0.75", "open"),
        (1, "1", "closed"),
    ):
        exchange.fill_order(txid, share)
        (order,) = exchange.orders
        assert (float(order["vol_exec"]), order["status"]) == (float(executed), status)
    assert exchange.price_of("XBTUSD") == 50000


def test_lower_minimum_is_of_the_market_that_is_meant(client: Client) -> None:
    """A tenth of it, for one market or for all of them."""
    before = {key: row["ordermin"] for key, row in client.ok("AssetPairs").items()}
    client.control("fault", {"name": "ordermin_lowered", "symbol": "ETH/USD"})
    rows = client.ok("AssetPairs")
    assert Decimal(rows["XETHZUSD"]["ordermin"]) == Decimal(before["XETHZUSD"]) / 10
    assert {k for k, row in rows.items() if row["ordermin"] != before[k]} == {"XETHZUSD"}
    client.control("fault", {"name": "ordermin_lowered"})
    rows = client.ok("AssetPairs")
    assert Decimal(rows["XXBTZUSD"]["ordermin"]) == Decimal(before["XXBTZUSD"]) / 10
    assert Decimal(rows["XETHZUSD"]["ordermin"]) == Decimal(before["XETHZUSD"]) / 100


@pytest.mark.parametrize("body", ["[]", "5", '"x"', "null", "{", "[[[["])
def test_body_that_is_no_object_is_refused(client: Client, body: str) -> None:
    """With 400, whatever it is instead."""
    url = f"{client.exchange.rest_url}/fake/price"
    answer = client.session.post(url, data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("price: ")


def test_each_print_is_told_with_the_next_number(client: Client, stream: Stream) -> None:
    """Prices of one switch are one trade each, in order and of one hundredth."""
    stream.ask("BTC/USD", channel="trade", snapshot=False)
    client.control("price", {"pair": "XBTUSD", "prices": ["50001", "50002.5"]})
    frame = stream.next()
    while frame.get("channel") != "trade":
        frame = stream.next()
    first, second = frame["data"]
    assert [row["price"] for row in (first, second)] == [Decimal(50001), Decimal("50002.5")]
    assert second["trade_id"] == first["trade_id"] + 1
    assert {row["qty"] for row in (first, second)} == {Decimal("0.01")}
