"""Text trunks: architectures, attention, packing, prediction heads."""
