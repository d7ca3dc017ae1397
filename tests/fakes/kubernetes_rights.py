"""Rights as Kubernetes decides on them, from the Roles that the chart renders and binds to an account."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import yaml

GOLDEN = Path(__file__).parents[1] / "charts" / "golden" / "full.yaml"  # tests/charts keeps it true
ONE = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
ALL = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
_PATH = re.compile(
    "/(?:api|apis/(?P<group>[^/]+))/[^/]+/namespaces/[^/]+/"
    "(?P<kind>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<part>[^/]+))?"
)


@dataclass(frozen=True)
class Act:
    """What a request wants to do."""

    verb: str
    group: str
    resource: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}" + (f".{self.group}" if self.group else "")


def act(method: str, target: str) -> Act:
    """The act of a request, as the API server names it."""
    parts = urlsplit(target)
    found = _PATH.fullmatch(parts.path)
    assert found, f"no path of a namespaced resource: {target}"
    verb = (ONE if found["name"] else ALL)[method]
    if verb == "list" and parse_qs(parts.query).get("watch") in (["true"], ["True"], ["1"]):
        verb = "watch"
    resource = f"{found['kind']}/{found['part']}" if found["part"] else found["kind"]
    return Act(verb, found["group"] or "", resource, found["name"] or "")


def rules(account: str) -> list[dict]:
    """Rules of every Role that the golden render of the chart binds to an account."""
    objects = [one for one in yaml.safe_load_all(GOLDEN.read_text()) if one]
    roles = {one["metadata"]["name"]: one["rules"] for one in objects if one["kind"] == "Role"}
    bindings = [one for one in objects if one["kind"] == "RoleBinding" and one["roleRef"]["kind"] == "Role"]
    bound = [one for one in bindings if account in [subject["name"] for subject in one["subjects"]]]
    return [rule for one in bound for rule in roles.get(one["roleRef"]["name"], [])]


def allowed(rules: list[dict], wanted: Act) -> bool:
    """Whether one rule names all of it; `*` and resource names mean what they mean to Kubernetes."""
    sides = (("verbs", wanted.verb), ("apiGroups", wanted.group), ("resources", wanted.resource))
    return any(
        all({value, "*"} & set(rule[side]) for side, value in sides)
        and (not rule.get("resourceNames") or wanted.name in rule["resourceNames"])
        for rule in rules
    )


def reviewed(rules: list[dict], spec: dict) -> bool:
    """What an access review answers about an account; whoever asks for himself may do all."""
    asked = spec["resourceAttributes"]
    resource = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
    return "user" not in spec or allowed(rules, Act(asked["verb"], asked["group"], resource))


def without(rules: list[dict], taken: Act) -> list[dict]:
    """The rules without a right."""
    left = []
    for rule in rules:
        if taken.group in rule["apiGroups"] and taken.resource in rule["resources"]:
            others = [one for one in rule["resources"] if one != taken.resource]
            verbs = [verb for verb in rule["verbs"] if verb != taken.verb]
            left += [{**rule, "resources": others}, {**rule, "resources": [taken.resource], "verbs": verbs}]
        else:
            left.append(rule)
    return left
