"""Commands about a shared store, as a person runs them: on real etcd, in this process."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.kits.hosts.three_etcd import opened, wait_until
from ttslo_app.cluster.etcd import EtcdStore
from ttslo_app.cluster.records import Host, Keys, Lead, dumped, host_text, lead_text, life_text
from ttslo_app.cluster.store import Change
from ttslo_app.commands.table import dispatch
from ttslo_app.hosts import stores

LONG = 60.0
HEADER = "id,pair,threshold_price,threshold_type,direction,volume,trailing_offset_percent,enabled"


def row(rule_id: str, price: int = 60000, enabled: str = "true", more: str = "") -> str:
    """Return a line of a config.csv."""
    return f"{rule_id},XBTUSD,{price},above,sell,0.01,5,{enabled}{more}"


def config(*rows: str) -> str:
    """Return a config.csv."""
    return "\n".join([HEADER, *rows, ""])


def cells(rule_id: str, rule_state: str = "armed", **more: str) -> dict[str, str]:
    """Return the cells of a life, as state.csv has them."""
    fired = rule_state in ("placed", "closed")
    mine = {"id": rule_id, "triggered": "true" if fired else "false", "rule_state": rule_state}
    return {**mine, "generation": "1", "sends": "0", "cl_ord_id": f"c-{rule_id}", **more}


def ttslo(*words: str) -> int:
    """Run a command and return its exit code."""
    try:
        code = dispatch(words)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    assert code is not None
    return code


def ttslo_soon(*words: str) -> int:
    """Run a command on a store that is not there: half a second proves it as well as eight."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stores, "PATIENCE", 0.5)
        return ttslo(*words)


def made(url: str, *, account: str = "main") -> None:
    """Make a cluster and an account."""
    words = ("store", "init", "--store", url, "--account", account)
    assert ttslo(*words, "--yes-this-key-is-ttslos-alone") == 0


def put_life(store: EtcdStore, keys: Keys, found: dict[str, str]) -> None:
    """Write a life as a host does."""
    text = life_text(found, secrets.token_hex(8))
    assert store.commit(Change({}, {keys.life(found["id"]): text}), patience=LONG).is_done


class FakeHost:
    """Gives the signs of life of a host, and gives way as one does. No order, and no price."""

    def __init__(
        self,
        url: str,
        keys: Keys,
        name: str,
        *,
        is_blind: bool = False,
        is_cut_off: bool = False,
    ) -> None:
        self._url, self._keys, self._name = url, keys, name
        self._lacks = (is_blind, is_cut_off)
        self.state = "follows"
        self._epoch = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._live, name=f"test-host-{name}")

    def _live(self) -> None:
        with opened(self._url) as store:
            while not self._stopping.is_set():
                token = secrets.token_hex(8)
                host = Host(self._name, self.state, *self._lacks)
                puts = {self._keys.host(self._name): host_text(host, token)}
                if self.state == "leads":
                    puts[self._keys.beat] = dumped({"token": token})
                store.commit(Change({}, puts), patience=LONG)
                self._stopping.wait(0.1)

    def lead(self, store: EtcdStore, epoch: int) -> None:
        """Write down that this host leads."""
        found = store.get(self._keys.lead, patience=LONG)
        lead = Lead(epoch, self._name, "2026-11-26T12:00:00+00:00", secrets.token_hex(8))
        change = Change(
            {self._keys.lead: 0 if found is None else found.version},
            {self._keys.lead: lead_text(lead)},
        )
        assert store.commit(change, patience=LONG).is_done
        self.state = "leads"
        if self._thread.is_alive():
            wait_until(lambda: self._has_told(store))

    def _has_told(self, store: EtcdStore) -> bool:
        found = store.get(self._keys.host(self._name), patience=LONG)
        return found is not None and b'"leads"' in found.value

    @contextmanager
    def living(self) -> Iterator[FakeHost]:
        """Let it live."""
        self._thread.start()
        try:
            yield self
        finally:
            self._stopping.set()
            self._thread.join(LONG)
