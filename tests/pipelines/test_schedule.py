"""Schedules against a server that speaks Kubeflow's API; each test with its own."""

import json

import pytest

from components.lib.core.errors import ConfigErrors
from pipelines import recurring, schedule
from tests.fakes import kubernetes_rights as rights
from tests.fakes.kubeflow_server import Backend, Refused, acting, serving

NIGHTLY = "cron: 30 3 * * *\npreset: smoke\nstore: s3://bucket/prefix\noverrides: {pretraining.steps: 30}\n"
MOVED = NIGHTLY.replace("30 3", "45 4").replace("30}", "31}")


class Place:
    """A folder of schedules and a server."""

    def __init__(self, backend, uri, folder, capsys):
        self.backend, self.uri, self.folder, self.capsys = backend, uri, folder, capsys

    def declare(self, text, *names):
        for name in names or ("nightly",):
            (self.folder / f"{name}.yaml").write_text(text)

    def command(self, action, *words):
        """Exit code and output."""
        code = schedule.main([action, "--endpoint", self.uri, "--folder", str(self.folder), *words])
        said = self.capsys.readouterr()
        return code, said.out + said.err

    def apply(self, text="", *names):
        """Declares, applies, and makes sure that nothing differs then; returns what was said."""
        if text:
            self.declare(text, *names)
        code, output = self.command("apply")
        assert code == 0, output
        assert self.command("diff")[0] == 0
        return output

    def made(self):
        """The only recurring run."""
        (one,) = self.backend.recurring.values()
        return one


@pytest.fixture(params=["2.16", "2.17"])
def place(request, tmp_path, capsys):
    backend = Backend(release=request.param)
    with serving(backend) as uri:
        yield Place(backend, uri, tmp_path, capsys)


def test_a_schedule_becomes_a_recurring_run(place):
    place.declare(NIGHTLY)
    code, output = place.command("diff")
    assert code == 2 and "nightly: new" in output and "trunkline-training: to be published" in output
    assert not place.backend.recurring and not place.backend.pipelines
    place.apply()
    made, (pipeline,) = place.made(), place.backend.pipelines.values()
    assert made["display_name"] == "trunkline-nightly" and made["status"] == "ENABLED"
    (version,) = place.backend.versions.values()
    of = {key: version[key] for key in ("pipeline_id", "pipeline_version_id")}
    assert made["pipeline_version_reference"] == of and of["pipeline_id"] == pipeline["pipeline_id"]
    assert made["trigger"] == {"cron_schedule": {"cron": "0 30 3 * * *"}}
    assert made["no_catchup"] is True and made["max_concurrency"] == "1"
    given = {"preset": "smoke", "overrides": {"pretraining.steps": 30}, "store": "s3://bucket/prefix"}
    assert made["runtime_config"]["parameters"] == {**given, "tracking_uri": "", "skip_unchanged": True}
    before = json.dumps(place.backend.recurring), len(place.backend.versions)
    place.backend.requests.clear()
    assert "as it is declared" in place.apply()
    assert (json.dumps(place.backend.recurring), len(place.backend.versions)) == before
    assert all(request.startswith("GET ") for request in place.backend.requests)


def test_a_changed_schedule_is_replaced_under_its_name(place):
    place.apply(NIGHTLY)
    old = place.made()
    place.declare(MOVED)
    code, output = place.command("diff")
    assert code == 2 and "'0 30 3 * * *' -> '0 45 4 * * *'" in output and "31" in output
    place.apply()
    made = place.made()
    assert made["recurring_run_id"] != old["recurring_run_id"] and made["display_name"] == old["display_name"]
    assert made["trigger"] == {"cron_schedule": {"cron": "0 45 4 * * *"}}


