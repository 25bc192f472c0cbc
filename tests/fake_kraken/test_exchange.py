"""The embedded exchange over real sockets: REST, stream, every fault, the program."""

import base64
import contextlib
import hashlib
import hmac
import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fake_kraken
from fake_kraken import FAULTS, FakeKraken, Minute, kraken_exchange, random_path, read_replay
from fake_kraken.engine import Refusal, synthetic_pairs

ROOT = Path(fake_kraken.__file__).parents[1]
LONG = 10.0  # seconds that nothing here takes, unless it is broken
NONCES = itertools.count(1)
STOP = {"pair": "XBTUSD", "type": "sell", "ordertype": "trailing-stop", "volume": "0.5",
        "price": "+10%"}  # fmt: skip


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """Hand out one REST session, closed at the end."""
    with requests.Session() as made:
        yield made


class Client:
    """A few lines that speak to the exchange, and share none with the client under test."""

    def __init__(self, exchange: FakeKraken, session: requests.Session) -> None:
        self.exchange, self.session = exchange, session

    def get(self, endpoint: str, **params: object) -> Any:
        """Return the whole answer to a public call."""
        url = f"{self.exchange.rest_url}/0/public/{endpoint}"
        return self.session.get(url, params=params, timeout=LONG).json()  # type: ignore[arg-type]

    def ok(self, endpoint: str, **params: object) -> Any:
        """Return the result of a public call that is taken."""
        answer = self.get(endpoint, **params)
        assert answer["error"] == []
        return answer["result"]

    def send(
        self,
        endpoint: str,
        params: dict[str, Any] | None = None,
        *,
        nonce: object = None,
        key: str | None = None,
        secret: str | None = None,
        as_json: bool = False,
        timeout: float = LONG,
    ) -> requests.Response:
        """Send a private call, signed."""
        body = {"nonce": str(nonce or next(NONCES)), **(params or {})}
        text = json.dumps(body) if as_json else urllib.parse.urlencode(body)
        path = f"/0/private/{endpoint}"
        kind = "application/json" if as_json else "application/x-www-form-urlencoded"
        headers = {
            "API-Key": key or self.exchange.api_key,
            "API-Sign": sign(path, body["nonce"], text, secret or self.exchange.api_secret),
            "Content-Type": kind,
        }
        url = self.exchange.rest_url + path
        return self.session.post(url, data=text.encode(), headers=headers, timeout=timeout)

    def post(self, endpoint: str, params: dict[str, Any] | None = None, **options: Any) -> Any:
        """Return the whole answer to a private call."""
        return self.send(endpoint, params, **options).json()

    def place(self, **changes: str) -> str:
        """Place the usual trailing stop, with changes, and return its id."""
        answer = self.post("AddOrder", {**STOP, **changes})
        assert answer["error"] == []
        return str(answer["result"]["txid"][0])

    def control(self, what: str, order: object = None) -> requests.Response:
        """Reach a switch as another process does."""
        return self.session.post(f"{self.exchange.rest_url}/fake/{what}", json=order, timeout=LONG)


def sign(path: str, nonce: str, body: str, secret: str) -> str:
    """Return API-Sign as Kraken's guide has it."""
    message = path.encode() + hashlib.sha256((nonce + body).encode()).digest()
    digest = hmac.new(base64.b64decode(secret), message, hashlib.sha512).digest()
    return base64.b64encode(digest).decode()


@pytest.fixture
def client(exchange: FakeKraken, session: requests.Session) -> Client:
    """Hand out a client of a fresh exchange."""
    return Client(exchange, session)


@pytest.fixture
def stream(exchange: FakeKraken) -> Iterator["Stream"]:
    """Hand out a stream that has got its `status` frame."""
    made = Stream(exchange)
    assert made.next()["channel"] == "status"
    yield made
    made.close()


class Stream:
    """One WebSocket connection to the exchange."""

    def __init__(self, exchange: FakeKraken) -> None:
        self.plain = socket.create_connection(("127.0.0.1", exchange.port))
        try:
            self.socket = websocket.create_connection(
                exchange.ws_url, timeout=LONG, socket=self.plain
            )
        except BaseException:
            self.plain.close()
            raise

    def next(self) -> Any:
        """Return the next frame, with exact numbers."""
        return json.loads(self.socket.recv(), parse_float=Decimal)

    def send(self, message: object) -> None:
        """Send a message; text as it is."""
        self.socket.send(message if isinstance(message, str) else json.dumps(message))

    def ask(self, *symbols: str, method: str = "subscribe", **params: Any) -> Any:
        """Subscribe, or the like, and return the first answer."""
        params = {"channel": "ticker", "symbol": list(symbols), **params}
        self.send({"method": method, "params": params, "req_id": 7})
        return self.next()

    def pong(self) -> Any:
        """Return what comes next, at the latest the answer to a ping."""
        self.send({"method": "ping", "req_id": 1})
        return self.next()

    def read_on(self) -> None:
        """Read whatever comes, until nothing can come any more."""
        while True:
            self.next()

    def close(self) -> None:
        """Close it, even if it has failed before."""
        with contextlib.closing(self.plain):
            self.socket.close()


