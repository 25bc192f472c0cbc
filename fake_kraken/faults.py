"""Every fault that has cost somebody money, by name, and which of them are switched on.

Pure. It says when a fault strikes; what that looks like is done where it strikes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

FAULTS: dict[str, str] = {
    # the stream
    "drop": "streams are reset `seconds` after they were opened, those that are open at once",
    "mute": "acknowledged, and no data for `symbol` from now on",
    "silent": "the sockets stay open and no frame is sent at all",
    "refuse": "subscriptions to `symbol` are refused",
    "ack_without_data": "`symbol` is acknowledged, and neither snapshot nor updates follow",
    "no_ack": "subscriptions to `symbol` are not answered",
    "refuse_connect": "the upgrade is answered with HTTP `status` (503)",
    "msg_rate": "a subscription is answered with `Exceeded msg rate`",
    "bad_frames": "each price is followed by frames that are no prices",
    "trade_snapshot": "trades begin with a snapshot of old prints, asked for or not",
    "ids_begin_anew": "the next print of `symbol` has the number 1, and the count goes on there",
    "huge_trade_id": "prints of `symbol` have numbers far too high, over REST too",
    "ordermin_lowered": "a tenth of `ordermin` is enough from now on, for `symbol` or all",
    # REST, each for one `endpoint` or for all
    "lost_reply": "acted upon, then the connection is reset without an answer",
    "delayed_reply": "acted upon, answered after `seconds`",
    "delayed_action": "acted upon and answered after `seconds`; a deadline counts",
    "black_hole": "never acted upon, never answered",
    "http_502": "the edge answers 502 `when` before or after Kraken acted",
    "http_504": "the edge answers 504 `when` before or after Kraken acted",
    "http_520": "the edge answers 520 `when` before or after Kraken acted",
    "html": "acted upon `when` after (or not: before), answered with a page",
    "reset_mid_body": "acted upon, the connection is reset inside the answer",
    "error": "answered with the Kraken error `text`, `when` before or after acting",
    "nonce_refused": "answered with EAPI:Invalid nonce, not acted upon",
    "closed_orders_lag": "orders appear in ClosedOrders `seconds` after they closed",
    "open_orders_lag": "orders appear in OpenOrders `seconds` after they were placed",
    "open_orders_stale": "orders stay in OpenOrders `seconds` (30) after they closed",
    "closed_orders_never": "no order ever appears in ClosedOrders",
    "orders_foreign": "the books hold one order that nobody asked for, whatever was asked",
    "orders_unfiltered": "the books answer with all orders, whatever was asked",
    "orders_respelt": "the books spell a client order id without dashes and in capitals",
    "odd_result": "acted upon, answered with `text` ([]) in the place of the result",
    "order_unknown": "QueryOrders does not know the order (once)",
    "two_lengths": "acted upon, answered with two different Content-Length headers",
    "dripping_reply": "acted upon, the answer's body comes one byte every `seconds` (5)",
    "dripping_head": "acted upon, the whole answer comes one byte every `seconds` (5)",
    "sent_twice": "passed on twice, and the second copy's `EAPI:Invalid nonce` comes back",
    "copied_past_nonce": "passed on twice, and the second copy's own answer comes back",
    "cached_reply": "public calls are answered as they were `seconds` (300) ago, with `Age`",
    "old_reply": "public calls are answered as they were `seconds` (300) ago, and nothing tells",
    "gzip_bomb": "acted upon, answered with 1 MB of gzip that is 1 GB",
    "http_429": "the edge answers 429 with Retry-After: `seconds` (1)",
    "http_407": "a proxy wants a password",
    "clock_set": "Kraken's clock jumps by `seconds` (3600), `when` before or after the next call",
    "absurd_time": "Time says `text` (1e999) seconds",
    "market_mode": "AddOrder is refused with EService:Market in reduce_only mode",
    "limit_exceeded": "AddOrder is refused with EBM:limit exceeded:CAL",
    "no_data": "Ticker says EGeneral:No data for `symbol` (the first), beside the others' rows",
    "validate_txid": "an order that was only to be checked is answered with a txid",
    "key_revoked": "`key` (every one) is unknown",
    "lockout": "after `calls` (5) with a wrong key none is taken until a pause of `seconds` (900)",
}

# What is meant where nothing is said.
_SECONDS = {
    "cached_reply": 300.0,
    "clock_set": 3600.0,
    "dripping_head": 5.0,
    "dripping_reply": 5.0,
    "http_429": 1.0,
    "lockout": 900.0,
    "old_reply": 300.0,
    "open_orders_stale": 30.0,
}
_TEXTS = {
    "absurd_time": "1e999",
    "error": "EService:Unavailable",
    "limit_exceeded": "EBM:limit exceeded:CAL",
    "market_mode": "EService:Market in reduce_only mode",
    "odd_result": "[]",
    "order_unknown": "EOrder:Invalid order",
}
_ENDPOINTS = {
    "absurd_time": "Time",
    "limit_exceeded": "AddOrder",
    "market_mode": "AddOrder",
    "no_data": "Ticker",
    "order_unknown": "QueryOrders",
    "validate_txid": "AddOrder",
}
_ONCE = frozenset({"clock_set", "ids_begin_anew", "order_unknown"})


@dataclass(slots=True, eq=False)
class Fault:
    """A fault that can be switched on.

    Attributes:
        name: One of `FAULTS`.
        endpoint: The one call of REST that it strikes; None: all.
        symbol: The one symbol of the stream that it strikes; None: all.
        key: The one API key that it strikes; None: all.
        count: How often it still strikes; None: until it is cleared.
        seconds: What its description says, as do `when`, `text`, `status` and `calls`; what it
            names in brackets where it is left out.

    Raises:
        ValueError: If there is no such fault, or an option is none.
    """

    name: str
    endpoint: str | None = None
    symbol: str | None = None
    count: int | None = None
    seconds: float = math.nan
    when: str = "before"
    text: str = ""
    status: int = 503
    key: str | None = None
    calls: int = 5
    _registry: list[Fault] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.name not in FAULTS:
            raise ValueError(f"no fault is called {self.name!r}; there are {', '.join(FAULTS)}")
        self._fill_in()
        if self.count is not None and (not isinstance(self.count, int) or self.count < 1):
            raise ValueError(f"count={self.count!r} is no number of times; give 1 or more")
        least = -86400 if self.name == "clock_set" else 0
        if not isinstance(self.seconds, int | float) or not least <= self.seconds < 86400:
            raise ValueError(f"seconds={self.seconds!r} is no duration; give {least} to 86400")
        if self.when not in ("before", "after"):
            raise ValueError(f"when={self.when!r} is neither 'before' nor 'after'")
        if not isinstance(self.status, int) or not 400 <= self.status <= 599:
            raise ValueError(f"status={self.status!r} is no HTTP error; give 400 to 599")
        if not isinstance(self.calls, int) or self.calls < 1:
            raise ValueError(f"calls={self.calls!r} is no number of calls; give 1 or more")

    def _fill_in(self) -> None:
        """Take what its description names for all that was left out."""
        if isinstance(self.seconds, float) and math.isnan(self.seconds):
            self.seconds = _SECONDS.get(self.name, 0.0)
        self.text = self.text or _TEXTS.get(self.name, "")
        self.endpoint = self.endpoint or _ENDPOINTS.get(self.name)
        if self.count is None and self.name in _ONCE:
            self.count = 1

    def clear(self) -> None:
        """Switch it off."""
        if self in self._registry:
            self._registry.remove(self)


class Faults:
    """The faults that are switched on, the oldest first."""

    def __init__(self) -> None:
        self.on: list[Fault] = []

    def switch_on(self, fault: Fault) -> None:
        """Let a fault strike until it is cleared or used up."""
        fault._registry = self.on
        self.on.append(fault)

    def clear(self) -> None:
        """Switch every fault off."""
        self.on.clear()

    def struck(
        self,
        name: str,
        endpoint: str | None = None,
        symbol: str | None = None,
        key: str | None = None,
    ) -> Fault | None:
        """Return the fault of that name that strikes now, and count it; None if none does."""
        for fault in list(self.on):
            if (
                fault.name == name
                and fault.endpoint in (None, endpoint)
                # `no_data` alone knows only later which symbols are asked for.
                and (fault.symbol in (None, symbol) or name == "no_data")
                and fault.key in (None, key)
            ):
                if fault.count is not None:
                    fault.count -= 1
                    if fault.count <= 0:
                        fault.clear()
                return fault
        return None

    def is_on(self, name: str, symbol: str | None = None) -> bool:
        """Tell whether a fault of that name is on for `symbol`, and count nothing."""
        return any(fault.name == name and fault.symbol in (None, symbol) for fault in list(self.on))

    def lag(self, name: str) -> float:
        """Return the longest `seconds` of the faults of that name; 0 without any."""
        return max((fault.seconds for fault in list(self.on) if fault.name == name), default=0.0)
