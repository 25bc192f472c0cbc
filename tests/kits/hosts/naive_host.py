"""A host that leads by a lease of its own clock and nothing else: the control that must double.

It does what most scripts for two machines do: whoever holds the lease sends, an order is looked for
before it is sent, and it has one id on both hosts. What it lacks is all that holds while it is
paused: no intent is fenced, no deadline goes with the order, and nonces come from the clock.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from kraken_api import KrakenAPI
from krakenlink.errors import KrakenError
from ttslo_app.cluster.etcd import store_from
from ttslo_app.cluster.records import Keys, read_cells
from ttslo_app.cluster.store import Change, StoreError

LEASE = 1.5  # seconds
_LOOK = 0.05
_PATIENCE = 2.0


class NaiveHost:
    """Leads while its lease lasts, and places the order of each row that is crossed.

    Args:
        url: The store.
        step: Called at each step of an order by its name.
    """

    def __init__(self, url: str, step: Callable[[str], None]) -> None:
        self._store, cluster = store_from(url)
        self._keys, self._step = Keys(cluster), step
        self._api = KrakenAPI.from_env(readwrite=True, use_websocket=False)
        self._name = f"naive-{os.getpid()}"

    def run(self) -> None:
        """Run until this process is ended."""
        while True:
            with suppress(StoreError, KrakenError):
                if self._leads():
                    self._place()
            time.sleep(_LOOK)

    def _leads(self) -> bool:
        """Hold the lease, or take it once it has run out."""
        entry = self._store.get(self._keys.lead, patience=_PATIENCE)
        lease: dict[str, Any] = {"host": "", "until": 0.0, "epoch": 0}
        lease |= json.loads(entry.value) if entry else {}
        now = time.time()
        is_mine = lease["host"] == self._name
        if not is_mine and now < lease["until"]:
            return False
        epoch = lease["epoch"] + (not is_mine)
        cells = {"host": self._name, "until": now + LEASE, "epoch": epoch, "since": "", "token": ""}
        rests_on = {self._keys.lead: entry.version if entry else 0}
        change = Change(rests_on, {self._keys.lead: json.dumps(cells).encode()})
        return self._store.commit(change, patience=_PATIENCE).is_done

    def _place(self) -> None:
        price = float(self._api.get_ticker("XXBTZUSD")["XXBTZUSD"]["c"][0])
        for entry in self._store.list(self._keys.rows, patience=_PATIENCE)[0]:
            row = read_cells(entry.key, entry.value)
            life = self._keys.life(row["id"])
            if price < float(row["threshold_price"]):
                continue
            if self._store.get(life, patience=_PATIENCE) is None:
                self._step("intending")
                self._order(row)
                self._store.commit(Change({}, {life: b"placed"}), patience=_PATIENCE)

    def _order(self, row: dict[str, str]) -> None:
        self._step("intended")
        name = str(uuid.uuid5(uuid.NAMESPACE_OID, row["id"]))
        if self._api.query_open_orders(cl_ord_id=name)["open"]:
            return
        self._step("sending")
        self._api.add_trailing_stop_loss("XXBTZUSD", "sell", row["volume"], "0.5", cl_ord_id=name)
        self._step("answered")


def run(argv: Sequence[str], step: Callable[[str], None]) -> int:
    """Run such a host on the store that the command line names."""
    NaiveHost(argv[argv.index("--store") + 1], step).run()
    return 0
