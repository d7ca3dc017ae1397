"""The commands of the READMEs, as a stranger types them: targets, names and values are there, and render."""

import re
from typing import Any

import kubernetes_validate
import pytest
import yaml

from images.build import PATTERN, values
from tests.charts import restricted
from tests.charts.rendering import CHART, KIND, ROOT, merged, objects
from tests.charts.test_schemas import FOREIGN, VERSIONS

MAKEFILE = (ROOT / "Makefile").read_text()
BUILD = (ROOT / "images" / "build.py").read_text()
README = (CHART / "README.md").read_text()
BOTH = README + (ROOT / "README.md").read_text()
BLOCKS = "\n".join(re.findall(r"^```\w*\n(.*?)^```$", BOTH, re.DOTALL | re.MULTILINE))
SETTING = re.compile(r'([a-zA-Z]+\.(?:"[^"]+"|[\w.])+)=(\{[^}]*\}|[^\s`]+)')
ROWS = [
    line
    for line in README.splitlines()
    if line.startswith("| ") and SETTING.search(line) and line.count("|") == 3
]


def parsed(words: list[tuple[str, str]]) -> dict[str, Any]:
    """What `helm --set` makes of KEY=VALUE."""
    result: dict[str, Any] = {}
    for key, text in words:
        keys = [re.sub(r'[\\"]', "", part) for part in re.split(r"(?<!\\)\.", key)]
        text = text.strip("'").replace("...", "example")
        value: Any = int(text) if text.isdigit() else {"true": True, "false": False}.get(text, text)
        if text.startswith("{"):
            value = [int(part) if part.isdigit() else part for part in text.strip("{}").split(",")]
        for name in reversed(keys):
            value = {name: value}
        result = merged(result, value)
    return result


def taken(given: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects of a release, which every supported Kubernetes takes."""
    found = objects(given)
    for item in found:
        for version in VERSIONS if item["kind"] not in FOREIGN else ():
            kubernetes_validate.validate(item, version, strict=True)
        for path, pod in restricted.pods(item):
            assert restricted.complaints(pod["spec"]) == [], path
    return found


def test_every_target_and_variable_exists():
    found = re.findall(r"(?:^|`|\()make (?:-s )?([a-z0-9]+)((?: [A-Z_]+=[^\s`)]+)*)", BOTH, re.MULTILINE)
    assert len(found) > 15
    for target, words in found:
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), f"make {target}"
        for variable in re.findall(r"([A-Z_]+)=", words):
            used = (f"$({variable})" in MAKEFILE, f'"$${variable}"' in MAKEFILE, f'"{variable}"' in BUILD)
            assert any(used), f"make {target} {variable}="


def test_every_file_exists():
    made = {"build/images.yaml", "my-values.yaml"}
    named = set(re.findall(r"(?:-f|install trunkline|cp) ([\w./-]+)", BLOCKS))
    assert {"charts/trunkline", "charts/trunkline/kind.yaml", "pipelines/clusters/nvidia.yaml"} <= named
    assert all((ROOT / path).exists() for path in named - made)


def test_images_are_named_without_being_built_anew(capsys, monkeypatch):
    """A second build without TORCH_INDEX would put CUDA into images of the same tags."""
    from images import build, contents

    for name in re.findall(r"\$\(make -s images ?([A-Z=1]*)\)", README):
        assert name == "LIST=1"
    monkeypatch.setattr("subprocess.run", lambda *words, **options: pytest.fail("something was started"))
    assert build.main(["--list"]) == 0
    listed = capsys.readouterr().out.split()
    assert listed == [contents.name(image, PATTERN) for image in contents.CODE]
    assert set(yaml.safe_load(values(PATTERN))["images"].values()) <= set(listed)


def test_the_small_cluster_takes_the_values_of_its_commands():
    """`-f charts/trunkline/kind.yaml -f build/images.yaml`, as `make images` writes it."""
    images = yaml.safe_load(values(PATTERN))
    found = taken(merged(KIND, images))
    used = {
        c["image"]
        for item in found
        for _, pod in restricted.pods(item)
        for c in restricted.containers(pod["spec"])
    }
    assert used == {images["images"]["tracking"], "docker.io/library/postgres:17.6-bookworm"}


def test_the_installation_and_its_values():
    words = [SETTING.match(word) for word in re.findall(r"--set (\S+)", BLOCKS)]
    given = parsed([(found[1], found[2]) for found in words if found])
    assert set(given["store"].values()) == {"s3://bucket/trunkline", "trunkline"}
    taken(merged(given, yaml.safe_load(values("registry.example/team/{image}:{tag}"))))


@pytest.mark.parametrize("row", ROWS, ids=[row.split("|")[1].strip() for row in ROWS])
def test_every_row_of_what_differs_elsewhere(row):
    taken(parsed(SETTING.findall(row)))


def test_all_rows_were_read():
    assert len(ROWS) == 7
