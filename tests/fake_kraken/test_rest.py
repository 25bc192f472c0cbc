"""REST over real sockets: unknown paths, bodies that are none, and the record of calls."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import websocket
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fake_kraken import FakeKraken
from fake_kraken.market import synthetic_pairs
from tests.kits.common.examples import many
from tests.kits.exchange.exchange_kit import LONG, STOP, Client, Stream


def test_hundreds_of_pairs_in_one_url_are_too_many(session: requests.Session) -> None:
    """Kraken's edge answers 520 to a URL of that length; without names all are had."""
    with FakeKraken(*synthetic_pairs(1000)) as exchange:
        names = ",".join(f"T{n:04d}USD" for n in range(1, 1001))
        response = session.get(f"{exchange.rest_url}/0/public/Ticker?pair={names}", timeout=LONG)
        assert response.status_code == 520
        assert len(Client(exchange, session).ok("Ticker")) == 1000


@pytest.mark.parametrize("path", ["/0/private/Balance", "/0/other/Time", "/0/"])
def test_unknown_paths_are_unknown_methods(client: Client, path: str) -> None:
    """A private call by GET is none either."""
    response = client.session.get(client.exchange.rest_url + path, timeout=LONG)
    assert response.json() == {"error": ["EGeneral:Unknown method"]}


@pytest.mark.parametrize("body", [b"{", b"[]", b"[" * 100_000, b'"x"', b"\xff\xfe"])
@pytest.mark.parametrize("path", ["/0/private/AddOrder", "/0/public/Ticker"])
def test_body_that_is_no_object_is_refused(client: Client, path: str, body: bytes) -> None:
    """Whatever the bytes are."""
    headers = {"Content-Type": "application/json", "API-Key": client.exchange.api_key}
    url = client.exchange.rest_url + path
    answer = client.session.post(url, data=body, headers=headers, timeout=LONG).json()
    assert answer == {"error": ["EGeneral:Invalid arguments"]}


@pytest.fixture(scope="module")
def lasting(session: requests.Session) -> Iterator[Client]:
    """Hand out a client of one exchange for many examples."""
    with FakeKraken() as exchange:
        yield Client(exchange, session)


def test_any_order_is_answered(lasting: Client) -> None:
    """Whatever AddOrder is sent, as form or as JSON, the answer is 200 with error strings."""
    values = st.text(max_size=20) | st.sampled_from(list(STOP.values()))
    jsons = values | st.none() | st.floats() | st.lists(st.integers(), max_size=2)

    @settings(max_examples=many(60), suppress_health_check=list(HealthCheck))
    @given(st.dictionaries(st.sampled_from([*STOP, "cl_ord_id", "deadline"]), jsons), st.booleans())
    def check(params: dict[str, Any], as_json: bool) -> None:
        shown = params if as_json else {k: str(v).encode("utf-8", "replace") for k, v in
                                        params.items()}  # fmt: skip
        response = lasting.send("AddOrder", {**STOP, **shown}, as_json=as_json)
        assert response.status_code == 200
        assert all(isinstance(error, str) for error in response.json()["error"])

    check()


def test_calls_are_noted(client: Client) -> None:
    """Endpoint and parameters without nonce, in order; calls of one connection share a number."""
    client.ok("Ticker", pair="XBTUSD")
    client.place()
    first, second = client.exchange.requests
    assert (first.endpoint, first.params) == ("Ticker", {"pair": "XBTUSD"})
    assert (second.endpoint, second.params) == ("AddOrder", STOP)
    assert first.connection == second.connection
    assert client.exchange.count("AddOrder") == client.exchange.placed_count() == 1


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
