"""A trading key for one program alone: taken at the start, lost to a later start, never shared.

With `--exclusive-key` Kraken itself refuses a second copy on another machine, which no lock of a
file can see. A copy that was deposed leaves a mark beside its state.csv: a service that restarts it
must not take the key back from the one that has it now. What must never happen here: that a key
becomes exclusive without its owner's word, or that a deposed copy begins anew by itself.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from kraken_api import KrakenAPI
from krakenlink.errors import KrakenAPIError, KrakenError
from krakenlink.machine import feed_clock, read_plain
from krakenlink.sockets import done_within
from ttslo_app.messages import Say, tell
from ttslo_app.orders.owed import OF_KEY
from ttslo_app.orders.request import OrderRequest
from ttslo_app.run import account_words as words
from ttslo_app.store.disk import Disk, replace
from ttslo_app.terminal import put_trouble

MARK = ".deposed"
CONSENT = "--yes-this-key-is-ttslos-alone"
# A run that places no order learns so often whether it is still the one, and waits so long for it.
_LOOK_EVERY, _LOOK_PATIENCE = 30.0, 5.0


def mark_of(state: Path) -> Path:
    """Return the file beside state.csv that says that this copy was deposed."""
    return state.with_name(state.name + MARK)


class Exclusive:
    """The trading key of a run, as far as it is to be this program's alone.

    Args:
        trading: The client whose key places orders; None where there is none.
        is_wanted: Whether `--exclusive-key` was given.
        state: Where state.csv is.

    Attributes:
        is_lost: Whether a later start has the key by now. Any thread.
    """

    def __init__(self, trading: KrakenAPI | None, *, is_wanted: bool, state: Path) -> None:
        self._trading = trading
        self._is_wanted = is_wanted
        self._state = state
        self.is_lost = False
        self._looks_at = feed_clock() + _LOOK_EVERY

    def check(self, consent: Callable[[], bool]) -> None:
        """Refuse a start that would do harm; to be called before anything is asked with the key.

        Args:
            consent: Asks the person whether the key is this program's alone; called the first time
                that a key is to become exclusive from this machine.

        Raises:
            ValueError: If the key is exclusive and the flag is missing, or the other way round
                without the person's word, or if this copy was deposed.
        """
        if self._trading is None:
            if self._is_wanted:
                raise ValueError(words.NO_KEY)
            return
        if not self._is_wanted:
            if self._trading.gate.was_exclusive:
                raise ValueError(words.FLAG_MISSING)
            return
        mark = mark_of(self._state)
        with suppress(FileNotFoundError):
            raise ValueError(words.was_deposed(str(mark), read_plain(mark).decode("utf-8").strip()))
        if not (self._trading.gate.was_exclusive or consent()):
            raise ValueError(words.no_consent(CONSENT))

    def take(self, say: Say) -> None:
        """Make the key this program's alone, from now on, and say so. Blocks for some calls.

        Whoever has it now is refused from the first call that Kraken takes. Where Kraken cannot be
        asked, the first order does that.

        Raises:
            ValueError: If Kraken takes no such nonce.
        """
        if self._trading is None or not self._is_wanted:
            return
        gate = self._trading.gate
        gate.reign()
        while True:
            try:
                self._trading.query_open_orders()
            except KrakenAPIError as error:
                if gate.is_deposed:
                    raise ValueError(words.not_taken(error.said)) from None
                if any("Invalid nonce" in text for text in error.errors):
                    continue  # an earlier start stands higher: the gate climbs, and not for ever
                tell(say, words.taken_unasked(error.said))
            except KrakenError as error:
                tell(say, words.taken_unasked(str(error)))
            else:
                tell(say, words.TAKEN)
            return

    def look(self, disk: Disk, say: Say) -> bool:
        """Tell whether a later start has the key by now; say so once, and leave the mark.

        Blocks now and then for a call to Kraken, 5 s at most. Never raises. From then on nothing is
        sent with the key anyway.
        """
        if self.is_lost or self._trading is None or not self._is_wanted:
            return self.is_lost
        if feed_clock() >= self._looks_at:
            self._looks_at = feed_clock() + _LOOK_EVERY
            with suppress(KrakenError), done_within(_LOOK_PATIENCE):
                self._trading.query_open_orders()
        if not self._trading.gate.is_deposed:
            return False
        self.is_lost = True
        mark = mark_of(self._state)
        tell(say, words.deposed(str(mark)))
        moment = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            replace(disk, mark, f"{moment}\n".encode(), disk.stamp(mark), follows=False)
        except OSError as error:
            tell(say, words.mark_not_written(str(mark), error))
        return True


def ask_person(is_given: bool, question: str = words.QUESTION) -> bool:
    """Return whether a key may become exclusive: by the flag, or by a person at a terminal."""
    if is_given or not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return is_given
    put_trouble(question)
    try:
        return sys.stdin.readline().strip() == "yes"
    except (OSError, ValueError):
        return False


def prove(trading: KrakenAPI, order: OrderRequest) -> str:
    """See whether Kraken takes exclusive nonces, and refuses lower ones. Blocks for two calls.

    Orders are only checked, and none is placed. The key is exclusive afterwards.

    Returns:
        What was not as it has to be; empty where all was.

    Raises:
        KrakenError: If Kraken could not be asked.
    """
    trading.gate.reign()
    cells = {**order.cells, "validate": "true"}
    for _ in range(2):  # the first may climb over an earlier start
        taken = _nonce_error(lambda: trading._query_private("AddOrder", cells))
    if taken:
        return words.far_nonce_refused(taken)
    lower = _nonce_error(lambda: trading._ask_with_nonce("AddOrder", cells, time.time_ns()))
    return "" if lower else words.LOWER_NONCE_TAKEN


def _nonce_error(call: Callable[[], object]) -> str:
    """Return what Kraken said of the nonce of a call; empty where it was taken."""
    try:
        call()
    except KrakenAPIError as error:
        if any("Invalid nonce" in text for text in error.errors):
            return error.said
        if error.verdict is not None and error.verdict.pause in OF_KEY:
            raise
    return ""
