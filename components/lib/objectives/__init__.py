"""Self-supervised objectives: a head on the trunk, a loss, and its view of a batch. One file an objective.

An objective declares, as literals, `NEEDS`, the capabilities of modality and architecture that it needs, and
WHOLE_BATCH = True if it compares the samples of a batch, which then cannot be cut into micro-batches; and

    Config                      its settings; with TEACHER = True, one is `teacher`: a trunk to learn from,
                                named as pretraining.start is, which then is the third argument of
    Objective(config, trunk)    nn.Module: PARTS, prepare(samples, draw) -> batch, forward(batch) -> Loss, and
                                perhaps phases() and after_step(): see engine/trainable. A report shows what
                                `pictures(samples, draw)`, if there is one, returns: objects with a title, a
                                note and `png()`.
"""
