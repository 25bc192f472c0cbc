"""What the command line says of a run: its first lines, what keeps it from its work, its last word.

Pure: a function for each sentence, a constant where it is always the same. What it must never do:
promise more than is known.
"""

from __future__ import annotations

from dataclasses import dataclass

from ttslo_app.messages import Kind, Sentence
from ttslo_app.run.words import place_of


def command_of(argv0: str, *, is_module: bool) -> str:
    """Return what somebody types to run the program, from how this run was typed."""
    if is_module:
        return "python -m ttslo"
    name = argv0.replace("\\", "/").rpartition("/")[2]
    return "python ttslo.py" if name == "ttslo.py" else "ttslo"


@dataclass(frozen=True, slots=True)
class Run:
    """What a run is, as its first lines tell.

    Attributes:
        rest: The address of REST.
        stream: That of the stream; None where prices do not stream.
        files: The names of config, state and log.
        has_trading_key: Whether orders could be placed.
        is_dry: Whether none is.
        version: Of the program.
        sign: The name of what a dry run writes beside the log, for `ttslo status`; empty for none.
        is_paper: Whether orders go to an exchange inside this process.
        is_shared: Whether rows and lives are in a store that several hosts share.
    """

    rest: str
    stream: str | None
    files: tuple[str, str, str]
    has_trading_key: bool
    is_dry: bool
    version: str
    sign: str = ""
    is_paper: bool = False
    is_shared: bool = False


def opening(run: Run) -> list[Sentence]:
    """Return the first lines of a run: what it is, where, and with which files."""
    key = "a trading key is set" if run.has_trading_key else "NO trading key"
    what, mode = ("no order is placed", "DRY RUN") if run.is_dry else (key, "LIVE")
    if run.is_paper:
        what, mode = "real prices, made-up money, no order leaves this program", "PAPER"
    lines = [f"{mode} on {place_of(run.rest)}: {what}; ttslo {run.version}"]
    if run.stream is None:
        lines.append("Prices come over REST only")
    elif place_of(run.stream).startswith("Kraken") != place_of(run.rest).startswith("Kraken"):
        lines.append(f"Prices stream from ANOTHER exchange: {place_of(run.stream)}")
    config, state, log = run.files
    if run.is_dry:
        written = f"{log} and {run.sign} alone are" if run.sign else f"{log} alone is"
        lines.append(f"Files: {config} and {state} are read; {written} written")
    elif run.is_paper:
        lines.append(f"Files: {config} is read; {state} and {log} are written, each time anew")
    elif run.is_shared:
        lines.append(f"Rows and lives are in the store, {log} and {state}.* on this host")
    else:
        lines.append(f"Files: {config}, {state}, {log}")
    return [Sentence(Kind.START, "INFO", line) for line in lines]


def demo_opening(rest: str, version: str) -> str:
    """Return the first line of the demo."""
    return f"DEMO on {place_of(rest)}: made-up money; ttslo {version}"


NO_TRADING_KEY = Sentence(
    Kind.KEY,
    "WARNING",
    "No trading key: the program watches, but CANNOT PLACE ORDERS. Set KRAKEN_API_KEY_RW and "
    "KRAKEN_API_SECRET_RW",
)


def caution(text: str) -> Sentence:
    """Say what somebody else has found at the start."""
    return Sentence(Kind.START, "WARNING", text)


def waits_for(rest: str) -> Sentence:
    """Say that the start takes long, and what it waits for."""
    place = place_of(rest)
    cure = "look at the network and at https://status.kraken.com"
    if not place.startswith("Kraken"):
        cure = "look at the network, and whether it runs"
    text = f"Waiting for an answer from {place}. Nothing is watched before; if none comes, {cure}"
    return Sentence(Kind.START, "WARNING", text)


def nothing_to_watch(config: str) -> Sentence:
    """Say that no row may trade."""
    text = f"No row of {config} is accepted; nothing to watch. Mend a row, then start again"
    return Sentence(Kind.CONFIG, "ERROR", text)


STRICT_REFUSAL = Sentence(
    Kind.CONFIG,
    "ERROR",
    "A row is refused, and --strict wants all of them accepted. Mend it, or start without",
)


NO_PRICE_AT_ALL = Sentence(
    Kind.PRICE, "ERROR", "No price was to be had, so no row could be looked at; try again"
)


def stopped(*, is_dry: bool, is_saved: bool, why: str = "") -> Sentence:
    """Return the last word of a run that came to its end."""
    cause = f" by {why}" if why else ""
    if is_saved:
        return Sentence(
            Kind.STOP, "INFO", f"Stopped{cause}" if is_dry else f"Stopped{cause}; state saved"
        )
    return Sentence(
        Kind.STOP,
        "WARNING",
        f"Stopped{cause}, and state.csv is not up to date. What was sent to Kraken is written "
        "down beside it; the next start goes on from there",
    )


def ended_early(why: str, *, has_looked: bool) -> Sentence:
    """Return the last word of a run that was ended before it was done."""
    text = f"Stopped by {why} before it watched anything"
    if has_looked:
        text = (
            f"Stopped by {why} in the middle of its look. An order under way is written down; the "
            "next start finds out what became of it"
        )
    return Sentence(Kind.STOP, "INFO", text)
