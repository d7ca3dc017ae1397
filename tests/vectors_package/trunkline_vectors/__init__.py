"""Rows of numbers as a modality of Trunkline, with an objective and two tasks."""
