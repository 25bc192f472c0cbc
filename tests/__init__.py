"""So that `tests.kits` is found here, whatever else is installed by that name."""
