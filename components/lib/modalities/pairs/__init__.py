"""Pairs: images with captions, read by two towers, one of images and one of texts."""

UNIT = "pair"
DOCUMENT = "pair"
PARTS = ("image", "text")
OFFERS = ("pairs",)
ARCHITECTURES = {}  # type: ignore[var-annotated]  # each tower has its own
FIELDS = {"image": "image", "text": "text"}
READS = ("image",)
JOINED = True
SERVED = ("image", "text")
SHARED = ("towers",)
MODEL_TYPES = ("dual_encoder",)
TASK = "retrieval"
USE = "zero-shot-image-classification"
LIBRARIES = ("pillow>=12,<14",)
INPUT = "string"  # the base64 of an image, or a text
EXAMPLE = None  # an image, a text, or both
SNIPPET = """import base64
from pathlib import Path

import mlflow
import pandas

model = mlflow.pyfunc.load_model("{uri}")
picture = base64.b64encode(Path("picture.png").read_bytes()).decode()
rows = pandas.DataFrame({{"image": [picture], "text": [None]}})  # or a text, and None for the image
model.predict(rows)
"""
