import pytest

from components.lib.core.errors import MissingError
from components.lib.storage.lineage import ancestors
from components.lib.storage.store import Store
from tests import models


def test_everything_behind_a_branch_nearest_first(tmp_path):
    store = Store(str(tmp_path))
    corpus = models.commit(store, "ingestion", {}, {}, raw={"sources": "0" * 64})
    trunk = models.commit(store, "pretraining", {"corpus": corpus}, {})
    branch, rival = (
        models.commit(store, "finetuning", {"trunk": trunk}, {}, config={"seed": s}) for s in (0, 1)
    )
    scored = models.commit(store, "evaluation", {"branch": branch, "champion": rival}, {})
    assert ancestors(store, scored) == {"finetuning": branch, "pretraining": trunk, "ingestion": corpus}
    assert list(ancestors(store, branch)) == ["pretraining", "ingestion"]


def test_a_missing_ancestor_is_named(tmp_path):
    store = Store(str(tmp_path))
    corpus = models.commit(store, "ingestion", {}, {})
    tokens = models.commit(store, "tokenization", {"corpus": corpus}, {})
    store.objects.delete(f"ingestion/{corpus.key.digest}/manifest.json")
    with pytest.raises(MissingError, match="does not hold an input"):
        ancestors(store, tokens)
