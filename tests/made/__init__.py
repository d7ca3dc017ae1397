"""Made-up data that tests of several folders share: samples in memory, corpora in a store."""
