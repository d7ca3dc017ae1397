"""Exact and near duplicates among made-up signatures: memory, scratch and CPU seconds as documents grow.

Each size is a process of its own, which deals, sorts and compares ids and MinHash signatures as ingestion
does. Its memory is the highest resident set of that process; one document of ten is a near copy of another.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from components.lib.data import deduplication
from components.lib.data.near_duplicates import NearDuplicates
from components.lib.data.partitions import Partitions, first_of_each
from tests.benchmarks.history import record, sized

SIZES = [int(size) for size in os.environ.get("TRUNKLINE_BENCH_DOCUMENTS", "").split()] or sized(
    [100_000, 1_000_000, 10_000_000], [20_000, 40_000]
)
MEMORY = sized(64 << 20, 4 << 20)
BLOCK = 1 << 15
WORDS, CHANGED, COPIES = (
    128,
    10,
    10,
)  # numbers of a signature, those that a near copy has other, one of so many
KIND = np.dtype(
    [("high", np.uint64), ("low", np.uint64), ("row", np.int64), ("signature", np.uint16, (WORDS,))]
)


def blocks(documents: int):
    """Records whose ids are random; of each block a tenth are near copies within it."""
    for start in range(0, documents, BLOCK):
        rng, count = np.random.default_rng(start), min(BLOCK, documents - start)
        records = np.empty(count, KIND)
        records["high"], records["low"] = rng.integers(0, 1 << 64, (2, count), dtype=np.uint64)
        records["row"] = np.arange(start, start + count)
        records["signature"] = rng.integers(0, 1 << 16, (count, WORDS), dtype=np.uint16)
        copies = count // COPIES
        records["signature"][:copies, CHANGED:] = records["signature"][copies : 2 * copies, CHANGED:]
        yield records


def measure(documents: int) -> dict[str, float]:
    """What one size takes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "near").mkdir()
        ids = Partitions(folder / "ids", KIND, documents, MEMORY)
        for records in blocks(documents):
            ids.add(records, ids.upper(records["high"]))
        search = NearDuplicates(folder / "near", deduplication.likeness(WORDS, 0.8), WORDS, documents, MEMORY)
        for file in range(len(ids)):
            known = np.empty(0, KIND)
            for chunk in ids.chunks(file):
                known = np.concatenate([known, chunk])
                known = known[np.lexsort((known["row"], known["low"], known["high"]))]
                known = known[first_of_each(known["high"], known["low"])]
            ids.drop(file)
            search.add(known["signature"])
        scratch = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        found = sum(map(len, search.copies()))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "documents": documents,
        "copies": found,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * 1024,
        "scratch_bytes": scratch,
    }


def main() -> None:
    """Prints a line a size, and how much more memory the largest needs than the smallest."""
    rows = []
    for size in SIZES:
        command = [sys.executable, "-m", "tests.benchmarks.bench_duplicates", str(size)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        row = json.loads(done.stdout)
        rows.append(row)
        record("duplicates", row)
        rate, each = row["documents"] / row["cpu_seconds"], row["scratch_bytes"] / row["documents"]
        print(
            f"{row['documents']:>12,} documents, {row['copies']:,} near copies: {rate:,.0f} a CPU-second, "
            f"peak {row['peak_bytes'] / 1e6:.0f} MB, scratch {each:.0f} bytes each",
            flush=True,
        )
    more = rows[-1]["peak_bytes"] - rows[0]["peak_bytes"]
    each = more / max(rows[-1]["documents"] - rows[0]["documents"], 1)
    print(f"the largest needs {more / rows[0]['peak_bytes']:+.0%}, {each:.1f} bytes a document more")


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1])))) if len(sys.argv) > 1 else main()
