"""Whether Kraken would take the orders of armed rows, and the key that only reads.

What it must never do: place anything, ask on with a key that Kraken refuses, take silence for a
refusal, or keep orders unwatched because of a key that nobody needs for it.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from krakenlink.errors import AuthenticationError, KrakenError
from krakenlink.machine import feed_clock
from krakenlink.numbers import doubled
from krakenlink.once import Once
from krakenlink.rest.answers import Outcome
from krakenlink.rest.verdicts import OutcomeKind
from ttslo_app.messages import KeyRefused, Say, Sentence, tell
from ttslo_app.orders.builder import NO_INDEX
from ttslo_app.orders.exchange import KrakenExchange
from ttslo_app.orders.owed import OF_KEY
from ttslo_app.orders.request import OrderRequest, order_to_check
from ttslo_app.run import words
from ttslo_app.run.pair_news import PairNews
from ttslo_app.watch.crossings import Armed
from ttslo_app.watch.parking import Seat

# Checks of orders count against Kraken's limit of orders on a pair, which regains one a second:
# so many at once, then one a second, leave room for the orders themselves.
_CHECKS_AT_ONCE = 20
# After so many different orders one of each pair and direction is enough.
_CHECKS_OF_ALL = 100
# Seconds between two tries while Kraken does not answer.
_FIRST_WAIT, _LONGEST_WAIT = 5.0, 300.0
# One order is checked again this often, in seconds: a key may be revoked on any day.
_RENEW = 6 * 3600.0
_STRINGS = re.compile(r"\bE[A-Z][A-Za-z]+:[^,.'\"\]]+")
_SILENCE = "silence"


class KeyHolder(Protocol):
    """What the checks need of the order thread."""

    @property
    def is_key_refused(self) -> bool:
        """Whether Kraken refuses the trading key: then nothing is asked with it."""
        ...

    def submit(self, message: KeyRefused) -> None:
        """Take a message. Never blocks."""
        ...


class OrderChecks:
    """Lets Kraken look at the orders of newly armed rows, without placing them.

    Args:
        exchange: Kraken.
        armed: Returns the armed rows, by id.
        worker: Knows whether Kraken refuses the trading key, and is told where it does.
        say: Takes a level and a sentence for a person.
        changed: Returns the symbols of pairs that Kraken has changed since it was asked last.
    """

    def __init__(
        self,
        exchange: KrakenExchange,
        armed: Callable[[], Mapping[str, Seat]],
        worker: KeyHolder,
        say: Say,
        changed: Callable[[], Collection[str]] = frozenset,
    ) -> None:
        self._exchange = exchange
        self._armed = armed
        self._worker = worker
        self._say = say
        self._changed = changed
        # Filled by the reading thread, with what the watch has in hand itself: of 100,000 rows that
        # are armed at once most wait here until as many orders were looked at as are enough.
        self._waiting: deque[Armed] = deque()
        self._checked: set[str] = set()
        self._kinds: set[str] = set()
        self._refused: set[str] = set()  # the rows of which that was said
        self._told = Once()
        self._not_before = float("-inf")
        self._silences = 0
        self._last: Armed | None = None
        self._renew_at = feed_clock() + _RENEW
        self._news: set[str] = set()  # the pairs that Kraken has changed since they were looked at

    def add(self, armed: Armed) -> None:
        """Have the order of a row checked. Never blocks; any thread."""
        self._waiting.append(armed)

    def hear(self) -> None:
        """Take in which pairs Kraken has changed, also while `work` rests. No I/O; its thread."""
        self._news.update(self._changed())
        self._tidy()

    def _tidy(self) -> None:
        """Keep the newest of each armed row: while nothing is asked, each edit adds one more."""
        count, seats = len(self._waiting), self._armed()
        if count <= 2 * len(seats) + _CHECKS_AT_ONCE:
            return
        taken = [self._waiting.popleft() for _ in range(count)]
        newest = {one.rule.id: one for one in taken if one.rule.id in seats}
        self._waiting.extendleft(reversed(newest.values()))

    def work(self) -> None:
        """Have some of those that wait checked. Blocks for Kraken's answers."""
        now = feed_clock()
        if now < self._not_before or self._worker.is_key_refused:
            return
        self._renew(now)
        self._look_at_changed()
        at_once = 1 if self._checked else _CHECKS_AT_ONCE
        while self._waiting and at_once:
            entry = self._waiting.popleft()
            try:
                # Its steps may be others by now than they were at the arming.
                order = order_to_check(entry.rule, self._exchange.market_of(entry.rule.pair))
            except (ValueError, LookupError):
                continue  # no order can come of it; the crossing says why
            except KrakenError as error:  # its pair is not known here, and cannot be asked for
                self._hear_silence(entry, str(error))
                return
            if not self._is_enough(entry, order):
                at_once -= 1
                if not self._check(entry, order):
                    return

    def _renew(self, now: float) -> None:
        """Have one order checked anew now and then, though nothing has changed here."""
        if now < self._renew_at or self._last is None:
            return
        self._renew_at = now + _RENEW
        seats = self._armed()
        # The key is that of all rows; one that waits no more wants no order.
        seat = seats.get(self._last.rule.id) or next(iter(list(seats.values())), None)
        if seat is not None:
            self._checked.clear()
            self._waiting.append(seat.armed)

    def _look_at_changed(self) -> None:
        """Have the orders of a pair checked anew whose status, minimum or steps have changed."""
        changed, self._news = self._news, set()
        if not changed:
            return
        seats = list(self._armed().values())
        rows = [seat.armed for seat in seats if seat.armed.market.symbol in changed]
        if rows:
            self._checked.clear()
            self._waiting.extend(rows)

    def _is_enough(self, entry: Armed, order: OrderRequest) -> bool:
        is_enough = len(self._checked) >= _CHECKS_OF_ALL and _kind_of(entry) in self._kinds
        return is_enough or str(order) in self._checked

    def _check(self, entry: Armed, order: OrderRequest) -> bool:
        """Ask Kraken about an order; False, and it waits again, where the answer is none."""
        outcome = self._exchange.check(order)
        if outcome.pause in OF_KEY:
            self._waiting.appendleft(entry)
            self._worker.submit(KeyRefused(entry.rule.id, outcome))
            return False
        if is_silence(outcome):
            self._hear_silence(entry, outcome.reason)
            return False
        self._silences = 0
        self._last = entry
        self._checked.add(str(order))
        self._kinds.add(_kind_of(entry))
        self._tell_healed()
        self._tell(entry.rule.id, outcome)
        return True

    def _hear_silence(self, entry: Armed, reason: str) -> None:
        """Let a row wait until Kraken may answer, and say so once."""
        self._waiting.appendleft(entry)
        pause = doubled(_FIRST_WAIT, self._silences, _LONGEST_WAIT)
        self._not_before = feed_clock() + pause
        self._silences += 1
        self._tell_once(_SILENCE, words.not_checked_yet(self._names(), reason))

    def _names(self) -> list[str]:
        """Return the rows that are armed or wait for their check, each once."""
        return list(dict.fromkeys([*self._armed(), *(one.rule.id for one in list(self._waiting))]))

    def _tell_once(self, subject: str, sentence: Sentence) -> None:
        if self._told.is_news(subject):
            tell(self._say, sentence)

    def _tell_healed(self) -> None:
        if self._told.has_healed(_SILENCE):
            tell(self._say, words.CHECKED_AFTER_ALL)

    def _tell(self, rule_id: str, outcome: Outcome) -> None:
        if outcome.kind is OutcomeKind.PLACED:
            tell(self._say, words.was_placed(rule_id, outcome.txid))
        elif NO_INDEX in outcome.reason:
            tell(self._say, words.lacks_index(rule_id))
        elif outcome.kind is OutcomeKind.REFUSED:
            self._refused.add(rule_id)
            tell(self._say, words.would_refuse(rule_id, outcome.reason, outcome.cure))
        else:
            tell(self._say, words.would_take(rule_id, is_again=rule_id in self._refused))
            self._refused.discard(rule_id)


