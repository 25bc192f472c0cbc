"""TTSLO inside a program of your own: its words in your log, its end in your hands.

python examples/ttslo_integration.py --embedded   places an order at the embedded exchange
python examples/ttslo_integration.py              on Kraken: a dry run, nothing is placed
"""

from __future__ import annotations

import logging
import sys
import tempfile
import threading
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from _exchange import open_market

from config import ConfigManager
from kraken_api import KrakenAPI
from ttslo import TTSLO

if TYPE_CHECKING:
    from fake_kraken import FakeKraken

HEADER = "id,pair,threshold_price,threshold_type,direction,volume,trailing_offset_percent,enabled"


class MyTTSLO(TTSLO):
    """TTSLO whose sentences go to this program's log instead of the terminal."""

    def log(self, level: str, message: str, **fields: object) -> None:
        """Take a sentence; called from any of TTSLO's threads."""
        self.config_manager.log(level, message, **fields)  # logs.csv, as ever
        logging.getLogger("my.program").log(logging.getLevelName(level), message)


def write_rules(folder: Path, price: Decimal) -> ConfigManager:
    """Write one rule whose threshold lies half a percent above `price`."""
    threshold = (price * Decimal("1.005")).quantize(Decimal("0.1"))
    rule = f"my_rule,BTC/USD,{threshold},above,sell,0.01,0.3,true"
    (folder / "config.csv").write_text(f"{HEADER}\n{rule}\n", encoding="utf-8")
    return ConfigManager(folder / "config.csv", folder / "state.csv", folder / "logs.csv")


def watch(program: TTSLO, exchange: FakeKraken | None, seconds: float) -> None:
    """Run the program on a thread of its own, and end it after the order or after `seconds`."""
    thread = threading.Thread(target=program.run_continuous, args=(5,), name="my-ttslo")
    thread.start()
    pause = threading.Event()  # your program would do its own work here
    if exchange is not None:
        exchange.wait_for(lambda e: e.is_subscribed("BTC/USD", "trade"))
        exchange.set_price("BTC/USD", exchange.price_of("BTC/USD") * Decimal("1.006"))
    for _ in range(round(seconds / 0.1)):
        pause.wait(0.1)
        if program.state.get("my_rule", {}).get("order_id"):
            break
    program.stop()
    thread.join()


def main() -> None:
    """Let a rule wait for its price, and see what came of it."""
    form = "%(levelname)s %(name)s: %(message)s"
    logging.basicConfig(stream=sys.stdout, format=form, level=logging.WARNING)
    logging.getLogger("my.program").setLevel(logging.INFO)
    with open_market(__doc__, pairs=()) as market, tempfile.TemporaryDirectory() as folder:
        reading = market.client()
        trading: KrakenAPI | None = market.client(use_websocket=False) if market.exchange else None
        manager = write_rules(Path(folder), reading.get_quote("BTC/USD").price)
        program = MyTTSLO(manager, reading, trading, dry_run=trading is None)
        program.load_state()
        program.recover()  # what an earlier run left open; first, before anything may fire
        program.validate_and_load_config()
        program.report()
        watch(program, market.exchange, market.seconds)
        life = program.state.get("my_rule", {})
        print(f"order: {life.get('order_id') or 'none yet, the threshold was not reached'}")


if __name__ == "__main__":
    main()
