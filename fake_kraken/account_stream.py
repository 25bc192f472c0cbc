"""The account's stream over WebSocket: tokens, subscriptions, and what happens to orders.

Connections are served as those of prices are; what is told of an order stands in `shapes`, who
may hear it in `keys`. All of it is on the exchange's own thread.

Source: Kraken, WebSocket v2 executions channel and authentication (read 2026-11).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fake_kraken.core import Core
from fake_kraken.keys import KeyRing
from fake_kraken.orders import Change
from fake_kraken.params import Refusal
from fake_kraken.shapes import OPENINGS_AND_ENDS, Row, row_of, snapshot_row
from fake_kraken.stream import Client, Question, Stream

_CHANNEL = "executions"
_SNAPSHOT_TRADES = 50
# What Kraken's acknowledgement says of the account's limit of orders.
_MOST_COUNTED = 60


@dataclass(slots=True, eq=False)
class _Session:
    """One subscription: whose, by which token, what it wants to hear, and the last number."""

    owner: str
    token: str
    wants_all: bool
    sequence: int = 0


class AccountStream(Stream):
    """The WebSocket server of the account's stream.

    Args:
        core: The exchange behind it.
        keys: Those that tokens were made with.
        heartbeat_seconds: Between heartbeats on a quiet stream.
    """

    PATH, FAULTS = "/ws-auth/v2", "account_"

    def __init__(self, core: Core, keys: KeyRing, heartbeat_seconds: float) -> None:
        super().__init__(core, heartbeat_seconds)
        self._keys = keys
        self._sessions: dict[Client, _Session] = {}
        self._trades: dict[str, deque[dict[str, Any]]] = {}
        core.engine.tell = self._tell

    @property
    def followers(self) -> int:
        """How many follow an account at this moment."""
        return len(self._sessions)

    # --- what is told ------------------------------------------------------------------------

    def _tell(self, change: Change) -> None:
        """Tell those who listen to the order's account of something that happens to it."""
        listing = self._core.engine.listing_of(change.order)
        row = row_of(change, listing, self._core.now())
        if row.kind == "trade":
            kept = self._trades.setdefault(row.owner, deque(maxlen=_SNAPSHOT_TRADES))
            kept.append(row.cells)
        for client, session in list(self._sessions.items()):
            if session.owner == row.owner and (session.wants_all or row.kind in OPENINGS_AND_ENDS):
                self._update(client, session, row)

    def _update(self, client: Client, session: _Session, row: Row) -> None:
        faults = self._core.faults
        if faults.is_on("account_mute"):
            return
        if faults.struck("account_renumbered"):
            session.sequence = 0
        frame = self._frame(session, "update", [row.cells])
        if faults.struck("account_gap"):
            return
        for _ in range(2 if faults.struck("account_doubled") else 1):
            self._send(client, frame)

    def _frame(
        self, session: _Session, kind: str, rows: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        session.sequence += 1
        frame = {"channel": _CHANNEL, "type": kind, "data": list(rows)}
        if self._core.faults.is_on("account_unnumbered"):
            return frame
        return {**frame, "sequence": session.sequence}

    def _snapshot(self, client: Client, session: _Session, params: Mapping[str, Any]) -> None:
        if self._sessions.get(client) is not session:
            return  # it has gone meanwhile
        engine = self._core.engine
        if params.get("snap_orders", True) is True:
            orders = engine.accounts[session.owner].open_orders.values()
            rows = [snapshot_row(order, engine.listing_of(order)) for order in orders]
            self._send(client, self._frame(session, "snapshot", rows))
        if params.get("snap_trades", False) is True:
            trades = list(self._trades.get(session.owner, ()))
            self._send(client, self._frame(session, "snapshot", trades))

    # --- what is asked -----------------------------------------------------------------------

    def _subscribe(self, question: Question, params: Mapping[str, Any]) -> None:
        if params.get("channel") != _CHANNEL:
            self._refuse(question, "Subscription name invalid")
            return
        client = question.client
        is_leaving = question.head["method"] == "unsubscribe"
        if is_leaving != (client in self._sessions):
            said = "Subscription Not Found" if is_leaving else "Already subscribed"
            self._refuse(question, said)
            return
        try:
            session = self._session(params)
        except Refusal as refusal:
            self._refuse(question, refusal.errors[0])
            return
        if is_leaving:
            self._keys.close_session(session.token)
            self._end(client)
            self._accept(question, channel=_CHANNEL)
            return
        self._begin(question, session, params)

    def _session(self, params: Mapping[str, Any]) -> _Session:
        """Return what a message may have; raises a `Refusal` in Kraken's words."""
        faults, token = self._core.faults, params.get("token")
        if faults.struck("token_expired"):
            self._keys.expire_tokens()
        if faults.struck("account_denied"):
            raise Refusal("EGeneral:Permission denied")
        owner = self._keys.open_session(token, _CHANNEL, self._core.now())
        return _Session(owner, str(token), params.get("order_status", True) is True)

    def _begin(self, question: Question, session: _Session, params: Mapping[str, Any]) -> None:
        client = question.client
        self._sessions[client] = session
        client.subscriptions.add((_CHANNEL, ""))
        self._accept(
            question,
            channel=_CHANNEL,
            maxratecount=_MOST_COUNTED,
            snap_orders=params.get("snap_orders", True) is True,
            snap_trades=params.get("snap_trades", False) is True,
        )
        faults = self._core.faults
        if faults.is_on("account_mute"):
            return
        if fault := faults.struck("account_late_snapshot"):
            asyncio.get_running_loop().call_later(
                fault.seconds, self._snapshot, client, session, params
            )
            return
        self._snapshot(client, session, params)

    def _left(self, client: Client) -> None:
        super()._left(client)
        self._end(client)

    def _end(self, client: Client) -> None:
        session = self._sessions.pop(client, None)
        client.subscriptions.clear()
        if session is not None:
            self._keys.close_session(session.token)
