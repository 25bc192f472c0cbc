"""Signs of life: given while nothing is missed, withheld as soon as something could be."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from krakenlink.machine import feed_clock
from tests.kits.signs.receiver_kit import LONG, Receiver
from ttslo_app.face.pulse import (
    PING_DEADLINE,
    PING_EVERY,
    Pulse,
    Systemd,
    Vitals,
    check_ping,
    fetch,
    place_of_ping,
)
from ttslo_app.messages import Kind

SECRET = "5ecre7-uu1d"
HAS_SOCKETS = hasattr(socket, "AF_UNIX") and os.name == "posix"


class Body:
    """A program whose state a test sets, and what was said of its signs."""

    def __init__(self) -> None:
        self.is_armed, self.trouble, self.status, self.is_stopping = True, "", "2 armed", False
        self.lines: list[str] = []

    @property
    def vitals(self) -> Vitals:
        """Return it as the pulse sees it."""
        return Vitals(
            lambda: self.is_armed, lambda: self.trouble, lambda: self.status,
            lambda: self.is_stopping,
        )  # fmt: skip

    def say(self, level: str, text: str, *, kind: Kind) -> None:
        """Keep what is said."""
        self.lines.append(f"{level}: {text}")


@pytest.fixture
def body() -> Body:
    """Hand out a program that is well."""
    return Body()


class Manager:
    """The socket of systemd."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        self.socket.settimeout(LONG)

    def heard(self) -> list[str]:
        """Return what came, up to now."""
        self.socket.setblocking(False)
        found = []
        while True:
            try:
                found.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                self.socket.settimeout(LONG)
                return found

    def wait(self) -> str:
        """Return what comes next."""
        return self.socket.recv(4096).decode()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """Hand out a manager that listens."""
    if not HAS_SOCKETS:
        pytest.skip("this system has no such sockets, and no systemd")
    made = Manager(str(tmp_path / "notify"))
    yield made
    made.socket.close()


def pulse_of(body: Body, manager: Manager, watch: str = "", ping: str = "") -> Pulse:
    """Return a pulse that tells a manager."""
    environ = {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": watch}
    return Pulse(body.vitals, ping, Systemd(environ), body.say)


def wait_until(is_so: Callable[[], object]) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + LONG
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.002)


# --- systemd -----------------------------------------------------------------------------------


def test_readiness_is_told_once_and_only_when_rows_are_armed(body: Body, manager: Manager) -> None:
    """The manager waits for it before it starts what depends on the program."""
    pulse = pulse_of(body, manager)
    body.is_armed = False
    pulse.look(1000.0)
    assert manager.heard() == []
    body.is_armed = True
    pulse.look(1001.0)
    pulse.look(1002.0)
    assert manager.heard()[0] == "READY=1\nSTATUS=2 armed"
    pulse.look(1003.0)
    assert manager.heard() == []


def test_watchdog_hears_of_it_at_half_its_time_and_only_while_nothing_is_missed(
    body: Body, manager: Manager
) -> None:
    """A program that does not see is no better than one that hangs."""
    pulse = pulse_of(body, manager, watch="20000000")
    seen = []
    for second in range(60):
        body.trouble = "no live price for 1 of 2 armed rows" if 30 <= second < 50 else ""
        pulse.look(1000.0 + second)
        seen += [second for told in manager.heard() if told == "WATCHDOG=1"]
    assert seen == [0, 10, 20, 50]


def test_status_has_the_nearest_row_and_what_is_wrong(body: Body, manager: Manager) -> None:
    """It is told when it has changed, and not more often than people look."""
    pulse = pulse_of(body, manager)
    pulse.look(1000.0)
    manager.heard()
    body.status = "2 armed; nearest btc: 1 % away"
    pulse.look(1001.0)
    assert manager.heard() == []
    body.trouble = "blind"
    pulse.look(1011.0)
    assert manager.heard() == ["STATUS=2 armed; nearest btc: 1 % away; blind"]


