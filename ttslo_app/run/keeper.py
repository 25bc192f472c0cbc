"""The keeper: a thread for all that recurs and may block, so that no price waits for it.

It reads an edited config.csv, asks REST for pairs that do not stream, looks at the orders that
stand, has the orders of new rows checked, and writes down how far the tapes were seen. What it
must never do: place an order, or let one failed duty end the others.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from krakenlink.errors import KrakenError
from krakenlink.machine import feed_clock
from krakenlink.once import Once
from ttslo_app.messages import Mark, Market, Message, PolledPrice, Say, Watched, tell
from ttslo_app.orders.exchange import KrakenExchange
from ttslo_app.orders.proofs import prove
from ttslo_app.orders.worker import OrderWorker
from ttslo_app.run import words
from ttslo_app.run.parts import PriceSource, TapeFile
from ttslo_app.run.streams import Streams
from ttslo_app.watch.tape import Saved

_log = logging.getLogger(__name__)

# The keeper looks at config.csv this often: an edit is seen a quarter of a second after its end at
# most, and acts once the file has been left alone for half a second. A `stat` costs a few
# microseconds, on network drives too, where change notifications are not to be relied upon.
BEAT = 0.25
# While an edit is under way it comes round so soon, so that none waits for a beat at each step.
_SOON = 0.05
_REST = ""  # the subject of what is said of REST as a whole: no market has that name


@dataclass(slots=True)
class Duty:
    """Something the keeper does again and again, at most every so many seconds.

    `complaint` is said where Kraken cannot be asked, once until it can be again; while it `rests`
    it is left alone, as another host is at it. Work that says `True` is to be done again soon.
    """

    every: Callable[[], float]
    work: Callable[[], object]
    complaint: str = ""
    rests: Callable[[], bool] = lambda: False
    done_at: float = float("-inf")


class Keeper:
    """The thread that does its duties until `stopping` is set.

    Args:
        duties: What it does, in this order.
        stopping: Ends it, after the duty that it is at.
        say: Takes a level and a sentence for a person.
    """

    def __init__(self, duties: Sequence[Duty], stopping: threading.Event, say: Say) -> None:
        self._duties = duties
        self._stopping = stopping
        self._say = say
        self._failing = Once()
        # A daemon: a REST call in flight must not delay the end of the program.
        self._thread = threading.Thread(target=self._run, name="ttslo-keeper", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def join(self, timeout: float) -> None:
        """Wait for its end, for at most so many seconds. Blocks."""
        self._thread.join(timeout)

    def _run(self) -> None:
        pause = BEAT
        while not self._stopping.wait(pause):
            # All of them, whatever the first ones say.
            are_soon = [self._do(duty) for duty in self._duties]
            pause = min(BEAT, _SOON) if any(are_soon) else BEAT

    def _do(self, duty: Duty) -> bool:
        """Do a duty if it is time; tell whether it is to be done again soon."""
        now = feed_clock()  # which goes on while the machine sleeps
        if self._stopping.is_set() or duty.rests() or now - duty.done_at < duty.every():
            return False
        duty.done_at, is_soon = now, False
        try:
            is_soon = duty.work() is True
        except KrakenError as error:
            _log.warning("Put off, Kraken cannot be asked just now: %s", error)
            if duty.complaint and self._failing.is_news(duty.complaint):
                tell(self._say, words.put_off(duty.complaint, error))
        except Exception:  # noqa: BLE001 - one failed duty must not end the others
            _log.exception("The keeper met an error and goes on")
        else:
            if self._failing.has_healed(duty.complaint):
                tell(self._say, words.over(duty.complaint))
        return is_soon


# --- what it does --------------------------------------------------------------------------------


class Poller:
    """Asks REST for the prices of the markets that do not stream.

    Args:
        prices: Where REST prices come from.
        streams: Who streams.
        markets: Returns the markets with an armed rule.
        rows: Returns the ids of the armed rows of a market, by its name.
        post: Takes each price; must not block.
        say: Takes a level and a sentence for a person.
    """

    def __init__(
        self,
        prices: PriceSource,
        streams: Streams,
        markets: Callable[[], Mapping[str, Market]],
        rows: Callable[[str], Sequence[str]],
        post: Callable[[PolledPrice], None],
        say: Say,
    ) -> None:
        self._prices = prices
        self._streams = streams
        self._markets = markets
        self._rows = rows
        self._post = post
        self._say = say
        self._failing = Once()

    def poll(self) -> None:
        """Ask once, all of them in one call. Blocks."""
        unstreamed = self._streams.unstreamed(self._markets().values())
        markets = {market.rest_key: market.name for market in unstreamed}
        if not markets:
            return
        asked_at = feed_clock()
        try:
            quotes = self._prices.get_tickers(list(markets))
        except KrakenError as error:
            if self._failing.is_news(_REST):
                tell(self._say, words.no_price_over_rest(list(markets.values()), error))
            return
        if self._failing.has_healed(_REST):
            tell(self._say, words.PRICES_AGAIN)
        for pair, quote in quotes.items():
            self._take(markets[pair], quote, asked_at)

    def _take(self, name: str, quote: Any, asked_at: float) -> None:
        """Hand on a market's price; that it has none is said once until it has one again."""
        if isinstance(quote, Exception):
            if self._failing.is_news(name):
                tell(self._say, words.cannot_fire(name, self._rows(name), quote))
            return
        if self._failing.has_healed(name):
            tell(self._say, words.can_fire_again(name))
        self._streams.note_poll(name, asked_at)
        self._post(PolledPrice(name, quote.price, asked_at))


