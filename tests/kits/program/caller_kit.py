"""A caller of `TTSLO`: stand-ins for Kraken, one row, and what its files say afterwards."""

from __future__ import annotations

import csv
import threading
from decimal import Decimal
from pathlib import Path

from config import ConfigManager

HEADER = "id,pair,threshold_price,threshold_type,direction,volume,trailing_offset_percent,enabled"
ROW = "btc,XXBTZUSD,50000,above,sell,0.01,5.0,true"


class StandIn:
    """The three methods that callers' stand-ins have, with no more arguments than those."""

    def __init__(self, price: object = 40000.0, answer: object = None) -> None:
        self.price = price
        self.answer: object = {"txid": ["OAAAAA-BBBBB-CCCCCC"]} if answer is None else answer
        self.orders: list[dict[str, object]] = []

    def get_current_price(self, pair: str) -> object:
        if isinstance(self.price, Exception):
            raise self.price
        return self.price

    def get_balance(self) -> dict[str, str]:
        return {"XXBT": "1.0"}

    def add_trailing_stop_loss(
        self, pair: str, direction: str, volume: str, trailing_offset_percent: Decimal
    ) -> object:
        self.orders.append(
            {
                "pair": pair,
                "direction": direction,
                "volume": volume,
                "trailing_offset_percent": trailing_offset_percent,
            }
        )
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class SlowStandIn(StandIn):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked, self.may_answer = threading.Event(), threading.Event()

    def add_trailing_stop_loss(self, **order: object) -> object:  # type: ignore[override]  # all of it
        self.is_asked.set()
        assert self.may_answer.wait(60)
        return self.answer


def config(**changes: str) -> dict[str, str]:
    """Return the row of config.csv as a dict, with changed cells."""
    return {**dict(zip(HEADER.split(","), ROW.split(","), strict=True)), **changes}


def rows_of(manager: ConfigManager) -> list[dict[str, str]]:
    """Return config.csv as any CSV reader sees it."""
    with Path(manager.config_file).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def logged(manager: ConfigManager, level: str) -> str:
    """Return the messages of one level in the log file."""
    path = Path(manager.log_file)
    if not path.exists():
        return ""
    with path.open(encoding="utf-8", newline="") as file:
        return "\n".join(row["message"] for row in csv.DictReader(file) if row["level"] == level)


def manager_in(folder: Path) -> ConfigManager:
    """Return a manager of three files in `folder`, with one rule in config.csv."""
    (folder / "config.csv").write_text(f"{HEADER}\n{ROW}\n", encoding="utf-8")
    return ConfigManager(folder / "config.csv", folder / "state.csv", folder / "logs.csv")
