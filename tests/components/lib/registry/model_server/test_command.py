import yaml

from components.lib.registry.model_server.__main__ import _parser
from components.lib.registry.model_server.limits import Limits
from tests.charts.rendering import GOLDEN, named


def test_the_chart_starts_it_by_its_own_arguments_and_waits_until_all_is_answered():
    found = [one for one in yaml.safe_load_all(GOLDEN.read_text()) if one]
    pod = named(found, "Deployment", "trunkline-serve-news-tone")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"] == ["python", "-m", "components.lib.registry.model_server"]
    arguments = _parser().parse_args(container["args"])
    assert (arguments.name, arguments.alias, arguments.port) == ("news-tone", "challenger", 8080)
    assert arguments.host == "0.0.0.0"
    assert pod["terminationGracePeriodSeconds"] > Limits().seconds + Limits().linger
