"""What a collection found and did, in bytes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

ROWS = {
    "needed": "outputs that are needed",
    "waiting": "hidden outputs that wait out the grace period",
    "restored": "hidden outputs that are needed after all: shown again",
    "condemned": "outputs that nothing needs: hidden",
    "deleted": "hidden outputs that nothing needs: deleted",
    "litter": "files without a manifest: deleted",
    "checkpoints": "checkpoints, leases and settings of runs that nobody continues: deleted",
    "orphans": "TrainJobs that nobody follows: deleted",
}


@dataclass
class Report:
    """Counts and bytes of each row of `ROWS`.

    Attributes:
        dry: nothing was changed.
        names: row -> the places or folders it counts.
        missing: what a registered version names and the store does not hold.
    """

    dry: bool
    names: dict[str, list[str]] = field(default_factory=lambda: {row: [] for row in ROWS})
    bytes: Counter[str] = field(default_factory=Counter)
    missing: tuple[str, ...] = ()

    def add(self, row: str, name: str, size: int) -> None:
        """Counts one more."""
        self.names[row].append(name)
        self.bytes[row] += size

    def __str__(self) -> str:
        lines = [
            f"{len(self.names[row]):>8,} {self.bytes[row]:>20,} bytes  {what}" for row, what in ROWS.items()
        ]
        if self.missing:
            lines.append(f"warning: registered versions name {len(self.missing)} outputs that are not there:")
            lines += [f"  {place}" for place in self.missing]
        if self.dry:
            lines.append(
                "This is what would be done: nothing was changed. With DELETE=1, or --delete, it is."
            )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, object]:
        """The same as JSON, with every name."""
        rows = {
            row: {"count": len(names), "bytes": self.bytes[row], "names": sorted(names)}
            for row, names in self.names.items()
        }
        return {"dry": self.dry, "missing": list(self.missing), **rows}
