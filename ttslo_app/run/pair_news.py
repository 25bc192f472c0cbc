"""Which pairs Kraken has changed: the stream's news of them, for whoever has to look once more.

Used by one thread, and waits for nobody. What it must never do: keep silent about a change of what
an order has to keep to, because nothing is known of what was before.
"""

from __future__ import annotations

from kraken_api import KrakenAPI
from krakenlink.stream.events import Channel, FeedClosed, InstrumentUpdate
from krakenlink.stream.instruments import Instrument
from ws_price_provider import FeedReader

_Facts = tuple[object, ...]


class PairNews:
    """Tells which pairs have changed since it was asked last.

    Args:
        api: The client whose stream tells of pairs.
    """

    def __init__(self, api: KrakenAPI) -> None:
        self._api = api
        self._known: dict[str, _Facts] = {}
        self._reader = self._opened()

    def _opened(self) -> FeedReader | None:
        provider = self._api.price_provider()
        return None if provider is None else provider.open_feed(channels=[Channel.INSTRUMENT])

    def changed(self) -> frozenset[str]:
        """Return the symbols of pairs whose status, minimums or steps have changed. No I/O.

        All pairs are told at once where the stream begins: of these the ones count that were known
        to be otherwise before.
        """
        if self._reader is None:
            return frozenset()
        found: set[str] = set()
        while (event := self._reader.get(0)) is not None:
            if isinstance(event, InstrumentUpdate):
                found |= {x.symbol for x in event.pairs if self._is_news(x, event.is_snapshot)}
            elif isinstance(event, FeedClosed):  # somebody has stopped the stream; it may go on
                self._reader = self._opened()
                break
        return frozenset(found)

    def _is_news(self, pair: Instrument, is_snapshot: bool) -> bool:
        """Take note of what is told of a pair, and tell whether it is something else."""
        known, told = self._known.get(pair.symbol), _facts_of(pair)
        if known is not None:  # what was not told anew stays as it was
            told = tuple(k if t is None else t for k, t in zip(known, told, strict=True))
        self._known[pair.symbol] = told
        return not is_snapshot if known is None else told != known


def _facts_of(pair: Instrument) -> _Facts:
    return (
        pair.status,
        pair.qty_min,
        pair.cost_min,
        pair.qty_precision,
        pair.price_precision,
        pair.price_increment,
    )
