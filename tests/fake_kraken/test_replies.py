"""Answers that do not arrive."""

from typing import Any

import pytest
import websocket
from aiohttp import web
from exchange_kit import Client, Stream


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
