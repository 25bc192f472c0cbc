"""What the doctor finds on the way to Kraken, over real sockets of this machine."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fake_kraken import FakeKraken
from krakenlink.machine import feed_clock
from tests.kits.chaos.chaos_kit import CERTIFICATE
from tests.kits.program.doctor_kit import Clinic, clinic
from tests.kits.program.program_process import ROW
from tests.kits.relay.relay_kit import RedisServer, relay
from tests.kits.rest.rest_kit import Loopback, forever_ok
from tests.kits.signs.receiver_kit import Receiver
from ttslo_app.doctor import command as doctor
from ttslo_app.doctor import network
from ttslo_app.doctor.local import Findings, Patient, look_at_address
from ttslo_app.doctor.words import say, status_of

__all__ = ["clinic"]

ETH = "eth,ETH/USD,100,below,sell,0.1,1.25,true"


def unused_port() -> int:
    """Return a port of this machine at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def patient() -> Iterator[Patient]:
    """Hand out somebody who is looked at step by step."""
    whom = Patient(
        ("config.csv", "state.csv", "logs.csv"), ".env", is_env_named=False, use_websocket=True,
        cache_dir=".", ends_at=feed_clock() + 5,
    )  # fmt: skip
    yield whom
    whom.close()


def found(look: Callable[[Patient], Findings], whom: Patient) -> list[tuple[str, ...]]:
    """Return status, text and cure of each line, of who has met the environment's exchange."""
    if whom.public is None:
        assert [status_of(one) for one in look_at_address(whom)] == ["ok"]
    return [(status_of(one), one.text, one.fields["cure"]) for one in look(whom)]


# --- on the way ------------------------------------------------------------------------------


def test_refused_port_is_told_and_what_builds_on_it_is_not_looked_at(clinic: Clinic) -> None:
    """No network, as far as a program can tell: one line fails, and says what helps."""
    port = unused_port()
    clinic.set(KRAKEN_SPOT_URL=f"http://127.0.0.1:{port}",
               KRAKEN_WS_PUBLIC_URL=f"ws://127.0.0.1:{port}/v2")  # fmt: skip
    report = clinic.examine()
    status, text, cure = report.only("net.port")
    assert status == "fail"
    assert text == f"127.0.0.1:{port} takes no connection (Connection refused)"
    assert "firewall" in cure
    for name in ("net.tls", "rest.time", "stream.link"):
        assert report.only(name)[:2] == ("warn", "not looked at, as net.port fails")
    assert report.only("rows.orders")[1] == "not looked at, as rest.time fails"
    assert report.failing() == {"net.port", "stream.price"}
    blind = [one for one in report.told["checks"] if one["id"].startswith(("keys.", "rows."))]
    assert {one["status"] for one in blind} == {"warn"}  # nothing is called well unseen
    assert report.only("files.state")[0] == "ok"


def test_stream_alone_that_is_refused_leaves_rest_and_its_prices(clinic: Clinic) -> None:
    """What one server does says nothing of the other."""
    clinic.set(KRAKEN_WS_PUBLIC_URL=f"ws://127.0.0.1:{unused_port()}/v2")
    report = clinic.examine()
    assert report.failing() == {"net.port", "stream.link"}
    assert report.statuses("net.port") == ["ok", "fail"]
    assert "the stream does not open" in report.only("stream.link")[1]
    status, text, _ = report.only("stream.price")
    assert (status, text) == ("warn", "BTC/USD 50000 over REST only: the stream is not open")
    assert report.statuses("rows.orders") == ["ok"]


