"""Real etcd, as the program has it."""

from collections.abc import Iterator

import pytest

from tests.kits.hosts.three_etcd import EtcdNodes, keys_of_its_own, opened
from ttslo_app.cluster.etcd import EtcdStore
from ttslo_app.cluster.records import Keys


@pytest.fixture
def keys() -> Keys:
    """Keys that no other test has."""
    return keys_of_its_own()


@pytest.fixture
def store(three_etcd: EtcdNodes, keys: Keys) -> Iterator[EtcdStore]:
    """The three nodes, as the program sees them."""
    with opened(three_etcd.url(keys.cluster)) as found:
        yield found
