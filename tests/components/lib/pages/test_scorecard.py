"""What a scorecard says of metrics depends on their direction and range."""

from components.lib.pages import scorecard

RMSE = {"better": "lower", "low": 0.0, "high": None, "title": "RMSE"}
R2 = {"better": "higher", "low": None, "high": 1.0, "title": "R2"}
ACCURACY = {"better": "higher", "low": 0.0, "high": 1.0, "title": "accuracy"}


def entry(value):
    return {"value": value, "low": value, "high": value}


def test_differences_of_shares_are_points_and_others_are_in_the_units_of_the_metric():
    names = ("accuracy", "rmse", "r2")
    facts = {
        "primary": "rmse",
        "metric": dict(zip(names, (ACCURACY, RMSE, R2), strict=True)),
        "metrics": {name: entry(0.5) for name in names},
        "champion": {"version": "3"},
        "champion_metrics": {name: entry(0.25) for name in names},
        "difference": {name: entry(0.25) for name in names},
    }
    headers, rows = scorecard.metrics(facts)
    assert "difference" in headers
    assert {row[0]: row[4] for row in rows} == {
        "RMSE (lower is better)": "+0.250",
        "accuracy": "+25.0 points",
        "R2": "+0.250",
    }
    del facts["metric"]["rmse"], facts["metric"]["r2"], facts["metrics"]["rmse"], facts["metrics"]["r2"]
    headers, rows = scorecard.metrics({**facts, "primary": "accuracy"})
    assert "difference, points" in headers and rows[0][4] == "+25.0"
