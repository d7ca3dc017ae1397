"""Vision networks, and what tasks put on them."""
