"""Every sentence of `ttslo relay`.

Pure: a function for each, a constant where it is always the same. What it must never do: repeat a
login.
"""

from __future__ import annotations

from krakenlink.foreign import shown

LIBRARY_MISSING = "A library is missing. Do: pip install websocket-client msgspec"


def cannot_start(why: str) -> str:
    """Say that the relay has not begun, and why."""
    return f"The relay cannot start: {shown(why, 300)}"


READS_A_RELAY = (
    "KRAKEN_WS_PUBLIC_URL names a relay, and a relay reads from Kraken itself. Unset it for "
    "this command"
)
NO_BROKER = "--publish: write rediss://HOST:6379/NAME, or redis: on this machine"
ONE_NAME = "--publish: a relay has one name; start another one for another name"


def two_names(name: str) -> str:
    """Say that the flag and the address differ."""
    return f"--name is {shown(name, 60)!r}, and --publish names another one: write one of them"


def at_work(name: str, source: str, url: str) -> str:
    """Say what comes from where and goes where."""
    return f"Relay {name}: prices of {source} go to {url}. Ctrl-C ends it"


def figures_at(url: str) -> str:
    """Say where the figures are."""
    return f"Figures at {url}/metrics, health at {url}/healthz"


def ended(name: str) -> str:
    """Say that it is over, and what its readers do."""
    return f"Relay {name}: ended. Its readers ask over REST now"
