"""What Kraken's error strings mean: everything that is known about them, in one table.

Pure. Each line of `TABLE` says whether the order was certainly not placed, whether waiting heals
it, and what a person can do about it. It must never call an order refused that may stand.

Source: Kraken, REST error pages (read 2026-11).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from krakenlink.errors import (
    AuthenticationError,
    KrakenAPIError,
    OrderRejected,
    RateLimitError,
)


class OutcomeKind(Enum):
    """What is certain about an order after an answer, or after none."""

    PLACED = "placed"
    REFUSED = "refused"  # certainly not placed
    UNKNOWN = "unknown"  # may stand at Kraken: look it up before anything else
    VALID = "valid"  # a mere validation, which Kraken would have taken


class Pause(Enum):
    """What must wait: Kraken's limits on the pace hold it back, or trouble of the key does."""

    PAIR = "orders on this pair"
    ACCOUNT = "orders of this account"
    KEY = "calls with this key"  # until its owner mends it, or the account
    LOCKOUT = "calls from here"  # a quarter of an hour, and longer for whoever calls on


# Calls after which an order may stand that nobody knows of.
_PLACING = frozenset({"AddOrder", "AddOrderBatch", "EditOrder", "AmendOrder"})


class Verdict(NamedTuple):
    """What Kraken's error strings mean.

    Attributes:
        kind: Of an order that was answered so.
        heals: Whether the same order may be taken later without anybody's doing.
        error: The class that is raised.
        cure: A sentence a person can act on, whatever the call was; empty where nothing is known.
        pause: What must wait, where the pace was too fast or the key is refused.
        is_slow: Whether what heals it takes hours or more.
        proves_order: Whether it is the proof that an order of this `cl_ord_id` stands.
    """

    kind: OutcomeKind
    heals: bool
    error: type[KrakenAPIError]
    cure: str
    pause: Pause | None = None
    is_slow: bool = False
    proves_order: bool = False

    def cure_for(self, endpoint: str) -> str:
        """Return the cure, and after a call that may have placed an order what that asks for."""
        is_doubt = self.kind is OutcomeKind.UNKNOWN and not self.proves_order
        if not (is_doubt and endpoint in _PLACING):
            return self.cure
        return f"{self.cure} {LOOK_UP}".strip()


_KEY = (
    "Likely causes, in this order: key and secret swapped; quotes or blanks kept around them in "
    "the environment or in .env; one of them not copied whole; the key deleted, expired, or with "
    "a second factor (2FA), which a program cannot answer; this machine's address not on the "
    "key's list of allowed IP addresses."
)
_SIGNATURE = (
    "Likely causes, in this order: the secret of another key; quotes or blanks kept around it in "
    "the environment or in .env; not copied whole; key and secret swapped; a key with a second "
    "factor (2FA), which a program cannot answer."
)
_PERMISSIONS = (
    "The API key lacks a permission: create an API key with 'Create & modify orders', 'Query open "
    "orders & trades', 'Query closed orders & trades' and 'Query funds'. If it has them: it has a "
    "second factor (2FA), which a program cannot answer, or this machine's address is not on the "
    "key's list of allowed IP addresses."
)
_PAIR_CURE = "Check the pair's name against Kraken's list of pairs."
_WAIT_CURE = "Kraken asks for a pause; it is kept to."
_MODE_CURE = "Kraken's market is restricted at the moment; see status.kraken.com."
LOOK_UP = "Whether the order was placed is not known; look at Kraken's open orders."
_BUSY_CURE = "Kraken is unavailable or busy; see status.kraken.com."


def _refused(
    error: type[KrakenAPIError], cure: str, *, heals: bool = False, is_slow: bool = False
) -> Verdict:
    return Verdict(OutcomeKind.REFUSED, heals, error, cure, is_slow=is_slow)


def _of_key(cure: str) -> Verdict:
    """Return what is trouble of the key or the account: no row's own, and mended by a person."""
    return Verdict(OutcomeKind.REFUSED, True, AuthenticationError, cure, Pause.KEY)


def _unknown(cure: str = "", error: type[KrakenAPIError] = KrakenAPIError) -> Verdict:
    return Verdict(OutcomeKind.UNKNOWN, False, error, cure)


_WAIT = Verdict(OutcomeKind.REFUSED, True, RateLimitError, _WAIT_CURE, Pause.ACCOUNT)
_WAIT_ON_PAIR = Verdict(OutcomeKind.REFUSED, True, RateLimitError, _WAIT_CURE, Pause.PAIR)
_MARGIN = _refused(
    OrderRejected, "Margin rules refuse it; check margin and open positions.", heals=True
)

TOO_MANY = Verdict(OutcomeKind.UNKNOWN, False, RateLimitError, _WAIT_CURE, Pause.ACCOUNT)
"""HTTP 429: of a request that something has sent twice it may be the answer to the second copy."""

