"""TTSLO: the moment a live price crosses your threshold, a trailing stop is placed at Kraken.

The command line and its sentences, and the class `TTSLO` that earlier versions offered. What
runs is elsewhere: prices in `ttslo_live`, orders in `ttslo_worker`. This module prints, by way of
`ttslo_voice`, and configures logging, and no other does.
"""

from __future__ import annotations

import gc
import queue
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from kraken_api import WEBSOCKET_AVAILABLE
from krakenlink import VERSION
from krakenlink.errors import KrakenError
from krakenlink.machine import feed_clock
from krakenlink.numbers import plain, to_positive_decimal
from ttslo_app.face.metrics import MetricsServer, Sources
from ttslo_app.face.voice import Voice, write_line
from ttslo_app.messages import AcceptedRule, Adopt, Crossing, Market
from ttslo_app.orders.exchange import (
    DRY_RUN_ORDER_ID,
    DryRunExchange,
    KrakenExchange,
    StandInExchange,
    is_real,
    market_from,
)
from ttslo_app.orders.intents import (
    IntentJournal,
    Intents,
    intent_lines,
    may_have_fired,
    with_intents,
)
from ttslo_app.orders.life import (
    Life,
    OrderSettings,
    RuleState,
    UnreadableLife,
    condition_of,
    fingerprint,
)
from ttslo_app.orders.ports import Exchange, State
from ttslo_app.orders.worker import OrderWorker
from ttslo_app.rules.checks import (
    ConfigValidator,
)
from ttslo_app.rules.findings import Accepted, ValidationResult, has_order
from ttslo_app.rules.rule import (
    Rule,
    RuleError,
    RuleReader,
    ThresholdType,
    WhenBlind,
    read_rule,
    reading_of,
)
from ttslo_app.run.live import Item, LiveRun, describe, post_to
from ttslo_app.store.disk import Stamp
from ttslo_app.store.manager import ConfigManager
from ttslo_app.watch.past import Pace

__version__ = VERSION

# `--once` waits this long for orders whose outcome is unknown; the next run settles the rest.
ONCE_PATIENCE = 45.0
# A reading of config.csv that left questions open is repeated after so many seconds.
_READ_AGAIN = 5.0
# The last words get so long to reach a screen and a log that may be stuck.
_LAST_WORDS = 2.0


class _Clock:
    """The machine's clocks: a crossing grows old while the machine sleeps, too."""

    def monotonic(self) -> float:
        return feed_clock()

    def utc(self) -> datetime:
        return datetime.now(UTC)


