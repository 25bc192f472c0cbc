"""Several machines, one account: who leads, and the truth that all of them share."""
