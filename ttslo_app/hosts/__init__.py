"""One of several hosts of an account: its run, its accounts, and the commands about their store."""