# -------------------------------------------------------------------------------- REST, public


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


def test_hundreds_of_pairs_in_one_url_are_too_many(session: requests.Session) -> None:
    """Kraken's edge answers 520 to a URL of that length; without names all are had."""
    with FakeKraken(*synthetic_pairs(1000)) as exchange:
        names = ",".join(f"T{n:04d}USD" for n in range(1, 1001))
        response = session.get(f"{exchange.rest_url}/0/public/Ticker?pair={names}", timeout=LONG)
        assert response.status_code == 520
        assert len(Client(exchange, session).ok("Ticker")) == 1000


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


@pytest.mark.parametrize("path", ["/0/private/Balance", "/0/other/Time", "/0/"])
def test_unknown_paths_are_unknown_methods(client: Client, path: str) -> None:
    """A private call by GET is none either."""
    response = client.session.get(client.exchange.rest_url + path, timeout=LONG)
    assert response.json() == {"error": ["EGeneral:Unknown method"]}


# ------------------------------------------------------------------------------- REST, private


def test_official_signature_is_taken(session: requests.Session) -> None:
    """The vector of Kraken's guide is valid here, which its old nonce shows: that comes after."""
    secret = (
        "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
    )
    body = "nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
    headers = {
        "API-Key": "K",
        "API-Sign": "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ==",  # noqa: E501
        "Content-Type": "application/x-www-form-urlencoded",
    }
    with FakeKraken(key="K", secret=secret) as exchange:
        url = f"{exchange.rest_url}/0/private/AddOrder"
        first = session.post(url, data=body, headers=headers, timeout=LONG).json()
        again = session.post(url, data=body, headers=headers, timeout=LONG).json()
        other = session.post(url, data=body + " ", headers=headers, timeout=LONG).json()
    assert first["result"]["descr"] == {"order": "buy 1.25000000 XBTUSD @ limit 37500"}
    assert again == {"error": ["EAPI:Invalid nonce"]}
    assert other == {"error": ["EAPI:Invalid signature"]}


def test_keys_and_nonces_are_checked(client: Client) -> None:
    """A nonce counts for its key alone, must grow, and is used up by the call."""
    other = base64.b64encode(b"x").decode()
    assert client.post("Balance", key="?") == {"error": ["EAPI:Invalid key"]}
    assert client.post("Balance", secret=other) == {"error": ["EAPI:Invalid signature"]}
    client.exchange.add_key("second", other)
    assert client.post("Balance", nonce=500)["error"] == []
    assert client.post("Balance", nonce=400, key="second", secret=other)["error"] == []
    for nonce in (500, 499, "x", "٣", 2**64, "9" * 5000):
        assert client.post("Balance", nonce=nonce) == {"error": ["EAPI:Invalid nonce"]}
    assert client.post("Balance", nonce=2**64 - 1)["error"] == []


@pytest.mark.parametrize(
    ("permission", "allowed"),
    [
        ("query funds", {"Balance", "BalanceEx", "TradeBalance"}),
        ("query open", {"OpenOrders", "QueryOrders"}),
        ("query closed", {"ClosedOrders", "QueryOrders"}),
        ("modify", {"AddOrder", "CancelOrder"}),
        ("cancel", {"CancelOrder"}),
    ],
)
def test_key_may_do_what_it_may(client: Client, permission: str, allowed: set[str]) -> None:
    """Each call wants one of its permissions."""
    secret = base64.b64encode(b"y").decode()
    client.exchange.add_key("narrow", secret, {permission})
    endpoints = {"Balance", "BalanceEx", "TradeBalance", "OpenOrders", "QueryOrders"}
    taken = {
        endpoint
        for endpoint in endpoints | {"ClosedOrders", "AddOrder", "CancelOrder"}
        if "EGeneral:Permission denied"
        not in client.post(endpoint, key="narrow", secret=secret)["error"]
    }
    assert taken == allowed


