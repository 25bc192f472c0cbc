"""All of it put together: the program, its command line, and the demo."""
