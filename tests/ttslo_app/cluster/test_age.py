"""A store that went back in time is told from one that is only asked while others go on."""

from ttslo_app.cluster.age import Age


class Memory:
    """What a host remembers of the store, and how often it wrote that down."""

    def __init__(self, seen: int = 0) -> None:
        self.seen, self.writes = seen, 0

    def newest(self) -> int:
        return self.seen

    def keep(self, version: int) -> None:
        self.seen, self.writes = version, self.writes + 1


def test_store_that_knows_less_than_this_host_remembers_is_older() -> None:
    """An earlier run has kept a version; the same version is no older one."""
    for version, expected in ((6, True), (7, False), (8, False)):
        age = Age(Memory(7))
        age.ask()
        age.read(version)
        assert age.is_older == expected


def test_store_that_goes_back_while_it_is_watched_is_older() -> None:
    """Nothing has to be on the disk for that."""
    age = Age(Memory())
    age.heard(50, 0.0)
    age.ask()
    age.read(49)
    assert age.is_older


def test_what_is_heard_while_everything_is_read_says_nothing() -> None:
    """Our own beat is answered later than the question and earlier than the answer."""
    age = Age(memory := Memory())
    age.ask()
    age.heard(50, 0.0)
    age.read(49)
    assert not age.is_older
    assert memory.seen == 50


def test_later_reading_that_is_newer_takes_the_doubt_away() -> None:
    """A node that had lagged behind was asked, which a store of one mind does not do twice."""
    age = Age(Memory(7))
    age.ask()
    age.read(6)
    age.ask()
    age.read(9)
    assert not age.is_older


def test_how_new_it_is_is_written_once_a_minute() -> None:
    """Beats come twice a second."""
    age = Age(memory := Memory())
    for beat in range(240):
        age.heard(beat, beat / 2)
    assert (memory.writes, memory.seen) == (2, 120)


def test_nothing_older_is_kept() -> None:
    """Neither of a store that went back, nor by an election that this host won long ago."""
    age = Age(memory := Memory(100))
    age.keep(7)
    assert memory.seen == 100
    age.ask()
    age.read(9)
    age.heard(10, 0.0)
    assert memory.seen == 100
