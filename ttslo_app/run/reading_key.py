"""Whether Kraken takes the key that only reads, while there is another that trades.

What it must never do: keep orders unwatched because of a key that nobody needs for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from krakenlink.errors import AuthenticationError
from krakenlink.once import Once
from ttslo_app.messages import Say, tell
from ttslo_app.run import words

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
