"""Every fault over real sockets: what it does, where, and how often."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
import websocket

from fake_kraken import FakeKraken
from fake_kraken.faults import FAULTS, Fault, Faults
from tests.kits.exchange import account_kit, fault_checks
from tests.kits.exchange.exchange_kit import LONG, STOP, Client, Stream


def lost(client: Client, stream: Stream) -> None:
    """lost_reply: nothing comes back, and the order stands."""
    client.exchange.fault("lost_reply", endpoint="AddOrder", count=1)
    with pytest.raises(requests.ConnectionError):
        client.place()
    assert client.exchange.placed_count() == 1


def delayed_reply(client: Client, stream: Stream) -> None:
    """delayed_reply: the order stands before the answer comes."""
    client.exchange.fault("delayed_reply", seconds=30)
    with pytest.raises(requests.ReadTimeout):
        client.post("AddOrder", STOP, timeout=0.1)
    assert client.exchange.wait_for(lambda e: e.placed_count() == 1, LONG)


def delayed_action(client: Client, stream: Stream) -> None:
    """delayed_action: what comes after its deadline is not acted upon."""
    client.exchange.fault("delayed_action", seconds=0.05)
    client.place()
    deadline = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 10))
    caller = threading.Thread(target=set_ahead, args=(client.exchange, 20.0))
    caller.start()
    client.exchange.fault("delayed_action", seconds=0.2)
    client.exchange.core.faults.on.reverse()
    answer = client.post("AddOrder", {**STOP, "deadline": deadline})
    caller.join()
    assert answer["error"] == ["EService:Deadline elapsed"]


def set_ahead(exchange: FakeKraken, seconds: float, arrived: int = 2) -> None:
    """Let Kraken's clock jump once the second order has arrived, or another one."""
    exchange.wait_for(lambda e: e.count("AddOrder") == arrived)
    exchange.clock_offset = seconds


def queued_action(client: Client, stream: Stream) -> None:
    """queued_action: a nonce that has been taken is no bar to what comes in between, or after."""
    client.exchange.fault("queued_action", endpoint="AddOrder", seconds=0.2, count=2)
    answers: list[dict[str, Any]] = []
    caller = threading.Thread(target=lambda: answers.append(client.post("AddOrder", STOP, nonce=7)))
    caller.start()
    assert client.exchange.wait_for(lambda e: e.count("AddOrder") == 1)
    # A nonce higher than its own is taken meanwhile: it was checked before it was queued.
    assert client.post("Balance", nonce=8)["error"] == []
    assert client.exchange.placed_count() == 0
    caller.join()
    assert answers[0]["error"] == []
    assert client.exchange.placed_count() == 1
    # A lower one is refused at the door, and never acted upon.
    assert client.post("AddOrder", STOP, nonce=6)["error"] == ["EAPI:Invalid nonce"]
    client.exchange.clear_faults()
    late_in_the_queue(client, ["EService:Deadline elapsed"])


def late_in_the_queue(client: Client, errors: list[str]) -> None:
    """Let an order's deadline pass while it is queued, and see what is said of it."""
    before = client.exchange.count("AddOrder")
    client.exchange.fault("queued_action", endpoint="AddOrder", seconds=0.2, count=1)
    deadline = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 10))
    jump = threading.Thread(target=set_ahead, args=(client.exchange, 20.0, before + 1))
    jump.start()
    assert client.post("AddOrder", {**STOP, "deadline": deadline})["error"] == errors
    jump.join()
    client.exchange.clock_offset = 0.0


def deadline_ignored(client: Client, stream: Stream) -> None:
    """deadline_ignored: too late, too near and too far are all the same, in a queue too."""
    times = [time.gmtime(time.time() + ahead) for ahead in (-30, 1, 3600)]
    texts = [time.strftime("%Y-%m-%dT%H:%M:%SZ", t) for t in times]
    for text in texts:
        assert client.post("AddOrder", {**STOP, "deadline": text})["error"] != []
    client.exchange.fault("deadline_ignored")
    for text in texts:
        assert client.post("AddOrder", {**STOP, "deadline": text})["error"] == []
    late_in_the_queue(client, [])
    assert client.exchange.placed_count() == 4


