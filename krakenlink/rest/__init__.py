"""Kraken's REST interface: requests, answers, the wire, and the list of pairs.

`Verdict` is looked up when it is asked for: the errors that carry one are what its room stands on.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from krakenlink.rest.verdicts import Verdict

__all__ = ["Verdict"]

if not TYPE_CHECKING:  # or any name would be right

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module("krakenlink.rest.verdicts"), name)
