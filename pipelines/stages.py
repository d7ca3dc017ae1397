"""The stages as graphs use them: each component with its place on a cluster."""

from __future__ import annotations

from components.closing.component import close as closing
from components.evaluation.component import evaluate as evaluation
from components.finetuning.component import finetune as finetuning
from components.ingestion.component import ingest as ingestion
from components.preflight.component import preflight as checking
from components.pretraining.component import pretrain as pretraining
from components.promotion.component import promote as promotion
from components.registration.component import register as registration
from components.tokenization.component import tokenize as tokenization
from pipelines.resources import placed, stage_of

COMPONENTS = (
    checking,
    ingestion,
    tokenization,
    pretraining,
    registration,
    finetuning,
    evaluation,
    promotion,
    closing,
)
STAGE_OF = {component.name: stage_of(component) for component in COMPONENTS}
preflight, ingest, tokenize, pretrain, register, finetune, evaluate, promote, close = map(placed, COMPONENTS)
