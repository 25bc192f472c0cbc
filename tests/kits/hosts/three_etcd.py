"""Three real etcd nodes on free ports of this machine, which can be killed, stopped and restarted.

The program comes from PATH (Debian: etcd-server); no service is started, and data lies in a folder
of the tests. Tests that ask for it are skipped by name where there is none.
"""

from __future__ import annotations

import base64
import json
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.kits.common.ports import kept_ports
from ttslo_app.cluster.address import Access
from ttslo_app.cluster.etcd import EtcdStore, store_from
from ttslo_app.cluster.records import Keys
from ttslo_app.cluster.store import Change, News, StoreUnreachable

LONG = 60.0  # seconds that nothing here takes unless it is broken
_SOON = 5.0  # seconds for a call that is made again where it had no answer
_STARTS = 5  # a free port may be another's by the time that it is used


def wait_until(is_so: Callable[[], bool], within: float = LONG) -> None:
    """Wait until `is_so`, and fail where it never is."""
    ends_at = time.monotonic() + within
    while not is_so():
        assert time.monotonic() < ends_at, "it has not come"
        time.sleep(0.02)


def etcd_program() -> str:
    """Return where etcd is; skips the test where it is nowhere."""
    found = shutil.which("etcd")
    if found is None:
        pytest.skip("needs etcd (Debian: apt-get install etcd-server)")
    if not hasattr(signal, "SIGSTOP"):
        pytest.skip("needs a system that can stop a process and let it go on")
    return found


