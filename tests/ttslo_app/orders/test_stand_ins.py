"""What stands in for Kraken: a caller's object, and nobody."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest

from kraken_api import KrakenAPI
from krakenlink.errors import KrakenError
from krakenlink.rest.verdicts import OutcomeKind
from ttslo_app.messages import Market
from ttslo_app.orders.exchange import is_real
from ttslo_app.orders.request import OrderRequest
from ttslo_app.orders.stand_ins import DryRunExchange, StandInExchange, offset_of
from ttslo_app.orders.words import DRY_RUN_ORDER_ID

PAIR = "XXBTZUSD"
ORDER = OrderRequest(PAIR, "sell", "0.01", "+1.25%")
OURS = "10dbbc38-8940-5a21-9d7b-b5c9342ca547"
THEIRS = "20dbbc38-8940-5a21-9d7b-b5c9342ca547"


@pytest.mark.parametrize("text", ["+5.0%", "+1.25%", "+0.333%"])
def test_offset_keeps_its_digits(text: str) -> None:
    """The percent of an order comes back as it was typed."""
    assert f"+{offset_of(OrderRequest(PAIR, 'sell', '1', text))}%" == text


class Bare:
    """A caller's stand-in with one method, which takes the four keywords and no other."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.calls: list[dict[str, object]] = []

    def add_trailing_stop_loss(
        self, pair: str, direction: str, volume: str, trailing_offset_percent: Decimal
    ) -> object:
        self.calls.append({"pair": pair, "direction": direction, "volume": volume})
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"txid": ["O1"]}, OutcomeKind.PLACED),
        ({}, OutcomeKind.UNKNOWN),
        (TimeoutError("slow"), OutcomeKind.UNKNOWN),
        (RuntimeError("Kraken API error: ['EOrder:Insufficient funds']"), OutcomeKind.REFUSED),
    ],
)
def test_stand_in_is_called_once_and_judged_like_kraken(answer: object, kind: OutcomeKind) -> None:
    """One call with four keywords; what it answers or raises is classified."""
    api = Bare(answer)
    exchange = StandInExchange(api, lambda: 7.0)
    outcome = exchange.place(ORDER, OURS, "")
    assert outcome.kind is kind
    assert api.calls == [{"pair": PAIR, "direction": "sell", "volume": "0.01"}]
    assert exchange.market_of("btc") == Market("btc", "btc")
    assert exchange.now() == 7.0


def test_dry_run_takes_all_and_calls_nobody() -> None:
    """It answers with its own id, and knows the markets that the real one would."""
    market = Market("BTC/USD", PAIR)
    exchange = DryRunExchange({"btc": market}.__getitem__, lambda: 7.0)
    outcome = exchange.place(ORDER, OURS, "")
    assert (outcome.kind, outcome.txid) == (OutcomeKind.PLACED, DRY_RUN_ORDER_ID)
    assert exchange.market_of("btc") is market
    assert exchange.now() == 7.0


@pytest.mark.parametrize(
    "exchange",
    [
        StandInExchange(object(), time.time),
        DryRunExchange(lambda pair: Market(pair, pair), time.time),
    ],
)
def test_what_cannot_be_asked_for_orders_says_so(
    exchange: StandInExchange | DryRunExchange,
) -> None:
    """Neither claims that there is no order."""
    assert not exchange.can_find
    with pytest.raises(KrakenError, match=OURS):
        exchange.find(OURS, ORDER)


def test_only_a_true_client_is_real() -> None:
    """A mock that claims to be one is not."""
    assert is_real(KrakenAPI())
    assert not is_real(Bare(None))
