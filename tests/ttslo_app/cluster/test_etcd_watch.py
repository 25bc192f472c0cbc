"""Watches on real etcd: nothing is left out, and no silence is taken for peace."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests.kits.hosts.three_etcd import EtcdNodes, gather, one_etcd, opened, put, with_users
from ttslo_app.cluster.address import Access
from ttslo_app.cluster.etcd import EtcdStore
from ttslo_app.cluster.records import Keys
from ttslo_app.cluster.store import Change, News, StoreError, StoreUnreachable

LONG = 60.0


def test_a_watch_tells_what_happens_below_its_prefix(store: EtcdStore, keys: Keys) -> None:
    """Whatever came after the revision that is known, and nothing of others."""
    first = put(store, keys.row("a"), b"1")
    put(store, keys.life("a"), b"of another prefix")
    second = put(store, keys.row("b"), b"2")
    store.commit(Change({}, {}, [keys.row("a")]), patience=LONG)
    with closing(store.watch(keys.rows, first, patience=1.0)) as watch:
        assert gather(watch, 2) == [(keys.row("b"), b"2"), (keys.row("a"), None)]
    with closing(store.watch(keys.rows, second, patience=1.0)) as watch:
        assert gather(watch, 1) == [(keys.row("a"), None)]


def test_a_watch_gives_its_thread_back_while_nothing_happens(store: EtcdStore, keys: Keys) -> None:
    """News without anything, again and again, and then what happens."""
    known = put(store, keys.row("a"), b"1")
    with closing(store.watch(keys.rows, known, patience=0.05)) as watch:
        assert [next(watch) for _ in range(3)] == [News(known)] * 3
        put(store, keys.row("b"), b"2")
        assert gather(watch, 1) == [(keys.row("b"), b"2")]


def test_a_change_of_many_keys_is_one_piece_of_news(store: EtcdStore, keys: Keys) -> None:
    """However large it is: no reader sees half of a change."""
    known = store.list(keys.rows, patience=LONG)[1]
    rows = {keys.row(f"{n:03}"): os.urandom(15_000) for n in range(60)}
    version = store.commit(Change({}, rows), patience=LONG).version
    with closing(store.watch(keys.rows, known, patience=LONG)) as watch:
        news = next(watch)
    assert news.version == version
    assert {entry.key: entry.value for entry in news.entries} == rows


def test_what_was_thrown_away_tears_a_watch(
    three_etcd: EtcdNodes, store: EtcdStore, keys: Keys
) -> None:
    """Changes were lost, and it says so: then all is to be read anew."""
    first = put(store, keys.row("a"), b"1")
    last = put(store, keys.row("a"), b"2", first)
    three_etcd.call(0, "kv/compaction", {"revision": str(last), "physical": True})
    assert list(store.watch(keys.rows, first - 1, patience=LONG)) == [News(first - 1, is_torn=True)]


@pytest.mark.parametrize("fault", ["kill", "stop"])
def test_a_watch_ends_with_its_node_and_goes_on_at_another(
    three_etcd: EtcdNodes, store: EtcdStore, keys: Keys, fault: str
) -> None:
    """It says so, within seconds even of a node that only hangs; nothing is missed between."""
    known = put(store, keys.row("a"), b"1")
    at = store._first
    watch = store.watch(keys.rows, known, patience=0.2)
    assert next(watch) == News(known)
    three_etcd.kill(at) if fault == "kill" else three_etcd.stop(at)
    with pytest.raises(StoreUnreachable):
        gather(watch, 1)
    put(store, keys.row("b"), b"2")
    with closing(store.watch(keys.rows, known, patience=LONG)) as again:
        assert gather(again, 1) == [(keys.row("b"), b"2")]


def test_a_watch_on_a_node_without_a_majority_ends(three_etcd: EtcdNodes, keys: Keys) -> None:
    """Its silence would be taken for peace."""
    with opened(f"etcd://127.0.0.1:{three_etcd.ports[2]}/{keys.cluster}") as store:
        known = put(store, keys.row("a"), b"1")
        watch = store.watch(keys.rows, known, patience=0.2)
        assert next(watch) == News(known)
        for node in (0, 1):
            three_etcd.kill(node)
        with pytest.raises(StoreUnreachable):
            gather(watch, 1)


def test_a_store_of_yesterday_tears_a_watch(store: EtcdStore, keys: Keys) -> None:
    """One that has not come as far as what is known would be silent for a long time."""
    news = list(store.watch(keys.rows, 10**9, patience=0.5))
    assert news[-1] == News(10**9, is_torn=True)


def test_watches_without_the_right_or_with_an_old_login_end(tmp_path: Path, keys: Keys) -> None:
    """And the next one has a new login."""
    with one_etcd(tmp_path) as nodes:
        with_users(nodes, keys.cluster)
        with opened(nodes.url(keys.cluster), Access("trader", "trader's word")) as store:
            version = put(store, keys.lead, b"x")
            with pytest.raises(StoreError):
                list(store.watch(Keys("another").base, 1, patience=0.5))
            store._token = "a token of yesterday"
            with pytest.raises(StoreError):
                list(store.watch(keys.base, version - 1, patience=0.5))
            with closing(store.watch(keys.base, version - 1, patience=LONG)) as watch:
                assert gather(watch, 1) == [(keys.lead, b"x")]


def test_nobody_there_is_told(keys: Keys) -> None:
    """As a store that cannot be reached."""
    with (
        opened(f"etcd://127.0.0.1:1/{keys.cluster}") as store,
        pytest.raises(StoreUnreachable, match="cannot connect"),
    ):
        next(store.watch(keys.base, 1, patience=0.5))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 502 Bad\r\nContent-Type: text/html\r\n\r\n<html>",
        b"HTTP/1.1 200 OK\r\n\r\n<html>\n",
        b"HTTP/1.1 200 OK\r\n\r\n{}\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b'{"error": {"message": "etcdserver: no leader"}}\n',
        b"HTTP/1.1 200 OK\r\n\r\n" + b'{"result": {"events": [{"kv": 7}]}}\n',
        b"SSH-2.0\r\n\r\n",
        b"",
    ],
)
def test_whatever_answers_oddly_ends_a_watch(keys: Keys, answer: bytes) -> None:
    """It is told as unreachable, and nothing of it is news."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer_once, args=(server, answer))
        thread.start()
        url = f"etcd://127.0.0.1:{server.getsockname()[1]}/{keys.cluster}"
        with opened(url) as store, pytest.raises(StoreUnreachable):
            list(store.watch(keys.base, 1, patience=LONG))
        thread.join(LONG)


def answer_once(server: socket.socket, answer: bytes) -> None:
    """Answer one request, whatever it is, and close."""
    client, _ = server.accept()
    with client:
        client.recv(65536)
        client.sendall(answer)
