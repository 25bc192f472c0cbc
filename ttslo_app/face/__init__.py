"""How what is told looks, and how it leaves: lines, table, page, figures, messages."""
