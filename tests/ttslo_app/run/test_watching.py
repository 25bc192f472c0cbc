"""Who lives is seen, and not read."""

from __future__ import annotations

import uuid

from store_cli_kit import FakeHost
from three_etcd import EtcdNodes, opened

from ttslo_app.cluster.records import Keys
from ttslo_app.run.watching import is_led, signs_of_life


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
