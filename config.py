"""The files' manager, as earlier callers know it."""

from ttslo_app.store.disk import Disk
from ttslo_app.store.lock import AlreadyRunning, StateLock
from ttslo_app.store.manager import ConfigManager

__all__ = ["AlreadyRunning", "ConfigManager", "Disk", "StateLock"]
