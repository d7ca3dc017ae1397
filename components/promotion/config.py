"""Settings of promotion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.lib.core.settings import setting


@dataclass(frozen=True)
class Config:
    """The gate.

    Attributes:
        rules: name of a file in `components/promotion/rules` -> its options. A branch is promoted if every
            rule passes or does not apply, as where there is no champion to compare with. By default it must
            not be worse than the champion by 1 % nor than the anchor by 2 %, nor clearly worse than a linear
            model or the public weights that it came from, nor than the champion on a slice of the examples.
        variant_margin: of compressed variants, which no other rule judges: each against its full branch.
    """

    rules: dict[str, dict[str, Any]] = setting(
        {"anchor": {}, "beats": {}, "floors": {}, "noninferiority": {"margin": 0.01}, "slices": {}},
        "rule -> its options; all must pass",
    )
    variant_margin: float = setting(
        0.01,
        "greatest loss of a compressed variant, as a share of the metric's range, or of the branch's value",
        minimum=0.0,
    )
