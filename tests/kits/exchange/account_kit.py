"""Lines that speak to the account's stream of the embedded exchange, and checks of its faults."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import websocket

from tests.kits.exchange.exchange_kit import Client, Stream


def token_of(client: Client, **options: Any) -> str:
    """Return a fresh token."""
    answer = client.post("GetWebSocketsToken", **options)
    assert answer["error"] == []
    assert answer["result"]["expires"] == 900
    return str(answer["result"]["token"])


def ask(stream: Stream, token: object, method: str = "subscribe", **params: Any) -> Any:
    """Subscribe, or the like, and return the answer."""
    stream.send({"method": method, "params": {"channel": "executions", "token": token, **params}})
    return stream.next()


def follow(stream: Stream, client: Client, **params: Any) -> list[Any]:
    """Subscribe, and return the rows of the snapshot."""
    assert ask(stream, token_of(client), **params)["success"] is True
    frame = stream.next()
    assert (frame["channel"], frame["type"], frame["sequence"]) == ("executions", "snapshot", 1)
    return list(frame["data"])


def events(stream: Stream, count: int) -> list[tuple[int | None, str]]:
    """Return number and kind of the next events."""
    frames = [stream.next() for _ in range(count)]
    return [(frame.get("sequence"), frame["data"][0]["exec_type"]) for frame in frames]


@contextmanager
def account_stream(client: Client) -> Iterator[Stream]:
    """Hand out a connection to the account's stream that has got its `status` frame."""
    stream = Stream(client.exchange, client.exchange.ws_auth_url)
    try:
        assert stream.next()["channel"] == "status"
        yield stream
    finally:
        stream.close()


# --- faults ------------------------------------------------------------------------------------

Check = Callable[[Client, Stream], None]


def numbered(fault: str, told: list[tuple[int | None, str]]) -> Check:
    """Return a check of what becomes of the events of an order that is placed and cancelled."""

    def check(client: Client, prices: Stream) -> None:
        with account_stream(client) as stream:
            follow(stream, client)
            client.exchange.fault(fault, count=None if told[0][0] is None else 1)
            client.exchange.cancel_order(client.place())
            assert events(stream, len(told)) == told

    return check


def account_drop(client: Client, prices: Stream) -> None:
    """account_drop: the account's stream is reset, and that of prices is not."""
    with account_stream(client) as stream:
        client.exchange.fault("account_drop", count=1)
        with pytest.raises((OSError, websocket.WebSocketException)):
            stream.next()
    assert prices.pong()["method"] == "pong"


def account_silent(client: Client, prices: Stream) -> None:
    """account_silent: nothing is answered, and prices go on."""
    with account_stream(client) as stream:
        client.exchange.fault("account_silent")
        stream.send({"method": "ping"})
        assert prices.pong()["method"] == "pong"
        client.exchange.clear_faults()
        stream.send({"method": "ping", "req_id": 2})
        assert stream.next()["req_id"] == 2


def account_refuse_connect(client: Client, prices: Stream) -> None:
    """account_refuse_connect: HTTP 503 here, and not there."""
    client.exchange.fault("account_refuse_connect")
    with pytest.raises(websocket.WebSocketBadStatusException, match="503"):
        Stream(client.exchange, client.exchange.ws_auth_url)
    Stream(client.exchange).close()


def account_mute(client: Client, prices: Stream) -> None:
    """account_mute: it is acknowledged, it lives, and it tells nothing."""
    client.exchange.fault("account_mute")
    with account_stream(client) as stream:
        assert ask(stream, token_of(client))["success"] is True
        client.place()
        assert stream.pong()["method"] == "pong"


def account_late_snapshot(client: Client, prices: Stream) -> None:
    """account_late_snapshot: what happens before it is told first, and is in it."""
    client.exchange.fault("account_late_snapshot", seconds=0.05)
    with account_stream(client) as stream:
        ask(stream, token_of(client))
        txid = client.place()
        assert events(stream, 2) == [(1, "pending_new"), (2, "new")]
        late = stream.next()
    assert (late["type"], late["sequence"], late["data"][0]["order_id"]) == ("snapshot", 3, txid)


def account_denied(client: Client, prices: Stream) -> None:
    """account_denied: as Kraken does where a permission is missing."""
    client.exchange.fault("account_denied", count=1)
    with account_stream(client) as stream:
        assert ask(stream, token_of(client))["error"] == "EGeneral:Permission denied"
        assert follow(stream, client) == []


def token_expired(client: Client, prices: Stream) -> None:
    """token_expired: the subscription goes on; the next message needs another token."""
    with account_stream(client) as stream:
        token = token_of(client)
        ask(stream, token)
        stream.next()
        client.exchange.fault("token_expired")
        assert ask(stream, token, "unsubscribe")["error"] == "ESession:Invalid session"
        client.place()
        assert events(stream, 2) == [(2, "pending_new"), (3, "new")]
        assert ask(stream, token_of(client), "unsubscribe")["success"] is True


CHECKS: dict[str, Check] = {
    **{check.__name__: check for check in (
        account_drop, account_silent, account_refuse_connect, account_mute,
        account_late_snapshot, account_denied, token_expired,
    )},
    "account_gap": numbered("account_gap", [(3, "new"), (4, "canceled")]),
    "account_doubled": numbered(
        "account_doubled", [(2, "pending_new"), (2, "pending_new"), (3, "new")]
    ),
    "account_renumbered": numbered(
        "account_renumbered", [(1, "pending_new"), (2, "new"), (3, "canceled")]
    ),
    "account_unnumbered": numbered(
        "account_unnumbered", [(None, "pending_new"), (None, "new"), (None, "canceled")]
    ),
}  # fmt: skip
