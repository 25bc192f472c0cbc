"""Rows of config.csv, stand-ins that answer about them, and what was said of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from krakenlink.errors import KrakenTimeout
from krakenlink.pairs import Pair, PairDirectory, Symbol
from ttslo_app.rules.checks import ConfigValidator
from ttslo_app.rules.findings import (
    ValidationResult,
)

GOOD = {
    "id": "btc_1",
    "pair": "XXBTZUSD",
    "threshold_price": "60000",
    "threshold_type": "above",
    "direction": "sell",
    "volume": "0.01",
    "trailing_offset_percent": "5.0",
    "enabled": "true",
}


BTC = Pair(
    "XXBTZUSD", "XBTUSD", "XBT/USD", Symbol("BTC/USD"), "XXBT", "ZUSD", 1, 8,
    Decimal("0.0001"), Decimal("0.5"), Decimal("0.1"), "online",
)  # fmt: skip


def row(**changes: str) -> dict[str, str]:
    """Return a good row with changes."""
    return {**GOOD, **changes}


class Prices:
    """The least that callers hand in: prices by pair, funds, and a count of questions."""

    def __init__(self, funds: object = None, **prices: object) -> None:
        self.prices = {"XXBTZUSD": 50000.0, **prices}
        self.funds = {"XXBT": "1.0"} if funds is None else funds
        self.asked: list[str] = []

    def get_current_price(self, pair: str) -> object:
        self.asked.append(pair)
        return answer(
            self.prices.get(pair, Exception("Kraken API error: EQuery:Unknown asset pair"))
        )

    def get_balance(self) -> object:
        self.asked.append("balance")
        return answer(self.funds)

    def add_trailing_stop_loss(self, **_order: object) -> object:
        raise AssertionError("a check places no order")


class Listed(Prices):
    """A client with Kraken's listing, as the real one has it."""

    def __init__(self, *pairs: Pair, fault: Exception | None = None, **prices: object) -> None:
        super().__init__(None, **prices)
        self.directory = PairDirectory(pairs)
        self.fault = fault

    def resolve_pair(self, name: str) -> Pair:
        self.asked.append(f"listing of {name}")
        if self.fault:
            raise self.fault
        return self.directory.resolve(name)


@dataclass
class Ticker:
    """What a batch answers for one pair."""

    price: object
    bid: object = None
    ask: object = None


class Batch(Prices):
    """A client that answers all prices at once."""

    def get_tickers(self, pairs: list[str]) -> object:
        self.asked.append("+".join(pairs))
        if isinstance(self.prices.get("batch"), Exception):
            raise KrakenTimeout("timed out", request_sent=True)
        found = {pair: self.prices[pair] for pair in pairs if pair in self.prices}
        return {
            k: v if isinstance(v, Exception) else v if isinstance(v, Ticker) else Ticker(v)
            for k, v in found.items()
        }


def answer(value: object) -> object:
    """Return `value`, or raise it."""
    if isinstance(value, Exception):
        raise value
    return value


def check(*rows: Mapping[str, object], api: object = None, **more: Any) -> ValidationResult:
    """Validate the rows."""
    return ConfigValidator(api).validate_config_file(rows, **more)


def said(findings: list[dict[str, str]]) -> list[tuple[str, str]]:
    """Return id and field of each finding."""
    return [(finding["config_id"], finding["field"]) for finding in findings]


def about(findings: list[dict[str, str]], field: str) -> str:
    """Return the messages about one field."""
    return "\n".join(finding["message"] for finding in findings if finding["field"] == field)
