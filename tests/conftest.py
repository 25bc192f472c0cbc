"""What holds for every test: no stray thread, no keys of a developer, no way out of the machine."""

import gc
import ipaddress
import itertools
import os
import signal
import socket
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import is_hypothesis_test, settings

from tests.kits.common.examples import many
from tests.kits.common.measured import Measured
from tests.kits.common.order import WHOLE, in_good_order

if TYPE_CHECKING:  # the exchange is imported by those tests alone that ask for it
    from fake_kraken import FakeKraken
    from tests.kits.hosts.three_etcd import EtcdNodes
    from tests.kits.relay.relay_kit import RedisServer

# The same examples in every run: a failure that comes and goes teaches people to run again.
settings.register_profile(
    "ttslo", max_examples=many(), derandomize=True, deadline=None, print_blob=True
)
settings.load_profile("ttslo")

OUR_THREADS = ("ttslo-", "kraken-", "fake-kraken")
LONGEST_FAREWELL = 30.0  # seconds that a thread may take to end once its test is over

# Keys, addresses, and proxies: a proxy would carry loopback traffic away from the machine.
PRIVATE_VARIABLES = ("KRAKEN_", "COPILOT_", "TTSLO_")
PROXY_SUFFIX = "_PROXY"

PLACES = itertools.count()


def pytest_configure(config: pytest.Config) -> None:
    """Where coverage is measured, measure it in what is ours alone."""
    plugin = config.pluginmanager.getplugin("_cov")
    if plugin is not None and not plugin.options.no_cov:
        config.pluginmanager.register(Measured(plugin), "measured")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage among what is read, and from then on no more through all of it.

    It is tens of thousands of objects in each worker, and all stay to the end.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Measure what the tests of the rooms cover; those of the whole program run at full speed.

    So do searches, and what is marked as plenty: measuring makes each of their many examples take
    three times as long, and what they search has tests of its own.
    """
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    items[:] = in_good_order(items, workers)
    if config.pluginmanager.hasplugin("_cov"):
        for item in items:
            is_plenty = item.get_closest_marker("plenty") is not None
            is_plenty |= is_hypothesis_test(getattr(item, "obj", None))
            if is_plenty or item.path.is_relative_to(WHOLE):
                item.add_marker(pytest.mark.no_cover)


@pytest.fixture(autouse=True, scope="session")
def programs_hear_interrupts() -> Iterator[None]:
    """Let the programs that tests start hear what ends them, however the tests were started.

    A shell starts its background jobs deaf to SIGINT, `nohup` starts deaf to SIGHUP, and whoever
    is deaf hands that on.
    """
    hear: dict[str, Any] = {"SIGINT": signal.default_int_handler, "SIGHUP": signal.SIG_DFL}
    numbers = {getattr(signal, name): do for name, do in hear.items() if hasattr(signal, name)}
    deaf = [number for number in numbers if signal.getsignal(number) is signal.SIG_IGN]
    for number in deaf:
        signal.signal(number, numbers[number])
    yield
    for number in deaf:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(autouse=True)
def no_stray_thread() -> Iterator[None]:
    """Fail the test if a thread that it started outlives it.

    Daemon threads of other people's libraries are their own affair.
    """
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + LONGEST_FAREWELL
    started = [
        thread
        for thread in threading.enumerate()
        if thread not in before and (not thread.daemon or thread.name.startswith(OUR_THREADS))
    ]
    for thread in started:
        while thread.ident is None and time.monotonic() < deadline:
            time.sleep(0.005)  # it is just being started, and cannot be waited for before
        if thread.ident is not None:
            thread.join(max(0.0, deadline - time.monotonic()))
    left = [thread.name for thread in started if thread.is_alive()]
    assert not left, f"threads outlive their test; stop them in it: {', '.join(left)}"


@pytest.fixture(autouse=True)
def place_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run the test in an empty folder, with an empty cache, and without anybody's keys.

    A `.env` in the checkout, or keys in the developer's shell, would else be met by the tests.
    """
    # Numbered here: `mktemp` reads the whole folder for the next number, for thousands of tests.
    place = tmp_path_factory.getbasetemp() / f"place{next(PLACES)}"
    place.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.upper().startswith(PRIVATE_VARIABLES) or name.upper().endswith(PROXY_SUFFIX):
                patch.delenv(name)
        patch.setenv("TTSLO_CACHE_DIR", str(place / "cache"))
        patch.chdir(place)
        yield place


@pytest.fixture(autouse=True)
def loopback_only() -> Iterator[None]:
    """Refuse every connection, and every look-up of a name, that would leave the machine.

    The refusal also fails the test at its end: code that lives with failing networks, as ours
    must, would swallow the error.
    """
    refused: list[str] = []

    def check(host: object) -> None:
        if not is_loopback(host):
            refused.append(f"{host!r} in thread {threading.current_thread().name}")
            raise OSError(f"tests may reach this machine only, not {host!r}")

    def connect(self: socket.socket, address: Any) -> None:
        check_address(self, address)
        return real_connect(self, address)

    def connect_ex(self: socket.socket, address: Any) -> int:
        check_address(self, address)
        return real_connect_ex(self, address)

    def check_address(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            check(address[0])

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        check(host)
        return real_getaddrinfo(host, *args, **kwargs)

    real_connect = socket.socket.connect
    real_connect_ex = socket.socket.connect_ex
    real_getaddrinfo = socket.getaddrinfo
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        patch.setattr(socket.socket, "connect_ex", connect_ex)
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield
    assert not refused, f"the test tried to leave the machine: {'; '.join(refused)}"


@pytest.fixture
def exchange() -> "Iterator[FakeKraken]":
    """Hand out an embedded exchange on a free loopback port, started, and stop it afterwards."""
    from fake_kraken import FakeKraken

    fake = FakeKraken()
    fake.start()
    try:
        yield fake
    finally:
        fake.stop()


def is_loopback(host: object) -> bool:
    """Tell whether `host`, as it is given to a socket, is this machine; None means any own one."""
    text = host.decode() if isinstance(host, bytes) else host
    if text is None or text == "localhost":
        return True
    try:
        return ipaddress.ip_address(str(text)).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session", params=["redis-server", "valkey-server"])
def redis_server(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> "Iterator[RedisServer]":
    """A real broker on a free port; each test that asks for it meets Redis and Valkey."""
    from tests.kits.relay.relay_kit import RedisServer

    server = RedisServer(tmp_path_factory.mktemp("broker"), request.param)
    yield server
    server.end()


@pytest.fixture(scope="session")
def etcd_nodes(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[EtcdNodes]":
    """Three real etcd nodes, once for all tests of a worker that ask for them by `three_etcd`."""
    from tests.kits.hosts.three_etcd import EtcdNodes

    nodes = EtcdNodes(tmp_path_factory.mktemp("etcd"))
    yield nodes
    nodes.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    """Let etcd rest until a test asks for it again."""
    result = yield
    nodes = getattr(item, "funcargs", {}).get("etcd_nodes")
    needed = nextitem is None or "etcd_nodes" in getattr(nextitem, "fixturenames", ())
    if nodes is not None and not needed:
        nodes.rest()
    return result


@pytest.fixture
def three_etcd(etcd_nodes: "EtcdNodes") -> "EtcdNodes":
    """Three real etcd nodes that all run; whoever breaks one need not mend it."""
    etcd_nodes.heal()
    return etcd_nodes
