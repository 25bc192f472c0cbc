"""The running program: its threads, its loop, its rows and its files."""
