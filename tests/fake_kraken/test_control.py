"""The switches that other processes reach over HTTP."""

import pytest
from exchange_kit import STOP, Client, Stream


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
