"""What outlives the program: its files."""