def watch_orders(exchange: KrakenExchange, worker: OrderWorker) -> None:
    """Let the order thread know what has become of the orders that stand. Blocks for Kraken.

    Raises:
        KrakenError: If Kraken cannot be asked.
    """
    standing = dict(worker.standing)
    if not standing or worker.is_key_refused:
        return
    seen = exchange.watch(standing.values())
    found = {rule_id: seen[txid] for rule_id, txid in standing.items() if txid in seen}
    worker.submit(Watched(found))


def prove_one(exchange: KrakenExchange, worker: OrderWorker) -> None:
    """Ask for the order of one arming of an earlier run: its state may be an old copy. Blocks.

    So that its crossing need not wait for that.

    Raises:
        KrakenError: If Kraken cannot be asked.
    """
    for one in () if worker.is_key_refused else worker.unproven[:1]:
        proved = prove(one, exchange)
        worker.submit(proved)
        if proved.error is not None:
            raise proved.error


class TapeKeeper:
    """Keeps from run to run how far the tapes were seen.

    Args:
        file: Where; None keeps nothing.
        submit: Hands a message to the order thread.
        say: Takes a level and a sentence for a person.
    """

    def __init__(self, file: TapeFile | None, submit: Callable[[Message], None], say: Say) -> None:
        self._file = file
        self._submit = submit
        self._say = say
        # What may be written down: replaced whole by the order thread, read by the keeper.
        self._passed: Saved | None = None
        self._kept: Saved | None = None

    def load(self) -> Saved:
        """Return what an earlier run has kept. Blocks for the disk."""
        try:
            text = self._file.load_tape() if self._file else None
            return Saved.from_text(text) if text else Saved()
        except (OSError, ValueError) as error:
            tell(self._say, words.tape_unreadable(error))
            return Saved()

    def mark(self, places: Callable[[], Saved]) -> None:
        """Let the tapes' places be kept once the order thread has settled all crossings so far.

        A place that was kept before the crossings up to it are on the disk would hide them from
        the next start. Never blocks.
        """
        if self._file is None:
            return
        seen = places()

        def passed() -> None:
            self._passed = seen

        self._submit(Mark(passed))

    def keep(self) -> None:
        """Write down how far the tapes were seen, where that is new. Blocks for the disk."""
        places = self._passed
        if self._file is None or places is None or places is self._kept:
            return
        try:
            self._file.save_tape(places.to_text())
        except OSError as error:
            # No harm to any order: the next start only looks at more of the past.
            _log.warning("How far prices were seen cannot be written down: %s", error)
            return
        self._kept = places