def filled_at_once(client: Client, stream: Stream) -> None:
    """filled_at_once: it is closed before anybody can look, and one that is checked is not."""
    client.exchange.fault("filled_at_once", symbol="BTC/USD", count=1)
    assert client.post("AddOrder", {**STOP, "validate": "true"})["error"] == []
    txids = [client.place(cl_ord_id=fault_checks.ID), client.place()]
    assert [order["status"] for order in client.exchange.orders] == ["closed", "open"]
    (closed,) = client.post("ClosedOrders", {"cl_ord_id": fault_checks.ID})["result"]["closed"]
    assert closed == txids[0]


def black_hole(client: Client, stream: Stream) -> None:
    """black_hole: neither answer nor order."""
    client.exchange.fault("black_hole")
    with pytest.raises(requests.ReadTimeout):
        client.post("AddOrder", STOP, timeout=0.1)
    assert client.exchange.placed_count() == 0


def edge(name: str, status: int) -> Callable[[Client, Stream], None]:
    """Return the check of a fault of the edge."""

    def check(client: Client, stream: Stream) -> None:
        for when, placed in (("before", 0), ("after", 1)):
            client.exchange.fault(name, when=when, count=1)
            response = client.send("AddOrder", STOP)
            assert response.status_code == status
            assert response.text.startswith("<!DOCTYPE html>")
            assert client.exchange.placed_count() == placed
        client.place()

    return check


def reset_mid_body(client: Client, stream: Stream) -> None:
    """reset_mid_body: half an answer, and the order stands."""
    client.exchange.fault("reset_mid_body", count=1)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        client.place()
    assert client.exchange.placed_count() == 1


def error(client: Client, stream: Stream) -> None:
    """error: any of Kraken's texts, with or without the order."""
    for when, placed in (("before", 0), ("after", 1)):
        client.exchange.fault("error", text="EService:Busy", when=when, count=1)
        assert client.post("AddOrder", STOP) == {"error": ["EService:Busy"]}
        assert client.exchange.placed_count() == placed


def nonce_refused(client: Client, stream: Stream) -> None:
    """nonce_refused: a good nonce is refused, and nothing done."""
    client.exchange.fault("nonce_refused", count=1)
    assert client.post("AddOrder", STOP) == {"error": ["EAPI:Invalid nonce"]}
    assert client.exchange.placed_count() == 0


def open_orders_lag(client: Client, stream: Stream) -> None:
    """open_orders_lag: a fresh order is not seen yet."""
    fault = client.exchange.fault("open_orders_lag", seconds=60)
    txid = client.place()
    assert client.post("OpenOrders")["result"]["open"] == {}
    fault.clear()
    assert list(client.post("OpenOrders")["result"]["open"]) == [txid]


def closed_orders_lag(client: Client, stream: Stream) -> None:
    """closed_orders_lag: an order is in neither list for a while."""
    client.exchange.fault("closed_orders_lag", seconds=60)
    client.exchange.cancel_order(client.place())
    assert client.post("OpenOrders")["result"]["open"] == {}
    assert client.post("ClosedOrders")["result"] == {"closed": {}, "count": 0}
    client.exchange.clock_offset = 61.0
    assert client.post("ClosedOrders")["result"]["count"] == 1


def mute(client: Client, stream: Stream) -> None:
    """mute: acknowledged, and neither snapshot nor update while it is on."""
    fault = client.exchange.fault("mute", symbol="BTC/USD")
    assert stream.ask("BTC/USD")["success"] is True
    client.exchange.set_price("XBTUSD", 1)
    assert stream.pong()["method"] == "pong"
    fault.clear()
    client.exchange.set_price("XBTUSD", 2)
    assert stream.next()["data"][0]["last"] == 2


