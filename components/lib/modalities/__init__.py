"""Kinds of data, one file each: record -> sample -> batch, and the trunks that read it."""
