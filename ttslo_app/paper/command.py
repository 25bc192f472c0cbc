"""`ttslo paper`: the real program on the real prices, with an exchange inside the process.

No key is looked for, so none can be used: its one client has none, and its orders go to
`paper.exchange`. What it must never do: write into the config, into the files of a real run,
or anything that could be taken for one.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import suppress
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

from kraken_api import WEBSOCKET_AVAILABLE, KrakenAPI
from krakenlink.numbers import plain, readable, to_decimal
from krakenlink.pairs import Pair, shown_pair
from krakenlink.stream.events import Channel
from krakenlink.stream.settings import FeedSettings
from ttslo_app.columns import CONFIG_COLUMNS
from ttslo_app.commands import cli
from ttslo_app.messages import tell
from ttslo_app.orders.life import Life
from ttslo_app.orders.ports import Exchange
from ttslo_app.paper import words
from ttslo_app.paper.exchange import DEFAULT_FEE, PaperExchange, PaperMarket
from ttslo_app.rules.rule import Direction, Rule, WhenBlind
from ttslo_app.run.files import OrderFiles
from ttslo_app.run.parts import Options
from ttslo_app.run.program import Program, keeping_journal
from ttslo_app.signs.beat import add_flags as add_sign_flags
from ttslo_app.signs.page import add_flags as add_web_flags
from ttslo_app.signs.page import stray_flag
from ttslo_app.signs.screen import check_available as check_rich
from ttslo_app.signs.telling import add_flags, telling_from
from ttslo_app.store.lock import StateLock
from ttslo_app.store.manager import ConfigManager
from ttslo_app.store.place import refuse_same
from ttslo_app.terminal import Parser, seconds_of

STATE, LOG, NEAR = "paper_state.csv", "paper_log.csv", "paper_near.csv"
# How far beyond the price the row of `--near` waits, and how far its stop stays: percent. The stop
# of a row must stay on this side of its price of now.
_NEAR, _OFFSET = Decimal("0.06"), Decimal("0.05")


def parser() -> argparse.ArgumentParser:
    """Return the flags of the command."""
    made = Parser(
        prog="ttslo paper",
        description="Rehearses the rows of a config: the real program on Kraken's live prices, "
        "with orders that trail, trigger and fill inside this process. It needs no key, reads "
        "none, and can place nothing.",
        epilog=f"Writes {STATE} and {LOG}, each time anew. Exit codes: 0 ended by Ctrl-C or "
        "SIGTERM; 1 cannot run; 2 a flag is wrong.",
    )
    add = made.add_argument
    add("--config", default="config.csv", help="the rules, which are only read (config.csv)")
    add("--near", metavar="PAIR", help=f"write {NEAR} with one row just beyond the price of now, "
        "and run that")  # fmt: skip
    add("--fee", type=_percent, default=DEFAULT_FEE, help="of a fill, in percent (default: 0.40)")
    add("--interval", type=seconds_of, default=60.0, metavar="SECONDS",
        help="between two looks at pairs that do not stream (default: 60)")  # fmt: skip
    add("--verbose", action="store_true", help="print warnings of the validation and more")
    add("--debug", action="store_true", help="print everything")
    add_flags(add)
    add_sign_flags(add)
    add_web_flags(add)
    # What the rest of the program asks of its options.
    made.set_defaults(state=STATE, log=LOG, once=False, strict=False, no_websocket=False,
        env_file=None, store=None)  # fmt: skip
    return made


def _percent(text: str) -> Decimal:
    try:
        value = to_decimal(text.strip().removesuffix("%"))
    except ValueError:
        value = Decimal(-1)
    if not 0 <= value < 100:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no fee; write percent, such as 0.40")
    return value


def main(argv: Sequence[str]) -> int:
    """Rehearse until Ctrl-C or SIGTERM, and return the exit code. Blocks."""
    flags = parser()
    options = flags.parse_args(argv)
    if options.near is not None and options.config != flags.get_default("config"):
        flags.error(words.needs_no("--config"))
    if options.live and options.log_format == "json":
        flags.error("--live draws for people, --log-format json is for programs; leave one out")
    if stray := stray_flag(options):
        flags.error(stray)
    cli.configure_logging(options)
    return cli.guarded(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    if options.live:
        check_rich()
    # Without keys, whatever the environment holds: what is not there cannot be used.
    reading = KrakenAPI(feed_settings=FeedSettings(gather_for=0.0))
    if options.near is not None:
        options.config = NEAR
    refuse_same({"config": options.config, "state": STATE, "log": LOG})
    if options.near is None and not Path(options.config).exists():
        raise ValueError(words.no_config(options.config))
    telling = telling_from(options)  # flags alone: settings are for the real run
    with StateLock(STATE) as lock:
        warnings = [lock.absence] if lock.absence else []
        if options.near is not None:
            warnings.append(words.near_written(NEAR, _write_near(reading, options.near)))
        kept = _put_aside(STATE, f"{STATE}.intents", f"{STATE}.tape", LOG)
        manager = ConfigManager(options.config, STATE, LOG)
        program = PaperProgram(manager, reading, _wanted(options), options.fee)
        program.files.locks = [lock]
        with telling.over(program, "PAPER"), keeping_journal(program):
            code = cli.give_signs(program, options, warnings)
            if kept:
                tell(program.say, words.earlier_kept(kept))
            for sentence in words.summary(program.outcomes(), options.fee):
                tell(program.say, sentence)
            return code


def _wanted(options: argparse.Namespace) -> Options:
    return Options(
        verbose=options.verbose,
        debug=options.debug,
        when_blind=WhenBlind.ARM_IF_BEYOND,
        is_json=options.log_format == "json",
    )


def _put_aside(*names: str) -> list[str]:
    """Keep what an earlier rehearsal left, and begin anew; return the names that it has now."""
    kept = []
    for name in names:
        with suppress(FileNotFoundError):
            Path(name).replace(f"{name}.before")
            kept.append(f"{name}.before")
    return kept


def _write_near(reading: KrakenAPI, name: str) -> str:
    """Write a config with one row just beyond the price of now, and return that row. Blocks.

    Raises:
        ValueError, LookupError: If there is no such pair, or its least order is not known.
        KrakenError: If Kraken cannot be asked.
    """
    try:
        pair = reading.resolve_pair(name)
    except LookupError as error:
        raise ValueError(str(error)) from None
    row = near_row(pair, to_decimal(str(reading.get_quote(name).price)))
    Path(NEAR).write_text(f"{','.join(CONFIG_COLUMNS)}\n{row}\n", encoding="utf-8")
    return row


def near_row(pair: Pair, price: Decimal) -> str:
    """Return a row that sells the least there is, once the price has risen a little.

    Raises:
        ValueError: If the least order of the pair is not known.
    """
    shown = shown_pair(pair.symbol or pair.rest_key)
    if pair.ordermin is None or pair.price_decimals is None:
        raise ValueError(words.no_least(shown))
    tick = Decimal(1).scaleb(-pair.price_decimals)
    threshold = (price * (1 + _NEAR / 100)).quantize(tick, rounding=ROUND_CEILING)
    threshold = max(threshold, price + tick)
    lot = Decimal(1).scaleb(-(8 if pair.lot_decimals is None else pair.lot_decimals))
    # A tenth more than the least cost: the price may fall before the order leaves.
    least = max(pair.ordermin, (pair.costmin or Decimal(0)) / price * Decimal("1.1"))
    volume = least.quantize(lot, rounding=ROUND_CEILING)
    return f"near,{shown},{plain(threshold)},above,sell,{plain(volume)},{plain(_OFFSET)},true"


class PaperFiles(OrderFiles):
    """The files of a rehearsal: its own state is written, the config never."""

    def note_orders(self, lives: Sequence[Life]) -> Sequence[str]:
        """Leave config.csv as it is: the state of the rehearsal says what has fired."""
        return ()


class PaperProgram(Program):
    """The program, with an exchange of its own inside.

    Args:
        config_manager: The files.
        reading: Where prices come from; it has no key.
        options: What the user chose.
        fee: What a fill pays, in percent.
    """

    def __init__(
        self, config_manager: ConfigManager, reading: KrakenAPI, options: Options, fee: Decimal
    ) -> None:
        self.fee = fee
        super().__init__(config_manager, reading, None, options)

    @property
    def mode(self) -> str:
        """What this run is, in the words of its first line."""
        return "PAPER"

    def make_files(self) -> OrderFiles:
        """Return its files as the order thread has them."""
        return PaperFiles(self.config_manager, is_dry=False)

    def make_exchange(self) -> Exchange:
        """Return the exchange inside this process."""
        api: KrakenAPI = self.kraken_api_readonly
        self.paper = PaperExchange(api.resolve_pair, self.kraken_clock.now, self.fee)
        return self.paper

    def run_continuous(self, interval: float = 60) -> None:
        """Run until `stop` or Ctrl-C, and move the exchange by the same prices. Blocks."""
        provider = self.kraken_api_readonly.price_provider() if WEBSOCKET_AVAILABLE else None
        reader = provider.open_feed(sink=self.paper.events) if provider is not None else None

        def follow(symbol: str) -> None:
            for channel in (Channel.TRADE, Channel.TICKER):
                if provider is not None:
                    provider.subscribe_symbol(symbol, channel)

        market = PaperMarket(self.paper, self.worker, self._last_prices, follow)
        market.start()
        try:
            super().run_continuous(interval)
        finally:
            market.stop()
            if reader is not None:
                reader.close()

    def _last_prices(self) -> dict[str, tuple[Decimal, float]]:
        return {} if self.live is None else dict(self.live.watch.last)

    def outcomes(self) -> list[words.Outcome]:
        """Return what became of each row that was accepted, for the summary."""
        ledger = self.worker.ledger
        return [
            self._outcome(
                entry.rule, dict(self.state.get(rule_id) or {}), ledger.stops.get(rule_id)
            )
            for rule_id, entry in list(ledger.rules.items())
        ]

    def _outcome(self, rule: Rule, cells: dict[str, Any], stop: Any) -> words.Outcome:
        fill = self.paper.fills.get(cells.get("order_id", ""))
        crossed = cells.get("trigger_price", "")
        pair = shown_pair(rule.pair)
        return words.Outcome(
            row=rule.id,
            condition=f"{pair} at or {rule.threshold_type} {readable(rule.threshold)}",
            quote=pair.partition("/")[2] or "of its quote currency",
            is_sell=rule.direction is Direction.SELL,
            crossed_at=to_decimal(crossed) if crossed else None,
            volume=self.paper.volume_of(cells.get("order_id", "")),
            stop=None if stop is None else stop.price,
            price=None if fill is None else fill.price,
            fee=None if fill is None else fill.fee,
            fee_percent=self.fee,
        )
