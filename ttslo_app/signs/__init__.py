"""What a running program lets people and machines know: its table, page, snapshot and messages."""