@contextmanager
def many_objects() -> Iterator[None]:
    """Do not look for garbage while rows are read.

    100,000 of them are more than a million objects, and none is garbage: looking through all of
    them again and again would take seconds.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Files:
    """The files as the order thread needs them.

    Rows that a caller hands in one by one need not stand in any file; once a file has been
    loaded, only what stands in it may trade.
    """

    def __init__(self, manager: ConfigManager, *, is_dry: bool) -> None:
        self._manager = manager
        self._is_dry = is_dry
        # Other managers than ours, such as in tests of callers, only have the contract's methods.
        is_ours = isinstance(manager, ConfigManager)
        self.journal = IntentJournal(Path(manager.state_file), manager.disk) if is_ours else None
        self.is_loaded = False
        # One version of config.csv and its rules; replaced whole, as the keeper brings new ones.
        self._seen: tuple[Stamp | None, dict[str, Rule | None]] = (None, {})

    def save_state(self, state: State) -> None:
        if not self._is_dry:
            self._manager.save_state(state)
            if state and self.journal is not None:
                self.journal.clear()

    def save_intents(self, state: State, rule_ids: Sequence[str]) -> None:
        if self._is_dry:
            return
        lines = intent_lines(state[rule_id] for rule_id in rule_ids)
        if self.journal is None or not self.journal.append(lines):
            self.save_state(state)

    def load_intents(self) -> tuple[Intents, str]:
        """Return what was on its way when the program ended, and what is wrong with it, or ""."""
        if self.journal is None:
            return Intents(), ""
        cure = (
            "so nobody can tell of a waiting row whether an order for it was on its way when the "
            "program ended"
        )
        try:
            intents = self.journal.load()
        except OSError as error:
            return Intents(), (
                f"{self.journal.path} cannot be read ({error}), {cure}. Make it readable while "
                "the program is stopped"
            )
        numbers = ", ".join(str(number) for number in intents.damaged)
        return intents, numbers and f"{self.journal.path}: damaged in line {numbers}, {cure}"

    def current_rule(self, rule: Rule) -> Rule | None:
        stamp = _stamp_of(self._manager)
        if stamp is None and self.is_loaded:
            # Editors that delete and rename leave a moment without a file; gone is not empty.
            raise FileNotFoundError(f"{self._manager.config_file} is not there")
        if stamp is None:
            return rule
        seen, rules = self._seen
        if stamp != seen:
            # The rows may be newer than the stamp, never older: a save in between is read again.
            # Not `load_config`, which is how the program as a whole takes note of an edit.
            rules = RuleReader().by_id(self._manager.read_config().rows)
            self._seen = stamp, rules
        return rules.get(rule.id, None if self.is_loaded else rule)

    def take(self, stamp: Stamp | None, rules: dict[str, Rule | None]) -> None:
        """Take over what was just read: the next crossing need not wait for reading it again."""
        self.is_loaded = True
        self._seen = stamp, rules

    def note_orders(self, lives: Sequence[Life]) -> Collection[str]:
        if self._is_dry or (not self.is_loaded and _stamp_of(self._manager) is None):
            return ()
        facts = {life.id: (life.order_id, life.trigger_time, life.trigger_price) for life in lives}
        left_out = self._manager.update_config_on_triggers(facts)
        seen, rules = self._seen
        after = _stamp_of(self._manager)
        if seen is not None and self._manager.is_own_write(after, seen):
            # Nobody else wrote: reading thousands of rows again would make the next crossing
            # wait. What has just fired is noted, and so is not to fire again from the file.
            self._seen = after, {**rules, **dict.fromkeys(facts)}
        # A row that was handed in by a caller need not stand in the file.
        return left_out if self.is_loaded and isinstance(left_out, frozenset) else ()


def _stamp_of(manager: ConfigManager) -> Stamp | None:
    """Return what tells one version of config.csv from the next, None where there is no file."""
    try:
        return manager.config_stamp()
    except FileNotFoundError:
        return None


class TTSLO:
    """Watches prices and places trailing stops, for the command line and for other programs.

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
        step: Called by name at each step of the order protocol, for tests that end it there.

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
        step: Callable[[str], None] = lambda name: None,
    ) -> None:
        self.config_manager = config_manager
        self.kraken_api_readonly = kraken_api_readonly
        self.kraken_api_readwrite = kraken_api_readwrite
        self.dry_run = dry_run
        self.verbose = verbose
        self.debug = debug
        self.configs: list[Mapping[str, Any]] = []
        self.config_file_mtime: float | None = None
        self.is_blind = False
        self.is_saved = False  # whether state.csv says all that is known
        self.validation: ValidationResult | None = None
        self._settings = settings or OrderSettings()
        self._when_blind = when_blind
        self._pace = pace
        self._metrics_port = metrics_port
        self._files = _Files(config_manager, is_dry=dry_run)
        self._seen_stamp: Stamp | None = None
        # When to read config.csv again although nobody has changed it; None: when somebody has.
        self._read_again_at: float | None = None
        self._unpriced: frozenset[str] = frozenset()
        self._last_look: Stamp | None = None
        self._reader = RuleReader()
        self._inbox: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._live: LiveRun | None = None
        self.voice = Voice(self._write_log, lambda text: write_line(sys.stdout, text))
        self._worker = OrderWorker(
            {},
            self._files,
            self._make_exchange(),
            clock=_Clock(),
            say=self.log,
            post=post_to(self._inbox),
            settings=self._settings,
            step=step,
        )

    def _make_exchange(self) -> Exchange | None:
        trading = self.kraken_api_readwrite
        if self.dry_run:
            return DryRunExchange(self._market_of, time.time)
        if trading is None:
            return None
        if is_real(trading):
            reading = self.kraken_api_readonly
            public = reading if is_real(reading) else trading
            return KrakenExchange(trading, public, time.time, self.log)
        return StandInExchange(trading, time.time)

    def _market_of(self, pair: str) -> Market:
        exchange = self._worker.exchange
        if isinstance(exchange, KrakenExchange):
            return exchange.market_of(pair)  # so that a crossing finds it known
        api = self.kraken_api_readonly
        return market_from(api.resolve_pair(pair)) if is_real(api) else Market(pair, pair)

    @property
    def state(self) -> State:
        """What became of each rule: text by column, by id."""
        return self._worker.state

    @state.setter
    def state(self, rows: State) -> None:
        self._worker.state = rows

    # --- words -------------------------------------------------------------------------------

    def log(self, level: str, message: str, **fields: object) -> None:
        """Write a line to the log file, and print it unless it is a detail nobody asked for.

        While the program runs live nobody waits for that: see `ttslo_voice`.
        """
        self.voice.log(level, message, **fields)
        is_detail = level.upper() == "DEBUG"
        if not is_detail or self.debug:
            mark = "" if level.upper() == "INFO" else f"{level.upper()}: "
            self.voice.show(f"{datetime.now():%H:%M:%S}  {mark}{message}")

    def _write_log(self, level: str, message: str, **fields: object) -> None:
        self.config_manager.log(level, message, **fields)

    def _log_lines(self, level: str, messages: Sequence[str]) -> None:
        """Do what `log` does for many, with few writes: each costs more than a line is worth."""
        has_own_log = type(self).log is not TTSLO.log  # a host program's, which wants every word
        if has_own_log or not isinstance(self.config_manager, ConfigManager):
            for message in messages:
                self.log(level, message)
            return
        self.config_manager.log_lines(level, messages)
        now = f"{datetime.now():%H:%M:%S}"
        if messages:
            self.voice.show("\n".join(f"{now}  {message}" for message in messages))

    # --- files -------------------------------------------------------------------------------

    def load_state(self) -> None:
        """Read the state file; rows whose past cannot be known do not trade, and that is said."""
        found = self.config_manager.load_state_checked()
        intents, damage = self._files.load_intents()
        self._worker.state = with_intents(found.rows, intents)
        for problem in found.problems:
            where = f" A copy is kept as {found.copy}." if found.copy else ""
            self.log("ERROR", f"{problem.message}.{where}")
            self._worker.distrust(problem.ids or None)
        if damage:
            self.log("ERROR", damage)
            self._worker.distrust(may_have_fired(self.state))
            self._worker.distrust(None)

    @contextmanager
    def keeping_journal(self) -> Iterator[None]:
        """Let intents go to the journal, for whoever holds the lock of the state file."""
        journal = self._files.journal
        if journal is None:
            yield
            return
        journal.keep()
        try:
            yield
        finally:
            if not self._worker.is_running:  # else the intent of its order is still needed
                journal.close()

    def save_state(self) -> None:
        """Write the state file durably; nothing in a dry run. A failure is said, not raised.

        Nothing either while the order thread runs: it writes by itself, and what it has just
        written down of an order must not be taken for a part of what was written here.
        """
        self.is_saved = False
        if self._worker.is_running:
            return
        try:
            self._files.save_state(self.state)
            self.is_saved = True
        except (OSError, TypeError) as error:
            self.log("ERROR", f"state.csv cannot be written: {error}")

    def check_config_file_changed(self) -> bool:
        """Tell whether config.csv is new to this program; its own writes are not.

        Also True some seconds after a reading that left questions open.
        """
        stamp = _stamp_of(self.config_manager)
        if stamp is None:
            return False
        if stamp == self._seen_stamp:
            return self._read_again_at is not None and feed_clock() >= self._read_again_at
        seen, self._seen_stamp = self._seen_stamp, stamp
        is_own = seen is not None and self.config_manager.is_own_write(stamp, seen)
        self.config_file_mtime = Path(self.config_manager.config_file).stat().st_mtime
        return not is_own

    def _has_settled_edit(self) -> bool:
        """Tell whether config.csv is new and nobody has written to it since the last look.

        Some programs write a file in pieces: half of it would disarm the rows of the other half.
        """
        stamp = _stamp_of(self.config_manager)
        is_settled = stamp == self._last_look
        self._last_look = stamp
        return is_settled and self.check_config_file_changed()

    def validate_and_load_config(self) -> bool:
        """Read and validate config.csv, and let its good rows, and no others, trade.

        Blocks for the prices and pairs that the validation asks for.

        Returns:
            Whether at least one row is accepted.
        """
        with many_objects():
            return self._load_config()

    def _load_config(self) -> bool:
        read_at = feed_clock()
        pause = _READ_AGAIN if is_real(self.kraken_api_readonly) else 0.0
        # Until this reading has come to its end: whatever breaks it off, there will be another.
        self._read_again_at = read_at + pause
        try:
            reading = self.config_manager.read_config()
        except OSError as error:
            # Not the same as an empty file: what was armed stays armed.
            self.log("ERROR", f"{self.config_manager.config_file} cannot be read: {error}")
            return bool(self.configs)
        for finding in reading.findings:
            self.log("WARNING", finding)
        configs = reading.rows
        self._reader = RuleReader(self._reader)
        rules = self._reader.by_id(configs)
        armed = {i for i, rule in rules.items() if rule is not None and self._was_armed(rule)}
        result = ConfigValidator(self.kraken_api_readonly).validate_config_file(
            configs, armed_before=armed, fired=self._fired(), read=self._reader.read
        )
        self.validation = result
        self.configs = [one.row for one in result.accepted]
        self._files.take(reading.stamp, rules)
        self._say_refusals(result)
        adopt = self._adoption_of(armed, result, read_at)
        self._worker.submit(adopt)
        if self._live is None:
            self._worker.work_off()
        if not adopt.undecided and not self._unpriced:
            self._read_again_at = None
        return bool(self.configs)

    def _fired(self) -> set[str]:
        """Return the ids of rules that have no use for a price: their order is known or sought.

        Not among them are rows that have fired and are enabled all the same: whoever arms a row
        again, or saves an old copy of the file over the new one, must not fire it at once.
        """
        lives = {
            rule_id: self._life_or_none(rule_id)
            for rule_id, cells in list(self.state.items())
            if not cells
            or cells.get("rule_state") != RuleState.ARMED  # it waits, so there is nothing to find
        }
        return {
            rule_id
            for rule_id, life in lives.items()
            if life and (life.is_unsettled or (life.has_fired and not life.noted))
        }

    def _life_or_none(self, rule_id: str) -> Life | None:
        try:
            return self._worker.life_of(rule_id)
        except UnreadableLife:
            return None

    def _was_armed(self, rule: Rule) -> bool:
        """Tell whether a crossing is acted upon although the threshold is met by now.

        The rule was armed with this very condition while the threshold was not met: what happened
        since is a crossing, and not a slip of the hand.
        """
        if self._worker.is_waiting_for(rule):
            return True
        life = self._life_or_none(rule.id)
        if life is None:
            return False
        if life.generation == 0:
            # Earlier versions wrote down only that they had looked at a row.
            seen = self.state.get(rule.id, {}).get("last_checked")
            return not life.has_fired and bool(seen)
        is_same = condition_of(life.row) == condition_of(fingerprint(rule))
        is_owed = life.state is RuleState.DISARMED and bool(life.intended_at)
        return is_same and (life.state in (RuleState.ARMED, RuleState.REFUSED) or is_owed)

    def _adoption_of(
        self,
        armed: set[str],
        result: ValidationResult,
        read_at: float,
    ) -> Adopt:
        """Return what the order thread is to make of the accepted rows."""
        accepted: dict[str, AcceptedRule] = {}
        undecided: set[str] = set()
        unpriced: set[str] = set()
        markets: dict[str, Market | LookupError | KrakenError] = {}
        for one in result.accepted:
            rule = one.rule
            is_known = rule.id in armed or rule.id in result.fired
            if rule.enabled and not is_known and rule.pair not in result.prices:
                unpriced.add(rule.id)
                continue
            if rule.pair not in markets:
                markets[rule.pair] = self._market_or_error(one)
            market = markets[rule.pair]
            if isinstance(market, Market):
                accepted[rule.id] = AcceptedRule(rule, market, one.is_fired)
            elif isinstance(market, LookupError):
                self.log("ERROR", f"{rule.id}: not armed: {market}")
            else:
                undecided.add(rule.id)
                self.log("WARNING", f"{rule.id}: looked at again in a moment: {market}")
        for rule_id in sorted(unpriced - self._unpriced):
            self.log(
                "ERROR",
                f"{rule_id}: NOT ARMED YET: there is no price to check its threshold against. It "
                "is armed as soon as there is one",
                id=rule_id,
            )
        self._unpriced = frozenset(unpriced)
        return Adopt(accepted, read_at, frozenset(undecided))

    def _market_or_error(self, one: Accepted) -> Market | LookupError | KrakenError:
        exchange = self._worker.exchange
        try:
            if one.pair is None or not is_real(self.kraken_api_readonly):
                return self._market_of(one.rule.pair)  # no listing was there to be asked
            if isinstance(exchange, KrakenExchange):
                return exchange.learn(one.rule.pair, one.pair)  # so that a crossing finds it known
            return market_from(one.pair)
        except (LookupError, KrakenError) as error:
            return error

    def _say_refusals(self, result: ValidationResult) -> None:
        for error in result.errors:
            rule_id = error["config_id"]
            life = self._life_or_none(rule_id)
            was_armed = life and life.state in (RuleState.ARMED, RuleState.REFUSED)
            loud = " It was armed until now and NO LONGER IS." if was_armed else ""
            self.log("ERROR", f"{rule_id}: refused: {error['message']}.{loud}", id=rule_id)
        for warning in result.warnings:
            # Only a row that was armed before gets this as a mere warning: it is about to fire.
            is_due = warning["message"].startswith("Threshold already met")
            if self.verbose or is_due:
                why = "armed before, and crossed meanwhile: " if is_due else ""
                self.log("WARNING", f"{warning['config_id']}: {why}{warning['message']}")
        for note in result.notes:
            self.log("WARNING", f"Could not be checked: {note}")

    # --- one rule ------------------------------------------------------------------------------

    def check_threshold(self, config: Mapping[str, Any], current_price: object) -> bool:
        """Tell whether `current_price` is at or beyond the threshold of a row.

        Anything doubtful is False, with an ERROR in the log.
        """
        try:
            price = to_positive_decimal(current_price)
        except ValueError as error:
            self.log("ERROR", f"No threshold is checked against a doubtful price: {error}")
            return False
        if not isinstance(config, Mapping):
            self.log("ERROR", f"A rule must be a dict of text, not {type(config).__name__}")
            return False
        try:
            threshold = to_positive_decimal(config.get("threshold_price"))
            kind = ThresholdType(str(config.get("threshold_type", "")).strip().lower())
        except ValueError as error:
            self.log("ERROR", f"{config.get('id')}: the threshold cannot be checked: {error}")
            return False
        return kind.is_met(threshold, price)

    def create_tsl_order(self, config: Mapping[str, Any], trigger_price: object) -> str | None:
        """Place the trailing stop of a row now, whatever the price; once per arming. Blocks.

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
            self.log("ERROR", f"No order is placed for a doubtful row or price: {error}")
            return None
        if self.dry_run:
            self.log("INFO", f"{rule.id}: dry run, no order is placed", pair=rule.pair)
            return DRY_RUN_ORDER_ID
        return self._fire(rule, price, str(trigger_price))

    def _fire(self, rule: Rule, price: Decimal, price_text: str) -> str | None:
        """Fire one rule on this thread; its order id if that placed an order."""
        try:
            self._worker.ensure_armed(rule)
            if self._worker.is_held_back(rule.id):
                return None
            fired_before = self._worker.life_of(rule.id).has_fired
            self._worker.fire([Crossing(rule, price, price_text)])
            self._worker.work_off()
            life = self._worker.life_of(rule.id)
        except UnreadableLife as error:
            self.log("ERROR", f"{rule.id}: its row of the state file cannot be understood: {error}")
            return None
        return life.order_id if life.has_fired and not fired_before else None

    def process_config(self, config: Mapping[str, Any], current_price: object = None) -> None:
        """Check one row against a price, and place its order if the threshold is met. Blocks.

        Args:
            config: A row, text by column.
            current_price: The price; asked of the read-only API where it is None.
        """
        try:
            rule = read_rule(config)
        except (RuleError, AttributeError) as error:
            self.log("ERROR", f"A row cannot be processed: {error}")
            return
        if not rule.enabled or has_order(config) or not self._is_waiting(rule):
            return
        price = self._price_of(rule.pair) if current_price is None else current_price
        if price is None:
            return
        cells = self.state.setdefault(rule.id, {"id": rule.id, "triggered": "false"})
        cells["last_checked"] = datetime.now(UTC).isoformat()
        if self.check_threshold(config, price):
            self._fire(rule, to_positive_decimal(price), str(price))

    def _is_waiting(self, rule: Rule) -> bool:
        try:
            self._worker.ensure_known(rule.id)
            life = self._worker.life_of(rule.id)
        except UnreadableLife as error:
            self.log("ERROR", f"{rule.id}: its row of the state file cannot be understood: {error}")
            return False
        is_over = life.has_fired or life.is_unsettled or self._worker.has_given_up(rule)
        return not is_over

    def _price_of(self, pair: str) -> object:
        try:
            return self.kraken_api_readonly.get_current_price(pair)
        except Exception as error:  # noqa: BLE001 - a stand-in raises what it likes; one pair is isolated
            self.log("WARNING", f"{pair}: no price: {error}", pair=pair)
            return None

    # --- running -------------------------------------------------------------------------------

    def run_once(self) -> None:
        """Look at every row once, with config.csv read anew if it has changed. Blocks."""
        if self.check_config_file_changed():
            self.validate_and_load_config()
        self._worker.work_off()
        prices = self._prices_of_armed()
        self.is_blind = bool(prices) and all(price is None for price in prices.values())
        for row in self.configs:
            price = prices.get(row.get("pair", ""))
            if price is not None and row.get("id") not in self._unpriced:
                self.process_config(row, price)
        self.save_state()

    def _prices_of_armed(self) -> dict[str, object]:
        """Return a price or None for each pair with a waiting row; one call for all if possible."""
        rules = [rule for row in self.configs if isinstance(rule := reading_of(row), Rule)]
        pairs = list(dict.fromkeys(r.pair for r in rules if r.enabled and self._is_waiting(r)))
        if not is_real(self.kraken_api_readonly):
            return {pair: self._price_of(pair) for pair in pairs}
        prices: dict[str, object] = dict.fromkeys(pairs)
        try:
            quotes = self.kraken_api_readonly.get_tickers(pairs) if pairs else {}
        except KrakenError as error:
            self.log("WARNING", f"no prices: {error}")
            return prices
        for pair, quote in quotes.items():
            if isinstance(quote, Exception):
                self.log("WARNING", f"{pair}: no price: {quote}", pair=pair)
            else:
                prices[pair] = quote.price
        return prices

    def recover(self) -> None:
        """Take up what an earlier run left open; to be called once, after `load_state`.

        Blocks for one call, which sets our idea of Kraken's clock: deadlines depend on it.
        """
        exchange = self._worker.exchange
        if isinstance(exchange, KrakenExchange):
            try:
                exchange.set_clock()
            except KrakenError as error:
                self.log("WARNING", f"Kraken's clock cannot be read: {error}")
        self._worker.recover()

    def settle(self, patience: float) -> None:
        """Wait until no order is of unknown outcome, at most `patience` seconds."""
        end = time.monotonic() + patience
        while self._worker.is_busy and time.monotonic() < end:
            self._stopping.wait(0.1)
            self._worker.work_off()

    def run_continuous(self, interval: float = 60) -> None:
        """Run until `stop` or Ctrl-C. Blocks.

        With a true `KrakenAPI` each tick is checked as it arrives, and `interval` is for pairs
        that do not stream; with anything else all rows are looked at every `interval` seconds.
        """
        if is_real(self.kraken_api_readonly):
            self._run_live(interval)
            return
        try:
            while not self._stopping.is_set():
                self.run_once()
                self._stopping.wait(interval)
        except KeyboardInterrupt:
            self.log("INFO", "Stopped")
        self.save_state()

    def _run_live(self, interval: float) -> None:
        self.voice.start()
        try:
            self._follow(interval)
        finally:
            self.voice.stop(_LAST_WORDS)

    def _follow(self, interval: float) -> None:
        api = self.kraken_api_readonly
        exchange = self._worker.exchange
        self._live = LiveRun(
            self._worker,
            api,
            api.price_provider() if WEBSOCKET_AVAILABLE else None,
            exchange if isinstance(exchange, KrakenExchange) else None,
            has_edit=self._has_settled_edit,
            reload=self.validate_and_load_config,
            say=self.log,
            interval=interval,
            settings=self._settings,
            inbox=self._inbox,
            tape=None if self.dry_run else self.config_manager,
            when_blind=self._when_blind,
            pace=self._pace,
        )
        if self._stopping.is_set():
            self.save_state()
            return
        metrics = self._serve_metrics(self._live)
        try:
            self._live.run()
        except KeyboardInterrupt:
            self._live.stop()
        finally:
            if metrics is not None:
                metrics.stop()
        for rule_id, moment in self._live.last_checked().items():
            self.state.setdefault(rule_id, {})["last_checked"] = moment
        self.save_state()

    def _serve_metrics(self, live: LiveRun) -> MetricsServer | None:
        if self._metrics_port is None:
            return None
        provider = self.kraken_api_readonly.price_provider() if WEBSOCKET_AVAILABLE else None
        sources = Sources(
            health=provider.health if provider else lambda: None,
            armed=live.armed,
            orders=lambda: self._worker.answers,
        )
        server = MetricsServer(self._metrics_port, sources).start()
        self.log("INFO", f"Figures at {server.url}/metrics, health at {server.url}/healthz")
        return server

    def stop(self) -> None:
        """End `run_continuous`, from any thread or a signal handler."""
        self._stopping.set()
        if self._live is not None:
            self._live.stop()

    # --- what a person reads at the start -----------------------------------------------------

    def report(self) -> None:
        """Print one line a row: armed and how far, fired, disabled, or refused and why."""
        if self.validation is None:
            return
        lines = []
        for row in self.configs:
            rule = self._reader.read(row)
            if isinstance(rule, Rule) and not self.validation.has_error(rule.id):
                price = self.validation.prices.get(rule.pair)
                lines.append(f"{rule.id}: {self._standing_of(rule, price)}")
        self._log_lines("INFO", lines)

    def _standing_of(self, rule: Rule, price: Decimal | None) -> str:
        if self._worker.is_waiting_for(rule):
            return f"armed: {describe(rule, price)}"
        try:
            life = self._worker.life_of(rule.id)
        except UnreadableLife:
            return "does not trade: its past is unknown"
        if life.has_fired:
            status = f", {life.order_status}" if life.order_status else ""
            return f"has fired: order {life.order_id}{status}"
        if life.is_unsettled:
            return "uncertain: its order is being looked up at Kraken"
        if not rule.enabled:
            return "disabled"
        if rule.id in self._unpriced:
            return "not armed yet: there is no price to check its threshold against"
        return f"armed: {describe(rule, price)}"


# --- the command line ----------------------------------------------------------------------------
