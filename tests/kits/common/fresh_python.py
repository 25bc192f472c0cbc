"""Runs code in an interpreter of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 180.0
_COMPLAINT = re.compile(r"Traceback|Error\b|ERROR|CRITICAL|Warning\b|WARNING|Exception|Fatal|fault")


def complaints(stderr: str) -> list[str]:
    """Return the lines that tell of something wrong.

    A slow machine may say more than a quick one, such as what it waits for; that is no fault.
    """
    return [line for line in stderr.splitlines() if _COMPLAINT.search(line)]


def run_python(code: str, **env: str) -> str:
    """Run `code` in a fresh interpreter in the project's folder; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, complaints(done.stderr)) == (0, [])
    return done.stdout.strip()
