"""`ttslo paper`: the real program on real prices, with an exchange inside the process."""
