"""Answers that are well-formed and still wrong: what comes between a result and its reader.

Pure: one answer in, another out. Each is one of `FAULTS`; the rest of those is done where it is
about time, bytes or the books themselves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from fake_kraken.faults import Fault, Faults
from fake_kraken.params import Params, is_true

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
    "odd_result": (frozenset(), _odd),  # the last: what it leaves has no shape
}
