"""What is asked from inside a cluster, where store and MLflow are reached. Runs in a pod by `python -c`.

Its words are the name of a function and its arguments in JSON; the last line of its output is the answer.
"""

import base64
import json
import os
import re
import sys
import urllib.request

KNOWN = "acceptance/known.json"
STATUSES = ("succeeded", "failed", "cancelled")
TAGS = ("kfp.pipeline_run_id", "trunkline.run")  # of the runs of a run in MLflow: of all, of the parent


def health(store, uri):
    """Whether the store keeps what is written and honours conditions; version of MLflow."""
    from components.lib.storage.objects import connect

    objects = connect(store)
    once = [objects.write("acceptance/probe", word, if_absent=True) for word in (b"1", b"2")]
    kept = objects.read("acceptance/probe") == b"1"
    objects.delete("acceptance/probe")
    rest(uri, "experiments/search", {"max_results": 1})
    with urllib.request.urlopen(request(f"{uri}/version"), timeout=30) as answer:
        return {"conditional": once == [True, False] and kept, "mlflow": answer.read().decode()[:20]}


def record(store, run_id):
    """The exit record, whether there is a report, and what the index of runs says."""
    from components.lib.core.errors import MissingError
    from components.lib.storage.objects import connect

    objects, found = connect(store), {}
    for name in (f"{run_id}/exit.json", f"{run_id}/report.html", "index.html"):
        try:
            found[name] = objects.read(f"runs/{name}").decode()
        except MissingError:
            found[name] = ""
    text, report, index = found.values()
    row = index.partition(run_id)[2]
    shown = re.search("|".join(STATUSES), row.lower())
    return {
        "record": json.loads(text) if text else None,
        "report": bool(report),
        "index": shown[0] if shown else "",
    }


def files(store, reference):
    """Names and digests of the files of an output."""
    from components.lib.storage.store import Store

    return [[file.name, file.sha256] for file in Store(store).resolve(reference).files]


def runs(uri, run_ids):
    """MLflow's runs of pipeline runs."""
    places = experiments(uri)
    found = {}
    for query in [f"tags.`{tag}` = '{run_id}'" for run_id in run_ids for tag in TAGS]:
        wanted = {"experiment_ids": places, "filter": query, "max_results": 1000}
        for one in rest(uri, "runs/search", wanted).get("runs", ()):
            info, tags = one["info"], {tag["key"]: tag["value"] for tag in one["data"].get("tags", ())}
            facts = {name: info.get(name, "") for name in ("run_id", "run_name", "status")}
            facts |= {"parent": tags.get("mlflow.parentRunId", ""), "stage": tags.get("trunkline.stage", "")}
            found[info["run_id"]] = facts
    return list(found.values())


def experiments(uri):
    """Ids of the experiments that are there."""
    return [
        one["experiment_id"]
        for one in rest(uri, "experiments/search", {"max_results": 1000}).get("experiments", ())
    ]


def forget(uri, run_ids, prefix, kept):
    """Deletes MLflow's runs of pipeline runs, models whose names begin so, new experiments without runs."""
    for one in runs(uri, run_ids):
        rest(uri, "runs/delete", {"run_id": one["run_id"]})
    models = rest(
        uri, "registered-models/search", {"filter": f"name LIKE '{prefix}%'", "max_results": 100}, "GET"
    )
    for model in models.get("registered_models", ()):
        rest(uri, "registered-models/delete", {"name": model["name"]}, "DELETE")
    for number in set(experiments(uri)) - set(kept):
        if not rest(uri, "runs/search", {"experiment_ids": [number], "max_results": 1}).get("runs"):
            rest(uri, "experiments/delete", {"experiment_id": number})
    return len(models.get("registered_models", ()))


def note(store, known):
    """Keeps in the store what was there before us, for whoever removes what a killed acceptance left."""
    from components.lib.storage.objects import connect

    connect(store).write(KNOWN, json.dumps(known).encode())


def recall(store):
    """What `note` has kept; nothing if nothing was made."""
    from components.lib.core.errors import MissingError
    from components.lib.storage.objects import connect

    try:
        return json.loads(connect(store).read(KNOWN))
    except MissingError:
        return {}


def remove(store):
    """Deletes everything in a store that was ours alone."""
    from concurrent.futures import ThreadPoolExecutor

    from components.lib.storage.objects import connect

    objects = connect(store)
    keys = list(objects.keys(""))
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(objects.delete, keys))
    return len(keys)


def rest(uri, path, body, method="POST"):
    """One answer of MLflow's REST API."""
    address, data = f"{uri}/api/2.0/mlflow/{path}", json.dumps(body).encode()
    if method == "GET":
        from urllib.parse import urlencode

        address, data = f"{address}?{urlencode(body)}", None
    with urllib.request.urlopen(request(address, data, method), timeout=60) as answer:
        return json.loads(answer.read())


def request(address, data=None, method="GET"):
    """With what the environment says of who we are."""
    headers = {"Content-Type": "application/json"}
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    elif user := os.environ.get("MLFLOW_TRACKING_USERNAME"):
        both = f"{user}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(both.encode()).decode()
    return urllib.request.Request(address, data, headers, method=method)


def main(words):
    """Calls the function of that name."""
    name, arguments = words
    print(json.dumps(globals()[name](*json.loads(arguments))))


if __name__ == "__main__":
    main(sys.argv[1:])