_STANDS = Verdict(
    OutcomeKind.UNKNOWN,
    False,
    OrderRejected,
    "An order of this id stands already, or stood; it is looked up.",
    proves_order=True,
)


# The beginnings of Kraken's error strings; the longest that fits counts. A string that no line
# fits is *unknown*: an order is only called refused where Kraken's documents say that it was.
TABLE: dict[str, Verdict] = {
    # The key.
    "EAPI:Invalid key": _of_key(_KEY),
    "EAPI:Invalid signature": _of_key(_SIGNATURE),
    # Something on the way may have sent the request twice: then this is the answer to the second
    # copy, and the first has used the nonce.
    "EAPI:Invalid nonce": _unknown(
        "Another program may use the same key: give each its own. Or this machine's clock was "
        "ahead when the key was last used: then it is refused until the clock is there, or widen "
        "the key's nonce window. Or it was made exclusive: then --exclusive-key is needed.",
        AuthenticationError,
    ),
    "EAPI:Feature disabled": _of_key("Kraken has switched this call off."),
    "EAPI:Bad request": _refused(KrakenAPIError, "The request is malformed; report this."),
    "EGeneral:Permission denied": _of_key(_PERMISSIONS),
    "EAccount:Invalid permissions": _refused(
        AuthenticationError,
        "Kraken does not let this account trade the pair where you live.",
        heals=True,
        is_slow=True,
    ),
    "EAuth:Account temporary disabled": _of_key(
        "Kraken has locked the account for now; sign in and look."
    ),
    "EAuth:Account unconfirmed": _of_key("Confirm the account at Kraken."),
    "EGeneral:Temporary lockout": Verdict(
        OutcomeKind.REFUSED,
        True,
        RateLimitError,
        "Too many wrong keys: Kraken is closed to you for 15 minutes.",
        Pause.LOCKOUT,
    ),
    # The pace.
    "EAPI:Rate limit exceeded": _WAIT,
    "EAuth:Rate limit exceeded": _WAIT,
    "EAuth:Too many requests": _WAIT,
    "EGeneral:Too many requests": _WAIT,
    "EOrder:Rate limit exceeded": _WAIT_ON_PAIR,
    "EOrder:Domain rate limit exceeded": _WAIT,
    "EService:Throttled": _WAIT,
    # The order.
    "EOrder:Insufficient funds": _refused(
        OrderRejected,
        "Deposit funds, free those that open orders hold, or lower the volume.",
        heals=True,
    ),
    "EOrder:Order minimum not met": _refused(
        OrderRejected, "Raise the volume to the pair's minimum (`ordermin`)."
    ),
    # Of the same volume, the cost may suffice at another price.
    "EOrder:Cost minimum not met": _refused(
        OrderRejected, "Raise the volume: price x volume is under the pair's `costmin`.", heals=True
    ),
    "EOrder:Tick size check failed": _refused(
        OrderRejected, "Use fewer decimals in the price: it must fit the pair's tick size."
    ),
    "EOrder:Invalid price": _refused(OrderRejected, "Check the trailing offset or the price."),
    "EOrder:Invalid volume": _refused(OrderRejected, "Check the volume."),
    "EOrder:Orders limit exceeded": _refused(
        OrderRejected, "Too many open orders: cancel some.", heals=True
    ),
    "EOrder:Scheduled orders limit exceeded": _refused(
        OrderRejected, "Too many waiting stop orders: cancel some.", heals=True
    ),
    "EOrder:Positions limit exceeded": _MARGIN,
    "EOrder:Trading agreement required": _refused(
        OrderRejected,
        "Accept Kraken's trading agreement on its website.",
        heals=True,
        is_slow=True,
    ),
    "EOrder:Post only order": _refused(OrderRejected, "A post-only order would trade at once."),
    "EOrder:Unknown position": _MARGIN,
    "EOrder:Cannot open position": _MARGIN,
    "EOrder:Cannot open opposing position": _MARGIN,
    "EOrder:Insufficient margin": _MARGIN,
    "EOrder:Margin allowance exceeded": _MARGIN,
    "EOrder:Margin level too low": _MARGIN,
    "EOrder:Margin position size exceeded": _MARGIN,
    "EOrder:Reduce only": _MARGIN,
    # Answers to a cancel, an edit or a look-up; to AddOrder they would be a riddle.
    "EOrder:Unknown order": _unknown("Kraken has no such open order: it may be closed by now."),
    "EOrder:Invalid order": _unknown("Kraken has no such open order: it may be closed by now."),
    # The arguments.
    "EGeneral:Invalid arguments": _refused(KrakenAPIError, "Check pair, volume and offset."),
    "EGeneral:Invalid arguments:Index unavailable": _refused(
        KrakenAPIError, "This pair has no index price: use trigger=last."
    ),
    # The deadline is the caller's and not the order's: slow networks and clocks make it too near.
    "EGeneral:Invalid arguments:deadline": _refused(
        KrakenAPIError,
        "It came too late for its deadline; the next one gets a new one.",
        heals=True,
    ),
    # The text for a `cl_ord_id` that is already in use is not documented. Were it this one, then
    # the order stands.
    "EGeneral:Invalid arguments:cl_ord_id": _unknown(),
    "EGeneral:Unknown method": _refused(
        KrakenAPIError, "Kraken knows no such call.", heals=True, is_slow=True
    ),
    "EGeneral:Unknown asset pair": _refused(KrakenAPIError, _PAIR_CURE),
    "EQuery:Unknown asset pair": _refused(KrakenAPIError, _PAIR_CURE),
    "EQuery:Invalid asset pair": _refused(KrakenAPIError, _PAIR_CURE),
    "EQuery:Unknown asset": _refused(KrakenAPIError, "Check the asset's name."),
    # The market.
    # `cancel_only mode`, `post_only mode`, `limit_only mode`, `reduce_only mode`, and any other.
    "EService:Market in ": _refused(OrderRejected, _MODE_CURE, heals=True),
    # Canada's yearly limit on what may be bought of some coins.
    "EBM:limit exceeded": _refused(
        OrderRejected,
        "A limit that Kraken sets for your account is used up, such as Canada's yearly limit on "
        "purchases; see support.kraken.com.",
        heals=True,
        is_slow=True,
    ),
    "EGeneral:No data": _refused(
        KrakenAPIError, "Kraken has no data of this pair at the moment.", heals=True
    ),
    # Doubtful by Kraken's own words.
    "EService:Unavailable": _unknown(_BUSY_CURE),
    "EService:Busy": _unknown(_BUSY_CURE),
    "EService:Timeout": _unknown(_BUSY_CURE),
    "EService:Deadline elapsed": _unknown(),
    "EGeneral:Internal error": _unknown(_BUSY_CURE),
}


