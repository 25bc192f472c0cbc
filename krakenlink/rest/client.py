"""Kraken's REST calls by name.

Arguments are checked in `request`, pairs are found by `listing`, and `session` asks. What it must
never do: send an order a second time, or make another call between a decision and its order.

Source: Kraken, REST pages (read 2026-11).
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from krakenlink.errors import ProtocolError
from krakenlink.foreign import shown
from krakenlink.machine import REST_URL
from krakenlink.numbers import trailing_offset
from krakenlink.pairs import TOKENIZED, Pair, PairDirectory, legacy_pair
from krakenlink.rest.account_calls import AccountCalls
from krakenlink.rest.answers import result_of
from krakenlink.rest.listing import Listing, listing_file
from krakenlink.rest.quotes import only_row
from krakenlink.rest.request import (
    Prepared,
    checked_batch,
    checked_direction,
    checked_number,
    checked_order,
    checked_order_type,
    checked_pair,
    checked_txid,
    encode,
    named,
    volume_text,
)
from krakenlink.rest.session import RestSession, alive
from krakenlink.rest.transport import DEFAULT_TIMEOUTS, Timeouts

# Seconds since 1970, of 2014 and of 2103: Kraken's clock is between them.
_OLDEST, _NEWEST = 1.4e9, 4.2e9


class RestClient(AccountCalls):
    """Kraken's REST calls, for one pair of keys or none. Safe from any thread.

    The constructor does no I/O, starts no thread and looks up no keys: the first call does.

    Args:
        api_key: Kraken's public key; None for public calls only.
        api_secret: Kraken's private key, in base64.
        base_url: Where REST is.
        cache_dir: Where the list of pairs is kept for a day; None: `TTSLO_CACHE_DIR`, else the
            user's cache folder.
        timeouts: How long calls may take.

    Attributes:
        listing: Kraken's pairs, as far as they are known here.

    Raises:
        ValueError: If the address is not `https:` and not on this machine.
    """

    _OWN = RestSession._OWN | {"listing"}

    def __init__(
        self,
        api_key: str | None = None,
        api_secret: str | None = None,
        base_url: str = REST_URL,
        *,
        cache_dir: str | Path | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        super().__init__(api_key, api_secret, base_url, timeouts, cache_dir)

    def _start_anew(self) -> None:
        super()._start_anew()
        me = weakref.ref(self)  # the listing must not keep its client, or sockets stay open
        root, cache_dir = self._root, self._cache_dir
        self.listing = Listing(
            lambda params, within: alive(me)._ask_pairs(params, within),
            lambda: listing_file(root, cache_dir),
        )

    # --- public calls ---

    def get_ticker(self, pair: str) -> dict[str, Any]:
        """Return Kraken's Ticker `result` for `pair`, one or several joined by commas.

        The key of the answer follows the spelling that was asked by. xStocks among other pairs are
        asked for in a call of their own.
        """
        names = [name.strip() for name in checked_pair(pair).split(",")]
        stocks = [name for name in names if "asset_class" in self._named(name)]
        others = [name for name in names if name not in stocks]
        found: dict[str, Any] = {}
        if others:
            found |= self._public("Ticker", pair=",".join(others))
        if stocks:
            found |= self._public("Ticker", pair=",".join(stocks), asset_class=TOKENIZED)
        return found

    def get_trades(self, pair: str, since: str | int | None = None) -> dict[str, Any]:
        """Return Kraken's Trades `result`: rows under the pair's key, and `last` to go on from.

        Args:
            pair: Any spelling.
            since: `last` of an earlier answer, or seconds since 1970; None for the newest.
        """
        return self._public("Trades", **self._named(checked_pair(pair)), since=since)

    def get_ohlc(
        self, pair: str, interval: int = 1, since: str | int | None = None
    ) -> dict[str, Any]:
        """Return Kraken's OHLC `result`: candles under the pair's key, and `last`.

        Args:
            pair: Any spelling.
            interval: Minutes of a candle: 1, 5, 15, 30, 60, 240, 1440, 10080 or 21600.
            since: Seconds since 1970; None for the newest 720.
        """
        named = self._named(checked_pair(pair))
        return self._public("OHLC", **named, interval=interval, since=since)

    def system_status(self) -> dict[str, Any]:
        """Return Kraken's SystemStatus `result`, whose `status` is `online` on good days."""
        return self._public("SystemStatus")

    def server_time(self) -> float:
        """Return Kraken's clock, in whole seconds since 1970. Blocks for one call.

        Raises:
            ProtocolError: If the answer holds no moment of this century.
            KrakenError: If Kraken does not answer.
        """
        return _moment_of(self._query_public("Time"))

    def warm_up(self, within: float | None = None) -> None:
        """Open the connection that the next call will use, so that an order need not.

        Args:
            within: Longest time in all, in seconds, without a second try; None for the usual ones.

        Raises:
            KrakenError: If Kraken cannot be reached.
        """
        if within is None:
            self.server_time()
        else:
            _moment_of(self._query_within("Time", {}, within))

    def pair_directory(self) -> PairDirectory:
        """Return all pairs of Kraken; fetches the listing if the kept one is older than a day.

        Raises:
            KrakenError: If there is no kept listing and Kraken does not answer.
        """
        return self.listing.directory()

    def resolve_pair(self, pair: str, max_age: float | None = None) -> Pair:
        """Return the pair that any spelling of it means.

        Blocks for one call where the listing is not at hand, and now and then for two more where
        the name is not in it.

        Args:
            pair: Any spelling.
            max_age: How old its facts may be, such as its minimums, in seconds; if they are older
                Kraken is asked for this one pair. None: as old as the listing is, mostly under a
                day. What was true then is no reason to refuse an order now.

        Raises:
            LookupError: If Kraken has no such pair, or several; names the nearest.
            KrakenError: If Kraken could not be asked, so that nobody knows.
        """
        if not isinstance(pair, str) or not pair.strip():
            return PairDirectory(()).resolve(pair)  # raises, and says why
        found = self.listing.resolve(pair)
        if max_age is None:
            return found
        return self.listing.not_older(found, max_age, self._transport.longest)

    def pair_age(self, pair: str) -> float | None:
        """Return how old what is known of `pair` is, in seconds; None if nothing is. No call."""
        return self.listing.age(pair)

    def pair_status(self, pair: str) -> str:
        """Return AssetPairs' `status` of a pair at this moment, such as `cancel_only`.

        Blocks for one call; `resolve_pair` may know the status of up to a day ago.

        Raises:
            ProtocolError: If the answer cannot be read; that is not `online`.
            KrakenError: If Kraken refused or did not answer.
        """
        params = self._named(checked_pair(pair), "aclass_base")
        row = only_row(self._query_public("AssetPairs", params).get("result"))
        status = row.get("status", "online") if isinstance(row, Mapping) else None
        # Kraken leaves it out for one pair in eight; what is there must be a word.
        if not isinstance(status, str) or not re.fullmatch(r"[a-z_]{1,40}", status):
            raise ProtocolError(f"AssetPairs: the status of {shown(pair, 40)} cannot be read")
        return status

    def _ask_pairs(self, params: Mapping[str, object], within: float | None) -> object:
        if within is None:
            return self._query_public("AssetPairs", params).get("result")
        return self._query_within("AssetPairs", params, within).get("result")

    def _named(self, pair: str, class_key: str = "asset_class") -> dict[str, object]:
        """Return the parameters that name `pair` in a REST call, as Kraken knows it best."""
        return named(pair, self.listing.in_memory(pair) or legacy_pair(pair), class_key)

    # --- orders ---

    def add_order(
        self,
        pair: str,
        order_type: str,
        direction: str,
        volume: object,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Place one order and return Kraken's `result`. Sent once, never again.

        Args:
            pair: Any spelling that Kraken knows.
            order_type: Kraken's `ordertype`, such as `market`.
            direction: `buy` or `sell`.
            volume: In base currency; cut to the pair's `lot_decimals` where those are known.
            **kwargs: Kraken's other parameters by their own names (`price`, `cl_ord_id`,
                `deadline`, `validate`, `userref`, `trigger`, ...). None and False are not sent.

        Raises:
            ValueError: If an argument is missing or no number; nothing was sent.
            KrakenAPIError: If Kraken refused; see `outcome_of` for what is certain.
            KrakenTransportError: With `request_sent` True the order may stand.
            ProtocolError: The order may stand.
        """
        return self._private("AddOrder", self._order(pair, order_type, direction, volume, kwargs))

    def prepare_order(
        self,
        pair: str,
        order_type: str,
        direction: str,
        volume: object,
        **kwargs: Any,
    ) -> Prepared:
        """Return an order, checked and written out, for `add_prepared_order`. No I/O.

        For whoever knows an order before its moment: less is left to do then. The arguments are
        those of `add_order`.

        Raises:
            ValueError: If one is missing or no number.
        """
        order = self._order(pair, order_type, direction, volume, kwargs)
        return Prepared(order, encode(order))

    def add_prepared_order(self, order: Prepared, **kwargs: Any) -> dict[str, Any]:
        """Place a prepared order and return Kraken's `result`. Sent once, never again.

        Args:
            order: Made by `prepare_order`; each call places it anew.
            **kwargs: What was not known then, such as `cl_ord_id` and `deadline`.

        Raises:
            ValueError: If the order says one of them already; nothing was sent.
            KrakenError: As for `add_order`.
        """
        return self._private("AddOrder", order.along_with(kwargs))

    def _order(
        self,
        pair: str,
        order_type: str,
        direction: str,
        volume: object,
        more: Mapping[str, object],
    ) -> dict[str, object]:
        name = checked_pair(pair)
        known = self.listing.in_memory(name)
        order = {
            "ordertype": checked_order_type(order_type),
            "type": checked_direction(direction),
            "volume": volume_text(volume, name, known),
        }
        return {**order, **named(name, known or legacy_pair(name)), **more}

    def add_order_batch(
        self, pair: str, orders: Sequence[Mapping[str, object]], **kwargs: Any
    ) -> dict[str, Any]:
        """Place 2 to 15 orders of one pair in one request, and return Kraken's `result`.

        Sent once, never again. Kraken checks all of them first: where one is no valid order it
        refuses the call, and none is placed. After that each may be refused by itself, for want of
        funds for instance: `outcomes_of` tells what became of each. The key needs the permission to
        cancel orders as well.

        Args:
            pair: Any spelling that Kraken knows.
            orders: Each with Kraken's own names: `ordertype`, `type`, `volume`, and others such as
                `price`, `trigger` and `cl_ord_id`. Volumes are cut as by `add_order`.
            **kwargs: What counts for all of them: `deadline`, `validate`.

        Returns:
            `orders`: for each, in the same order, `descr` and the text `txid`, or `error`.

        Raises:
            ValueError: If an argument is missing or no number, if there are too few or too many
                orders, or two with one `cl_ord_id`; nothing was sent.
            KrakenError: As for `add_order`, for all of them.

        Source: Kraken, REST AddOrderBatch (read 2026-11).
        """
        name = checked_pair(pair)
        known = self.listing.in_memory(name)
        rows = [checked_order(order, name, known) for order in checked_batch(orders)]
        return self._private("AddOrderBatch", {**self._named(name), "orders": rows, **kwargs})

    def add_trailing_stop_loss(
        self,
        pair: str,
        direction: str,
        volume: object,
        trailing_offset_percent: object,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Place a trailing stop by `add_order`, once, and return Kraken's `result`.

        Args:
            pair: Any spelling that Kraken knows.
            direction: `buy` or `sell`.
            volume: In base currency; cut to the pair's `lot_decimals` where those are known.
            trailing_offset_percent: How far the price must turn back, in percent; its digits
                reach Kraken as they are.
            **kwargs: As for `add_order`; `trigger` is `last` unless given, because some pairs
                have no index.

        Raises:
            ValueError: Names `pair`, `direction`, `volume` or `trailing_offset_percent`; nothing
                was sent.
            KrakenError: As for `add_order`.
        """
        percent = checked_number("trailing_offset_percent", trailing_offset_percent)
        more = {"price": trailing_offset(percent), "trigger": "last", **kwargs}
        # Through the method that callers' own classes override: they must see every order.
        return self.add_order(
            pair=pair, order_type="trailing-stop", direction=direction, volume=volume, **more
        )

    def _volume(self, name: str, volume: object) -> str:
        return volume_text(volume, name, self.listing.in_memory(name))

    def cancel_order(self, txid: str) -> dict[str, Any]:
        """Cancel an open order and return Kraken's `result` with its `count`. Sent once.

        Raises:
            ValueError: If `txid` is empty: "txid parameter is required".
            KrakenError: An order that is not open any more is an error of Kraken's.
        """
        return self._private("CancelOrder", {"txid": checked_txid(txid)})

    def edit_order(
        self,
        txid: str,
        pair: str | None = None,
        volume: object = None,
        price: object = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Replace an open order by a changed one and return Kraken's `result`. Sent once.

        Args:
            txid: The order; the new one gets another id.
            pair: Its pair.
            volume: The new volume; None leaves it.
            price: The new price, or a trailing offset such as `+5.0%`; None leaves it.
            **kwargs: Kraken's other parameters by their own names.

        Raises:
            ValueError: If `txid` is empty: "txid parameter is required".
            KrakenError: As for `add_order`.
        """
        params: dict[str, object] = {"txid": checked_txid(txid), "price": price, **kwargs}
        name = checked_pair(pair) if pair is not None else ""
        if name:
            params |= self._named(name)
        if volume is not None:
            params["volume"] = self._volume(name, volume)
        return self._private("EditOrder", params)


# Kept here, since whoever puts something in the place of one may do so before others look.
_PLACING = {
    call.__name__: call for call in (RestClient.add_order, RestClient.add_trailing_stop_loss)
}


def is_as_defined(client: RestClient, call: str) -> bool:
    """Tell whether a client's `call` is this room's: nobody has another on it or its class."""
    return getattr(getattr(client, call), "__func__", None) is _PLACING[call]


def _moment_of(answer: Mapping[str, Any]) -> float:
    unixtime: Any = result_of("Time", answer).get("unixtime")
    is_number = isinstance(unixtime, int | float) and not isinstance(unixtime, bool)
    if not is_number or not _OLDEST < unixtime < _NEWEST:
        raise ProtocolError("Time: the answer holds no unixtime that can be")
    return float(unixtime)
