"""Downstream tasks, one file each: labels -> targets, head, loss, metrics, per-example outcomes."""
