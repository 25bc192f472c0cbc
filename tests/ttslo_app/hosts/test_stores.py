"""A shared store as the commands meet it, and who is seen to live there."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from tests.kits.hosts.store_cli_kit import FakeHost
from tests.kits.hosts.three_etcd import EtcdNodes, opened
from ttslo_app.cluster.address import Access
from ttslo_app.cluster.records import Keys
from ttslo_app.cluster.store import StoreError, StoreUnreachable
from ttslo_app.environment import KNOWN
from ttslo_app.hosts import stores
from ttslo_app.hosts.stores import is_led, signs_of_life
from ttslo_app.terminal import Parser


def test_settings_come_from_the_environment_and_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment wins, and a password may lie in a file of its own."""
    Path("my.env").write_text(
        "TTSLO_STORE_USER=me\nTTSLO_STORE_CA=ca.pem\nTTSLO_STORE_KEY=k.pem\n", encoding="utf-8"
    )
    Path("word").write_text("secret\n", encoding="utf-8")
    monkeypatch.setenv("TTSLO_STORE_PASSWORD_FILE", "word")
    monkeypatch.setenv("TTSLO_STORE_CA", "other.pem")
    found = stores.access_from("my.env")
    assert found == Access("me", "secret", "other.pem", "", "k.pem")
    assert stores.access_from("none.env") == Access("", "secret", "other.pem")


def test_an_account_has_its_own_key_or_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under its own names first; without any there is a client without a key."""
    assert not stores.trading_of("eu", "none.env").has_keys
    monkeypatch.setenv("KRAKEN_API_KEY_RW", "usual")
    monkeypatch.setenv("KRAKEN_API_SECRET_RW", "c2VjcmV0")
    usual = stores.trading_of("eu", "none.env")
    Path("my.env").write_text(
        "KRAKEN_API_KEY_RW__EU=own\nKRAKEN_API_SECRET_RW__EU=c2VjcmV0\n", encoding="utf-8"
    )
    own = stores.trading_of("eu", "my.env")
    assert usual.has_keys
    assert own.has_keys
    assert own.gate is not usual.gate
    assert stores.trading_of("us", "my.env").gate is usual.gate


def test_each_setting_is_a_known_name() -> None:
    """A program that starts warns of all others."""
    names = ("USER", "PASSWORD", "PASSWORD_FILE", "CA", "CERT", "KEY")
    assert {f"TTSLO_STORE_{name}" for name in names} <= set(KNOWN)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreUnreachable("x"), 3),
        (StoreError("x"), 1),
        (stores.NotMade("x"), 1),
        (OSError("x"), 1),
    ],
)
def test_each_failure_has_its_code(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """And is told in a line."""

    def fail() -> int:
        raise error

    assert stores.run(Parser(prog="ttslo x"), fail) == code
    assert capsys.readouterr().err == "Not done: x\n"


def test_a_value_that_is_none_is_a_wrong_flag(capsys: pytest.CaptureFixture[str]) -> None:
    """As all of them."""

    def fail() -> int:
        raise ValueError("no address")

    with pytest.raises(SystemExit) as end:
        stores.run(Parser(prog="ttslo x"), fail)
    assert end.value.code == 2
    assert "no address" in capsys.readouterr().err


def test_signs_of_life_are_those_that_change(three_etcd: EtcdNodes) -> None:
    """A host that has gone, and one that only stands by, do not lead."""
    one, two = (Keys(f"t{uuid.uuid4().hex[:12]}", name) for name in ("a", "b"))
    url = three_etcd.url("x")
    with opened(url) as store:
        with FakeHost(url, one, "gone").living() as gone:
            gone.lead(store, 1)
            assert is_led(store, one)
        assert not is_led(store, one)
        with FakeHost(url, two, "here").living() as here:
            assert signs_of_life(store, [one, two]) == {two.host("here")}
            assert not is_led(store, two)
            here.lead(store, 1)
            assert signs_of_life(store, [one, two]) == {two.host("here"), two.beat}
