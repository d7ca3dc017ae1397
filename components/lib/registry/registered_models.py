"""Model registry: idempotent registration of versions by content, aliases that are read back.

A version is known by the `reference` of the manifest behind it (tag `trunkline.reference`): registering the
same content again finds the version. Every step can be repeated, so that a registration that was killed is
completed by the next one. The order: run, logged model, its files, version, card and tags, state `ready`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.lib.core.errors import ConfigError, IntegrityError, MissingError, ServiceError
from components.lib.registry.mlflow_model import FILES
from components.lib.registry.tracking import ambient, connect, explained
from components.lib.storage.artifacts import sha256_of

CHAMPION, CHALLENGER, PREVIOUS, ANCHOR = "champion", "challenger", "previous", "anchor"  # aliases
REFERENCE, STATE, PINNED = "trunkline.reference", "trunkline.state", "trunkline.files"
ALIAS = "trunkline.alias."  # search results have no aliases (mlflow issue 16734): a tag mirrors each


@dataclass(frozen=True)
class Registered:
    """A model version. `uri` is `models:/name/version`; `reference` names the manifest behind it.

    Attributes:
        created: milliseconds since 1970.
    """

    name: str
    version: str
    run_id: str
    model_id: str
    reference: str
    tags: Mapping[str, str]
    created: int = 0

    @property
    def uri(self) -> str:
        """What mlflow's loaders take."""
        return f"models:/{self.name}/{self.version}"


