"""What this host remembers of a store, in a small file of its own: how new it was, and its name.

A store that was restored from a backup hands out what was handed out before. Kraken refuses the
nonces of such an epoch; this file notices it earlier, and without a call.
"""

from __future__ import annotations

import json
import logging
import secrets
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from krakenlink.machine import read_plain, replace_file

_log = logging.getLogger(__name__)

_LONGEST_NAME = 40


class HostFile:
    """The file of one account on this host. Blocks for the disk.

    Args:
        path: Where it is; made when something is kept.
        cluster_id: Which store it is about.
    """

    def __init__(self, path: Path, cluster_id: str) -> None:
        self._path = path
        self._cluster_id = cluster_id

    def name(self) -> str:
        """Return the name of this host: that of the machine, and something that no other has.

        It stays the same from run to run, as long as the file can be written.
        """
        cells = self._read()
        name = cells.get("host")
        if isinstance(name, str) and name:
            return name
        machine = "".join(c if c.isalnum() or c in "-." else "-" for c in socket.gethostname())
        name = f"{machine.strip('-.')[:_LONGEST_NAME] or 'host'}-{secrets.token_hex(3)}"
        self._write({**cells, "host": name})
        return name

    def newest(self) -> int:
        """Return the highest version that this store was seen with; 0 for none."""
        kept = self._read().get("versions")
        seen = kept.get(self._cluster_id) if isinstance(kept, dict) else None
        return seen if type(seen) is int else 0

    def keep(self, version: int) -> None:
        """Remember a version of the store. Never raises: Kraken notices an old store, too."""
        cells = self._read()
        kept = cells.get("versions")
        versions = {**(kept if isinstance(kept, dict) else {}), self._cluster_id: version}
        self._write({**cells, "versions": versions})

    def _read(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            cells = json.loads(read_plain(self._path))
            if isinstance(cells, dict):
                return cells
        return {}

    def _write(self, cells: dict[str, Any]) -> None:
        try:
            replace_file(self._path, json.dumps(cells).encode(), is_durable=True)
        except OSError as error:
            _log.warning("%s cannot be written: %s", self._path, error)
