"""A data set of the Hugging Face Hub, by its `datasets` id, or a folder in the layout of one.

    hf:owner/name                        split 'train' of the default configuration, newest revision
    hf:owner/name?config=en&split=test&revision=<commit>

`datasets` works out which files make a split; they are then read like any other file. No code of the data
set runs, and no copy in Arrow form is made.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from components.lib.core.errors import AccessError, ConfigError, MissingError, ServiceError
from components.lib.core.settings import did_you_mean
from components.lib.data.listing import Object
from components.lib.data.sources import file

OPTIONS = ("config", "split", "revision")
REMOTE = "hf://"


def find(uri: str) -> list[Object]:
    """The files of one split; identity is the hub's hash of each file."""
    place, options = parse(uri)
    split = options.get("split", "train")
    with _explained(uri):
        from datasets import load_dataset_builder

        builder = load_dataset_builder(place, options.get("config"), revision=options.get("revision"))
        files = builder.config.data_files or {}
        if split not in files:
            fix = did_you_mean(split, sorted(map(str, files)))
            raise MissingError("the data set has no such split", where=uri, found=split, fix=fix)
        return [_object(str(path)) for path in files[split]]


def fetch(entry: Object, folder: Path) -> Path:
    """The file in the cache of the Hub's own client, or the local file."""
    if not entry.uri.startswith("hf:hf://"):
        return file.fetch(replace(entry, uri=entry.uri.removeprefix("hf:")), folder)
    from huggingface_hub import HfFileSystem, hf_hub_download

    with _explained(entry.name):
        path: Any = HfFileSystem().resolve_path(entry.uri.removeprefix("hf:"))
        found = hf_hub_download(path.repo_id, path.path_in_repo, repo_type="dataset", revision=path.revision)
    return Path(found)


def _object(path: str) -> Object:
    if not path.startswith(REMOTE):
        status = os.stat(path)
        return Object(path, f"{status.st_size}:{status.st_mtime_ns}", status.st_size, f"hf:{path}")
    from huggingface_hub import HfFileSystem

    details: dict[str, Any] = HfFileSystem().info(path)
    identity = (details.get("lfs") or {}).get("sha256") or details.get("blob_id") or path
    place, _, rest = path.removeprefix("hf://datasets/").partition("@")
    name = f"hf:{place}/{rest.partition('/')[2]}"  # the revision is left out: the identity tells the content
    return Object(name, str(identity), int(details.get("size") or -1), f"hf:{path}")


def parse(uri: str) -> tuple[str, dict[str, str]]:
    """The id, or a local folder, and the options; raises ConfigError."""
    parts = urlsplit(uri.removeprefix("hf:"))
    options = dict(parse_qsl(parts.query))
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown or not parts.path.strip("/"):
        fix = did_you_mean(unknown[0], OPTIONS) if unknown else ""
        expected = "hf:owner/name?config=...&split=...&revision=..."
        raise ConfigError("an hf source is malformed", where=uri, found=unknown, expected=expected, fix=fix)
    return (parts.path if os.path.isdir(parts.path) else parts.path.strip("/")), options


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """Turns the errors of `datasets` and the Hub's client into typed ones."""
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled

    try:
        yield
    except GatedRepoError as error:
        fix = "accept its terms on the Hub and set HF_TOKEN"
        raise AccessError("the data set is gated", where=where, found=error, fix=fix) from error
    except DatasetNotFoundError as error:
        fix = "check the id; a private one needs HF_TOKEN"
        raise MissingError("the data set cannot be found", where=where, found=error, fix=fix) from error
    except (HfHubHTTPError, OfflineModeIsEnabled, ConnectionError, TimeoutError) as error:
        raise ServiceError("the Hugging Face Hub does not answer", where=where, found=error) from error
    except (ValueError, FileNotFoundError) as error:
        raise MissingError("the data set cannot be read", where=where, found=error) from error
