"""The stages of Trunkline, in flow order."""

STAGES = (
    "preflight",
    "ingestion",
    "tokenization",
    "pretraining",
    "registration",
    "finetuning",
    "evaluation",
    "promotion",
    "closing",
)
