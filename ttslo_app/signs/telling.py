"""Who is told of a run besides its screen and its log: people elsewhere, and who watches over it.

Everything is read, checked and loaded before the first price is asked for: a wrong address is
found at the start, and no import stands between a price and its order. What it must never do: put
an address into a sentence, or have the run wait for anybody but for a moment at its end.
"""

from __future__ import annotations

import argparse
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import creds
from krakenlink.foreign import shown
from krakenlink.machine import feed_clock
from ttslo_app.environment import KNOWN
from ttslo_app.face import words as face_words
from ttslo_app.face.pulse import Pulse, Systemd, Vitals, check_ping
from ttslo_app.face.services import Address, NotifyUnavailable, Plugin, Service, read_addresses
from ttslo_app.signs import words

if TYPE_CHECKING:
    from ttslo_app.run.live import LiveRun
    from ttslo_app.run.program import Program

FLAGS = ("notify", "ping", "log_format")
"""The flags of this room, as a parsed command line names them."""

# Seconds. What is still to be told at the end gets so long.
_FLUSH = 2.0
# A loop that has not turned for so long hangs: it turns twice a second.
_LOOP_HANGS, _ORDERS_HANG = 10.0, 30.0
# Which of more rows is nearest is not looked for: it would take time away from prices.
_MOST_COMPARED = 5_000
# Bytes: some thousand addresses.
_LARGEST_FILE = 100_000


def add_flags(add: Callable[..., object]) -> None:
    """Add what a user may choose, by the `add_argument` of a parser."""
    add("--notify", action="append", default=[], metavar="[LEVEL=]URL",
        help="tell this address of apprise's, such as ntfy://NAME; LEVEL is orders, warnings or "
        "all (default: warnings); may be given again; needs apprise")  # fmt: skip
    add("--ping", metavar="URL", help="fetch this address each minute in which nothing is missed")
    add("--log-format", choices=["text", "json"], default="text",
        help="print lines for people, or one JSON object a line (default: text)")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Telling:
    """Whom a run tells, ready to begin.

    Attributes:
        ways: Addresses, each with its service.
        ping_url: What is fetched as a sign of life; empty for nothing.
        systemd: Where systemd hears of this process.
    """

    ways: tuple[tuple[Address, Service], ...] = ()
    ping_url: str = ""
    systemd: Systemd = Systemd({})  # noqa: RUF009 - it never changes

    @contextmanager
    def over(self, program: Program, mark: str) -> Iterator[None]:
        """Tell of a program from here to the end of the `with`, and of its last word.

        Args:
            program: What is told of.
            mark: What the run is, such as `DRY RUN`; empty for real money.
        """
        notifier = None
        if self.ways:
            from ttslo_app.face.notify import Notifier  # here, before any price, for who is told

            notifier = Notifier(
                self.ways,
                program.say,
                note_of=lambda row: program.loader.notes.get(row, ""),
                standing=lambda: standing_of(program.live),
                mark=mark,
            )
            program.voice.listen(notifier.ear)
            notifier.start()
        pulse = Pulse(vitals_of(program), self.ping_url, self.systemd, program.say).start()
        try:
            yield
        finally:
            pulse.stop()
            if notifier is not None:
                notifier.stop(_FLUSH)


def telling_from(
    options: argparse.Namespace, env_file: str | None = None, *, is_rehearsal: bool = False
) -> Telling:
    """Return whom the flags and settings name, with all that is needed loaded. May read files.

    Args:
        options: The command line.
        env_file: Where settings may stand besides the environment; None: flags alone count.
        is_rehearsal: Whether it trades nothing. Then settings name no address to be fetched: who
            waits there for the real run would hear of another, and raise no alarm for its end.

    Raises:
        ValueError: If one of them cannot be used; the sentence shows no address.
    """
    addresses = read_addresses([*options.notify, *settings_of("TTSLO_NOTIFY", env_file)])
    asked = settings_of("TTSLO_PING", None if is_rehearsal else env_file)
    ping = (options.ping or next(asked, "")).strip()
    if ping:
        check_ping(ping)
    ways = tuple((address, Plugin(address)) for address in addresses)
    return Telling(ways, ping, Systemd(os.environ))


def settings_of(name: str, env_file: str | None) -> Iterator[str]:
    """Yield what a setting holds: its own variable, and the file that `..._FILE` names.

    Raises:
        NotifyUnavailable: If that file cannot be read.
    """
    if env_file is None:
        return
    yield from filter(None, [creds.get_setting(name, env_file)])
    path = creds.get_setting(f"{name}_FILE", env_file)
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "").strip()
    if path:
        yield _text_of(Path(path), f"{name}_FILE")
    elif folder and (Path(folder) / name).exists():
        yield _text_of(Path(folder) / name, "CREDENTIALS_DIRECTORY")


def _text_of(path: Path, variable: str) -> str:
    """Return what a file of addresses holds; `variable` is who names it."""
    cure = "put the addresses there, one a line, readable by the user of the program"
    where = f"{variable} names {shown(str(path))}"
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would wait for its writer
            raise NotifyUnavailable(f"{where}, which is no file: {cure}")
        with path.open("rb") as file:
            raw = file.read(_LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, NotifyUnavailable):
            raise
        why = getattr(error, "strerror", None) or type(error).__name__
        raise NotifyUnavailable(f"{where}, which cannot be read ({why}): {cure}") from None
    if len(raw) > _LARGEST_FILE:
        raise NotifyUnavailable(f"{where}, which is too large to hold addresses: {cure}")
    text = raw.decode("utf-8-sig", errors="replace")
    if not text.strip():
        raise NotifyUnavailable(f"{where}, which is empty: {cure}")
    return text


def exposed_files(environ: Mapping[str, str]) -> list[Path]:
    """Return the files of secrets that variables name, to be looked at for who may read them.

    What lies in `/run/secrets` is not among them: there a container's own user alone is, and who
    made the container sets the modes.
    """
    names = [name for name in KNOWN if name.endswith("_FILE")]
    paths = [Path(environ[name].strip()) for name in names if environ.get(name, "").strip()]
    return [path for path in paths if Path("/run/secrets") not in path.parents]


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
    from ttslo_app.face.metrics import healthz  # here, for who wants no sign of life

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