def test_key_must_be_one() -> None:
    """A secret that is not base64, or a permission that is none, is said at once."""
    with pytest.raises(ValueError, match="not base64"):
        FakeKraken(key="K", secret="?")
    with pytest.raises(ValueError, match="query funds"):
        FakeKraken().add_key("K", "eA==", {"withdraw"})
    with pytest.raises(ValueError, match="must be positive"):
        FakeKraken(heartbeat_seconds=0)


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


@pytest.mark.parametrize("body", [b"{", b"[]", b"[" * 100_000, b'"x"', b"\xff\xfe"])
@pytest.mark.parametrize("path", ["/0/private/AddOrder", "/0/public/Ticker"])
def test_body_that_is_no_object_is_refused(client: Client, path: str, body: bytes) -> None:
    """Whatever the bytes are."""
    headers = {"Content-Type": "application/json", "API-Key": client.exchange.api_key}
    url = client.exchange.rest_url + path
    answer = client.session.post(url, data=body, headers=headers, timeout=LONG).json()
    assert answer == {"error": ["EGeneral:Invalid arguments"]}


def test_signature_of_any_bytes_is_refused(client: Client) -> None:
    """A header need not be ASCII."""
    connection = http.client.HTTPConnection("127.0.0.1", client.exchange.port, timeout=LONG)
    headers = {"API-Key": client.exchange.api_key, "API-Sign": "\xe4\xff"}
    connection.request("POST", "/0/private/Balance", "nonce=1", headers)
    assert json.load(connection.getresponse()) == {"error": ["EAPI:Invalid signature"]}
    connection.close()


@pytest.fixture(scope="module")
def lasting(session: requests.Session) -> Iterator[Client]:
    """Hand out a client of one exchange for many examples."""
    with FakeKraken() as exchange:
        yield Client(exchange, session)


def test_any_order_is_answered(lasting: Client) -> None:
    """Whatever AddOrder is sent, as form or as JSON, the answer is 200 with error strings."""
    values = st.text(max_size=20) | st.sampled_from(list(STOP.values()))
    jsons = values | st.none() | st.floats() | st.lists(st.integers(), max_size=2)

    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    @given(st.dictionaries(st.sampled_from([*STOP, "cl_ord_id", "deadline"]), jsons), st.booleans())
    def check(params: dict[str, Any], as_json: bool) -> None:
        shown = params if as_json else {k: str(v).encode("utf-8", "replace") for k, v in
                                        params.items()}  # fmt: skip
        response = lasting.send("AddOrder", {**STOP, **shown}, as_json=as_json)
        assert response.status_code == 200
        assert all(isinstance(error, str) for error in response.json()["error"])

    check()


# ---------------------------------------------------------------------------------- inspection


def test_calls_are_noted(client: Client) -> None:
    """Endpoint and parameters without nonce, in order; calls of one connection share a number."""
    client.ok("Ticker", pair="XBTUSD")
    client.place()
    first, second = client.exchange.requests
    assert (first.endpoint, first.params) == ("Ticker", {"pair": "XBTUSD"})
    assert (second.endpoint, second.params) == ("AddOrder", STOP)
    assert first.connection == second.connection
    assert client.exchange.count("AddOrder") == client.exchange.placed_count() == 1


def test_orders_are_shown_to_tests(client: Client) -> None:
    """Filled in part, filled, cancelled: as Kraken would show it."""
    txid = client.place(cl_ord_id="a")
    client.exchange.fill_order(txid, "0.4")
    assert client.exchange.orders[0]["vol_exec"] == "0.20000000"
    assert client.exchange.balances["XXBT"] == Decimal("99.8")
    client.exchange.fill_order(txid)
    assert (client.exchange.orders[0]["txid"], client.exchange.orders[0]["status"]) == (
        txid,
        "closed",
    )
    assert (client.exchange.placed_count("a"), client.exchange.placed_count("b")) == (1, 0)
    with pytest.raises(Refusal, match="EOrder:Unknown order"):
        client.exchange.cancel_order(txid)


def test_states_are_set(client: Client) -> None:
    """Of a pair and of the whole exchange."""
    client.exchange.set_pair_status("XBTUSD", "cancel_only")
    assert client.ok("AssetPairs", pair="XBTUSD")["XXBTZUSD"]["status"] == "cancel_only"
    client.exchange.set_system_status("maintenance")
    assert client.ok("SystemStatus")["status"] == "maintenance"
    with pytest.raises(ValueError, match="post_only"):
        client.exchange.set_system_status("asleep")


