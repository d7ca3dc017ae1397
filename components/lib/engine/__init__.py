"""The one training engine: it serves every objective and every task, and never asks which."""
