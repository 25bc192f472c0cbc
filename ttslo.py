"""The command `ttslo`, and the class `TTSLO` that earlier versions offered."""

from __future__ import annotations

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - a `pathlib` may lie here
if __name__ == "__main__" and sys.path[0] == os.getcwd() != _HERE:  # noqa: PTH109 - likewise
    # `python -m ttslo` looks into the working folder first, where somebody else's `creds.py` or
    # `config.py` would pass for ours: what may place orders runs no file that lies about.
    del sys.path[0]

import time
from collections.abc import Mapping
from typing import Any

from krakenlink import VERSION
from krakenlink.numbers import plain, to_positive_decimal
from ttslo_app.commands.cli import main
from ttslo_app.messages import Kind, Market
from ttslo_app.orders.exchange import KrakenExchange, is_real
from ttslo_app.orders.life import OrderSettings
from ttslo_app.orders.ports import Exchange
from ttslo_app.orders.stand_ins import StandInExchange
from ttslo_app.orders.words import DRY_RUN_ORDER_ID
from ttslo_app.rules.findings import Accepted
from ttslo_app.rules.rule import ThresholdType, WhenBlind, read_rule
from ttslo_app.run.parts import Options
from ttslo_app.run.program import Program
from ttslo_app.store.manager import ConfigManager
from ttslo_app.watch.past import Pace

__all__ = ["TTSLO", "__version__", "main"]

__version__ = VERSION


