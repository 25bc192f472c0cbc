"""A snapshot as a program leaves it, for tests, and the pictures that are made of it.

`python tests/kits/signs/sign_kit.py` makes the captures that tests compare anew, and
`docs/live.svg`.
"""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from ttslo_app.face.snapshot import (  # noqa: E402 - as a script it finds them now
    Connection,
    Event,
    Order,
    Row,
    Snapshot,
    judged,
)
from ttslo_app.face.table import Line, drawn, text_of  # noqa: E402 - as a script it finds them now

PICTURE = ROOT / "docs" / "live.svg"
CAPTURES = ROOT / "tests" / "ttslo_app" / "face" / "captures"
# 2027-01-15 08:00:00 UTC
NOW = 1_800_000_000.0
WIDTHS = (40, 80, 120)


def row(name: str = "btc_top", **changes: Any) -> Row:
    """Return an armed row."""
    values: dict[str, Any] = {
        "id": name,
        "pair": "BTC/USD",
        "condition": "at or above 120000",
        "action": "sell 0.01, trailing 5.0 %",
        "state": "armed",
        "detail": "",
        "price": "118000.1",
        "source": "stream",
        "age": 0.2,
        "away": 1.6948,
    }
    return Row(**{**values, **changes})


def order(**changes: Any) -> Order:
    """Return a stop that stands."""
    values: dict[str, Any] = {
        "row": "sol_top",
        "pair": "SOL/USD",
        "txid": "OAAAAA-BBBBB-CCCCCC",
        "action": "sell 12, trailing 4 %",
        "stop": "240.96",
        "best": "251.00",
        "told_by": "Kraken",
        "is_triggered": False,
        "price": "248.30",
        "away": 2.9561,
    }
    return Order(**{**values, **changes})


def connection(name: str = "1", **changes: Any) -> Connection:
    """Return a connection that lives."""
    values: dict[str, Any] = {
        "name": name,
        "link": "live",
        "frame_age": 0.2,
        "down_for": None,
        "subscriptions": 40,
        "messages_per_second": 30.14,
    }
    return Connection(**{**values, **changes})


def event(text: str, level: str = "INFO", before: float = 60.0) -> Event:
    """Return something that was said so many seconds before now."""
    return Event(NOW - before, level, "other", "", text)


def snapshot(**changes: Any) -> Snapshot:
    """Return a snapshot of a program that runs well, half a second old."""
    fired = {"state": "placed", "detail": "open", "condition": "at or above 250"}
    values: dict[str, Any] = {
        "version": "1.0.0",
        "mode": "LIVE",
        "phase": "running",
        "exchange": "Kraken (https://api.kraken.com)",
        "config": "config.csv",
        "state": "state.csv",
        "pid": 4711,
        "host": "attic",
        "started_at": NOW - 7500,
        "written_at": NOW - 0.5,
        "link": "live",
        "frame_age": 0.2,
        "connections": (),
        "armed": 2,
        "late": (),
        "left_out": 0,
        "rows": (
            row(),
            row("eth_dip", pair="ETH/USD", condition="at or below 3600", price="4012.55",
                action="buy 0.5, trailing 2.5 %", away=10.2815),
            row("sol_top", pair="SOL/USD", price="248.30", away=None, **fired,
                action="sell 12, trailing 4 %"),
            row("ada", pair="", condition="", action="", state="refused", price=None, source=None,
                age=None, away=None, detail="Volume is below the minimum of 5"),
        ),
        "orders": (order(),),
        "events": (
            event("sol_top: SOL/USD crossed 250 at 250.02; sell 12 trailing 4 % placed: OAAAAA-"
                  "BBBBB-CCCCCC", before=1800),
            event("blind since 07:44:10Z for 2 markets", "WARNING", 950),
            event("sees again after 4.2 s", before=946),
        ),
    }  # fmt: skip
    return Snapshot(**{**values, **changes})


def lines_of(
    shown: Snapshot, width: int, height: int | None = None, *, is_alive: bool | None = True
) -> list[Line]:
    """Return a snapshot as lines, at the moment of the kit."""
    return drawn(shown, judged(shown, NOW, is_alive=is_alive), NOW, width, height)


def capture(width: int) -> str:
    """Return what a terminal of that width shows."""
    return text_of(lines_of(snapshot(), width)) + "\n"


def picture() -> str:
    """Return the table as a small SVG."""
    from ttslo_app.signs.screen import console_on, styled

    console = console_on(
        io.TextIOWrapper(io.BytesIO(), "utf-8"),
        width=101,
        record=True,
        force_terminal=True,
        color_system="truecolor",
        no_color=False,
    )
    calm = replace(snapshot(), rows=snapshot().rows[:3])
    console.print(styled(lines_of(calm, 100)))
    return console.export_svg(title="ttslo --live", unique_id="ttslo")


if __name__ == "__main__":
    CAPTURES.mkdir(exist_ok=True)
    for columns in WIDTHS:
        (CAPTURES / f"table-{columns}.txt").write_text(capture(columns), encoding="utf-8")
    PICTURE.write_text(picture(), encoding="utf-8")