@pytest.mark.parametrize("request_number", range(5))
def test_killed_anywhere_it_is_completed(place, request_number):
    """Before each request that changes something; never do two recurring runs start runs."""
    place.apply(NIGHTLY)
    place.declare(MOVED)
    seen = []

    def before(method, path):
        assert len(place.backend.enabled()) <= 1
        seen.extend([path] * (method != "GET"))
        if len(seen) > request_number:
            raise Refused(500, "the server dies here")

    place.backend.before = before
    assert place.command("apply")[0] in (0, 69) and len(place.backend.enabled()) <= 1
    place.backend.before = lambda method, path: None
    place.apply()
    assert place.made()["trigger"] == {"cron_schedule": {"cron": "0 45 4 * * *"}}
    assert place.made()["status"] == "ENABLED"


def test_enabling_needs_no_new_recurring_run(place):
    place.apply(NIGHTLY + "enabled: false\n")
    made = place.made()
    assert made["status"] == "DISABLED"
    assert "nightly: enabled" in place.apply(NIGHTLY)
    assert place.made() is made and made["status"] == "ENABLED"
    made["status"] = "DISABLED"  # by hand, in the UI
    assert place.command("diff")[0] == 2 and "nightly: enabled" in place.apply()


def test_only_ours_are_pruned(place, tmp_path_factory):
    place.apply(NIGHTLY, "nightly", "weekly")
    other = Place(place.backend, place.uri, tmp_path_factory.mktemp("other"), place.capsys)
    other.declare(NIGHTLY, "weekly")
    assert other.command("apply", "--owner", "search")[0] == 0
    example = next(iter(place.backend.recurring.values()))
    by_hand = (
        ("trunkline-nightly", "by hand"),
        ("weekly", "x"),
        ("trunkline-other", ""),
        ("trunkline-weekly", None),
    )
    for number, (name, description) in enumerate(by_hand):
        one = {**example, "display_name": name, "description": description, "recurring_run_id": str(number)}
        place.backend.recurring[str(number)] = {key: value for key, value in one.items() if value is not None}
    (place.folder / "weekly.yaml").unlink()
    assert "weekly: no longer declared" in place.apply()
    (place.folder / "nightly.yaml").unlink()
    place.apply()
    left = sorted(one["display_name"] for one in place.backend.recurring.values())
    assert left == sorted(["search-weekly", *(name for name, _ in by_hand)])


def test_doubles_are_removed(place):
    """Two applies at once may both create."""
    place.apply(NIGHTLY)
    place.backend.recurring["double"] = {**place.made(), "recurring_run_id": "double"}
    code, output = place.command("diff")
    assert code == 2 and "a second one" in output
    place.apply()
    assert place.made()


def test_a_new_graph_is_published_and_the_schedule_pinned_to_it(place):
    place.apply(NIGHTLY)
    made, (version,) = place.made(), place.backend.versions.values()
    old, kept = "2026-11-01-0000000-000000000000", version["name"]
    version["name"] = version["display_name"] = old  # another content
    code, output = place.command("diff")
    assert code == 2 and "trunkline-training: to be published" in output and f"version: {old} -> " in output
    place.apply()
    first, second = sorted(place.backend.versions.values(), key=lambda one: one["created_at"])
    assert second["name"] == kept and place.made()["recurring_run_id"] != made["recurring_run_id"]
    pinned = place.made()["pipeline_version_reference"]["pipeline_version_id"]
    assert pinned == second["pipeline_version_id"] != first["pipeline_version_id"]


def test_what_somebody_submits_by_hand_is_told_and_not_run(place):
    place.apply(NIGHTLY)
    made, (version,) = place.made(), place.backend.versions.values()
    newer = {"name": "broken", "display_name": "broken", "created_at": place.backend.stamp()}
    place.backend.versions["b"] = {**version, **newer, "pipeline_version_id": "b"}
    code, output = place.command("diff")
    assert code == 0 and f"trunkline-training: broken is newer than {version['name']}" in output
    place.apply()
    assert place.made() is made and len(place.backend.versions) == 2


