"""Pretraining: tokens -> trunk (weights, tokenizer, loss history)."""