@pytest.mark.parametrize("price", [0, -1, "NaN", "x"])
def test_price_that_is_none_is_not_set(exchange: FakeKraken, price: object) -> None:
    """Nothing of such a sweep is printed."""
    with pytest.raises(ValueError, match="is no price"):
        exchange.set_prices("XBTUSD", [60000, price])
    assert exchange.price_of("XBTUSD") == 50000


def test_waiting_leaves_the_exchange_free(exchange: FakeKraken) -> None:
    """A predicate may ask the exchange itself while calls come in from elsewhere."""
    ended = threading.Event()

    def trade() -> None:
        while not ended.is_set():
            exchange.set_price("XBTUSD", 50000)

    trader = threading.Thread(target=trade)
    trader.start()
    looks = itertools.count()
    assert exchange.wait_for(lambda e: e.price_of("XBTUSD") and next(looks) > 300, LONG)
    ended.set()
    trader.join(LONG)
    assert not exchange.wait_for(lambda e: False, 0.01)


# ---------------------------------------------------------------------------------- its life


def test_exchange_can_be_asked_after_its_end(session: requests.Session) -> None:
    """What happened can still be looked at; stopping twice, and before the start, does nothing."""
    exchange = FakeKraken()
    exchange.stop()
    with exchange:
        Client(exchange, session).place()
    exchange.stop()
    assert len(exchange.orders) == 1
    with pytest.raises(RuntimeError, match="start it first"):
        exchange.stop_listening()


def test_exchange_ends_with_everybody_hanging(exchange: FakeKraken) -> None:
    """Open streams and calls that are never answered do not keep it."""
    exchange.fault("black_hole")
    hanging = Stream(exchange)
    caller = socket.create_connection(("127.0.0.1", exchange.port))
    caller.sendall(b"GET /0/public/Time HTTP/1.1\r\nHost: x\r\n\r\n")
    assert exchange.wait_for(lambda e: e.count("Time") and e.ws_connections)
    exchange.stop()
    assert exchange.ws_connections == 0
    hanging.close()
    caller.close()


def test_port_in_use_is_said(exchange: FakeKraken) -> None:
    """The second one raises, and leaves no thread."""
    second = FakeKraken(port=exchange.port)
    with pytest.raises(OSError, match="in use"):
        second.start()


def test_listening_can_stop_and_go_on(exchange: FakeKraken, stream: Stream) -> None:
    """Streams are dropped, new ones refused, and later taken at the same address."""
    exchange.stop_listening()
    with pytest.raises((ConnectionError, websocket.WebSocketException)):
        stream.next()
    with pytest.raises(ConnectionError):
        Stream(exchange)
    exchange.resume()
    again = Stream(exchange)
    assert again.next()["channel"] == "status"
    again.close()


def test_fixture_for_others_is_a_running_exchange(
    request: pytest.FixtureRequest, session: requests.Session
) -> None:
    """`from fake_kraken import kraken_exchange` is all that a test of others needs."""
    assert kraken_exchange is fake_kraken.kraken_exchange
    exchange = request.getfixturevalue("kraken_exchange")
    assert Client(exchange, session).ok("SystemStatus")["status"] == "online"


def test_sockets_send_at_once(exchange: FakeKraken, stream: Stream) -> None:
    """Nagle's algorithm is off: it would hold small frames back."""
    found = [c.transport for c in exchange._clients if c.transport is not None]
    options = [
        transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        for transport in found
    ]
    assert len(options) == 1
    assert all(options)


# ---------------------------------------------------------------------------------- the stream


def test_stream_begins_with_its_status(exchange: FakeKraken) -> None:
    """Before anything is asked for; the connection id is beyond a signed 64-bit number."""
    stream = Stream(exchange)
    frame = stream.next()
    assert (frame["channel"], frame["type"]) == ("status", "update")
    assert frame["data"][0]["system"] == "online"
    assert frame["data"][0]["connection_id"] > 2**63
    exchange.set_system_status("cancel_only")
    assert stream.next()["data"][0]["system"] == "cancel_only"
    stream.close()


