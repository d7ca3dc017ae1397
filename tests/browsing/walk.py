"""A walk through MLflow's pages in headless Chromium: what a reader must find, and the README's pictures.

    python tests/browsing/walk.py runs .github/pictures

It needs chromium and chromedriver (Debian: apt-get install chromium chromium-driver), and makes an
environment of its own with selenium and pillow. `runs` is what `make run` left.
"""

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

ROOT = Path(__file__).resolve().parents[2]
SIZE = 1280, 860
COLOURS = 64  # of a picture: enough for pages of text, a quarter of the bytes
PATIENCE = 60.0  # seconds until a page shows what it must
# The pages open panels that nobody asked for.
QUIET = {
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
    "mlflow.assistant.panelOpen_v1": "false",
    "_mlflow_model_registry_promo_modal_dismissed_v1": "true",
}


ENVIRONMENT = ROOT / "build" / "browser"
PACKAGES = "selenium==4.51.0", "pillow>=12,<14"


@dataclass(frozen=True)
class Stop:
    """One page.

    Attributes:
        path: behind the server's address.
        shows: texts that stand on it.
        picture: name of the picture that is kept, or empty.
    """

    path: str
    shows: tuple[str, ...]
    picture: str = ""


@contextmanager
def serving(runs: Path) -> Iterator[str]:
    """The address of an MLflow server on what a local run left."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    words += ["--backend-store-uri", f"sqlite:///{runs.resolve()}/mlflow.db"]
    words += ["--artifacts-destination", str(runs.resolve() / "mlartifacts")]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    silent: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command, environment = [str(ROOT / ".venv/bin/mlflow"), *words], {**os.environ, **quiet}
    server = subprocess.Popen(command, env=environment, start_new_session=True, **silent)
    uri, end = f"http://127.0.0.1:{port}", time.monotonic() + 120
    try:
        while server.poll() is None and time.monotonic() < end:
            try:
                urllib.request.urlopen(f"{uri}/version", timeout=5).close()
                yield uri
                return
            except URLError:
                time.sleep(0.3)
        sys.exit("the MLflow server did not start")
    finally:
        os.killpg(server.pid, 15)
        server.wait()


def ask(uri: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The answer of MLflow's REST API."""
    data = None if body is None else json.dumps(body).encode()
    kind = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{uri}/api/2.0/mlflow/{path}", data, kind)
    with urllib.request.urlopen(request, timeout=60) as response:
        return dict(json.load(response))


def stops(uri: str, preset: str) -> list[Stop]:
    """The way from the list of experiments to a branch, its card and its trunk."""
    experiment = ask(uri, f"experiments/get-by-name?experiment_name={preset}")["experiment"]["experiment_id"]
    runs = ask(uri, "runs/search", {"experiment_ids": [experiment], "max_results": 100})["runs"]
    names = {run["info"]["run_name"]: run["info"]["run_id"] for run in reversed(runs)}
    found = ask(uri, "registered-models/search?max_results=100")["registered_models"]
    models = [one["name"] for one in found]
    branch = next(name for name in models if name.rpartition("-")[0] in models)
    trunk = branch.rpartition("-")[0]

    def version(name: str) -> str:
        champion = ask(uri, f"registered-models/alias?name={name}&alias=champion")["model_version"]
        return f"/#/models/{name}/versions/{champion['version']}"

    page, said = f"/#/experiments/{experiment}/runs", "Fine-tuned for the task"
    of_branch = ("champion", said, "interval", "pretraining/", "evaluation/", "load_model")
    of_trunk = ("champion", "pre-trained on unlabelled data", "ingestion/", "tokenization/")
    return [
        Stop("/#/experiments", (preset,)),
        Stop(page, ("pretraining", branch, trunk, "corpus")),
        Stop(f"{page}/{names[trunk]}", ("Finished", "corpus", "Registered models", trunk)),
        Stop(f"{page}/{names['pretraining']}/model-metrics", ("accuracy", "Step"), "curves"),
        Stop("/#/models", (branch, trunk, "champion")),
        Stop(f"/#/models/{branch}", (said, "champion", "Versions")),
        Stop(version(branch), of_branch, "branch"),
        Stop(version(trunk), of_trunk),
    ]


def browser() -> Any:
    """A headless Chromium of a fixed size."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if not all(programs):
        sys.exit("chromium is missing: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(word)
    options.add_argument(f"--window-size={SIZE[0]},{SIZE[1]}")
    return webdriver.Chrome(options=options, service=Service(programs[1]))


def visit(driver: Any, uri: str, stop: Stop) -> None:
    """Opens a page and waits until it shows what it must; ends the program if it does not."""
    driver.get("about:blank")
    driver.get(f"{uri}{stop.path}?workflowType=machine_learning")
    missing: list[str] = list(stop.shows)
    end = time.monotonic() + PATIENCE
    while missing and time.monotonic() < end:
        time.sleep(0.3)
        text = driver.execute_script("return document.body.innerText")
        missing = [word for word in stop.shows if word not in text]
    if missing:
        driver.save_screenshot(str(ENVIRONMENT / "missing.png"))
        sys.exit(f"{stop.path} does not show {missing}; see build/browser/missing.png")
    print(f"{stop.path} shows {', '.join(stop.shows)}", flush=True)


def keep(driver: Any, folder: Path, name: str) -> None:
    """Saves what is seen as a picture of few colours."""
    from PIL import Image

    time.sleep(2)  # charts grow into their places
    picture = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
    picture.quantize(COLOURS).save(folder / f"mlflow-{name}.png", optimize=True)


def equipped() -> bool:
    """Whether this is the environment of the walk; makes it if it is not there."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PACKAGES], check=True)
    return Path(sys.prefix).resolve() == ENVIRONMENT.resolve()


def main(runs: Path, folder: Path, preset: str = "quickstart") -> None:
    """Walks and takes the pictures."""
    if not (runs / "mlflow.db").is_file():
        sys.exit(f"there is no {runs}/mlflow.db: make run first")
    with serving(runs) as uri:
        driver = browser()
        try:
            driver.get(f"{uri}/static-files/manifest.json")  # a page of the same origin, to set its memory
            for name, value in QUIET.items():
                driver.execute_script("localStorage.setItem(arguments[0], arguments[1])", name, value)
            for stop in stops(uri, preset):
                visit(driver, uri, stop)
                if stop.picture:
                    keep(driver, folder, stop.picture)
        finally:
            driver.quit()


if __name__ == "__main__":
    if not equipped():
        os.execv(ENVIRONMENT / "bin" / "python", [str(ENVIRONMENT / "bin" / "python"), *sys.argv])
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
