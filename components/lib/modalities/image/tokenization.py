"""Images: all of them at one size, as arrays on disk, with the mean and deviation of each channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from components.lib.core.errors import ConfigError, MissingError
from components.lib.core.settings import to_dict
from components.lib.modalities.image.settings import Tokenization
from components.lib.storage import artifacts

if TYPE_CHECKING:
    from components.lib.storage.artifacts import Manifest
    from components.lib.storage.store import Draft, Store


def plan(
    options: Tokenization, workers: int
) -> tuple[dict[str, Any], Callable[[Store, Manifest, Draft], None]]:
    """What decides the output, and what builds it; raises ConfigError if a given canvas cannot be read."""
    identity = to_dict(options)
    given = _given(options.canvas) if options.canvas else b""
    if options.canvas:
        identity["canvas"] = f"sha256:{artifacts.sha256(given)}"

    def build(store: Store, corpus: Manifest, draft: Draft) -> None:
        from components.lib.core.hardware import cores
        from components.lib.modalities.image.sizing import resize

        resize(options, workers or cores(), store, corpus, draft, given)

    return identity, build


def _given(uri: str) -> bytes:
    from components.lib.storage.objects import connect

    folder, _, name = uri.rpartition("/")
    try:
        return connect(folder).read(name)
    except (MissingError, OSError) as error:
        raise ConfigError(
            "the given canvas cannot be read",
            where="tokenization.canvas",
            found=f"{uri}: {error}",
            expected="a path or URI of a preprocessor_options.json of a trunk",
        ) from error