def _normal(text: str) -> str:
    """Return an error string as it is compared: Kraken writes `EService: Throttled` both ways."""
    return re.sub(r"\s*:\s*", ":", text.strip()).casefold()


_UNKNOWN_PAIR = (
    "equery:unknown asset pair",
    "equery:invalid asset pair",
    "egeneral:unknown asset pair",
    "egeneral:invalid arguments",
)


_BY_START = sorted(((_normal(s), v) for s, v in TABLE.items()), key=lambda e: -len(e[0]))


# Ways to spell that a `cl_ord_id` is in use; which one Kraken has is not documented. Compiled for
# the first error, and not for everybody who imports this.
_DUPLICATE = (
    r"e[a-z]*:.*duplicate.*(cl_?ord_?id|client.?order.?id)|e[a-z]*:.*"
    r"(cl_?ord_?id|client.?order.?id).*(duplicate|already|in use|not unique)"
)


def _verdict_of_one(text: str) -> Verdict:
    said = _normal(text)
    if re.match(_DUPLICATE, said):
        return _STANDS
    return next((v for start, v in _BY_START if said.startswith(start)), _unknown())


def verdict_of(errors: Iterable[str]) -> Verdict:
    """Return what Kraken's error strings mean together.

    The proof that the order stands outweighs all, the doubtful outweighs the certain, trouble of
    the key outweighs what is said of an order, and what does not heal outweighs what does.
    Warnings (`W...`) count for nothing. No string at all, or one that the table does not know:
    unknown.
    """
    verdicts = [_verdict_of_one(text) for text in errors if not is_warning(text)]
    if not verdicts:
        return _unknown()

    # Stable: among equals the string that Kraken names first decides.
    def weight(verdict: Verdict) -> tuple[bool, bool, bool, bool]:
        is_certain = verdict.kind is not OutcomeKind.UNKNOWN
        is_of_key = verdict.pause in (Pause.KEY, Pause.LOCKOUT)
        return (not verdict.proves_order, is_certain, not is_of_key, verdict.heals)

    return min(verdicts, key=weight)


def is_warning(text: str) -> bool:
    """Tell whether one of Kraken's strings is a warning, which may stand beside a result."""
    return text.lstrip().startswith("W")


def is_unknown_pair(error: KrakenAPIError) -> bool:
    """Tell whether `error` says that Kraken does not know the pair under the name it was given.

    Delisted pairs have been seen to be answered with the vaguer of the two.
    """
    said = (_normal(text) for text in error.errors)
    return any(s.startswith(_UNKNOWN_PAIR) for s in said)


# Whatever one pair has done, these have other reasons, which a second call would meet as well.
_NO_PAIRS_FAULT = ("eservice", "eapi", "eauth", "egeneral:internal", "egeneral:temporary")


def may_be_one_pairs(error: KrakenAPIError) -> bool:
    """Tell whether one of several pairs may have caused `error`, so that the others can be had."""
    said = [_normal(text) for text in error.errors]
    return not (
        isinstance(error, AuthenticationError | RateLimitError)
        or any(text.startswith(_NO_PAIRS_FAULT) for text in said)
    )
