"""Who is told of a run besides its screen and its log: people elsewhere, and who watches over it.

Everything is read, checked and loaded before the first price is asked for: a wrong address is
found at the start, and no import stands between a price and its order. Where nobody is told,
nothing is loaded. What it must never do: put an address into a sentence.
"""

from __future__ import annotations

import argparse
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import creds
from krakenlink.foreign import shown
from ttslo_app.environment import KNOWN

if TYPE_CHECKING:  # for who is told
    from ttslo_app.face.services import Address, Service
    from ttslo_app.run.program import Program

FLAGS = ("notify", "ping", "log_format")
"""The flags of this room, as a parsed command line names them."""

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
        is_managed: Whether systemd hears of this process.
    """

    ways: tuple[tuple[Address, Service], ...] = ()
    ping_url: str = ""
    is_managed: bool = False

    @contextmanager
    def over(self, program: Program, mark: str) -> Iterator[None]:
        """Tell of a program from here to the end of the `with`, and of its last word.

        Args:
            program: What is told of.
            mark: What the run is, such as `DRY RUN`; empty for real money.
        """
        if not (self.ways or self.ping_url or self.is_managed):
            yield
            return
        from ttslo_app.signs.watchers import told  # here, before any price, for who is told

        with told(program, mark, self.ways, self.ping_url):
            yield


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
    texts = [*options.notify, *settings_of("TTSLO_NOTIFY", env_file)]
    ways: tuple[tuple[Address, Service], ...] = ()
    if texts:
        from ttslo_app.face.services import Plugin, read_addresses  # here, for who names one

        ways = tuple((address, Plugin(address)) for address in read_addresses(texts))
    asked = settings_of("TTSLO_PING", None if is_rehearsal else env_file)
    ping = (options.ping or next(asked, "")).strip()
    if ping:
        from ttslo_app.face.pulse import check_ping  # likewise

        check_ping(ping)
    return Telling(ways, ping, is_managed="NOTIFY_SOCKET" in os.environ)


def settings_of(name: str, env_file: str | None) -> Iterator[str]:
    """Yield what a setting holds: its own variable, and the file that `..._FILE` names.

    Raises:
        ValueError: If that file cannot be read.
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
        raw = b""
        is_file = stat.S_ISREG(path.stat().st_mode)  # a pipe would wait for its writer
        if is_file:
            with path.open("rb") as file:
                raw = file.read(_LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise ValueError(f"{where}, which cannot be read ({why}): {cure}") from None
    if not is_file:
        raise ValueError(f"{where}, which is no file: {cure}")
    if len(raw) > _LARGEST_FILE:
        raise ValueError(f"{where}, which is too large to hold addresses: {cure}")
    text = raw.decode("utf-8-sig", errors="replace")
    if not text.strip():
        raise ValueError(f"{where}, which is empty: {cure}")
    return text


def exposed_files(environ: Mapping[str, str]) -> list[Path]:
    """Return the files of secrets that variables name, to be looked at for who may read them.

    What lies in `/run/secrets` is not among them: there a container's own user alone is, and who
    made the container sets the modes.
    """
    names = [name for name in KNOWN if name.endswith("_FILE")]
    paths = [Path(environ[name].strip()) for name in names if environ.get(name, "").strip()]
    return [path for path in paths if Path("/run/secrets") not in path.parents]
