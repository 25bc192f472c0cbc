"""The live page: what a browser is told of a running program, by whom it may be asked."""
