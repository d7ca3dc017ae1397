"""Tokenization: corpus -> tokenizer and memory-mapped token shards."""
