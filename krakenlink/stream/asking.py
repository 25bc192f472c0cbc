"""What waits to be asked of Kraken, in which messages it goes out, and what has no answer yet.

Pure and not thread-safe. It must never send faster than Kraken bears, nor take a late answer to an
older question for one to a newer.

Sources: Kraken, spot WebSocket v2 (subscribe, unsubscribe) and its guide on rate limits (read
2026-11).
"""

from __future__ import annotations

from collections.abc import Mapping

from krakenlink.numbers import doubled
from krakenlink.pairs import Symbol
from krakenlink.stream.events import Channel, subscribe_frame
from krakenlink.stream.settings import FeedSettings
from krakenlink.stream.states import Key, Subscription, SubSignal

_NEVER = float("-inf")


class Asking:
    """The questions of one connection after another.

    Attributes:
        to_ask: What waits for its subscribe, in this order.
        to_leave: What waits for its unsubscribe; these go first.
        rate_refusals: How often in a row Kraken said that we ask too fast.
    """

    def __init__(self, settings: FeedSettings) -> None:
        self.settings = settings
        self._req_id = 0
        self.begin_connection({})

    def begin_connection(self, to_ask: Mapping[Key, Subscription]) -> None:
        """Forget what belongs to one connection; on the next one `to_ask` waits to be asked."""
        self.to_ask = dict(to_ask)
        self.to_leave: dict[Key, Subscription] = {}
        self.rate_refusals = 0
        self._asks: dict[int, dict[Symbol, Subscription]] = {}  # by number, without an answer
        self._allowance = float(self.settings.send_burst)
        self._allowance_at = _NEVER
        self._hold_until = _NEVER

    # -- answers

    def forget(self, sub: Subscription) -> None:
        """Ask nothing more about `sub`, and wait for no answer about it."""
        self.to_ask.pop(sub.key, None)
        asked = self._asks.get(sub.req_id)
        if asked is not None and asked.get(sub.symbol) is sub:
            del asked[sub.symbol]
            if not asked:
                del self._asks[sub.req_id]

    def unanswered(self) -> list[Subscription]:
        """Return all that was asked for and has no answer yet."""
        return [sub for asked in self._asks.values() for sub in asked.values()]

    def meant_by(
        self, req_id: int | None, symbol: Symbol | None, channel: str | None
    ) -> list[Subscription]:
        """Return the subscriptions an answer is about: late answers to older asks mean nobody."""
        if req_id is not None and req_id in self._asks:
            asked = self._asks[req_id]
            if symbol is None:
                return list(asked.values())
            return [asked[symbol]] if symbol in asked else []
        if req_id is not None or symbol is None:
            return []
        # No req_id came back: every open ask for that symbol, narrowed by the channel if named.
        return [
            asked[symbol]
            for asked in self._asks.values()
            if symbol in asked and channel in (None, asked[symbol].channel)
        ]

    def pause(self, now: float) -> None:
        """Send nothing for a while, twice as long with each refusal in a row."""
        settings = self.settings
        pause = doubled(settings.rate_pause, self.rate_refusals, settings.rate_pause_max)
        self._hold_until = now + pause
        self.rate_refusals += 1

    # -- questions

    def next_due(self, now: float) -> float:
        """Return the moment at which `ask` has work again."""
        if not (self.to_ask or self.to_leave):
            return float("inf")
        return max(self._hold_until, now + self.settings.send_interval)

    def ask(self, now: float, frames: list[str]) -> list[Subscription]:
        """Add to `frames` what may be sent at `now`; return the subscriptions asked for."""
        asked: list[Subscription] = []
        if now < self._hold_until or not (self.to_ask or self.to_leave):
            return asked
        settings = self.settings
        earned = (now - self._allowance_at) / settings.send_interval
        self._allowance = min(float(settings.send_burst), self._allowance + earned)
        self._allowance_at = now
        while self._allowance >= 1.0 and (self.to_leave or self.to_ask):
            self._allowance -= 1.0
            if self.to_leave:
                # Leaving goes first: what is asked anew must not be left afterwards.
                batch = _take_batch(self.to_leave, settings.batch_size, is_leaving=True)
                frames.append(self._frame("unsubscribe", batch))
            else:
                batch = _take_batch(self.to_ask, settings.batch_size)
                frames.append(self._frame("subscribe", batch))
                self._note(batch, now)
                asked += batch
        return asked

    def _note(self, batch: list[Subscription], now: float) -> None:
        """Note that `batch` was asked for in the latest message."""
        self._asks[self._req_id] = {sub.symbol: sub for sub in batch}
        for sub in batch:
            sub.req_id = self._req_id
            sub.step(SubSignal.ASK)
            sub.asks += 1
            sub.asked_at = now
            sub.asked_param = sub.param
            sub.early = None  # what came so far belongs to an earlier ask

    def _frame(self, method: str, batch: list[Subscription]) -> str:
        self._req_id += 1
        symbols = [sub.symbol for sub in batch]
        trigger, first = self.settings.event_trigger, batch[0]
        # What is left has to be named as it was asked for.
        param = first.param if method == "subscribe" else first.asked_param
        return subscribe_frame(method, first.channel, symbols, self._req_id, trigger, param)


def _take_batch(
    waiting: dict[Key, Subscription], most: int, *, is_leaving: bool = False
) -> list[Subscription]:
    """Take the next subscriptions that fit into one message: of one kind, and not too many."""

    def kind(sub: Subscription) -> tuple[Channel, int]:
        return sub.channel, sub.asked_param if is_leaving else sub.param

    wanted = kind(next(iter(waiting.values())))
    batch: list[Subscription] = []
    for sub in waiting.values():
        most = min(most, sub.batch_size)
        if len(batch) >= most:
            break
        if kind(sub) == wanted:
            batch.append(sub)
    for sub in batch:
        del waiting[sub.key]
    return batch
