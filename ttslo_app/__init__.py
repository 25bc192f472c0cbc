"""The program: `rules` read rows, `watch` sees crossings, `orders` places, `run` runs."""
