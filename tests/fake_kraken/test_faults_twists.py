"""Wrong answers by themselves; that each fault leads to its own stands among the faults."""

import json
from typing import Any

import pytest

from fake_kraken.faults import Fault, Faults, bare, dumped, twisted, widened


def faults_on(name: str, **options: Any) -> Faults:
    """Return faults of which one is switched on."""
    faults = Faults()
    faults.switch_on(Fault(name, **options))
    return faults


def test_bare_text_stands_as_it_is() -> None:
    """Numbers that are none, quotes and letters of any kind; all else is JSON."""
    text = dumped({"a": bare("1e999"), "b": "1e999", "c": [bare('{"é": "\\u00e9"}')]})
    assert text == '{"a": 1e999, "b": "1e999", "c": [{"é": "\\u00e9"}]}'
    assert json.loads(text)["a"] == float("inf")


@pytest.mark.parametrize("endpoint", ["Balance", "Ticker", "AddOrder"])
def test_other_endpoints_are_left_alone(endpoint: str) -> None:
    """What is about the books of orders strikes no other call, and is not used up by it."""
    body = {"error": [], "result": {"x": 1}}
    for name in ("orders_foreign", "orders_respelt"):
        faults = faults_on(name, count=1)
        assert twisted(endpoint, {}, body, faults) is body
        assert len(faults.on) == 1
    params = {"cl_ord_id": "a"}
    assert widened(endpoint, params, faults_on("orders_unfiltered")) is params


def test_refusals_are_left_alone() -> None:
    """An error is no answer that could be twisted."""
    body = {"error": ["EGeneral:Permission denied"]}
    assert twisted("OpenOrders", {}, body, faults_on("orders_foreign")) is body


def test_other_parameters_of_a_question_are_kept() -> None:
    """Only the filter is not honoured: pages and times are."""
    params = {"cl_ord_id": "a", "userref": "1", "start": "5"}
    assert widened("ClosedOrders", params, faults_on("orders_unfiltered")) == {"start": "5"}


def test_order_that_is_placed_is_no_mere_check() -> None:
    """Its own id comes back."""
    body = {"error": [], "result": {"txid": ["O1"]}}
    assert twisted("AddOrder", {}, body, faults_on("validate_txid")) is body


def test_pair_without_data_that_nobody_asked_for_is_none() -> None:
    """The other pairs' answer is whole."""
    body = {"error": [], "result": {"XXBTZUSD": {}}}
    assert twisted("Ticker", {}, body, faults_on("no_data", symbol="ETH/USD")) is body
    found = twisted("Ticker", {}, body, faults_on("no_data", symbol="BTC/USD"))
    assert found == {"error": ["EGeneral:No data"], "result": {}}
