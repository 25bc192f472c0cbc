"""What a row of config.csv means, and whether it may trade."""
