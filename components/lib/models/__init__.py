"""Architectures, the loading of weights, packing, vision networks."""
