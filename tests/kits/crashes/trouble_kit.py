"""Trouble that strikes a host at a step of its protocol, as a test orders it while the host runs.

The order lies in a file that hosts share: whichever comes to the step first takes it, tells so in a
file of its own, and is stopped, is killed, or waits until it has been cut off.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from krakenlink.rest import transport

STEPS = ("intending", "intended", "sending", "wire", "inflight", "answered")
"""Where trouble can strike, in their order.

`wire` lies between the nonce and the first byte, `inflight` a moment later.
"""

_MOMENT = 0.25  # seconds after which a request is under way, and its answer perhaps not there yet
_ORDERS = ("/AddOrder", "/AddOrderBatch")


class Trouble:
    """The host's side.

    Args:
        path: The file with the order.
        die: Ends this process at once.
    """

    def __init__(self, path: str, die: Callable[[], object]) -> None:
        self._path, self._die = Path(path), die

    def at(self, step: str) -> None:
        """Let trouble strike if it is ordered for this step."""
        order = read(self._path)
        if order is None or order["step"] != step:
            return
        told = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            self._path.rename(self._path.with_name(f"{self._path.name}.taken"))
        except FileNotFoundError:
            return  # another host was faster
        write(told, {**order, "pid": os.getpid(), "at": time.monotonic()})
        if order["act"] == "kill":
            self._die()
        elif order["act"] == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        else:
            while told.exists():  # until whoever ordered it has cut this host off
                time.sleep(0.005)


def read(path: Path) -> dict[str, Any] | None:
    """Return what a file orders or tells; None where there is none."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found


def write(path: Path, order: dict[str, Any]) -> None:
    """Write such a file, whole."""
    new = path.with_name(f"{path.name}.{threading.get_ident()}.{os.getpid()}.new")
    new.write_text(json.dumps(order), encoding="utf-8")
    new.replace(path)


def set_clock(ahead: float) -> None:
    """Set the machine's clock ahead, for all of this process that asks `time` for it."""
    if ahead:
        true, true_ns = time.time, time.time_ns
        time.time = lambda: true() + ahead
        time.time_ns = lambda: true_ns() + int(ahead * 1e9)


def tell_sending(step: Callable[[str], None]) -> None:
    """Have `step` called when an order is signed, and when it is under way."""
    post = transport.Transport.post

    def told(self: transport.Transport, path: str, body: bytes, *args: Any, **kwargs: Any) -> Any:
        if path.endswith(_ORDERS) and b"validate" not in body:
            step("wire")
            late = threading.Timer(_MOMENT, step, ("inflight",))
            late.daemon = True
            late.start()
        return post(self, path, body, *args, **kwargs)

    transport.Transport.post = told  # type: ignore[method-assign]  # in a process of the tests alone