def test_ticker_is_acknowledged_and_followed(exchange: FakeKraken, stream: Stream) -> None:
    """One ack a symbol with the same req_id, a snapshot each, then an update a price."""
    ack = stream.ask("BTC/USD", "ETH/USD")
    assert (ack["method"], ack["req_id"], ack["success"]) == ("subscribe", 7, True)
    assert ack["result"] == {"channel": "ticker", "symbol": "BTC/USD", "snapshot": True}
    assert ack["time_in"] <= ack["time_out"]
    snapshot = stream.next()
    assert (snapshot["type"], snapshot["data"][0]["last"]) == ("snapshot", 50000)
    assert stream.next()["result"]["symbol"] == "ETH/USD"
    assert stream.next()["data"][0]["symbol"] == "ETH/USD"
    exchange.set_price("XBTUSD", "50100.5")
    update = stream.next()
    assert (update["type"], update["channel"]) == ("update", "ticker")
    row = update["data"][0]
    assert (row["last"], row["bid"], row["ask"]) == (
        Decimal("50100.5"),
        Decimal("50100.4"),
        Decimal("50100.6"),
    )
    assert (row["change"], row["change_pct"]) == (Decimal("100.5"), Decimal("0.20"))


def test_trades_are_streamed_as_sweeps(exchange: FakeKraken, stream: Stream) -> None:
    """Without a snapshot unless asked for; several trades are one frame."""
    ack = stream.ask("BTC/USD", channel="trade")
    assert ack["result"]["snapshot"] is False
    exchange.set_prices("XBTUSD", [50001, 50000], at=1_700_000_000.25)
    frame = stream.next()
    assert [(t["price"], t["side"], t["trade_id"]) for t in frame["data"]] == [
        (50001, "buy", 1),
        (50000, "sell", 2),
    ]
    assert frame["data"][0]["timestamp"] == "2023-11-14T22:13:20.250000Z"
    stream.ask("BTC/USD", method="unsubscribe", channel="trade")
    assert stream.ask("BTC/USD", channel="trade", snapshot=True)["success"] is True
    assert (snapshot := stream.next())["type"] == "snapshot"
    assert len(snapshot["data"]) == 2


def test_ticker_can_come_without_its_snapshot(stream: Stream) -> None:
    """Who asks for none gets none."""
    assert stream.ask("BTC/USD", snapshot=False)["result"]["snapshot"] is False
    assert stream.pong()["method"] == "pong"


@pytest.mark.parametrize(
    ("symbol", "error"),
    [
        ("XBT/USD", "Currency pair not supported XBT/USD"),
        ("btc/usd", "Currency pair not supported btc/usd"),
        ("BTCUSD", "Currency pair not in ISO 4217-A3 format BTCUSD"),
        ("*", "Currency pair not in ISO 4217-A3 format *"),
    ],
)
def test_symbol_is_refused_by_itself(stream: Stream, symbol: str, error: str) -> None:
    """An error is a string, with the symbol and without channel or result; others go on."""
    answer = stream.ask(symbol, "BTC/USD")
    assert (answer["error"], answer["success"], answer["symbol"]) == (error, False, symbol)
    assert (answer["req_id"], answer["method"]) == (7, "subscribe")
    assert not {"result", "channel"} & set(answer)
    assert stream.next()["success"] is True


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"channel": "status"}, "Symbol(s) not found"),
        ({"channel": "heartbeat"}, "Subscription name invalid"),
        ({"channel": ["ticker"]}, "Subscription name invalid"),
        ({"channel": "ticker"}, "Symbol(s) not found"),
        ({"channel": "ticker", "symbol": "BTC/USD"}, "Symbol(s) not found"),
        ([], "Subscription name invalid"),
        (None, "Subscription name invalid"),
    ],
)
def test_subscription_without_sense_is_refused(stream: Stream, params: object, error: str) -> None:
    """A wrong channel, no symbols, or a symbol that is no list."""
    stream.send({"method": "subscribe", "params": params})
    answer = stream.next()
    assert (answer["error"], answer["success"]) == (error, False)


@pytest.mark.parametrize("text", ["{", "[]", "1", '"x"', "[" * 100_000, ""])
def test_message_that_is_none_is_refused(stream: Stream, text: str) -> None:
    """And the stream lives on."""
    stream.send(text)
    assert stream.next() == {"error": "Malformed request", "success": False}
    assert stream.pong()["method"] == "pong"


def test_method_that_is_none_is_refused(stream: Stream) -> None:
    """With its req_id."""
    stream.send({"method": ["x"], "req_id": 3})
    assert stream.next() == {"error": "Method not found", "success": False, "req_id": 3}


def test_subscription_is_made_once_and_ended_once(exchange: FakeKraken, stream: Stream) -> None:
    """Twice is an error that harms nothing; after the end no price comes."""
    stream.ask("BTC/USD", snapshot=False)
    assert stream.ask("BTC/USD")["error"] == "Already subscribed"
    assert exchange.is_subscribed("BTC/USD")
    ended = stream.ask("BTC/USD", method="unsubscribe")
    assert ended["result"] == {"channel": "ticker", "symbol": "BTC/USD"}
    assert stream.ask("BTC/USD", method="unsubscribe")["error"] == "Subscription Not Found"
    exchange.set_price("XBTUSD", 60000)
    assert stream.pong()["method"] == "pong"
    assert not exchange.is_subscribed("BTC/USD")


