"""The files' manager, as earlier callers know it."""

from ttslo_app.store.manager import AlreadyRunning, ConfigManager, Disk, StateLock

__all__ = ["AlreadyRunning", "ConfigManager", "Disk", "StateLock"]
