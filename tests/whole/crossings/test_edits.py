"""Edit after edit of config.csv: who keeps what was found before finds what a new one finds.

One loader reads each version with all that it knows of the last one; beside it another one, with
the same books, reads it for the first time. All that they find, say and hand on must be the same.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import ConfigManager
from kraken_api import KrakenAPI
from krakenlink.errors import KrakenTimeout, PriceUnavailable
from krakenlink.pairs import Pair, PairDirectory, Symbol
from ttslo import TTSLO
from ttslo_app.messages import Adopt
from ttslo_app.orders.worker import OrderWorker
from ttslo_app.rules.checked import KnownRows
from ttslo_app.run.files import OrderFiles
from ttslo_app.run.loader import Loader
from validator import ConfigValidator

IDS = [f"r{number}" for number in range(7)]
# Of each column the first text is that of a row with which nothing is wrong.
CELLS: dict[str, Sequence[str]] = {
    "pair": ["BTC/USD", "XBTUSD", "ETH/USD", "OLD/USD", "NEW/USD", "#NAME?", "#x", "NIX"],
    "threshold_price": ["60000", "52000", "50500", "45000", "30000", "50000", "200000", "x"],
    "threshold_type": ["above", "above", "below", "beside"],
    "direction": ["sell", "sell", "buy"],
    "volume": ["0.01", "20000", "0.00001", "0.123456789", "all", "100 USD", "filled", ""],
    "trailing_offset_percent": ["1", "2.5", "5.0", "60", "0.05", ""],
    "enabled": ["true", "true", "true", "yes", "no", "perhaps", ""],
    "trailing_offset_quote": ["", "", "", "250", "0.0001"],
    "expires": ["", "", "", "2030-01-01T00:00:00Z", "2001-01-01T00:00:00Z", "+3d"],
    "group": ["", "", "", "g1", "g2"],
    "after": ["", "", "", *IDS[:3]],
    "note": ["", "", "", "a note", 'with "quotes", and\na line end'],
    "order_id": ["", "", "", "", "OAAAAA-BBBBB-CCCCCC"],
}
COLUMNS = ["id", *CELLS]
STATES = ["online", "post_only", "delisted", "cancel_only"]


def pair(name: str, **facts: Any) -> Pair:
    """Return a pair of Kraken's listing."""
    base, quote = name.split("/")
    kept = {"ordermin": Decimal("0.001"), "costmin": Decimal(1), "status": "online", **facts}
    key = f"{base}{quote}"
    return Pair(
        key, key, name, cast("Symbol", kept.get("symbol", name)), base, f"Z{quote}", 1, 8,
        Decimal(kept["ordermin"]), kept["costmin"], Decimal("0.1"), kept["status"],
    )  # fmt: skip