def test_pings_of_both_kinds_are_answered(stream: Stream) -> None:
    """The message with a text frame, the control frame with another."""
    assert stream.pong()["req_id"] == 1
    stream.socket.ping(b"hello")
    assert stream.socket.recv_data(control_frame=True) == (websocket.ABNF.OPCODE_PONG, b"hello")


def test_closing_is_answered(exchange: FakeKraken, stream: Stream) -> None:
    """A close frame is met by one, and the stream is gone."""
    stream.socket.send_close(1000)
    opcode, _ = stream.socket.recv_data(control_frame=True)
    assert opcode == websocket.ABNF.OPCODE_CLOSE
    assert exchange.wait_for(lambda e: e.ws_connections == 0)


def test_hearts_beat_for_subscribers_alone() -> None:
    """Once there is a subscription and nothing else to say."""
    with FakeKraken(heartbeat_seconds=0.05) as exchange:
        idle, busy = Stream(exchange), Stream(exchange)
        busy.next()
        busy.ask("BTC/USD", snapshot=False)
        assert [busy.next() for _ in range(3)] == [{"channel": "heartbeat"}] * 3
        idle.next()
        assert idle.pong()["method"] == "pong"
        idle.close()
        busy.close()


def test_streams_can_be_dropped(exchange: FakeKraken, stream: Stream) -> None:
    """A reset, and not an orderly end."""
    exchange.drop_connections()
    with pytest.raises(ConnectionResetError):
        stream.next()
    assert (exchange.ws_connections, exchange.ws_connections_made) == (0, 1)


def test_stream_that_is_gone_is_forgotten(exchange: FakeKraken, stream: Stream) -> None:
    """Prices go on, and messages are remembered."""
    stream.ask("BTC/USD")
    stream.plain.close()
    assert exchange.wait_for(lambda e: e.ws_connections == 0)
    exchange.set_price("XBTUSD", 60000)
    assert [message["method"] for message in exchange.ws_messages] == ["subscribe"]


# ---------------------------------------------------------------------------------- faults


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
    assert client.exchange.placed_count() == 1


def delayed_action(client: Client, stream: Stream) -> None:
    """delayed_action: what comes after its deadline is not acted upon."""
    client.exchange.fault("delayed_action", seconds=0.05)
    client.place()
    deadline = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 10))
    caller = threading.Thread(target=set_ahead, args=(client.exchange, 20.0))
    caller.start()
    client.exchange.fault("delayed_action", seconds=0.2)
    client.exchange._faults.reverse()
    answer = client.post("AddOrder", {**STOP, "deadline": deadline})
    caller.join()
    assert answer["error"] == ["EService:Deadline elapsed"]


def set_ahead(exchange: FakeKraken, seconds: float) -> None:
    """Let Kraken's clock jump once the second order has arrived."""
    exchange.wait_for(lambda e: e.count("AddOrder") == 2)
    exchange.clock_offset = seconds


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
        delayed_reply, delayed_action, black_hole, reset_mid_body, error, nonce_refused,
        open_orders_lag, closed_orders_lag, mute, ack_without_data, silent, refuse, no_ack,
        refuse_connect, msg_rate, bad_frames, drop,
    )},
    "lost_reply": lost,
    "http_502": edge("http_502", 502),
    "http_504": edge("http_504", 504),
    "http_520": edge("http_520", 520),
    "html": edge("html", 200),
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
    ],
)
def test_fault_that_is_none_is_refused(client: Client, options: dict[str, Any]) -> None:
    """Here and over the wire, with a sentence."""
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        client.exchange.fault(**options)
    response = client.control("fault", options)
    assert response.status_code == 400
    assert response.json()["error"].startswith("fault: ")
    assert client.exchange._faults == []


@pytest.mark.parametrize("kind", [web.WebSocketResponse, web.StreamResponse])
def test_client_that_vanishes_before_its_answer_is_no_error(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: Any
) -> None:
    """A connection that is gone in its handshake, or before its answer, leaves no traceback."""
    real = kind.prepare

    async def vanish(response: Any, request: web.BaseRequest) -> Any:
        assert request.transport is not None
        request.transport.abort()
        return await real(response, request)

    client.exchange.fault("reset_mid_body", count=1)
    with monkeypatch.context() as patch:
        patch.setattr(kind, "prepare", vanish)
        with pytest.raises((OSError, websocket.WebSocketException)):
            Stream(client.exchange) if kind is web.WebSocketResponse else client.get("Time")
    client.exchange.clear_faults()
    assert client.ok("Time")["unixtime"]
    assert [r for r in caplog.records if r.levelname == "ERROR"] == []


