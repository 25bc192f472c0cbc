"""The store, asked where something answers that is not etcd, or answers oddly."""

from __future__ import annotations

import json

import pytest
import requests
import responses

from tests.kits.hosts.three_etcd import refused
from ttslo_app.cluster.address import Access
from ttslo_app.cluster.etcd import EtcdStore, store_from
from ttslo_app.cluster.store import Change, StoreError, StoreUnreachable

HERE, THERE = "http://127.0.0.1:1", "http://127.0.0.1:2"
RANGE, TXN = "/v3/kv/range", "/v3/kv/txn"
CHANGE = Change({"a": 0}, {"a": b"token"})
HEADER = {"header": {"revision": "7"}}
DONE = {**HEADER, "succeeded": True, "responses": [{}]}


def opened(access: Access | None = None) -> EtcdStore:
    """Return a store of two nodes which are none."""
    return store_from("etcd://127.0.0.1:1,127.0.0.1:2/x", access)[0]


@responses.activate
@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (502, "<html>", "not etcd"),
        (307, "", "not etcd"),
        (200, "<html>", "not etcd"),
        (200, "[]", "not etcd"),
        (200, "{}", "no revision"),
        (503, json.dumps({"message": "etcdserver: no leader"}), "no majority"),
        (503, json.dumps({"message": "etcdserver: leader changed"}), "no majority"),
    ],
)
def test_a_node_that_answers_oddly_leaves_a_change_unknown(
    status: int, body: str, words: str
) -> None:
    """Each is asked again until time is over, and no redirect is followed."""
    for root in (HERE, THERE):
        headers = {"Location": "http://127.0.0.1:3/"}
        responses.post(root + TXN, body=body, status=status, headers=headers)
    store = opened()
    refused(
        lambda patience: store.commit(CHANGE, patience=patience),
        *("127.0.0.1:1: ", "127.0.0.1:2: ", words),
    )
    assert {call.request.url for call in responses.calls} == {HERE + TXN, THERE + TXN}


@responses.activate
def test_what_a_node_has_said_outlives_a_later_try_that_has_no_answer_in_time() -> None:
    """The last one is mostly cut short, which tells nobody what to do."""
    for root in (HERE, THERE):
        responses.post(root + RANGE, body="<html>", status=502)
        responses.post(root + RANGE, body=requests.ReadTimeout())
    with pytest.raises(StoreUnreachable) as told:
        opened().get("a", patience=0.5)
    assert len(responses.calls) > 2
    assert str(told.value).count("not etcd") == 2
    assert "in time" not in str(told.value)


@responses.activate
def test_the_next_node_answers_for_an_odd_one() -> None:
    """Within the same call."""
    responses.post(HERE + TXN, body="<html>", status=502)
    responses.post(THERE + TXN, json=DONE)
    assert opened().commit(CHANGE, patience=60.0).is_done


@responses.activate
def test_a_refusal_after_an_odd_answer_is_unknown() -> None:
    """The odd one may have passed the change on."""
    responses.post(HERE + TXN, body="<html>", status=502)
    responses.post(THERE + TXN, json={"message": "etcdserver: permission denied"}, status=403)
    with pytest.raises(StoreUnreachable, match="may have been done"):
        opened().commit(CHANGE, patience=60.0)


@responses.activate
def test_a_refusal_of_a_reading_is_told_at_once() -> None:
    """There is nothing that could have been done."""
    responses.post(HERE + RANGE, body="<html>", status=502)
    responses.post(THERE + RANGE, json={"message": "etcdserver: permission denied"}, status=403)
    with pytest.raises(StoreError, match="does not let this user") as told:
        opened().get("a", patience=60.0)
    assert not isinstance(told.value, StoreUnreachable)


@responses.activate
def test_a_busy_store_has_not_done_anything() -> None:
    """So what is refused after that was not done."""
    responses.post(HERE + TXN, json={"message": "etcdserver: too many requests"}, status=429)
    responses.post(THERE + TXN, json={"message": "etcdserver: permission denied"}, status=403)
    with pytest.raises(StoreError) as told:
        opened().commit(CHANGE, patience=60.0)
    assert not isinstance(told.value, StoreUnreachable)


@responses.activate
@pytest.mark.parametrize("told", [{}, {"token": 7}, {"token": "a\nb"}])
def test_a_login_without_a_token_is_odd(told: dict[str, object]) -> None:
    """And no answer to it is sent on as a header."""
    for root in (HERE, THERE):
        responses.post(f"{root}/v3/auth/authenticate", json=told)
    with pytest.raises(StoreUnreachable, match="no token"):
        opened(Access("me", "my word")).get("a", patience=0.2)


@responses.activate
def test_a_token_that_is_old_is_renewed_once_a_try() -> None:
    """Neither is the password in what is said, nor the token."""
    old = {"message": "etcdserver: invalid auth token"}
    for root in (HERE, THERE):
        responses.post(f"{root}/v3/auth/authenticate", json={"token": "secret.1"})
        responses.post(root + TXN, json=old, status=401)
    with pytest.raises(StoreUnreachable) as told:
        opened(Access("me", "my word")).commit(CHANGE, patience=0.2)
    assert "my word" not in str(told.value)
    assert "secret" not in str(told.value)
    sent = [call.request for call in responses.calls if str(call.request.url).endswith(TXN)]
    assert {one.headers["Authorization"] for one in sent} == {"secret.1"}


@responses.activate
def test_a_list_that_was_thrown_away_begins_anew() -> None:
    """All of it is of one revision."""
    page = {**HEADER, "kvs": [{"key": "L2E=", "mod_revision": "3"}], "more": True}
    gone = {"message": "etcdserver: mvcc: required revision has been compacted"}
    for root in (HERE, THERE):
        responses.post(root + RANGE, json=page)
        responses.post(root + RANGE, json=gone, status=400)
        responses.post(root + RANGE, json={**page, "more": False, "header": {"revision": "9"}})
    entries, revision = opened().list("/", patience=60.0)
    assert ([entry.key for entry in entries], revision) == (["/a"], 9)


def test_nobody_there_is_told_within_the_patience() -> None:
    """A change was certainly not done then, and is told as unreachable nevertheless."""
    with pytest.raises(StoreUnreachable, match="cannot connect"):
        opened().commit(CHANGE, patience=0.3)


def test_a_call_without_time_asks_nobody() -> None:
    """And says so."""
    with pytest.raises(StoreUnreachable, match="no answer in time"):
        opened().get("a", patience=0.0)
