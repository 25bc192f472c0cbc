"""Lines on a terminal: folded at its edge, and nowhere else."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttslo_app.face.voice import folded, show_line, width_of

LINE = "12:00:00Z  btc: armed: BTC/USD at or above 51000, now 50000 (2.00 % away); then sell 0.01"


def test_line_is_folded_at_the_edge_and_goes_on_under_its_text() -> None:
    """No piece is wider than the terminal, and those that follow are set in."""
    pieces = folded(LINE, 60).split("\n")
    assert len(pieces) == 2
    assert all(len(piece) <= 60 for piece in pieces)
    assert pieces[1].startswith(" " * 11)
    assert " ".join(piece.strip() for piece in pieces) == LINE


def test_line_that_fits_or_goes_to_a_pipe_stays_whole() -> None:
    """Who reads a pipe wants each line whole."""
    assert folded(LINE, len(LINE)) == LINE
    assert folded(LINE, None) == LINE


def test_word_that_does_not_fit_stays_whole() -> None:
    """An address that was broken could not be copied."""
    address = "https://" + "a" * 90
    assert address in folded(f"look at {address} now", 40).replace("\n", " ").split()


@given(st.text(), st.integers(30, 200))
def test_folding_loses_no_letter(text: str, width: int) -> None:
    """Whatever the text is, only blanks are added or taken."""
    assert "".join(folded(text, width).split()) == "".join(text.split())


def test_width_of_what_is_no_terminal_is_unknown(tmp_path: Path) -> None:
    """Files, pipes, closed streams and none at all."""
    with (tmp_path / "file").open("w", encoding="utf-8") as file:
        assert width_of(file) is None
    assert width_of(file) is None
    assert width_of(io.StringIO()) is None
    assert width_of(None) is None


@pytest.mark.skipif(os.name == "nt", reason="no pseudo-terminals there")
def test_terminal_gets_folded_lines() -> None:
    """A real terminal of forty columns."""
    import fcntl
    import pty
    import struct
    import termios

    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    with os.fdopen(other, "w", encoding="utf-8") as terminal:
        assert width_of(terminal) == 40
        show_line(terminal, LINE)
        shown = os.read(main, 4096).decode()
    os.close(main)
    assert max(len(line) for line in shown.splitlines()) <= 40
