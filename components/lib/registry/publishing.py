"""From a manifest with a `model/` folder to a version in the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from components.lib.pages import model_card
from components.lib.registry.mlflow_model import Use, write
from components.lib.registry.registered_models import Registered, Registry
from components.lib.registry.tracking import Tracker
from components.lib.storage.artifacts import Manifest, canonical, sha256
from components.lib.storage.lineage import ancestors
from components.lib.storage.stage import Context

PREFIX = "model/"


def publish(
    context: Context,
    registry: Registry,
    tracker: Tracker,
    manifest: Manifest,
    *,
    name: str,
    use: str,
    card: str,
    tags: Mapping[str, str],
    examples: bytes = b"",
) -> Registered:
    """Registers the files under `model/` as a version of `name`.

    Args:
        context: the stage's.
        registry: where to.
        tracker: the run that the logged model becomes an output of.
        manifest: the trunk or the branch.
        name: the registered model.
        use: "trunk" or the kind of a task.
        card: markdown; the version's description, and the README in its files.
        tags: of the version, besides those of its lineage.
        examples: questions with the answers of evaluation, see `registry.examples`.

    Raises:
        IntegrityError: if a file in the store is not the one that was committed.
        DataError: if `model/` is not a Hugging Face model.
    """
    run_id = tracker.run_id
    return registry.register(
        name,
        manifest.reference,
        experiment_id=tracker.experiment_id,
        run_id=run_id,
        write=_writer(context, manifest, use, run_id, card, examples),
        tags={**lineage_tags(context, manifest), **tags},
        card=model_card.untitled(card),
    )


def _writer(
    context: Context, manifest: Manifest, use: str, run_id: str, card: str, examples: bytes
) -> Callable[[Path, str], str]:
    """What fills a folder with the MLflow model, once its id is known."""
    folder = context.store.open_folder(manifest, PREFIX)
    digests = {
        file.name.removeprefix(PREFIX): file.sha256 for file in manifest.files if file.name.startswith(PREFIX)
    }
    known = Use.of(use, manifest.facts["modality"])
    head = {"library_name": "transformers", "pipeline_tag": known.name, **_license(context, manifest)}
    readme = model_card.front_matter(head) + card

    def fill(target: Path, model_id: str) -> str:
        about: dict[str, Any] = {"use": known, "readme": readme, "examples": examples}
        return write(folder, digests, target, **about, model_id=model_id, run_id=run_id)

    return fill


def _license(context: Context, manifest: Manifest) -> dict[str, str]:
    """That of the published weights that a model comes from, as the hub's card has it."""
    trunk = manifest if "public" in manifest.facts else ancestors(context.store, manifest).get("pretraining")
    told = trunk.facts.get("public", {}).get("license", "unknown") if trunk else "unknown"
    return {} if told == "unknown" else {"license": told.lower()}


def lineage_tags(context: Context, manifest: Manifest) -> dict[str, str]:
    """What a version was made from: the reference of each stage behind it, the code, the pipeline run."""
    behind = ancestors(context.store, manifest)
    tags = {f"trunkline.{stage}": parent.reference for stage, parent in behind.items()}
    tags |= {f"trunkline.{name}": str(value) for name, value in context.details.items() if value}
    tokens = behind.get("tokenization")
    if tokens is not None:
        files = [[name, tokens.file(name).sha256] for name in tokens.names("tokenizer/")]
        tags["trunkline.tokenizer"] = sha256(canonical(files))
    return tags | {
        "trunkline.manifest": manifest.digest,
        "trunkline.store": context.store.uri,
        "trunkline.run_id": context.run_id,
        "kfp.pipeline_run_id": context.run_id,
    }
