"""Closing: the run's ledger -> exit record, on every end, failed ones too."""
