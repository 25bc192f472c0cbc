"""The names that `fake_kraken` hands out."""

import pytest

import fake_kraken
from fake_kraken.exchange import FakeKraken


def test_every_name_is_handed_out() -> None:
    """Each from where it lives."""
    assert all(getattr(fake_kraken, name) is not None for name in fake_kraken.__all__)
    assert fake_kraken.FakeKraken is FakeKraken


def test_name_that_is_none_is_said() -> None:
    """As any module says it."""
    with pytest.raises(AttributeError, match="has no attribute 'FakeCoinbase'"):
        fake_kraken.FakeCoinbase  # noqa: B018
