"""The store on real etcd: what it promises, while nodes die, hang, and lose their answers."""

from __future__ import annotations

import itertools
import os
import threading
import uuid
from contextlib import closing
from pathlib import Path

import pytest

from tests.kits.chaos.chaos_kit import CERTIFICATE
from tests.kits.chaos.chaos_proxy import FAIR, ChaosProxy, Weather
from tests.kits.hosts.three_etcd import (
    EtcdNodes,
    gather,
    one_etcd,
    opened,
    put,
    refused,
    wait_until,
    with_users,
)
from ttslo_app.cluster.address import Access
from ttslo_app.cluster.etcd import EtcdStore, store_from
from ttslo_app.cluster.records import Keys
from ttslo_app.cluster.store import Change, News, StoreError, StoreUnreachable

LONG = 60.0


# --- the face ----------------------------------------------------------------------------------


def test_what_was_put_is_read_with_its_version(store: EtcdStore, keys: Keys) -> None:
    """A key is nothing, then a value of a version, then one of a higher."""
    assert store.get(keys.lead, patience=LONG) is None
    first = put(store, keys.lead, b"one")
    second = put(store, keys.lead, "zwei \u20ac".encode(), first)
    found = store.get(keys.lead, patience=LONG)
    assert found is not None
    assert (found.key, found.value, found.version) == (keys.lead, "zwei \u20ac".encode(), second)
    assert second > first > 0


def test_a_refused_change_does_nothing_and_tells_what_stands_there(
    store: EtcdStore, keys: Keys
) -> None:
    """It happens whole or not at all, and who is refused sees by whom."""
    fence = put(store, keys.lead, b"leader")
    change = Change(
        {keys.lead: fence + 1, keys.life("a"): 0, keys.life("b"): 0},
        {keys.life("a"): b"a", keys.life("b"): b"b"},
    )
    answer = store.commit(change, patience=LONG)
    assert not answer.is_done
    assert {key: entry.value for key, entry in answer.found.items()} == {keys.lead: b"leader"}
    assert store.list(keys.lives, patience=LONG)[0] == []


def test_puts_and_deletes_of_one_change_are_one_revision(store: EtcdStore, keys: Keys) -> None:
    """Whoever lists sees all of it or nothing."""
    old = put(store, keys.life("old"), b"x")
    change = Change({keys.life("old"): old}, {keys.life("new"): b"y"}, [keys.life("old")])
    answer = store.commit(change, patience=LONG)
    entries, revision = store.list(keys.lives, patience=LONG)
    assert [(entry.key, entry.version) for entry in entries] == [(keys.life("new"), answer.version)]
    assert revision >= answer.version


def test_a_change_that_is_sent_again_was_done_once(store: EtcdStore, keys: Keys) -> None:
    """It is known by its own values, and has the version of its first time."""
    change = Change({keys.life("a"): 0}, {keys.life("a"): b"intended by t1"})
    first = store.commit(change, patience=LONG)
    again = store.commit(change, patience=LONG)
    assert (again.is_done, again.version) == (True, first.version)
    other = Change({keys.life("a"): 0}, {keys.life("a"): b"intended by t2"})
    assert not store.commit(other, patience=LONG).is_done


def test_a_put_that_rests_on_another_key_alone_is_known_again(store: EtcdStore, keys: Keys) -> None:
    """A beat compares who leads and not itself; its own value is looked at nevertheless."""
    fence = put(store, keys.lead, b"me")
    beat = Change({keys.lead: fence}, {keys.beat: b"7 of mine"})
    first = store.commit(beat, patience=LONG)
    put(store, keys.lead, b"another", fence)
    assert store.commit(beat, patience=LONG).version == first.version


def test_a_list_of_many_pages_is_of_one_revision(store: EtcdStore, keys: Keys) -> None:
    """All entries come, in the order of their keys, though others write meanwhile."""
    for start in range(0, 2500, 100):
        rows = {keys.row(f"r{n:05}"): b"%d" % n for n in range(start, start + 100)}
        assert store.commit(Change({}, rows), patience=LONG).is_done
    ended = threading.Event()

    def write() -> None:
        for number in itertools.count():
            if ended.is_set():
                return
            both = {keys.row("r00000"): b"%d" % -number, keys.row("r02499"): b"%d" % -number}
            store.commit(Change({}, both), patience=LONG)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(10):
            entries, _ = store.list(keys.rows, patience=LONG)
            assert [e.key for e in entries] == [keys.row(f"r{n:05}") for n in range(2500)]
            first, last = entries[0], entries[-1]
            # Both are put by one change, so a list of one moment has both of one number.
            assert first.version == last.version or last.value == b"2499"
    finally:
        ended.set()
        writer.join(LONG)