class Kraken(KrakenAPI):
    """A true client whose listing, prices and funds move by chance."""

    def __init__(self) -> None:
        super().__init__("key", "secret", use_websocket=False)
        self.pairs = [pair("BTC/USD"), pair("ETH/USD"), pair("OLD/USD")]
        self.prices: dict[str, object] = dict.fromkeys(("BTC/USD", "ETH/USD"), Decimal(50_000))
        self.spread = Decimal(1)
        self.funds: object = {"BTC": "1", "ZUSD": "5000"}
        self.is_listed = True

    def resolve_pair(self, pair: str, max_age: float | None = None) -> Pair:
        if not self.is_listed:
            raise KrakenTimeout("no answer", request_sent=True)
        return PairDirectory(one._replace() for one in self.pairs).resolve(pair)

    def get_tickers(self, pairs: Iterable[str]) -> dict[str, Any]:
        return {name: self._quote(name) for name in pairs}

    def _quote(self, name: str) -> object:
        known = {"XBTUSD": "BTC/USD"}.get(name, name)
        price = self.prices.get(known, PriceUnavailable(name, "Kraken's answer holds no price"))
        if isinstance(price, Exception):
            return price
        return SimpleNamespace(price=price, bid=Decimal(1), ask=1 + self.spread)

    def get_balance(self) -> Any:
        if isinstance(self.funds, Exception):
            raise self.funds
        return self.funds

    def move(self, random: Random) -> None:
        """Let one or another fact be a new one."""
        late = KrakenTimeout("no answer", request_sent=True)
        deeds: list[Callable[[], object]] = [
            lambda: self.prices.update({"BTC/USD": Decimal(random.randint(20_000, 250_000))}),
            lambda: self.prices.update({"BTC/USD": Decimal(50_000 + random.randint(-9, 9))}),
            lambda: self.prices.update({"ETH/USD": Decimal(random.choice([1, 49_999, 60_000]))}),
            lambda: self.prices.update({"BTC/USD": late}),
            lambda: self.prices.pop("ETH/USD", None),
            lambda: setattr(self, "spread", Decimal(random.choice([0, 1, 100, 5_000]))),
            lambda: setattr(self, "is_listed", not self.is_listed),
            lambda: setattr(self, "funds", random.choice([{}, {"BTC": "9"}, late])),
            lambda: setattr(self, "pairs", [pair("BTC/USD", status=random.choice(STATES))]),
            lambda: setattr(self, "pairs", [pair("BTC/USD", ordermin=1), pair("NEW/USD")]),
            lambda: setattr(self, "pairs", [pair("BTC/USD", symbol=None), pair("ETH/USD")]),
            lambda: self.pairs.append(pair("OLD/USD")),
        ]
        for deed in random.sample(deeds, random.choice([0, 0, 1, 1, 2])):
            deed()


@dataclass
class Sheet:
    """A config.csv that a person edits, by chance."""

    random: Random
    columns: list[str] = field(default_factory=lambda: list(COLUMNS))
    rows: list[dict[str, str]] = field(default_factory=list)
    end: str = "\n"

    def row(self) -> dict[str, str]:
        """Return a new row."""
        choose = self.random.choice
        odd = self.random.random() < 0.5
        cells = {name: choose(texts) if odd else texts[0] for name, texts in CELLS.items()}
        return {**cells, "id": choose([*IDS, *IDS, "", "bad id"])}

    def edit(self) -> bytes:
        """Change something, or a few things; return the file."""
        random, rows = self.random, self.rows
        for _ in range(random.choice([0, 1, 1, 1, 2, 4])):
            at = random.randint(0, len(rows))
            match random.randint(0, 9):
                case 0 | 1 | 2:
                    rows.insert(at, self.row())
                case 3:
                    del rows[at : at + 1]
                case 4 | 5 | 6 if at < len(rows):
                    name = random.choice([*CELLS])
                    rows[at] = {**rows[at], name: random.choice(CELLS[name])}
                case 7:
                    random.shuffle(rows)
                case 8:
                    rows[at:at] = rows[at : at + 1]  # an id that is there twice
                case _:
                    rows.insert(at, {"id": "# a comment"} if at % 2 else {})
        if random.random() < 0.1:
            self.end = random.choice(["\n", "\r\n"])
            self.columns = [*COLUMNS, *random.choice([[], [], ["linked_order_id"], ["Volumes"]])]
        return self.text().encode(random.choice(["utf-8", "utf-8", "utf-8", "utf-8-sig"]))

    def text(self) -> str:
        """Return the file as it is."""
        out = io.StringIO()
        writer = csv.DictWriter(out, self.columns, restval="", lineterminator=self.end)
        writer.writeheader()
        writer.writerows(self.rows)
        return out.getvalue()