class Registry:
    """Registered models of one MLflow server."""

    def __init__(self, uri: str, client: Any = None) -> None:
        if not uri:
            fix = "give the parameter `tracking_uri` or set MLFLOW_TRACKING_URI"
            raise ConfigError("there is no model registry", where="tracking_uri", fix=fix)
        self.uri = uri
        self.client = client or connect(uri)

    def version(self, name: str, reference: str) -> Registered | None:
        """The complete version of `name` with this content, whose files are there; the first of several."""
        found = [version for version in self._versions(name, reference) if version.tags.get(STATE) == "ready"]
        return next((version for version in found if self._holds(version.model_id)), None)

    def _holds(self, model_id: str) -> bool:
        """Whether the files of a logged model are where they should be."""
        from mlflow.artifacts import list_artifacts  # the client's own remembers places that have moved

        try:
            with explained(self.uri):
                place = self.client.get_logged_model(model_id).artifact_location
                files = list_artifacts(artifact_uri=place, tracking_uri=self.uri)
        except MissingError:  # the logged model itself was deleted
            return False
        return FILES in [Path(file.path).name for file in files]

    def find(self, name: str, alias: str) -> Registered | None:
        """The version that `alias` points to, or None if there is no such model or alias."""
        try:
            with explained(self.uri):
                found = self.client.get_model_version_by_alias(name, alias)
        except MissingError:
            return None
        except ConfigError as error:
            if "alias" in error.found and "not found" in error.found:
                return None
            raise
        return _registered(found)

    def require(self, name: str, alias: str) -> Registered:
        """Like `find`; raises MissingError that lists the names or the aliases that there are."""
        found = self.find(name, alias)
        if found is not None:
            return found
        with explained(self.uri):
            models = {
                model.name: dict(model.aliases)
                for model in self.client.search_registered_models(max_results=1000)
            }
        what = f"there is no registered model '{name}'"
        have = ", ".join(sorted(models)) or "no registered model at all"
        if name in models:
            what = f"the registered model '{name}' has no alias '{alias}'"
            have = ", ".join(f"{key} -> version {value}" for key, value in sorted(models[name].items()))
        raise MissingError(
            what, where=self.uri, found=have or "no alias", fix="run the training pipeline first"
        )

    def versions(self) -> Iterator[Registered]:
        """Every version of every registered model, in whichever state."""
        token: str | None = ""
        while token is not None:
            with explained(self.uri):
                page = self.client.search_model_versions(max_results=1000, page_token=token or None)
            yield from map(_registered, page)
            token = page.token or None

    def of(self, name: str) -> list[Registered]:
        """Every version of a registered model, in whichever state, in the order of their numbers."""
        token: str | None = ""
        found: list[Registered] = []
        while token is not None:
            with explained(self.uri):
                page = self.client.search_model_versions(f"name = '{name}'", page_token=token or None)
            found, token = [*found, *map(_registered, page)], page.token or None
        return sorted(found, key=lambda version: int(version.version))

    def register(
        self,
        name: str,
        reference: str,
        *,
        experiment_id: str,
        run_id: str,
        write: Callable[[Path, str], str],
        tags: Mapping[str, str],
        card: str,
    ) -> Registered:
        """The version of `name` with this content, made or completed if need be.

        Args:
            reference: of the manifest whose files these are.
            experiment_id, run_id: where the logged model is listed, and what it is an output of.
            write: fills a folder with the MLflow model of a model id; returns the SHA-256 of its files.json.
            tags: lineage and whatever else is searched for.
            card: markdown, the version's description; its first paragraph is that of a new model.

        Raises:
            ConfigError: if the name is not one that MLflow takes.
            ServiceError, AccessError: what the server says.
        """
        check_name(name)
        done = self.version(name, reference)
        if done is not None:
            return done
        with explained(self.uri):
            self._ensure_model(name, card)
            model_id, pinned = self._log(name, reference, experiment_id, run_id, write)
            tags = {**tags, REFERENCE: reference, PINNED: pinned}
            begun = self._versions(name, reference)
            version = begun[0] if begun else self._create(name, model_id, run_id, tags)
            self.client.update_model_version(name, version.version, description=card)
            self.tag(version, {**tags, STATE: "ready"})
        made = self.version(name, reference)
        if made is None:
            raise ServiceError("the registry does not show what was registered", where=self.uri, found=name)
        return made

    def tag(self, version: Registered, tags: Mapping[str, str]) -> None:
        """Sets tags of a version."""
        with explained(self.uri):
            for key, value in tags.items():
                if version.tags.get(key) != value:
                    self.client.set_model_version_tag(version.name, version.version, key, value)

    def set_alias(self, version: Registered, alias: str) -> None:
        """Points `alias` to `version`, mirrors it in a tag, and reads it back.

        Raises:
            ServiceError: if the alias then points elsewhere: somebody else moves it too.
        """
        name = version.name
        held = self.find(name, alias)
        with explained(self.uri):
            if held is None or held.version != version.version:
                self.client.set_registered_model_alias(name, alias, version.version)
            holders = self.client.search_model_versions(f"name = '{name}' and tags.`{ALIAS}{alias}` = 'true'")
            for holder in holders:
                if str(holder.version) != version.version:
                    self.client.delete_model_version_tag(name, str(holder.version), f"{ALIAS}{alias}")
            if version.version not in [str(holder.version) for holder in holders]:
                self.client.set_model_version_tag(name, version.version, f"{ALIAS}{alias}", "true")
        found = self.find(name, alias)
        if found is None or found.version != version.version:
            what = f"the alias '{alias}' of '{name}' does not point where it was set"
            fix = "another run promotes the same model: run one at a time"
            at = found.version if found else "nothing"
            raise ServiceError(what, where=self.uri, found=at, expected=version.version, fix=fix)

    def fetch(self, version: Registered, target: Path) -> Path:
        """Like `download`; returns the folder in it that transformers loads."""
        folder = self.download(version, target)
        names: dict[str, str] = json.loads((folder / FILES).read_bytes())
        return folder / next(name for name in names if name.endswith("/config.json")).rpartition("/")[0]

    def download(self, version: Registered, target: Path) -> Path:
        """Downloads the MLflow model to `target`, and returns the folder that MLflow loads.

        Raises:
            IntegrityError: if a file is not the one that was registered.
        """
        import mlflow.artifacts

        with explained(self.uri):
            place = self.client.get_logged_model(version.model_id).artifact_location
            arguments = {"dst_path": str(target), "tracking_uri": self.uri, "registry_uri": self.uri}
            folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=place, **arguments))
        listing = folder / FILES
        pinned = version.tags.get(PINNED, "")
        _expect(listing, pinned)
        digests: dict[str, str] = json.loads(listing.read_bytes())
        for name, digest in digests.items():
            _expect(folder / name, digest)
        return folder

    def _versions(self, name: str, reference: str) -> list[Registered]:
        with explained(self.uri):
            query = f"name = '{name}' and tags.`{REFERENCE}` = '{reference}'"
            found = [_registered(entry) for entry in self.client.search_model_versions(query)]
        return sorted(found, key=lambda version: int(version.version))

    def _ensure_model(self, name: str, card: str) -> None:
        if not self.client.search_registered_models(f"name = '{name}'"):
            try:
                self.client.create_registered_model(name, description=card.partition("\n\n")[0])
            except Exception:
                if not self.client.search_registered_models(f"name = '{name}'"):  # else: somebody was first
                    raise

    def _log(
        self, name: str, reference: str, experiment_id: str, run_id: str, write: Callable[[Path, str], str]
    ) -> tuple[str, str]:
        """The logged model with this content (id, SHA-256 of files.json); one that was begun is completed."""
        from mlflow.entities import LoggedModelOutput

        query = f"tags.`{REFERENCE}` = '{reference}'"
        found = self.client.search_logged_models([experiment_id], query)
        ready = [entry for entry in found if PINNED in entry.tags and str(entry.status) == "READY"]
        for model in ready:
            if self._holds(model.model_id):
                return str(model.model_id), str(model.tags[PINNED])
        pending = [entry for entry in found if str(entry.status) == "PENDING"]
        model = next(iter(ready + pending), None) or self.client.create_logged_model(
            experiment_id,
            name=name,
            source_run_id=run_id,
            tags={REFERENCE: reference},
            model_type="transformers",
        )
        with tempfile.TemporaryDirectory(prefix="trunkline-") as scratch:
            pinned = write(Path(scratch), model.model_id)
            self.client.log_model_artifacts(model.model_id, scratch)
        outputs = self.client.get_run(run_id).outputs  # naming an output twice is an error
        if model.model_id not in [output.model_id for output in outputs.model_outputs]:
            self.client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
        self.client.set_logged_model_tags(model.model_id, {PINNED: pinned})
        self.client.finalize_logged_model(model.model_id, "READY")
        return str(model.model_id), pinned

    def _create(self, name: str, model_id: str, run_id: str, tags: Mapping[str, str]) -> Registered:
        """A new version, or the one that another writer of the same content made first."""
        tags, source = {**tags, STATE: "begun", "trunkline.model_id": model_id}, f"models:/{model_id}"
        with ambient(self.uri):
            made = self.client.create_model_version(name, source, run_id=run_id, tags=tags, model_id=model_id)
        first = self._versions(name, tags[REFERENCE])[0]
        if first.version != str(made.version):  # somebody registered the same content meanwhile
            self.client.delete_model_version(name, str(made.version))
        return first


def check_name(name: str) -> None:
    """Raises ConfigError for a name that MLflow refuses or that breaks a `models:/` URI."""
    if not name or any(character in name for character in "/:'\"`"):
        what = "a registered model cannot have this name"
        raise ConfigError(what, where="registration.name", found=name, expected="no / : or quotes")


def _registered(version: Any) -> Registered:
    tags = {str(key): str(value) for key, value in version.tags.items()}
    model_id = tags.get("trunkline.model_id", "")
    reference = tags.get(REFERENCE, "")
    number, made = str(version.version), int(version.creation_timestamp or 0)
    return Registered(version.name, number, version.run_id or "", model_id, reference, tags, made)


def _expect(path: Path, digest: str) -> None:
    found = sha256_of(path) if path.is_file() else "no such file"
    if found != digest:
        what = "a registered model is not what was registered"
        raise IntegrityError(what, where=str(path), found=found, expected=digest, fix="register it anew")
