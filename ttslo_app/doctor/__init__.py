"""`ttslo doctor`: what would keep the program from its work, found before it matters."""
