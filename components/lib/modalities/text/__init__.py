"""Text: documents of words, read as tokens."""

UNIT = "token"
DOCUMENT = "document"
LENGTH = "words"
OFFERS = ("text", "views", "sentences", "words")  # whatever the architecture; see ARCHITECTURES
ARCHITECTURES = {
    "bert": ("tokens", "bidirectional"),
    "modernbert": ("tokens", "bidirectional"),
    "gpt2": ("tokens", "causal"),
    "llama": ("tokens", "causal"),
    "static": ("spectral",),
}
FIELDS = {"text": "text"}
READS = ("text",)
STARTS = ("spectral",)
SHARED = ("dtype", "vocab_size", "special", "probes")
MODEL_TYPES = (
    "bert",
    "distilbert",
    "electra",
    "gpt2",
    "llama",
    "modernbert",
    "mpnet",
    "qwen2",
    "qwen3",
    "roberta",
    "static_embeddings",
)
PUBLISHED = {  # families of published checkpoints -> the capabilities that they add
    "bert": ("tokens", "bidirectional"),
    "distilbert": ("tokens", "bidirectional"),
    "electra": ("tokens", "bidirectional"),
    "gpt2": ("tokens", "causal"),
    "llama": ("tokens", "causal"),
    "modernbert": ("tokens", "bidirectional"),
    "mpnet": ("tokens", "bidirectional"),
    "qwen2": ("tokens", "causal"),
    "qwen3": ("tokens", "causal"),
    "roberta": ("tokens", "bidirectional"),
}
TASK = "sequence_classification"  # where a task names no kind
USE = "feature-extraction"
LIBRARIES = ()
INPUT = "string"
EXAMPLE = "The trunk carries the branches."
SNIPPET = """import mlflow

model = mlflow.pyfunc.load_model("{uri}")
model.predict(["a text", "another text"])
"""
