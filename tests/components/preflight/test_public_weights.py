"""Published weights before a run starts: what is refused, what is told; from folders, wheels, the Hub."""

import json
import os
import struct
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from components.lib.core.errors import ConfigError, DataError, MissingError, TrunklineError
from components.lib.data import packages
from components.lib.storage.artifacts import sha256_of
from components.lib.storage.stage import OFFLINE
from components.lib.storage.store import Store
from components.preflight.public_weights import origin
from components.preflight.public_weights.keeping import obtain
from tests.fakes.hub_server import COMMIT, serving
from tests.made import published


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(str(tmp_path / "store"))


def config(**values):
    def change(hub: Path) -> None:
        path = hub / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


def only_pickles(hub: Path) -> None:
    (hub / "model.safetensors").rename(hub / "pytorch_model.bin")


def cut(hub: Path) -> None:
    path = hub / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])


def pointer(hub: Path) -> None:
    (hub / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")


def quantised(hub: Path) -> None:
    head = json.dumps({"weight": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}).encode()
    (hub / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + b"0000")


def longer_tokenizer(hub: Path) -> None:
    path = hub / "tokenizer.json"
    values = json.loads(path.read_text())
    values["model"]["vocab"]["surplus"] = 40
    path.write_text(json.dumps(values))


def no_tokenizer(hub: Path) -> None:
    (hub / "tokenizer.json").unlink()


def no_shard(hub: Path) -> None:
    (hub / "model.safetensors").unlink()
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (hub / "model.safetensors.index.json").write_text(json.dumps(index))
    save_file({}, hub / "model-00001-of-00002.safetensors")


def strange_pooling(hub: Path) -> None:
    published.sentence_transformer(hub, "max_tokens")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (only_pickles, "pickled"),
        (cut, "is cut"),
        (pointer, "Git LFS"),
        (quantised, "not quantised"),
        (longer_tokenizer, "ids without a row"),
        (no_tokenizer, "no tokenizer.json"),
        (no_shard, "a part of the weights is missing"),
        (strange_pooling, "pooling"),
        (config(auto_map={"AutoModel": "m.M"}), "name code to run"),
        (config(quantization_config={"bits": 4}), "name code to run"),
        (config(model_type="t5"), "not taken"),
        (config(vocab_size=41), "not those of config.json"),
        (config(position_embedding_type="relative_key"), "relative_key"),
        (config(is_decoder=True), "is_decoder"),
        (config(moe_experts=4), "moe_experts"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)[:20]),
)
def test_what_cannot_be_taken_is_refused_by_name(hub, store, change, what):
    change(hub)
    with pytest.raises(DataError) as raised:
        obtain(store, f"{hub}/", "text")
    assert what in str(raised.value) and (raised.value.fix or raised.value.expected or raised.value.found)
    assert list(store.objects.keys("public/")) == []


def test_what_decides_nothing_is_left_out_and_told(hub, store):
    config(gradient_checkpointing=False, torch_dtype="float32", transformers_version="4.8.2")(hub)
    (hub / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A model\n")
    manifest, reused = obtain(store, f"{hub}/", "text")
    kept = json.loads(store.open(manifest, "model/config.json").read_text())
    assert not reused and "gradient_checkpointing" not in kept
    assert "gradient_checkpointing" in manifest.facts["idle"] and manifest.facts["license"] == "apache-2.0"
    assert sorted(manifest.names()) == [
        f"model/{n}" for n in ("config.json", "model.safetensors", "tokenizer.json")
    ]
    assert manifest.file("model/model.safetensors").sha256 == sha256_of(hub / "model.safetensors")
    assert obtain(store, f"{hub}/", "text") == (manifest, True)
    config(hidden_act="relu")(hub)
    assert obtain(store, f"{hub}/", "text")[0].reference != manifest.reference, "it counts by its content"


def test_pooling_and_lengths_of_sentence_transformers(hub, store):
    published.sentence_transformer(hub, "cls_token")
    manifest, _ = obtain(store, f"{hub}/", "text")
    kept = json.loads(store.open(manifest, "model/config.json").read_text())
    assert (kept["pooling"], kept["normalize"], kept["max_seq_length"]) == ("cls", True, 48)
    assert manifest.facts["positions"] == 64 and manifest.facts["longest"] == 48


def test_another_modality_is_refused(hub, store):
    with pytest.raises(ConfigError, match="another kind of data"):
        obtain(store, f"{hub}/", "image")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("LICENSE.txt|Apache License\nVersion 2.0, January 2004", "Apache-2.0"),
        ("LICENSE|MIT License", "MIT"),
        ("LICENSE|Do what you like", "see LICENSE"),
        ("README.md|---\nlicense: other\nlicense_name: gemma\n---\n", "gemma"),
        ("README.md|no head", "unknown"),
    ],
)
def test_the_licence_is_stated_or_unknown(hub, store, text, expected):
    name, _, content = text.partition("|")
    (hub / name).write_text(content)
    assert obtain(store, f"{hub}/", "text")[0].facts["license"] == expected


def wheel(hub: Path, cache: Path) -> str:
    """A wheel in pip's place: in the cache of wheels, where it was downloaded to."""
    made = cache / "wheel.whl"
    cache.mkdir(parents=True)
    with zipfile.ZipFile(made, "w") as archive:
        for path in hub.rglob("*"):
            archive.write(path, f"pack/model/{path.relative_to(hub)}")
        archive.writestr(
            "pack-1.0.dist-info/METADATA", "Name: pack\nLicense-Expression: MIT\n\nLicense: no\n"
        )
    digest = sha256_of(made)
    (cache / "pypi" / digest).mkdir(parents=True)
    made.rename(cache / "pypi" / digest / "pack.whl")
    return f"pypi:pack==1.0/pack/model#sha256={digest}"


