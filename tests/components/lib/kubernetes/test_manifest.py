"""The TrainJob as an object, against Trainer's published model."""

import pytest
from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob

from components.lib.core.settings import from_dict
from components.lib.kubernetes.manifest import Place, trainjob
from components.pretraining.launchers.trainjob import Config


@pytest.mark.parametrize(
    ("resources", "requests", "limits"),
    [
        ({"cpu": "100m"}, {"cpu": "100m"}, None),  # a limit of it would train at a tenth of the speed
        ({"memory": "1Gi"}, {"memory": "1Gi"}, {"memory": "1Gi"}),
        ({"requests": {"cpu": 2, "memory": "1Gi"}}, {"cpu": "2", "memory": "1Gi"}, None),
        (
            {"requests": {"cpu": 2}, "limits": {"cpu": 4, "nvidia.com/gpu": 1}},
            {"cpu": "2"},
            {"cpu": "4", "nvidia.com/gpu": "1"},
        ),
    ],
)
def test_requests_and_limits_are_told_apart_as_kubernetes_does(resources, requests, limits):
    from_dict(Config, {"resources": resources}, "pretraining.launch")
    place = Place("team", "torch", "TrainingRuntime", "", 1, 1, resources, "", 0, {}, {}, {})
    body = trainjob("job", ["x"], place, {})
    found = TrainerV1alpha1TrainJob.from_dict(body).to_dict()["spec"]["trainer"]["resourcesPerNode"]
    assert found == {"requests": requests, **({"limits": limits} if limits else {})}
