"""What is said where the shared store does not take what a host writes.

Pure. Each ends an error's sentence. What it must never do: call something written that may not be.
"""

from __future__ import annotations

from krakenlink.foreign import shown

LEADS_NO_MORE = "another host leads by now, so this one writes and sends nothing"


def keeps_changing(what: str) -> str:
    """Return that others change the same again and again."""
    return f"{shown(what, 80)} keeps changing in the store while it is written"


def changed_by_others(key: str) -> str:
    """Return that a life was changed by somebody who does not lead."""
    return (
        f"{shown(key, 80)} in the store was changed by somebody who does not lead: find out who "
        "writes there, then start this host anew"
    )


def edited(key: str) -> str:
    """Return that a row has changed since it was looked at."""
    return f"{shown(key, 80)} in the store was changed a moment ago: it is looked at again"
