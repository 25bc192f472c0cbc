"""`ttslo whatif`: what the rows of a config would have done on the trades of the past.

The rule book of a live run says what crosses, the embedded exchange's engine trails and fills.
Nothing is written but the page that is asked for, and no key is read. What it must never do: pass
over a row, a hole in the prices or an assumption in silence.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from krakenlink.machine import replace_file
from krakenlink.numbers import to_decimal
from ttslo_app.backtest.asked import begin_of, grid_of
from ttslo_app.terminal import Parser, put, put_trouble

# Of the form of `--json`; a change that a reader could notice gives it another number.
SCHEMA = 1
_NEEDS = "ttslo whatif needs the package numpy: pip install numpy pyarrow"


def parser() -> argparse.ArgumentParser:
    """Return the flags of the command."""
    made = Parser(
        prog="ttslo whatif",
        description="Tells what each enabled row would have done on the prices of a file, beside "
        "the same coins sold at the crossing, with a stop that does not trail, and held.",
        epilog="Exit codes: 0 done; 1 a file cannot be used, Kraken does not tell, or no row is of "
        "the pair; 2 a flag is wrong; 130 ended by Ctrl-C.",
    )
    add = made.add_argument
    add("--config", type=Path, default=Path("config.csv"), help="the rules (default: config.csv)")
    _add_sources(made)
    add("--pair", help="whose prices they are (default: the file's name, or the rows' only pair)")
    add("--cache", type=Path, metavar="FOLDER", help="where --since keeps its trades")
    add("--fee", type=_percent, default=Decimal("0.40"), help="in percent (default: 0.40)")
    add("--slippage", type=_percent, default=Decimal("0.05"), help="in percent (default: 0.05)")
    add(
        "--sweep",
        nargs=2,
        metavar="GRID",
        help="many thresholds with many offsets instead of the rows' own: threshold=+1%%..+20%%:20 "
        "offset=0.5%%..10%%:20",
    )
    add("--row", metavar="ID", help="whose direction and volume --sweep takes (default: the first)")
    add("--html", type=Path, metavar="FILE", help="write it as one page that needs nothing else")
    add("--json", action="store_true", help="tell it as one JSON object")
    return made


def _add_sources(made: argparse.ArgumentParser) -> None:
    """Add where prices come from; one of them is needed."""
    source = made.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--trades",
        type=Path,
        metavar="FILE",
        help="Kraken's time and sales: timestamp,price,volume; .csv, .csv.gz or .zip",
    )
    source.add_argument(
        "--replay",
        type=Path,
        metavar="FILE",
        help="a row a minute: timestamp,open,high,low,close,volume",
    )
    source.add_argument(
        "--candles",
        type=Path,
        metavar="FILE",
        help="Kraken's OHLCVT: timestamp,open,high,low,close,volume,trades; tells the best and the "
        "worst order of prices inside each candle",
    )
    source.add_argument(
        "--since",
        type=_span,
        metavar="SPAN",
        help="Kraken's trades of a span up to now, such as 30d, 12h or 2026-11-01, over REST: "
        "about 1,000 trades a second; they are kept, and Ctrl-C loses none",
    )


def _percent(text: str) -> Decimal:
    value = to_decimal(text)
    if not 0 <= value < 100:
        raise ValueError
    return value


def _span(text: str) -> str:
    begin_of(text, time.time())
    return text


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code. Blocks."""
    made = parser()
    options = made.parse_args(argv)
    try:
        options.sweep = options.sweep and grid_of(options.sweep)
    except ValueError as error:
        made.error(f"--sweep: {error}")
    try:
        from ttslo_app.backtest.page import PageUnavailable, page_of
        from ttslo_app.whatif.work import Trouble, report
    except ImportError:
        put_trouble(_NEEDS)
        return 1
    try:
        told = report(options)
        if options.html:
            replace_file(options.html, page_of(told.study).encode(), is_durable=False)
    except (Trouble, PageUnavailable) as trouble:
        put_trouble(str(trouble))
        return 1
    except OSError as error:
        put_trouble(f"{options.html} cannot be written: {error.strerror}")
        return 1
    if options.json:
        put(json.dumps({"schema": SCHEMA, **told.record}))
    else:
        put("\n".join(told.lines))
        if options.html:
            put(f"\nwritten: {options.html}")
    return 0