def test_a_prefix_that_is_no_key_has_nothing(store: EtcdStore, keys: Keys) -> None:
    """An empty list is an answer."""
    entries, revision = store.list(keys.rows, patience=LONG)
    assert (list(entries), revision > 0) == ([], True)


def test_what_etcd_will_not_do_is_an_error_with_its_cure(store: EtcdStore, keys: Keys) -> None:
    """No other node would do it either, so it is told at once."""
    many = {keys.row(str(n)): b"x" for n in range(200)}
    with pytest.raises(StoreError, match="takes no change of this size") as told:
        store.commit(Change({}, many), patience=LONG)
    assert not isinstance(told.value, StoreUnreachable)
    twice = Change({}, {keys.lead: b"x"}, [keys.lead])
    with pytest.raises(StoreError, match="names one key twice"):
        store.commit(twice, patience=LONG)


# --- answers that are lost ---------------------------------------------------------------------


def test_a_change_whose_answer_is_lost_is_unknown_and_was_done(
    three_etcd: EtcdNodes, keys: Keys
) -> None:
    """The same change learns it later, of this object or another."""
    proxy = ChaosProxy(three_etcd.ports[0])
    try:
        proxy.weather = Weather(hole_after=1)
        change = Change({keys.life("a"): 0}, {keys.life("a"): b"token"})
        with opened(f"etcd://127.0.0.1:{proxy.port}/{keys.cluster}") as store:
            refused(lambda patience: store.commit(change, patience=patience), "no answer in time")
            proxy.weather = FAIR
            answer = store.commit(change, patience=LONG)
        assert answer.is_done
        with opened(three_etcd.url(keys.cluster)) as other:
            found = other.get(keys.life("a"), patience=LONG)
        assert found is not None
        assert (found.value, found.version) == (b"token", answer.version)
    finally:
        proxy.close()


@pytest.mark.parametrize("weather", [Weather(hole_after=1), Weather(cut_after=1)], ids=str)
def test_a_lost_answer_of_one_node_is_learnt_of_the_next(
    three_etcd: EtcdNodes, keys: Keys, weather: Weather
) -> None:
    """Within one call: the change is done once, and told as done."""
    proxy = ChaosProxy(three_etcd.ports[0])
    try:
        url = f"etcd://127.0.0.1:{proxy.port},127.0.0.1:{three_etcd.ports[1]}/{keys.cluster}"
        with opened(url) as store:
            put(store, keys.lead, b"0")
            proxy.weather = weather
            version = store.get(keys.lead, patience=LONG)
            assert version is not None
            number = put(store, keys.lead, b"1", version.version)
            found = store.get(keys.lead, patience=LONG)
        assert found is not None
        assert (found.value, found.version) == (b"1", number)
    finally:
        proxy.close()


def test_a_change_that_others_went_over_since_is_known_as_done(
    store: EtcdStore, keys: Keys
) -> None:
    """Refused when it is sent again, it stands nowhere any more; the store's past tells of it."""
    change = Change({keys.lead: 0, keys.life("a"): 0}, {keys.life("a"): b"mine", keys.lead: b"me"})
    done = store.commit(change, patience=LONG)
    later = done.version
    for value in (b"another", b"a third", b"a fourth"):
        later = put(store, keys.life("a"), value, later)
    put(store, keys.lead, b"another", done.version)
    assert store.commit(change, patience=LONG) == done
    never = Change(change.rests_on, {keys.life("a"): b"never", keys.lead: b"never"})
    answer = store.commit(never, patience=LONG)
    assert not answer.is_done
    assert answer.found[keys.life("a")].value == b"a fourth"


def test_a_past_that_was_thrown_away_leaves_a_lost_answer_unknown(
    three_etcd: EtcdNodes, store: EtcdStore, keys: Keys
) -> None:
    """A change that was answered is refused; one whose first answer was lost is neither."""
    first = put(store, keys.lead, b"one")
    second = put(store, keys.lead, b"two", first)
    last = put(store, keys.lead, b"three", second)
    three_etcd.call(0, "kv/compaction", {"revision": str(last), "physical": True})
    stale = Change({keys.lead: first}, {keys.lead: b"stale"})
    assert not store.commit(stale, patience=LONG).is_done
    proxy = ChaosProxy(three_etcd.ports[0])
    proxy.weather = Weather(hole_after=1)
    try:
        url = f"etcd://127.0.0.1:{proxy.port},127.0.0.1:{three_etcd.ports[1]}/{keys.cluster}"
        with opened(url) as other, pytest.raises(StoreUnreachable, match="cannot be known"):
            other.commit(stale, patience=LONG)
    finally:
        proxy.close()


