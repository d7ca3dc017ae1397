"""Bytes to records: sources, formats, streams, decoding."""
