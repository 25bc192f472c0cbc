"""Clusters on real etcd, for commands about a shared store."""

import pytest

from tests.kits.hosts.store_cli_kit import made
from tests.kits.hosts.three_etcd import EtcdNodes, keys_of_its_own
from ttslo_app.cluster.records import Keys


@pytest.fixture
def keys(three_etcd: EtcdNodes) -> Keys:
    """A cluster of its own, with an account."""
    found = keys_of_its_own()
    made(three_etcd.url(found.cluster))
    return found


@pytest.fixture
def url(three_etcd: EtcdNodes, keys: Keys) -> str:
    """Return the address of that cluster."""
    return three_etcd.url(keys.cluster)