# ---------------------------------------------------------------------------------- control


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


# ---------------------------------------------------------------------------------- prices


HEADER = "timestamp,open,high,low,close,volume\n"


def test_replay_is_read_as_minutes(tmp_path: Path) -> None:
    """The open comes first, the close last, and of high and low the nearer one first."""
    file = tmp_path / "replay.csv"
    rows = (
        "2022-01-31 23:58:00.000000,100,101,90,95,1\n2022-01-31T23:59:00+00:00,100,120,99,100,2\n"
    )
    file.write_text("\ufeff" + HEADER + rows, encoding="utf-8")
    minutes = list(read_replay(file))
    assert [[int(p) for p in minute.prices] for minute in minutes] == [
        [100, 101, 90, 95],
        [100, 99, 120, 100],
    ]
    assert isinstance(minutes[0], Minute)
    assert minutes[0].at.isoformat() == "2022-01-31T23:58:00+00:00"


BAD_REPLAYS = [
    ("time,price\n1,2\n", ("line 1", "no column timestamp, open", "header")),
    (HEADER + "2022-01-31,1,x,1,1,1\n", ("line 2", "high", "'x'", "positive number")),
    (HEADER + "2022-01-31,1,1,1,1,1\n2022-01-31,1,1,0,1,1\n", ("line 3", "low", "'0'")),
    (HEADER + "2022-01-31,1,1\n", ("line 2", "low", "''")),
    (HEADER + "yesterday,1,1,1,1,1\n", ("line 2", "timestamp", "'yesterday'", "2022-01-31")),
]


@pytest.mark.parametrize(("text", "said"), BAD_REPLAYS)
def test_replay_that_cannot_be_read_is_named(
    tmp_path: Path, text: str, said: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """File, line, field, value and cure, before anything is served."""
    file = tmp_path / "replay.csv"
    file.write_text(text, encoding="utf-8")
    assert fake_kraken.main(["--port", "0", "--replay", str(file)]) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"Cannot run: {file} ")
    assert [part for part in said if part not in message] == []


