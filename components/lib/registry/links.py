"""Links to MLflow's pages of model versions and of the whole run, as Markdown that Kubeflow's UI shows."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from components.lib.core.patience import patiently
from components.lib.pages.model_card import escape
from components.lib.registry.registered_models import ALIAS, Registered, Registry
from components.lib.registry.tracking import whole
from components.lib.storage.artifacts import Manifest
from components.lib.storage.stage import Context

INTERFACE = "TRUNKLINE_MLFLOW_UI"  # the address of MLflow in a browser, where the stages have another


def write(path: Path, context: Context, manifests: Iterable[Manifest]) -> None:
    """Writes one line a version, and one for the whole run.

    Args:
        path: the Markdown artifact.
        context: the stage's; its server is asked.
        manifests: of a registration, and of evaluations.
    """
    behind = [_behind(manifest) for manifest in manifests]
    lines = patiently(lambda: _lines(context, behind), context.stage)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")


def _lines(context: Context, behind: list[tuple[str, str]]) -> list[str]:
    registry = Registry(context.tracking_uri)
    base = os.environ.get(INTERFACE) or context.tracking_uri
    found = [registry.version(*one) for one in behind]
    lines = [_version(base, version) for version in found if version is not None]
    run = registry.client.get_run(whole(registry.client, context))
    page = f"experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    return [*lines, f"- the whole run: {_link(base, run.info.run_name, page)}"]


def _behind(manifest: Manifest) -> tuple[str, str]:
    """Name of the registered model, and reference of the trunk or branch that its version is of."""
    if manifest.key.stage == "registration":
        return manifest.facts["name"], manifest.key.inputs["trunk"]
    return manifest.facts["model"], manifest.key.inputs["branch"]


def _version(base: str, version: Registered) -> str:
    aliases = sorted(name.removeprefix(ALIAS) for name in version.tags if name.startswith(ALIAS))
    page = f"models/{quote(version.name, safe='')}/versions/{version.version}"
    says = f": {', '.join(aliases)}" if aliases else ""
    return f"- {_link(base, f'{version.name} version {version.version}', page)}{says}"


def _link(base: str, text: str, page: str) -> str:
    """A link, or the words alone where MLflow is a file, which `make ui` shows."""
    return f"[{escape(text)}]({base.rstrip('/')}/#/{page})" if base.startswith("http") else escape(text)
