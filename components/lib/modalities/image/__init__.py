"""Images."""

SEEN = "images"  # what a trunk reads
USE = {"task": "image-feature-extraction", "pipeline": "ImageFeatureExtractionPipeline", "inputs": "image"}
