"""Promotion: evaluations -> gate, registered branches, aliases, report."""
