"""Audio: recordings of speech or other sounds, read as waveforms of one sampling rate."""

UNIT = "second"
DOCUMENT = "clip"
LENGTH = "seconds"
OFFERS = ("audio", "waveform", "views")  # whatever the architecture; see ARCHITECTURES
ARCHITECTURES = {
    "wav2vec2": ("frames",),
    "melcnn": (),
}
FIELDS = {"audio": "audio", "label": "label", "start": "start", "end": "end"}
READS = ("audio",)
JOINED = True  # tables beside recordings say who speaks, and which parts are records
SHARED = ("rate",)
MODEL_TYPES = ("hubert", "mel_cnn", "wav2vec2", "wavlm")
PUBLISHED = {"hubert": ("frames",), "wav2vec2": ("frames",), "wavlm": ("frames",)}
TASK = "audio_classification"  # where a task names no kind
USE = "feature-extraction"
LIBRARIES = ("pillow>=12,<14", "soundfile>=0.14,<1", "soxr>=1.1,<2")
INPUT = "string"  # base64
EXAMPLE = (  # 32 ms of a tone at 8 kHz as a FLAC file in base64
    "ZkxhQwAAACIQABAAAACzAACzAfQA8AAAAQBvPIeCe1wSw3UTnw4vsHXWhAAAKCAAAAByZWZlcmVuY2UgbGliRkxBQyAxLjQu"
    "MyAyMDIzMDYyMwAAAAD/+IQIAIJGAAAKlhPrGua0Hf1Anc+BgHJGCmOKzKfZL1t2JYVwghBERqWtJ9Oo5RjiiORWpa16//EI"
    "Mc4xGZvta1ravisOMU5UR79P9KczBCBCiERjZPSt8zBXGFOIRWJfZrdbVIYQQYpiNvyVvbewhhBBTlKndJWsnZlCiCCCCI63"
    "yWT6/qlFIFKYyZk3TfbtSRgpjisyn2S9bdiWFcIIQREalrSfTqOUY4ojkVqWtetNpw=="
)
SNIPPET = """import base64
from pathlib import Path

import mlflow

model = mlflow.pyfunc.load_model("{uri}")
model.predict([base64.b64encode(Path("clip.wav").read_bytes()).decode()])
"""