def test_relay_is_looked_at_like_kraken_s_own_stream(
    clinic: Clinic, redis_server: RedisServer, exchange: FakeKraken
) -> None:
    """Its broker's name, port and proof; prices come through it."""
    url = redis_server.url("doctor")
    clinic.set(KRAKEN_WS_PUBLIC_URL=url)
    with relay(url, exchange.ws_url):
        report = clinic.examine()
    assert report.failing() == set()
    assert report.statuses("net.port") == ["ok", "ok"]
    assert f"127.0.0.1:{redis_server.port} takes connections" in report.lines("net.port")[1][1]
    assert report.only("stream.link")[0] == "ok"
    assert report.only("stream.price")[0] == "ok"


def test_relay_that_is_not_there_is_told_by_its_name(
    clinic: Clinic, redis_server: RedisServer
) -> None:
    """A broker without it takes connections all the same; prices come over REST."""
    clinic.set(KRAKEN_WS_PUBLIC_URL=redis_server.url("nobody"))
    report = clinic.examine()
    assert report.failing() == {"stream.link"}
    assert report.statuses("net.port") == ["ok", "ok"]
    assert report.statuses("stream.price") == ["warn"]


def test_broker_that_is_not_there_is_told_with_its_port(clinic: Clinic) -> None:
    """The port of the address, not one of the web's."""
    port = unused_port()
    clinic.set(KRAKEN_WS_PUBLIC_URL=f"redis://127.0.0.1:{port}/r1")
    report = clinic.examine()
    assert report.statuses("net.port") == ["ok", "fail"]
    assert f"127.0.0.1:{port} takes no connection" in report.lines("net.port")[1][1]


@pytest.mark.parametrize(
    ("url", "peer"),
    [
        ("rediss://relay.example/r1", ("relay.example", 6379)),
        ("rediss://relay.example:6380/r1,r2", ("relay.example", 6380)),
        ("redis://127.0.0.1/r1", ("127.0.0.1", 6379)),
        ("wss://ws.example/v2", ("ws.example", 443)),
        ("ws://127.0.0.1/v2", ("127.0.0.1", 80)),
    ],
)
def test_address_without_a_port_has_that_of_its_kind(
    patient: Patient, monkeypatch: pytest.MonkeyPatch, url: str, peer: tuple[str, int]
) -> None:
    """A broker's is none of the web's."""
    monkeypatch.setenv("KRAKEN_SPOT_URL", "https://api.example")
    monkeypatch.setenv("KRAKEN_WS_PUBLIC_URL", url)
    assert [status_of(one) for one in look_at_address(patient)] == ["ok"]
    assert network._peers(patient) == [("api.example", 443), peer]