def test_a_refusal_after_a_lost_answer_is_unknown(keys: Keys, tmp_path: Path) -> None:
    """Whoever may have been served before is never told that nothing was done."""
    with one_etcd(tmp_path, flags=["--quota-backend-bytes", "200000"]) as nodes:
        proxy = ChaosProxy(nodes.ports[0])
        try:
            direct = f"127.0.0.1:{nodes.ports[0]}"
            with opened(f"etcd://{direct}/{keys.cluster}") as filler:
                with pytest.raises(StoreError, match="is full") as told:
                    fill(filler, keys)
                assert "etcdctl alarm disarm" in str(told.value)
                assert not isinstance(told.value, StoreUnreachable)
            proxy.weather = Weather(hole_after=1)
            url = f"etcd://127.0.0.1:{proxy.port},{direct}/{keys.cluster}"
            with opened(url) as store, pytest.raises(StoreUnreachable, match="may have been done"):
                store.commit(Change({}, {keys.lead: b"x"}), patience=LONG)
        finally:
            proxy.close()


def fill(store: EtcdStore, keys: Keys) -> None:
    """Put more than there is room for."""
    for n in range(1000):
        put(store, keys.row(str(n)), os.urandom(5000))


# --- nodes that die ----------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["kill", "stop"])
def test_no_acked_change_is_lost_and_none_happens_twice(
    three_etcd: EtcdNodes, store: EtcdStore, keys: Keys, fault: str
) -> None:
    """Many count up one number by turns while the leading node goes: it is the number of turns."""
    counter = keys.life("counter")
    put(store, counter, b"0 start")
    done: list[int] = []
    writers = [threading.Thread(target=count_up, args=(store, counter, 60, done)) for _ in range(3)]
    for writer in writers:
        writer.start()
    leader = three_etcd.leader()
    three_etcd.kill(leader) if fault == "kill" else three_etcd.stop(leader)
    for writer in writers:
        writer.join(LONG * 2)
    assert len(done) == 180
    three_etcd.heal()
    found = store.get(counter, patience=LONG)
    assert found is not None
    assert int(found.value.split()[0]) == 180
    wait_until(  # each of them, and not the majority alone
        lambda: [three_etcd.value(node, counter) for node in range(3)] == [found.value] * 3
    )


def count_up(store: EtcdStore, key: str, turns: int, done: list[int]) -> None:
    """Add one to a number, again and again, beside others who do the same."""
    while turns:
        found = store.get(key, patience=LONG)
        assert found is not None
        number = int(found.value.split()[0]) + 1
        change = Change({key: found.version}, {key: f"{number} {uuid.uuid4().hex}".encode()})
        if store.commit(change, patience=LONG).is_done:
            done.append(number)
            turns -= 1


def test_without_a_majority_nothing_is_answered(three_etcd: EtcdNodes, keys: Keys) -> None:
    """Within the patience, neither reads nor changes; and all of it once there is one again."""
    with opened(three_etcd.url(keys.cluster)) as store:
        version = put(store, keys.lead, b"before")
        for node in (0, 1):
            three_etcd.kill(node)
        with pytest.raises(StoreUnreachable, match="has not answered within 2 s"):
            store.get(keys.lead, patience=2.0)
        change = Change({keys.lead: version}, {keys.lead: b"after"})
        with pytest.raises(StoreUnreachable):
            store.commit(change, patience=2.0)
        with pytest.raises(StoreUnreachable):
            store.list(keys.base, patience=2.0)
        three_etcd.restart(0)
        assert store.commit(change, patience=LONG).is_done


def test_the_node_that_has_answered_is_asked_first(three_etcd: EtcdNodes, keys: Keys) -> None:
    """A dead one costs one call and not each."""
    three_etcd.kill(0)
    with opened(three_etcd.url(keys.cluster)) as store:
        for _ in range(2):  # one of the two that live may be slow
            store.get(keys.lead, patience=LONG)
            assert store._first in (1, 2)


# --- users and certificates --------------------------------------------------------------------


def test_nodes_that_rested_answer_when_they_are_needed_again(
    three_etcd: EtcdNodes, store: EtcdStore, keys: Keys
) -> None:
    """They hang between the tests that need them, and nothing of theirs is lost."""
    put(store, keys.life("btc"), b"kept")
    three_etcd.rest()
    refused(lambda patience: store.get(keys.life("btc"), patience=patience), "")
    three_etcd.heal()
    assert three_etcd.value(three_etcd.leader(), keys.life("btc")) == b"kept"


