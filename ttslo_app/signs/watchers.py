"""Those who hear of a run elsewhere, and how it is for them: people, and who watches over it.

Loaded before any price, and for those alone who are told: `telling` says who they are. What it must
never do: have the run wait for anybody but for a moment at its end.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING

from krakenlink.machine import feed_clock
from ttslo_app.face import words as face_words
from ttslo_app.face.health import healthz
from ttslo_app.face.pulse import Pulse, Systemd, Vitals
from ttslo_app.face.services import Address, Service
from ttslo_app.signs import words

if TYPE_CHECKING:
    from ttslo_app.run.live import LiveRun
    from ttslo_app.run.program import Program

# Seconds. What is still to be told at the end gets so long.
_FLUSH = 2.0
# A loop that has not turned for so long hangs: it turns twice a second.
_LOOP_HANGS, _ORDERS_HANG = 10.0, 30.0
# Which of more rows is nearest is not looked for: it would take time away from prices.
_MOST_COMPARED = 5_000


@contextmanager
def told(
    program: Program, mark: str, ways: Sequence[tuple[Address, Service]], ping_url: str
) -> Iterator[None]:
    """Tell of a program from here to the end of the `with`, and of its last word.

    Args:
        program: What is told of.
        mark: What the run is, such as `DRY RUN`; empty for real money.
        ways: Addresses, each with its service.
        ping_url: What is fetched as a sign of life; empty for nothing.
    """
    notifier = None
    if ways:
        from ttslo_app.face.notify import Notifier  # here, for who is told by a service

        notifier = Notifier(
            ways,
            program.say,
            note_of=lambda row: program.loader.notes.get(row, ""),
            standing=lambda: standing_of(program.live),
            mark=mark,
        )
        program.voice.listen(notifier.ear)
        notifier.start()
    pulse = Pulse(vitals_of(program), ping_url, Systemd(os.environ), program.say).start()
    try:
        yield
    finally:
        pulse.stop()
        if notifier is not None:
            notifier.stop(_FLUSH)


# --- how the run is -----------------------------------------------------------------------------


def vitals_of(program: Program) -> Vitals:
    """Return how a program is, for who watches over it."""
    return Vitals(
        is_armed=lambda: program.live is not None and program.live.has_begun,
        trouble=lambda: trouble_of(program),
        status=lambda: status_of(program.live),
        is_stopping=program.stopping.is_set,
    )


def trouble_of(program: Program) -> str:
    """Return why a crossing could be missed just now; empty where none could. Any thread."""
    live = program.live
    if live is None or not live.has_begun:
        return words.NOT_BEGUN
    idle = feed_clock() - live.turned_at
    if idle > _LOOP_HANGS:
        return words.loop_hangs(idle)
    took = program.clocks.monotonic() - program.worker.doing[1]
    if not program.worker.is_running or took > _ORDERS_HANG:
        return words.orders_hang(took)
    status, text = healthz(live.armed(), live.orderless())
    return "" if status == 200 else text.strip()


def standing_of(live: LiveRun | None) -> tuple[int, str]:
    """Return how many rows are armed, and which is nearest to its threshold. Any thread."""
    if live is None:
        return 0, ""
    count, nearest, least = len(live.watch.seats), "", Decimal("Infinity")
    for armed in live.watch.rules.values() if count <= _MOST_COMPARED else ():
        seen = live.watch.last.get(armed.market.name)
        if seen is None or not seen[0]:
            continue
        away = abs(armed.rule.threshold - seen[0]) / seen[0]
        if away < least:
            least, nearest = away, f"{armed.rule.id}: {face_words.describe(armed.rule, seen[0])}"
    return count, nearest


def status_of(live: LiveRun | None) -> str:
    """Return one line on where a run stands. Any thread."""
    count, nearest = standing_of(live)
    return f"{count} armed" + (f"; nearest {nearest}" if nearest else "")
