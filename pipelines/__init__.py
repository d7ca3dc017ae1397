"""Stages wired into graphs."""