def test_way_to_a_broker_has_no_proxy(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy is for Kraken's servers; the client of the broker does not ask for one."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("KRAKEN_SPOT_URL", "https://api.example")
    monkeypatch.setenv("KRAKEN_WS_PUBLIC_URL", "rediss://relay.example/r1")
    lines = [line[1] for line in found(network.look_at_proxy, patient)]
    assert lines == ["api.example is reached through the proxy http://proxy.example:3128"]
    assert network._peers(patient) == [("proxy.example", 3128), ("relay.example", 6379)]


@pytest.mark.parametrize("is_trusted", [True, False])
def test_certificate_of_a_broker_is_looked_at_on_its_port(
    patient: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_trusted: bool
) -> None:
    """By who vouches for it."""
    certificate = tmp_path / "localhost.pem"
    certificate.write_text(CERTIFICATE, encoding="ascii")
    server = RedisServer(tmp_path, "redis-server", certificate=certificate)
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("KRAKEN_SPOT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("KRAKEN_WS_PUBLIC_URL", server.url("r1"))
    try:
        status, text, _ = found(network.look_at_certificates, patient)[0]
    finally:
        server.end()
    assert status == ("ok" if is_trusted else "fail")
    assert text.startswith("localhost has a certificate" if is_trusted else "TLS with localhost")


@pytest.fixture
def no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no name be found."""

    def fail(host: object, *_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)


@pytest.mark.usefixtures("no_names")
def test_name_that_is_not_found_is_told_for_each_host(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As without a network, or with a wrong DNS server."""
    monkeypatch.setenv("KRAKEN_SPOT_URL", "https://api.example.com")
    monkeypatch.setenv("KRAKEN_WS_PUBLIC_URL", "wss://ws.example.com/v2")
    report = clinic.examine()
    lines = report.lines("net.name")
    assert [line[1] for line in lines] == [
        "the name api.example.com is not found (Name or service not known)",
        "the name ws.example.com is not found (Name or service not known)",
    ]
    assert all("DNS" in cure for _, _, cure in lines)
    assert report.only("net.port")[1] == "not looked at, as net.name fails"
    assert report.only("rest.time")[1] == "not looked at, as net.port fails"


def test_name_server_that_never_answers_holds_nobody_up(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look-up cannot be told how long it may take."""
    release = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        release.wait(90)
        return []

    monkeypatch.setenv("KRAKEN_SPOT_URL", "https://localhost:1")
    assert found(network.look_at_proxy, patient)[0][0] == "ok"
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    patient.ends_at = feed_clock() + 0.1
    began = feed_clock()
    assert found(network.look_up_names, patient) == [
        ("fail", "the name localhost is not found (timed out)", say(
            "name lost", host="h", error="e").fields["cure"])]  # fmt: skip
    assert feed_clock() - began < 30
    release.set()


def test_proxy_is_named_without_its_password(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is the proxy that is looked up and connected to."""
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hush@127.0.0.1:9")
    lines = found(network.look_at_proxy, patient)
    assert [line[1] for line in lines] == [
        "api.kraken.com is reached through the proxy http://127.0.0.1:9",
        "ws.kraken.com is reached through the proxy http://127.0.0.1:9",
    ]
    assert found(network.look_up_names, patient)[0][1] == "127.0.0.1 is 127.0.0.1"
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{unused_port()}")
    assert found(network.look_at_ports, patient)[0][0] == "fail"


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[Loopback]:
    """Hand out a server whose certificate only its own file vouches for."""
    file = tmp_path / "localhost.pem"
    file.write_text(CERTIFICATE, encoding="ascii")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)

    def treat(sock: socket.socket) -> None:
        with suppress(ssl.SSLError), context.wrap_socket(sock, server_side=True) as inner:
            forever_ok(inner)

    with Loopback(treat) as server:
        yield server


def test_certificate_is_looked_at(
    patient: Patient, tls_server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that nobody vouches for fails; with the right file it is well, and its end is told."""
    monkeypatch.setenv("KRAKEN_SPOT_URL", f"https://localhost:{tls_server.port}")
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    status, text, cure = found(network.look_at_certificates, patient)[0]
    assert status == "fail"
    assert text.startswith("TLS with localhost fails (")
    assert "certificate" in text
    assert f"SSL_CERT_DIR={tmp_path}" in text
    assert "clock" in cure
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "localhost.pem"))
    status, text, _ = found(network.look_at_certificates, patient)[0]
    assert status == "ok"
    assert re.fullmatch(r"localhost has a certificate that is trusted, until \S+ \S+Z", text)


def test_server_without_tls_is_told(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    """What answers there is no server of Kraken's."""
    with Loopback(forever_ok) as server:
        monkeypatch.setenv("KRAKEN_SPOT_URL", f"https://localhost:{server.port}")
        patient.ends_at = feed_clock() + 0.3
        assert found(network.look_at_certificates, patient)[0][0] == "fail"


# --- REST ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("offset", "side"), [(3600, "behind"), (-3600, "ahead of")])
def test_clock_that_is_an_hour_off_is_told_with_the_cure(
    clinic: Clinic, offset: float, side: str
) -> None:
    """The program goes by Kraken's, so it only warns; nonces do not."""
    clinic.exchange.clock_offset = offset
    report = clinic.examine()
    status, text, cure = report.only("rest.time")
    assert status == "warn"
    assert re.search(rf"clock is (35[5-9]\d|36[0-4]\d) s {side} Kraken's", text)
    assert "timedatectl" in cure
    assert "nonces" in cure
    assert report.statuses("rows.orders") == ["ok"]


@pytest.mark.parametrize("fault", ["dripping_reply", "dripping_head"])
def test_answer_that_drips_is_given_up(clinic: Clinic, fault: str) -> None:
    """Each byte comes, and no answer ever: all ends in time, and the stream is told, too."""
    clinic.exchange.fault(fault, endpoint="Time", seconds=0.3)
    began = feed_clock()
    report = clinic.examine(seconds=4.0)  # enough for the stream on a machine that stalls
    assert feed_clock() - began < 60
    assert report.failing() == {"rest.time"}
    assert report.statuses("stream.link") == report.statuses("stream.price") == ["ok"]
    assert report.only("keys.found")[1].startswith("not looked at")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("http_502", "HTTP 502"),
        ("http_407", "HTTP 407"),
        ("html", "cannot be read as Kraken's"),
        ("lost_reply", "broke off"),
        ("absurd_time", "Time"),
    ],
)
def test_rest_that_answers_nonsense_fails_in_its_own_words(
    clinic: Clinic, fault: str, words: str
) -> None:
    """A page of a provider, a proxy that wants a password, an edge that is down."""
    clinic.exchange.fault(fault, endpoint="Time")
    status, text, cure = clinic.examine().only("rest.time")
    assert (status, words in text) == ("fail", True)
    assert "status.kraken.com" in cure


@pytest.mark.parametrize("system", ["maintenance", "cancel_only", "post_only"])
def test_engine_that_takes_no_order_is_told(clinic: Clinic, system: str) -> None:
    """It passes by itself."""
    clinic.exchange.set_system_status(system)
    status, text, _ = clinic.examine().only("rest.engine")
    assert (status, f"engine is {system}" in text) == ("warn", True)


# --- the stream ------------------------------------------------------------------------------


def test_every_pair_of_the_config_has_its_price_and_age(clinic: Clinic) -> None:
    """Each once, disabled rows too, however the pair is spelled."""
    clinic.write(ROW, ETH, ROW.replace("btc,BTC/USD", "b2,XBTUSD").replace("true", "false"),
                 ROW.replace("btc,", "b3,"))  # fmt: skip
    clinic.exchange.set_price("ETH/USD", "4000.25")
    lines = clinic.examine().lines("stream.price")
    assert [status for status, _, _ in lines] == ["ok", "ok", "ok"]
    assert [text.split(" ")[:2] for _, text, _ in lines] == [
        ["BTC/USD", "50000,"],
        ["ETH/USD", "4000.25,"],
        ["XBTUSD", "50000,"],
    ]
    assert all(re.search(r"proven \d\.\d s ago", text) for _, text, _ in lines)


@pytest.mark.parametrize(
    ("fault", "words"),
    [("refuse", "the stream refuses it"), ("ack_without_data", "the stream brought none")],
)
def test_pair_without_a_streamed_price_is_polled(clinic: Clinic, fault: str, words: str) -> None:
    """The others stream; this one has a price over REST, and why."""
    clinic.write(ROW, ETH)
    clinic.exchange.fault(fault, symbol="ETH/USD")
    report = clinic.examine()
    assert report.statuses("stream.price") == ["ok", "warn"]
    _, text, cure = report.lines("stream.price")[1]
    assert text.startswith("ETH/USD 4000 over REST only: ")
    assert words in text
    assert "spike" in cure
    assert report.code == 0


def test_pair_without_any_price_fails(clinic: Clinic) -> None:
    """Its threshold would not be watched."""
    clinic.write(ROW, ETH)
    clinic.exchange.fault("refuse", symbol="ETH/USD")
    clinic.exchange.fault("no_data", symbol="ETH/USD")
    status, text, cure = clinic.examine().lines("stream.price")[1]
    assert status == "fail"
    assert text.startswith("ETH/USD has no price, neither streamed nor over REST: ")
    assert "not watched" in cure


def test_list_of_pairs_that_cannot_be_had_leaves_the_stream(clinic: Clinic) -> None:
    """The stream knows its own names, and its prices are told all the same."""
    clinic.write(ROW, ETH, ROW.replace("btc,BTC/USD", "sol,SOL/USD"))
    clinic.exchange.fault("http_502", endpoint="AssetPairs")
    report = clinic.examine()
    assert report.statuses("stream.price") == ["ok", "ok", "ok"]


def test_stream_that_is_not_wanted_is_no_fault(clinic: Clinic) -> None:
    """`--no-websocket`, as the program is run; prices are looked at over REST."""
    report = clinic.examine("--no-websocket")
    assert report.only("stream.link")[:2] == (
        "ok", "prices come over REST only, as --no-websocket says")  # fmt: skip
    assert report.statuses("stream.price") == ["warn"]
    assert clinic.exchange.ws_connections_made == 0


def test_stream_of_an_unknown_exchange_is_told(clinic: Clinic) -> None:
    """Where REST is not Kraken's own, its stream would tell other prices."""
    clinic.set(KRAKEN_WS_PUBLIC_URL="")
    status, text, cure = clinic.examine().only("stream.link")
    assert (status, "is not known" in text) == ("warn", True)
    assert cure == "Set KRAKEN_WS_PUBLIC_URL"


def test_stream_that_refuses_the_handshake_fails_with_its_reason(clinic: Clinic) -> None:
    """A firewall that knows no WebSockets looks so."""
    clinic.exchange.fault("refuse_connect", status=403)
    report = clinic.examine()
    status, text, cure = report.only("stream.link")
    assert (status, "403" in text) == ("fail", True)
    assert "proxy for WebSockets" in cure
    assert clinic.exchange.ws_connections == 0


def test_no_connection_stays_behind(clinic: Clinic) -> None:
    """Neither of REST nor of the stream."""
    clinic.examine()
    assert clinic.exchange.wait_for(lambda exchange: exchange.ws_connections == 0, 5)


def test_config_without_pairs_has_no_price_to_look_at(clinic: Clinic) -> None:
    """The rows are refused elsewhere."""
    clinic.write("bad,,soon,above,sell,0.01,0.5,true")
    assert clinic.examine().only("stream.price")[1] == (
        "nothing to look at: there is no row with a pair"
    )


# --- the account's stream --------------------------------------------------------------------


def test_server_of_the_accounts_stream_is_connected_to(clinic: Clinic) -> None:
    """That it cannot be had only warns: orders are looked at over REST then."""
    assert "no KRAKEN_WS_AUTH_URL is known" in clinic.examine().only("stream.account")[1]
    clinic.set(KRAKEN_WS_AUTH_URL=clinic.exchange.ws_url)
    assert clinic.examine().only("stream.account")[0] == "ok"
    clinic.set(KRAKEN_WS_AUTH_URL=f"ws://127.0.0.1:{unused_port()}/v2")
    report = clinic.examine()
    status, text, cure = report.only("stream.account")
    assert (status, "takes no connection (Connection refused)" in text) == ("warn", True)
    assert "over REST" in cure
    assert report.code == 0


def test_stream_that_is_not_wanted_is_not_connected_to_for_orders_either(clinic: Clinic) -> None:
    """`--no-websocket` means both."""
    clinic.set(KRAKEN_WS_AUTH_URL=f"ws://127.0.0.1:{unused_port()}/v2")
    status, text, _ = clinic.examine("--no-websocket").only("stream.account")
    assert (status, "--no-websocket says" in text) == ("ok", True)


# --- notifications ---------------------------------------------------------------------------


def test_nobody_to_be_told_is_no_fault(clinic: Clinic) -> None:
    """Notifications are an extra."""
    report = clinic.examine()
    assert report.only("notify.address")[0] == report.only("notify.test")[0] == "ok"
    assert "nobody is to be told" in report.only("notify.address")[1]


def test_each_address_is_read_and_none_is_shown(clinic: Clinic) -> None:
    """From flag, variable and file; by its number, its service and its level."""
    Path("addresses").write_text("# of the file\nall=ntfy://hush-hush-hush\n")
    clinic.set(TTSLO_NOTIFY="orders=ntfy://hush-variable", TTSLO_NOTIFY_FILE="addresses",
               TTSLO_PING="https://hc.example/hush-ping")  # fmt: skip
    report = clinic.examine("--notify", "ntfy://hush-flag")
    lines = report.lines("notify.address")
    assert [status for status, _, _ in lines] == ["ok"] * 4
    told = " ".join(text for _, text, _ in lines)
    assert all(level in told for level in ("warnings", "orders", "all"))
    assert "notification address 3 (ntfy://...)" in told
    assert "hush" not in str(report.told)
    assert "--send-test" in report.only("notify.test")[1]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("no-address-hush", "is no address; write one as apprise knows it"),
        ("nosuchservice://hush", "cannot be used"),
        ("loud=ntfy://hush", "is no address"),
    ],
)
def test_address_that_is_none_fails_without_being_shown(
    clinic: Clinic, address: str, words: str
) -> None:
    """It is an error at the start of the program, too."""
    report = clinic.examine("--notify", address)
    status, text, _ = report.lines("notify.address")[0]
    assert (status, words in text) == ("fail", True)
    assert "hush" not in str(report.told)
    assert report.only("notify.test")[1] == "not looked at, as notify.address fails"


