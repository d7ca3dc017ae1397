"""Each scanner as a function: the files that are its business -> what it found. None needs a network."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
YAMLLINT = (
    "{extends: default, rules: {line-length: disable, document-start: disable, truthy: {check-keys: false}}}"
)

# What follows the word token in these is none; a digest of public data is none either.
NO_SECRET = r"(?i)tokeniz|AccountToken: (true|false)|#sha256=[0-9a-f]{64}"


@dataclass(frozen=True)
class Finding:
    """What a scanner complains of.

    Attributes:
        where: the file, below the root; with a resource of Kubernetes, also its kind and name.
        value: the beginning of the SHA-1 of a secret, which itself is not shown.
    """

    tool: str
    rule: str
    where: str
    line: int
    text: str
    value: str = ""

    def __str__(self) -> str:
        value = f" (value {self.value})" if self.value else ""
        return f"{self.where}:{self.line}: {self.tool} {self.rule}{value}: {self.text}"


def checkov(root: Path, files: Sequence[Path]) -> Iterator[Finding]:
    """Kubernetes manifests and Dockerfiles."""
    golden = [path for path in files if "charts/golden" in path.as_posix()]
    for framework, chosen in (("dockerfile", _called("Dockerfile", files)), ("kubernetes", golden)):
        if not chosen:
            continue
        words = [word for path in chosen for word in ("-f", str(path))]
        words += ["--framework", framework, "-o", "json", "--quiet", "--skip-download"]
        found = _json(root, "checkov", *words)
        for check in found["results"]["failed_checks"] if "results" in found else []:
            end = check["file_path"].lstrip("/")
            path = next(known for known in files if known.as_posix().endswith(end))
            name = "" if framework == "dockerfile" else f" {check['resource']}"
            line = check["file_line_range"][0]
            yield Finding("checkov", check["check_id"], f"{path}{name}", line, check["check_name"])


def hadolint(root: Path, files: Sequence[Path]) -> Iterator[Finding]:
    """Dockerfiles."""
    for hit in _hits(root, _called("Dockerfile", files), "hadolint", "-f", "json"):
        yield Finding("hadolint", hit["code"], hit["file"], hit["line"], hit["message"])


def zizmor(root: Path, files: Sequence[Path]) -> Iterator[Finding]:
    """Workflows of GitHub: actions by SHA, no injection from titles and names, few permissions."""
    chosen = [path for path in files if ".github/workflows" in path.as_posix()]
    for hit in _hits(root, chosen, "zizmor", "--offline", "--format", "json"):
        place = next(one for one in hit["locations"] if one["symbolic"]["kind"] == "Primary")
        path = place["symbolic"]["key"]["Local"]["verbatim_path"]
        line = place["concrete"]["location"]["start_point"]["row"] + 1
        yield Finding("zizmor", hit["ident"], path, line, hit["desc"])


def shellcheck(root: Path, files: Sequence[Path]) -> Iterator[Finding]:
    """Shell scripts, by name or by their first line."""
    chosen = [path for path in files if path.suffix == ".sh" or _shell(root / path)]
    for hit in _hits(root, chosen, "shellcheck", "-f", "json"):
        yield Finding("shellcheck", f"SC{hit['code']}", hit["file"], hit["line"], hit["message"])


def bandit(root: Path, files: Sequence[Path]) -> Iterator[Finding]:
    """Python that runs in production; tests may do what it forbids."""
    chosen = [path for path in files if path.suffix == ".py" and path.parts[0] != "tests"]
    report = _hits(root, chosen, "bandit", "-q", "-f", "json") or {"errors": [], "results": []}
    if report["errors"]:
        raise SystemExit(f"bandit could not read: {report['errors']}")
    for hit in report["results"]:
        path = Path(hit["filename"]).as_posix().removeprefix("./")
        yield Finding("bandit", hit["test_id"], path, hit["line_number"], hit["issue_text"])


def secrets(root: Path, files: Sequence[Path]) -> Iterator[Finding]:
    """Passwords and keys in any file but those that hold hashes."""
    hashes = re.compile(r"(images/\w+/\w+|tests/(scan|charts)/lock)\.txt|tests/scan/allowed\.yaml")
    chosen = [path for path in files if not hashes.fullmatch(path.as_posix())]
    words = "detect-secrets", "scan", "--no-verify", "--exclude-lines", NO_SECRET
    for path, hits in _hits(root, chosen, *words)["results"].items():
        for hit in hits:
            value, rule = hit["hashed_secret"][:12], hit["type"].replace(" ", "-")
            yield Finding("secrets", rule, path, hit["line_number"], "looks like a secret", value)


def yamllint(root: Path, files: Sequence[Path]) -> Iterator[Finding]:
    """YAML that people write: not Helm's templates, nor what programs made."""
    written = [path for path in files if not {"templates", "golden"} & set(path.parts)]
    chosen = [str(path) for path in written if path.suffix in (".yaml", ".yml")]
    output = _run(root, "yamllint", "-f", "parsable", "-d", YAMLLINT, *chosen) if chosen else ""
    for hit in re.finditer(r"^(.+?):(\d+):\d+: \[\w+\] (.+) \(([\w-]+)\)$", output, flags=re.MULTILINE):
        yield Finding("yamllint", hit[4], hit[1], int(hit[2]), hit[3])


Scanner = Callable[[Path, Sequence[Path]], Iterator[Finding]]
SCANNERS: tuple[Scanner, ...] = (checkov, hadolint, zizmor, shellcheck, bandit, secrets, yamllint)


def _called(name: str, files: Sequence[Path]) -> list[Path]:
    return [path for path in files if path.name == name]


def _hits(root: Path, files: Sequence[Path], *words: str) -> Any:
    """What a scanner says of these files; nothing if there are none, of which some make an error."""
    return _json(root, *words, *map(str, files)) if files else []


def _shell(path: Path) -> bool:
    with path.open("rb") as file:
        return re.match(rb"#!.*\b(ba|da)?sh\b", file.read(80)) is not None


def _json(root: Path, *words: str) -> Any:
    output = _run(root, *words)
    try:
        return json.loads(output)
    except ValueError:
        raise SystemExit(f"{words[0]} answers no JSON: {output[:2000]}") from None


def _run(root: Path, *words: str) -> str:
    """What the program prints; its exit code only tells whether there are findings."""
    command = [str(BIN / words[0]), *words[1:]]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if not done.stdout and done.returncode:
        raise SystemExit(f"{words[0]} failed with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout
