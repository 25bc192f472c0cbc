"""Every fault that has cost somebody money, by name, and which of them are switched on.

Pure. It says when a fault strikes; what that looks like is done where it strikes.
"""

from __future__ import annotations

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
}


@dataclass(slots=True, eq=False)
class Fault:
    """A fault that can be switched on.

    Attributes:
        name: One of `FAULTS`.
        endpoint: The one call of REST that it strikes; None: all.
        symbol: The one symbol of the stream that it strikes; None: all.
        count: How often it still strikes; None: until it is cleared.
        seconds: What its description says, as do `when`, `text` and `status`.

    Raises:
        ValueError: If there is no such fault, or an option is none.
    """

    name: str
    endpoint: str | None = None
    symbol: str | None = None
    count: int | None = None
    seconds: float = 0.0
    when: str = "before"
    text: str = "EService:Unavailable"
    status: int = 503
    _registry: list[Fault] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.name not in FAULTS:
            raise ValueError(f"no fault is called {self.name!r}; there are {', '.join(FAULTS)}")
        if self.count is not None and (not isinstance(self.count, int) or self.count < 1):
            raise ValueError(f"count={self.count!r} is no number of times; give 1 or more")
        if not isinstance(self.seconds, int | float) or not 0 <= self.seconds < 86400:
            raise ValueError(f"seconds={self.seconds!r} is no duration; give 0 to 86400")
        if self.when not in ("before", "after"):
            raise ValueError(f"when={self.when!r} is neither 'before' nor 'after'")
        if not isinstance(self.status, int) or not 400 <= self.status <= 599:
            raise ValueError(f"status={self.status!r} is no HTTP error; give 400 to 599")

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
        self, name: str, endpoint: str | None = None, symbol: str | None = None
    ) -> Fault | None:
        """Return the fault of that name that strikes now, and count it; None if none does."""
        for fault in list(self.on):
            if (
                fault.name == name
                and fault.endpoint in (None, endpoint)
                and fault.symbol in (None, symbol)
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
