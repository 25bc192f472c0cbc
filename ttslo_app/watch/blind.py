"""Blind times: when nobody looked at a market, what to ask about it, and what the answer settles.

Pure: it returns what is to be done, and the watch does it. What it must never do: take a time for
looked at before an answer reaches over all of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from krakenlink.numbers import doubled
from krakenlink.once import Once
from ttslo_app.clocks import SECOND, Clocks, Reckoning, nanoseconds
from ttslo_app.messages import BookArm, Fetched, Market, NotFetched, Past, Sentence
from ttslo_app.watch.crossings import DOUBT, Armed
from ttslo_app.watch.past import Pace
from ttslo_app.watch.tape import MarketTape, Position, Saved
from ttslo_app.watch.words import Span, past_unknown

# So many answers may end too early before that is said: REST is a second or two behind.
_PATIENT_TRIES = 4
# A place of a market that nobody has followed for so long, in seconds, is of no use to anybody.
_WORTH_KEEPING = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Ask:
    """A wish to know what a market traded after a place, `delay` seconds from now."""

    market: Market
    after: Position
    delay: float


@dataclass(frozen=True, slots=True)
class Hide:
    """A wish that nothing of a market fires before it is known what was missed."""

    market: str


@dataclass(frozen=True, slots=True)
class Closed:
    """What is known now of a blind time.

    Attributes:
        past: What was traded in it and was not on the stream, in order.
        until: How far that reaches, in seconds since 1970.
        span: When it was.
        is_reported: Whether its end is news to a person.
        has_healed: Whether it had been said that it could not be asked about.
        is_open: Whether another blind time has begun since.
    """

    past: list[Past]
    until: float
    span: Span
    is_reported: bool
    has_healed: bool
    is_open: bool


@dataclass(frozen=True, slots=True)
class Behind:
    """An answer that ends before the trades of the stream begin again.

    Attributes:
        past: What it told nonetheless, in order.
        span: The time in which nobody looked, the end of which is still unknown.
        ask: The same question once more, later.
        said: What a person should know of it, None where that is nothing new.
    """

    past: list[Past]
    span: Span
    ask: Ask
    said: Sentence | None


class Blind:
    """The tapes of all markets that are followed. Used by one thread.

    Args:
        clocks: The clocks.
        time: What moments of this run go by.
        saved: How far the tapes were seen by an earlier run.
        pace: How fast the past may be asked for.

    Attributes:
        tapes: Which trades of each market have been looked at, by its name.
    """

    def __init__(self, clocks: Clocks, time: Reckoning, saved: Saved, pace: Pace) -> None:
        self.tapes: dict[str, MarketTape] = {}
        self._clocks, self._time = clocks, time
        self._saved = saved
        self._pace = pace
        # Where looking begins at a guess: nobody is asked about that before the time is known.
        self._guessed: set[str] = set()
        self._markets: dict[str, Market] = {}
        self._left: set[str] = set()  # followed once in this run, and not any more
        self._for_past: set[str] = set()  # followed for what has fired alone
        self._told = Once()  # of the markets whose past cannot be asked for
        self._last_since: tuple[str, int | None] = ("", None)

    # --- which markets are followed ------------------------------------------------------------

    def follow(self, armed: Armed) -> list[Ask]:
        """Follow the market of a rule that waits, from where trades count for it."""
        self._for_past.discard(armed.market.name)
        return self._follow(armed)

    def follow_past(self, armed: Armed, at_ns: int) -> list[Ask] | None:
        """Follow the market of a rule that an earlier run has fired, where that left a hole.

        Args:
            armed: The rule.
            at_ns: When it fired, in nanoseconds since 1970.

        Returns:
            None where all that was traded until then had been looked at. Where no place was kept,
            the rules that wait bring the past.
        """
        name = armed.market.name
        place = self._saved.places.get(name)
        if place is None:
            return []
        if at_ns + DOUBT < place.at_ns:
            return None
        if name not in self.tapes:
            self._for_past.add(name)
        return self._follow(armed)

    def _follow(self, armed: Armed) -> list[Ask]:
        name, now = armed.market.name, self._clocks.kraken()
        is_old = armed.is_from_before
        if name in self.tapes:
            if is_old and name in self._guessed:
                self._guessed.discard(name)
                self.tapes[name].begin_at(armed.since_ns, now, is_guess=True)
                return self._ask(name, self._pace.settle)
            if is_old:
                self.tapes[name].reach_back(armed.since_ns)
            return []
        saved = self._saved.places.get(name)
        if saved is not None and is_old:
            tape = MarketTape(saved, min(self._saved.kept_at.get(name, self._saved.at), now))
        else:
            since_ns = (
                min(armed.since_ns, round(now * SECOND)) if self._is_known else armed.since_ns
            )
            if armed.is_guess:
                self._guessed.add(name)
            tape = MarketTape(Position(None, since_ns), since_ns / SECOND)
        tape.see_again(now)
        self.tapes[name] = tape
        self._markets[name] = armed.market
        return self._ask(name, self._pace.settle)

    @property
    def _is_known(self) -> bool:
        return self._clocks.is_known()

    def armed(self, change: BookArm) -> Armed:
        """Return a rule as it waits: since when, and what was seen of it."""
        rule, market, since_at = change.rule, change.market, change.since_at
        told_ns, seen_ns = self._ns_of(change.since), nanoseconds(change.seen)
        if since_at is None and told_ns is not None:
            since_ns = self._since_of(market.name, told_ns)
            if self._is_known and since_ns > self._time.began_ns:
                since_at = self._clocks.monotonic_of(since_ns)
            return Armed(rule, market, since_ns, seen_ns, since_at)
        since_at = self._clocks.monotonic() if since_at is None else since_at
        since_ns = self._clocks.kraken_ns_of(since_at)
        return Armed(rule, market, since_ns, seen_ns, since_at, is_guess=not self._is_known)

    def put_right(self, waiting: Iterable[Armed]) -> list[Ask]:
        """Go by Kraken's clock as it is known now; return what is to be asked about.

        Args:
            waiting: What waited since a guess, by that clock.
        """
        now = self._clocks.kraken()
        begins: dict[str, int] = {}
        for armed in waiting:
            at_ns = begins.get(armed.market.name, armed.since_ns)
            begins[armed.market.name] = min(at_ns, armed.since_ns)
        guessed, self._guessed = self._guessed, set()
        begins = dict.fromkeys(guessed, round(now * SECOND)) | begins
        for tape in self.tapes.values():
            tape.not_after(now)
        asked = [name for name in begins if name in self.tapes]
        for name in asked:
            self.tapes[name].begin_at(begins[name], now, is_guess=name in guessed)
        return [ask for name in asked for ask in self._ask(name, self._pace.hole)]

    def _ns_of(self, since: str) -> int | None:
        """Return what `nanoseconds` does; rows that were armed at one moment share the number."""
        if since != self._last_since[0]:
            self._last_since = since, nanoseconds(since)
        return self._last_since[1]

    def _since_of(self, market: str, since_ns: int) -> int:
        """Return since when a rule of a market waits, in nanoseconds since 1970.

        A moment to come was written down by a clock that was wrong, so the rule is from before:
        it waits since an earlier run stopped looking, where that is known.

        Args:
            market: Its market.
            since_ns: As it was written down, by Kraken's clock.
        """
        now_ns = self._clocks.kraken_ns()
        if since_ns <= now_ns + DOUBT or not self._is_known:
            return since_ns
        place = self._saved.places.get(market)
        return now_ns if place is None else min(place.at_ns, now_ns)

    def is_for_past(self, market: str) -> bool:
        """Tell whether a market is followed for what has fired alone."""
        return market in self._for_past

    def leave(self, market: str) -> None:
        """Stop following a market."""
        if self.tapes.pop(market, None) is not None:
            self._left.add(market)
        self._markets.pop(market, None)
        self._for_past.discard(market)
        self._guessed.discard(market)
        self._told.has_healed(market)

    def saved(self, parked: frozenset[str]) -> Saved:
        """Return how far each tape has been looked at, to be kept for the next run.

        Args:
            parked: The rules that wait for the price to come back.
        """
        now = self._clocks.kraken()
        places, kept_at = self.places(now), self.kept_at(now)
        if not self._is_known:  # nobody knows what time it is, but when the trades were
            now = max((place.at_ns for place in places.values()), default=0) / SECOND
        return Saved(now, places, parked, kept_at)

    def places(self, now: float) -> dict[str, Position]:
        """Return how far each tape has been looked at; `now` by Kraken's clock.

        Rows of an earlier run that are not armed yet, as their prices cannot be had or somebody
        is saving the file, will need its places.
        """
        kept = {name: self._saved.places[name] for name in self.kept_at(now)}
        tapes = {n: tape.floor for n, tape in self.tapes.items() if n not in self._guessed}
        return kept | tapes

    def kept_at(self, now: float) -> dict[str, float]:
        """Return when an earlier run kept its place in each market that nobody followed since."""
        saved = self._saved
        found = {name: saved.kept_at.get(name, saved.at) for name in saved.places}
        return {
            name: at
            for name, at in found.items()
            if name not in self.tapes
            and name not in self._left
            and not (self._is_known and now - at >= _WORTH_KEEPING)
        }

    def market(self, name: str) -> Market:
        """Return a market that is followed."""
        return self._markets[name]

    # --- asking --------------------------------------------------------------------------------

    def _ask(self, market: str, delay: float) -> list[Ask]:
        if market in self._guessed:
            return []  # once the time is known
        return [Ask(self._markets[market], self.tapes[market].floor, delay)]

    def hole(self, market: str, *, is_opening: bool) -> list[Hide | Ask]:
        """Return what to do about a hole in the numbers of a market.

        Args:
            market: Whose numbers.
            is_opening: Whether it is that before the first trade, in which no rule is hidden that
                was not so already.
        """
        asks = self._ask(market, self._pace.hole)
        return [*asks] if is_opening else [Hide(market), *asks]

    def lose(self, markets: Iterable[str], since: float) -> list[Hide]:
        """Note that these markets are not seen any more since `since`, in seconds since 1970."""
        lost = [name for name in markets if name in self.tapes]
        for name in lost:
            self.tapes[name].go_blind(since)
        return [Hide(name) for name in lost]

    def see_again(self, markets: Collection[str] | None = None) -> list[Ask]:
        """Note that the stream is back, and ask for what was missed; None: of all markets."""
        now = self._clocks.kraken()
        back = self.tapes if markets is None else set(markets)
        dark = [name for name, tape in self.tapes.items() if tape.is_open and name in back]
        for name in dark:
            self.tapes[name].see_again(now)
        return [ask for name in dark for ask in self._ask(name, self._pace.settle)]

    def look_again(self, market: str, *, if_closed: bool) -> list[Hide | Ask]:
        """Ask for all that a market traded since it was looked at.

        Args:
            market: Whose trades.
            if_closed: Whether to let an earlier question be answered first, however long.
        """
        tape = self.tapes.get(market)
        if tape is None or (if_closed and tape.is_open):
            return []
        hides = [] if tape.is_open else [Hide(market)]
        if not tape.is_open:
            tape.go_blind(max(tape.looked_at, tape.floor.at_ns / SECOND), is_reported=False)
        tape.see_again(self._clocks.kraken())
        return [*hides, *self._ask(market, self._pace.hole)]

    # --- the answer ----------------------------------------------------------------------------

    def dated(self, answer: Fetched) -> Fetched:
        """Return an answer with the moment of its question by Kraken's clock as it is known now."""
        if answer.asked_at is None:
            return answer
        return replace(answer, until=self._clocks.kraken_ns_of(answer.asked_at) / SECOND)

    def close(self, answer: Fetched) -> Closed | Behind | None:
        """Take REST's answer; None where nobody follows that market any more."""
        name, tape = answer.market, self.tapes.get(answer.market)
        if tape is None:
            return None
        past, span, is_reported = (
            tape.unseen(answer.past),
            tape.span(answer.until),
            tape.is_reported,
        )
        newest, is_guess = answer.newest, not self._is_known
        if not tape.close(newest, answer.until, is_cut=answer.is_cut, is_guess=is_guess):
            wait = doubled(self._pace.settle, tape.tries, self._pace.retry_max)
            ask = Ask(self._markets[name], tape.floor, wait)
            said = None
            if tape.tries >= _PATIENT_TRIES and self._told.is_news(name):
                now, reason = self._clocks.kraken(), "REST's trades end before the stream's"
                said = past_unknown(name, span[0], now, reason)
            return Behind(past, span, ask, said)
        has_healed = self._told.has_healed(name)
        return Closed(past, answer.until, span, is_reported, has_healed, tape.is_open)

    def cannot(self, trouble: NotFetched) -> Sentence | None:
        """Return what to say, once until it heals, of a hole that cannot be closed for now."""
        tape, now = self.tapes.get(trouble.market), self._clocks.kraken()
        if tape is None or not self._told.is_news(trouble.market):
            return None
        return past_unknown(trouble.market, tape.span(now)[0], now, trouble.reason)
