"""The whole way: look a pair up, write a rule, check it, run dry, run, and see the stop filled.

    python examples/complete_workflow.py --embedded
    python examples/complete_workflow.py             on Kraken: up to the dry run, without keys

The steps are what `ttslo` does with --validate-config, with --dry-run, and without a flag.
"""

from __future__ import annotations

import tempfile
import threading
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from _exchange import open_market

from config import ConfigManager
from kraken_api import KrakenAPI
from ttslo import TTSLO
from ttslo_app.orders.life import OrderSettings
from validator import ConfigValidator, format_validation_result

if TYPE_CHECKING:
    from fake_kraken import FakeKraken

HEADER = "id,pair,threshold_price,threshold_type,direction,volume,trailing_offset_percent,enabled"


def write_rule(api: KrakenAPI, folder: Path) -> ConfigManager:
    """Look the pair up, and write a rule that fits it and today's price."""
    pair = api.resolve_pair("btc-usd")
    price = api.get_quote(pair.altname, max_age=5).price
    print(f"1  {pair.rest_key}: least volume {pair.ordermin}, now at {price}")
    threshold = (price * Decimal("1.02")).quantize(pair.tick_size or Decimal("0.1"))
    rule = f"take_profit,{pair.altname},{threshold},above,sell,0.01,0.5,true"
    (folder / "config.csv").write_text(f"{HEADER}\n{rule}\n", encoding="utf-8")
    return ConfigManager(folder / "config.csv", folder / "state.csv", folder / "logs.csv")


def run(program: TTSLO) -> None:
    """Start as the command line does, and go on until somebody calls `program.stop()`."""
    program.load_state()
    program.recover()
    program.check_config_file_changed()
    program.validate_and_load_config()
    program.report()
    program.run_continuous(5)


def play(exchange: FakeKraken, program: TTSLO) -> None:
    """Let the price rise over the threshold, on to its best, and fall through the stop."""
    # At the start each armed row's order is sent with `validate`: from then on it is watched.
    exchange.wait_for(lambda e: e.count("AddOrder") > 0)
    start = exchange.price_of("XBTUSD")
    exchange.set_price("XBTUSD", start * Decimal("1.021"))
    exchange.wait_for(lambda e: e.placed_count() == 1)
    for share in ("1.030", "1.040", "1.034"):
        exchange.set_price("XBTUSD", start * Decimal(share))
    exchange.wait_for(lambda e: program.state["take_profit"].get("rule_state") == "closed")
    program.stop()


def main() -> None:
    """Go the whole way."""
    with open_market(__doc__, pairs=()) as market, tempfile.TemporaryDirectory() as folder:
        api, exchange = market.client(), market.exchange
        manager = write_rule(api, Path(folder))

        result = ConfigValidator(api).validate_config_file(manager.load_config())
        print(f"2  the check\n{format_validation_result(result)}")

        print("3  a dry run, which places and writes nothing")
        dry = TTSLO(manager, api, dry_run=True)
        threading.Timer(1.0, dry.stop).start()
        run(dry)

        if exchange is None:
            print("4  is left out: no example places an order at Kraken")
            return
        print("4  the real thing")
        trading, often = market.client(use_websocket=False), OrderSettings(watch=0.3)
        program = TTSLO(manager, api, trading, settings=often)  # looks at its orders that often
        threading.Thread(target=play, args=(exchange, program), name="example-prices").start()
        run(program)
        for order in exchange.orders:
            price = Decimal(order["price"])
            print(f"5  {order['descr']['order']}: {order['status']}, filled at {price:.1f}")


if __name__ == "__main__":
    main()
