"""Package index of torch's CPU build: `python -m images.torch_index FOLDER`, if this machine's pip finds one.

Images that take torch from an index of its own have none of CUDA's libraries, so a build that needs them is
not served: without this index, images get torch and the libraries of `training/cuda.txt` from pip's own.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

LOCK = Path(__file__).parent / "training" / "lock.txt"
_CUDA = re.compile(r"nvidia|cuda|triton")


def main(words: list[str]) -> int:
    """Fills the folder, or leaves it empty and says why; returns 0, or the exit code of pip."""
    found = re.search(r"^torch==\S+", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    pin, folder = found[0], Path(words[0]) / "torch"
    words = "--quiet --ignore-installed --no-deps --only-binary :all: --dry-run --report -".split()
    asked = subprocess.run([*_pip("install"), *words, pin], stdout=subprocess.PIPE, check=False)
    if asked.returncode:
        return asked.returncode
    (torch,) = json.loads(asked.stdout)["install"]
    needs = [name for name in torch["metadata"].get("requires_dist", ()) if _CUDA.match(name)]
    if needs:
        name = torch["download_info"]["url"].rpartition("/")[2]
        print(f"pip finds {name}, no CPU build: the images get CUDA's libraries", file=sys.stderr)
        return 0
    words = f"--quiet --no-deps --only-binary :all: --dest {folder}".split()
    code = subprocess.run([*_pip("download"), *words, pin], check=False).returncode
    (folder / "index.html").write_text("".join(map(_link, folder.glob("*.whl"))), encoding="utf-8")
    return code


def _pip(command: str) -> list[str]:
    return [sys.executable, "-m", "pip", "--disable-pip-version-check", command]


def _link(wheel: Path) -> str:
    """A link with its hash: pip prefers such."""
    with wheel.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f'<a href="{quote(wheel.name)}#sha256={digest}">{wheel.name}</a>\n'


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
