"""The watch: every armed rule, and what prices, seen or missed, do to it.

One thread hands in what is armed, what is printed and what REST tells of the past; crossings,
sentences and wishes for past trades go out through the callables that it is made with. It knows
neither sockets nor files. What it must never do: let a rule fire for a past that is older than
the rule, or fire one rule twice for one crossing.

How each rule stands is `parking`'s, what has fired is `crossings`'s, and when nobody looked is
`blind`'s; what those want done is done here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from decimal import Decimal

from krakenlink.numbers import plain
from krakenlink.stream.events import Trades
from ttslo_app.clocks import SECOND, Clocks, Reckoning, iso_moment, nanoseconds
from ttslo_app.messages import (
    BookArm,
    BookFired,
    Crossing,
    Fetched,
    FirstCrossing,
    Market,
    NotFetched,
    Say,
    Sentence,
    tell,
)
from ttslo_app.rules.rule import WhenBlind
from ttslo_app.watch.arming import price_for, signal_for
from ttslo_app.watch.blind import Ask, Behind, Blind, Closed, Hide
from ttslo_app.watch.crossings import (
    DOUBT,
    Armed,
    Deed,
    Fired,
    Firing,
    FromBefore,
    OfNow,
    Touch,
    deed_for,
    is_older,
    news_of,
)
from ttslo_app.watch.parking import Parking, Seat, Standing
from ttslo_app.watch.past import Pace
from ttslo_app.watch.tape import Position, Saved
from ttslo_app.watch.words import (
    Span,
    crossed_at,
    crossed_before,
    crossed_while_blind,
    deed_words,
    not_crossed,
    past_known,
)


class Watch:
    """All that is armed. Used by one thread; any may read `markets`, `seats` and `rules`.

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

    Attributes:
        markets: The markets of all that is armed, by name.
        seats: How each armed rule stands, by rule id; a live dict, to be counted and looked up in.
        last: The last price of each market, and when it was looked at, on the monotonic clock.
        in_order: Returns rules that one trade crosses in the order in which they fire.
        give_way: Called when crossings are on their way, before the books are put in order.
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
        saved = saved or Saved()
        # Replaced whole, so that other threads may look at any time.
        self.markets: Mapping[str, Market] = {}
        self.last: dict[str, tuple[Decimal, float]] = {}
        self.in_order: Callable[[Sequence[str]], Sequence[str]] = list
        self.give_way: Callable[[], object] = _go_on
        self._submit = submit
        self._tell = say
        self._want = want
        self._present = present
        self._clocks = clocks
        self._parking = Parking(default, saved.parked)
        self.seats: Mapping[str, Seat] = self._parking.seats
        self._time = Reckoning(clocks)
        self._blind = Blind(clocks, self._time, saved, pace or Pace())
        self._fired, self._is_of_now = Fired(), OfNow(clocks)

    @property
    def rules(self) -> dict[str, Armed]:
        """What is armed, by rule id, as a dict of its own. Any thread."""
        return self._parking.rules

    def _say(self, sentence: Sentence) -> None:
        tell(self._tell, sentence)

    # --- what is armed -------------------------------------------------------------------------

    def arm(self, change: BookArm) -> Armed:
        """Arm a rule, or arm it anew, and look at the present price at once; return how it waits.

        A rule that waits for what it waited for before stays parked where it is; of another
        threshold nothing is known from what was seen of the old one.
        """
        self._put_right()
        rule, market, armed = change.rule, change.market, self._blind.armed(change)
        seat = self._parking.seat_of(rule.id)
        if seat is not None and not seat.armed.is_same_condition(armed):
            self.forget(rule.id)
            self._parking.forget_told(rule.id)
        self._fired.forget(rule.id, armed.since_ns)
        if market.name not in self.markets:
            self.markets = {**self.markets, market.name: market}
        self._do(self._blind.follow(armed))
        held, now = change.held, self._present(market)
        self._parking.enter(armed, signal_for(armed, self._parking, self._blind, held))
        if held is not None and self._parking.policy_of(rule) is WhenBlind.ALWAYS:
            self._fire([armed], held.price, held.reason, held.at_ns)
        elif (present := price_for(change, armed, now, self.last, self._clocks)) is not None:
            self._look(market.name, present, reason="was met already")
        return armed

    def fired_before(self, change: BookFired) -> None:
        """Look for an earlier crossing of what an earlier run has fired, where it left a hole.

        Without this a program that is killed between an order and the look back that would have
        told the true first crossing would never tell it.
        """
        since_ns, at_ns = nanoseconds(change.since), nanoseconds(change.fired_at)
        if since_ns is None or at_ns is None:
            return
        armed = Armed(change.rule, change.market, since_ns)
        asks = self._blind.follow_past(armed, at_ns)
        if asks is None:
            return  # all that was traded until it fired has been looked at
        self._do(asks)
        from_before = FromBefore.FOUND if change.is_found else FromBefore.NOTED
        self._fired.add(Firing(armed, at_ns, Decimal(change.price), from_before))

    def forget(self, rule_id: str) -> Market | None:
        """Take a rule off the books; return its market if nothing else is armed there."""
        armed = self._parking.leave(rule_id)
        if armed is None or self._parking.is_watched(armed.market.name):
            return None
        self.markets = {n: m for n, m in self.markets.items() if n != armed.market.name}
        return armed.market

    def leave(self, market: str) -> None:
        """Stop following the tape of a market."""
        self._blind.leave(market)
        self._fired.leave(market)

    # --- prices --------------------------------------------------------------------------------

    def price(self, market: str, price: Decimal, seen_at: float | None = None) -> None:
        """Let a price that is proven now fire what it crosses; the trade it tells of may follow.

        Args:
            market: Whose price.
            price: The price.
            seen_at: When it came, on the monotonic clock; None for now.
        """
        if fired := self._look(market, price, seen_at):
            self._fired.expect(market, fired)

    def trades(self, event: Trades) -> None:
        """Look at every print of a frame; a hole before it is asked for.

        What came now need not be of now: a snapshot, and a frame that was held up on its way, are
        the past, and are asked for as that is.
        """
        name, parking, tape = event.symbol, self._parking, self._blind.tapes.get(event.symbol)
        if self._time.is_guess or parking.doubtful.live:
            self._put_right()
        if tape is None or not event.prints:
            return
        if event.is_snapshot or not self._is_of_now(event.prints):
            self.look_again(name)
            return
        if self._time.is_guess:
            hear(event, self._clocks)
        is_opening = tape.is_opening
        fresh, has_hole = tape.see(event.prints)
        if has_hole:
            self._do(self._blind.hole(name, is_opening=is_opening))
        if name in self._fired.ahead:
            for found in self._fired.catch_up(name, fresh):
                self._submit(found)
        for one in fresh:
            if parking.doubtful.live:
                parking.see(name, one.price, nanoseconds(one.timestamp) or 0)
            self._look(name, one.price, event.at, one.timestamp)

    def _look(
        self,
        market: str,
        price: Decimal,
        seen_at: float | None = None,
        timestamp: str | None = None,
        reason: str = "crossed",
    ) -> list[Firing]:
        """Let a price fire what it crosses; `timestamp` is Kraken's of the trade, if it is one."""
        parking = self._parking
        self.last[market] = (price, self._clocks.monotonic())
        fired: list[Firing] = []
        if crossed := parking.book.crossed(market, price):
            at_ns = nanoseconds(timestamp)
            try:
                self._put_right()
                rows = [parking.seats[rule_id].armed for rule_id in self.in_order(crossed)]
                young = [x for x in rows if not is_older(x, at_ns, seen_at, self._clocks)]
                fired = self._fire(young, price, reason, at_ns, seen_at=seen_at)
            finally:
                parking.put_back(crossed)
        if parking.near.live:
            parking.look(market, price)
        return fired

    def _fire(
        self,
        rows: Iterable[Armed],
        price: Decimal,
        reason: str,
        at_ns: int | None,
        *,
        not_after: int | None = None,
        seen_at: float | None = None,
    ) -> list[Firing]:
        """Send crossings to the order thread, all by one price.

        Nobody says when `at_ns` is None; no trade can have crossed them first after `not_after`,
        where that is another moment; `seen_at` is on the monotonic clock, None for now.
        """
        now_ns, fired = self._clocks.kraken_ns(), list[Firing]()
        moment = now_ns if at_ns is None else at_ns
        seen_at = self._clocks.monotonic() if seen_at is None else seen_at
        guess = seen_at if self._time.is_guess and not (not_after or at_ns) else None
        try:
            for armed in rows:
                self._submit(Crossing(armed.rule, price, plain(price), reason, moment, seen_at))
                before = not_after or at_ns or now_ns + DOUBT
                fired.append(Firing(armed, before, seen=price, fired_at=guess))
            if fired:
                self.give_way()
        finally:
            for firing in fired:
                self._fired.add(firing)
                self.forget(firing.armed.rule.id)
        return fired

    # --- blind times ---------------------------------------------------------------------------

    def _put_right(self) -> None:
        """Go by Kraken's clock as it is known now: else a row may be deaf until it is so late."""
        if self._time.has_moved():
            armed = [*self._fired.put_right(self._time), *self._parking.put_right(self._time)]
            self._do(self._blind.put_right(armed))

    def _do(self, deeds: Iterable[Ask | Hide]) -> None:
        for deed in deeds:
            if isinstance(deed, Hide):
                self._parking.hide(deed.market)
            else:
                name = deed.market.name
                price, _ = self.last.get(name, (None, 0.0))
                self._want(deed.market, deed.after, deed.delay, self._parking.distance(name, price))

    def go_blind(self, markets: Iterable[str], since: float) -> None:
        """Note that these markets are not seen any more since `since`, in seconds since 1970."""
        self._do(self._blind.lose(markets, since))

    def see_again(self, markets: Collection[str] | None = None) -> None:
        """Note that the stream is back, and ask for what was missed; None: of all markets."""
        self._do(self._blind.see_again(markets))

    def look_again(self, market: str, *, if_closed: bool = False) -> None:
        """Ask for all that `market` traded since it was looked at: its stream is new, or none.

        Args:
            market: Whose trades.
            if_closed: Whether to let an earlier question be answered first, however long.
        """
        self._do(self._blind.look_again(market, if_closed=if_closed))

    def not_fetched(self, trouble: NotFetched) -> None:
        """Say, once until it heals, that a hole cannot be closed for now."""
        if (sentence := self._blind.cannot(trouble)) is not None:
            self._say(sentence)

    def fetched(self, answer: Fetched) -> None:
        """Walk through what REST tells of the past, in order, by each row's policy."""
        self._put_right()
        answer = self._blind.dated(answer)
        closed = self._blind.close(answer)
        if isinstance(closed, Closed):
            self._settle(answer.market, closed)
        elif closed is not None:
            self._judge_partly(answer.market, closed)

    def _judge_partly(self, name: str, behind: Behind) -> None:
        """Judge what an answer told that ends too early, and ask again; nothing is over yet."""
        for touch in news_of(behind.past, self._parking.waiting(name), {}):
            self._meet(name, touch, behind.span)
        if behind.said is not None:
            self._say(behind.said)
        self._do([behind.ask])

    def _settle(self, name: str, closed: Closed) -> None:
        """Do what follows from what is known now of a blind time."""
        if closed.has_healed:
            self._say(past_known(name))
        has_fired = self._fired.has_fired(name, *closed.span)
        touches = self._touches(name, closed)
        # An earlier run may have left a hole open that is older than the moment of its end.
        moments = [touch.past.at_ns / SECOND for touch in touches if not touch.past.bar_seconds]
        span = (min([closed.span[0], *moments]), closed.span[1])
        self._fired.settle(name, {touch.rule.id for touch in touches}, closed.until)
        for touch in touches:
            self._meet(name, touch, span)
        self._fire_seen(name)
        if self._blind.is_for_past(name) and not self._parking.is_watched(name):
            self.leave(name)
        elif not closed.is_open:
            self._release(name)
        if not touches:
            count, is_news = len(closed.past), closed.is_reported
            self._say(not_crossed(name, span, count, has_fired=has_fired, is_reported=is_news))

    def _touches(self, name: str, closed: Closed) -> list[Touch]:
        """Return what a blind time crosses of the rules that wait, or waited until they fired."""
        late = self._fired.take(name, closed.until, is_open=closed.is_open)
        # A rule that waits anew, in whatever market, is not judged by what it fired before.
        over = {rule_id: fired for rule_id, fired in late.items() if rule_id not in self._parking}
        return news_of(closed.past, self._parking.waiting(name, self.in_order), over)

    def _meet(self, name: str, touch: Touch, span: Span) -> None:
        """Do and say what becomes of a rule that was crossed while nobody looked."""
        rule, first = touch.rule, touch.past
        seat, policy = self._parking.seat_of(rule.id), self._parking.policy_of(rule)
        deed, present, was_seen = Deed.DONE, None, False
        if seat is not None:
            if seat.seen is not None:
                if seat.seen[1] < first.at_ns:
                    return  # it was crossed before, and seen
                self._parking.outdo(seat)
            if seat.standing is Standing.PARKED:
                return  # it is known, and was said, that the price stands beyond the threshold
            present = self._present(seat.armed.market)
            deed = deed_for(policy, rule, present)
            was_seen = seat.armed.has_seen(first)
        done = deed_words(deed, policy, present)
        say = crossed_before if was_seen else crossed_while_blind
        self._say(say(name, touch, span, done))
        if deed in (Deed.FIRE, Deed.DONE):
            self._submit(FirstCrossing(rule.id, plain(first.price), iso_moment(first.at_ns)))
        if seat is None:
            return
        if deed is Deed.FIRE:
            # Who wants the order wherever the price is by now wants it for that crossing.
            price: Decimal = first.price
            at_ns: int | None = first.at_ns
            if present is not None and policy is not WhenBlind.ALWAYS:
                price, at_ns = present, None
            reason = crossed_at(first.at_ns, span, was_seen=was_seen)
            self._fire([seat.armed], price, reason, at_ns, not_after=first.at_ns)
        elif deed is Deed.PARK:
            self._parking.tell(seat)

    def _fire_seen(self, market: str) -> None:
        """Fire what was parked just in case, and crossed before everybody's eyes."""
        for seat in self._parking.seats_of(market):
            if seat.seen is not None:
                price, at_ns = seat.seen
                self._fire([seat.armed], price, "crossed", at_ns)

    def _release(self, market: str) -> None:
        """Arm what was parked just in case and was not crossed: the price may cross it now."""
        self._parking.release(market)
        if (present := self._present(self._blind.market(market))) is not None:
            self.price(market, present)

    # --- what is kept --------------------------------------------------------------------------

    def places(self) -> Saved:
        """Return how far each tape has been looked at, to be kept for the next run."""
        self._put_right()
        return self._blind.saved(self._parking.parked)


def _go_on() -> None:
    pass


def hear(event: Trades, clocks: Clocks) -> None:
    """Let the clocks hear when something was traded that has just come."""
    at_ns = nanoseconds(event.prints[-1].timestamp)
    if at_ns is not None:
        clocks.hear(at_ns / SECOND, event.at)
