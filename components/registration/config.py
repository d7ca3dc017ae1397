"""Settings of registration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from components.lib.core.errors import ConfigError
from components.lib.core.settings import setting


@dataclass(frozen=True)
class Config:
    """Under which name a trunk is registered, and which version is taken when there is no new trunk."""

    name: str = setting("trunkline", "the trunk's registered model; a branch is called <name>-<task>")
    alias: str = setting("champion", "the version to take when the pipeline makes no trunk")

    def check(self) -> Iterator[ConfigError]:
        """Yields what MLflow would refuse."""
        if not self.name or any(character in self.name for character in "/:'\"`"):
            what = "a registered model cannot have this name"
            yield ConfigError(what, where="registration.name", found=self.name, expected="no / : or quotes")
        if not self.alias:
            yield ConfigError("an alias is needed", where="registration.alias", expected="champion")
