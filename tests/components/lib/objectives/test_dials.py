"""Two processes have the loss and the gradient of one for other dials than those of test_parallel."""

import pytest

from components.lib.engine.distributed import ALONE, World
from tests.components.lib.engine import worlds
from tests.components.lib.objectives.test_parallel import fit, same

# objective, options of the objective, of the trunk
CASES = {
    "triplet": ("contrastive", {"loss": "triplet"}, {"architecture": "vit"}),
    "regularised": ("autoencoder", {"sparsity": 0.1, "decorrelation": 0.5}, {}),
    "circle": ("contrastive", {"loss": "circle"}, {"architecture": "vit"}),
    "plain patches": ("masked_image", {"normalised": False}, {}),
}


def fit_all(world: World) -> dict:
    return {
        case: fit(world, name, "image", options=options, **dials)
        for case, (name, options, dials) in CASES.items()
    }


@pytest.fixture(scope="module")
def of_one():
    return fit_all(ALONE)


@pytest.fixture(scope="module")
def of_two():
    return worlds.run(fit_all, 2)[0]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_have_the_loss_and_gradient_of_one(case, of_one, of_two):
    same(of_one[case], of_two[case])
