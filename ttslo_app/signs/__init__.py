"""What a running program tells of itself: beats and snapshot, table, page, messages."""
