"""Starts: where the weights of a branch come from. One file a start.

A start declares `prepare(model, trunk)`, which sets the weights of a branch whose head is random.
"""
