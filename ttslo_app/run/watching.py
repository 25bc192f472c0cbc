"""Whether hosts live at this moment, as a person at a terminal sees it.

By observation, as the hosts themselves do it: each tells again and again that it is there, and no
clock of another machine is looked at. What it must never do: call a host alive because of what the
store has kept of it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from krakenlink.machine import feed_clock
from ttslo_app.cluster.records import Keys
from ttslo_app.cluster.store import Store
from ttslo_app.run.stores import PATIENCE

# A sign of life comes twice a second; a machine that is busy may be late with some.
_PATIENT = 2.5
_LOOK = 0.1


def signs_of_life(store: Store, accounts: Sequence[Keys]) -> set[str]:
    """Return the keys under which something was told since this call began. Blocks.

    Args:
        store: Where they are.
        accounts: Whose beats and hosts are looked at.
    """
    ends_at, first = feed_clock() + _PATIENT, _versions(store, accounts)
    alive: set[str] = set()
    while feed_clock() < ends_at and not alive >= first.keys():
        time.sleep(_LOOK)
        now = _versions(store, accounts)
        alive |= {key for key, version in now.items() if first.get(key) != version}
    return alive


def is_led(store: Store, keys: Keys) -> bool:
    """Tell whether whoever leads an account lives. Blocks for up to some seconds."""
    return keys.beat in signs_of_life(store, [keys])


def _versions(store: Store, accounts: Sequence[Keys]) -> dict[str, int]:
    found: dict[str, int] = {}
    for keys in accounts:
        beat = store.get(keys.beat, patience=PATIENCE)
        hosts, _ = store.list(keys.hosts, patience=PATIENCE)
        found |= {entry.key: entry.version for entry in ([beat] if beat else []) + list(hosts)}
    return found
