"""Addresses without secrets in them, for they stand in settings, manifests, reports and logs.

A secret is written as `${TRUNKLINE_SECRET_NAME}`: everybody sees the name, and the stage that opens the
address reads the variable of that name, which a cluster sets from a Secret.
"""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from components.lib.core.errors import AccessError, ConfigError
from components.lib.core.redaction import PREFIX, reveals

_NAMED = re.compile(rf"\$\{{({PREFIX}[A-Z0-9_]+)\}}")


def check(address: str, where: str, fix: str = "") -> None:
    """Raises ConfigError if an address is malformed or holds a secret."""
    try:
        urlsplit(address)
    except ValueError as error:
        expected = "scheme://host/path"
        raise ConfigError(
            f"an address is malformed: {error}", where=where, found=address, expected=expected
        ) from error
    if reveals(address):
        raise ConfigError(
            "an address holds a secret, which everybody could read in settings and logs",
            where=where,
            found=address,
            fix=fix or f"write ${{{PREFIX}NAME}} in its place and set this variable",
        )


def filled(address: str) -> str:
    """The address with the secrets that it names; raises AccessError where a variable is not set."""

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if not found:
            raise AccessError("a secret that an address names is not set", where=match[1], found=address)
        return found

    return _NAMED.sub(value, address)
