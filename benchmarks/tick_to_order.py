"""From a tick on the wire to AddOrder on the wire, one at a time and twenty at once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

from common import END, ROOT, Child, Figure, environment, is_quick, percentile, print_figures
from wire import Wire

ROWS = 50
BURST = 20
FAR = 0.05  # seconds of half a round trip
FIRST = 55_000.0  # far enough from the first price for the validator
SECRET = base64.b64encode(b"benchmark, no secret".ljust(64, b".")).decode()
HEADER = "id,pair,threshold_price,threshold_type,direction,volume,trailing_offset_percent,enabled"
# What happens between two moments that are noted.
STEPS = (
    ("wire", "frame", "wire and waking the feed"),
    ("frame", "read", "decoding, cache, hand-over"),
    ("read", "crossed", "triggers"),
    ("crossed", "intending", "waking the order thread, checks"),
    ("intending", "intended", "intent written durably"),
    ("intended", "sending", "to the send"),
    ("sending", "order", "signing, HTTP, wire"),
)
_QUIET = 0.06  # seconds after an order in which the program writes its files again


def program_environment(wire: Wire, folder: Path) -> dict[str, str]:
    """Return the environment in which `ttslo.py` trades at `wire`, its files in `folder`."""
    return {
        **environment(),
        "KRAKEN_SPOT_URL": wire.rest_url,
        "KRAKEN_WS_PUBLIC_URL": wire.ws_url,
        "KRAKEN_API_KEY_RW": "benchmark",
        "KRAKEN_API_SECRET_RW": SECRET,
        "TTSLO_CACHE_DIR": str(folder / "cache"),
    }


class Program:
    """`ttslo.py` in a folder of its own, with 50 armed rows, against `wire`, with `flags`."""

    def __init__(
        self, wire: Wire, folder: Path, thresholds: Sequence[float], flags: Sequence[str] = ()
    ) -> None:
        self._moments = folder / "moments.json"
        rows = [
            f"row{n:02d},BTC/USD,{threshold:.1f},above,sell,0.01,1.5,true"
            for n, threshold in enumerate(thresholds)
        ]
        (folder / "config.csv").write_text("\n".join([HEADER, *rows, ""]), encoding="ascii")
        self._rows = len(rows)
        self.lines: list[str] = []
        self._armed = threading.Event()
        self.started_at = time.perf_counter_ns()
        self._process = subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, str(ROOT / "benchmarks" / "program.py"), str(self._moments), *flags],
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
            env=program_environment(wire, folder),
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line)
            if sum("armed:" in seen for seen in self.lines) == self._rows:
                self._armed.set()

    def wait_armed(self) -> int:
        """Wait until all rows are said to be armed; return the moment."""
        if not self._armed.wait(30):
            raise TimeoutError(f"not armed: {self.lines[-3:]}")
        return time.perf_counter_ns()

    def memory(self) -> float | None:
        """Return the program's resident memory in MB, None where the system does not tell."""
        try:
            text = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        except OSError:
            return None
        (line,) = (line for line in text.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def end(self) -> list[tuple[str, int]]:
        """End the program and return its moments."""
        self._process.send_signal(END)
        self._process.wait(15)
        self._reader.join(5)
        moments: list[tuple[str, int]] = json.loads(self._moments.read_text())["moments"]
        return moments


def own_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder on the disk of this checkout; the usual place may be in memory."""
    return tempfile.TemporaryDirectory(prefix=".run-", dir=ROOT / "benchmarks")


@contextmanager
def armed_program(
    thresholds: Sequence[float], flags: Sequence[str] = (), delay: float = 0.0
) -> Iterator[tuple[Wire, Program, dict[str, float]]]:
    """Start wire and program, wait until all is armed; yield both and what the start took."""
    with (
        Wire(delay=delay) as wire,
        own_folder() as folder,
    ):
        program = Program(wire, Path(folder), thresholds, flags)
        said_at = program.wait_armed()
        # Ticker and trades of one market: two acknowledgements.
        seen = wire.wait_until(lambda seen: seen["acked"] >= 2)
        armed_at = max(said_at, seen["subscribed_at"])
        # The checks of the orders, 20 at once and one a second, are over for equal orders.
        wire.wait_until(lambda seen: seen["calls"].get("AddOrder", 0) >= 1)
        time.sleep(0.5)
        start = {"seconds": (armed_at - program.started_at) / 1e9, "calls": seen["calls"]}
        try:
            yield wire, program, start
        finally:
            if program._process.poll() is None:
                program._process.kill()
                program._process.wait(5)


def one_by_one(
    flags: Sequence[str] = (),
) -> tuple[list[dict[str, float]], dict[str, float], float | None]:
    """Cross 50 thresholds, one tick each; return the steps of each crossing in ms, start, MB."""
    thresholds = [FIRST + n for n in range(ROWS)]
    sent: list[int] = []
    with armed_program(thresholds, flags) as (wire, program, start):
        memory = program.memory()
        for number, threshold in enumerate(thresholds):
            sent.append(wire.ask("tick", price=threshold))
            seen = wire.wait_for_orders(number + 1)
            time.sleep(_QUIET)
        moments = program.end()
        arrived = [order["at"] for order in seen["orders"]]
    return list(_crossings(sent, arrived, moments)), start, memory


def _crossings(
    sent: Sequence[int], arrived: Sequence[int], moments: Sequence[tuple[str, int]]
) -> Iterator[dict[str, float]]:
    for wire_at, order_at in zip(sent, arrived, strict=True):
        at = {"wire": wire_at, "order": order_at}
        for name, moment in moments:
            if wire_at <= moment <= order_at:
                at.setdefault(name, moment)
        yield {
            "all": (order_at - wire_at) / 1e6,
            **{text: (at[end] - at[start]) / 1e6 for start, end, text in STEPS},
        }


def burst(delay: float = 0.0) -> dict[str, Any]:
    """Cross 20 thresholds in one tick; return the moments of the orders at the server.

    Half a round trip takes `delay` seconds more.
    """
    thresholds = [FIRST + n / 10 for n in range(BURST)]
    with armed_program(thresholds, delay=delay) as (wire, program, _):
        sent_at = wire.ask("tick", price=FIRST + 100)
        seen = wire.wait_for_orders(BURST)
        moments = program.end()
    orders = seen["orders"]
    idle = [
        (later - earlier) / 1e6
        for (name, earlier), (next_name, later) in itertools.pairwise(moments)
        if (name, next_name) == ("answered", "sending")
    ]
    return {
        "total": (orders[-1]["at"] - sent_at) / 1e6,
        "requests": len({order["at"] for order in orders}),
        "idle": idle,
        "connections": len({order["connection"] for order in orders}),
    }


# --- the bare program ----------------------------------------------------------------------------


# The same call as the program's journal of intents: on some systems there is the whole sync only.
_sync = getattr(os, "fdatasync", os.fsync)
_KEY = base64.b64decode(SECRET)


def append_durably(file: BinaryIO, text: bytes) -> None:
    """Append to a file so that it is there after a power cut: the same steps as the journal."""
    file.write(text)
    _sync(file.fileno())


def replace_durably(file: Path, text: bytes) -> None:
    """Replace a file whole so that it is there after a power cut, as libraries for that do it."""
    draft = file.with_suffix(".draft")
    with draft.open("wb") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)
    if os.name != "nt":
        handle = os.open(file.parent, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def bare(port: int, count: int, is_fresh: bool, is_replacing: bool) -> None:
    """Do the same with two bare sockets and no checks at all.

    Args:
        port: The exchange's.
        count: After so many orders it ends.
        is_fresh: Whether each order has a connection of its own, and they come by the twenty.
        is_replacing: Whether intents are a file that is replaced, and not lines of a journal.
    """
    stream = socket.create_connection(("127.0.0.1", port))
    stream.sendall(
        b"GET /v2 HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    params = {"channel": "ticker", "symbol": ["BTC/USD"]}
    text = json.dumps({"method": "subscribe", "params": params}).encode()
    stream.sendall(bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text)
    orders = _order_socket(port)
    threshold = Decimal(FIRST)
    with own_folder() as folder, Path(folder, "intents").open("ab", 0) as journal:
        print(json.dumps("ready"), flush=True)
        for frame in _texts(stream):
            message = json.loads(frame, parse_float=Decimal)
            if message.get("channel") != "ticker" or message["data"][0]["last"] < threshold:
                continue
            intents = [_intent(count - n) for n in range(BURST if is_fresh else 1)]
            text = "".join(json.dumps(one) + "\n" for one in intents).encode()
            if is_replacing:
                replace_durably(Path(folder, "state"), text)
            else:
                append_durably(journal, text)
            for intent in intents:
                if is_fresh:
                    orders = _order_socket(port)
                orders.sendall(_signed(intent))
                orders.recv(65536)
            count -= len(intents)
            threshold += 1
            if not count:
                break
    stream.close()


def _texts(stream: socket.socket) -> Iterator[bytes]:
    """Yield the text of each frame that comes after the head of the handshake's answer."""
    buffer = b""
    while b"\r\n\r\n" not in buffer:
        buffer += stream.recv(65536)
    buffer = buffer.partition(b"\r\n\r\n")[2]
    while True:
        while len(buffer) > 3:
            is_long = buffer[1] == 126
            start = 4 if is_long else 2
            end = start + (int.from_bytes(buffer[2:4], "big") if is_long else buffer[1])
            if len(buffer) < end:
                break
            yield buffer[start:end]
            buffer = buffer[end:]
        buffer += stream.recv(65536)


def _order_socket(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _intent(number: int) -> dict[str, str]:
    """Return an order by Kraken's names, with the deadline and the id by which it is found."""
    deadline = datetime.fromtimestamp(time.time() + 5, UTC).isoformat(timespec="milliseconds")
    return {
        "ordertype": "trailing-stop", "type": "sell", "volume": "0.01", "pair": "XXBTZUSD",
        "price": "+1.5%", "trigger": "last", "cl_ord_id": f"bench-{number}", "deadline": deadline,
    }  # fmt: skip


def _signed(intent: Mapping[str, str]) -> bytes:
    nonce = str(time.time_ns())
    body = urllib.parse.urlencode({"nonce": nonce, **intent}).encode()
    digest = hashlib.sha256(nonce.encode() + body).digest()
    mac = hmac.digest(_KEY, b"/0/private/AddOrder" + digest, "sha512")
    head = (
        f"POST /0/private/AddOrder HTTP/1.1\r\nHost: 127.0.0.1\r\nAPI-Key: benchmark\r\n"
        f"API-Sign: {base64.b64encode(mac).decode()}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def bare_one_by_one(count: int, is_replacing: bool) -> list[float]:
    """Return the milliseconds from tick to order of the bare program."""
    with Wire() as wire:
        child = Child("tick_to_order.py", "bare", wire.port, count, 0, int(is_replacing))
        child.read()
        wire.wait_until(lambda seen: seen["acked"] >= 1)
        sent = []
        for number in range(count):
            sent.append(wire.ask("tick", price=FIRST + number))
            seen = wire.wait_for_orders(number + 1)
            time.sleep(_QUIET)
        child.end()
    return [(o["at"] - at) / 1e6 for o, at in zip(seen["orders"], sent, strict=True)]


def bare_burst() -> float:
    """Return the milliseconds until the last of 20 orders, each over a fresh connection."""
    with Wire() as wire:
        child = Child("tick_to_order.py", "bare", wire.port, BURST, 1, 0)
        child.read()
        wire.wait_until(lambda seen: seen["acked"] >= 1)
        sent_at = wire.ask("tick", price=FIRST + 100)
        seen = wire.wait_for_orders(BURST)
        child.end()
    return float((seen["orders"][-1]["at"] - sent_at) / 1e6)


def durable_write() -> list[float]:
    """Return how long an intent takes to be on this disk for certain, one now and then, in ms."""
    taken = []
    line = json.dumps(_intent(0)).encode()
    with own_folder() as folder, Path(folder, "intents").open("ab", 0) as journal:
        for _ in range(40):
            time.sleep(_QUIET)  # a disk that is at it already answers in a third of the time
            before = time.perf_counter()
            append_durably(journal, line)
            taken.append(1000 * (time.perf_counter() - before))
    return taken


# --- the figures ---------------------------------------------------------------------------------


def latency_figure(
    crossings: list[dict[str, float]], replacing: list[float], appending: list[float]
) -> Figure:
    """Return the figure of single crossings, beside the bare program in its two ways to write."""
    ours = [crossing["all"] for crossing in crossings]
    median, worst = statistics.median(ours), percentile(ours, 0.99)
    theirs = statistics.median(replacing)
    disk = durable_write()
    shares = "; ".join(
        f"{text} {statistics.median(values):.2f} / {percentile(values, 0.99):.2f}"
        for _, _, text in STEPS
        for values in [[crossing[text] for crossing in crossings]]
    )
    return Figure(
        "tick on the wire to AddOrder on the wire, loopback, the intent durably written between",
        f"median {median:.2f} ms, 99 % {worst:.2f} ms of {len(ours)}; the steps, median / 99 %, in "
        f"ms: {shares}",
        "a bare socket program that replaces a file durably for each intent: median "
        f"{theirs:.2f} ms, 99 % {percentile(replacing, 0.99):.2f} ms; ours {median / theirs:.2f} "
        "x; the same program with a line of a journal and one sync, as here: median "
        f"{statistics.median(appending):.2f} ms, 99 % {percentile(appending, 0.99):.2f} ms; ours "
        f"{median / statistics.median(appending):.2f} x",
        "median under 1.7 ms and 1.05 x of the bare program that replaces, 99 % under 3 ms",
        median < 1.7 and worst < 3 and median <= 1.05 * theirs,
        f"{statistics.median(disk):.2f} ms, one line appended durably to a file on this disk",
        "The disk: the intent has to be there after a power cut before the order may leave. Beyond "
        "the bare program there are three threads that wake one another, and a look at the row, "
        "its life and the locks: nothing fires by what was true a moment ago.",
        {"tick to AddOrder": ours, "the same by a bare socket program": replacing},
    )


def burst_figure(bursts: list[dict[str, Any]], fresh: list[float]) -> Figure:
    """Return the figure of 20 crossings at once."""
    total = statistics.median(one["total"] for one in bursts)
    theirs = statistics.median(fresh)
    idle = [gap for one in bursts for gap in one["idle"]]
    connections = max(one["connections"] for one in bursts)
    requests = max(one["requests"] for one in bursts)
    return Figure(
        f"the same for {BURST} crossings of one pair in one tick, until the last order",
        f"{total:.1f} ms, {requests} requests over {connections} connection; from an answer in the "
        f"program to the next request: median {statistics.median(idle):.2f} ms",
        f"a bare program, one fresh connection an order, one write for all: {theirs:.1f} ms "
        f"({total / theirs:.2f} x of it)",
        "15 ms, in 2 requests",
        total < 15 and requests == 2 and connections == 1,
        f"{theirs:.1f} ms, that program",
        "One write makes all intents durable; fifteen orders of a pair go in one request. What is "
        "left is the work of building the orders, and of taking in what became of fifteen.",
    )


def far_burst_figure(bursts: list[dict[str, Any]]) -> Figure:
    """Return the figure of 20 crossings at once, with a long way to the exchange."""
    total = statistics.median(one["total"] for one in bursts)
    way = 2000 * FAR
    return Figure(
        f"the same with {way:.0f} ms of simulated round trip",
        f"{total:.0f} ms: {total / way:.2f} round trips",
        f"one order a request: {BURST} round trips",
        "under 3 round trips",
        total < 3 * way,
        "1.5 round trips: half of one for the tick, and one for the first request",
        "The second request waits for the answer to the first: nonces have to arrive in order.",
    )


def start_figures(starts: list[dict[str, float]], memories: list[float]) -> list[Figure]:
    """Return the figures of the start with 50 rows."""
    seconds = statistics.median(start["seconds"] for start in starts)
    memory = statistics.median(memories) if memories else float("nan")
    calls = json.dumps(starts[0]["calls"]).replace('"', "").strip("{}")
    return [
        Figure(
            f"start of `ttslo.py` to {ROWS} rows armed and streaming, loopback",
            f"{seconds:.2f} s; calls: {calls}",
            "",
            "under 1 s",
            seconds < 1.0,
            "two calls and a handshake, under 0.01 s",
            "Starting Python and importing requests.",
        ),
        Figure(
            f"memory of `ttslo.py` with {ROWS} rows",
            f"{memory:.1f} MB",
            "",
            "under 80 MB",
            memory < 80,
            "",
            "Python, requests and TLS; a row costs a few kB.",
        ),
    ]


def main() -> None:
    """Measure, and print the figures."""
    runs = 1 if is_quick() else 3
    crossings: list[dict[str, float]] = []
    replacing: list[float] = []
    appending: list[float] = []
    starts, memories = [], []
    for _ in range(runs):
        steps, start, memory = one_by_one()
        crossings += steps
        starts.append(start)
        memories += [memory] if memory is not None else []
        replacing += bare_one_by_one(ROWS, is_replacing=True)
        appending += bare_one_by_one(ROWS, is_replacing=False)
    bursts, fresh = [], []
    for _ in range(runs):
        bursts.append(burst())
        fresh.append(bare_burst())
    print_figures(
        [
            latency_figure(crossings, replacing, appending),
            burst_figure(bursts, fresh),
            far_burst_figure([burst(FAR) for _ in range(runs)]),
            *start_figures(starts, memories),
        ]
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["bare"]:
        bare(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "1", sys.argv[5] == "1")
    else:
        main()
