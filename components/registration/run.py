"""Registration: the registry, not the store, says whether a trunk is registered."""

from __future__ import annotations

from pathlib import Path

from components.lib.core.settings import to_dict
from components.lib.registry.registered_models import CHALLENGER, Registered, Registry
from components.lib.registry.tracking import adopt, conclude, whole
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Key, Manifest
from components.lib.storage.stage import Context, patient
from components.registration.config import Config
from components.registration.register import register

VERSION = 1


@patient
def run(config: Config, context: Context, *, trunk: Path | None, registered: Path) -> Manifest:
    """Registers the trunk and points the alias `challenger` to it.

    Args:
        config: the name to register under.
        context: names the MLflow server and the store.
        trunk: the pretraining manifest; None takes the version that `config.alias` points to.
        registered: where the manifest of the registered trunk is written.

    Returns:
        That manifest: no files; facts name, version, run_id, model_id, model_uri; the input `trunk`.

    Raises:
        MissingError: if there is no trunk and no such registered version; lists what there is.
        IntegrityError: if a file of the trunk is not the one that was committed.
    """
    registry = Registry(context.tracking_uri)
    whole(registry.client, context)  # also of a run that makes nothing new
    if trunk is None:
        version = registry.require(config.name, config.alias)
        manifest, reused = _manifest(config, version), True
        context.store.resolve(version.reference)
    else:
        source = artifacts.read(trunk)
        found = registry.version(config.name, source.reference)
        if found is not None:  # whoever made it may have been killed before its run had ended
            conclude(context, source.key.digest, "FINISHED")
            maker = found.tags.get("trunkline.run_id", "")
            adopt(context, source.key.digest, found.reference, maker, config.name)
        version, reused = found or register(config, context, registry, source), found is not None
        registry.set_alias(version, CHALLENGER)
        manifest = _manifest(config, version)
    manifest.write(registered)
    context.record(manifest, reused=reused)
    return manifest


def _manifest(config: Config, version: Registered) -> Manifest:
    key = Key("registration", VERSION, to_dict(config), {"trunk": version.reference})
    facts = {
        "name": version.name,
        "version": version.version,
        "run_id": version.run_id,
        "model_id": version.model_id,
        "model_uri": version.uri,
    }
    return Manifest(key, version.uri, (), facts)
