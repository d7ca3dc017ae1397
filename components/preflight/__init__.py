"""Preflight: preset + overrides -> checked settings of every stage, and the list of tasks."""
