"""Schedules against a server that speaks Kubeflow's API; each test with its own."""

from __future__ import annotations

import json

import pytest

from pipelines import schedule
from tests.fakes import kubernetes_rights as rights
from tests.fakes.kubeflow_server import Backend, Refused, acting, serving

NIGHTLY = "cron: 30 3 * * *\npreset: smoke\nstore: s3://bucket/prefix\noverrides: {pretraining.steps: 30}\n"


class Place:
    """A folder of schedules and a server."""

    def __init__(self, backend, uri, folder, capsys):
        self.backend, self.uri, self.folder, self.capsys = backend, uri, folder, capsys

    def declare(self, name, text):
        (self.folder / f"{name}.yaml").write_text(text)

    def command(self, action, *words):
        """Exit code and output."""
        code = schedule.main([action, "--endpoint", self.uri, "--folder", str(self.folder), *words])
        said = self.capsys.readouterr()
        return code, said.out + said.err

    def apply(self):
        code, output = self.command("apply")
        assert code == 0, output
        return output

    def settled(self):
        """Nothing differs, which a diff says with 0."""
        return self.command("diff")[0] == 0


@pytest.fixture(params=["2.16", "2.17"])
def place(request, tmp_path, capsys):
    backend = Backend(release=request.param)
    with serving(backend) as uri:
        yield Place(backend, uri, tmp_path, capsys)


def test_a_schedule_becomes_a_recurring_run(place):
    place.declare("nightly", NIGHTLY)
    code, output = place.command("diff")
    assert code == 2 and "nightly: new" in output and "trunkline-training: to be published" in output
    assert not place.backend.recurring and not place.backend.pipelines
    place.apply()
    (made,) = place.backend.recurring.values()
    (pipeline,) = place.backend.pipelines.values()
    assert made["display_name"] == "trunkline-nightly" and made["status"] == "ENABLED"
    assert made["pipeline_version_reference"] == {"pipeline_id": pipeline["pipeline_id"]}
    assert made["trigger"] == {"cron_schedule": {"cron": "0 30 3 * * *"}}
    assert made["no_catchup"] is True and made["max_concurrency"] == "1"
    assert made["runtime_config"]["parameters"] == {
        "preset": "smoke", "overrides": {"pretraining.steps": 30}, "store": "s3://bucket/prefix",
        "tracking_uri": "", "skip_unchanged": True,
    }  # fmt: skip
    assert place.settled()


def test_apply_twice_changes_nothing(place):
    place.declare("nightly", NIGHTLY)
    place.apply()
    before = json.dumps(place.backend.recurring), len(place.backend.versions)
    place.backend.requests.clear()
    assert "as it is declared" in place.apply()
    assert (json.dumps(place.backend.recurring), len(place.backend.versions)) == before
    assert all(request.startswith("GET ") for request in place.backend.requests)


def test_a_changed_schedule_is_replaced_under_its_name(place):
    place.declare("nightly", NIGHTLY)
    place.apply()
    place.declare("nightly", NIGHTLY.replace("30 3", "45 4").replace("30}", "31}"))
    code, output = place.command("diff")
    assert code == 2 and "'0 30 3 * * *' -> '0 45 4 * * *'" in output and "31" in output
    (old,) = place.backend.recurring
    place.apply()
    (made,) = place.backend.recurring.values()
    assert made["recurring_run_id"] != old and made["display_name"] == "trunkline-nightly"
    assert made["trigger"] == {"cron_schedule": {"cron": "0 45 4 * * *"}} and place.settled()


def test_enabling_needs_no_new_recurring_run(place):
    place.declare("nightly", NIGHTLY + "enabled: false\n")
    place.apply()
    (made,) = place.backend.recurring.values()
    assert made["status"] == "DISABLED" and place.settled()
    place.declare("nightly", NIGHTLY)
    assert "nightly: enabled" in place.apply()
    (now,) = place.backend.recurring.values()
    assert now["recurring_run_id"] == made["recurring_run_id"] and now["status"] == "ENABLED"
    now["status"] = "DISABLED"  # by hand, in the UI
    assert place.command("diff")[0] == 2 and "nightly: enabled" in place.apply()


def test_only_ours_are_pruned(place):
    place.declare("nightly", NIGHTLY)
    place.declare("weekly", NIGHTLY)
    place.apply()
    others = [
        ("trunkline-nightly", "by hand"),
        ("weekly", "x"),
        ("trunkline-other", ""),
        ("trunkline-weekly", None),
    ]
    example = next(iter(place.backend.recurring.values()))
    for number, (name, description) in enumerate(others):
        other = {**example, "display_name": name, "description": description, "recurring_run_id": str(number)}
        place.backend.recurring[str(number)] = {k: v for k, v in other.items() if v is not None}
    (place.folder / "weekly.yaml").unlink()
    assert "weekly: no longer declared" in place.apply()
    left = {one["recurring_run_id"] for one in place.backend.recurring.values()}
    assert {"0", "1", "2", "3"} < left and len(left) == 5 and place.settled()


