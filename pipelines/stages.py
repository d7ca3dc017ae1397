"""The stages as graphs use them: each component with its place on a cluster."""

from __future__ import annotations

import components.closing.component as closing
import components.evaluation.component as evaluation
import components.finetuning.component as finetuning
import components.ingestion.component as ingestion
import components.preflight.component as checking
import components.pretraining.component as pretraining
import components.promotion.component as promotion
import components.registration.component as registration
import components.tokenization.component as tokenization
from pipelines.resources import placed, stage_of

preflight = placed(checking.preflight)
ingest = placed(ingestion.ingest)
tokenize = placed(tokenization.tokenize)
pretrain = placed(pretraining.pretrain)
register = placed(registration.register)
finetune = placed(finetuning.finetune)
evaluate = placed(evaluation.evaluate)
promote = placed(promotion.promote)
close = placed(closing.close)

STAGE_OF = {
    component.name: stage_of(component)
    for component in (
        checking.preflight, ingestion.ingest, tokenization.tokenize, pretraining.pretrain,
        registration.register, finetuning.finetune, evaluation.evaluate, promotion.promote, closing.close,
    )
}  # fmt: skip
