"""One crossing, one order."""