def ack_without_data(client: Client, stream: Stream) -> None:
    """ack_without_data: this subscription stays without data until it is made anew."""
    client.exchange.fault("ack_without_data", symbol="BTC/USD", count=1)
    assert stream.ask("BTC/USD")["success"] is True
    client.exchange.set_price("XBTUSD", 1)
    assert stream.ask("BTC/USD", method="unsubscribe")["success"] is True
    stream.ask("BTC/USD")
    assert stream.next()["data"][0]["last"] == 1


def silent(client: Client, stream: Stream) -> None:
    """silent: not a frame, not even a first one."""
    fault = client.exchange.fault("silent")
    second = Stream(client.exchange)
    client.exchange.wait_for(lambda e: e.ws_connections == 2)
    stream.send({"method": "ping"})
    client.exchange.wait_for(lambda e: e.ws_messages)
    fault.clear()
    for each in (stream, second):
        assert each.pong()["method"] == "pong"
    second.close()


def refuse(client: Client, stream: Stream) -> None:
    """refuse: a good symbol is refused."""
    client.exchange.fault("refuse", symbol="BTC/USD", count=1)
    assert stream.ask("BTC/USD")["error"] == "Currency pair not supported BTC/USD"
    assert stream.ask("BTC/USD")["success"] is True


def no_ack(client: Client, stream: Stream) -> None:
    """no_ack: a symbol is not answered; others are."""
    client.exchange.fault("no_ack", symbol="BTC/USD", count=1)
    assert stream.ask("BTC/USD", "ETH/USD")["result"]["symbol"] == "ETH/USD"


def refuse_connect(client: Client, stream: Stream) -> None:
    """refuse_connect: the upgrade is answered with an HTTP error."""
    client.exchange.fault("refuse_connect", status=429, count=1)
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        Stream(client.exchange)
    assert caught.value.status_code == 429
    Stream(client.exchange).close()


def msg_rate(client: Client, stream: Stream) -> None:
    """msg_rate: the error has a capital and no method."""
    client.exchange.fault("msg_rate", count=1)
    assert stream.ask("BTC/USD") == {"Error": "Exceeded msg rate"}
    assert stream.ask("BTC/USD")["success"] is True


def bad_frames(client: Client, stream: Stream) -> None:
    """bad_frames: no JSON and no prices, among good ones."""
    for channel in ("ticker", "trade"):
        stream.ask("BTC/USD", channel=channel, snapshot=False)
    client.exchange.fault("bad_frames", symbol="BTC/USD")
    client.exchange.set_price("XBTUSD", 51000)
    texts = [str(stream.socket.recv()) for _ in range(24)]
    assert sum('"price":51000.0' in text or '"last":51000.0' in text for text in texts) == 2
    assert sum("NaN" in text for text in texts) == 2
    assert stream.pong()["method"] == "pong"


def drop(client: Client, stream: Stream) -> None:
    """drop: open streams at once, new ones after a while."""
    client.exchange.fault("drop", count=1)
    with pytest.raises(ConnectionResetError):
        stream.next()
    second = Stream(client.exchange)
    with pytest.raises(ConnectionResetError):
        second.read_on()
    second.close()
    third = Stream(client.exchange)
    assert third.next()["channel"] == "status"
    third.close()


CHECKS: dict[str, Callable[[Client, Stream], None]] = {
    **{check.__name__: check for check in (
        delayed_reply, delayed_action, queued_action, deadline_ignored, filled_at_once,
        black_hole, reset_mid_body, error, nonce_refused,
        open_orders_lag, closed_orders_lag, mute, ack_without_data, silent, refuse, no_ack,
        refuse_connect, msg_rate, bad_frames, drop,
    )},
    "lost_reply": lost,
    "http_502": edge("http_502", 502),
    "http_504": edge("http_504", 504),
    "http_520": edge("http_520", 520),
    "html": edge("html", 200),
    **account_kit.CHECKS,
    **fault_checks.CHECKS,
}  # fmt: skip


@pytest.mark.parametrize("name", list(FAULTS))
def test_fault_does_what_its_name_says(client: Client, stream: Stream, name: str) -> None:
    """Every fault, by name: the check of each says what it claims."""
    CHECKS[name](client, stream)


