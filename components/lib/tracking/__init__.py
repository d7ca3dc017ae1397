"""MLflow: the run of a stage (`track`), the connection to the server (`connect`, `probe`).

This package is the one place that talks to MLflow runs; `components.lib.registry` talks to registered models.
"""

from components.lib.tracking.identity import conclude
from components.lib.tracking.run import Tracker, track
from components.lib.tracking.server import ambient, connect, experiment, explained, probe

__all__ = ["Tracker", "ambient", "conclude", "connect", "experiment", "explained", "probe", "track"]
