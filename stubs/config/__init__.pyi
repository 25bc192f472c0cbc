from ttslo_app.store.lock import AlreadyRunning as AlreadyRunning
from ttslo_app.store.lock import StateLock as StateLock
from ttslo_app.store.manager import ConfigManager as ConfigManager

__all__ = ["AlreadyRunning", "ConfigManager", "StateLock"]
