"""Rules of KFP's driver that decide what our graphs may look like."""

from kfp import compiler, dsl

from tests.fakes.kubeflow_driver import Cluster


@dsl.component(base_image="none", install_kfp_package=False)
def make(item: str, made: dsl.Output[dsl.Dataset]):
    raise AssertionError("no step of these graphs is to start")


@dsl.component(base_image="none", install_kfp_package=False)
def gather(made: dsl.Input[list[dsl.Dataset]]):
    raise AssertionError("no step of these graphs is to start")


@dsl.pipeline(name="empty")
def empty(items: list[str] = []):  # noqa: B006
    with dsl.ParallelFor(items) as item:
        made = make(item=item).outputs["made"]
    gather(made=dsl.Collected(made))


def test_an_empty_loop_cannot_be_collected(tmp_path):
    """`subTaskName ... not in tasks` (backend/src/v2/driver/resolve.go)."""
    path = tmp_path / "empty.yaml"
    compiler.Compiler().compile(empty, str(path))
    platform = "---\nplatforms: {kubernetes: {deploymentSpec: {executors: {}}}}\n"
    cluster = Cluster(path.read_text() + platform, tmp_path, {})
    assert cluster.run(items=[]) == "FAILED" and not cluster.attempts
