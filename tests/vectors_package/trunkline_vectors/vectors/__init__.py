"""Vectors: rows of numbers, from columns of tables."""

UNIT = "row"
DOCUMENT = "row"
OFFERS = ("vectors", "views")
ARCHITECTURES = {"mlp": ()}
FIELDS = {"vector": "*", "label": "label", "id": "id"}  # columns of numbers; two that are never among them
READS = ("vectors",)  # tables alone: no format holds anything of the kind
SHARED = ("columns", "mean", "std")
MODEL_TYPES = ("trunkline_vectors",)
TASK = "vector_classification"
USE = "feature-extraction"
LIBRARIES = ()
INPUT = "double[]"
EXAMPLE = None  # how many numbers a row has depends on the data
SNIPPET = """import mlflow

model = mlflow.pyfunc.load_model("{uri}")
row = [0.0] * len(model.unwrap_python_model().reader.columns)  # numbers, in the order of its columns
model.predict([{{"vector": row}}])
"""
