"""The program: files, prices and orders put together, from the first reading to the last word.

Prices are read by `run.live`, orders placed by `orders.worker`, config.csv is read by `run.loader`.
What it must never do: print, but by way of its voice, or write while the order thread does.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any

from kraken_api import WEBSOCKET_AVAILABLE
from krakenlink.errors import KrakenError
from krakenlink.numbers import to_positive_decimal
from ttslo_app.face.voice import Voice, as_json, as_text, show_line, write_line
from ttslo_app.messages import Kind, Market, Said, tell
from ttslo_app.orders.exchange import KrakenExchange, market_from
from ttslo_app.orders.intents import may_have_fired, with_intents
from ttslo_app.orders.ledger import State, cells_like_others
from ttslo_app.orders.ports import Exchange
from ttslo_app.orders.stand_ins import DryRunExchange
from ttslo_app.orders.worker import OrderWorker
from ttslo_app.rules.checks import ConfigValidator
from ttslo_app.rules.findings import Accepted, ValidationResult
from ttslo_app.rules.rule import Rule, reading_of
from ttslo_app.run import words
from ttslo_app.run.account_watch import account_feed_of
from ttslo_app.run.files import OrderFiles
from ttslo_app.run.inline import InlineOrders
from ttslo_app.run.live import LiveRun
from ttslo_app.run.loader import Loader
from ttslo_app.run.parts import (
    Item,
    Options,
    World,
    ask_for_time,
    ask_if_doubtful,
    begin_beside,
    kraken_clock,
)
from ttslo_app.run.streams import Streams
from ttslo_app.store.manager import ConfigManager

# Lines at a time: those of 100,000 rows, as they are written and as they are shown, fill 50 MB.
_BLOCK = 1000
# The last words get so long to reach a screen and a log that may be stuck.
_LAST_WORDS = 2.0


class Program:
    """Watches prices and places trailing stops.

    Args:
        config_manager: The files.
        kraken_api_readonly: The `KrakenAPI` that prices come from; its subclass in the door also
            takes what only resembles one, as the next.
        kraken_api_readwrite: The one with a trading key. None: the program watches and says that
            it cannot place orders.
        options: What the user chose.

    Attributes:
        state: What became of each rule, text by column, by id; a live dict.
        configs: The rows that may trade.
        config_file_mtime: When config.csv was last changed, as far as it was looked at.
        is_blind: Whether `run_once` found no price at all for rows that wait for one.
        is_saved: Whether state.csv says all that is known.
        files: Its files as the order thread has them.
        worker: The order thread.
        inline: Its work on the caller's thread, rule by rule, while it does not run.
        live: What reads the prices, while it runs and afterwards.
        loader: What reads config.csv.
        stopping: Set once it is to end.
    """

    def __init__(
        self,
        config_manager: ConfigManager,
        kraken_api_readonly: Any,
        kraken_api_readwrite: Any = None,
        options: Options | None = None,
    ) -> None:
        options = self.options = options or Options()
        self.config_manager = config_manager
        self.kraken_api_readonly = kraken_api_readonly
        self.kraken_api_readwrite = kraken_api_readwrite
        self.dry_run, self.verbose, self.debug = options.dry_run, options.verbose, options.debug
        self.config_file_mtime: float | None = None
        self.is_blind = self.is_saved = False
        self.live: LiveRun | None = None
        self.stopping = threading.Event()
        self.kraken_clock, self.clocks = kraken_clock(self.say)
        show, form = (write_line, as_json) if options.is_json else (show_line, as_text)
        self.voice = Voice(config_manager.log, lambda text: show(sys.stdout, text), form)
        if isinstance(config_manager, ConfigManager):
            config_manager.tell_log_troubles(self.voice.show_trouble)
        self.files = self.make_files()
        self._inbox: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self.worker = OrderWorker(
            {},
            self.files,
            self.make_exchange(),
            clock=self.clocks,
            say=self.say,
            post=self._inbox.put,
            settings=options.settings,
            step=options.step,
        )
        self.inline = InlineOrders(self.worker, self.clocks, self.say)
        self.loader = _loader_of(self)

    @property
    def mode(self) -> str:
        """What this run is, in the words of its first line."""
        return "DRY RUN" if self.dry_run else "LIVE"

    # Whether the account's stream is followed, or orders are looked at over REST only.
    follows_account = True

    @property
    def rests(self) -> bool:
        """Whether another host leads, so that no key is used."""
        return False

    def make_files(self) -> OrderFiles:
        """Return its files as the order thread has them."""
        return OrderFiles(self.config_manager, is_dry=self.dry_run)

    def make_exchange(self) -> Exchange | None:
        """Return what orders go to, None where there is no trading key."""
        if self.dry_run:
            return DryRunExchange(self.market_of, self.kraken_clock.now)
        if self.kraken_api_readwrite is None:
            return None
        trading, reading = self.kraken_api_readwrite, self.kraken_api_readonly
        return KrakenExchange(trading, reading, time.time, self.say, self.kraken_clock)

    def market_of(self, pair: str) -> Market:
        """Return the market of a pair. May block the first time.

        Raises:
            LookupError: If Kraken has no such pair.
            KrakenError: If Kraken cannot be asked.
        """
        if isinstance(exchange := self.worker.exchange, KrakenExchange):
            return exchange.market_of(pair)  # so that a crossing finds it known
        return market_from(self.kraken_api_readonly.resolve_pair(pair))

    def market_of_row(self, accepted: Accepted) -> Market:
        """Return the market of a row that was accepted; as `market_of`, but mostly without asking.

        Raises:
            LookupError: If Kraken has no such pair.
            KrakenError: If Kraken cannot be asked.
        """
        exchange, pair, listed = self.worker.exchange, accepted.rule.pair, accepted.listed
        if listed is None:
            return self.market_of(pair)  # no listing was there to be asked
        if isinstance(exchange, KrakenExchange):
            return exchange.learn(pair, listed)  # so that a crossing finds it known
        return market_from(listed)

    @property
    def state(self) -> State:
        """What became of each rule: text by column, by id."""
        return self.worker.state

    @state.setter
    def state(self, rows: State) -> None:
        self.worker.state = rows

    @property
    def configs(self) -> list[Mapping[str, Any]]:
        """The rows that may trade."""
        return self.loader.configs

    @configs.setter
    def configs(self, rows: list[Mapping[str, Any]]) -> None:
        self.loader.configs = rows

    @property
    def validation(self) -> ValidationResult | None:
        """What the last validation of config.csv found; None before the first."""
        return self.loader.validation

    # --- words -------------------------------------------------------------------------------

    def say(self, level: str, message: str, *, kind: Kind = Kind.OTHER, **fields: object) -> None:
        """Do what `log` does, for the program's parts; who listens chooses by the kind."""
        said = Said(kind, level, str(fields.get("id", "")), message, time.time())
        if type(self).log is Program.log:
            self._speak(said, fields)
        else:  # a host program's, which knows no kinds
            self.log(level, message, **fields)
        self.voice.tell(said)

    def log(self, level: str, message: str, **fields: object) -> None:
        """Write a line to the log file, and print it unless it is a detail nobody asked for.

        While the program runs live nobody waits for that: see `face.voice`.
        """
        row = str(fields.get("id", ""))
        self._speak(Said(Kind.OTHER, level, row, message, time.time()), fields)

    def _speak(self, said: Said, fields: Mapping[str, object]) -> None:
        self.voice.log(said.level, said.text, **fields)
        if said.level.upper() != "DEBUG" or self.debug:
            self.voice.show(self.voice.form(said))

    def _log_lines(self, messages: Iterable[str]) -> None:
        """Do what `log` does for many, with few writes: each costs more than a line is worth."""
        has_own_log = type(self).log is not Program.log  # a host program's, which wants every word
        if has_own_log or not isinstance(self.config_manager, ConfigManager):
            for message in messages:
                self.log("INFO", message)
            return
        left = iter(messages)
        while block := list(islice(left, _BLOCK)):
            self.config_manager.log_lines("INFO", block)
            self.voice.show_rows(block)

    def report(self) -> None:
        """Print one line a row: armed and how far, fired, disabled, or refused and why."""
        self._log_lines(self.loader.standings())

    # --- files -------------------------------------------------------------------------------

    def load_state(self) -> None:
        """Read the state file; rows whose past cannot be known do not trade, and that is said."""
        found = self.config_manager.load_state_checked()
        intents, damage = self.files.load_intents()
        rows = with_intents(found.rows, intents)
        self.worker.state = {name: cells_like_others(cells) for name, cells in rows.items()}
        for problem in found.problems:
            tell(self.say, words.state_problem(problem.message, found.copy))
            self.worker.ledger.distrust(problem.ids or None)
        if damage:
            tell(self.say, words.journal_damaged(damage))
            self.worker.ledger.distrust(may_have_fired(self.state))
            self.worker.ledger.distrust(None)

    def save_state(self) -> None:
        """Write the state file durably; nothing in a dry run. A failure is said, not raised.

        Nothing either while the order thread runs: it writes by itself, and what it has just
        written down of an order must not be taken for a part of what was written here.
        """
        self.is_saved = False
        if self.worker.is_running:
            return
        try:
            self.files.save_state(self.state)
            self.is_saved = True
        except (OSError, TypeError) as error:
            tell(self.say, words.state_not_saved(error))

    def check_config_file_changed(self) -> bool:
        """Tell whether config.csv is new to this program; its own writes are not.

        Also True some seconds after a reading that left questions open.
        """
        has_changed = self.loader.has_changed()
        self.config_file_mtime = self.loader.mtime
        return has_changed

    def validate_and_load_config(self) -> bool:
        """Read and validate config.csv, and let its good rows, and no others, trade.

        Blocks for the prices and pairs that the validation asks for.

        Returns:
            Whether at least one row is accepted.
        """
        return self.loader.load()

    def look_at_files(self) -> bool:
        """Read config.csv if edited, end where another has it; True: look again soon. Blocks."""
        self.loader.tell_news()
        if is_alone(self) and self.loader.is_settled() and self.check_config_file_changed():
            self.loader.read_again_soon()  # it is new until it is read, whatever comes in between
            ask_if_doubtful(self)  # rows are armed by it: from then on trades count for them
            if self.loader.is_settled():  # else somebody writes
                self.validate_and_load_config()
        return self.loader.is_under_way()

    # --- running once --------------------------------------------------------------------------

    def recover(self) -> None:
        """Take up what an earlier run left open; to be called once, after `load_state`.

        Blocks for one call, which sets our idea of Kraken's clock: deadlines depend on it.
        """
        try:
            ask_for_time(self)
        except KrakenError as error:
            tell(self.say, words.clock_unknown(error))
        self.worker.recover()

    def run_once(self) -> None:
        """Look at every row once, with config.csv read anew if it has changed. Blocks."""
        if self.check_config_file_changed():
            self.validate_and_load_config()
        self.worker.work_off()
        rules = [rule for row in self.configs if isinstance(rule := reading_of(row), Rule)]
        pairs = dict.fromkeys(r.pair for r in rules if r.enabled and self.inline.is_waiting(r))
        prices = self.prices_of(list(pairs))
        self.is_blind = bool(prices) and all(price is None for price in prices.values())
        for row in self.configs:
            price = prices.get(row.get("pair", ""))
            if price is not None and row.get("id") not in self.loader.unpriced:
                self.look_at(row, price)
        if self.dry_run and self.validation is not None:
            self.inline.note_refused(self.validation)
        self.save_state()

    def prices_of(self, pairs: list[str]) -> Mapping[str, object]:
        """Return a price or None for each of `pairs`, with one call for all. Blocks."""
        prices: dict[str, object] = dict.fromkeys(pairs)
        try:
            quotes = self.kraken_api_readonly.get_tickers(pairs) if pairs else {}
        except KrakenError as error:
            tell(self.say, words.no_prices(error))
            return prices
        for pair, quote in quotes.items():
            if isinstance(quote, Exception):
                tell(self.say, words.no_price(pair, quote))
            else:
                prices[pair] = quote.price
        return prices

    def look_at(self, row: Mapping[str, Any], price: object) -> None:
        """Place the order of a row if it waits and `price` meets its threshold. Blocks."""
        if (rule := self.inline.waiting_rule(row)) is None:
            return
        self.inline.note_look(rule)
        number = to_positive_decimal(price)
        if rule.is_met_by(number):
            self.inline.fire(rule, number, str(price))

    def settle(self, patience: float) -> None:
        """Wait until no order is of unknown outcome, at most `patience` seconds."""
        self.inline.settle(patience, self.stopping.wait)

    # --- running on ----------------------------------------------------------------------------

    def run_continuous(self, interval: float = 60) -> None:
        """Run until `stop` or Ctrl-C. Blocks.

        Each tick is checked as it arrives; `interval` is for pairs that do not stream, in seconds.
        """
        self.voice.start()
        try:
            self._run_live(interval)
        finally:
            self.voice.stop(_LAST_WORDS)

    def _run_live(self, interval: float) -> None:
        live = self.live = self._make_live(interval)
        if self.stopping.is_set():
            self.save_state()
            return
        metrics = begin_beside(self, live)
        try:
            live.run()
        except KeyboardInterrupt:
            live.stop()
        finally:
            if metrics is not None:
                metrics.stop()
        for rule_id, moment in live.last_checked().items():
            self.state.setdefault(rule_id, {})["last_checked"] = moment
        self.save_state()

    def _make_live(self, interval: float) -> LiveRun:
        api, exchange = self.kraken_api_readonly, self.worker.exchange
        world = World(
            prices=api,
            provider=api.price_provider() if WEBSOCKET_AVAILABLE else None,
            exchange=exchange if isinstance(exchange, KrakenExchange) else None,
            tape=None if self.dry_run else self.files,
            clocks=self.clocks,
            set_clock=partial(ask_for_time, self),
            account=account_feed_of(exchange, api) if self.follows_account else None,
            rests=lambda: self.rests,
        )
        return LiveRun(
            world,
            self.worker,
            self._inbox,
            Streams(world.provider, interval, self.say),
            options=self.options,
            reload=self.look_at_files,
            say=self.say,
        )

    def stop(self) -> None:
        """End `run_continuous`, from any thread."""
        self.stopping.set()
        if self.live is not None:
            self.live.stop()


@contextmanager
def keeping_journal(program: Program) -> Iterator[None]:
    """Let intents go to the journal, for whoever holds the lock of the state file."""
    journal = program.files.journal
    if journal is None:
        yield
        return
    journal.keep()
    try:
        yield
    finally:
        if not program.worker.is_running:  # else the intent of its order is still needed
            journal.close()


def _loader_of(program: Program) -> Loader:
    return Loader(
        program.files,
        program.worker,
        lambda: ConfigValidator(program.kraken_api_readonly),
        market_of=program.market_of_row,
        is_verbose=lambda: program.verbose,
        say=program.say,
    )


def is_alone(program: Program) -> bool:
    """Tell whether files and key are this program's alone, and end it if not. Blocks."""
    exclusive, files = program.options.exclusive, program.files
    is_deposed = exclusive is not None and exclusive.look(program.config_manager.disk, program.say)
    lost = files.look_for_another()
    if (lost or is_deposed) and not program.stopping.is_set():
        if lost is not None:
            tell(program.say, words.files_lost(lost))
        program.stop()
    return lost is None and not is_deposed