def test_owners_do_not_touch_each_other(place, tmp_path_factory):
    place.declare("nightly", NIGHTLY)
    place.apply()
    other = Place(place.backend, place.uri, tmp_path_factory.mktemp("other"), place.capsys)
    other.declare("weekly", NIGHTLY)
    assert other.command("apply", "--owner", "search")[0] == 0
    names = sorted(one["display_name"] for one in place.backend.recurring.values())
    assert names == ["search-weekly", "trunkline-nightly"] and place.settled()


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours runs after it."""


@pytest.mark.parametrize("request_number", range(5))
def test_killed_anywhere_it_is_completed(place, request_number, monkeypatch):
    """Before each request that changes something; never do two recurring runs start runs."""
    place.declare("nightly", NIGHTLY)
    place.apply()
    place.declare("nightly", NIGHTLY.replace("30 3", "45 4"))
    seen = []

    def before(method, path):
        assert len(place.backend.enabled()) <= 1
        if method != "GET":
            seen.append(path)
            if len(seen) > request_number:
                raise Refused(500, "the server dies here")

    place.backend.before = before
    code, _ = place.command("apply")
    assert len(place.backend.enabled()) <= 1
    assert code in (0, 69)
    place.backend.before = lambda method, path: None
    place.apply()
    (made,) = place.backend.recurring.values()
    assert made["trigger"] == {"cron_schedule": {"cron": "0 45 4 * * *"}} and made["status"] == "ENABLED"
    assert place.settled()


def test_doubles_are_removed(place):
    """Two applies at once may both create."""
    place.declare("nightly", NIGHTLY)
    place.apply()
    (made,) = place.backend.recurring.values()
    place.backend.recurring["double"] = {**made, "recurring_run_id": "double"}
    code, output = place.command("diff")
    assert code == 2 and "a second one" in output
    place.apply()
    assert len(place.backend.recurring) == 1 and place.settled()


def test_a_new_graph_is_published_and_the_schedule_stays(place, monkeypatch):
    place.declare("nightly", NIGHTLY)
    place.apply()
    (made,) = place.backend.recurring
    (version,) = place.backend.versions.values()
    version["name"] = version["display_name"] = "trunkline-training-000000000000"  # another content
    assert place.command("diff") == (2, "trunkline-training: to be published\n")
    place.apply()
    assert len(place.backend.versions) == 2 and list(place.backend.recurring) == [made] and place.settled()
    newest = max(place.backend.versions.values(), key=lambda one: one["created_at"])
    older = {**newest, "created_at": "2020-01-01T00:00:00Z", "pipeline_version_id": "older"}
    place.backend.versions["older"] = older
    newest["name"] = newest["display_name"] = "trunkline-training-111111111111"  # a roll-back is due
    place.apply()
    newest = max(place.backend.versions.values(), key=lambda one: one["created_at"])
    assert newest["name"] == f"{older['name']}-2" and place.settled()


def test_many_pages(place):
    place.backend.page = 3
    for number in range(5):
        place.declare(f"n{number}", NIGHTLY)
    place.apply()
    assert len(place.backend.recurring) == 5 and place.settled()


def test_no_file_is_no_schedule(place):
    place.declare("nightly", NIGHTLY)
    place.apply()
    (place.folder / "nightly.yaml").unlink()
    place.apply()
    assert not place.backend.recurring


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("preset: smoke", "cron"),
        ("cron: 30 3 * * *\npreset: smok", "did you mean 'smoke'"),
        ("cron: 30 3 * * *\npreset: smoke\noverrides: {pretraining.stepz: 1}", "did you mean 'steps'"),
        ("cron: 3 * * *\npreset: smoke", "five fields"),
        ("cron: 30 3 * * 7\npreset: smoke", "0 to 6"),
        ("cron: 30 3 * * *\npreset: smoke\ntime_zone: Europe/Berlin", "unknown setting 'time_zone'"),
        ("cron: 30 3 * * *\npreset: smoke\nevery: day", "unknown setting 'every'"),
        ("- a", "section"),
        ("cron: [", "YAML"),
    ],
)
def test_wrong_files_change_nothing(place, text, says):
    place.declare("nightly", text)
    place.declare("good", NIGHTLY)
    code, output = place.command("apply")
    assert code == 78 and says in output and "Traceback" not in output
    assert not place.backend.recurring


@pytest.fixture
def shared(place, monkeypatch):
    """A Kubeflow with users, which asks Kubernetes what the account that the chart makes may do."""
    monkeypatch.setenv("KF_PIPELINES_NAMESPACE", "team")
    place.backend.multi_user, place.backend.rules = True, rights.rules("trunkline-schedule", "full")
    return place


def turns(place):
    """Everything that apply ever does; returns the exit codes and what was said."""
    yield place.declare("nightly", NIGHTLY) or place.command("apply")
    yield place.declare("nightly", NIGHTLY.replace("30 3", "45 4")) or place.command("apply")
    yield place.declare("nightly", NIGHTLY.replace("30 3", "45 4") + "enabled: false\n") or place.command(
        "apply"
    )
    yield (place.folder / "nightly.yaml").unlink() or place.command("apply")


def test_the_account_of_the_chart_may_apply_schedules(shared):
    assert [code for code, _ in turns(shared)] == [0, 0, 0, 0] and not shared.backend.recurring


@pytest.mark.parametrize(
    "right",
    [
        "list pipelines", "create pipelines", "list experiments", "create experiments", "list jobs",
        "create jobs", "delete jobs", "enable jobs", "disable jobs",
    ],
)  # fmt: skip
def test_a_right_of_that_account_that_is_taken_away_is_missed(shared, right):
    shared.backend.rules = rights.without(shared.backend.rules, acting(right))
    code, said = next(turn for turn in turns(shared) if turn[0])
    assert code == 77 and f"may not {right}" in said


def test_the_schedules_of_the_project_are_right(place):
    assert schedule.main(["apply", "--endpoint", place.uri]) == 0
    assert len(place.backend.recurring) == len(list(schedule.FOLDER.glob("*.yaml"))) > 0
