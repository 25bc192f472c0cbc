"""The real program, with a note of the moment at each step on the way from a tick to its order.

Started by `tick_to_order.py`. The steps before the order thread have no hook of their own, so
two methods are wrapped here, which costs well under a microsecond each.
"""

from __future__ import annotations

import atexit
import json
import sys
import time
from pathlib import Path
from typing import Any

from common import memory_mb

import ttslo
from krakenlink.stream.events import Tick
from ttslo_app.messages import Crossing
from ttslo_app.orders.worker import OrderWorker
from ttslo_app.run import live as ttslo_live
from ws_price_provider import feed_clock

moments: list[tuple[str, int]] = []


def note(name: str) -> None:
    """Note the moment of a step."""
    moments.append((name, time.perf_counter_ns()))


def main() -> None:
    """Run `ttslo.py` with the arguments after the first, which names the file for the moments."""
    file = Path(sys.argv[1])
    handle, submit = ttslo_live.LiveRun._handle, OrderWorker.submit
    # The feed's own clock is another one than ours; both run at the same pace.
    ahead = time.perf_counter_ns() - int(feed_clock() * 1e9)

    def handled(self: ttslo_live.LiveRun, item: Any) -> None:
        if type(item) is Tick:
            moments.append(("frame", int(item.at * 1e9) + ahead))
            note("read")
        handle(self, item)

    def submitted(self: OrderWorker, message: Any) -> None:
        if type(message) is Crossing:
            note("crossed")
        submit(self, message)

    ttslo_live.LiveRun._handle = handled  # type: ignore[method-assign]  # measured from outside
    OrderWorker.submit = submitted  # type: ignore[method-assign]  # the same
    atexit.register(
        lambda: file.write_text(
            json.dumps({"moments": moments, "memory": memory_mb()}), encoding="ascii"
        )
    )
    sys.exit(ttslo.main(sys.argv[2:], step=note))


if __name__ == "__main__":
    main()
