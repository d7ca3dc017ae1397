"""Acceptance of a cluster: real runs of the preset `smoke`, ended in every way, and what is left of each."""