@pytest.mark.parametrize(
    ("variable", "value"), [("TTSLO_PING", "hush"), ("TTSLO_NOTIFY_FILE", "gone")]
)
def test_setting_that_cannot_be_used_fails(clinic: Clinic, variable: str, value: str) -> None:
    """An address that cannot be fetched, and a file that is not there."""
    clinic.set(**{variable: value})
    status, text, cure = clinic.examine().only("notify.address")
    assert status == "fail"
    assert "hush" not in text
    assert "does not start" in cure


def test_flag_that_is_mistyped_before_an_address_shows_none_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It ends with 2, and what stands on the screen may be read by others."""
    with pytest.raises(SystemExit) as ended:
        doctor.main(["--notfy", "ntfy://hush"])
    assert ended.value.code == 2
    assert "hush" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("manner", "status", "words"),
    [
        ("record", "ok", "has taken the test message"),
        ("status 403", "fail", "has not taken the test message: "),
        ("reset", "fail", "has not taken the test message: "),
    ],
)
def test_test_message_is_sent_where_that_is_wanted(
    clinic: Clinic, manner: str, status: str, words: str
) -> None:
    """One to each address, and its answer is told; without the flag none leaves."""
    with Receiver(manner) as receiver:
        address = f"json://{receiver.place}/hush"
        clinic.examine("--notify", address)
        assert receiver.requests == []
        line = clinic.examine("--notify", address, "--send-test").only("notify.test")
    assert (line[0], words in line[1]) == (status, True)
    assert "hush" not in str(line)
    if status == "ok":
        (message,) = receiver.messages
        assert "test" in f"{message['title']} {message['message']}".lower()


def test_service_that_never_answers_leaves_time_for_the_next(clinic: Clinic) -> None:
    """Each has its share of what is left."""
    with Receiver("mute") as mute, Receiver() as other:
        addresses = (f"json://{one.place}/" for one in (mute, other))
        flags = [flag for address in addresses for flag in ("--notify", address)]
        report = clinic.examine(*flags, "--send-test", seconds=8.0)
    assert report.statuses("notify.test") == ["fail", "ok"]