def test_replay_of_other_bytes_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is no UTF-8 is said to be none."""
    file = tmp_path / "replay.csv"
    file.write_bytes(HEADER.encode() + b"\xff\xff")
    assert fake_kraken.main(["--port", "0", "--replay", str(file)]) == 1
    assert "write it as CSV in UTF-8" in capsys.readouterr().err


def test_made_up_prices_are_the_same_for_the_same_seed() -> None:
    """A random walk in whole ticks, never below one."""
    start, tick = Decimal("50000.0"), Decimal("0.1")
    paths = [list(itertools.islice(random_path(start, tick, seed), 50)) for seed in (1, 1, 2)]
    assert paths[0] == paths[1] != paths[2]
    assert all(price % tick == 0 for price in paths[0])
    assert list(itertools.islice(random_path(tick, tick, 1), 3)) == [tick] * 3


# ---------------------------------------------------------------------------------- the program


@pytest.fixture
def program() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Hand out a starter of the program as a process, which is ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*args: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "fake_kraken", *args]
        env, pipe = os.environ | {"PYTHONPATH": str(ROOT)}, subprocess.PIPE
        started.append(subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


Start = Callable[..., "subprocess.Popen[str]"]


def greeting_of(process: "subprocess.Popen[str]") -> dict[str, str]:
    """Return what the program says at its start, by name."""
    assert process.stdout is not None
    lines = [process.stdout.readline().split(maxsplit=1) for _ in range(4)]
    return {name: value.strip() for name, value in lines}


def test_program_serves_until_it_is_ended(program: Start, session: requests.Session) -> None:
    """It says both addresses and the key pair it accepts, which is so; SIGTERM ends it with 0."""
    process = program("--port", "0", "--key", "mine", "--secret", "eHh4", "--fault", "no_ack")
    said = greeting_of(process)
    assert (said["key"], said["secret"]) == ("mine", "eHh4")
    assert said["stream"] == said["REST"].replace("http", "ws") + "/v2"
    twin = FakeKraken(key=said["key"], secret=said["secret"])
    twin.port = int(said["REST"].rsplit(":", 1)[1])
    assert Client(twin, session).post("Balance")["error"] == []
    process.send_signal(signal.SIGTERM)
    assert process.wait(LONG) == (0 if os.name == "posix" else 1)


def test_program_plays_a_replay(program: Start, tmp_path: Path, session: requests.Session) -> None:
    """Prices of the file, with its dates."""
    file = tmp_path / "replay.csv"
    file.write_text(HEADER + "2022-01-31 23:59:00,101,104,100,103,1\n", encoding="utf-8")
    process = program("--port", "0", "--replay", str(file), "--speed", "1000")
    url = greeting_of(process)["REST"] + "/0/public/Trades?pair=XBTUSD"
    rows: list[Any] = []
    end = time.monotonic() + LONG
    while not rows and time.monotonic() < end:
        rows = session.get(url, timeout=LONG).json()["result"]["XXBTZUSD"]
    assert [row[0] for row in rows] == ["101.0", "100.0", "104.0", "103.0"]
    assert int(rows[0][2]) == 1643673540
    process.send_signal(signal.SIGINT)
    assert process.wait(LONG) == (0 if os.name == "posix" else 1)


def played(
    monkeypatch: pytest.MonkeyPatch, prices: int, *args: str
) -> list[tuple[str, list[Decimal]]]:
    """Return the first prices that the program plays; then it is ended."""
    seen: list[tuple[str, list[Decimal]]] = []
    handlers: dict[int, Callable[..., None]] = {}

    def set_prices(self: FakeKraken, pair: str, prices_: Any, at: float | None = None) -> None:
        seen.append((pair, list(prices_)))
        if len(seen) == prices:
            handlers[signal.SIGTERM]()

    monkeypatch.setattr(
        signal, "signal", lambda number, handler: handlers.update({number: handler})
    )
    monkeypatch.setattr(FakeKraken, "set_prices", set_prices)
    assert fake_kraken.main(["--port", "0", "--speed", "1000", *args]) == 0
    return seen


def test_program_plays_made_up_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk of the pair that is asked for, around its price."""
    seen = played(monkeypatch, 3, "--pair", "ETHUSD", "--seed", "5")
    expected = itertools.islice(random_path(Decimal("4000.00"), Decimal("0.01"), 5), 3)
    assert seen == [("ETHUSD", [price]) for price in expected]


def test_program_plays_a_script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Rows of seconds, pair and price."""
    file = tmp_path / "script.csv"
    file.write_text("seconds,pair,price\n0,XBTUSD,1\n1.5, ETH/USD ,2.5\n", encoding="utf-8")
    seen = played(monkeypatch, 2, "--script", str(file))
    assert seen == [("XBTUSD", [Decimal(1)]), ("ETH/USD", [Decimal("2.5")])]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("x,XBTUSD,1", "seconds: 'x'"),
        ("NaN,XBTUSD,1", "seconds: 'NaN'"),
        ("-1,XBTUSD,1", "seconds: '-1'"),
        ("1,NOPE,1", "pair: 'NOPE'"),
        ("1,XBTUSD,-1", "price: '-1'"),
    ],
)
def test_script_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], row: str, said: str
) -> None:
    """As a replay is."""
    file = tmp_path / "script.csv"
    file.write_text(f"seconds,pair,price\n{row}\n", encoding="utf-8")
    assert fake_kraken.main(["--port", "0", "--script", str(file)]) == 1
    assert f"{file} line 2, {said}" in capsys.readouterr().err


def test_program_says_why_it_cannot_begin(
    exchange: FakeKraken, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Port in use, secret, pair, missing file: a sentence and 1."""
    for args, said in (
        (["--port", str(exchange.port)], "in use"),
        (["--port", "0", "--secret", "?"], "not base64"),
        (["--port", "0", "--pair", "NOPE"], "Unknown asset pair"),
        (["--port", "0", "--replay", str(tmp_path / "none.csv")], "none.csv"),
    ):
        assert fake_kraken.main(args) == 1
        message = capsys.readouterr().err
        assert said in message
        assert message.startswith("Cannot run: ")


@pytest.mark.parametrize(
    "args",
    [["--port", "x"], ["--port", "70000"], ["--speed", "0"], ["--speed", "inf"], ["--fault", "x"]],
)
def test_option_that_makes_no_sense_is_refused(
    args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """With usage, and 2."""
    with pytest.raises(SystemExit) as caught:
        fake_kraken.main(args)
    assert caught.value.code == 2
    assert args[0] in capsys.readouterr().err
