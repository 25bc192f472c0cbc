"""`ttslo rows`: what is pushed, what is not, and what comes back, on real etcd."""

from __future__ import annotations

from pathlib import Path

import pytest

from fake_kraken import FakeKraken
from tests.kits.hosts.store_cli_kit import LONG, config, row, ttslo, ttslo_soon
from tests.kits.hosts.three_etcd import EtcdNodes, opened
from ttslo_app.cluster.copy import Copy
from ttslo_app.cluster.etcd import EtcdStore
from ttslo_app.cluster.records import Keys, row_text
from ttslo_app.cluster.sheet import steps_to
from ttslo_app.cluster.store import Answer, Change
from ttslo_app.hosts import rows_command
from ttslo_app.store.disk import Disk
from ttslo_app.store.rule_file import RuleFile

Said = pytest.CaptureFixture[bytes]


@pytest.fixture
def keys(keys: Keys, exchange: FakeKraken, monkeypatch: pytest.MonkeyPatch) -> Keys:
    """A cluster of its own, with an account, and prices."""
    monkeypatch.setenv("KRAKEN_SPOT_URL", exchange.rest_url)
    return keys


def write(text: str) -> str:
    """Write a config.csv and return its name."""
    Path("config.csv").write_text(text, encoding="utf-8")
    return "config.csv"


def pulled(url: str, said: Said) -> bytes:
    """Return what is printed of the rows."""
    said.readouterr()
    assert ttslo("rows", "pull", "--store", url) == 0
    return said.readouterr().out


def test_what_is_pushed_is_pulled_and_pushing_that_changes_nothing(
    url: str, capsysbinary: Said
) -> None:
    """Comments stay in the file; all else comes back in its order, to the byte."""
    rows = [row("z", more=",\u00c4ther, \u20ac".replace(", ", " ")), row("a", more=",")]
    text = config(rows[0], "# mine", rows[1]).replace("enabled\n", "enabled,note\n")
    assert ttslo("rows", "push", write(text), "--store", url) == 0
    first = pulled(url, capsysbinary)
    assert first.decode() == text.replace("# mine\n", "")
    Path("again.csv").write_bytes(first)
    assert ttslo("rows", "push", "again.csv", "--store", url) == 0
    assert b"the same 2 rows: nothing to do" in capsysbinary.readouterr().out
    assert pulled(url, capsysbinary) == first


def test_only_what_differs_is_changed_and_shown(
    url: str, keys: Keys, three_etcd: EtcdNodes, capsysbinary: Said
) -> None:
    """New, changed and gone rows; the others keep their version, so nobody takes note of them."""
    assert ttslo("rows", "push", write(config(row("a"), row("b"), row("c"))), "--store", url) == 0
    with opened(url) as store:
        before = store.get(keys.row("b"), patience=LONG)
        text = config(row("a", 61000), row("b"), row("d"))
        assert ttslo("rows", "push", write(text), "--store", url, "--check") == 0
        assert b"nothing was changed, because of --check" in capsysbinary.readouterr().out
        assert store.get(keys.row("d"), patience=LONG) is None
        assert ttslo("rows", "push", write(text), "--store", url) == 0
        out = capsysbinary.readouterr().out.decode()
        assert store.get(keys.row("b"), patience=LONG) == before
    assert "~ a: threshold_price 60000 -> 61000" in out
    assert "+ d: pair XBTUSD" in out
    assert "- c: is taken out" in out
    assert pulled(url, capsysbinary).decode() == text


def test_rows_that_a_run_would_refuse_are_not_pushed(url: str, capsysbinary: Said) -> None:
    """None of the file: it is whole, or it is not pushed."""
    for text, words in (
        (config(row("a"), row("b", more=",,,").replace("sell", "hold")), b"direction"),
        (config(row("a"), row("a")), b"VALIDATION FAILED"),
        (config(), b"holds no row"),
        ("id,pair\na,XBTUSD\n", b"VALIDATION FAILED"),
    ):
        assert ttslo("rows", "push", write(text), "--store", url) == 1
        told = capsysbinary.readouterr()
        assert words in told.out
        assert b"rows stay as they are" in told.err
    assert pulled(url, capsysbinary).decode() == config()


def test_a_row_that_is_armed_already_may_be_crossed(
    url: str, exchange: FakeKraken, capsysbinary: Said
) -> None:
    """As in a run, which would place its order; a new one is refused there."""
    assert ttslo("rows", "push", write(config(row("a"))), "--store", url) == 0
    exchange.set_prices("XBTUSD", ["70000"])
    assert ttslo("rows", "push", write(config(row("b"))), "--store", url) == 1
    text = config(row("a"), row("b", 90000))
    assert ttslo("rows", "push", write(text), "--store", url) == 0


