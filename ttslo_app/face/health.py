"""Whether a run is well: every armed row has a proven price, and no crossing waits for its order.

Pure, and apart from who asks: an address that is looked at, and who gives signs of life.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

# A crossing without an order is no trouble before it is this many seconds old.
_LATE = 5.0


def healthz(
    armed: Mapping[str, bool], orderless: Mapping[str, float] | None = None
) -> tuple[int, str]:
    """Return status and text of the health address.

    200 only while every armed row has a price, and no crossing has waited long for its order.
    """
    waiting = {row: age for row, age in (orderless or {}).items() if age >= _LATE}
    if waiting:
        named = json.dumps(sorted(waiting), ensure_ascii=False)
        oldest = max(waiting.values())
        return 503, f"crossed, and no order yet: {named}; the oldest {oldest:.0f} s ago\n"
    blind = sorted(row for row, is_live in armed.items() if not is_live)
    if not blind:
        return 200, f"ok: {len(armed)} armed rows, each with a live price\n"
    named = json.dumps(blind, ensure_ascii=False)
    return 503, f"no live price for {len(blind)} of {len(armed)} armed rows: {named}\n"
