"""MLflow: the run of a stage (`track`), the connection to the server (`connect`, `probe`).

It is the one place that talks to MLflow runs; `registry.registered_models` talks to registered models.
"""

from components.lib.registry.tracking.identity import adopt, conclude, finish, whole
from components.lib.registry.tracking.run import Tracker, track
from components.lib.registry.tracking.server import ambient, connect, experiment, explained
from components.lib.registry.tracking.state import probe

__all__ = [
    "Tracker",
    "adopt",
    "ambient",
    "conclude",
    "connect",
    "experiment",
    "explained",
    "finish",
    "probe",
    "track",
    "whole",
]
