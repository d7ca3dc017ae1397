"""Audio networks: wav2vec 2.0 by size."""
