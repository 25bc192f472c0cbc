"""What becomes of a change whose first answer was lost."""

import pytest

from ttslo_app.cluster.store import Entry, StoreError, StoreUnreachable, is_ours


def test_a_refused_change_was_done_before_if_all_it_puts_stands_there() -> None:
    """A token in each value tells one writing from every other, so equal bytes are our own."""
    puts = {"a": b"1:token", "b": b"2:token"}
    found = {"a": Entry("a", b"1:token", 7), "b": Entry("b", b"2:token", 7)}
    assert is_ours(found, puts)


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"a": Entry("a", b"1:token", 7)},
        {"a": Entry("a", b"1:token", 7), "b": Entry("b", b"2:another", 7)},
    ],
    ids=["nothing stands there", "a part stands there", "another has written since"],
)
def test_anything_else_is_a_refusal(found: dict[str, Entry]) -> None:
    """A change happens whole: a part of it is somebody else's, or was overwritten."""
    assert not is_ours(found, {"a": b"1:token", "b": b"2:token"})


def test_a_change_that_puts_nothing_leaves_no_trace() -> None:
    """A refused change without a value can be nobody's."""
    assert not is_ours({"a": Entry("a", b"x", 1)}, {})


def test_whoever_writes_files_takes_an_unreachable_store_for_a_bad_disk() -> None:
    """Nothing is sent whose intent may not be written down, on a disk or in a store."""
    assert issubclass(StoreUnreachable, StoreError)
    assert issubclass(StoreError, OSError)
