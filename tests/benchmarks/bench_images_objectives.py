"""What each visual objective buys: a linear probe of its trunk against one of the same random weights.

    python -m tests.benchmarks.bench_images_objectives [contrastive byol ...]

A seed draws the weights, the order and the labels; its trunk and its random twin are probed on the same
labels, each with the regularisation that its own held-out labels choose. The interval is Student's t over the
differences of seeds. Seeds run side by side with a thread each; what was measured is kept in
build/benchmarks/images until its recipe or code changes, so a broken run goes on where it was.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from tests.benchmarks import pretext, probing
from tests.benchmarks.history import record
from tests.benchmarks.imagesets import SETS, Missing
from tests.benchmarks.pretext import RECIPES, SEEDS, Recipe

DRAWS = 4  # draws of labels a seed, whose mean counts as one
COUNTS = (100, 500)


def measured(name: str, seed: int) -> dict[str, Any]:
    """Accuracy of both starts at each count of labels, and what the training cost."""
    recipe = RECIPES[name]
    file = pretext.KEPT / f"{name}-{seed}-{pretext.fingerprint(recipe, COUNTS, DRAWS)}.json"
    if not file.exists():
        trunk, seconds = pretext.pretrained(recipe, seed)
        found = {
            "trunk": probed(recipe, trunk, seed),
            "random": probed(recipe, pretext.start(recipe, seed), seed),
        }
        file.write_text(json.dumps({**found, "seconds": seconds}))
    return dict(json.loads(file.read_text()))


def probed(recipe: Recipe, trunk: Any, seed: int) -> list[float]:
    """Test accuracy at each count of labels."""
    draws = range(seed * DRAWS, (seed + 1) * DRAWS)
    return probing.curve(
        trunk, pretext.samples(recipe).frame, SETS[recipe.probed or recipe.data](), COUNTS, draws
    )


def summary(name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Prints and answers the figures of an objective over its seeds."""
    recipe, seconds = RECIPES[name], float(np.mean([run["seconds"] for run in runs]))
    rate = recipe.steps * recipe.batch / seconds
    cells = [f"{name:13} {recipe.data:8} {seconds:5.1f} CPU-s {rate:7,.0f} images/CPU-s"]
    figures = {"objective": name, "data": recipe.data, "seeds": len(runs), "cpu_seconds": seconds}
    figures["images_per_cpu_second"] = rate
    trunk, random = (np.array([run[start] for run in runs]) for start in ("trunk", "random"))
    for place, count in enumerate(COUNTS):
        gain = probing.Gain.of(trunk[:, place], random[:, place])
        figures[f"labels_{count}"] = gain.figures("trunk", "random")
        cells.append(f"{count}: {gain}")
    print("  ".join(cells), flush=True)
    return figures


def main() -> None:
    """Prints a line an objective and adds it to the history."""
    names = sys.argv[1:] or list(RECIPES)
    with pretext.side_by_side() as pool:
        for name in names:
            try:
                SETS[RECIPES[name].data]()
            except Missing as missing:
                print(f"{name} is skipped: {missing}")
                continue
            runs = list(pool.map(measured, [name] * SEEDS, range(SEEDS)))
            record("images_objectives", summary(name, runs))


if __name__ == "__main__":
    main()
