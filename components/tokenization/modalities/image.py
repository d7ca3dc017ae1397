"""Images: all of them at one size, as arrays on disk, with the mean and deviation of each channel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.lib.core.errors import ConfigError, MissingError
from components.lib.core.settings import setting, to_dict
from components.lib.storage import artifacts
from components.tokenization import config as common

if TYPE_CHECKING:
    from components.lib.storage.artifacts import Manifest
    from components.lib.storage.store import Draft, Store


@dataclass(frozen=True)
class Config(common.Config):
    """The one size of all images."""

    height: int = setting(32, "rows of pixels", minimum=1, maximum=4096)
    width: int = setting(32, "columns of pixels", minimum=1, maximum=4096)
    channels: int = setting(0, "1: grey, 3: colour; 0: grey if all images are", choices=(0, 1, 3))
    fit: str = setting(
        "crop", "the largest part of that shape, all of it with borders (pad), or out of shape (stretch)",
        choices=("crop", "pad", "stretch"),
    )  # fmt: skip
    canvas: str = setting(
        "", "URI of a trunk's preprocessor_config.json: its size, mean and deviation are taken"
    )
    shard_bytes: int = setting(256 << 20, "bytes from which on a shard is closed", minimum=1)


def plan(config: Config) -> tuple[dict[str, Any], Callable[[Store, Manifest, Draft], None]]:
    """The size decides; how many work does not. Raises ConfigError if the given canvas cannot be read."""
    identity = to_dict(config)
    del identity["workers"]
    given = _given(config.canvas) if config.canvas else b""
    if config.canvas:
        identity["canvas"] = f"sha256:{artifacts.sha256(given)}"

    def build(store: Store, corpus: Manifest, draft: Draft) -> None:
        from components.tokenization.sizing import resize

        resize(config, store, corpus, draft, given)

    return identity, build


def _given(uri: str) -> bytes:
    from components.lib.storage.objects import connect

    folder, _, name = uri.rpartition("/")
    try:
        return connect(folder).read(name)
    except (MissingError, OSError) as error:
        raise ConfigError(
            "the given canvas cannot be read", where="tokenization.canvas", found=f"{uri}: {error}",
            expected="a path or URI of a preprocessor_config.json of a trunk",
        ) from error  # fmt: skip