def test_fault_strikes_where_and_as_often_as_it_should(client: Client) -> None:
    """One endpoint, twice, and not the others."""
    client.exchange.fault("http_502", endpoint="Ticker", count=2)
    url = client.exchange.rest_url + "/0/public/"
    statuses = [
        client.session.get(url + name, timeout=LONG).status_code
        for name in ("Time", "Ticker", "Time", "Ticker", "Ticker")
    ]
    assert statuses == [200, 502, 200, 502, 200]


def test_faults_can_be_cleared(client: Client) -> None:
    """One by one, which may be done twice, or all."""
    fault = client.exchange.fault("http_502")
    other = client.exchange.fault("http_502")
    fault.clear()
    fault.clear()
    assert client.send("Balance").status_code == 502
    client.exchange.clear_faults()
    other.clear()
    assert client.send("Balance").status_code == 200


@pytest.mark.parametrize(
    "options",
    [
        {"name": "nothing"},
        {"name": "mute", "colour": "red"},
        {"name": "mute", "count": 0},
        {"name": "mute", "count": "1"},
        {"name": "delayed_reply", "seconds": "soon"},
        {"name": "delayed_reply", "seconds": -1},
        {"name": "http_502", "when": "never"},
        {"name": "refuse_connect", "status": 200},
        {"name": "lockout", "calls": 0},
        {"name": "clock_set", "seconds": -90_000},
    ],
)
def test_fault_that_is_none_is_refused(client: Client, options: dict[str, Any]) -> None:
    """Here and over the wire, with a sentence."""
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        client.exchange.fault(**options)
    response = client.control("fault", options)
    assert response.status_code == 400
    assert response.json()["error"].startswith("fault: ")
    assert client.exchange.core.faults.on == []


def test_faults_strike_in_the_order_in_which_they_were_switched_on() -> None:
    """The first that fits is counted, and gone once it is used up."""
    faults = Faults()
    first, second = Fault("mute", symbol="BTC/USD", count=1), Fault("mute")
    for fault in (first, second):
        faults.switch_on(fault)
    assert faults.struck("mute", symbol="ETH/USD") is second
    assert faults.struck("mute", symbol="BTC/USD") is first
    assert faults.struck("mute", symbol="BTC/USD") is second
    assert faults.struck("silent") is None
    assert faults.on == [second]


def test_looking_at_a_fault_does_not_count_it() -> None:
    """`is_on` may be asked for every frame."""
    faults = Faults()
    faults.switch_on(Fault("bad_frames", symbol="BTC/USD", count=1))
    assert [faults.is_on("bad_frames", symbol="BTC/USD") for _ in range(3)] == [True] * 3
    assert not faults.is_on("bad_frames", symbol="ETH/USD")


def test_longest_lag_counts() -> None:
    """Each book has its own."""
    faults = Faults()
    for seconds in (5, 40, 10):
        faults.switch_on(Fault("open_orders_lag", seconds=seconds))
    assert (faults.lag("open_orders_lag"), faults.lag("closed_orders_lag")) == (40, 0)


def test_orders_of_a_batch_are_orders_to_faults_too(client: Client) -> None:
    """A deadline that is ignored, and a fill at once, strike them as single ones."""
    client.exchange.fault("deadline_ignored")
    client.exchange.fault("filled_at_once", symbol="BTC/USD", count=1)
    rows = client.batch({}, {}, deadline="2001-01-01T00:00:00Z")["result"]["orders"]
    assert all(row["txid"] for row in rows)
    assert [order["status"] for order in client.exchange.orders] == ["closed", "open"]


@pytest.mark.parametrize("name", FAULTS)
def test_text_of_a_fault_is_what_its_description_names_and_not_the_description(name: str) -> None:
    """What is left out is taken from a table of its own, which once held copies."""
    text = Fault(name).text
    assert text != FAULTS[name]
    assert not text or len(text) < len(FAULTS[name])
