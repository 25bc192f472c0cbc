"""Addresses and services: what is read, what is sent, why it fails, and that no secret is shown."""

from __future__ import annotations

import sys
import threading

import pytest

from tests.kits.signs.receiver_kit import LONG, Receiver
from ttslo_app.face.outbox import GATHER, Level, Outbox, Parcel
from ttslo_app.face.services import (
    Address,
    Errand,
    NotifyUnavailable,
    Plugin,
    place_of,
    read_addresses,
    send_test,
)
from ttslo_app.messages import Kind, Said

SECRET = "s3cr3t-t0k3n"


def parcel(level: str = "INFO", kind: Kind = Kind.PLACED) -> Parcel:
    """Return a message."""
    box = Outbox(Level.ALL, "DEMO")
    box.take(Said(kind, level, "btc", "btc: order O1 placed", 1.8e9), "", 0.0)
    found = box.parcel(GATHER)
    assert found is not None
    return found


# --- addresses ---------------------------------------------------------------------------------


def test_addresses_are_read_with_their_levels_each_once() -> None:
    """From flags, from one setting with blanks between them, and from a file with remarks."""
    texts = [
        "orders=json://a/x",
        "json://b/ all=ntfy://topic json://b/",
        "# mine\n  # and more\ntgram://1:2/3\nwarnings=mailto://u:p=q@h?to=x\n\n",
    ]
    assert [(a.url, a.level, a.number) for a in read_addresses(texts)] == [
        ("json://a/x", Level.ORDERS, 1),
        ("json://b/", Level.WARNINGS, 2),
        ("ntfy://topic", Level.ALL, 3),
        ("tgram://1:2/3", Level.WARNINGS, 4),
        ("mailto://u:p=q@h?to=x", Level.WARNINGS, 5),
    ]
    assert read_addresses([]) == []


@pytest.mark.parametrize("text", [SECRET, f"order=ntfy://{SECRET}", "orders=", f"all={SECRET}"])
def test_what_is_no_address_is_refused_without_being_shown(text: str) -> None:
    """A token that was pasted without its service may still be a token."""
    with pytest.raises(
        NotifyUnavailable, match=r"notification address 1 .* is no address"
    ) as found:
        read_addresses([text])
    assert SECRET not in str(found.value)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (f"tgram://{SECRET}/1", "tgram://..."),
        (f"ntfy://{SECRET}", "ntfy://..."),
        (f"mailto://me:{SECRET}@gmail.com", "mailto://..."),
        (f"json://127.0.0.1:8080/{SECRET}?x={SECRET}", "json://127.0.0.1:8080"),
        (f"json://me:{SECRET}@127.0.0.1/", "json://..."),
        (f"json://me:{SECRET}/x@127.0.0.1/", "json://..."),
        ("json://[::1/", "json://..."),
        ("json://host:port/", "json://..."),
        ("json://", "json://..."),
        (SECRET, "..."),
    ],
)
def test_name_of_an_address_shows_nothing_that_may_be_a_secret(url: str, place: str) -> None:
    """For most services the whole address is a password."""
    address = Address(url, Level.ALL, 2)
    assert place_of(url) == place
    assert address.name == f"notification address 2 ({place})"
    assert SECRET not in repr(address)
    assert SECRET not in str(address)


