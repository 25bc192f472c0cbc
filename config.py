"""The program's files, as callers know them: config.csv, state.csv, logs.csv.

`ConfigManager` reads and writes them. Whoever runs the program as a part of another one holds a
`StateLock` meanwhile, which raises `AlreadyRunning` where somebody else does.
"""

from ttslo_app.store.lock import AlreadyRunning, StateLock
from ttslo_app.store.manager import ConfigManager

__all__ = ["AlreadyRunning", "ConfigManager", "StateLock"]
