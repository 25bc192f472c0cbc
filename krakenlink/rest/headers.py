"""What the headers of an answer say: how old it is, and how long its server is to be left alone.

Pure. It must never take an answer that lay in a cache for one of now, or wait without an end.

Source: RFC 9110 and 9111, HTTP (read 2026-11).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from krakenlink.errors import KrakenConnectionError

# Whole seconds that an answer may have lain in a cache; a second or two is the way itself. The
# listing of pairs holds for a day anyway.
_MOST_AGE = {"AssetPairs": 60}
_MOST_AGE_OF_OTHERS = 3
# Longest that a server's `Retry-After` is heeded, in seconds.
_MOST_PAUSE = 60.0


def check_cache(method: str, age: str | None) -> None:
    """Refuse what something between here and Kraken has kept, whatever it was asked.

    Raises:
        KrakenConnectionError: If the answer's `Age`, whole seconds, shows it.
    """
    if age is None or not age.strip():
        return
    most = _MOST_AGE.get(method, _MOST_AGE_OF_OTHERS)
    seconds = max((int(digits) for digits in re.findall(r"[0-9]{1,12}", age)), default=0)
    is_read = re.fullmatch(r"[0-9 ,]+", age) is not None
    if not is_read or seconds > most:
        old = f"of {seconds} s ago" if is_read else "of nobody knows when"
        raise KrakenConnectionError(
            f"{method}: a cache on the way to Kraken answered with what it had {old}",
            request_sent=True,
        )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return how long a server asks to be left alone, in seconds and bounded; None for not."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:9]), _MOST_PAUSE)
    try:
        until = parsedate_to_datetime(text)
        now = parsedate_to_datetime(headers.get("Date", ""))
        return min(max(0.0, (until - now).total_seconds()), _MOST_PAUSE)
    except (TypeError, ValueError, OverflowError):
        return None
