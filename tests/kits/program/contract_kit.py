"""What callers of earlier versions have: a row, three files in the working folder, stand-ins."""

import csv
from pathlib import Path
from unittest.mock import MagicMock, Mock

from config import ConfigManager
from kraken_api import KrakenAPI

COLUMNS = [
    *("id", "pair", "threshold_price", "threshold_type", "direction", "volume"),
    *("trailing_offset_percent", "enabled"),
]
ROW = dict(
    zip(
        COLUMNS, ["test1", "XXBTZUSD", "50000", "above", "sell", "0.01", "5.0", "true"], strict=True
    )
)


def write(*rows: dict[str, str], columns: list[str] | None = None) -> ConfigManager:
    """Write config.csv into the working folder and return a manager of it."""
    names = columns or COLUMNS
    with Path("config.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, names)
        table.writeheader()
        table.writerows(rows)
    return ConfigManager()


def rows_of(file: str) -> list[dict[str, str]]:
    """Return what any reader of CSV sees."""
    with Path(file).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def errors_logged() -> list[str]:
    """Return the messages of level ERROR."""
    if not Path("logs.csv").exists():
        return []
    return [row["message"] for row in rows_of("logs.csv") if row["level"] == "ERROR"]


def stand_in(price: object = 40000.0, txid: str = "ORDER123") -> Mock:
    """Return a mock limited to the three names that callers' stand-ins have."""
    names = ["get_current_price", "get_balance", "add_trailing_stop_loss"]
    mock = Mock(spec=names)
    mock.get_current_price.return_value = price
    mock.get_balance.return_value = {"XXBT": "1.0"}
    mock.add_trailing_stop_loss.return_value = {"txid": [txid]}
    return mock


def client_mock(price: object = 40000.0, txid: str = "ORDER123") -> Mock:
    """Return a mock limited to the client's names; its other methods answer with mocks."""
    mock = Mock(spec=KrakenAPI)
    mock.get_current_price.return_value = price
    mock.add_trailing_stop_loss.return_value = {"txid": [txid]}
    return mock


def any_mock(price: object = 40000.0, txid: str = "ORDER123") -> Mock:
    """Return a mock that has whatever it is asked for."""
    mock = MagicMock()
    mock.get_current_price.return_value = price
    mock.add_trailing_stop_loss.return_value = {"txid": [txid]}
    return mock


KINDS = [stand_in, client_mock, any_mock]