def test_users_have_the_rights_that_they_were_given(tmp_path: Path, keys: Keys) -> None:
    """A wrong word, no word, no right: each is told with its cure, and a login is renewed."""
    with one_etcd(tmp_path) as nodes:
        url = nodes.url(keys.cluster)
        with_users(nodes, keys.cluster)
        trader = Access("trader", "trader's word")
        with opened(url, trader) as store:
            version = put(store, keys.lead, b"x")
            assert len(store.list(keys.base, patience=LONG)[0]) == 1
            with closing(store.watch(keys.base, version - 1, patience=LONG)) as watch:
                assert gather(watch, 1) == [(keys.lead, b"x")]
            store._token = "a token of yesterday"
            assert store.get(keys.lead, patience=LONG) is not None
            with pytest.raises(StoreError, match="does not let this user"):
                store.get(Keys("another").lead, patience=LONG)
            silent = store.watch(keys.base, version, patience=0.5)
            for _ in range(9):  # the node itself is asked meanwhile, with the user's rights
                assert next(silent) == News(version)
            silent.close()
        for access, words in (
            (Access("trader", "wrong"), "refuses the name or password"),
            (Access(), "wants a login"),
        ):
            with opened(url, access) as store, pytest.raises(StoreError, match=words) as told:
                store.get(keys.lead, patience=LONG)
            assert not isinstance(told.value, StoreUnreachable)
        with opened(url, Access("reader", "reader's word")) as store:
            assert store.get(keys.lead, patience=LONG) is not None
            with pytest.raises(StoreError, match="does not let this user"):
                store.commit(Change({}, {keys.lead: b"y"}), patience=LONG)


def test_a_login_of_a_store_that_went_back_in_time_is_renewed(tmp_path: Path, keys: Keys) -> None:
    """A login names how far the store had come; one that was restored waits until it is there."""
    with one_etcd(tmp_path) as nodes:
        with_users(nodes, keys.cluster)
        with opened(nodes.url(keys.cluster), Access("trader", "trader's word")) as store:
            put(store, keys.lead, b"1")
            store._token = f"{store._token.partition('.')[0]}.1000000"
            with pytest.raises(StoreUnreachable, match="no answer in time"):
                store.get(keys.lead, patience=2.0)
            found = store.get(keys.lead, patience=LONG)
            assert found is not None
            assert found.value == b"1"


def test_a_login_that_the_store_does_not_ask_for_is_refused(
    three_etcd: EtcdNodes, keys: Keys
) -> None:
    """Whoever has set one believes that nobody else gets in."""
    with (
        opened(three_etcd.url(keys.cluster), Access("me", "word")) as store,
        pytest.raises(StoreError, match="etcdctl auth enable"),
    ):
        store.get(keys.lead, patience=LONG)


def test_tls_trusts_the_named_authority_alone(tmp_path: Path, keys: Keys) -> None:
    """Calls and watches; with a certificate of our own where the store wants one."""
    (tmp_path / "both.pem").write_text(CERTIFICATE)
    (tmp_path / "ca.pem").write_text(CERTIFICATE[CERTIFICATE.index("-----BEGIN CERT") :])
    path, ca = str(tmp_path / "both.pem"), str(tmp_path / "ca.pem")
    flags = ["--cert-file", path, "--key-file", path, "--trusted-ca-file", ca]
    flags += ["--client-cert-auth"]
    with one_etcd(tmp_path, flags=flags, scheme="https") as nodes:
        url = nodes.url(keys.cluster)
        with opened(url, Access(ca=ca, cert=path)) as store:
            version = put(store, keys.lead, b"x")
            with closing(store.watch(keys.base, version - 1, patience=LONG)) as watch:
                assert gather(watch, 1) == [(keys.lead, b"x")]
        for access in (Access(ca=ca), Access(cert=path)):
            with opened(url, access) as store:
                with pytest.raises(StoreUnreachable):
                    store.get(keys.lead, patience=2.0)
                with pytest.raises(StoreUnreachable):
                    next(store.watch(keys.base, 1, patience=1.0))
        with opened(url) as store, pytest.raises(StoreUnreachable, match="TTSLO_STORE_CA"):
            store.get(keys.lead, patience=2.0)
        with (
            opened(url.replace("localhost", "127.0.0.1"), Access(ca=ca, cert=path)) as store,
            pytest.raises(StoreUnreachable, match="not to be trusted"),
        ):
            store.get(keys.lead, patience=2.0)


def test_files_that_are_no_certificates_are_named(tmp_path: Path) -> None:
    """Before anything is asked."""
    (tmp_path / "empty.pem").write_text("")
    for access, name in (
        (Access(ca=str(tmp_path / "none.pem")), "TTSLO_STORE_CA"),
        (Access(ca=str(tmp_path / "empty.pem")), "TTSLO_STORE_CA"),
        (Access(cert=str(tmp_path / "empty.pem")), "TTSLO_STORE_CERT"),
        (Access(cert=str(tmp_path / "empty.pem"), key=str(tmp_path / "no.pem")), "STORE_KEY"),
    ):
        with pytest.raises(ValueError, match=name):
            store_from("etcds://localhost:1/x", access)
