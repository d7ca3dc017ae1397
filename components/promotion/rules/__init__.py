"""Rules of the gate: one file each."""