def test_end_is_told_once_and_no_sign_follows_it(body: Body, manager: Manager) -> None:
    """From then on systemd waits for the end."""
    pulse = pulse_of(body, manager, watch="2000000")
    pulse.look(1000.0)
    manager.heard()
    body.is_stopping = True
    pulse.look(1010.0)
    pulse.look(1020.0)
    pulse.stop()
    assert manager.heard() == ["STOPPING=1"]


def test_thread_gives_the_signs_by_itself(body: Body, manager: Manager) -> None:
    """It runs where somebody listens, and outlives an error in what it asks."""
    errors = [RuntimeError("once")]

    def trouble() -> str:
        if errors:
            raise errors.pop()
        return ""

    vitals = Vitals(lambda: True, trouble, lambda: "fine", lambda: False)
    systemd = Systemd({"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "20000"})
    pulse = Pulse(vitals, "", systemd, body.say).start()
    assert manager.wait() == "READY=1\nSTATUS=fine"
    while manager.wait() != "WATCHDOG=1":
        pass
    pulse.stop()
    wait_until(lambda: "STOPPING=1" in manager.heard())


@pytest.mark.skipif(not Path("/proc").exists(), reason="abstract names are Linux's")
def test_abstract_name_is_reached() -> None:
    """An @ stands for a zero byte."""
    manager = Manager(f"@ttslo-test-{os.getpid()}-{threading.get_ident()}")
    Systemd({"NOTIFY_SOCKET": manager.name}).tell(READY=1)
    assert manager.wait() == "READY=1"
    manager.socket.close()


@pytest.mark.parametrize("name", ["", "vsock:2:1234", "relative"])
def test_without_a_socket_nothing_is_told_and_no_thread_starts(body: Body, name: str) -> None:
    """Outside systemd all of it is free."""
    pulse = Pulse(body.vitals, "", Systemd({"NOTIFY_SOCKET": name}), body.say).start()
    assert not pulse.is_wanted
    assert not any(thread.name == "ttslo-pulse" for thread in threading.enumerate())
    pulse.stop()


def test_socket_that_is_gone_or_full_is_no_error(tmp_path: Path) -> None:
    """A manager that reads nothing keeps nobody waiting."""
    Systemd({"NOTIFY_SOCKET": str(tmp_path / "gone")}).tell(READY=1)
    if not HAS_SOCKETS:
        return
    manager = Manager(str(tmp_path / "full"))
    for _ in range(2000):
        Systemd({"NOTIFY_SOCKET": manager.name}).tell(STATUS="x" * 200)
    manager.socket.close()


@pytest.mark.parametrize(
    ("environ", "every"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({}, None),
    ],
)
def test_watchdog_time_is_read_where_it_is_meant_for_this_process(
    environ: dict[str, str], every: float | None
) -> None:
    """A child inherits the variables, and they are not for it."""
    assert Systemd(environ).watch_every == every


# --- the address -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        SECRET,
        f"ftp://h/{SECRET}",
        f"https:///{SECRET}",
        f"http://[{SECRET}",
        "",
        "http://a b",
        f"http://h:99999/{SECRET}",
    ],
)
def test_what_cannot_be_fetched_is_refused_without_being_shown(url: str) -> None:
    """The path of such an address is a password."""
    with pytest.raises(ValueError, match="--ping: that is no address") as found:
        check_ping(url)
    assert SECRET not in str(found.value)


def test_name_of_the_address_is_its_host() -> None:
    """It says which service it is, and not whose account."""
    assert place_of_ping(f"https://u:{SECRET}@hc-ping.com/{SECRET}") == "https://hc-ping.com"
    check_ping(f"https://hc-ping.com/{SECRET}")


@pytest.mark.parametrize(
    ("manner", "why"),
    [
        ("record", ""),
        ("status 404", "it answers HTTP 404"),
        ("reset", "it hangs up"),
        ("babble", "what it answers is no HTTP (BadStatusLine)"),
    ],
)
def test_fetch_tells_what_became_of_it(manner: str, why: str) -> None:
    """By a real request; the words show no address."""
    with Receiver(manner) as receiver:
        assert fetch(f"http://{receiver.place}/{SECRET}") == why
        assert receiver.requests[0][0] == f"GET /{SECRET} HTTP/1.1"


