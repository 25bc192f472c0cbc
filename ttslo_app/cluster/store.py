"""What is asked of a shared store: versioned values, and changes that happen whole or not at all.

Every change names the versions that it rests on, and every value carries a word that nobody else
has written: whoever got no answer sends the very same change again, and where that is refused, the
word tells whether it was the first one that has been done. What must never happen here: that a
change whose outcome is unknown counts as done, or as refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class StoreError(OSError):
    """The store could not be asked, or refused for a reason of its own; the text says the cure.

    An `OSError`, as of a disk that cannot be written: nothing may rest on what was to be written.

    Attributes:
        is_of_store: Tells whoever speaks of it that no disk has to be freed.
    """

    is_of_store = True


class StoreUnreachable(StoreError):
    """No answer within the time: a change may have been done, or may be done later."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A value as the store has it.

    Attributes:
        version: The store's revision of its last change; a later change has a higher one.
    """

    key: str
    value: bytes
    version: int


@dataclass(frozen=True, slots=True)
class Change:
    """What is to happen whole or not at all.

    Attributes:
        rests_on: The version that each of these keys must have; 0 where there must be none.
        puts: The new values by key.
        deletes: The keys to take away.
    """

    rests_on: Mapping[str, int]
    puts: Mapping[str, bytes]
    deletes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a change.

    Attributes:
        is_done: Whether it has happened, now or when it was sent before.
        version: The revision of the change, where it has happened; of the answer, where not.
        found: What stood in its way, by key: of each key that it rests on, the entry that the store
            has, where it has one. Empty where it has happened.
    """

    is_done: bool
    version: int
    found: Mapping[str, Entry]


@dataclass(frozen=True, slots=True)
class News:
    """Changes that a watch has brought, in the order of the store.

    Attributes:
        version: Everything up to this revision has been told.
        entries: What was put.
        gone: The keys that were taken away.
        is_torn: Whether changes were lost, as after a compaction: then all is to be read anew.
    """

    version: int
    entries: Sequence[Entry] = ()
    gone: Sequence[str] = ()
    is_torn: bool = False


class Store(Protocol):
    """A store that keeps promises: linearizable, durable before it answers. Safe from any thread.

    Every call has a deadline of its own and tries each address of the store within it.
    """

    def get(self, key: str, *, patience: float) -> Entry | None:
        """Return what the store has under `key` at this moment; None where it has nothing. Blocks.

        Raises:
            StoreUnreachable: If no majority has answered within `patience` seconds.
            StoreError: If the store refuses.
        """
        ...

    def list(self, prefix: str, *, patience: float) -> tuple[Sequence[Entry], int]:
        """Return all that begins with `prefix`, by key, as of one revision, and that revision.

        Blocks; read in pages.

        Raises:
            StoreUnreachable: If no majority has answered within `patience` seconds.
            StoreError: If the store refuses.
        """
        ...

    def commit(self, change: Change, *, patience: float) -> Answer:
        """Do a change, if what it rests on is so. Blocks.

        Sent again as long as there is no answer. Each value that is put must be one that nobody
        else puts: where a repeated change is refused because it has been done already, that is
        seen by its own values, and it counts as done.

        Raises:
            StoreUnreachable: If its outcome is unknown after `patience` seconds. The same change
                may be committed again later, by this very object or another, to learn it.
            StoreError: If the store refuses for a reason of its own, such as a full disk.
        """
        ...

    def watch(self, prefix: str, after: int, *, patience: float) -> Iterator[News]:
        """Yield the changes below `prefix` later than revision `after`. Blocks between them.

        Yields News without entries at least every `patience` seconds, so that who waits here can
        see to other things; that alone does not say that the store answers.

        Raises:
            StoreUnreachable: If the connection is lost: watch again from the last version.
            StoreError: If the store refuses.
        """
        ...


def is_ours(answer_found: Mapping[str, Entry], puts: Mapping[str, bytes]) -> bool:
    """Tell whether a refused change was done before: what stands there is what it was to put."""
    return bool(puts) and all(
        key in answer_found and answer_found[key].value == value for key, value in puts.items()
    )