# --- plug-ins ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (f"nosuch://{SECRET}", "apprise knows no such service"),
        (f"tgram://{SECRET}", "cannot be used"),
        (f"pover://{SECRET}", "cannot be used"),
    ],
)
def test_wrong_address_is_refused_with_its_number_and_no_secret(
    url: str, why: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """The start says which address it is, and neither screen nor log say more."""
    caplog.set_level(1)
    with pytest.raises(NotifyUnavailable, match=why) as found:
        Plugin(Address(url, number=3))
    assert str(found.value).startswith("notification address 3 (")
    said = f"{found.value}{caplog.text}{''.join(capsys.readouterr())}"
    assert SECRET not in said


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever did not install the extra is told what to install."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(NotifyUnavailable, match="needs the library apprise: pip install apprise"):
        Plugin(Address("json://127.0.0.1"))


@pytest.mark.parametrize(
    ("level", "kind", "shown"),
    [
        ("INFO", Kind.PLACED, "success"),
        ("INFO", Kind.LINK, "info"),
        ("WARNING", Kind.LINK, "warning"),
        ("ERROR", Kind.REFUSED, "failure"),
    ],
)
def test_message_arrives_with_its_title_and_how_bad_it_is(
    level: str, kind: Kind, shown: str
) -> None:
    """A real request to a real receiver."""
    with Receiver() as receiver:
        assert Plugin(Address(f"json://{receiver.place}/x")).send(parcel(level, kind)) == ""
        (message,) = receiver.messages
    assert message["title"] == f"TTSLO DEMO: {kind} (btc)"
    assert message["message"] == "08:00:00Z btc: order O1 placed"
    assert message["type"] == shown


@pytest.mark.parametrize(
    ("manner", "why"),
    [
        ("status 401", "it answers HTTP 401; is the address right?"),
        ("status 500", "it answers HTTP 500"),
        ("reset", "it hangs up"),
    ],
)
def test_failure_is_told_in_our_words_and_shows_no_address(
    manner: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What apprise says may quote the address, so none of it is shown."""
    caplog.set_level(1)
    with Receiver(manner) as receiver:
        plugin = Plugin(Address(f"json://{receiver.place}/{SECRET}"))
        assert plugin.send(parcel()) == why
    ours = [record for record in caplog.records if record.name.startswith(("apprise", "ttslo"))]
    assert ours == []


def test_service_that_is_not_there_is_said_to_be_so() -> None:
    """Nobody listens any more."""
    with Receiver() as receiver:
        place = receiver.place
    assert Plugin(Address(f"json://{place}/")).send(parcel()) == "nobody listens at its address"


def test_service_that_never_answers_is_given_up_by_apprise_in_time() -> None:
    """Its own time-out between two bytes is told in our words."""
    with Receiver("mute") as receiver:
        plugin = Plugin(Address(f"json://{receiver.place}/?rto=0.2"))
        assert plugin.send(parcel()) == "it does not answer"


def test_error_inside_a_plug_in_shows_no_text_of_it() -> None:
    """An exception may quote the address."""

    class Broken:
        def notify(self, **message: object) -> bool:
            raise RuntimeError(f"cannot reach https://api/{SECRET}")

    plugin = Plugin(Address("json://127.0.0.1"))
    plugin._plugin = Broken()
    assert plugin.send(parcel()) == "an error inside apprise (RuntimeError)"


# --- errands -----------------------------------------------------------------------------------


def test_errand_tells_its_answer_and_nothing_before() -> None:
    """Who waits for it waits no longer than it likes."""
    go = threading.Event()

    def work() -> str:
        assert go.wait(LONG)
        return "no"

    errand = Errand(work)
    assert (errand.is_over, errand.answer()) == (False, None)
    go.set()
    assert errand.answer(LONG) == "no"
    assert errand.is_over


def test_errand_that_raises_ends_with_the_name_of_the_error_alone() -> None:
    """The text of an error may hold an address."""

    def work() -> str:
        raise OSError(SECRET)

    assert Errand(work).answer(LONG) == "an unforeseen error (OSError)"


# --- a test message ------------------------------------------------------------------------------


def test_test_message_says_that_it_is_one() -> None:
    """Whoever gets it is not alarmed."""
    with Receiver() as receiver:
        assert send_test(Address(f"json://{receiver.place}")) == ""
        (message,) = receiver.messages
    assert "This is a test" in message["message"]


def test_test_message_is_given_up_in_time_where_a_service_drips() -> None:
    """A byte now and then is no answer, and no time-out between bytes ever ends it."""
    with Receiver("drip") as receiver:
        answer = send_test(Address(f"json://{receiver.place}"), timeout=0.3)
    assert answer == "it has not answered for 0 s"
