"""The faults of the embedded exchange: what each does, and which one strikes now.

Pure: `fake_kraken` and `fake_kraken_wire` ask, and do what is to be done.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

# The values name what each one does and, in backticks, the options it heeds beside `count`,
# which is how often it strikes; without it a fault stays on until it is cleared.
STREAM_FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "drop": "connections are reset, or closed with `code`; new ones after `seconds`",
        "mute": "subscriptions are acknowledged and there are heartbeats, but no data of `symbol`"
        " on `channel`",
        "silent": "the sockets stay open, and no frame is sent at all",
        "refuse": "subscriptions to `symbol` on `channel` are refused",
        "ack_without_data": "a subscription to `symbol` on `channel` is acknowledged and gets no"
        " data until it is made anew",
        "no_ack": "subscriptions to `symbol` on `channel` are not answered",
        "refuse_connect": "the upgrade is answered with HTTP `status`, 503 or 429 or any other",
        "msg_rate": "requests are answered with Exceeded msg rate",
        "bad_frames": "before each frame of `symbol` on `channel` come frames that are no JSON,"
        " and prices that are no prices",
    }
)
REST_FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "lost_reply": "acted upon, then the connection is reset without an answer",
        "delayed_reply": "acted upon, answered after `seconds`",
        "delayed_action": "acted upon after `seconds`, when a deadline may have passed; answered",
        "http_502": "the edge answers 502, `when` before or after Kraken acted",
        "http_504": "the edge answers 504, `when` before or after Kraken acted",
        "http_520": "the edge answers 520, `when` before or after Kraken acted",
        "html": "the edge answers 200 with a page, `when` before or after Kraken acted",
        "reset_mid_body": "acted upon, the connection is reset inside the answer",
        "error": "answered with Kraken's error `text`, `when` before or after Kraken acted",
        "nonce_refused": "answered with EAPI:Invalid nonce, `when` before or after Kraken acted",
        "black_hole": "never answered, `when` before or after Kraken acted",
        "closed_orders_lag": "orders show in ClosedOrders `seconds` after they were closed",
        "open_orders_lag": "orders show in OpenOrders `seconds` after they were placed",
    }
)
FAULTS: Mapping[str, str] = MappingProxyType({**STREAM_FAULTS, **REST_FAULTS})
# These change what an answer says; the others change whether and how it comes.
LAGS = frozenset({"closed_orders_lag", "open_orders_lag"})


@dataclass(slots=True, eq=False)
class Fault:
    """A fault that was switched on.

    Attributes:
        name: One of `FAULTS`.
        endpoint: Strikes this REST call only, such as `AddOrder`; None: any.
        symbol: Strikes this stream symbol only, such as `BTC/USD`; None: any.
        channel: Strikes `ticker` or `trade` only; None: both.
        count: How often it still strikes; None: until it is cleared.
        seconds: A delay.
        when: `before` or `after` Kraken has acted.
        text: Kraken's error string, of `error`.
        status: HTTP status, of `refuse_connect`.
        code: WebSocket close code, of `drop`; None resets the connection instead.
        hits: How often it has struck.
    """

    name: str
    endpoint: str | None = None
    symbol: str | None = None
    channel: str | None = None
    count: int | None = None
    seconds: float = 0.0
    when: str = "before"
    text: str = "EService:Unavailable"
    status: int = 503
    code: int | None = None
    hits: int = field(default=0, init=False)
    _board: list[Fault] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.name not in FAULTS:
            raise ValueError(f"no fault is called {self.name!r}; there are {', '.join(FAULTS)}")
        if self.when not in ("before", "after"):
            raise ValueError(f"a fault strikes before or after Kraken acted, not {self.when!r}")

    def clear(self) -> None:
        """Switch it off. Calling it again does nothing."""
        with contextlib.suppress(ValueError):
            self._board.remove(self)

    def _strikes(self, endpoint: str | None, symbol: str | None, channel: str | None) -> bool:
        return (
            self.endpoint in (None, endpoint)
            and self.symbol in (None, symbol)
            and self.channel in (None, channel)
        )

    def _strike(self) -> Fault:
        self.hits += 1
        if self.count is not None:
            self.count -= 1
            if self.count <= 0:
                self.clear()
        return self


class FaultBoard:
    """The faults that are on, in the order in which they were switched on."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Switch a fault on."""
        fault._board = self._faults
        self._faults.append(fault)

    def clear(self) -> None:
        """Switch every fault off."""
        self._faults.clear()

    def take(
        self,
        names: Iterable[str],
        endpoint: str | None = None,
        symbol: str | None = None,
        channel: str | None = None,
    ) -> Fault | None:
        """Return the first fault of these names that strikes here and now, and count it."""
        for fault in self._faults:
            if fault.name in names and fault._strikes(endpoint, symbol, channel):
                return fault._strike()
        return None

    def seconds(self, name: str) -> float:
        """Return the longest delay among the faults of a name; 0 where none is on."""
        return max((f.seconds for f in self._faults if f.name == name), default=0.0)

    def is_struck(self, name: str, channel: str | None, symbol: str | None) -> bool:
        """Tell whether a fault of the stream strikes here and now, and count it."""
        # Asked for each frame: most of the time there is no fault at all.
        return bool(self._faults) and self.take((name,), None, symbol, channel) is not None