def test_somebody_elses_change_in_between_is_seen_and_kept(
    url: str, keys: Keys, capsysbinary: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was pushed before it is told, and what it is now."""
    rows = [row(f"r{n:03}", enabled="false") for n in range(100)]
    assert ttslo("rows", "push", write(config(*rows)), "--store", url) == 0
    other = row_text({"id": "r070", "pair": "ETHUSD"}, 1, "other")
    commit = EtcdStore.commit

    class Between(EtcdStore):
        """A store in which somebody is busy right before each change."""

        def commit(self, change: Change, *, patience: float) -> Answer:
            with opened(url) as store:
                commit(store, Change({}, {keys.row("r070"): other}), patience=LONG)
            return super().commit(change, patience=patience)

    changed = [row(f"r{n:03}", 61000, enabled="false") for n in range(100)]
    capsysbinary.readouterr()
    with opened(url) as store:
        between = Between(store.place)
        copy = Copy(keys)
        copy.load(*store.list(keys.base, patience=LONG))
        text = write(config(*changed))
        found = RuleFile(Path(text), Disk()).read()
        steps = steps_to(found.rows, copy.rows())
        assert rows_command._done(between, keys, steps, copy) == 1
        between.close()
        err = capsysbinary.readouterr().err.decode()
        assert "60 of 100 rows changed in the store, the others not" in err
        assert "! r070: is now pair ETHUSD" in err
        assert err.count("!") == 1
        stands = store.get(keys.row("r070"), patience=LONG)
        assert stands is not None
        assert stands.value == other
    assert ttslo("rows", "push", text, "--store", url) == 0


def test_rows_that_are_out_already_are_taken_out(url: str, keys: Keys, capsysbinary: Said) -> None:
    """Whoever did it: an answer that was lost looks the same, and there is nothing left to do."""
    text = write(config(row("a", enabled="false"), row("b", enabled="false")))
    assert ttslo("rows", "push", text, "--store", url) == 0
    with opened(url) as store:
        copy = Copy(keys)
        copy.load(*store.list(keys.base, patience=LONG))
        steps = steps_to([{"id": "b", **copy.rows()[1].cells}], copy.rows())
        assert [step.cells for step in steps] == [None]
        assert store.commit(Change({}, {}, [keys.row("a")]), patience=LONG).is_done
        assert rows_command._done(store, keys, steps, copy) == 0
    assert b"1 row changed" in capsysbinary.readouterr().out


def test_each_bad_input_has_its_sentence_and_its_code(
    url: str, keys: Keys, three_etcd: EtcdNodes, capsysbinary: Said
) -> None:
    """No file, no cluster, no account, no store, another format, and a wrong address."""
    write(config(row("a")))
    nowhere = url.replace(keys.cluster, "nowhere")
    for words, code, said in (
        (("none.csv", "--store", url), 1, "there is no none.csv"),
        (("config.csv", "--store", nowhere), 1, "has no cluster nowhere"),
        (("config.csv", "--store", url, "--account", "other"), 1, "has no account other"),
        (("config.csv", "--store", "etcd://10.0.0.1/x"), 2, "is refused: without TLS"),
        (("config.csv", "--store", "x"), 2, "is no address of a store"),
        (("config.csv", "--store", "etcds://me:pw@a/x"), 2, "must not contain a name"),
        (("config.csv", "--store", url, "--account", "a/b"), 2, "the account's name"),
        (("config.csv", "--store", url, "--env-file", "no.env"), 2, "there is no file no.env"),
        (("config.csv",), 2, "--store"),
    ):
        assert ttslo("rows", "push", *words) == code, words
        assert said in capsysbinary.readouterr().err.decode()
    assert ttslo_soon("rows", "push", "config.csv", "--store", "etcd://127.0.0.1:1/x") == 3
    assert b"cannot connect" in capsysbinary.readouterr().err
    with opened(url) as store:
        found = Change({}, {keys.format: b'{"format":"9","id":"x"}'})
        store.commit(found, patience=LONG)
    assert ttslo("rows", "pull", "--store", url) == 1
    assert b"of format '9'" in capsysbinary.readouterr().err


def test_a_login_is_taken_from_the_environment_and_never_shown(
    url: str, capsysbinary: Said, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """This store knows no users, and says so."""
    Path(".env").write_text("TTSLO_STORE_USER=me\n", encoding="utf-8")
    (tmp_path / "word").write_text("my secret\n", encoding="utf-8")
    monkeypatch.setenv("TTSLO_STORE_PASSWORD_FILE", str(tmp_path / "word"))
    assert ttslo("rows", "pull", "--store", url) == 1
    err = capsysbinary.readouterr().err.decode()
    assert "etcdctl auth enable" in err
    assert "my secret" not in err
