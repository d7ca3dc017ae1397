import resource
import subprocess
import sys

import pyarrow as pa
import pytest
from pyarrow import parquet

from components.lib.core import memory
from tests.architecture.imports import ROOT


def test_an_allocation_beyond_the_ceiling_fails_and_the_ceiling_goes_away():
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with memory.at_most(64 << 20):
        assert len(bytearray(16 << 20)) == 16 << 20
        with pytest.raises(MemoryError):
            bytearray(256 << 20)
        with memory.at_most(1 << 30), pytest.raises(MemoryError):  # an inner one does not lift it
            bytearray(256 << 20)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert len(bytearray(256 << 20)) == 256 << 20


def test_a_page_that_is_larger_than_it_may_be_is_not_decoded(tmp_path):
    """60 MB in one value: within the limits of a file, beyond what a batch may allocate here."""
    path = tmp_path / "page.parquet"
    parquet.write_table(
        pa.table({"text": ["x" * (60 << 20)]}), path, compression="zstd", use_dictionary=False
    )
    assert path.stat().st_size < 100_000
    code = (
        "import sys\n"
        "from components.lib.data.formats import parquet\n"
        "from components.lib.data.sources import read_records\n"
        "parquet.MEMORY = int(sys.argv[2])\n"
        "print(*(len(record.fields['text']) for record in read_records(sys.argv[1])))"
    )  # in a process of its own: here, memory that the writer gave back would be used again

    def read(ceiling):
        command = [sys.executable, "-c", code, str(path), str(ceiling)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert "decompression bomb" in read(16 << 20).stderr
    assert read(3 << 30).stdout.strip() == str(60 << 20)
