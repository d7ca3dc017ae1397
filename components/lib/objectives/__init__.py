"""Self-supervised objectives, one file each: a head on the trunk, a loss, and its view of a batch."""
