"""Kraken's REST calls about the account: funds, the key, its stream, orders open and closed.

None of them changes anything. What it must never do: let a token or what a key tells into a log.

Source: Kraken, REST account data pages (read 2026-11).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from krakenlink.errors import ArgumentError, ProtocolError
from krakenlink.rest.request import checked_txid
from krakenlink.rest.session import RestSession


class AccountCalls(RestSession):
    """The calls that look at an account. Safe from any thread."""

    def get_balance(self) -> dict[str, Any]:
        """Return Kraken's Balance `result`: text amounts by asset id, such as `XXBT` and `ZUSD`."""
        return self._private("Balance")

    def get_extended_balance(self) -> dict[str, Any]:
        """Return Kraken's BalanceEx `result`: `balance` and `hold_trade`, by asset id, as text."""
        return self._private("BalanceEx")

    def get_trade_balance(self, asset: str = "ZUSD") -> dict[str, Any]:
        """Return Kraken's TradeBalance `result`, counted in `asset`."""
        return self._private("TradeBalance", {"asset": asset})

    def get_api_key_info(self) -> dict[str, Any]:
        """Return Kraken's GetApiKeyInfo `result`: what the key of this client may do.

        Needs no permission. It holds the key itself and may hold the number of a bank account, so
        it belongs into no log; `krakenlink.rest.key_info` reads what matters of it.
        """
        return self._private("GetApiKeyInfo")

    def get_websockets_token(self) -> str:
        """Return a token for the account's stream, to be used within 15 minutes. Blocks for a call.

        It lets every other call of the key go first. It is a secret, and belongs into no log.

        Raises:
            AuthenticationError: If the key may not have one: it needs "Access WebSockets".
            ProtocolError: If the answer holds none.
            KrakenError: If Kraken does not answer.
        """
        token = self._private("GetWebSocketsToken").get("token")
        if not isinstance(token, str) or not re.fullmatch(r"[!-~]{1,4096}", token):
            raise ProtocolError("GetWebSocketsToken: the answer holds no token")
        return token

    def query_open_orders(
        self, trades: bool = False, userref: int | None = None, cl_ord_id: str | None = None
    ) -> dict[str, Any]:
        """Return Kraken's OpenOrders `result`: orders by txid under `open`.

        Args:
            trades: Whether to name each order's trades.
            userref: Only orders of this reference.
            cl_ord_id: Only the order of this client order id.
        """
        params = {"trades": trades, "userref": userref, "cl_ord_id": cl_ord_id}
        return self._private("OpenOrders", params)

    def query_closed_orders(self, **kwargs: Any) -> dict[str, Any]:
        """Return Kraken's ClosedOrders `result`: the newest 50 by txid under `closed`.

        Args:
            **kwargs: Kraken's parameters: `cl_ord_id`, `userref`, `trades`, `start`, `end`, `ofs`.
        """
        return self._private("ClosedOrders", kwargs)

    def query_orders(self, txids: str | Iterable[str], trades: bool = False) -> dict[str, Any]:
        """Return Kraken's QueryOrders `result`: orders by txid, open and closed.

        Args:
            txids: One id, or up to 50.
            trades: Whether to name each order's trades.

        Raises:
            ValueError: If there is none, or an empty one.
        """
        wanted = [txids] if isinstance(txids, str) else list(txids)
        if not wanted:
            raise ArgumentError("txid parameter is required")
        ids = [checked_txid(txid) for txid in wanted]
        return self._private("QueryOrders", {"txid": ids, "trades": trades})
