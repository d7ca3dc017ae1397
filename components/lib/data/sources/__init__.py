"""Data sources: one file a URI scheme. The file's name is the scheme.

    folder/  folder/*.txt  file.csv  archive.zip!/*.txt      files of this machine
    s3://bucket/prefix  s3://bucket/prefix/*.jsonl.gz         a bucket
    https://host/file.jsonl.gz                               a web server
    hf:owner/name?split=train                                a data set of the Hugging Face Hub
    pypi:package==version/member#sha256=...                  a data file inside a wheel
    sample:topics/train                                      text made by us, for tests

A scheme declares `find(uri) -> list[Object]`, which only lists, `fetch(object, folder) -> Path`, and perhaps
`parse(uri)`, which raises ConfigError for a malformed address before anything is asked, and
`keep(uri, store)`, by which preflight puts what other images cannot fetch into the store.
'!/' names members of an archive by a pattern, whatever the scheme.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from components.lib.core import addresses, plugins
from components.lib.core.errors import AccessError, ConfigError, DataError, MissingError
from components.lib.data import formats
from components.lib.data.formats import Account, Layout, Record, Rejected, Stranger
from components.lib.data.streams import ARCHIVES, Stream, streams, suffix
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store


@dataclass(frozen=True)
class Object:
    """One file behind a source.

    Attributes:
        name: what it is called in `source` columns and in messages; stable, free of secrets.
        identity: changes when the content does; cheap to get: size and time of change, ETag, SHA-256.
        size: bytes, -1 if not known.
        uri: where its scheme fetches it.
        member: which members of an archive are meant, as a glob.
    """

    name: str
    identity: str
    size: int
    uri: str
    member: str = ""


def find(uri: str) -> list[Object]:
    """What is behind a source URI, sorted by name; nothing is read but listings.

    Raises:
        ConfigError: if the scheme is not known or the URI is malformed.
        AccessError: if the URI names a place that must not be read, or credentials are missing.
        MissingError: if there is nothing.
        ServiceError: if the service does not answer; try again.
    """
    place, _, member = uri.partition("!/")
    if not place or any(not character.isprintable() for character in uri):
        raise ConfigError("a source is empty or holds control characters", where="sources", found=repr(uri))
    found = plugins.load(__name__, scheme(place)).find(place)
    if not found:
        raise MissingError("there is no data behind a source", where=place)
    if member:
        found = [replace(entry, name=f"{entry.name}!/{member}", member=member) for entry in found]
    return sorted(found, key=lambda entry: entry.name)


def find_all(uris: Sequence[str]) -> list[Object]:
    """Every object behind the URIs, once, sorted by name; raises as `find` does."""
    found: dict[str, Object] = {}
    for entry in (entry for uri in uris for entry in find(uri)):
        other = found.setdefault(entry.name, entry)
        if other.identity != entry.identity:
            what = "two sources have the same name but another content"
            raise ConfigError(what, where=entry.name, found=f"{other.identity} and {entry.identity}")
    return [found[name] for name in sorted(found)]


def fetch(entry: Object, folder: Path) -> Path:
    """A local path of the object; what must be downloaded goes into `folder`.

    Raises:
        DataError: if the object is not the one that was listed any more.
    """
    return cast(Path, plugins.load(__name__, scheme(entry.uri)).fetch(entry, folder))


def sift(found: Sequence[Object], layout: Layout) -> tuple[list[Object], list[Object]]:
    """The objects that can be read, and strangers among them: files whose ending means no format.

    Raises:
        DataError: if there are not more of the former than of the latter.
    """
    if layout.format != "auto":
        return list(found), []
    known = {*formats.suffixes(layout.reads), *ARCHIVES}
    strange = [entry for entry in found if not entry.member and suffix(entry.name) not in known]
    readable = [entry for entry in found if entry not in strange]
    if len(strange) >= max(1, len(readable)):
        raise formats.unknown(strange[0].name, tally(strange), layout)
    return readable, strange


def tally(found: Sequence[Object]) -> str:
    """How many objects have which ending: '2 of .docx, 1 of no ending'."""
    counts = Counter(suffix(entry.name) or "no ending" for entry in found).most_common(5)
    return ", ".join(f"{count:,} of {ending}" for ending, count in counts)


def read_records(
    uri: str, layout: Layout | None = None, accounts: list[Account] | None = None
) -> Generator[Record | Rejected, None, None]:
    """Every record behind a source URI, in the order of the objects' names; streaming.

    Files that the layout does not read are passed over. Raises TrunklineError as `find`, `sift` and
    `formats.read` do.

    Args:
        accounts: gets the account of each stream when its records are through.
    """
    layout = layout or Layout()
    for entry in sift(find(uri), layout)[0]:
        with tempfile.TemporaryDirectory(prefix="trunkline-") as folder:
            for item in open_records(entry, fetch(entry, Path(folder)), layout):
                if not isinstance(item, Account):
                    yield item
                elif accounts is not None:
                    accounts.append(item)


def open_records(entry: Object, path: Path, layout: Layout) -> Iterator[Record | Rejected | Account]:
    """The records of one fetched object; a Stranger for each member of an archive that is none.

    Behind the records of each stream stands its Account.
    """
    auto, known = layout.format == "auto", formats.suffixes(layout.reads)
    whole = not auto and formats.reads_archives(layout.format)
    strange, read = "", False
    for stream in streams(path, entry.name.partition("!/")[0], entry.member, whole=whole):
        member = "!/" in stream.name and not entry.member
        if member and auto and stream.suffix not in known:
            strange = stream.name
            yield Stranger(formats.printable(strange), "the format of a file is not known", stream.suffix)
            continue
        read = True
        yield from formats.read(stream, layout)
    if strange and not read:
        raise formats.unknown(strange, suffix(strange), layout)


@contextmanager
def open_single(uri: str) -> Iterator[Stream]:
    """The one file behind a URI; raises DataError if there are more."""
    found = find(uri)
    if len(found) != 1:
        raise DataError("one file is expected", where=uri, found=f"{len(found)} files")
    with tempfile.TemporaryDirectory(prefix="trunkline-") as folder:
        path = fetch(found[0], Path(folder))
        with closing(streams(path, found[0].name.partition("!/")[0], found[0].member)) as opened:
            yield next(opened)


def chosen(where: str, share: float) -> bool:
    """Whether the record at this place is in the given share: the same in every stage and every run."""
    digest = blake2b(where.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2.0**64


def check(uri: str) -> None:
    """Asks nobody; raises what `scheme` does, and ConfigError if the address is malformed."""
    plugin = plugins.load(__name__, scheme(uri))
    if hasattr(plugin, "parse"):
        plugin.parse(uri.partition("!/")[0])


def keep(uri: str, store: Store) -> tuple[Manifest, bool] | None:
    """Puts into the store what only some images can fetch; None for all other schemes.

    Returns:
        The manifest, and whether the store had it already.

    Raises:
        TrunklineError: as `fetch` does.
    """
    plugin = plugins.load(__name__, scheme(uri))
    found = plugin.keep(uri.partition("!/")[0], store) if hasattr(plugin, "keep") else None
    return cast("tuple[Manifest, bool] | None", found)


def scheme(uri: str) -> str:
    """The plugin that serves a URI.

    Raises:
        ConfigError: if there is none, or the URI holds a secret.
        AccessError: for plain http.
    """
    found, known = "file", plugins.names(__name__)
    if ":" in uri.partition("/")[0]:
        addresses.check(uri, "sources")
        found = urlsplit(uri).scheme.lower()
    if found == "http":
        fix = "use https: plain http can be altered on its way"
        raise AccessError("plain http is refused", where=uri, fix=fix)
    if found not in known:
        expected = ", ".join(known)
        raise ConfigError(
            "the scheme of a source is not supported", where=uri, found=found, expected=expected
        )
    return found