def test_a_folder_in_a_wheel(hub, store, tmp_path, monkeypatch):
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))
    reference = wheel(hub, tmp_path / "cache")
    manifest, _ = obtain(store, reference, "text")
    assert manifest.facts["license"] == "MIT" and manifest.key.config["revision"] == reference[-64:]
    monkeypatch.setattr(packages.Registry, "_cached", lambda self, match: pytest.fail("it is in the store"))
    assert obtain(store, reference, "text") == (manifest, True)


def test_a_wheel_without_the_folder_tells_those_it_has(hub, store, tmp_path, monkeypatch):
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))
    reference = wheel(hub, tmp_path / "cache").replace("/pack/model#", "/pack/models#")
    with pytest.raises(MissingError, match="no such folder") as raised:
        obtain(store, reference, "text")
    assert "pack/model" in raised.value.fix


def test_shards_with_an_index(hub, store):
    tensors = load_file(hub / "model.safetensors")
    (hub / "model.safetensors").unlink()
    names = sorted(tensors)
    table = {name: f"model-0000{1 + (n % 2)}-of-00002.safetensors" for n, name in enumerate(names)}
    for shard in set(table.values()):
        save_file(
            {name: tensors[name] for name in names if table[name] == shard}, hub / shard, {"format": "pt"}
        )
    (hub / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    manifest, _ = obtain(store, f"{hub}/", "text")
    assert len(manifest.names("model/model-", ".safetensors")) == 2
    assert manifest.facts["parameters"] == sum(tensor.numel() for tensor in tensors.values())


@pytest.mark.parametrize(
    ("reference", "what"),
    [
        ("hf:a/b/c@main", "malformed"),
        ("pypi:pack==1.0/model", "malformed"),
        ("https://example.org/model.safetensors", "this scheme"),
        ("/nowhere/at/all/", "does not exist"),
    ],
)
def test_references_that_lead_nowhere(reference, what):
    assert origin.is_reference(reference)
    with pytest.raises(TrunklineError, match=what):
        origin.resolve(reference)


def test_names_that_are_no_references():
    assert not any(map(origin.is_reference, ("", "champion", "pretraining/ab#cd")))


def test_objects_of_a_bucket(hub, store, s3):
    from components.lib.storage.objects.s3 import client

    for path in (path for path in hub.rglob("*") if path.is_file()):
        client().upload_file(str(path), s3.removeprefix("s3://"), f"weights/bert/{path.name}")
    manifest, _ = obtain(store, f"{s3}/weights/bert", "text")
    assert manifest.file("model/model.safetensors").sha256 == sha256_of(hub / "model.safetensors")
    assert obtain(store, f"{s3}/weights/bert", "text") == (manifest, True)


def test_two_runs_at_once_come_to_one(hub, store):
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(obtain, Store(store.uri), f"{hub}/", "text") for _ in range(4)]
        assert len({one.result()[0].digest for one in asked}) == 1
    assert len(list(store.objects.keys("public/"))) == 4, "a manifest and its three files"


OBTAIN = """
import sys
from components.lib.core.errors import TrunklineError
from components.lib.storage.store import Store
from components.preflight.public_weights.keeping import obtain
try:
    manifest, reused = obtain(Store(sys.argv[1]), sys.argv[2], "text")
    print(manifest.key.config["revision"], reused)
except TrunklineError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def ask(address: str, tmp_path: Path, reference: str, **more: str) -> subprocess.CompletedProcess[str]:
    """The Hub's client reads its settings when it is imported."""
    settings = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1", **more}
    environment = {name: text for name, text in os.environ.items() if name not in OFFLINE}
    command = [sys.executable, "-c", OBTAIN, str(tmp_path / "store"), reference]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**environment, **settings}
    )


def test_a_model_of_the_hub_and_without_it(hub, tmp_path):
    files = {path.relative_to(hub).as_posix(): path.read_bytes() for path in hub.rglob("*") if path.is_file()}
    with serving("owner/name", {**files, "onnx/model.onnx": b"not asked for"}, kind="models") as address:
        first = ask(address, tmp_path, "hf:owner/name@main")
        other = ask(address, tmp_path, "hf:owner/other@main")
        moved = ask(address, tmp_path, "hf:owner/name@v9")
    assert first.returncode == 0, first.stdout + first.stderr
    assert first.stdout.split() == [COMMIT, "False"]
    assert other.returncode == 66 and "there is no such model" in other.stdout
    assert moved.returncode == 66 and "no such revision" in moved.stdout
    pinned = ask(address, tmp_path, f"hf:owner/name@{COMMIT}", HF_HUB_OFFLINE="1")
    assert pinned.stdout.split() == [COMMIT, "False"], pinned.stdout
    again = ask(address, tmp_path, "hf:owner/name@main", HF_HUB_OFFLINE="1")
    assert again.stdout.split() == [COMMIT, "True"]
    down = ask(address, tmp_path, "hf:owner/fresh@main")
    assert down.returncode == 69 and "HF_HUB_OFFLINE" in down.stdout
    absent = ask(address, tmp_path, "hf:owner/fresh@main", HF_HUB_OFFLINE="1")
    assert absent.returncode == 69 and "not in the cache" in absent.stdout
