"""`make scan`: every scanner on every file; each finding is mended, or explained in allowed.yaml.

First each scanner must find a fault that is planted for it: a scanner that finds nothing anywhere is broken.
"""

import subprocess
import sys
import tempfile
import time
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

from tests.scan.scanners import SCANNERS, Finding

ROOT = Path(__file__).resolve().parents[2]
POD = "{name: x, image: x, securityContext: {privileged: true}}"
MANIFEST = f"apiVersion: v1\nkind: Pod\nmetadata: {{name: x}}\nspec: {{containers: [{POD}]}}\n"
WORKFLOW = "on: push\njobs: {x: {runs-on: x, steps: [{uses: some/action@v1}]}}\n"
PLANTED = {  # scanner: rule that it must find, in which file, with which content
    "checkov": ("CKV_K8S_16", "tests/charts/golden/x.yaml", MANIFEST),
    "hadolint": ("DL3007", "Dockerfile", "FROM debian:latest\n"),
    "zizmor": ("unpinned-uses", ".github/workflows/x.yml", WORKFLOW),
    "shellcheck": ("SC2086", "x.sh", "#!/bin/sh\nrm -rf $1/x\n"),
    "bandit": ("B602", "x.py", "import subprocess\nsubprocess.run(input(), shell=True)\n"),
    "secrets": ("AWS-Access-Key", "x.txt", "key = " + "AKIA" + "Q3EGRZ5YB7UFJHXA\n"),
    "yamllint": ("key-duplicates", "x.yaml", "a: 1\na: 2\n"),
}


def main() -> int:
    """Prints what is not explained, and explanations of nothing; returns 1 if there is either."""
    with tempfile.TemporaryDirectory() as folder:
        blind = [one.__name__ for one in SCANNERS if not _sees(one, Path(folder, one.__name__))]
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [path for path in map(Path, listed.splitlines()) if (ROOT / path).is_file()]
    allowed: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("allowed.yaml").read_text())
    used, bad, count = set(), 0, 0
    for scanner in SCANNERS:
        start = time.monotonic()
        findings = list(scanner(ROOT, files))
        explained = {finding: _explanation(finding, allowed) for finding in findings}
        used |= {index for index in explained.values() if index is not None}
        left = [finding for finding, index in explained.items() if index is None]
        told = f"{len(findings) - len(left):>4} explained, {len(left):>3} not"
        print(f"{scanner.__name__:<11} {told}, {time.monotonic() - start:5.1f} s", flush=True)
        print(*(f"  {finding}" for finding in left), sep="\n", end="\n" if left else "")
        bad, count = bad + len(left), count + len(findings)
    idle = [entry for index, entry in enumerate(allowed) if index not in used]
    print(*(f"explains nothing any more: {entry}" for entry in idle), sep="\n", end="\n" if idle else "")
    print(*(f"{name} does not find what was planted for it" for name in blind), sep="\n", end="")
    print(f"{count} findings, {bad} not explained; {len(allowed)} explanations")
    return 1 if bad or idle or blind else 0


def _sees(scanner: Any, folder: Path) -> bool:
    rule, name, text = PLANTED[scanner.__name__]
    path = folder / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return rule in [finding.rule for finding in scanner(folder, [Path(name)])]


def _explanation(finding: Finding, allowed: list[dict[str, Any]]) -> int | None:
    """The index of the entry that explains it."""
    for index, entry in enumerate(allowed):
        same = entry["rule"] == f"{finding.tool} {finding.rule}" and entry.get("value", "") == finding.value
        if same and any(fnmatch(finding.where, pattern) for pattern in entry["where"]):
            return index
    return None


if __name__ == "__main__":
    sys.exit(main())
