"""Published checkpoints as starts of a run: fetched once, checked, kept in the store."""
