"""Kraken's REST interface: requests, answers, the wire, and the list of pairs."""