def checks_of(
    exchange: KrakenExchange | None,
    armed: Callable[[], Mapping[str, Seat]],
    worker: KeyHolder,
    say: Say,
) -> OrderChecks | None:
    """Return the checks of a run; None where it has no key that could ask."""
    if exchange is None:
        return None
    return OrderChecks(exchange, armed, worker, say, PairNews(exchange.reader).changed)


def _kind_of(entry: Armed) -> str:
    return f"{entry.market.rest_key} {entry.rule.direction}"


def _strings_of(outcome: Outcome) -> list[str]:
    return [found.strip() for found in _STRINGS.findall(outcome.reason)]


def is_silence(outcome: Outcome) -> bool:
    """Tell whether the answer says nothing about the order: none came, or Kraken wants a pause."""
    if outcome.kind is OutcomeKind.UNKNOWN or outcome.pause is not None:
        return True
    return outcome.kind is OutcomeKind.REFUSED and outcome.heals and not _strings_of(outcome)


_OFTEN, _SELDOM = 300.0, 6 * 3600.0


class Reader(Protocol):
    """What the check needs of a client."""

    @property
    def has_keys(self) -> bool:
        """Whether it has keys."""
        ...

    def query_open_orders(self) -> object:
        """Ask for the orders that stand."""
        ...


class ReadingKey:
    """Asks now and then whether Kraken takes the reading key.

    Args:
        reader: The client with that key.
        use: Called with whether orders are to be read with it; else with the trading key.
        say: Takes a level and a sentence for a person.
    """

    def __init__(self, reader: Reader, use: Callable[[bool], object], say: Say) -> None:
        self._reader = reader
        self._use = use
        self._say = say
        self._told = Once()
        self._is_known = False

    def every(self) -> float:
        """Return the seconds between two looks."""
        return _OFTEN if "key" in self._told or not self._is_known else _SELDOM

    def look(self) -> None:
        """Ask once. Blocks for a call.

        Raises:
            KrakenError: If Kraken cannot be asked, which says nothing of the key.
        """
        if not self._reader.has_keys:
            return
        try:
            self._reader.query_open_orders()
        except AuthenticationError as error:
            self._use(False)
            if self._told.is_news("key"):
                tell(self._say, words.reading_key_is_bad(", ".join(error.errors), error.cure))
            return
        self._is_known = True
        self._use(True)
        if self._told.has_healed("key"):
            tell(self._say, words.key_is_good_again("reading"))
