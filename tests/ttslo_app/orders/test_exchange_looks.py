"""How the order thread finds its orders at the embedded exchange, and watches them."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from fake_kraken import FakeKraken
from kraken_api import KrakenAPI
from krakenlink.errors import (
    AuthenticationError,
    KrakenAPIError,
    KrakenError,
)
from tests.kits.orders.order_exchange_kit import (
    ORDER,
    OURS,
    QUERIES,
    THEIRS,
    kraken,
    one_key,
    place,
    said,
    two_keys,
)
from ttslo_app.clocks import KrakenClock
from ttslo_app.orders.exchange import KrakenExchange, mark_of

__all__ = ["kraken", "said"]

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
    assert not found.differs  # Kraken shows the pair by another of its names


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


@pytest.mark.parametrize(
    ("trading_may", "reading_may", "account"),
    [
        (QUERIES | {"modify"}, QUERIES, "other"),
        (QUERIES | {"modify"}, set(), "other"),
        ({"modify"}, QUERIES, ""),
    ],
)
def test_key_that_may_see_an_order_proves_that_it_is_there(
    exchange: FakeKraken, trading_may: set[str], reading_may: set[str], account: str
) -> None:
    """The one that sent it first: another may be of another account, which sees nothing of it."""
    exchange.add_account("other")
    trading, reading = two_keys(exchange, trading_may, reading_may, account)
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


def test_orders_are_read_with_the_reading_key_while_it_is_good(exchange: FakeKraken) -> None:
    """One that Kraken refuses would see no order, and neither would one that is not there."""
    trading, reading = two_keys(exchange, QUERIES | {"modify"}, set())
    with trading, reading, KrakenAPI(base_url=exchange.rest_url, use_websocket=False) as keyless:
        kraken = KrakenExchange(trading, reading, time.time, lambda level, text, **fields: None)
        txid = place(kraken)
        kraken.read_with_reader(False)
        assert kraken.watch([txid])[txid].status == "open"
        kraken.read_with_reader(True)
        with pytest.raises(KrakenAPIError):
            kraken.watch([txid])
        other = KrakenExchange(trading, keyless, time.time, lambda level, text, **fields: None)
        other.read_with_reader(True)
        assert other.watch([txid])[txid].status == "open"


def test_key_of_its_own_that_is_refused_a_look_is_not_asked_twice(exchange: FakeKraken) -> None:
    """There is no other key to ask with, and each question costs of Kraken's pace."""
    trading, keyless = one_key(exchange, {"modify"})
    with trading, keyless:
        kraken = KrakenExchange(trading, keyless, time.time, lambda level, text, **fields: None)
        with pytest.raises(AuthenticationError):
            kraken.find(OURS, ORDER)
    assert exchange.count("OpenOrders") == 1


def test_mark_of_a_key_tells_keys_apart_and_tells_none() -> None:
    """It stands in files, so the key must not be in it, and it must stay the same for ever."""
    assert mark_of("KEY-1") == "46dfa818ddf64ecd"
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
    asked = [r.params["txid"] for r in exchange.requests if r.endpoint == "QueryOrders"]
    assert asked.count("DRY_RUN_ORDER_ID") == 3  # and not again between 11 s and 31 s


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