def test_many_pages(place):
    place.backend.page = 3
    place.apply(NIGHTLY, *(f"n{number}" for number in range(5)))
    assert len(place.backend.recurring) == 5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("preset: smoke", "cron"),
        ("cron: 30 3 * * *\npreset: smok", "did you mean 'smoke'"),
        ("cron: 30 3 * * *\npreset: smoke\noverrides: {pretraining.stepz: 1}", "did you mean 'steps'"),
        ("cron: 3 * * *\npreset: smoke", "five fields"),
        ("cron: 30 3 * * *\npreset: smoke\nevery: day", "unknown setting 'every'"),
        (f"cron: 30 3 * * *\npreset: smoke\noverrides: {{a: {'x' * 130_000}}}", "too long"),
        ("- a", "section"),
        ("cron: [", "YAML"),
    ],
)
def test_wrong_files_change_nothing(place, text, says):
    place.declare(text)
    place.declare(NIGHTLY, "good")
    code, output = place.command("apply")
    assert code == 78 and says in output and "Traceback" not in output
    assert not place.backend.requests


RIGHT = (
    "30 3 * * *|0 20 * * mon-fri|0 3 1 * *|0 12 1 jan,JUL *|*/30 * * * *|15 08 * * 0|5/20 0-6/2,23 * * sun"
)
WRONG = {
    "five fields": "0 3 * *|0 0 3 * * *|x",
    "minute": "60 3 * * *|*/0 * * * *|*-3 * * * *|a 3 * * *|5, 3 * * *",
    "hour": "0 24 * * *|0 5-3 * * *",
    "day": "0 3 0 * *|0 3 L * *",
    "month": "0 3 * foo *",
    "0 to 6, sun mon": "0 3 * * 8|0 3 * * 7|0 3 * * fri-mon",
}


def test_times_are_those_that_the_scheduler_of_kubeflow_takes(tmp_path):
    path = tmp_path / "a.yaml"
    for cron in RIGHT.split("|"):
        path.write_text(f"cron: '{cron}'\npreset: smoke")
        assert recurring.load(tmp_path)["a"].cron == cron
    for says, crons in WRONG.items():
        for cron in crons.split("|"):
            path.write_text(f"cron: '{cron}'\npreset: smoke")
            with pytest.raises(ConfigErrors, match=says):
                recurring.load(tmp_path)


@pytest.fixture
def shared(place, monkeypatch):
    """A Kubeflow with users, which asks Kubernetes what the account that the chart makes may do."""
    monkeypatch.setenv("KF_PIPELINES_NAMESPACE", "team")
    place.backend.multi_user, place.backend.rules = True, rights.rules("trunkline-schedule")
    return place


def turns(place):
    """Everything that apply ever does; returns the exit codes and what was said."""
    for text in (NIGHTLY, MOVED, f"{MOVED}enabled: false\n"):
        place.declare(text)
        yield place.command("apply")
    (place.folder / "nightly.yaml").unlink()
    yield place.command("apply")


def test_the_account_of_the_chart_may_apply_schedules(shared):
    assert [code for code, _ in turns(shared)] == [0, 0, 0, 0] and not shared.backend.recurring


@pytest.mark.parametrize(
    "right",
    "list pipelines|create pipelines|list experiments|create experiments|list jobs|create jobs|delete jobs|"
    "enable jobs|disable jobs".split("|"),
)
def test_a_right_of_that_account_that_is_taken_away_is_missed(shared, right):
    shared.backend.rules = rights.without(shared.backend.rules, acting(right))
    code, said = next(turn for turn in turns(shared) if turn[0])
    assert code == 77 and f"may not {right}" in said


def test_the_schedules_of_the_project_are_right(place):
    assert schedule.main(["apply", "--endpoint", place.uri]) == 0
    assert len(place.backend.recurring) == len(list(schedule.FOLDER.glob("*.yaml"))) > 0
