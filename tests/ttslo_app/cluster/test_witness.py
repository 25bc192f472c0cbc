"""The small file in which a host remembers a store."""

from pathlib import Path

import pytest

from ttslo_app.cluster.witness import HostFile


def test_the_name_of_a_host_stays(tmp_path: Path) -> None:
    """Two hosts on one machine have two names, and each keeps its own."""
    first = HostFile(tmp_path / "a", "c").name()
    assert first == HostFile(tmp_path / "a", "c").name()
    assert first != HostFile(tmp_path / "b", "c").name()
    assert all(c.isalnum() or c in "-." for c in first)


def test_an_older_store_is_noticed(tmp_path: Path) -> None:
    """What has a lower version than was seen was seen earlier, or was restored."""
    path = tmp_path / "host"
    HostFile(path, "c").keep(7)
    assert HostFile(path, "c").newest() == 7


def test_another_store_of_the_same_name_is_another_store(tmp_path: Path) -> None:
    """A store that was made anew begins with low versions."""
    path = tmp_path / "host"
    HostFile(path, "old").keep(10**6)
    assert HostFile(path, "new").newest() == 0
    HostFile(path, "new").keep(3)
    assert HostFile(path, "old").newest() == 10**6


def test_the_name_and_the_versions_share_the_file(tmp_path: Path) -> None:
    """Neither is lost when the other is written."""
    file = HostFile(tmp_path / "host", "c")
    name = file.name()
    file.keep(5)
    assert file.name() == name
    assert file.newest() == 5


@pytest.mark.parametrize("text", ["", "?", "[]", '{"versions": 3, "host": 4}'])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, text: str) -> None:
    """Kraken notices an old store, too; the file is only the earlier word."""
    path = tmp_path / "host"
    path.write_text(text)
    file = HostFile(path, "c")
    assert file.newest() == 0
    name = file.name()
    file.keep(2)
    assert (file.newest(), file.name()) == (2, name)


def test_a_file_that_cannot_be_written_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder that is not there is said in the log."""
    file = HostFile(tmp_path / "no folder" / "host", "c")
    file.keep(3)
    assert file.newest() == 0
    assert file.name()
    assert "cannot be written" in caplog.text
