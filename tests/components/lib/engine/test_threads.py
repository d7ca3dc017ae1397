"""One thread means one thread, whenever a library is loaded: else equal studies differ in their last bits."""

import subprocess
import sys

from tests.architecture.imports import ROOT

CODE = """
import os
os.environ.pop("OMP_NUM_THREADS", None)
import torch
torch.set_num_threads(2)
from components.lib.engine.threads import one_thread
from threadpoolctl import threadpool_info
with one_thread():
    import scipy.linalg, scipy.sparse.linalg, sklearn.cluster, sklearn.decomposition, sklearn.linear_model
    found = [library["num_threads"] for library in threadpool_info()]
print(set(found), len(found) > 2, torch.get_num_threads())
"""


def test_libraries_that_a_block_imports_are_limited_too():
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.split("\n")[0] == "{1} True 2"
