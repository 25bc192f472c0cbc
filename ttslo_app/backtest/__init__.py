"""What rows of config.csv would have done on prices of the past."""
