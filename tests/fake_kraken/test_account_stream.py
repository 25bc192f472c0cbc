"""The account's stream over real sockets: tokens, subscriptions, snapshots and numbers."""

import json
from collections.abc import Iterator

import pytest

from fake_kraken import FakeKraken
from fake_kraken.keys import USUAL
from tests.kits.exchange.account_kit import ask, events, follow, token_of
from tests.kits.exchange.exchange_kit import Client, Stream


@pytest.fixture
def stream(exchange: FakeKraken) -> Iterator[Stream]:
    """Hand out a connection to the account's stream that has got its `status` frame."""
    made = Stream(exchange, exchange.ws_auth_url)
    assert made.next()["channel"] == "status"
    yield made
    made.close()


# --- tokens ------------------------------------------------------------------------------------


def test_token_needs_its_permission(client: Client) -> None:
    """A key that may do all else gets none."""
    client.exchange.add_key("other", client.exchange.api_secret, USUAL - {"websocket"})
    denied = {"error": ["EGeneral:Permission denied"]}
    assert client.post("GetWebSocketsToken", key="other") == denied
    assert token_of(client) != token_of(client)


def test_stream_needs_the_permission_to_see_orders(stream: Stream, client: Client) -> None:
    """The token is one thing, what it shows another."""
    client.exchange.add_key("other", client.exchange.api_secret, {"websocket"})
    assert ask(stream, token_of(client, key="other"))["error"] == "EGeneral:Permission denied"


@pytest.mark.parametrize("token", ["", "made-up", None, 7])
def test_wrong_token_is_refused_and_the_socket_stays(
    stream: Stream, client: Client, token: object
) -> None:
    """In Kraken's words, and a right one is taken afterwards."""
    refused = ask(stream, token)
    assert (refused["success"], refused["error"]) == (False, "EAPI:Invalid token")
    assert follow(stream, client) == []


def test_token_lives_for_a_quarter_of_an_hour_and_longer_while_it_is_used(
    stream: Stream, client: Client
) -> None:
    """Unused it is too old then; used it opens another subscription at any time."""
    unused, used = token_of(client), token_of(client)
    ask(stream, used)
    client.exchange.clock_offset = 901.0
    other = Stream(client.exchange, client.exchange.ws_auth_url)
    other.next()
    assert ask(other, unused)["error"] == "ESession:Invalid session"
    assert ask(other, used)["success"] is True
    other.close()


def test_token_of_a_key_that_has_gone_opens_nothing(stream: Stream, client: Client) -> None:
    """Neither does one that an exchange on another port has made."""
    client.exchange.add_key("other", client.exchange.api_secret)
    token = token_of(client, key="other")
    client.exchange.revoke_key("other")
    assert ask(stream, token)["error"] == "ESession:Invalid session"


def test_token_shows_its_own_account_alone(stream: Stream, client: Client) -> None:
    """Somebody else's orders are none of ours."""
    exchange = client.exchange
    exchange.add_account("hers")
    exchange.add_key("her-key", exchange.api_secret, account="hers")
    assert ask(stream, token_of(client, key="her-key"))["success"] is True
    assert stream.next()["data"] == []
    client.place()
    theirs = client.post("AddOrder", {"pair": "XBTUSD", "type": "sell", "volume": "0.5",
        "ordertype": "trailing-stop", "price": "+10%"}, key="her-key")  # fmt: skip
    frame = stream.next()
    assert frame["data"][0]["order_id"] == theirs["result"]["txid"][0]


# --- subscriptions -----------------------------------------------------------------------------


def test_subscription_is_acknowledged_and_begins_with_what_is_open(
    stream: Stream, client: Client
) -> None:
    """What has ended is in no snapshot, and fills only where they are asked for."""
    txid, ended = client.place(), client.place()
    client.exchange.cancel_order(ended)
    accepted = ask(stream, token_of(client), snap_trades=True)
    assert accepted["result"] == {
        "channel": "executions",
        "maxratecount": 60,
        "snap_orders": True,
        "snap_trades": True,
    }
    (row,) = stream.next()["data"]
    assert (row["order_id"], row["symbol"]) == (txid, "BTC/USD")
    trades = stream.next()
    assert (trades["type"], trades["data"], trades["sequence"]) == ("snapshot", [], 2)
    client.exchange.fill_order(txid, "0.5")
    assert events(stream, 1) == [(3, "trade")]


