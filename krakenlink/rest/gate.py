"""The private calls of one key: whose turn it is, and nonces that only grow.

Kraken refuses a nonce that comes after a higher one. Calls that change something therefore go one
after another, and a look goes alone; but no such call waits for a look, whose answer may be slow:
where it overtakes one, only the look is refused, and asked anew. What it must never do: hold a lock
during a call, wait without an end, or fail because a nonce cannot be kept.

A key can be made exclusive: its nonces then count up from far above any clock, and from a higher
base with each later start, so that Kraken itself refuses whoever else calls with that key. There is
no way back for such a key. Where a shared store says who leads, it hands out the base instead:
then nothing here depends on a clock, and any refused nonce means that somebody is above.

Source: Kraken, REST authentication pages (read 2026-11).
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

from krakenlink.errors import KeyDeposed
from krakenlink.machine import on_fork, read_plain, replace_file

_log = logging.getLogger(__name__)

T = TypeVar("T")

# Nanoseconds. The file is written this seldom, and a nonce may be as far above what is in it.
_KEPT_EVERY = 10 * 10**9
# A clock that was so far ahead is damage in the file: nonces can never go down again.
_MOST_AHEAD = 10 * 366 * 24 * 3600 * 10**9
# Exclusive nonces begin here, and the nanoseconds since 2023-11-14 higher: above every clock that
# is right before the year 2096, and with room for as long again below 2**63.
FAR = 4 * 10**18
_EPOCH = 17 * 10**17
# How much higher an exclusive start whose nonce is refused tries again: an earlier start on a
# machine whose clock was ahead may stand above it. The steps are few: each is a wrong call.
_CLIMBS = tuple(hours * 3600 * 10**9 for hours in (1, 24, 24 * 30, 24 * 366))
# The same of a start whose clock is behind what is kept: a call that was under way when the run
# before was killed kept nothing. No further, as the key may be another program's, too.
_LEAPS = _CLIMBS[:2]


_AFTER_THE_NONCE = ("EOrder:", "EGeneral:Permission denied")


class NoTurn(TimeoutError):
    """The turn has not come in time; nothing was sent."""


class Gate:
    """Lets the private calls of one key through. Safe from any thread.

    Args:
        file: Where the last nonce is kept between runs; None for nowhere. Without one, a run after
            the clock was set back is refused until the clock has caught up.

    Attributes:
        too_many_at: When a call of this key was answered with HTTP 429, if no later one was
            answered otherwise; on `feed_clock`.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        # Guards all below; never held during a call. The Condition is only waited on: to take that
        # is more than one step, between which a Ctrl-C may come.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._last = 0
        self._kept = 0
        self._is_read = False
        self._orders = 0  # under way, or waiting for their turn
        self._is_order_out = False
        self._is_look_out = False
        self._is_exclusive = False
        self._steps: Sequence[int] = ()  # which a refused nonce is answered with, one by one
        self._base = 0  # of this epoch: an answer to an earlier nonce says nothing of it
        self._is_taken = False  # whether Kraken has taken an exclusive nonce of this process
        self._is_deposed = False
        self.too_many_at: float | None = None

    @property
    def is_deposed(self) -> bool:
        """Whether a later start elsewhere has the exclusive key: nothing is sent any more."""
        return self._is_deposed

    @property
    def is_taken(self) -> bool:
        """Whether Kraken has taken an exclusive nonce: whoever stands lower is refused."""
        return self._is_taken

    @property
    def was_exclusive(self) -> bool:
        """Whether the key was used from here with exclusive nonces, now or by an earlier run."""
        return self._is_exclusive or self._read() >= FAR

    def reign(self, base: int | None = None) -> None:
        """Count this key's nonces from far above any clock, from the next call on, and for ever.

        Whoever calls with the same key and lower nonces is refused from then on: copies of this
        program that started earlier, wherever they are, older versions, and every other tool.
        Kraken never takes a lower nonce again, so the key can be used by nothing else.

        Args:
            base: What they count up from, where others decide that; it never climbs by itself.

        Raises:
            ValueError: If this process has used a nonce that is not lower.
        """
        kept = 0 if base is not None or self._is_exclusive else self._read()
        with self._lock:
            if base is not None:
                if base < max(FAR, self._last if self._is_exclusive else 0):
                    raise ValueError(f"nonces of this key have passed {base} already")
                self._last, self._base, self._steps = base, base, ()
                self._is_taken = self._is_deposed = False
            elif not self._is_exclusive:
                base = FAR + max(0, time.time_ns() - _EPOCH)
                self._last = max(base, kept + _KEPT_EVERY)
                self._steps = _CLIMBS
            self._is_exclusive = True

    def stand_by(self) -> None:
        """Let no call of this key out until it reigns anew: another host has it."""
        with self._lock:
            self._is_exclusive = self._is_deposed = True

    def hear(self, nonce: int, errors: Iterable[str]) -> None:
        """Take in what Kraken answered to the call with `nonce`: nothing wrong, or its errors."""
        errors = tuple(errors)
        is_refused = any("Invalid nonce" in text for text in errors)
        with self._lock:
            if nonce <= self._base:
                return
            if not is_refused:
                # What is said of rights or of an order is said after the nonce was taken.
                if not errors or any(text.startswith(_AFTER_THE_NONCE) for text in errors):
                    self._is_taken, self._steps = self._is_exclusive, ()
            elif nonce != self._last:
                return  # a later call of our own overtook it
            elif self._steps:
                self._last += self._steps[0]
                self._steps = self._steps[1:]
            else:
                self._is_deposed = self._is_exclusive

    def in_turn(self, work: Callable[[int], T], patience: float, *, is_look: bool) -> T:
        """Wait for this call's turn and do its work; the next turn begins when that ends.

        Args:
            work: Takes the nonce.
            patience: Longest wait, in seconds.
            is_look: Whether the call changes nothing: then it lets all others go before it.

        Raises:
            NoTurn: If the turn has not come.
            KeyDeposed: If a later start elsewhere has the exclusive key; nothing was sent.
        """
        kept = 0 if self._is_read or self._is_exclusive else self._read()  # a disk may be slow
        is_counted, is_out, nonce = False, False, 0
        try:  # from the first step on: a Ctrl-C may come after any call
            with self._lock:
                self._orders += not is_look
                is_counted = True
                is_free = partial(self._is_free, is_look)
                if not is_free() and not self._changed.wait_for(is_free, patience):
                    raise NoTurn
                if self._is_deposed:
                    raise KeyDeposed
                self._is_look_out |= is_look
                self._is_order_out |= not is_look
                is_out = True
                nonce = self._next_nonce(kept)
            return work(nonce)
        finally:
            with self._lock:
                if is_out and is_look:
                    self._is_look_out = False
                elif is_out:
                    self._is_order_out = False
                if is_counted:
                    self._orders -= not is_look
                self._changed.notify_all()
            if nonce:
                self._keep(nonce)

    def _is_free(self, is_look: bool) -> bool:
        if is_look:
            return not (self._orders or self._is_look_out)
        return not self._is_order_out

    def _next_nonce(self, kept: int) -> int:
        if self._is_exclusive:
            self._last += 1
            return self._last
        # Nanoseconds: never smaller than what any earlier version has used with this key. The
        # clock may stand still between two calls, or be set back.
        now = time.time_ns()
        if not self._is_read:
            self._is_read = True
            if now < kept < now + _MOST_AHEAD:
                _log.debug("Nonces go on above those of a clock that was ahead")
                self._last = kept + _KEPT_EVERY
                self._steps = _LEAPS
        self._last = max(now, self._last + 1)
        return self._last

    # --- the file ---

    def _read(self) -> int:
        if self._file is None:
            return 0
        with suppress(OSError, ValueError):
            text = read_plain(self._file).decode("ascii").strip()
            return int(text) if len(text) == len(str(time.time_ns())) else 0
        return 0

    def _keep(self, nonce: int) -> None:
        """Keep `nonce` for the next run; after the call, so that no call waits for a disk."""
        with self._lock:
            if self._file is None or nonce - self._kept < _KEPT_EVERY:
                return
            self._kept = nonce
        if nonce < FAR <= self._read():
            return  # it alone tells that the key is exclusive, and why this call was refused
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._file, str(nonce).encode(), is_durable=False)
        except OSError as error:
            _log.debug("The last nonce cannot be kept: %s", error)


_gates: dict[str, Gate] = {}  # by the hash of the key, so that no key can be printed with it
_gates_lock = threading.Lock()  # guards `_gates`


@lru_cache(maxsize=8)  # each call of a key asks, an order too
def _hash_of(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def gate_of(key: str, folder: Callable[[], Path | None] = lambda: None) -> Gate:
    """Return the one gate in this process of the API key `key`. Safe from any thread.

    Args:
        key: Kraken's public key.
        folder: Says where the last nonce may be kept; asked for the first call of a key.
    """
    digest = _hash_of(key)
    with _gates_lock:
        gate = _gates.get(digest)
    if gate is not None:
        return gate
    place = folder()
    file = place / f"nonce-{digest[:16]}.txt" if place is not None else None
    with _gates_lock:
        return _gates.setdefault(digest, Gate(file))


def _after_fork() -> None:
    """Give the child gates that nobody holds."""
    global _gates_lock
    _gates_lock = threading.Lock()
    _gates.clear()


on_fork(_after_fork)
