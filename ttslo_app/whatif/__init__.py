"""`ttslo whatif`: what rows would have done on the prices of the past."""
