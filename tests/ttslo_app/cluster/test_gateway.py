"""The words of etcd's gateway, told by answers that were recorded of etcd 3.4, and by odd ones."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kits.common.examples import many
from ttslo_app.cluster import gateway
from ttslo_app.cluster.gateway import Fate, Odd
from ttslo_app.cluster.store import Change, Entry

HEADER = {"header": {"cluster_id": "1", "member_id": "2", "revision": "7", "raft_term": "2"}}


def kv(key: str, value: str, version: int) -> dict[str, Any]:
    """Return an entry as etcd tells it."""
    return {"key": gateway.text(key), "value": gateway.text(value), "mod_revision": str(version)}


def refused(*ranges: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the answer to a change that was refused: etcd leaves out what is false or empty."""
    parts = [{"response_range": {"header": {}, **({"kvs": r} if r else {})}} for r in ranges]
    return {**HEADER, "responses": parts}


@pytest.mark.parametrize("prefix", ["/ttslo/a/", "a", "z~", "\u00ff"])
def test_the_end_of_a_prefix_is_behind_all_of_its_keys(prefix: str) -> None:
    """And before the next thing."""
    end = base64.b64decode(gateway.end_of(prefix))
    assert prefix.encode() < (prefix + "\U0010ffff").encode() < end
    assert len(end) == len(prefix.encode())


def test_a_page_begins_behind_the_last_key_and_at_its_revision() -> None:
    """Nothing is read twice, or left out."""
    first = gateway.page_body("/a/", None, 0, 10)
    assert "revision" not in first
    later = gateway.page_body("/a/", "/a/x", 7, 10)
    assert base64.b64decode(later["key"]) == b"/a/x\0"
    assert (later["revision"], later["limit"]) == ("7", 10)


def test_a_change_that_is_done_tells_its_revision() -> None:
    """Of as many steps as were asked."""
    change = Change({"a": 1}, {"a": b"x"}, ["b"])
    told = {**HEADER, "succeeded": True, "responses": [{}, {}]}
    assert gateway.read_txn(change, told).version == 7
    with pytest.raises(Odd):
        gateway.read_txn(change, {**told, "responses": [{}]})


def test_a_refused_change_tells_what_it_rests_on_and_no_more() -> None:
    """Keys that are only put are read, too, to know our own."""
    change = Change({"a": 1, "gone": 2}, {"b": b"mine"})
    answer = gateway.read_txn(change, refused([kv("a", "x", 5)], [], [kv("b", "other", 4)]))
    assert not answer.is_done
    assert answer.found == {"a": Entry("a", b"x", 5)}
    assert gateway.read_txn(change, refused([kv("a", "x", 5)], [], [kv("b", "mine", 4)])).is_done


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"header": {}},
        {"header": 7},
        {**HEADER, "responses": "x"},
        {**HEADER, "responses": []},
        refused([kv("b", "x", 5)]),
        {**HEADER, "responses": [{"response_put": {}}]},
        {**HEADER, "responses": [None]},
        {**HEADER, "responses": [{"response_range": {"kvs": [{"key": "!"}]}}]},
        {**HEADER, "responses": [{"response_range": {"kvs": [7]}}]},
        {**HEADER, "responses": [{"response_range": {"kvs": {}, "x": 1}}] * 2},
        {"header": {"revision": "x"}},
    ],
    ids=str,
)
def test_an_answer_of_something_else_is_odd(told: dict[str, Any]) -> None:
    """And says neither done nor refused."""
    with pytest.raises(Odd):
        gateway.read_txn(Change({"a": 1}, {"a": b"x"}), told)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["header", "revision", "kvs", "key", "responses", "succeeded",
                         "response_range", "value", "mod_revision"]), inner),
)  # fmt: skip


@settings(max_examples=many())
@given(JSON)
def test_no_answer_is_taken_for_a_change_that_it_does_not_tell_of(told: object) -> None:
    """Whatever comes: it is odd, or an answer whose parts are all there."""
    change = Change({"a": 1}, {"a": b"token"})
    try:
        answer = gateway.read_txn(change, gateway.read_object(json.dumps(told).encode()))
    except Odd:
        return
    assert isinstance(told, dict)
    assert len(told["responses"]) == 1
    assert not answer.is_done or told.get("succeeded") is True


@pytest.mark.parametrize(
    ("said", "fate"),
    [
        ("etcdserver: invalid auth token", Fate.LOGIN),
        ("etcdserver: revision of auth store is old", Fate.LOGIN),
        ("etcdserver: user name is empty", Fate.REFUSED),
        ("etcdserver: authentication failed, invalid user ID or password", Fate.REFUSED),
        ("etcdserver: authentication is not enabled", Fate.REFUSED),
        ("etcdserver: permission denied", Fate.REFUSED),
        ("etcdserver: mvcc: database space exceeded", Fate.REFUSED),
        ("etcdserver: corrupt cluster", Fate.REFUSED),
        ("etcdserver: request is too large", Fate.REFUSED),
        ("etcdserver: too many operations in txn request", Fate.REFUSED),
        ("etcdserver: duplicate key given in txn request", Fate.REFUSED),
        ("etcdserver: mvcc: required revision has been compacted", Fate.REFUSED),
        ("etcdserver: too many requests", Fate.NOT_DONE),
        ("etcdserver: no leader", Fate.ELSEWHERE),
        ("etcdserver: request timed out", Fate.ELSEWHERE),
        ("etcdserver: request timed out, possibly due to previous leader failure", Fate.ELSEWHERE),
        ("etcdserver: leader changed", Fate.ELSEWHERE),
        ("context deadline exceeded", Fate.ELSEWHERE),
        ("etcdserver: server stopped", Fate.ELSEWHERE),
        ("something new", Fate.ELSEWHERE),
    ],
)
def test_each_word_of_etcd_has_its_meaning(said: str, fate: Fate) -> None:
    """What may have been done is never called refused; its own words are shown behind ours."""
    data = json.dumps({"error": said, "message": said, "code": 9}).encode()
    refusal = gateway.refusal(400, "application/json", data)
    assert refusal.fate is fate
    assert said in refusal.text


def test_a_certificate_with_a_name_is_told_with_its_cure() -> None:
    """As etcd 3.4 says it, in plain text, where it knows users and wants certificates."""
    said = b"CommonName of client sending a request against gateway will be ignored\n"
    refusal = gateway.refusal(400, "text/plain; charset=utf-8", said)
    assert refusal.fate is Fate.REFUSED
    assert "without CN" in refusal.text


@pytest.mark.parametrize(
    ("status", "kind", "data"),
    [
        (502, "text/html; charset=utf-8", b"<html>Bad gateway</html>"),
        (301, "", b""),
        (404, "text/plain", b"Not Found"),
        (500, "application/json", b'{"message": 7}'),
        (500, "application/json", b"[]"),
        (200, "text/html", b"<html>log in</html>"),
    ],
)
def test_what_is_not_etcd_may_have_done_anything(status: int, kind: str, data: bytes) -> None:
    """A proxy between may have passed the change on."""
    refusal = gateway.refusal(status, kind, data)
    assert refusal.fate is Fate.ELSEWHERE
    assert "not etcd" in refusal.text
    assert str(status) in refusal.text
