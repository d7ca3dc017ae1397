"""Images: pictures of one size, read as pixels."""

UNIT = "image"
DOCUMENT = "image"
OFFERS = ("image", "pixels", "views")  # whatever the architecture; see ARCHITECTURES
ARCHITECTURES = {"cnn": ("maps",), "resnet": ("maps",), "vit": ("maps", "patches"), "mlp": ()}
FIELDS = {"image": "image", "label": "label"}
READS = ("image",)
SHARED = ("height", "width", "channels")
MODEL_TYPES = ("convnext", "dinov2", "ijepa", "resnet", "small_cnn", "small_mlp", "small_resnet", "vit")
PUBLISHED = {"convnext": (), "dinov2": (), "resnet": (), "vit": ()}  # the capabilities that they add
TASK = "image_classification"  # where a task names no kind
USE = "image-feature-extraction"
LIBRARIES = ("pillow>=12,<14",)
INPUT = "string"  # base64
EXAMPLE = (  # a grey picture of 8 x 8 as a PNG file in base64
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEElEQVR42mNkEIQAJkGKGACW0QQ/5dbbJgAAAABJRU5ErkJggg=="
)
SNIPPET = """import base64
from pathlib import Path

import mlflow

model = mlflow.pyfunc.load_model("{uri}")
model.predict([base64.b64encode(Path("picture.png").read_bytes()).decode()])
"""
