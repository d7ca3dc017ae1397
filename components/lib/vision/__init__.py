"""Images on the training device: augmentation, networks, decoders, pictures."""