class TTSLO(Program):
    """The program as earlier callers know it: row by row, and with stand-ins for Kraken.

    Args:
        config_manager: The three files.
        kraken_api_readonly: Where prices come from; anything with `get_current_price`.
        kraken_api_readwrite: Where orders go; anything with `add_trailing_stop_loss`. None: the
            program watches and says that it cannot place orders.
        dry_run: Place nothing, write neither state nor config.
        verbose: Print details too.
        debug: Print everything.
        settings: The numbers of the order protocol.
        when_blind: What becomes of rows whose threshold was crossed while nobody could see it,
            unless their cell `when_blind` says otherwise.
        pace: How fast trades of blind times are fetched; Kraken's limits where left out.
        metrics_port: Where `run_continuous` serves figures on this machine; None for nowhere.

    Attributes:
        state: What became of each rule, text by column, by id.
        configs: The rows that may trade.
        config_file_mtime: When config.csv was last changed, as far as it was looked at.
        is_blind: Whether `run_once` found no price at all for rows that wait for one.
    """

    def __init__(
        self,
        config_manager: ConfigManager,
        kraken_api_readonly: Any,  # duck-typed by contract, as the next one
        kraken_api_readwrite: Any = None,
        dry_run: bool = False,
        verbose: bool = False,
        debug: bool = False,
        *,
        settings: OrderSettings | None = None,
        when_blind: WhenBlind = WhenBlind.ARM_IF_BEYOND,
        pace: Pace | None = None,
        metrics_port: int | None = None,
    ) -> None:
        options = Options(
            dry_run=dry_run,
            verbose=verbose,
            debug=debug,
            settings=settings or OrderSettings(),
            when_blind=when_blind,
            pace=pace,
            metrics_port=metrics_port,
        )
        super().__init__(config_manager, kraken_api_readonly, kraken_api_readwrite, options)

    # --- one row -------------------------------------------------------------------------------

    def check_threshold(self, config: Mapping[str, Any], current_price: object) -> bool:
        """Tell whether `current_price` is at or beyond the threshold of a row.

        Anything doubtful is False, with an ERROR in the log.
        """
        try:
            price = to_positive_decimal(current_price)
        except ValueError as error:
            said = f"No threshold is checked against a doubtful price: {error}"
            self.say("ERROR", said, kind=Kind.PRICE)
            return False
        if not isinstance(config, Mapping):
            said = f"A rule must be a dict of text, not {type(config).__name__}"
            self.say("ERROR", said, kind=Kind.CONFIG)
            return False
        try:
            threshold = to_positive_decimal(config.get("threshold_price"))
            kind = ThresholdType(str(config.get("threshold_type", "")).strip().lower())
        except ValueError as error:
            said = f"{config.get('id')}: the threshold cannot be checked: {error}"
            self.say("ERROR", said, kind=Kind.CONFIG)
            return False
        return kind.is_met(threshold, price)

    def create_tsl_order(self, config: Mapping[str, Any], trigger_price: object) -> str | None:
        """Place the trailing stop of a row now, whatever the price; once per arming. Blocks.

        After a call of which nobody knows whether it placed an order, the next one asks Kraken.
        Where a stand-in cannot be asked it sends anew: calling again is the caller's decision.

        Returns:
            Kraken's order id, `DRY_RUN_ORDER_ID` in a dry run, None on any doubt or failure.
        """
        try:
            price = to_positive_decimal(trigger_price)
            if not isinstance(config, Mapping):
                raise ValueError(f"a rule must be a dict of text, not {type(config).__name__}")
            # What fires the order is not this method's business: the row may do without it.
            defaults = {"threshold_price": plain(price), "threshold_type": "above"}
            rule = read_rule({**defaults, **config, "enabled": "true"})
        except ValueError as error:
            said = f"No order is placed for a doubtful row or price: {error}"
            self.say("ERROR", said, kind=Kind.CONFIG)
            return None
        if self.dry_run:
            said = f"{rule.id}: dry run, no order is placed"
            self.say("INFO", said, kind=Kind.PLACED, pair=rule.pair)
            return DRY_RUN_ORDER_ID
        self.inline.decide_anew(rule.id)
        return self.inline.fire(rule, price, str(trigger_price))

    def process_config(self, config: Mapping[str, Any], current_price: object = None) -> None:
        """Check one row against a price, and place its order if the threshold is met. Blocks.

        Args:
            config: A row, text by column.
            current_price: The price; asked of the read-only API where it is None.
        """
        rule = self.inline.waiting_rule(config)
        if rule is None:
            return
        price = self._price_of(rule.pair) if current_price is None else current_price
        if price is None:
            return
        self.inline.note_look(rule)
        if self.check_threshold(config, price):
            self.inline.fire(rule, to_positive_decimal(price), str(price))

    def look_at(self, row: Mapping[str, Any], price: object) -> None:
        """Do what `process_config` does, in a subclass that has its own, too."""
        self.process_config(row, price)

    def _price_of(self, pair: str) -> object:
        try:
            return self.kraken_api_readonly.get_current_price(pair)
        except Exception as error:  # noqa: BLE001 - a stand-in raises what it likes; one pair is isolated
            self.say("WARNING", f"{pair}: no price: {error}", kind=Kind.PRICE, pair=pair)
            return None

    # --- with a stand-in for Kraken ------------------------------------------------------------

    def make_exchange(self) -> Exchange | None:
        """Return what orders go to, a stand-in too; None where there is nothing to trade with."""
        trading, reading = self.kraken_api_readwrite, self.kraken_api_readonly
        if self.dry_run or trading is None:
            return super().make_exchange()
        if not is_real(trading):
            return StandInExchange(trading, time.time)
        known = reading if is_real(reading) else trading
        return KrakenExchange(trading, known, time.time, self.say, self.kraken_clock)

    def market_of(self, pair: str) -> Market:
        """Return the market of a pair; the pair as typed where nobody knows Kraken's names."""
        if is_real(self.kraken_api_readonly) or isinstance(self.worker.exchange, KrakenExchange):
            return super().market_of(pair)
        return Market(pair, pair)

    def market_of_row(self, accepted: Accepted) -> Market:
        """Return the market of a row that was accepted."""
        if is_real(self.kraken_api_readonly):
            return super().market_of_row(accepted)
        return self.market_of(accepted.rule.pair)

    def prices_of(self, pairs: list[str]) -> Mapping[str, object]:
        """Return a price or None for each of `pairs`; a stand-in is asked for one by one."""
        if is_real(self.kraken_api_readonly):
            return super().prices_of(pairs)
        return {pair: self._price_of(pair) for pair in pairs}

    def run_continuous(self, interval: float = 60) -> None:
        """Run until `stop` or Ctrl-C. Blocks.

        With a true `KrakenAPI` each tick is checked as it arrives, and `interval` is for pairs
        that do not stream; with anything else all rows are looked at every `interval` seconds.
        """
        if is_real(self.kraken_api_readonly):
            super().run_continuous(interval)
            return
        try:
            while not self.stopping.is_set():
                self.run_once()
                self.stopping.wait(interval)
        except KeyboardInterrupt:
            self.say("INFO", "Stopped", kind=Kind.STOP)
        self.save_state()


if __name__ == "__main__":
    sys.exit(main())
