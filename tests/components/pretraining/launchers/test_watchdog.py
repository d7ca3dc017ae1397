"""What a machine of a TrainJob says when it cannot even begin."""

import json

from components.lib.core.errors import MissingError, revived
from components.pretraining import watchdog


def test_without_a_job_the_exit_code_and_the_error_say_so(tmp_path, capfd):
    assert watchdog.main(str(tmp_path)) == MissingError.exit_code
    error = revived(json.loads((tmp_path / "errors" / "0.json").read_text()))
    assert isinstance(error, MissingError) and "job.json" in error.where
    assert "pretraining failed" in capfd.readouterr().err


def test_a_store_that_cannot_be_used_still_gives_the_exit_code(capfd):
    assert watchdog.main("gs://bucket") == 78
    assert "could not be handed" in capfd.readouterr().err
