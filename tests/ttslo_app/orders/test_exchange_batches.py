"""Several orders in one request, as the order thread sends them to the embedded exchange."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from fake_kraken import FakeKraken
from kraken_api import KrakenAPI
from krakenlink.rest.verdicts import OutcomeKind, Pause
from tests.kits.orders.order_exchange_kit import (
    ORDER,
    OURS,
    THEIRS,
    deadline_of,
    kraken,
    place,
    said,
)
from ttslo_app.orders.exchange import KrakenExchange
from ttslo_app.orders.ports import OrderSent

__all__ = ["kraken", "said"]


SMALL = replace(ORDER, volume="0.001")
SENT = [OrderSent(SMALL, OURS), OrderSent(replace(SMALL, price="+2.5%"), THEIRS)]


def place_batch(kraken: KrakenExchange, *sent: OrderSent) -> list[tuple[OutcomeKind, bool]] | None:
    """Place orders together; return what is certain of each, and whether it heals."""
    outcomes = kraken.place_batch(sent or SENT, deadline_of(kraken))
    return None if outcomes is None else [(one.kind, one.heals) for one in outcomes]


def test_batch_is_one_request_and_each_order_is_what_was_written(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """Each has its own client id and its own terms; each outcome its own txid."""
    limited = replace(SMALL, ordertype="trailing-stop-limit", price2="-1%", oflags="fciq")
    outcomes = kraken.place_batch([*SENT[:1], OrderSent(limited, THEIRS)], deadline_of(kraken))
    assert outcomes is not None
    assert [one.txid for one in outcomes] == [order["txid"] for order in exchange.orders]
    assert [order["cl_ord_id"] for order in exchange.orders] == [OURS, THEIRS]
    assert exchange.orders[1]["descr"]["ordertype"] == "trailing-stop-limit"
    assert exchange.orders[1]["oflags"] == "fciq"
    assert exchange.count("AddOrderBatch") == 1
    assert exchange.count("AddOrder") == 0
    assert exchange.requests[-1].params["deadline"]


def test_order_of_a_batch_that_lacks_funds_is_refused_alone(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """The other stands."""
    much = OrderSent(replace(ORDER, volume="1000"), THEIRS)
    kinds = place_batch(kraken, SENT[0], much)
    assert kinds == [(OutcomeKind.PLACED, False), (OutcomeKind.REFUSED, True)]


def test_batch_that_is_refused_for_one_order_is_left_to_single_ones(
    exchange: FakeKraken, kraken: KrakenExchange, said: list[str]
) -> None:
    """Kraken has placed none of them, and the next batch is sent as a batch again."""
    bad = OrderSent(replace(ORDER, volume="0.00001"), THEIRS)
    assert place_batch(kraken, SENT[0], bad) is None
    assert exchange.placed_count() == 0
    assert place_batch(kraken) == [(OutcomeKind.PLACED, False)] * 2
    assert said == []


def test_batch_that_cannot_be_built_is_left_to_single_orders(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """What is wrong with one of them is said of that one."""
    bad = OrderSent(replace(ORDER, volume="-1"), THEIRS)
    assert place_batch(kraken, SENT[0], bad) is None
    assert exchange.count("AddOrderBatch") == 0


@pytest.mark.parametrize(
    "text", ["EGeneral:Permission denied", "EGeneral:Unknown method", "EAPI:Feature disabled"]
)
def test_key_that_takes_no_batch_is_told_once_and_asked_no_more(
    exchange: FakeKraken, kraken: KrakenExchange, said: list[str], text: str
) -> None:
    """Single orders go from then on, and nobody is asked again."""
    exchange.fault("error", endpoint="AddOrderBatch", text=text)
    assert place_batch(kraken) is None
    assert place_batch(kraken) is None
    assert exchange.count("AddOrderBatch") == 1
    assert exchange.placed_count() == 0
    (told,) = said
    assert text in told
    assert "Each order is now sent by itself" in told


def test_key_without_the_right_to_cancel_takes_single_orders(exchange: FakeKraken) -> None:
    """As Kraken has it, and not only as a fault does."""
    exchange.add_key("narrow", exchange.api_secret, {"modify", "query open", "query closed"})
    with KrakenAPI("narrow", exchange.api_secret, exchange.rest_url, use_websocket=False) as api:
        kraken = KrakenExchange(api, api, time.time, lambda *words, **fields: None)
        assert place_batch(kraken) is None
        assert place(kraken)


@pytest.mark.parametrize(
    ("fault", "placed"),
    [
        ({"name": "lost_reply"}, 2),
        ({"name": "reset_mid_body"}, 2),
        ({"name": "html", "when": "after"}, 2),
        ({"name": "html", "when": "before"}, 0),
        ({"name": "http_502", "when": "after"}, 2),
        ({"name": "http_502", "when": "before"}, 0),
        ({"name": "http_429"}, 0),
        ({"name": "nonce_refused"}, 0),
        ({"name": "sent_twice"}, 2),
        ({"name": "copied_past_nonce"}, 2),
        ({"name": "odd_result", "text": "null"}, 2),
        ({"name": "odd_result", "text": '{"orders": {}}'}, 2),
        ({"name": "odd_result", "text": '{"txid": ["OABC-D-E"]}'}, 2),
        ({"name": "batch_row_missing"}, 2),
        ({"name": "batch_row_more"}, 2),
        ({"name": "error", "text": "EService:Unavailable"}, 0),
        ({"name": "error", "text": "EGeneral:Internal error"}, 0),
        ({"name": "error", "text": "ENew:Nobody knows"}, 0),
        ({"name": "error", "text": "EOrder:Duplicate client order id"}, 0),
        ({"name": "error", "text": "EService:Deadline elapsed"}, 0),
    ],
    ids=str,
)
def test_doubt_about_a_batch_is_doubt_about_each_of_its_orders(
    exchange: FakeKraken, kraken: KrakenExchange, fault: dict[str, Any], placed: int
) -> None:
    """Whatever it is, the request is sent once, and none of them passes for placed or refused."""
    exchange.fault(endpoint="AddOrderBatch", **fault)
    outcomes = kraken.place_batch(SENT, deadline_of(kraken))
    assert outcomes is not None
    assert [(one.kind, one.stands) for one in outcomes] == [(OutcomeKind.UNKNOWN, False)] * 2
    assert exchange.placed_count() == placed
    assert exchange.count("AddOrderBatch") == 1
    assert exchange.count("AddOrder") == 0


def test_row_that_is_odd_is_doubt_about_its_order_alone(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """The other is known to stand."""
    exchange.fault("batch_row_odd", text='{"descr": {}}')
    kinds = place_batch(kraken)
    assert kinds == [(OutcomeKind.PLACED, False), (OutcomeKind.UNKNOWN, False)]


@pytest.mark.parametrize(
    ("text", "pause"),
    [
        ("EOrder:Rate limit exceeded", Pause.PAIR),
        ("EAPI:Rate limit exceeded", Pause.ACCOUNT),
        ("EAPI:Invalid key", Pause.KEY),
        ("EGeneral:Temporary lockout", Pause.LOCKOUT),
    ],
)
def test_refusal_for_pace_or_key_is_that_of_each_order(
    exchange: FakeKraken, kraken: KrakenExchange, text: str, pause: Pause
) -> None:
    """Single orders would meet the same, and are not tried."""
    exchange.fault("error", endpoint="AddOrderBatch", text=text)
    outcomes = kraken.place_batch(SENT, deadline_of(kraken))
    assert outcomes is not None
    assert [(one.kind, one.pause) for one in outcomes] == [(OutcomeKind.REFUSED, pause)] * 2


def test_batch_that_comes_too_late_heals_and_sets_the_clock(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """All of them get a new deadline; one by one they would meet the same."""
    outcomes = kraken.place_batch(SENT, deadline_of(kraken, 1.0))
    assert outcomes is not None
    assert [(one.kind, one.heals) for one in outcomes] == [(OutcomeKind.REFUSED, True)] * 2
    assert [request.endpoint for request in exchange.requests] == ["AddOrderBatch", "Time"]


def test_batch_that_could_not_leave_may_be_tried_again(kraken: KrakenExchange) -> None:
    """Nothing was sent, and nobody tries each of its orders in turn."""
    with KrakenAPI("k", "czNjcjN0", "http://127.0.0.1:9", use_websocket=False) as api:
        nobody = KrakenExchange(api, api, time.time, lambda *words, **fields: None)
        assert place_batch(nobody) == [(OutcomeKind.REFUSED, True)] * 2


@pytest.mark.parametrize("method", ["add_order", "add_trailing_stop_loss"])
def test_own_class_sees_every_order_and_no_batch(exchange: FakeKraken, method: str) -> None:
    """Whoever overrides how an order is placed counts or refuses each of them."""
    inherited = getattr(KrakenAPI, method)
    own = type("Own", (KrakenAPI,), {method: lambda self, *a, **k: inherited(self, *a, **k)})
    key, secret, url = exchange.api_key, exchange.api_secret, exchange.rest_url
    with own(key, secret, url, use_websocket=False) as api:
        kraken = KrakenExchange(api, api, time.time, lambda *words, **fields: None)
        assert place_batch(kraken) is None
    assert exchange.count("AddOrderBatch") == 0