class EtcdNodes:
    """Nodes of one store; all of them answer from the start.

    Args:
        folder: For their data and logs.
        count: How many.
        flags: More flags for each of them, such as those of TLS.
        scheme: `https` with TLS.
    """

    def __init__(
        self,
        folder: Path,
        count: int = 3,
        *,
        flags: Sequence[str] = (),
        scheme: str = "http",
    ) -> None:
        self._program = etcd_program()
        self._folder, self._flags, self._scheme = folder, list(flags), scheme
        self.count = count
        self._processes: list[subprocess.Popen[bytes]] = []
        for number in range(_STARTS):
            self._data = folder / f"try{number}"
            self._data.mkdir()
            ports = kept_ports(2 * count)
            self.ports, self._peers = ports[:count], ports[count:]
            self._processes = [self._started(node, "new") for node in range(count)]
            if self._come_up():
                return
            self.end()
        pytest.fail(f"etcd did not start; its words are in {folder}")

    def _come_up(self) -> bool:
        ends_at = time.monotonic() + LONG
        while not all(self.is_ready(node) for node in range(self.count)):
            if any(process.poll() is not None for process in self._processes):
                return False
            assert time.monotonic() < ends_at, "etcd does not answer"
            time.sleep(0.05)
        return True

    def _started(self, node: int, state: str) -> subprocess.Popen[bytes]:
        host = "localhost" if self._scheme == "https" else "127.0.0.1"
        mine = f"{self._scheme}://{host}:{self.ports[node]}"
        listened = f"{self._scheme}://127.0.0.1:{self.ports[node]}"
        peer = f"http://127.0.0.1:{self._peers[node]}"
        members = ",".join(f"n{i}=http://127.0.0.1:{p}" for i, p in enumerate(self._peers))
        command = [self._program, "--name", f"n{node}", "--data-dir", str(self._data / f"n{node}")]
        command += ["--listen-client-urls", listened, "--advertise-client-urls", mine]
        command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
        command += ["--initial-cluster", members, "--initial-cluster-state", state]
        command += ["--heartbeat-interval", "50", "--election-timeout", "500"]
        command += ["--log-level", "error", "--logger", "zap", *self._flags]
        with (self._data / f"n{node}.log").open("ab") as log:
            # A group of its own: a Ctrl-C in the terminal is for pytest, which ends them.
            return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def is_ready(self, node: int) -> bool:
        """Tell whether a node answers what a majority is needed for."""
        if self._scheme == "https":
            # TLS is the client's to speak; whoever takes connections here answers soon.
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.ports[node]), 1):
                return True
            return False
        with suppress(OSError, ValueError):
            self.call(node, "kv/range", {"key": "AA=="}, _SOON)
            return True
        return False

    def call(
        self, node: int, path: str, body: dict[str, Any], patience: float = LONG
    ) -> dict[str, Any]:
        """Return a node's own answer, past the client that is tested.

        Raises:
            OSError: If there is none.
        """
        url = f"http://127.0.0.1:{self.ports[node]}/v3/{path}"
        request = urllib.request.Request(url, json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=patience) as answer:
            return dict(json.load(answer))

    def value(self, node: int, key: str) -> bytes | None:
        """Return what a node itself has on its disk under a key, whether it is behind or not."""
        body = {"key": base64.b64encode(key.encode()).decode(), "serializable": True}
        found = self.call(node, "kv/range", body).get("kvs")
        return base64.b64decode(found[0].get("value", "")) if found else None

    def url(self, cluster: str) -> str:
        """Return the address of a cluster of ours in this store."""
        if self._scheme == "https":
            hosts = ",".join(f"localhost:{port}" for port in self.ports)
            return f"etcds://{hosts}/{cluster}"
        return f"etcd://{','.join(f'127.0.0.1:{port}' for port in self.ports)}/{cluster}"

    def leader(self) -> int:
        """Return the node that the others follow; waits until there is one."""
        found: list[int] = []

        def is_known() -> bool:
            found.clear()
            for node in range(self.count):
                with suppress(OSError, ValueError):
                    told = self.call(node, "maintenance/status", {}, _SOON)
                    if told["leader"] == told["header"]["member_id"]:
                        found.append(node)
            return len(found) == 1

        wait_until(is_known)
        return found[0]

    def kill(self, node: int) -> None:
        """End a node at once."""
        self._processes[node].kill()
        self._processes[node].wait(LONG)

    def stop(self, node: int) -> None:
        """Let a node hang, as a machine that is paused."""
        self._processes[node].send_signal(signal.SIGSTOP)

    def cont(self, node: int) -> None:
        """Let a node go on."""
        self._processes[node].send_signal(signal.SIGCONT)

    def restart(self, node: int) -> None:
        """Start a node that was killed, with its data; does not wait for it."""
        self._processes[node] = self._started(node, "existing")

    def heal(self) -> None:
        """See to it that all nodes run and answer, whatever a test has left."""
        for node, process in enumerate(self._processes):
            if process.poll() is None:
                self.cont(node)
            else:
                self.restart(node)
        wait_until(lambda: all(self.is_ready(node) for node in range(self.count)))

    def rest(self) -> None:
        """Let all of them hang while nobody needs them: their heartbeats would never end."""
        for node in range(self.count):
            self.stop(node)

    def end(self) -> None:
        """End all of them."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait(LONG)


@contextmanager
def one_etcd(
    folder: Path, *, flags: Sequence[str] = (), scheme: str = "http"
) -> Iterator[EtcdNodes]:
    """Run a store of one node, for what a test could not undo in the three."""
    nodes = EtcdNodes(folder, 1, flags=flags, scheme=scheme)
    try:
        yield nodes
    finally:
        nodes.end()


def keys_of_its_own() -> Keys:
    """Return the keys of a cluster that no other test has."""
    return Keys(f"t{uuid.uuid4().hex[:12]}")


@contextmanager
def opened(url: str, access: Access | None = None) -> Iterator[EtcdStore]:
    """Open a store and give its connections back."""
    with closing(store_from(url, access)[0]) as store:
        yield store


def put(store: EtcdStore, key: str, value: bytes, rests_on: int = 0) -> int:
    """Put a value that must be done, and return its version."""
    answer = store.commit(Change({key: rests_on}, {key: value}), patience=LONG)
    assert answer.is_done
    return answer.version


def refused(ask: Callable[[float], object], *texts: str) -> None:
    """Ask with ever more patience until nobody answers for the reasons in `texts`.

    Each call may be too short for one: a busy machine gets to nothing in it.
    """
    patience = 0.3
    while True:
        with pytest.raises(StoreUnreachable) as told:
            ask(patience)
        if all(text in str(told.value) for text in texts):
            return
        patience *= 3
        assert patience < LONG, told.value


def gather(watch: Iterator[News], count: int) -> list[tuple[str, bytes | None]]:
    """Return the next changes of a watch: keys with their values, None for those that are gone."""
    found: list[tuple[str, bytes | None]] = []
    for news in watch:
        found += [(entry.key, entry.value) for entry in news.entries]
        found += [(key, None) for key in news.gone]
        if len(found) >= count:
            break
    return found


def with_users(nodes: EtcdNodes, cluster: str) -> None:
    """Let `trader` have one cluster, `reader` read it, and nobody else in."""
    end = f"/ttslo/{cluster}0"

    def text(word: str) -> str:
        return base64.b64encode(word.encode()).decode()

    whole = {"key": text(f"/ttslo/{cluster}/"), "range_end": text(end)}
    for name, kind in (("root", None), ("trader", "READWRITE"), ("reader", "READ")):
        nodes.call(0, "auth/user/add", {"name": name, "password": f"{name}'s word"})
        nodes.call(0, "auth/role/add", {"name": name})
        if kind:
            grant = {"name": name, "perm": {"permType": kind, **whole}}
            nodes.call(0, "auth/role/grant", grant)
        nodes.call(0, "auth/user/grant", {"user": name, "role": name})
    nodes.call(0, "auth/enable", {})