def test_nobody_there_is_told_as_such() -> None:
    """A closed door is told from one that opens and says nothing."""
    with Receiver() as receiver:
        place = receiver.place
    assert fetch(f"http://{place}/") == "nobody listens at its address"


def test_name_that_nobody_knows_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the name: it is part of the address."""

    def getaddrinfo(*args: object, **kwargs: object) -> object:
        raise socket.gaierror(-2, f"Name or service not known: {SECRET}")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert fetch(f"http://{SECRET}.example/") == "the name of its host cannot be looked up"


def test_sign_is_given_each_minute_and_only_while_nothing_is_missed(body: Body) -> None:
    """The service raises the alarm when it stays away."""
    with Receiver() as receiver:
        pulse = Pulse(body.vitals, f"http://{receiver.place}/x", Systemd({}), body.say)
        ping, begin, counts = pulse._ping, feed_clock(), list[int]()
        assert ping is not None
        for step in range(10):
            body.trouble = "blind" if 3 <= step < 6 else ""
            pulse.look(begin + step * PING_EVERY)
            wait_until(lambda: ping._errand is None or ping._errand.is_over)
            pulse.look(begin + step * PING_EVERY + 1)  # not twice in a minute
            counts.append(len(receiver.requests))
    assert counts == [1, 2, 3, 3, 3, 3, 4, 5, 6, 7]


def test_trouble_that_lasts_is_said_once_and_its_end_too(body: Body) -> None:
    """A person reads why the alarm was raised; a blink is not worth a word."""
    pulse = Pulse(body.vitals, "http://127.0.0.1:9/", Systemd({}), body.say)
    body.trouble = "no live price for 1 of 2 armed rows"
    for second in (0, 10, 29):
        pulse._say_trouble(second, body.trouble, is_armed=True)
    assert body.lines == []
    for second in (30, 60, 90):
        pulse._say_trouble(second, body.trouble, is_armed=True)
    pulse._say_trouble(100, "", is_armed=True)
    assert body.lines == [
        "WARNING: No sign of life is given: no live price for 1 of 2 armed rows",
        "INFO: Signs of life are given again",
    ]


def test_address_that_fails_is_said_once_and_when_it_is_well_again(body: Body) -> None:
    """With its host, and not with its path."""
    with Receiver("status 500") as receiver:
        place = f"http://{receiver.place}"
        pulse = Pulse(body.vitals, f"{place}/{SECRET}", Systemd({}), body.say)
        ping, now = pulse._ping, feed_clock()
        assert ping is not None
        for step in range(4):
            receiver.manner = "status 500" if step < 2 else "record"
            ping.look(now + step * PING_EVERY, is_well=True)
            wait_until(lambda: ping._errand is None or ping._errand.is_over)
            ping.look(now + step * PING_EVERY + 1, is_well=True)
    fails, works = body.lines
    assert fails.startswith(
        f"WARNING: The sign of life does not reach {place}: it answers HTTP 500."
    )
    assert works == f"INFO: The sign of life reaches {place} again"


@pytest.mark.parametrize("manner", ["mute", "drip"])
def test_address_that_never_answers_costs_few_threads_and_no_time(body: Body, manner: str) -> None:
    """Each fetch is left to itself in the end, and few of them are begun."""
    with Receiver(manner) as receiver:
        pulse = Pulse(body.vitals, f"http://{receiver.place}/", Systemd({}), body.say)
        ping, now = pulse._ping, feed_clock()
        assert ping is not None
        for step in range(20):
            ping.look(now + step * (PING_EVERY + PING_DEADLINE), is_well=True)
        assert len(ping._hanging) <= 3
        hanging = sum(thread.name == "ttslo-ping" for thread in threading.enumerate())
        assert 1 <= hanging <= 4
    assert len(body.lines) == 1
    assert "it has not answered for 20 s" in body.lines[0]
