"""Every fault that has cost somebody money, by name, and which of them are switched on.

Pure. It says when a fault strikes, and twists answers that are well-formed and still wrong; what is
about time, bytes or the books themselves is done where it strikes.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fake_kraken.params import Params, is_true

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
    "book_wrong_sum": "changes of `symbol`'s book come with a wrong checksum",
    "book_lost_change": "a change of `symbol`'s book is not told, and the next one is",
    "book_crossed": "the best bid of `symbol`'s book is told above its best ask, and summed up so",
    "book_short_numbers": "numbers of `symbol`'s book lose their last zeros, or come as `5e-05`",
    "book_bad_level": "a change of `symbol`'s book has `text` (-1) in the place of a price",
    "candle_from_future": "a candle of `symbol` is told as if it began in a year",
    "candle_bad": "a candle of `symbol` has a negative price",
    "trade_lost": "a print of `symbol` is not told by the stream",
    "instrument_bad_row": "a pair is told with `text` (-1) in the place of its minimum",
    "refuse_depth": "books deeper than 10 are refused",
    "unasked": "each frame of a book is followed by one of a market that nobody asked for",
    # the account's stream
    "account_drop": "as `drop`, for the account's streams",
    "account_silent": "as `silent`, for the account's streams",
    "account_refuse_connect": "as `refuse_connect`, for the account's streams",
    "account_mute": "acknowledged, heartbeats go on, and neither a snapshot nor an event follows",
    "account_gap": "an event is lost, and its number with it",
    "account_doubled": "each event comes twice, with the same number",
    "account_renumbered": "the numbers begin at 1 again with the next event (once)",
    "account_unnumbered": "events have no number",
    "account_late_snapshot": "the snapshot comes `seconds` after the acknowledgement",
    "account_denied": "subscriptions are refused with EGeneral:Permission denied",
    "token_expired": "all tokens so far are too old at the next subscription (once)",
    # REST, each for one `endpoint` or for all
    "lost_reply": "acted upon, then the connection is reset without an answer",
    "delayed_reply": "acted upon, answered after `seconds`",
    "delayed_action": "acted upon and answered after `seconds`; a deadline counts",
    "queued_action": "its nonce is taken at once, then as `delayed_action`",
    "deadline_ignored": "an order's deadline is neither read nor kept",
    "filled_at_once": "an order of `symbol` is filled as soon as it stands",
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
    "batch_row_missing": "the answer of AddOrderBatch lacks the row of its last order",
    "batch_row_more": "the answer of AddOrderBatch holds its last row twice",
    "batch_row_odd": "the answer of AddOrderBatch has `text` ({}) in the place of its last row",
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
    "batch_row_odd": "{}",
    "book_bad_level": "-1",
    "instrument_bad_row": "-1",
    "error": "EService:Unavailable",
    "limit_exceeded": "EBM:limit exceeded:CAL",
    "market_mode": "EService:Market in reduce_only mode",
    "odd_result": "[]",
    "order_unknown": "EOrder:Invalid order",
}
_ENDPOINTS = {
    "absurd_time": "Time",
    "deadline_ignored": "AddOrder",
    "filled_at_once": "AddOrder",
    "limit_exceeded": "AddOrder",
    "market_mode": "AddOrder",
    "no_data": "Ticker",
    "order_unknown": "QueryOrders",
    "validate_txid": "AddOrder",
}
_ONCE = frozenset(
    {"account_renumbered", "clock_set", "ids_begin_anew", "order_unknown", "token_expired"}
)


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


Body = dict[str, Any]  # an answer: `error` and `result`


_BOOKS = {"OpenOrders": "open", "ClosedOrders": "closed"}


_BARE = re.compile(r'"\\u0001(.*?)\\u0001"')


_FOREIGN_ID, _FOREIGN_TXID = "somebody-elses", "OFOREI-GNORD-ERTXID"


_CHECKED_TXID = "OVALID-ATEDO-NLY234"


_FOREIGN_ORDER: Mapping[str, Any] = {
    "refid": None,
    "userref": 0,
    "cl_ord_id": _FOREIGN_ID,
    "opentm": 1_700_000_000.0,
    "starttm": 0,
    "expiretm": 0,
    "descr": {
        "pair": "ETHUSD",
        "aclass": "forex",
        "type": "buy",
        "ordertype": "limit",
        "price": "1000.00",
        "price2": "0",
        "leverage": "none",
        "order": "buy 1.00000000 ETHUSD @ limit 1000.00",
        "close": "",
    },
    "vol": "1.00000000",
    "vol_exec": "0.00000000",
    "cost": "0.00000",
    "fee": "0.00000",
    "price": "0.00000",
    "stopprice": "0.00000",
    "limitprice": "0.00000",
    "misc": "",
    "oflags": "fciq",
    "trigger": "last",
}


def bare(text: str) -> str:
    """Return a value that `dumped` writes as `text`, which need not be JSON at all."""
    return f"\1{text}\1"


def dumped(body: Mapping[str, Any]) -> str:
    """Return an answer as text."""
    return _BARE.sub(lambda found: json.loads(f'"{found[1]}"'), json.dumps(body))


def widened(endpoint: str, params: Params, faults: Faults) -> Params:
    """Return what is looked for: `params`, unless the books do not honour their filter."""
    if endpoint in _BOOKS and faults.struck("orders_unfiltered", endpoint):
        return {name: text for name, text in params.items() if name not in ("cl_ord_id", "userref")}
    return params


def twisted(endpoint: str, params: Params, body: Body, faults: Faults) -> Body:
    """Return the answer that leaves instead of `body`."""
    for name, (endpoints, twist) in _TWISTS.items():
        if "result" not in body or (endpoints and endpoint not in endpoints):
            continue
        if name == "validate_txid" and not is_true(params.get("validate")):
            continue
        if fault := faults.struck(name, endpoint):
            body = twist(endpoint, body, fault)
    return body


def _foreign(endpoint: str, body: Body, fault: Fault) -> Body:
    order = {**_FOREIGN_ORDER, "status": _BOOKS[endpoint]}
    if endpoint == "ClosedOrders":
        order |= {"closetm": 1_700_000_100.0, "reason": None}
    return _with_result(body, {**body["result"], _BOOKS[endpoint]: {_FOREIGN_TXID: order}})


def _respelt(endpoint: str, body: Body, fault: Fault) -> Body:
    book = _BOOKS[endpoint]
    orders = {
        txid: {**order, "cl_ord_id": order["cl_ord_id"].replace("-", "").upper()}
        if "cl_ord_id" in order
        else order
        for txid, order in body["result"][book].items()
    }
    return _with_result(body, {**body["result"], book: orders})


def _odd(endpoint: str, body: Body, fault: Fault) -> Body:
    return _with_result(body, bare(fault.text))


def _absurd_time(endpoint: str, body: Body, fault: Fault) -> Body:
    return _with_result(body, {**body["result"], "unixtime": bare(fault.text)})


def _no_data(endpoint: str, body: Body, fault: Fault) -> Body:
    rows = dict(body["result"])
    # A symbol is found by its row's name without slash; else the first is the one without data.
    wanted = (fault.symbol or "").replace("/", "").replace("BTC", "XBT").replace("DOGE", "XDG")
    names = [name for name in rows if wanted in (_plain(name), "")]
    for name in names[:1]:
        del rows[name]
    return {"error": ["EGeneral:No data"], "result": rows} if names else body


def _plain(name: str) -> str:
    """Return `XBTUSD` for `XXBTZUSD` and for `XBT/USD`."""
    legs = re.fullmatch(r"[XZ](\w{3})[XZ](\w{3})", name)
    return legs[1] + legs[2] if legs else name.replace("/", "").replace("BTC", "XBT")


def _batch_row(endpoint: str, body: Body, fault: Fault) -> Body:
    *rows, last = body["result"]["orders"]
    if fault.name == "batch_row_more":
        rows += [last, last]
    elif fault.name == "batch_row_odd":
        rows.append(bare(fault.text))
    return _with_result(body, {"orders": rows})


def _with_txid(endpoint: str, body: Body, fault: Fault) -> Body:
    return _with_result(body, {**body["result"], "txid": [_CHECKED_TXID]})


def _with_result(body: Body, result: Any) -> Body:
    return {**body, "result": result}


_TWISTS: dict[str, tuple[frozenset[str], Callable[[str, Body, Fault], Body]]] = {
    "orders_foreign": (frozenset(_BOOKS), _foreign),
    "orders_respelt": (frozenset(_BOOKS), _respelt),
    "no_data": (frozenset({"Ticker"}), _no_data),
    "absurd_time": (frozenset({"Time"}), _absurd_time),
    "validate_txid": (frozenset({"AddOrder"}), _with_txid),
    **dict.fromkeys(
        ("batch_row_missing", "batch_row_more", "batch_row_odd"),
        (frozenset({"AddOrderBatch"}), _batch_row),
    ),
    "odd_result": (frozenset(), _odd),  # the last: what it leaves has no shape
}