def test_fills_of_before_are_shown_where_they_are_asked_for(stream: Stream, client: Client) -> None:
    """Without the orders, if those are not wanted."""
    client.exchange.fill_order(client.place())
    ask(stream, token_of(client), snap_orders=False, snap_trades=True)
    (row,) = stream.next()["data"]
    assert (row["exec_type"], row["last_qty"]) == ("trade", 0.5)


def test_events_have_numbers_without_a_hole(stream: Stream, client: Client) -> None:
    """Each has the next one, whatever order it is about."""
    assert follow(stream, client) == []
    client.place()
    client.exchange.set_price("XBTUSD", 60000)
    assert events(stream, 3) == [(2, "pending_new"), (3, "new"), (4, "status")]


def test_changes_in_between_can_be_left_out(stream: Stream, client: Client) -> None:
    """Then an order's beginning and end are told alone."""
    follow(stream, client, order_status=False)
    txid = client.place()
    client.exchange.set_price("XBTUSD", 60000)
    client.exchange.cancel_order(txid)
    assert events(stream, 2) == [(2, "new"), (3, "canceled")]


def test_second_subscription_and_a_leaving_without_one_are_refused(
    stream: Stream, client: Client
) -> None:
    """Once left, nothing is told; asked for anew, the numbers begin anew."""
    token = token_of(client)
    assert ask(stream, token, "unsubscribe")["error"] == "Subscription Not Found"
    ask(stream, token)
    stream.next()
    assert ask(stream, token)["error"] == "Already subscribed"
    assert ask(stream, token, "unsubscribe")["result"] == {"channel": "executions"}
    client.place()
    assert ask(stream, token)["success"] is True
    assert stream.next()["sequence"] == 1
    assert client.exchange.account_stream.followers == 1


@pytest.mark.parametrize("channel", ["ticker", "status", None])
def test_other_channels_are_not_served_here(stream: Stream, channel: object) -> None:
    """Prices have an address of their own."""
    answer = ask(stream, "any", channel=channel)
    assert answer["error"] == "Subscription name invalid"


def test_quiet_stream_beats(client: Client) -> None:
    """As soon as something is followed."""
    with FakeKraken(heartbeat_seconds=0.02) as exchange:
        own = Client(exchange, client.session)
        stream = Stream(exchange, exchange.ws_auth_url)
        assert stream.pong()["channel"] == "status"
        assert stream.next()["method"] == "pong"
        follow(stream, own)
        assert stream.next() == {"channel": "heartbeat"}
        stream.close()


def test_connection_that_goes_follows_nothing_any_more(stream: Stream, client: Client) -> None:
    """Its token is let go of with it."""
    follow(stream, client)
    assert client.exchange.account_stream.followers == 1
    stream.close()
    assert client.exchange.wait_for(lambda e: e.account_stream.followers == 0)
    client.place()


def test_engine_s_state_is_told_here_too(stream: Stream, exchange: FakeKraken) -> None:
    """Orders depend on it."""
    exchange.set_system_status("maintenance")
    assert stream.next()["data"][0]["system"] == "maintenance"


def test_snapshot_of_who_has_left_is_not_sent(stream: Stream, client: Client) -> None:
    """What was late for one subscription is not told to the next."""
    exchange, token = client.exchange, token_of(client)
    exchange.fault("account_late_snapshot", seconds=0.0, count=1)
    params = {"channel": "executions", "token": token}
    texts = [json.dumps({"method": f"{un}subscribe", "params": params}) for un in ("", "un", "")]
    (theirs,) = exchange.account_stream.clients

    def receive() -> None:
        for text in texts:
            exchange.account_stream._receive(theirs, text)

    exchange._ask(receive)  # all of it in one step, so that the late one comes after
    assert [stream.next()["success"] for _ in texts] == [True] * 3
    assert stream.next()["sequence"] == 1
    assert stream.pong()["method"] == "pong"
