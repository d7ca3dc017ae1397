"""Labelled recordings as a branch reads them: waveforms at the trunk's sampling rate."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from components.lib.core.errors import DataError
from components.lib.modalities.audio import parts, recordings, spectrogram
from components.lib.modalities.audio.processor import Processor
from components.lib.modalities.audio.recordings import Waveform
from components.lib.modalities.audio.settings import Finetuning

if TYPE_CHECKING:
    from components.lib.data.formats import Record

SHOWN = 10.0  # seconds of a clip in a report
SHORTEST = 400  # samples that a network reads at least: one frame


class Reader:
    """Audio files to waveforms of the trunk's rate."""

    def __init__(self, processor: Processor, seconds: float) -> None:
        self.processor, self.seconds = processor, seconds

    @classmethod
    def open(cls, folder: Path, options: Finetuning | None = None) -> Self:
        """The sampling rate of a trunk or a branch."""
        return cls(Processor.open(folder), (options or Finetuning()).seconds)

    def check(self, facts: Mapping[str, Any], where: str) -> None:
        """Raises IntegrityError if the probes of the tokens' facts come out other than then."""
        self.processor.check(facts["probes"], where)

    def value(self, record: Record, name: str, tell: Callable[[str], None], role: str = "") -> bytes:
        """The bytes of the recording, or of the part that `start` and `end` of its record name.

        Raises:
            DataError: if they are not audio.
        """
        data = recordings.content(record.required(name))
        data = parts.parted(data, parts.part(record, {"start": "start", "end": "end"}))
        found = recordings.decode(data, 0, self.seconds + 1)
        if found.seconds > self.seconds:
            tell(f"recordings are longer than {self.seconds:g} seconds: their beginning is read")
        if found.beyond:
            tell("recordings have samples beyond full scale: they are cut off")
        return data

    def identity(self, inputs: Mapping[str, bytes]) -> str:
        """32 hex digits of the samples; raises DataError if they cannot be decoded."""
        return recordings.decode(next(iter(inputs.values())), 0).identity.hex()

    def extent(self, inputs: Mapping[str, bytes]) -> float:
        """Seconds of a recording, as far as it is read."""
        return recordings.decode(next(iter(inputs.values())), 0, self.seconds).seconds

    def waveforms(self, files: Sequence[bytes]) -> list[Waveform]:
        """Each as long as it is, but one frame at least and `seconds` at most."""
        most = round(self.seconds * self.processor.rate)
        found = [self.processor.read(data, self.seconds)[:most] for data in files]
        return [np.pad(one, (0, max(0, SHORTEST - len(one)))) for one in found]

    def tensors(self, files: Sequence[bytes]) -> dict[str, Any]:
        """Arguments of a pass of the trunk."""
        return dict(self.clips(files, [0] * len(files)).batch(range(len(files))).arguments())

    def clips(self, files: Sequence[bytes], targets: list[Any]) -> Any:
        """A `ClipSet` of them."""
        from components.lib.modalities.audio.examples import ClipSet

        return ClipSet(self.waveforms(files), targets, self.processor.normalize, self.processor.padded)

    def served(self, values: Sequence[Any], role: str = "") -> list[bytes]:
        """What a server was sent, bytes or base64 text, as files; raises DataError."""
        try:
            files = [v if isinstance(v, bytes) else base64.b64decode(v, validate=True) for v in values]
        except (binascii.Error, TypeError, ValueError) as error:
            expected = "bytes of an audio file, or their base64"
            raise DataError("an input is not a recording", found=str(error), expected=expected) from error
        if not all(files):
            raise DataError("an input is empty", expected="bytes of an audio file, or their base64")
        return files

    def excerpt(self, value: bytes) -> dict[str, str]:
        """How a report shows an input: its spectrogram as a PNG in base64."""
        shown = recordings.decode(value, self.processor.rate, SHOWN).waveform
        return {"picture": base64.b64encode(spectrogram.drawn(shown, self.processor.rate)).decode()}

    def save(self, folder: Path) -> None:
        """Adds the processor's file to a branch."""
        self.processor.save(folder)
