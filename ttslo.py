"""The command `ttslo`, and the class `TTSLO` that earlier versions offered."""

import sys

from ttslo_app.run.cli import main
from ttslo_app.run.program import TTSLO, __version__

__all__ = ["TTSLO", "__version__", "main"]

if __name__ == "__main__":
    sys.exit(main())
