"""WHERE IT RUNS: what goes into each image, its tag, its locks, how it is built."""
