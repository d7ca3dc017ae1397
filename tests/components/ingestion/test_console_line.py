"""What every run says of its records: one line, and a warning of each rule that takes much."""

import pytest

from tests.made.corpora import nonsense
from tests.made.ingesting import write

LONE = [f"{word} # # # # # #" for word in nonsense(60, "s")]


@pytest.mark.parametrize(
    ("lines", "told", "warned"),
    [
        (nonsense(60, "a"), "read 60 records of 1 file: kept 60, dropped 0, quarantined 0", []),
        (
            nonsense(40, "a") + nonsense(10, "a") + ["# # # # one two"] * 10,
            "read 60 records of 1 file: kept 40, dropped 20 (exact_duplicate 19, letters 1), quarantined 0",
            ["exact_duplicate takes 19 of 60 records (32%): equal records are always kept once"],
        ),
        (
            nonsense(40, "a") + LONE[:20],
            "read 60 records of 1 file: kept 40, dropped 20 (symbols 20), quarantined 0",
            ["symbols takes 20 of 60 records (33%): see ingestion.filters.symbols"],
        ),
    ],
)
def test_one_line_for_every_run_and_a_warning_of_what_takes_much(
    ingest, tmp_path, capsys, lines, told, warned
):
    folder = write(tmp_path / "data", {"a.txt": lines})
    for _ in range(2):  # made, and reused
        ingest(folder)
        assert f": {told}\n" in capsys.readouterr().out
        assert len(ingest.notices) == len(warned)
        assert all(one in notice for one, notice in zip(warned, ingest.notices, strict=True))
