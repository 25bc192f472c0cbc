"""Kraken as the order thread sees it, against the embedded exchange."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from fake_kraken import FakeKraken
from kraken_api import KrakenAPI
from krakenlink.errors import (
    AuthenticationError,
    KrakenAPIError,
    KrakenConnectionError,
    KrakenError,
)
from krakenlink.rest.verdicts import OutcomeKind, Pause
from ttslo_app.clocks import KrakenClock
from ttslo_app.orders.exchange import KrakenExchange, mark_of
from ttslo_app.orders.ports import OrderSent
from ttslo_app.orders.request import OrderRequest

PAIR = "XXBTZUSD"
ORDER = OrderRequest(PAIR, "sell", "0.01", "+1.25%")
OURS = "10dbbc38-8940-5a21-9d7b-b5c9342ca547"
THEIRS = "20dbbc38-8940-5a21-9d7b-b5c9342ca547"


@pytest.fixture
def said() -> list[str]:
    """Hand out what a person was told, level and message in one text."""
    return []


@pytest.fixture
def kraken(exchange: FakeKraken, said: list[str]) -> Iterator[KrakenExchange]:
    """Hand out the exchange as the order thread sees it, with the trading key alone."""
    key, secret, url = exchange.api_key, exchange.api_secret, exchange.rest_url
    trading = KrakenAPI(key, secret, url, use_websocket=False)
    reading = KrakenAPI(base_url=url, use_websocket=False)
    yield KrakenExchange(
        trading, reading, time.time, lambda *words, **fields: said.append(" ".join(words))
    )
    trading.close()
    reading.close()


def deadline_of(kraken: KrakenExchange, seconds: float = 5.0) -> str:
    """Return the moment `seconds` ahead of Kraken's clock, as the order thread writes it."""
    moment = datetime.fromtimestamp(kraken.now() + seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def place(kraken: KrakenExchange, cl_ord_id: str = OURS) -> str:
    """Place `ORDER` and return its id."""
    outcome = kraken.place(ORDER, cl_ord_id, deadline_of(kraken))
    assert outcome.kind is OutcomeKind.PLACED, outcome
    assert outcome.txid
    return outcome.txid


# --- Kraken's clock --------------------------------------------------------------------------


@pytest.mark.parametrize(("offset", "words"), [(30.0, "behind"), (-30.0, "ahead of")])
def test_clock_that_is_off_is_allowed_for_and_told_once(
    exchange: FakeKraken, kraken: KrakenExchange, said: list[str], offset: float, words: str
) -> None:
    """Half a minute between the clocks: the deadline is Kraken's, the order placed, all is said."""
    exchange.clock_offset = offset
    kraken.set_clock()
    kraken.set_clock()
    (told,) = said
    assert re.fullmatch(rf"WARNING This machine's clock is (29|30|31) s {words} Kraken's.*", told)
    assert abs(kraken.now() - exchange.now()) < 2
    assert place(kraken) == exchange.orders[0]["txid"]


def test_clock_that_goes_wrong_again_is_told_again(
    exchange: FakeKraken, kraken: KrakenExchange, said: list[str]
) -> None:
    """One word each time that it goes wrong, and one once it is right."""
    for offset in (30.0, 0.0, 30.0):
        exchange.clock_offset = offset
        kraken.set_clock()
    assert [words.split()[0] for words in said] == ["WARNING", "INFO", "WARNING"]


@pytest.mark.parametrize("offset", [30.0, -60.0])
def test_clock_that_is_off_unnoticed_refuses_for_now(
    exchange: FakeKraken, kraken: KrakenExchange, offset: float
) -> None:
    """Before the clocks are compared a wrong deadline never places, and never ends the row."""
    exchange.clock_offset = offset
    outcome = kraken.place(ORDER, OURS, deadline_of(kraken, 20.0))
    is_unknown = outcome.kind is OutcomeKind.UNKNOWN  # the word `elapsed` is looked into
    assert is_unknown or (outcome.kind is OutcomeKind.REFUSED and outcome.heals)
    assert exchange.placed_count() == 0


def test_deadline_that_is_refused_lets_the_clocks_be_compared(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """The next try goes by Kraken's clock, whenever this machine's was set."""
    exchange.clock_offset = -60.0
    outcome = kraken.place(ORDER, OURS, deadline_of(kraken, 20.0))
    assert outcome.kind is OutcomeKind.REFUSED
    assert place(kraken) == exchange.orders[0]["txid"]


def test_clocks_that_agree_are_no_news(kraken: KrakenExchange, said: list[str]) -> None:
    """A second of difference, which is as well as it is known, is not worth a word."""
    kraken.set_clock()
    assert not said
    assert abs(kraken.now() - time.time()) < 2


@pytest.mark.parametrize(
    ("offset", "known"),
    [(0.0, 0.0), (0.9, 0.9), (2.5, 2.5), (-2.5, -2.5)],
    ids=["right", "a little behind", "behind", "ahead"],
)
def test_clock_is_known_better_the_more_often_it_is_asked(
    monkeypatch: pytest.MonkeyPatch, offset: float, known: float
) -> None:
    """Kraken tells whole seconds; asked at many parts of a second it tells more than that."""
    wall = 1000.0
    monkeypatch.setattr(KrakenAPI, "server_time", lambda self: int(wall + offset))
    api = KrakenAPI(use_websocket=False)
    clock = KrakenClock(lambda: wall, lambda: wall, lambda *words, **fields: None)
    kraken = KrakenExchange(api, api, lambda: wall, lambda *words, **fields: None, clock)
    for _ in range(50):
        wall += 60.13
        kraken.set_clock()
    assert kraken.now() - wall == pytest.approx(known, abs=0.06)
    offset -= 30  # it is set
    kraken.set_clock()
    assert kraken.now() - wall == pytest.approx(known - 30, abs=1)
    api.close()


def test_clock_that_cannot_be_asked_keeps_the_old_estimate(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """A failed question raises and leaves what was known."""
    exchange.clock_offset = 30.0
    kraken.set_clock()
    exchange.fault("http_502", endpoint="Time")
    with pytest.raises(KrakenConnectionError):
        kraken.set_clock()
    assert kraken.now() - time.time() > 25


# --- placing ---------------------------------------------------------------------------------


def test_order_goes_out_to_the_letter(exchange: FakeKraken, kraken: KrakenExchange) -> None:
    """What was written down is what is sent, with the id, the deadline and the last price."""
    deadline = deadline_of(kraken)
    kraken.place(ORDER, OURS, deadline)
    (sent,) = [r.params for r in exchange.requests if r.endpoint == "AddOrder"]
    assert sent == {
        "ordertype": "trailing-stop",
        "type": "sell",
        "pair": PAIR,
        "volume": "0.01",
        "price": "+1.25%",
        "trigger": "last",
        "cl_ord_id": OURS,
        "deadline": deadline,
    }


@pytest.mark.parametrize("price", ["+5.00%", "+0.333%", "+12%"])
def test_offset_reaches_kraken_as_it_was_written_down(
    exchange: FakeKraken, kraken: KrakenExchange, price: str
) -> None:
    """No number stands between the intent and the wire."""
    written = replace(ORDER, price=price)
    kraken.place(written, OURS, deadline_of(kraken))
    (sent,) = [r.params for r in exchange.requests if r.endpoint == "AddOrder"]
    assert sent["price"] == price


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


def test_order_goes_over_the_connection_that_was_warmed_up(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """No handshake stands between the crossing and the order."""
    kraken.warm_up()
    place(kraken)
    assert len({request.connection for request in exchange.requests}) == 1


def test_order_that_comes_too_late_may_be_tried_again(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """A deadline that was too near when it arrived says nothing against the row."""
    outcome = kraken.place(ORDER, OURS, deadline_of(kraken, 1.0))
    assert (outcome.kind, outcome.heals) == (OutcomeKind.REFUSED, True)
    assert outcome.cure == "It came too late for its deadline; the next one gets a new one."
    assert exchange.placed_count() == 0


def test_lost_answer_is_unknown_and_sent_once(exchange: FakeKraken, kraken: KrakenExchange) -> None:
    """Nothing on the way to Kraken sends an order a second time."""
    exchange.fault("lost_reply", endpoint="AddOrder")
    outcome = kraken.place(ORDER, OURS, deadline_of(kraken))
    assert outcome.kind is OutcomeKind.UNKNOWN
    assert exchange.count("AddOrder") == exchange.placed_count() == 1


def test_refused_nonce_proves_nothing(exchange: FakeKraken, kraken: KrakenExchange) -> None:
    """Something on the way may have sent the order twice, and the first copy may stand."""
    exchange.fault("nonce_refused", endpoint="AddOrder")
    first = kraken.place(ORDER, OURS, deadline_of(kraken))
    again = kraken.place(ORDER, OURS, deadline_of(kraken))
    assert (first.kind, again.kind) == (OutcomeKind.UNKNOWN, OutcomeKind.UNKNOWN)


@pytest.mark.parametrize(
    "text",
    [
        "EOrder:duplicate clOrdId",
        "EOrder:Duplicate client order id",
        "EOrder:cl_ord_id already in use",
    ],
)
def test_id_that_is_in_use_proves_that_its_order_stands(
    exchange: FakeKraken, kraken: KrakenExchange, text: str
) -> None:
    """Whoever gets this answer sends no other, and looks until the order is shown."""
    assert kraken.find(OURS, ORDER) is None
    exchange.fault("error", endpoint="AddOrder", text=text)
    outcome = kraken.place(ORDER, OURS, deadline_of(kraken))
    assert (outcome.kind, outcome.stands) == (OutcomeKind.UNKNOWN, True)


def test_refusal_says_its_cure_once(exchange: FakeKraken, kraken: KrakenExchange) -> None:
    """The reason is Kraken's word, and the cure is beside it and not inside it."""
    exchange.fault("error", endpoint="AddOrder", text="EOrder:Insufficient funds")
    outcome = kraken.place(ORDER, OURS, deadline_of(kraken))
    assert outcome.reason == "Kraken API error on AddOrder: EOrder:Insufficient funds"
    assert outcome.cure.startswith("Deposit funds")


# --- several orders in one request -------------------------------------------------------------

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


# --- checking --------------------------------------------------------------------------------


def test_check_of_a_good_order_places_nothing(exchange: FakeKraken, kraken: KrakenExchange) -> None:
    """A validation that Kraken would take is valid, and no order stands."""
    assert kraken.check(ORDER).kind is OutcomeKind.VALID
    assert exchange.placed_count() == 0


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        ("EOrder:Order minimum not met", "Raise the volume"),
        ("EOrder:Insufficient funds", "Deposit funds"),
        ("EGeneral:Permission denied", "The API key lacks a permission"),
    ],
)
def test_check_says_what_kraken_would_refuse(
    exchange: FakeKraken, kraken: KrakenExchange, error: str, cure: str
) -> None:
    """What would go wrong at the crossing comes back as a refusal with its cure."""
    exchange.fault("error", endpoint="AddOrder", text=error)
    outcome = kraken.check(ORDER)
    assert outcome.kind is OutcomeKind.REFUSED
    assert error in outcome.reason
    assert outcome.cure.startswith(cure)


def test_check_without_an_answer_is_unknown(exchange: FakeKraken, kraken: KrakenExchange) -> None:
    """Could not be checked is not the same as would be refused."""
    exchange.fault("http_502", endpoint="AddOrder")
    assert kraken.check(ORDER).kind is OutcomeKind.UNKNOWN


# --- finding ---------------------------------------------------------------------------------


def stay_open(exchange: FakeKraken, txid: str) -> None:
    """Leave the order alone."""


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (stay_open, "open"),
        (FakeKraken.fill_order, "closed"),
        (FakeKraken.cancel_order, "canceled"),
    ],
)
def test_order_is_found_open_and_closed(
    exchange: FakeKraken,
    kraken: KrakenExchange,
    end: Callable[[FakeKraken, str], None],
    status: str,
) -> None:
    """Whatever became of it, its own id finds it, among others of the same make."""
    place(kraken, THEIRS)
    txid = place(kraken)
    end(exchange, txid)
    place(kraken, THEIRS.replace("20", "30"))
    found = kraken.find(OURS, ORDER)
    assert found is not None
    assert (found.txid, found.status) == (txid, status)


def test_order_that_was_never_placed_is_not_found(kraken: KrakenExchange) -> None:
    """Another's order is not ours, though it is the same order."""
    place(kraken, THEIRS)
    assert kraken.find(OURS, ORDER) is None


@pytest.mark.parametrize("endpoint", ["Time", "OpenOrders", "ClosedOrders"])
def test_look_without_an_answer_raises(
    exchange: FakeKraken, kraken: KrakenExchange, endpoint: str
) -> None:
    """A question that was not answered is not taken for `there is none`."""
    exchange.fault("http_502", endpoint=endpoint)
    with pytest.raises(KrakenError):
        kraken.find(OURS, ORDER)


def two_keys(
    exchange: FakeKraken, trading_may: set[str], reading_may: set[str], account: str = ""
) -> tuple[KrakenAPI, KrakenAPI]:
    """Return a trading and a reading client with those permissions; `account`: the reader's."""
    exchange.add_key("TRADE", "dHJhZGU=", trading_may)
    exchange.add_key("READ", "cmVhZA==", reading_may, account=account)
    url = exchange.rest_url
    trading = KrakenAPI("TRADE", "dHJhZGU=", url, use_websocket=False)
    return trading, KrakenAPI("READ", "cmVhZA==", url, use_websocket=False)


QUERIES = {"query open", "query closed"}


@pytest.mark.parametrize("reading_may", [QUERIES, set()])
def test_key_that_sent_an_order_looks_for_it(exchange: FakeKraken, reading_may: set[str]) -> None:
    """Another key may be of another account, which sees nothing of the order."""
    exchange.add_account("other")
    trading, reading = two_keys(exchange, QUERIES | {"modify"}, reading_may, "other")
    with trading, reading:
        kraken = KrakenExchange(trading, reading, time.time, lambda level, text, **fields: None)
        txid = place(kraken)
        found = kraken.find(OURS, ORDER)
    assert found is not None
    assert found.txid == txid


def test_another_key_proves_that_an_order_is_there(exchange: FakeKraken) -> None:
    """A trading key that may not query is enough where a reading key sees the order."""
    trading, reading = two_keys(exchange, {"modify"}, QUERIES)
    with trading, reading:
        kraken = KrakenExchange(trading, reading, time.time, lambda level, text, **fields: None)
        txid = place(kraken)
        found = kraken.find(OURS, ORDER)
    assert found is not None
    assert found.txid == txid


def test_another_key_never_proves_that_an_order_is_not_there(exchange: FakeKraken) -> None:
    """What it does not see may stand in the account of the key that sent it."""
    trading, reading = two_keys(exchange, {"modify"}, QUERIES)
    with trading, reading:
        kraken = KrakenExchange(trading, reading, time.time, lambda level, text, **fields: None)
        with pytest.raises(AuthenticationError):
            kraken.find(OURS, ORDER)


def test_mark_of_a_key_tells_keys_apart_and_tells_none() -> None:
    """It stands in files, so the key must not be in it."""
    assert mark_of("KEY-1") == mark_of("KEY-1") != mark_of("KEY-2")
    assert "KEY" not in mark_of("KEY-1")
    assert mark_of(None) == ""


# --- watching --------------------------------------------------------------------------------


def test_watch_is_one_call_while_all_orders_stand(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """However many orders are watched, one OpenOrders tells of all."""
    txids = [place(kraken), place(kraken, THEIRS)]
    before = len(exchange.requests)
    seen = kraken.watch(txids)
    assert {s.status for s in seen.values()} == {"open"}
    assert [r.endpoint for r in exchange.requests[before:]] == ["OpenOrders"]


def test_watch_asks_after_orders_that_are_gone(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """An order that is not open any more is asked for by its id."""
    filled, stands = place(kraken), place(kraken, THEIRS)
    exchange.fill_order(filled)
    seen = kraken.watch([filled, stands])
    assert {t: s.status for t, s in seen.items()} == {filled: "closed", stands: "open"}
    assert (seen[filled].vol_exec, seen[filled].price) == ("0.01000000", "50000.00000")


def test_watch_of_many_gone_orders_keeps_to_fifty_a_call(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """Kraken's limit of QueryOrders is kept to, and no order is left out."""
    txids = [place(kraken, f"id-{n}") for n in range(51)]
    for txid in txids:
        exchange.fill_order(txid)
    assert set(kraken.watch(txids)) == set(txids)
    assert exchange.count("QueryOrders") == 2


def test_watch_is_not_blinded_by_an_order_that_kraken_does_not_know(
    exchange: FakeKraken,
    kraken: KrakenExchange,
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An id of another account or of a dry run is asked for slower and told; others are watched."""
    moments = iter([0.0, 1.0, 11.0, 12.0, 31.0, 32.0, 1000.0, 1001.0])
    monkeypatch.setattr("ttslo_app.orders.exchange.feed_clock", lambda: next(moments))
    txids = [place(kraken, f"id-{n}") for n in range(5)]
    for txid in txids[1:]:
        exchange.fill_order(txid)
    for _ in range(4):
        seen = kraken.watch([*txids, "DRY_RUN_ORDER_ID"])
        assert [seen[txid].status for txid in txids] == ["open"] + ["closed"] * 4
    assert len([text for text in said if "does not know the order DRY_RUN_ORDER_ID" in text]) == 1


def test_order_that_kraken_did_not_know_once_is_watched_again(
    exchange: FakeKraken, kraken: KrakenExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fresh order may be missing for a moment; its end is told all the same."""
    now = [0.0]
    monkeypatch.setattr("ttslo_app.orders.exchange.feed_clock", lambda: now[0])
    txid = place(kraken)
    exchange.fill_order(txid)
    exchange.fault("error", endpoint="QueryOrders", text="EOrder:Unknown order", count=1)
    assert kraken.watch([txid]) == {}
    now[0] = 60.0
    assert kraken.watch([txid])[txid].status == "closed"


def test_watch_that_is_refused_altogether_is_an_error(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """A key without the permission, or a limit, says nothing about an order."""
    txid = place(kraken)
    exchange.fill_order(txid)
    exchange.fault("error", endpoint="QueryOrders", text="EGeneral:Permission denied")
    with pytest.raises(KrakenAPIError, match="Permission denied"):
        kraken.watch([txid])


# --- markets ---------------------------------------------------------------------------------


def test_market_is_kraken_s_and_asked_for_once(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """Any spelling is one market, with Kraken's limits; the second question costs no call."""
    market = kraken.market_of("btc-usd")
    asked = len(exchange.requests)
    assert kraken.market_of("btc-usd") is market
    assert len(exchange.requests) == asked
    assert (market.name, market.rest_key, market.lot_decimals) == ("BTC/USD", PAIR, 8)
    assert (market.ordermin, market.costmin) == (Decimal("0.00005"), Decimal("0.5"))


def test_market_that_was_learned_costs_a_crossing_no_call(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """What the validation was told of a pair is not asked for again; a later telling counts."""
    pair = KrakenAPI(base_url=exchange.rest_url).resolve_pair(PAIR)
    asked = len(exchange.requests)
    market = kraken.learn("my btc", pair)
    assert (market.rest_key, market.costmin) == (PAIR, Decimal("0.5"))
    assert kraken.market_of("my btc") is market
    kraken.learn("my btc", replace(pair, costmin=Decimal(1)))
    assert kraken.market_of("my btc").costmin == 1
    assert len(exchange.requests) == asked


def test_market_that_kraken_does_not_have_is_a_lookup_error(kraken: KrakenExchange) -> None:
    """An unknown pair is said to be one."""
    with pytest.raises(LookupError):
        kraken.market_of("NOPE/USD")


def test_pair_that_the_listing_calls_closed_costs_its_order_no_call(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """The listing is of today or yesterday; Kraken decides when the order comes."""
    exchange.set_pair_status(PAIR, "cancel_only")
    market = kraken.market_of("btc-usd")
    exchange.set_pair_status(PAIR, "online")
    before = len(exchange.requests)
    assert kraken.market_of("btc-usd") is market
    place(kraken)
    assert [r.endpoint for r in exchange.requests[before:]] == ["AddOrder"]


def test_pair_that_is_closed_is_refused_by_kraken_and_may_heal(
    exchange: FakeKraken, kraken: KrakenExchange
) -> None:
    """The order is tried again: nothing here decides that it cannot be placed."""
    exchange.set_pair_status(PAIR, "cancel_only")
    outcome = kraken.place(ORDER, OURS, deadline_of(kraken))
    assert (outcome.kind, outcome.heals) == (OutcomeKind.REFUSED, True)


@pytest.mark.parametrize(
    ("text", "asks"),
    [("EOrder:Insufficient funds", 0), ("EGeneral:Invalid arguments:deadline", 1)],
)
def test_time_is_asked_for_only_where_a_deadline_was_refused(
    text: str, asks: int, kraken: KrakenExchange, exchange: FakeKraken
) -> None:
    """Any other refusal says nothing of the clock, and the next order does not wait for it."""
    kraken.set_clock()
    before = exchange.count("Time")
    exchange.fault("error", endpoint="AddOrder", text=text, count=1)
    outcome = kraken.place(ORDER, OURS, deadline_of(kraken))
    assert outcome.kind is OutcomeKind.REFUSED
    assert exchange.count("Time") - before == asks


# --- Kraken's clock cannot be read ---------------------------------------------------------------


def test_order_that_is_shown_stands_whatever_time_it_is(
    kraken: KrakenExchange, exchange: FakeKraken
) -> None:
    """To see that it is there nobody needs a clock."""
    txid = place(kraken)
    exchange.fault("http_502", endpoint="Time")
    found = kraken.find(OURS, ORDER)
    assert found is not None
    assert found.txid == txid


def test_absence_is_concluded_without_the_time_only_where_it_is_known(
    kraken: KrakenExchange, exchange: FakeKraken
) -> None:
    """A late copy may still come as long as nobody knows whether its deadline has passed."""
    deaf = exchange.fault("http_502", endpoint="Time")
    with pytest.raises(KrakenError):
        kraken.find(OURS, ORDER)
    deaf.clear()
    kraken.set_clock()
    exchange.fault("http_502", endpoint="Time")
    assert kraken.find(OURS, ORDER) is None


def test_absence_is_concluded_by_the_time_that_a_trade_has_told(exchange: FakeKraken) -> None:
    """The stream goes on while Kraken's clock cannot be asked for."""
    exchange.fault("http_502", endpoint="Time")
    key, secret, url = exchange.api_key, exchange.api_secret, exchange.rest_url
    clock = KrakenClock(time.time, time.monotonic, lambda *words, **fields: None)
    with KrakenAPI(key, secret, url, use_websocket=False) as trading:
        asked = KrakenExchange(trading, trading, time.time, lambda *words, **fields: None, clock)
        with pytest.raises(KrakenError):
            asked.find(OURS, ORDER)
        clock.hear(time.time(), time.monotonic())
        assert asked.find(OURS, ORDER) is None
