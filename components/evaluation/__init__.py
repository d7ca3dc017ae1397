"""Evaluation: branch (and the champion, on the same examples) -> metrics with intervals."""