class Twins:
    """Two loaders of one file: one that goes on, and one that has just begun each time."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "config.csv"
        self.files = ConfigManager(self.path, folder / "state.csv", folder / "logs.csv")
        self.kraken = Kraken()
        self.program = Quiet(self.files, self.kraken, self.kraken)
        self.adopted: list[Adopt] = []
        submit = self.program.worker.submit

        def keep(message: Any) -> None:
            self.adopted.append(message)
            submit(message)

        self.program.worker.submit = keep  # type: ignore[method-assign]  # to look at what is handed on

    def read(self, data: bytes) -> tuple[dict[str, object], dict[str, object]]:
        """Return all that each of the two makes of a version of the file."""
        self.path.write_bytes(data)
        program, said = self.program, list[str]()
        books = SimpleNamespace(
            ledger=program.worker.ledger,
            life_of=program.worker.life_of,
            is_running=True,
            submit=lambda message: adopted.append(message),
        )
        adopted: list[Adopt] = []
        new = Loader(
            OrderFiles(self.files, is_dry=True),
            cast("OrderWorker", books),
            program.loader._validator,
            market_of=program.market_of_row,
            is_verbose=lambda: True,
            say=lambda level, message, **fields: said.append(f"{level} {message}"),
        )
        new.load()
        program.loader.load()
        assert len(adopted) == 1
        return found_by(new, adopted[-1]), found_by(program.loader, self.adopted[-1])


class Quiet(TTSLO):
    """A program that says nothing."""

    def log(self, level: str, message: str, **fields: Any) -> None:
        """Say nothing."""


def found_by(loader: Loader, adopted: Adopt) -> dict[str, object]:
    """Return all that a loader has found, in its order."""
    result = loader.validation
    assert result is not None
    lines = [(getattr(row, "line", 0), getattr(row, "findings", ())) for row in result.configs]
    return {
        "errors": result.errors,
        "warnings": result.warnings,
        "configs": result.configs,
        "lines": lines,
        "accepted": [(one.row, one.rule, one.listed, one.has_order) for one in result.accepted],
        "places": [getattr(one.row, "line", 0) for one in result.accepted],
        "fired": result.fired,
        "notes": result.notes,
        "prices": result.prices,
        "unpriced": result.unpriced,
        "off_price": result.off_price,
        "handed on": list(adopted.accepted.items()),
        "rows handed on": [entry.row for entry in adopted.accepted.values()],
        "undecided": adopted.undecided,
        "rows": loader.configs,
        "waiting for a price": loader.unpriced,
        "the user's notes": loader.notes,
        "standing": loader._off_price,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for all examples of a test: each begins with files of its own."""
    return tmp_path_factory.mktemp("edits")


@given(st.integers(0, 2**32))
@settings(deadline=None)
def test_edit_is_found_to_be_what_it_is(folder: Path, seed: int) -> None:
    """Rows, prices, listing, funds and lives change by chance, and nothing sticks to anything."""
    for name in ("config.csv", "state.csv"):
        (folder / name).unlink(missing_ok=True)
    random = Random(seed)
    twins, sheet = Twins(folder), Sheet(random)
    sheet.rows = [sheet.row() for _ in range(random.randint(0, 8))]
    for _ in range(8):
        anew, again = twins.read(sheet.edit())
        for what in anew:
            assert again[what] == anew[what], what
        twins.kraken.move(random)


def test_row_that_expires_between_two_readings_is_refused_at_the_second() -> None:
    """The time is looked at whenever the file is read, though nobody has touched it."""
    plain = {name: texts[0] for name, texts in CELLS.items()}
    rows = [{**plain, "id": "a", "expires": "2030-01-01T00:00:00Z"}, {**plain, "id": "b"}]
    validator, known, then = ConfigValidator(), KnownRows(), datetime(2030, 1, 1, tzinfo=UTC)
    for now, refused in ((then - timedelta(seconds=1), []), (then, ["a"]), (then, ["a"])):
        result = validator.validate_again(
            known.read(rows), known, armed_before=(), fired=(), now=now
        )
        assert [error["config_id"] for error in result.errors] == refused
        assert [one.rule.id for one in result.accepted] == [i for i in "ab" if i not in refused]
