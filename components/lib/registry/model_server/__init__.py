"""A server of one registered model that follows an alias: batches of what waits, roll-outs that are asked."""
