"""Ingestion: sources -> corpus (clean, deduplicated, split shards), quarantine and data card."""
