"""Checkpoints: layout, save, load, commit, resume."""
