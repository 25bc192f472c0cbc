"""The command line: `ttslo` and its words, from arguments to exit codes."""
