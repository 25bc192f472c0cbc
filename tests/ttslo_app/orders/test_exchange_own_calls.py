"""A caller's own client, or a call that was put in the place of one: it sees every order."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest

from fake_kraken import FakeKraken
from kraken_api import KrakenAPI
from tests.kits.common.fresh_python import run_python
from tests.kits.orders.order_exchange_kit import ORDER, OURS, PAIR, deadline_of, kraken, place, said
from ttslo_app.orders.exchange import KrakenExchange

__all__ = ["kraken", "said"]


class OwnWay(KrakenAPI):
    """A caller's client, by whose own method all trailing stops are to go."""

    def add_trailing_stop_loss(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        assert not args
        self.taken = kwargs
        return {"txid": ["THEIRS"]}


def test_client_with_a_method_of_its_own_is_called_by_it_with_keywords() -> None:
    """The contract names that call, so whoever overrides it sees every order."""
    client = OwnWay("key", "secret", use_websocket=False)
    kraken = KrakenExchange(client, client, time.time, lambda *words, **fields: None)
    outcome = kraken.place(ORDER, OURS, "soon")
    assert outcome.txid == "THEIRS"
    assert client.taken == {
        "pair": PAIR,
        "direction": "sell",
        "volume": "0.01",
        "trailing_offset_percent": Decimal("1.25"),
        "trigger": "last",
        "cl_ord_id": OURS,
        "deadline": "soon",
    }


def test_method_that_was_put_on_one_client_is_called_too(kraken: KrakenExchange) -> None:
    """As callers and their tests do who replace it on an object."""
    calls: list[object] = []

    def own(**kwargs: object) -> dict[str, Any]:
        calls.append(kwargs["pair"])
        return {"txid": ["THEIRS"]}

    kraken._trading.add_trailing_stop_loss = own  # type: ignore[method-assign,assignment]  # as they do
    assert place(kraken) == "THEIRS"
    assert calls == [PAIR]


@pytest.mark.parametrize("place_of_it", ["client", "class"])
def test_own_add_order_sees_every_order(
    kraken: KrakenExchange, monkeypatch: pytest.MonkeyPatch, place_of_it: str
) -> None:
    """What was written out ahead goes by no way of its own past whoever replaced that call."""
    kraken.prepare(ORDER)
    calls: list[object] = []

    def own(*args: object, **kwargs: object) -> dict[str, Any]:
        calls.append((kwargs["pair"], kwargs["order_type"], kwargs["volume"], kwargs["cl_ord_id"]))
        return {"txid": ["THEIRS"]}

    monkeypatch.setattr(kraken._trading if place_of_it == "client" else KrakenAPI, "add_order", own)
    assert place(kraken) == "THEIRS"
    assert calls == [(PAIR, "trailing-stop", "0.01", OURS)]


_BEFORE = """
from kraken_api import KrakenAPI

def own(self, *args, **kwargs):
    print(kwargs["cl_ord_id"])
    return {"txid": ["THEIRS"]}

KrakenAPI.CALL = own
from ttslo_app.orders.exchange import KrakenExchange
from ttslo_app.orders.ports import OrderSent
from ttslo_app.orders.request import OrderRequest

ORDER = OrderRequest("XXBTZUSD", "sell", "0.01", "+1.25%")

with KrakenAPI("key", "c2VjcmV0", "http://127.0.0.1:9", use_websocket=False) as api:
    kraken = KrakenExchange(api, api, lambda: 0.0, print)
    kraken.prepare(ORDER)
    assert kraken.place_batch([OrderSent(ORDER, "a"), OrderSent(ORDER, "b")], "soon") is None
    assert kraken.place(ORDER, "c", "soon").txid == "THEIRS"
"""


@pytest.mark.parametrize("call", ["add_order", "add_trailing_stop_loss"])
def test_own_call_sees_every_order_also_where_it_was_there_before_the_program(call: str) -> None:
    """A caller's file puts it into the class, and imports the program after that."""
    assert run_python(_BEFORE.replace("CALL", call)) == "c"


class NeverForReal(KrakenAPI):
    """A caller's client by which nothing is ever placed."""

    def _query_private(self, method: str, params: Any = None) -> dict[str, Any]:
        if method == "AddOrder":
            params["validate"] = True
        return super()._query_private(method, params)


def test_client_that_changes_what_is_sent_has_its_way(exchange: FakeKraken) -> None:
    """Callers may override the call of Kraken itself; what was prepared goes by no other."""
    key, secret, url = exchange.api_key, exchange.api_secret, exchange.rest_url
    with NeverForReal(key, secret, url, use_websocket=False) as client:
        kraken = KrakenExchange(client, client, time.time, lambda *words, **fields: None)
        kraken.prepare(ORDER)
        assert kraken.place(ORDER, OURS, deadline_of(kraken)).txid is None
        assert not client.query_open_orders()["open"]
    (sent,) = [r.params for r in exchange.requests if r.endpoint == "AddOrder"]
    assert sent["validate"] == "true"
