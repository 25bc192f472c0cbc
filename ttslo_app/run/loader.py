"""config.csv: read, validated, and handed to the order thread.

What it must never do: take a file that cannot be read for an empty one, or arm a row that was not
checked against a price.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from krakenlink.errors import KrakenError
from krakenlink.machine import feed_clock
from ttslo_app.columns import NOTE_COLUMN as NOTE
from ttslo_app.face import words
from ttslo_app.messages import AcceptedRule, Adopt, Kind, Market, Say, Sentence, tell
from ttslo_app.orders import kin_words
from ttslo_app.orders.exchange import is_real
from ttslo_app.orders.kinship import spent, tie_of
from ttslo_app.orders.ledger import UnreadableLife
from ttslo_app.orders.life import Life, RuleState
from ttslo_app.orders.roll import put_back
from ttslo_app.orders.worker import OrderWorker
from ttslo_app.rules.checked import KnownRows
from ttslo_app.rules.checks import ConfigValidator
from ttslo_app.rules.facts import MarketFacts, untraced
from ttslo_app.rules.findings import Accepted, ValidationResult, told_once
from ttslo_app.rules.price_checks import takes_price
from ttslo_app.rules.rule import Rule
from ttslo_app.run.files import OrderFiles
from ttslo_app.run.saving import QUIET, quiet_of, stamp_of
from ttslo_app.store.disk import Stamp
from ttslo_app.store.rule_file import RuleReading
from ttslo_app.store.rule_row import RuleRow, config_row, texts_under

# A reading of config.csv that left questions open is repeated after so many seconds. As often the
# prices are asked for that alone keep rows from being armed: one call for all of them.
_READ_AGAIN = 5.0

# Seconds in which the order thread arms what it is handed, unless it is at something else.
_TOLD_SOON = 2.0

# So many rows take a hundredth of a second to look through.
_MANY = 10_000


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


@dataclass(slots=True)
class _Sorting:
    """Rows on their way to the order thread.

    Attributes:
        armed: Ids of rows that may fire at once, as they were armed before; most of them wait for
            their crossing just as they are.
        changed: Those among them that do not.
        ready: Those that may trade, with their markets.
        undecided: Ids of those whose market cannot be asked for just now.
        unpriced: Ids of those that wait for a price to be checked against.
        markets: What became of asking for a pair, by its name.
    """

    armed: set[str]
    changed: set[str]
    ready: dict[str, AcceptedRule] = field(default_factory=dict)
    undecided: set[str] = field(default_factory=set)
    unpriced: set[str] = field(default_factory=set)
    markets: dict[str, Market | LookupError | KrakenError] = field(default_factory=dict)


class Loader:
    """Reads config.csv as often as it changes.

    Args:
        files: Where config.csv is, and where the order thread finds what was read last.
        worker: The order thread.
        validator: Returns what checks the rows.
        market_of: Returns the market of an accepted row; raises LookupError or KrakenError.
        is_verbose: Tells whether warnings are wanted, too.
        say: Takes a level and a sentence for a person.

    Attributes:
        validation: What the last validation found; None before the first.
        unpriced: Ids of rows that are not armed for want of a price.
        notes: What the user noted beside rows, those too that are refused, by id.
        mtime: When config.csv was last changed, as far as it was looked at.
    """

    def __init__(
        self,
        files: OrderFiles,
        worker: OrderWorker,
        validator: Callable[[], ConfigValidator],
        *,
        market_of: Callable[[Accepted], Market],
        is_verbose: Callable[[], bool],
        say: Say,
    ) -> None:
        self._configs: list[Mapping[str, Any]] | None = []  # None: nobody has asked yet
        self.validation: ValidationResult | None = None
        self.unpriced: frozenset[str] = frozenset()
        self.notes: Mapping[str, str] = {}
        self.mtime: float | None = None
        self._manager = files.manager
        self._files = files
        self._worker = worker
        self._validator = validator
        self._market_of = market_of
        self._is_verbose = is_verbose
        self._say = say
        self._known = KnownRows()
        self._file: RuleReading | None = None  # what was read last
        # What was handed to the order thread last, and the markets in it.
        self._ready: Mapping[str, AcceptedRule] = {}
        self._markets: Mapping[str, Market | LookupError | KrakenError] = {}
        self._is_there: bool | None = None  # None: nobody has looked yet
        self._said: frozenset[str] = frozenset()  # what the last reading found
        # Rows that are about to be armed, or were a moment ago, and of which nobody was told yet.
        self._news: dict[str, tuple[Rule, Decimal | None]] = {}
        self._handed_on_at, self._is_wanted = 0.0, False  # to be read again, also while it is read
        self._seen_stamp: Stamp | None = None
        # The version that was there at the last look, and since when it has been there.
        self._last_look: tuple[Stamp | None, float] = (None, 0.0)
        # When to read config.csv again although nobody has changed it; None: when somebody has.
        self._read_again_at: float | None = None
        # What the price alone keeps from being armed, and when to look at its price again.
        self._off_price: Mapping[str, Rule] = {}
        self._look_again_at = 0.0

    @property
    def configs(self) -> list[Mapping[str, Any]]:
        """The rows that may trade, as dicts: made where somebody asks for them, as few do."""
        if self._configs is None:
            accepted = self.validation.accepted if self.validation else ()
            self._configs = [config_row(cast("RuleRow", one.row)) for one in accepted]
        return self._configs

    @configs.setter
    def configs(self, rows: list[Mapping[str, Any]]) -> None:
        self._configs = rows

    def _has_rows(self) -> bool:
        if self._configs is None and self.validation is not None:
            return bool(self.validation.accepted)
        return bool(self._configs)

    # --- whether it has changed ----------------------------------------------------------------

    def has_changed(self) -> bool:
        """Tell whether config.csv is new to this program; its own writes are not.

        Also True some seconds after a reading that left questions open, and when a row that was
        refused for the price would not be any more; for that, one call to Kraken now and then. A
        change is told once.
        """
        stamp = stamp_of(self._manager)
        self._tell_presence(is_there=stamp is not None)
        if stamp is None:
            return False
        if stamp == self._seen_stamp:
            if self._is_wanted:
                return True
            if self._read_again_at is not None:
                return feed_clock() >= self._read_again_at
            return self._has_healed()
        seen, self._seen_stamp = self._seen_stamp, stamp
        is_own = seen is not None and self._manager.is_own_write(stamp, seen)
        with suppress(FileNotFoundError):  # rows need not be in a file
            self.mtime = Path(self._manager.config_file).stat().st_mtime
        return not is_own

    def _has_healed(self) -> bool:
        """Tell whether the price has come to where a row may be armed that it was refused for."""
        if not self._off_price or feed_clock() < self._look_again_at:
            return False
        api = self._validator().kraken_api
        self._look_again_at = feed_clock() + (_READ_AGAIN if is_real(api) else 0.0)
        market, rules = MarketFacts(api), self._off_price.values()
        market.ask_prices(rule.pair for rule in rules)
        prices = ((rule, market.price(rule.pair)) for rule in rules)
        return any(isinstance(p, Decimal) and takes_price(rule, p) for rule, p in prices)

    def _tell_presence(self, *, is_there: bool) -> None:
        """Say when config.csv is gone, and when it is back."""
        was_there, self._is_there = self._is_there, is_there
        if was_there and not is_there:
            tell(self._say, words.config_gone(self._manager.config_file, self._armed()))
        elif was_there is False and is_there:
            tell(self._say, words.config_back(self._manager.config_file))

    def _armed(self) -> list[str]:
        rules = [one.rule for one in self.validation.accepted] if self.validation else []
        waiting = self._worker.ledger.waiting_among(rules)
        return [rule.id for rule in rules if rule.id in waiting]

    def is_settled(self) -> bool:
        """Tell whether nobody has written to config.csv for a while, as far as it was looked at.

        Some programs write a file in pieces: half of it would disarm the rows of the other half.
        """
        stamp, now = stamp_of(self._manager), feed_clock()
        seen, since = self._last_look
        if stamp != seen:
            self._last_look = stamp, now
            return False
        return now - since >= quiet_of(stamp)

    def is_under_way(self) -> bool:
        """Tell whether an edit has come that is not taken yet, or not told of."""
        now = feed_clock()
        is_told_soon = bool(self._news) and now - self._handed_on_at < _TOLD_SOON
        return now - self._last_look[1] < QUIET or is_told_soon

    def read_again_soon(self) -> None:
        """Let the rows be read again although nobody has changed them: what is armed has changed.

        Any thread.
        """
        self._is_wanted = True

    # --- reading -------------------------------------------------------------------------------

    def load(self) -> bool:
        """Read and validate config.csv, and let its good rows, and no others, trade.

        Blocks for the prices and pairs that the validation asks for.

        Returns:
            Whether at least one row is accepted.
        """
        with many_objects():
            is_accepted = self._load()
            if self.validation is not None and len(self.validation.accepted) > _MANY:
                # Nobody looks through them later either, or all threads would stand still for a
                # fifth of a second each time. They go with their last user all the same.
                gc.freeze()
            return is_accepted

    def _load(self) -> bool:
        read_at = feed_clock()
        validator = self._validator()
        pause = _READ_AGAIN if is_real(validator.kraken_api) else 0.0
        # Until this reading has come to its end: whatever breaks it off, there will be another.
        self._read_again_at, self._is_wanted = read_at + pause, False
        try:
            reading = self._manager.read_config(self._file)
        except OSError as error:
            # Not the same as an empty file: what was armed stays armed.
            tell(self._say, words.config_unreadable(str(self._manager.config_file), error))
            return self._has_rows()
        sorting, result = self._validate(validator, reading)
        found = [Sentence(Kind.CONFIG, "WARNING", text) for text in reading.findings]
        found += [*self._findings(result), *self._sort(result, sorting)]
        self._tell_once(found)
        self._off_price = result.off_price
        self._look_again_at = feed_clock() + pause
        self._note_news(result, sorting)
        self._worker.submit(Adopt(sorting.ready, read_at, frozenset(sorting.undecided)))
        self._handed_on_at = feed_clock()
        if not self._worker.is_running:
            self._worker.work_off()
        if not sorting.undecided and not self.unpriced and not result.unpriced:
            self._read_again_at = None
        return self._has_rows()

    def _validate(
        self, validator: ConfigValidator, file: RuleReading
    ) -> tuple[_Sorting, ValidationResult]:
        rows = self._known.read(file.rows)
        books, rules = self._worker.ledger, self._known.rules
        whole = [rule for rule in rules.values() if rule is not None]
        armed = books.waiting_among(whole)
        known = books.state
        others = [rule for rule in whole if rule.id in known and rule.id not in armed]
        changed = {rule.id for rule in others if books.was_armed(rule)}
        armed |= changed  # one set for both: of 100,000 rows another would fill 4 MB
        orders = {row.label for row in rows if row.has_order}
        tied = {rule.id: rule for rule in whole if rule.group}
        fired = books.fired() | spent(books, tied, orders.__contains__)
        bare = ((row.label, row.row) for row in rows if row.is_enabled and not row.has_order)
        fired |= put_back(books, bare)
        result = validator.validate_again(
            rows, self._known, armed_before=armed, fired=fired, now=datetime.now(UTC)
        )
        self._file = file
        self.validation = result
        self._configs = None
        # Replaced whole: another thread reads it.
        self.notes = texts_under(NOTE, file.rows)
        self._files.take(file, rules)
        return _Sorting(armed, changed), result

    def _sort(self, result: ValidationResult, sorting: _Sorting) -> list[Sentence]:
        """Tell those of the accepted rows that may trade now from those that may not yet."""
        found: list[Sentence] = []
        prices, armed, fired = result.prices, sorting.armed, result.fired
        ready, entries, markets = sorting.ready, self._ready, sorting.markets
        for one in result.accepted:
            rule = one.rule
            is_known = rule.pair in prices or rule.id in armed or rule.id in fired
            if rule.enabled and not (is_known or rule.after):
                sorting.unpriced.add(rule.id)
                continue
            entry, market = entries.get(rule.id), markets.get(rule.pair)
            is_same = entry is not None and entry.row is one.row and entry.market is market
            if entry is not None and is_same and entry.is_fired_in_file is one.has_order:
                ready[rule.id] = entry  # as nearly all are, and cheap to see
            else:
                found += self._sort_by_market(one, market, sorting)
        self._ready, self._markets = ready, markets
        self.unpriced = frozenset(sorting.unpriced)
        return [*found, *(words.not_priced(rule_id) for rule_id in sorted(self.unpriced))]

    def _sort_by_market(
        self, one: Accepted, market: Market | LookupError | KrakenError | None, sorting: _Sorting
    ) -> Sequence[Sentence]:
        rule = one.rule
        if market is None:
            market = self._market_or_error(one)
            known = self._markets.get(rule.pair)
            market = sorting.markets[rule.pair] = known if known == market else market
        if isinstance(market, Market):
            sorting.ready[rule.id] = AcceptedRule(rule, market, one.has_order, one.row)
            return ()
        if isinstance(market, LookupError):
            return (words.not_armed(rule.id, market),)
        sorting.undecided.add(rule.id)
        return (words.undecided(rule.id, market),)

    def _market_or_error(self, one: Accepted) -> Market | LookupError | KrakenError:
        try:
            return self._market_of(one)
        except (LookupError, KrakenError) as error:
            return untraced(error)

    # --- what is said of the rows --------------------------------------------------------------

    def _findings(self, result: ValidationResult) -> Iterator[Sentence]:
        for error in result.errors:
            rule_id = error["config_id"]
            life = self._life_of(rule_id)
            was_armed = life is not None and life.state in (RuleState.ARMED, RuleState.REFUSED)
            rule = result.off_price.get(rule_id)
            if rule is None or self._off_price.get(rule_id) != rule:  # the price is another by now
                yield words.refusal(error, was_armed=was_armed, heals=rule is not None)
        warnings = told_once(result.warnings)
        wanted = [w for w in warnings if self._is_verbose() or words.is_always_said(w)]
        yield from words.cautions(wanted)
        for note in result.notes:
            yield words.not_checked(note)

    def _tell_once(self, found: list[Sentence]) -> None:
        """Say what the last reading did not find: for want of a price it may be read for days."""
        for sentence in found:
            if sentence.text not in self._said:
                tell(self._say, sentence)
        self._said = frozenset(sentence.text for sentence in found)

    def _note_news(self, result: ValidationResult, sorting: _Sorting) -> None:
        """Take note of the rows that this reading arms, or arms as they are now."""
        news: dict[str, tuple[Rule, Decimal | None]] = {}
        told, armed, changed = self._news, sorting.armed, sorting.changed
        for rule_id in [i for i in sorting.ready if i not in armed or i in changed or i in told]:
            rule = sorting.ready[rule_id].rule
            # What a fill arms is said by whoever arms it.
            is_told = bool(rule.after) and not self._is_waiting(rule_id)
            if rule.enabled and rule_id not in result.fired and not is_told:
                news[rule_id] = rule, result.prices.get(rule.pair)
        self._news = news  # at once: `report` may look from another thread

    def _is_waiting(self, rule_id: str) -> bool:
        life = self._life_of(rule_id)
        return life is not None and life.is_waiting

    def tell_news(self) -> None:
        """Say of each row that was armed since, or changed, that it is armed and how far away.

        The order thread arms it in its own time, so this is asked for again and again.
        """
        for rule_id, (rule, price) in list(self._news.items()):
            if self._worker.ledger.is_waiting_for(rule):
                del self._news[rule_id]
                tell(self._say, words.now_armed(rule, price))

    def standings(self) -> Iterator[str]:
        """Yield one line for each row that may trade: armed and how far, fired, or disabled.

        What it tells of is no news any more.
        """
        result, self._news = self.validation, {}
        if result is None:
            return
        for rule in (one.rule for one in result.accepted):
            # That a row waits for a price is told of it as an error.
            if not result.has_error(rule.id) and rule.id not in self.unpriced:
                yield f"{rule.id}: {self._standing_of(rule, result.prices.get(rule.pair))}"

    def _standing_of(self, rule: Rule, price: Decimal | None) -> str:
        if self._worker.ledger.is_waiting_for(rule):
            return words.armed(rule, price)  # as nearly all are, and cheap to see
        life, books = self._life_of(rule.id), self._worker.ledger
        if life is not None and life.state is RuleState.DISARMED and rule.enabled:
            tie = tie_of(books, rule, life)
            if not tie.may_arm:
                return kin_words.standing(rule, tie)
        is_unpriced = rule.id in self.unpriced
        return words.standing(rule, life, price, is_unpriced=is_unpriced)

    # --- what became of the rows ---------------------------------------------------------------

    def _life_of(self, rule_id: str) -> Life | None:
        try:
            return self._worker.life_of(rule_id)
        except UnreadableLife:
            return None
