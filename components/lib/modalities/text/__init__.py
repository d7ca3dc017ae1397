"""Text."""

SEEN = "tokens"  # what a trunk reads
USE = {"task": "feature-extraction", "pipeline": "FeatureExtractionPipeline"}
