"""Checkpoints that are whole or do not exist, and are never unpickled.

    <prefix>/<step>-<attempt>/state.safetensors    weights, buffers, moments
    <prefix>/<step>-<attempt>/state.json           step, settings, dataset, history
    <prefix>/<step>.commit.json                    sizes and SHA-256, written last by a conditional put

The order of data and all randomness are functions of the step, so a checkpoint holds no state of either.
"""

from __future__ import annotations

import json
import sys
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from components.lib.artifacts import File, sha256_of
from components.lib.errors import ConfigError, IntegrityError, MissingError
from components.lib.failpoints import reach
from components.lib.objects import Objects
from components.lib.store import verify


class Checkpoints:
    """The checkpoints of one training run, under `prefix` of the store.

    Args:
        identity: what must be equal between the run that saved and the run that resumes.
        keep: how many of the newest stay.
    """

    def __init__(self, objects: Objects, prefix: str, identity: dict[str, Any], keep: int = 2) -> None:
        self.objects, self.prefix, self.identity, self.keep = objects, prefix, identity, keep

    def save(self, step: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Commits `tensors` and the JSON `state` as the checkpoint after `step` steps."""
        folder = f"{self.prefix}/{step:09d}-{uuid.uuid4().hex[:8]}"
        with tempfile.TemporaryDirectory(prefix="trunkline-") as scratch:
            weights, notes = Path(scratch, "state.safetensors"), Path(scratch, "state.json")
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, weights)
            notes.write_text(json.dumps({"step": step, "identity": self.identity, **state}))
            files = []
            reach("checkpoint.before_upload")
            for path in (weights, notes):
                files.append({"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)})
                self.objects.upload(path, f"{folder}/{path.name}")
                reach("checkpoint.between_files")
        reach("checkpoint.before_commit")
        commit = json.dumps({"folder": folder, "files": files}).encode()
        self.objects.write(f"{self.prefix}/{step:09d}.commit.json", commit, if_absent=True)
        reach("checkpoint.after_commit")
        for old in self._commits()[self.keep :]:
            self._remove(old)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The newest checkpoint whose files are what was committed, or None if none was ever committed.

        Raises:
            IntegrityError: if there are checkpoints and every one is damaged.
            ConfigError: if the checkpoint belongs to other settings or data.
        """
        commits = self._commits()
        for commit in commits:
            try:
                tensors, state = self._read(commit)
            except (IntegrityError, MissingError) as error:
                print(f"checkpoint {commit} is damaged, trying the one before: {error}", file=sys.stderr)
                continue
            self._check(state["identity"], commit)
            return tensors, state
        if commits:
            fix = f"delete {self.objects.uri}/{self.prefix} to train from the start"
            raise IntegrityError("every checkpoint is damaged", where=self.prefix, found=commits, fix=fix)
        return None

    def remove(self) -> None:
        """Deletes them all: the run has handed over its result."""
        for commit in self._commits():
            self._remove(commit)
        for key in list(self.objects.keys(f"{self.prefix}/")):
            self.objects.delete(key)

    def _commits(self) -> list[str]:
        keys = self.objects.keys(f"{self.prefix}/")
        return sorted((key for key in keys if key.endswith(".commit.json")), reverse=True)

    def _remove(self, commit: str) -> None:
        """The commit goes first: a half-deleted checkpoint must not look whole."""
        record = json.loads(self.objects.read(commit))
        self.objects.delete(commit)
        reach("checkpoint.while_deleting")
        for entry in record["files"]:
            self.objects.delete(f"{record['folder']}/{entry['name']}")

    def _read(self, commit: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        try:
            record = json.loads(self.objects.read(commit))
            files = [File(**entry) for entry in record["files"]]
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError("a commit cannot be read", where=commit, found=repr(error)) from error
        with tempfile.TemporaryDirectory(prefix="trunkline-") as scratch:
            for entry in files:
                path = Path(scratch, entry.name)
                self.objects.download(f"{record['folder']}/{entry.name}", path)
                verify(path, entry)
            tensors = load_file(Path(scratch, "state.safetensors"))
            return tensors, json.loads(Path(scratch, "state.json").read_text())

    def _check(self, saved: dict[str, Any], where: str) -> None:
        differing = sorted(k for k in {*saved, *self.identity} if saved.get(k) != self.identity.get(k))
        if differing:
            found = ", ".join(f"{key}: {saved.get(key)}" for key in differing)
            expected = ", ".join(f"{key}: {self.identity.get(key)}" for key in differing)
            raise ConfigError("a checkpoint of another run", where=where, found=found, expected=expected)


def capture(model: nn.Module, optimizers: Iterable[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """Weights, persistent buffers and the optimizers' moments, by name."""
    tensors = dict(_weights(model))
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    for optimizer in optimizers:
        for parameter, moments in optimizer.state.items():
            for key, value in moments.items():
                tensors[f"optimizer/{names[parameter]}/{key}"] = value
    return tensors


def restore(
    model: nn.Module, optimizers: Iterable[torch.optim.Optimizer], tensors: dict[str, Tensor]
) -> None:
    """Puts back, in place, what `capture` took."""
    with torch.no_grad():
        for name, tensor in _weights(model):
            tensor.copy_(tensors[name])
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    for optimizer in optimizers:
        for parameter in (p for group in optimizer.param_groups for p in group["params"]):
            prefix = f"optimizer/{names[parameter]}/"
            moments = {key: value for key, value in tensors.items() if key.startswith(prefix)}
            if moments:
                optimizer.state[parameter] = {
                    key.removeprefix(prefix): value.to(parameter.device) for key, value in moments.items()
                }


def _weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Shared tensors once: state_dict lists a tied weight under each of its names."""
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            yield f"model/{name}", tensor
