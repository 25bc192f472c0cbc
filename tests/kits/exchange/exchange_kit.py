"""A few lines that speak to the embedded exchange: REST, signed or not, and the stream."""

import base64
import contextlib
import hashlib
import hmac
import itertools
import json
import socket
import urllib.parse
from decimal import Decimal
from typing import Any

import requests
import websocket

from fake_kraken import FakeKraken

LONG = 60.0  # seconds that nothing here takes, unless it is broken

NONCES = itertools.count(1)

STOP = {"pair": "XBTUSD", "type": "sell", "ordertype": "trailing-stop", "volume": "0.5",
        "price": "+10%"}  # fmt: skip


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

    def batch(self, *rows: object, **more: object) -> Any:
        """Return the whole answer to a batch of the usual stop, each with its changes."""
        stop = {name: text for name, text in STOP.items() if name != "pair"}
        orders = [{**stop, **row} if isinstance(row, dict) else row for row in rows]
        params = {"pair": STOP["pair"], "orders": orders, **more}
        return self.post("AddOrderBatch", params, as_json=True)

    def control(self, what: str, order: object = None) -> requests.Response:
        """Reach a switch as another process does."""
        return self.session.post(f"{self.exchange.rest_url}/fake/{what}", json=order, timeout=LONG)


def sign(path: str, nonce: str, body: str, secret: str) -> str:
    """Return API-Sign as Kraken's guide has it."""
    message = path.encode() + hashlib.sha256((nonce + body).encode()).digest()
    digest = hmac.new(base64.b64decode(secret), message, hashlib.sha512).digest()
    return base64.b64encode(digest).decode()


class Stream:
    """One WebSocket connection to the exchange."""

    def __init__(self, exchange: FakeKraken, url: str | None = None) -> None:
        self.plain = socket.create_connection(("127.0.0.1", exchange.port))
        try:
            self.socket = websocket.create_connection(
                url or exchange.ws_url, timeout=LONG, socket=self.plain
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
