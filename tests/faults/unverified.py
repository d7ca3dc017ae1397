"""A plugin of pytest that breaks the project: nobody compares a file with its hash any more."""

from __future__ import annotations

from components.lib import store
from components.lib.engine import reading

store.verify = reading.verify = lambda path, entry: None
