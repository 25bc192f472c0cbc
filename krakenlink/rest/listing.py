"""Kraken's listing of pairs: kept in memory, in a file for a day, and fetched when it is due.

Names are the business of `pairs` and the wire is that of `transport`; here it is decided when to
ask. All that is known of a pair has one age, by a clock that goes on while the machine sleeps.
What it must never do: hold a lock while it asks, ask twice at a time, show a reader half a file,
press a Kraken that has just failed, call a name unknown when nobody could be asked, or fail because
a cache cannot be read or written.

Source: Kraken, REST AssetPairs (read 2026-11).
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from krakenlink.errors import KrakenAPIError, KrakenError, ProtocolError
from krakenlink.flights import Flights
from krakenlink.machine import feed_clock, kept_in, read_plain, replace_file
from krakenlink.once import Once
from krakenlink.pairs import TOKENIZED, Pair, PairDirectory, UnknownPair, legacy_pair
from krakenlink.rest.request import named
from krakenlink.rest.verdicts import is_unknown_pair
from krakenlink.sockets import time_left

_log = logging.getLogger(__name__)

_DAY = 24 * 3600.0
_OLDEST = 3650 * _DAY  # for what nobody knows the age of
# An unknown name may be a pair of today, but it is mostly a slip: ask again only now and then.
_REFRESH_GAP = 600.0
# After Kraken could not be asked for a name, prices go over REST without asking for this long.
ASK_GAP = 30.0
# What was had this many seconds ago need not be asked for again.
_JUST_NOW = 1.0
# Longest wait for a listing that somebody else is fetching, in seconds.
_PATIENCE = 30.0

_FILE_FORMAT = 1


class _Snapshot(NamedTuple):
    """One state of the listing: when it was had, whether xStocks are in, and its pairs."""

    fetched_at: float  # seconds since 1970, because it outlives the process
    had_at: float  # the same moment on the clock of the feed, which nobody sets
    has_tokenized: bool
    directory: PairDirectory

    @property
    def is_fresh(self) -> bool:
        return feed_clock() - self.had_at < _DAY


class _Single(NamedTuple):
    """One pair that was asked for alone, and when, on the clock of the feed."""

    pair: Pair
    had_at: float


class Listing:
    """Kraken's pairs, from memory, else from a file, else from Kraken.

    Threads that miss at the same time wait for one call, each within its own deadline. Safe from
    any thread.

    Args:
        ask: Makes an AssetPairs call of these parameters, within so many seconds or the usual
            deadlines, and returns its `result`; raises KrakenError.
        file: Says where the listing is kept between processes; None for nowhere.

    Attributes:
        streamed: Returns a pair with what the stream proves of it at this moment, and the seconds
            since that proof; None where it proves nothing. Waits for nobody.
        is_streamed: Tells whether the stream proves a pair of that name at this moment.
    """

    def __init__(
        self,
        ask: Callable[[Mapping[str, object], float | None], object],
        file: Callable[[], Path | None],
    ) -> None:
        self._ask = ask
        # Asked for when it is needed: finding the user's folder imports a library.
        self._find_file = cache(file)
        self._lock = threading.Lock()  # guards the five below
        self._snapshot: _Snapshot | None = None
        self._is_file_read = False
        self._singles: dict[str, _Single] = {}  # by name as typed, and by REST key
        self._refreshed_at = float("-inf")
        self._failed_at = float("-inf")
        self._told = Once(again_after=3600.0)  # has no need of the lock
        self.streamed: Callable[[Pair], tuple[Pair, float] | None] = _nothing_streamed
        self.is_streamed: Callable[[str], bool] = _is_unheard_of
        self._flights = Flights()

    def known(self, name: str) -> Pair | None:
        """Return the pair if it is known without asking Kraken; reads the file the first time."""
        self._loaded()
        return self.in_memory(name)

    def in_memory(self, name: str) -> Pair | None:
        """Return the pair if it is known without any I/O."""
        newest = self._newest(name)
        return newest.pair if newest is not None else None

    def age(self, name: str) -> float | None:
        """Return how old what is known of a pair is, in seconds; None if nothing is. No I/O."""
        newest = self._newest(name)
        return feed_clock() - newest.had_at if newest is not None else None

    def _newest(self, name: str) -> _Single | None:
        """Return what is known of a pair: as it is streamed now, else the younger of two.

        That is: from the listing, or asked for alone.
        """
        known = self._asked(name)
        told = self.streamed(known.pair) if known is not None else None
        return known if told is None else _Single(told[0], feed_clock() - told[1])

    def _asked(self, name: str) -> _Single | None:
        with self._lock:
            snapshot, single = self._snapshot, self._singles.get(name)
        pair = snapshot.directory.find(name) if snapshot else None
        if snapshot is None or pair is None:
            return single
        with self._lock:
            single = self._singles.get(pair.rest_key, single)
        listed = _Single(pair, snapshot.had_at)
        return single if single is not None and single.had_at > listed.had_at else listed

    def single(self, name: str, within: float) -> Pair | None:
        """Ask Kraken for one pair, which is small, and return it; None if Kraken has no such.

        Raises:
            KrakenError: If Kraken does not answer within `within` seconds, or not this.
        """
        return self._flights.ask(name, lambda: self._asked_single(name, within), within)

    def _asked_single(self, name: str, within: float) -> Pair | None:
        newest = self._newest(name)
        if newest is not None and feed_clock() - newest.had_at < _JUST_NOW:
            return newest.pair  # somebody has just asked
        typed = _kraken_spelling(name)
        params = named(typed, self.in_memory(name), "aclass_base")
        now = feed_clock()
        try:
            directory = PairDirectory.from_asset_pairs(self._ask(params, within))
        except KrakenAPIError as error:
            if not is_unknown_pair(error):
                raise
            return None
        pair = directory.find(name)
        if pair is None and len(directory) == 1 and not self.is_streamed(name):
            # Asked for one name, all that comes is the pair of that name. Where the stream knows
            # the name, it has to be that of the pair.
            pair = next(iter(directory))
        if pair is not None:
            with self._lock:
                self._singles[name] = self._singles[pair.rest_key] = _Single(pair, now)
        return pair

    def not_older(self, pair: Pair, max_age: float, within: float) -> Pair:
        """Return what Kraken says of `pair`, not older than `max_age` seconds.

        Raises:
            LookupError: If Kraken has no such pair any more.
            KrakenError: If Kraken does not answer within `within` seconds.
        """
        newest = self._newest(pair.rest_key)
        if newest is not None and feed_clock() - newest.had_at <= max_age:
            return newest.pair
        found = self.single(pair.rest_key, within)
        if found is None:
            raise UnknownPair(f"Kraken has no pair {pair.symbol or pair.altname} any more")
        return found

    def directory(self) -> PairDirectory:
        """Return all pairs, not older than a day if Kraken can be asked.

        Raises:
            KrakenError: If there is neither a listing in memory nor in the file, and Kraken does
                not answer.
        """
        snapshot = self._loaded()
        if snapshot is None or not (snapshot.is_fresh or self._has_just_failed()):
            snapshot = self._refreshed(snapshot)
        return snapshot.directory

    def resolve(self, name: str) -> Pair:
        """Return the pair that `name` means; may ask Kraken.

        Raises:
            LookupError: If Kraken has no such pair, or more than one.
            KrakenError: If Kraken could not be asked and `name` is none of the oldest pairs, so
                that nobody knows.
        """
        try:
            directory = self.directory()
        except KrakenError as error:
            pair = self.in_memory(name) or legacy_pair(name)
            if pair is None:
                raise
            _log.warning(
                "Kraken's list of pairs cannot be had, %s is known anyway: %s", name, error
            )
            return pair
        found = _found(directory, name)
        if found is None and self._may_refresh():
            directory = self._refreshed(self._loaded(), with_tokenized=True).directory
            found = _found(directory, name)
        if found is None and self.is_streamed(name):
            # Younger than the listing; what REST calls it the stream does not tell.
            found = self.in_memory(name) or self.single(name, min(_PATIENCE, time_left()))
        listed = found or directory.resolve(name)
        newest = self._newest(listed.rest_key)
        return newest.pair if newest is not None else listed

    def _may_refresh(self) -> bool:
        with self._lock:
            lacks_tokenized = self._snapshot is None or not self._snapshot.has_tokenized
            is_due = feed_clock() - self._refreshed_at >= _REFRESH_GAP
        return (is_due or lacks_tokenized) and not self._has_just_failed()

    def _has_just_failed(self) -> bool:
        with self._lock:
            return feed_clock() - self._failed_at < ASK_GAP

    def _refreshed(self, old: _Snapshot | None, *, with_tokenized: bool = False) -> _Snapshot:
        with_tokenized = with_tokenized or (old is not None and old.has_tokenized)
        question = ("the listing", with_tokenized)
        call = partial(self._refreshed_now, old, with_tokenized=with_tokenized)
        return self._flights.ask(question, call, min(_PATIENCE, time_left()))

    def _refreshed_now(self, old: _Snapshot | None, *, with_tokenized: bool) -> _Snapshot:
        with self._lock:
            present = self._snapshot
        if present is not None and present is not old and present.has_tokenized >= with_tokenized:
            return present  # somebody has just fetched it
        try:
            snapshot = self._fetched(old, with_tokenized=with_tokenized)
        except KrakenError as error:
            with self._lock:
                self._failed_at = feed_clock()
            if old is None:
                raise
            self._warn_of_age(old, error)
            return old
        with self._lock:
            self._snapshot = snapshot
            # What was asked for alone meanwhile is younger, and stays.
            self._singles = {n: s for n, s in self._singles.items() if s.had_at > snapshot.had_at}
            self._refreshed_at = feed_clock()
        self._write(snapshot)
        return snapshot

    def _fetched(self, old: _Snapshot | None, *, with_tokenized: bool) -> _Snapshot:
        with self._lock:
            is_recent = feed_clock() - self._refreshed_at < _REFRESH_GAP
        now, had_at = time.time(), feed_clock()
        if old is not None and is_recent and not old.has_tokenized:
            # Only the xStocks are missing; the others are as old as they are.
            directory, now, had_at = old.directory, old.fetched_at, old.had_at
        else:
            directory = PairDirectory.from_asset_pairs(self._ask({}, None))
        if with_tokenized:
            with suppress(KrakenAPIError):  # where xStocks are not offered
                found = self._ask({"aclass_base": TOKENIZED}, None)
                both = (*directory, *PairDirectory.from_asset_pairs(found))
                directory = PairDirectory({pair.rest_key: pair for pair in both}.values())
        if not len(directory):
            raise ProtocolError("AssetPairs: no pair in the listing")
        return _Snapshot(now, had_at, with_tokenized, directory)

    def _warn_of_age(self, old: _Snapshot, error: KrakenError) -> None:
        if self._told.is_news("age", at=feed_clock()):
            age = min(feed_clock() - old.had_at, _OLDEST) / 3600
            _log.warning("Using a list of pairs that is %.0f hours old: %s", age, error)

    # --- the file ---

    def _loaded(self) -> _Snapshot | None:
        with self._lock:
            if self._snapshot is not None or self._is_file_read:
                return self._snapshot
        snapshot = self._read()
        with self._lock:
            self._is_file_read = True
            if self._snapshot is None:
                self._snapshot = snapshot
            return self._snapshot

    def _read(self) -> _Snapshot | None:
        file = self._find_file()
        if file is None:
            return None
        try:
            content = json.loads(read_plain(file))
            if content["format"] != _FILE_FORMAT:
                raise ValueError("of another version")
            directory = PairDirectory.from_asset_pairs(content["rows"])
            fetched_at = float(content["fetched_at"])
            has_tokenized = content["has_tokenized"] is True
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            _log.debug("Not using %s: %s", file, error)
            return None
        if not len(directory):
            _log.debug("Not using %s: it has no pairs", file)
            return None
        age = time.time() - fetched_at
        # A moment that is still to come says that a clock was set: then nobody knows the age.
        had_at = feed_clock() - (age if age >= 0 else _OLDEST)
        return _Snapshot(fetched_at, had_at, has_tokenized, directory)

    def _write(self, snapshot: _Snapshot) -> None:
        file = self._find_file()
        if file is None:
            return
        content = {
            "format": _FILE_FORMAT,
            "fetched_at": snapshot.fetched_at,
            "has_tokenized": snapshot.has_tokenized,
            "rows": snapshot.directory.as_asset_pairs(),
        }
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            # Waiting for the platter would keep a first price from its caller.
            replace_file(file, json.dumps(content).encode(), is_durable=False)
        except OSError as error:
            # Harmless: it is fetched again next time. On Windows also if another process reads.
            _log.debug("Cannot keep the list of pairs in %s: %s", file, error)


def _nothing_streamed(pair: Pair) -> tuple[Pair, float] | None:
    return None


def _is_unheard_of(name: str) -> bool:
    return False


def listing_file(root: str, cache_dir: str | Path | None) -> Path | None:
    """Return where the listing of the server at `root` is kept; None for nowhere."""
    folder = kept_in(root, cache_dir)
    host = re.sub(r"[^A-Za-z0-9.-]", "_", urlsplit(root).netloc)
    return folder / f"pairs-{host}.json" if folder is not None else None


def _found(directory: PairDirectory, name: str) -> Pair | None:
    """Return the pair of `name`, None if there is none; raises AmbiguousPair."""
    try:
        return directory.resolve(name)
    except UnknownPair:
        return None


def _kraken_spelling(name: str) -> str:
    """Return `name` as Kraken is likeliest to know it; xStocks keep their small x."""
    typed = name.strip().replace("-", "/")
    return typed.upper() if typed.islower() else typed
