"""The form of `verdict.json`, as readers outside of this project rely on it."""

from typing import Any

ENDS = {"value", "low", "high"}


def checked(verdict: dict[str, Any]) -> list[dict[str, Any]]:
    """Its tasks; fails if anything is missing, unknown, or of another kind."""
    assert verdict.keys() == {"tasks"}
    for task in verdict["tasks"]:
        assert task.keys() == {"name", "metric", "better", "labels", "recommended", "sentence"}
        assert task["better"] in ("higher", "lower") and task["sentence"].endswith(".")
        assert [*task["recommended"]] == [str(row["count"]) for row in task["labels"]]
        for row in task["labels"]:
            assert row.keys() == {"count", "starts", "differences"} and isinstance(row["count"], int)
            for entry in row["starts"].values():
                assert entry.keys() == ENDS | {"cpu_seconds", "megabytes", "milliseconds"}
                assert all(value is None or isinstance(value, int | float) for value in entry.values())
            for one in row["differences"]:
                assert (
                    one.keys() == ENDS | {"of", "over"} and {one["of"], one["over"]} <= row["starts"].keys()
                )
                a, b = (row["starts"][one[name]]["value"] for name in ("of", "over"))
                assert one["value"] is None or abs(one["value"] - (a - b)) < 2e-6
            assert task["recommended"][str(row["count"])] in {*row["starts"], None}
    return list(verdict["tasks"])
