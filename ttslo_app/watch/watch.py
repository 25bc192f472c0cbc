"""The watch: every armed rule, and what prices, seen or missed, do to it.

One thread hands in what is armed, what is printed and what REST tells of the past; crossings,
sentences and wishes for past trades go out through the callables that it is made with. It knows
neither sockets nor files. What it must never do: let a rule fire for a past that is older than
the rule, or fire one rule twice for one crossing.

A rule whose row wants to be told only, and nothing done, is *parked* while its market is blind:
on the far side of its threshold nothing fires it, and the first price on the near side arms it.
A trade that is seen on the far side meanwhile fires it later, if nothing was crossed before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum, auto

from krakenlink.numbers import plain
from krakenlink.stream.feed import TradePrint, Trades
from ttslo_app.clocks import SECOND, Clocks, clock_time, iso_moment, nanoseconds
from ttslo_app.messages import (
    BookArm,
    BookFired,
    Crossing,
    Fetched,
    FirstCrossing,
    Market,
    NotFetched,
    Past,
    Say,
)
from ttslo_app.rules.rule import Rule, ThresholdType, WhenBlind
from ttslo_app.watch.crossings import Armed, Deed, Touch, deed_for, first_crossings
from ttslo_app.watch.past import Pace
from ttslo_app.watch.rulebook import RuleBook
from ttslo_app.watch.tape import MarketTape, Position, Saved
from ttslo_app.watch.words import deed_words, found_words, span_words

# What an earlier run fired at the very price of the first crossing was seen when it happened,
# unless the crossing is so much older, in nanoseconds: an order takes a moment to be written down.
_SEEN = 5 * SECOND
# Our idea of Kraken's clock may be off by this much, in nanoseconds.
_DOUBT = 1 * SECOND
_OTHER_SIDE = {
    ThresholdType.ABOVE: ThresholdType.BELOW,
    ThresholdType.BELOW: ThresholdType.ABOVE,
}


class _FromBefore(Enum):
    """What is known of a rule that an earlier run fired."""

    NOTED = auto()  # when it was written down, by this machine's clock, a moment after the trade
    FOUND = auto()  # the trade that crossed it first, of all that were looked at


@dataclass(frozen=True, slots=True)
class _Fired:
    """A rule that has fired.

    Attributes:
        at_ns: A moment at or after that of the trade that fired it, by Kraken's clock.
        seen: The price that fired it.
        from_before: What an earlier run left, None if this run fired it.
    """

    armed: Armed
    at_ns: int
    seen: Decimal
    from_before: _FromBefore | None = None

    def is_outdone_by(self, first: Past, seen_at: Mapping[Decimal, int]) -> bool:
        """Tell whether `first` is news: a crossing before the one that has fired.

        Args:
            first: The first trade after the place where looking began that crosses.
            seen_at: When each price was traded first after that place.
        """
        if self.from_before is None:
            return first.at_ns <= self.at_ns
        if first.at_ns + first.bar_seconds * SECOND >= self.at_ns:
            return False
        if self.from_before is _FromBefore.FOUND or first.bar_seconds:
            return True
        # The trade that fired it is among those after that place, or nothing here is older.
        if seen_at.get(self.seen, self.at_ns + 2 * _DOUBT) > self.at_ns + _DOUBT:
            return False
        return self.seen != first.price or self.at_ns - first.at_ns > _SEEN


class Watch:
    """All that is armed. Used by one thread, but for `markets`, which any may read.

    Args:
        submit: Takes each crossing, in order, and what is found out about one later.
        say: Takes a level and a sentence for a person.
        want: Asks for what a market traded after a place, after so many seconds, and how far
            from the price its nearest threshold is, as a part of the price.
        present: Returns the proven price of a market at this moment, None if there is none.
        clocks: The clocks.
        default: The policy of rows that name none.
        saved: How far the tapes were seen by an earlier run.
        pace: How fast the past may be asked for.
    """

    def __init__(
        self,
        *,
        submit: Callable[[Crossing | FirstCrossing], None],
        say: Say,
        want: Callable[[Market, Position, float, float], None],
        present: Callable[[Market], Decimal | None],
        clocks: Clocks,
        default: WhenBlind = WhenBlind.ARM_IF_BEYOND,
        saved: Saved | None = None,
        pace: Pace | None = None,
    ) -> None:
        # Replaced whole, so that other threads may look at any time.
        self.markets: Mapping[str, Market] = {}
        self.rules: dict[str, Armed] = {}
        self.last: dict[str, tuple[Decimal, float]] = {}
        self._submit = submit
        self._say = say
        self._want = want
        self._present = present
        self._clocks = clocks
        self._default = default
        self._saved = saved or Saved()
        self._pace = pace or Pace()
        self._started_ns = clocks.kraken_ns()
        self._book = RuleBook()
        self._parked = RuleBook()
        self._told = set(self._saved.parked)  # parked for good reason, not just in case
        # The rules that are parked just in case, and the first trade that would have fired each:
        # it does, once it is known that nothing had crossed before.
        self._doubtful = RuleBook()
        self._beyond: dict[str, tuple[Decimal, int]] = {}
        self._by_market: dict[str, dict[str, Armed]] = {}
        self._tapes: dict[str, MarketTape] = {}
        self._tape_markets: dict[str, Market] = {}
        # What has fired since the tape was last looked at: a look back may find that it was
        # crossed earlier than a price that was seen told.
        self._late: dict[str, dict[str, _Fired]] = {}
        # What a ticker or a poll has fired, as long as the trade that it tells of may still come.
        self._ahead: dict[str, list[_Fired]] = {}
        self._for_past: set[str] = set()  # markets that are followed for what has fired alone
        self._print: TradePrint | None = None  # the one that is looked at just now
        self._unknown: set[str] = set()

    # --- what is armed -------------------------------------------------------------------------

    def arm(self, change: BookArm) -> None:
        """Arm a rule, or arm it anew, and look at the present price at once.

        A rule that waits for what it waited for before stays parked where it is; of another
        threshold nothing is known from what was seen of the old one.
        """
        rule, market = change.rule, change.market
        known = self.rules.get(rule.id)
        armed = Armed(rule, market, self._since_of(change))
        if known is not None and not known.is_same_condition(armed):
            self.forget(rule.id)
            self._told.discard(rule.id)
        self.rules[rule.id] = armed
        self._by_market.setdefault(market.name, {})[rule.id] = armed
        if market.name not in self.markets:
            self.markets = {**self.markets, market.name: market}
        self._for_past.discard(market.name)
        tape = self._tape_of(armed)
        is_told_only = self._policy_of(rule) is WhenBlind.NOTIFY
        if is_told_only and (rule.id in self._parked or self._is_parked_at_start(armed, tape)):
            self._park(armed)
        else:
            self._unpark(armed)
        present = self._present(market)
        if present is not None:
            self._look(market.name, present, "was met already")

    def _since_of(self, change: BookArm) -> int:
        """Return since when the rule waits, by Kraken's clock: trades bear its moments."""
        since_ns = self._clocks.at_kraken(change.since)
        return self._clocks.kraken_ns() if since_ns is None else since_ns

    def fired_before(self, change: BookFired) -> None:
        """Look for an earlier crossing of what an earlier run has fired, where it left a hole.

        Without this a program that is killed between an order and the look back that would have
        told the true first crossing would never tell it.
        """
        rule, market = change.rule, change.market
        since_ns = self._clocks.at_kraken(change.since)
        at_ns = (nanoseconds if change.is_found else self._clocks.at_kraken)(change.fired_at)
        if since_ns is None or at_ns is None:
            return
        armed, place = Armed(rule, market, since_ns), self._saved.places.get(market.name)
        if place is not None:
            if at_ns + _DOUBT < place.at_ns:
                return  # all that was traded until it fired has been looked at
            if market.name not in self._tapes:
                self._for_past.add(market.name)
            self._tape_of(armed)
        from_before = _FromBefore.FOUND if change.is_found else _FromBefore.NOTED
        fired = _Fired(armed, at_ns, Decimal(change.price), from_before)
        self._late.setdefault(market.name, {})[rule.id] = fired

    def _is_parked_at_start(self, armed: Armed, tape: MarketTape) -> bool:
        is_from_before = armed.since_ns <= self._started_ns
        return is_from_before and (tape.is_open or armed.rule.id in self._told)

    def forget(self, rule_id: str) -> Market | None:
        """Take a rule off the books; return its market if nothing else is armed there."""
        for book in (self._book, self._parked, self._doubtful):
            book.disarm(rule_id)
        self._beyond.pop(rule_id, None)
        armed = self.rules.pop(rule_id, None)
        if armed is None:
            return None
        name = armed.market.name
        others = self._by_market[name]
        del others[rule_id]
        if others:
            return None
        del self._by_market[name]
        self.markets = {n: m for n, m in self.markets.items() if n != name}
        return armed.market

    def leave(self, market: str) -> None:
        """Stop following the tape of a market."""
        self._tapes.pop(market, None)
        self._tape_markets.pop(market, None)
        self._late.pop(market, None)
        self._ahead.pop(market, None)
        self._for_past.discard(market)

    def _policy_of(self, rule: Rule) -> WhenBlind:
        return rule.when_blind or self._default

    # --- prices --------------------------------------------------------------------------------

    def price(self, market: str, price: Decimal) -> None:
        """Let a price that is proven now fire what it crosses; the trade it tells of may follow."""
        if fired := self._look(market, price):
            self._ahead.setdefault(market, []).extend(fired)

    def _look(self, market: str, price: Decimal, reason: str = "crossed") -> Sequence[_Fired]:
        self.last[market] = (price, self._clocks.monotonic())
        crossed = self._book.crossed(market, price)
        fired = [self._fire(self.rules[rule_id], price, reason) for rule_id in crossed]
        if self._parked:
            self._unpark_near(market, price)
        return fired

    def trades(self, event: Trades) -> None:
        """Look at every print of a frame; a hole before it is asked for."""
        tape = self._tapes.get(event.symbol)
        if tape is None or not event.prints:
            return
        is_opening = tape.is_opening
        fresh, has_hole = tape.see(event.prints)
        if has_hole:
            if not is_opening:
                self._park_doubtful(event.symbol)
            self._ask(event.symbol, self._pace.hole)
        if event.symbol in self._ahead:
            self._catch_up(event.symbol, fresh)
        try:
            for one in fresh:
                self._print = one
                if self._doubtful:
                    self._note_beyond(event.symbol, one)
                self._look(event.symbol, one.price)
        finally:
            self._print = None

    def _note_beyond(self, market: str, one: TradePrint) -> None:
        at_ns = nanoseconds(one.timestamp) or 0
        for rule_id in self._doubtful.crossed(market, one.price):
            armed = self.rules[rule_id]
            if at_ns >= armed.since_ns:
                self._beyond[rule_id] = (one.price, at_ns)
            else:
                self._doubt(armed)

    def _catch_up(self, market: str, prints: Iterable[TradePrint]) -> None:
        """Find the first crossing of what fired before the trades that led there were looked at.

        Kraken promises no order between its channels, and a poll overtakes trades under way.
        """
        for one in prints:
            at_ns = nanoseconds(one.timestamp) or 0
            left = [fired for fired in self._ahead[market] if at_ns <= fired.at_ns]
            self._ahead[market] = [f for f in left if not f.armed.rule.is_met_by(one.price)]
            for fired in left:
                rule = fired.armed.rule
                if not rule.is_met_by(one.price):
                    continue
                self._late.setdefault(market, {})[rule.id] = replace(fired, at_ns=at_ns)
                if one.price != fired.seen:
                    found = FirstCrossing(rule.id, plain(one.price), iso_moment(at_ns))
                    self._submit(found)
        if not self._ahead[market]:
            del self._ahead[market]

    def _fire(self, armed: Armed, price: Decimal, reason: str, at_ns: int | None = None) -> _Fired:
        rule, name = armed.rule, armed.market.name
        self._submit(Crossing(rule, price, plain(price), reason))
        if self._print is not None:
            at_ns = nanoseconds(self._print.timestamp)
        fired = _Fired(armed, at_ns or self._clocks.kraken_ns() + _DOUBT, seen=price)
        self._late.setdefault(name, {})[rule.id] = fired
        self._told.discard(rule.id)
        self.forget(rule.id)
        return fired

    def _park(self, armed: Armed) -> None:
        rule = armed.rule
        self._book.disarm(rule.id)
        side = _OTHER_SIDE[rule.threshold_type]
        self._parked.arm(rule.id, armed.market.name, rule.threshold, side)
        if rule.id not in self._told and rule.id not in self._beyond:
            self._doubt(armed)

    def _doubt(self, armed: Armed) -> None:
        rule = armed.rule
        self._doubtful.arm(rule.id, armed.market.name, rule.threshold, rule.threshold_type)

    def _unpark(self, armed: Armed) -> None:
        rule = armed.rule
        self._parked.disarm(rule.id)
        self._doubtful.disarm(rule.id)
        self._told.discard(rule.id)
        self._book.arm(rule.id, armed.market.name, rule.threshold, rule.threshold_type)

    def _unpark_near(self, market: str, price: Decimal) -> None:
        for rule_id in self._parked.crossed(market, price):
            armed = self.rules[rule_id]
            # Equality is the far side, and the parking book gives it, too.
            (self._park if armed.rule.is_met_by(price) else self._unpark)(armed)

    def _park_doubtful(self, market: str) -> None:
        """Park what must not fire before it is known what happened while nobody looked."""
        for armed in list(self._by_market.get(market, {}).values()):
            if self._policy_of(armed.rule) is WhenBlind.NOTIFY and armed.rule.id in self._book:
                self._park(armed)

    # --- blind times ---------------------------------------------------------------------------

    def _tape_of(self, armed: Armed) -> MarketTape:
        name, now = armed.market.name, self._clocks.kraken()
        tape = self._tapes.get(name)
        if tape is not None:
            if armed.since_ns < self._started_ns:
                tape.reach_back(armed.since_ns)
            return tape
        saved = self._saved.places.get(name)
        if saved is not None and armed.since_ns < self._started_ns:
            tape = MarketTape(saved, min(self._saved.at, now))
        else:
            since_ns = min(armed.since_ns, round(now * SECOND))
            tape = MarketTape(Position(None, since_ns), since_ns / SECOND)
        tape.see_again(now)
        self._tapes[name] = tape
        self._tape_markets[name] = armed.market
        self._ask(name, self._pace.settle)
        return tape

    def _ask(self, market: str, delay: float) -> None:
        place = self._tapes[market].floor
        self._want(self._tape_markets[market], place, delay, self._distance(market))

    def _distance(self, market: str) -> float:
        """Return how far the nearest threshold was from the last price, as a part of it.

        Nothing where a row is parked: it fires at no price before it is known what was missed.
        A float, as it only says who is asked about first.
        """
        price, _ = self.last.get(market, (None, 0.0))
        near = self._book.nearest(market)
        if price is None or not near or self._parked.nearest(market):
            return 0.0
        return float(min(abs(level - price) for level in near) / price)

    def go_blind(self, markets: Iterable[str], since: float) -> None:
        """Note that these markets are not seen any more since `since`, in seconds since 1970."""
        for name in markets:
            if name in self._tapes:
                self._tapes[name].go_blind(since)
                self._park_doubtful(name)

    def see_again(self) -> None:
        """Note that the stream is back, and ask for what was missed."""
        now = self._clocks.kraken()
        for name, tape in self._tapes.items():
            if tape.is_open:
                tape.see_again(now)
                self._ask(name, self._pace.settle)

    def look_again(self, market: str, *, if_closed: bool = False) -> None:
        """Ask for all that `market` traded since it was looked at: its stream is new, or none.

        Args:
            market: Whose trades.
            if_closed: Whether to let an earlier question be answered first, however long.
        """
        tape = self._tapes.get(market)
        if tape is None or (if_closed and tape.is_open):
            return
        if not tape.is_open:
            tape.go_blind(max(tape.looked_at, tape.floor.at_ns / SECOND), is_reported=False)
            self._park_doubtful(market)
        tape.see_again(self._clocks.kraken())
        self._ask(market, self._pace.hole)

    def fetched(self, answer: Fetched) -> None:
        """Walk through what REST tells of the past, in order, by each row's policy."""
        name, tape = answer.market, self._tapes.get(answer.market)
        if tape is None:
            return
        past = tape.unseen(answer.past)
        span = tape.span(answer.until)
        level = "INFO" if tape.is_reported else "DEBUG"
        if not tape.close(answer.newest, answer.until, is_cut=answer.is_cut):
            # The stream was faster than REST.
            self._ask(name, min(self._pace.settle * 2.0**tape.tries, self._pace.retry_max))
            return
        if name in self._unknown:
            self._unknown.discard(name)
            self._say("INFO", f"{name}: what was traded while blind can be fetched again")
        fired = self._late.get(name, {}).values()
        start, end = (round(moment * SECOND) for moment in span)
        has_fired = any(start <= one.at_ns <= end + _DOUBT for one in fired)
        touches = self._touches(name, past, answer.until)
        # An earlier run may have left a hole open that is older than the moment of its end.
        moments = [touch.past.at_ns / SECOND for touch in touches if not touch.past.bar_seconds]
        span = (min([span[0], *moments]), span[1])
        self._settle_ahead(name, {touch.rule.id for touch in touches}, answer.until)
        for touch in touches:
            self._meet(name, touch, span)
        self._fire_beyond(name)
        if name in self._for_past and name not in self._by_market:
            self.leave(name)
        elif not tape.is_open:
            self._release(name)
        if not touches:
            which = "no other" if has_fired else "no"
            self._say(
                level,
                f"{name}: {which} threshold was crossed while blind {span_words(span)}; "
                f"{len(past)} prices of that time were looked at",
            )

    def _settle_ahead(self, market: str, found: Collection[str], until: float) -> None:
        """Expect no trade of the stream to tell the first crossing where REST has, or would have.

        What is traded a moment later, within the doubt about the clocks, would be taken for it.
        """
        left = [
            fired
            for fired in self._ahead.pop(market, ())
            if fired.armed.rule.id not in found and fired.at_ns > until * SECOND
        ]
        if left:
            self._ahead[market] = left

    def _fire_beyond(self, market: str) -> None:
        """Fire what was parked just in case, and crossed before everybody's eyes."""
        for rule_id in [i for i in self._by_market.get(market, ()) if i in self._beyond]:
            price, at_ns = self._beyond[rule_id]
            self._fire(self.rules[rule_id], price, "crossed", at_ns)

    def _touches(self, market: str, past: list[Past], until: float) -> list[Touch]:
        """Return what `past` crosses of the rules that wait, or waited until they fired."""
        late = self._late.pop(market, {})
        younger = {i: fired for i, fired in late.items() if fired.at_ns > until * SECOND}
        if younger and self._tapes[market].is_open:
            self._late[market] = younger  # the next answer may hold what crossed them first
        waiting = {rule_id: fired.armed for rule_id, fired in late.items()}
        waiting |= self._by_market.get(market, {})
        found = first_crossings(past, waiting.values())
        seen_at: dict[Decimal, int] = {}
        for one in past if late else ():
            seen_at.setdefault(one.price, one.at_ns)
        return [
            touch
            for touch in found
            if touch.rule.id in self.rules or late[touch.rule.id].is_outdone_by(touch.past, seen_at)
        ]

    def not_fetched(self, trouble: NotFetched) -> None:
        """Say, once until it heals, that a hole cannot be closed for now."""
        tape = self._tapes.get(trouble.market)
        if tape is None or trouble.market in self._unknown:
            return
        self._unknown.add(trouble.market)
        since = clock_time(tape.span(self._clocks.kraken())[0], self._clocks.kraken())
        self._say(
            "WARNING",
            f"{trouble.market}: it is not known yet what was traded while blind since {since} "
            f"({trouble.reason}). It is asked for until it is known",
        )

    def _meet(self, name: str, touch: Touch, span: tuple[float, float]) -> None:
        """Do and say what becomes of a rule that was crossed while nobody looked."""
        rule = touch.rule
        armed, policy = self.rules.get(rule.id), self._policy_of(rule)
        if self._beyond.get(rule.id, (None, touch.past.at_ns))[1] < touch.past.at_ns:
            return  # it was crossed before, and seen
        self._beyond.pop(rule.id, None)
        if armed is None:
            deed, present = Deed.DONE, None
        elif rule.id in self._told:
            return  # it is known, and was said, that the price stands beyond the threshold
        else:
            present = self._present(armed.market)
            deed = deed_for(policy, rule, present)
        first, at = plain(touch.past.price), iso_moment(touch.past.at_ns)
        self._say(
            "WARNING",
            f"{rule.id}: {found_words(name, touch, span)}; {deed_words(deed, policy, present)}",
            id=rule.id,
            crossed_price=first,
            crossed_at=at,
        )
        if deed in (Deed.FIRE, Deed.DONE):
            self._submit(FirstCrossing(rule.id, first, at))
        if armed is None:
            return
        if deed is Deed.FIRE:
            # Who wants the order wherever the price is by now wants it for that crossing.
            price = touch.past.price
            if present is not None and policy is not WhenBlind.ALWAYS:
                price = present
            moment = clock_time(touch.past.at_ns / SECOND, span[1])
            self._fire(armed, price, f"crossed while blind ({moment})", touch.past.at_ns)
        elif deed is Deed.PARK:
            self._told.add(rule.id)
            self._doubtful.disarm(rule.id)
            self._park(armed)

    def _release(self, market: str) -> None:
        """Arm what was parked just in case and was not crossed: the price may cross it now."""
        for armed in list(self._by_market.get(market, {}).values()):
            if armed.rule.id in self._parked and armed.rule.id not in self._told:
                self._unpark(armed)
        present = self._present(self._tape_markets[market])
        if present is not None:
            self.price(market, present)

    # --- what is kept --------------------------------------------------------------------------

    def places(self) -> Saved:
        """Return how far each tape has been looked at, to be kept for the next run."""
        floors = {name: tape.floor for name, tape in self._tapes.items()}
        return Saved(self._clocks.kraken(), floors, frozenset(self._told & set(self.rules)))
