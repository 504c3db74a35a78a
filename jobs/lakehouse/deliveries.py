"""The files of a ledger as they were delivered: which there are, what is in them, which cannot be read."""

import codecs
import csv
import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import pyarrow.parquet
from pyarrow import fs

from conf.errors import StepFailure, UserError
from conf.source import Csv, Feed, Source

_READ_BYTES = 1 << 20
_NAME = re.compile(r"^[A-Za-z0-9._=-]+$")
_WHOLE = "whole"
_BESIDE = "(input)"
"""What files that lie beside the folders of deliveries are told under: no folder may be called so."""
_DAY = re.compile(r"(?<!\d)(\d{4})([-_.]?)(\d{2})\2(\d{2})(?:\d{6})?(?!\d)")
"""A day within a name, as 2024-09-01 or 20240901, perhaps with a time of day joined to it."""
_LONGEST_HEADER = 1 << 16
_DELTA_LOG = "_delta_log"
_FORMATS = {
    ".parquet": "parquet",
    **dict.fromkeys((".csv", ".tsv", ".psv", ".txt"), "csv"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "json"),
}
_COMPRESSED = (".gz", ".bz2", ".zst")
_READ_ENDINGS = f"want {', '.join(_FORMATS)}, the text formats also with {', '.join(_COMPRESSED)}; or a Delta table"
_SEPARATOR = "\x1f"
UNNAMED = "column_"
"""What a CSV column without a name is called, with its number from 1."""


@dataclass(frozen=True)
class DeliveredFile:
    """One file: its path, its place in the delivery, and what its first or last bytes say of its columns."""

    path: str
    name: str
    format: str
    columns: str
    """Tells files apart that must be read with different schemas."""
    rows: int | None
    """Records in it, by the Parquet footer; None where the format does not say."""
    csv: Csv | None = None
    """How a CSV file is written."""
    damaged: bool = False
    """Whether some of a text's bytes are not in its encoding."""
    version: int | None = None
    """Of a Delta table: the version that was delivered."""
    stamp: tuple[int, int] = (0, 0)
    """Size and time of change, in bytes and nanoseconds, when it was looked into."""
    nested: tuple[str, ...] = ()
    """Of JSON lines: keys that were seen with an object or an array under them."""


@dataclass(frozen=True)
class RefusedFile:
    """One file that cannot be read at all, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Delivery:
    """One delivery: a folder of files, or the whole input."""

    source: str
    name: str
    digest: str
    order: int
    files: tuple[DeliveredFile, ...] = field(repr=False)
    refused: tuple[RefusedFile, ...] = field(repr=False)
    mapping: str = ""
    """Digest of the mapping by which it is taken in once more; empty at the first time."""

    @property
    def delivery_id(self) -> str:
        again = f".{self.mapping[:12]}" if self.mapping else ""
        return f"{self.source}/{self.name}@{self.digest[:12]}{again}"


def content_of(delivery_id: str) -> str:
    """A delivery's id without the mapping by which it was taken in once more."""
    name, _, digests = delivery_id.rpartition("@")
    return f"{name}@{digests.partition('.')[0]}"


def find_deliveries(
    source: Source,
    root: str,
    first: str | None,
    through: str | None,
    choose: Callable[[Sequence[str]], Sequence[str]] = list,
) -> list[Delivery]:
    """List the deliveries under `root`, in order of name, those from `first` to `through` that `choose` takes alone.

    Every file is read once, for its digest, and a text once more, to see that it can be unpacked and decoded; a file
    whose footer or header cannot be read is refused with a reason.
    Raises UserError when there is nothing at `root` or a folder's name cannot be that of a delivery.
    """
    listing = list_input(root, source.deliveries, source.ignore)
    wrong = sorted(name for name in listing.places if name != _BESIDE and not _NAME.match(name))
    if wrong:
        raise UserError(
            [f"{root}: folder {name!r}: a delivery's name has letters, digits and . _ = - only" for name in wrong]
        )
    wanted = sorted(
        name for name in listing.places if (first is None or name >= first) and (through is None or name <= through)
    )
    return [
        _delivery(source, listing, name, order, sorted(listing.places[name]))
        for order, name in enumerate(choose(wanted))
    ]


def looked_at(
    names: Sequence[str], as_of: date, first_open: date | None, known: Collection[str]
) -> tuple[list[str], list[str]]:
    """Of names of deliveries those that the work of the day before `as_of` looks at; and lines that tell the others.

    A name that tells a day from `as_of` on waits for that day's work. One that is known, and tells no open day, is not
    looked at again: to find that nothing has changed, all of history would be read each day. Every other is looked
    at, however late it came.
    """
    wanted: list[str] = []
    earlier: list[str] = []
    later: list[str] = []
    for name in names:
        day = day_in(name)
        if day is not None and day >= as_of:
            later.append(name)
        elif name in known and name not in (_WHOLE, _BESIDE) and first_open and (day is None or day < first_open):
            earlier.append(name)
        else:
            wanted.append(name)
    lines = []
    if earlier:
        lines.append(f"known by name, not looked at again: {_span(earlier)}; `seller-credit ingest` looks at all")
    if later:
        lines.append(f"left to a later day, by name: {_span(later)}")
    return wanted, lines


def day_in(name: str) -> date | None:
    """The day that a delivery's name tells, as 2024-09-01, 20240901 or export_2024-09-01; the last of several."""
    days = [_date(int(year), int(month), int(day)) for year, _, month, day in _DAY.findall(name)]
    return next((day for day in reversed(days) if day is not None), None)


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _span(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names):,} deliveries, {names[0]} to {names[-1]}"


def sample_deliveries(source: Source, root: str) -> tuple[list[Delivery], dict[str, int], list[str]]:
    """The deliveries with the first two files of each feed and its last; how many each has; what no feed reads."""
    listing = list_input(root, source.deliveries, source.ignore)
    by_feed: dict[str, list[tuple[str, str]]] = {feed.name: [] for feed in source.feeds}
    unread: list[str] = []
    for name in sorted(listing.places):
        for path, place in sorted(listing.places[name]):
            feeds = feeds_of(source, place)
            for feed in feeds:
                by_feed[feed.name].append((path, place))
            if not feeds:
                unread.append(place)
    chosen = {file for files in by_feed.values() for file in (*files[:2], *files[-1:])}
    deliveries = [
        _delivery(source, listing, name, order, sorted(chosen & set(listing.places[name])))
        for order, name in enumerate(sorted(listing.places))
        if chosen & set(listing.places[name])
    ]
    return deliveries, {name: len(files) for name, files in by_feed.items()}, unread


@dataclass(frozen=True)
class Listing:
    """What lies under an input: paths and places of files and Delta tables, by delivery."""

    system: fs.FileSystem
    places: dict[str, list[tuple[str, str]]]
    tables: set[str]
    closed: set[str]
    """Folders that may not be looked into; each stands among the places as a file would."""


def list_input(root: str, deliveries: str, ignore: Sequence[str] = ()) -> Listing:
    """List an input, or raise UserError where there is none."""
    system, base = file_system(root)
    closed: set[str] = set()
    selected = _all_under(system, base, closed) if _is_folder(system, base) else []
    if base in closed or not _is_folder(system, base):
        raise UserError(f"--input {root}: is no folder that can be read")
    tables = {str(PurePosixPath(info.path).parent) for info in selected if _is_log(info)}
    by_delivery: dict[str, list[tuple[str, str]]] = {}
    for info in selected:
        path = PurePosixPath(info.path)
        if any(str(parent) in tables for parent in path.parents):
            continue
        inside = path.relative_to(base)
        if any(part.startswith((".", "_")) for part in inside.parts):
            continue
        name, place = _delivery_of(deliveries, inside)
        if info.type == fs.FileType.Directory and info.path not in tables:
            if deliveries == "folders" and len(inside.parts) == 1:
                name, place = inside.parts[0], "."
                by_delivery.setdefault(name, [])
            if info.path not in closed:
                continue
        if not any(fnmatchcase(place, pattern) for pattern in ignore):
            by_delivery.setdefault(name, []).append((info.path, place))
    if deliveries == "whole":
        by_delivery.setdefault(_WHOLE, [])
    if base in tables:
        name = _WHOLE if deliveries == "whole" else _BESIDE
        by_delivery.setdefault(name, []).append((base, PurePosixPath(base).name))
    return Listing(system, by_delivery, tables, closed)


def _all_under(system: fs.FileSystem, folder: str, closed: set[str]) -> list[fs.FileInfo]:
    """All that lies under a folder; folders that may not be looked into are added to `closed`."""
    try:
        # one question: an object store answers for all folders at once
        return system.get_file_info(fs.FileSelector(folder, recursive=True))
    except PermissionError:
        pass
    try:
        here = system.get_file_info(fs.FileSelector(folder))
    except PermissionError:
        closed.add(folder)
        return []
    folders = [info.path for info in here if info.type == fs.FileType.Directory]
    return [*here, *(info for path in folders for info in _all_under(system, path, closed))]


def require_unchanged(root: str, deliveries: Sequence[Delivery]) -> None:
    """Raise StepFailure where a file is no longer what `find_deliveries` looked into.

    To be asked between reading and publishing: what was read would not be what the digest stands for.
    """
    system, _ = file_system(root)
    files = [file for delivery in deliveries for file in delivery.files if file.version is None]
    now = system.get_file_info([file.path for file in files])
    changed = [file.path for file, info in zip(files, now, strict=True) if file.stamp != (info.size, info.mtime_ns)]
    if changed:
        raise StepFailure([f"{path}: was changed while it was read: run it again" for path in changed])


def is_damaged_parquet(root: str, path: str) -> bool:
    """Whether a file of the input is Parquet that a second reader cannot read to its end either."""
    system, base = file_system(root)
    if format_of(path) != "parquet" or not path.startswith(base):
        return False
    try:
        with system.open_input_file(path) as file:
            for _ in pyarrow.parquet.ParquetFile(file, page_checksum_verification=True).iter_batches():
                pass
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True
    return False


def _is_log(info: fs.FileInfo) -> bool:
    return info.type == fs.FileType.Directory and PurePosixPath(info.path).name == _DELTA_LOG


def file_system(root: str) -> tuple[fs.FileSystem, str]:
    """The file system of an input, and the input's path there.

    Raises UserError for an address on another machine: Spark and pyarrow call such a file by different names.
    """
    if "://" not in root:
        return fs.LocalFileSystem(), base_of(root)
    if not root.startswith("file://"):
        raise UserError(f"--input {root}: deliveries are read from a path that the driver and all executors have")
    return fs.FileSystem.from_uri(root)


def base_of(root: str) -> str:
    """The input's absolute path, or its address on another file system."""
    return root.rstrip("/") if "://" in root else str(Path(root).resolve())


def _is_folder(system: fs.FileSystem, path: str) -> bool:
    return system.get_file_info(path).type == fs.FileType.Directory


def _delivery_of(deliveries: str, inside: PurePosixPath) -> tuple[str, str]:
    if deliveries == "whole":
        return _WHOLE, str(inside)
    if len(inside.parts) == 1:
        return _BESIDE, str(inside)
    return inside.parts[0], str(PurePosixPath(*inside.parts[1:]))


def _delivery(source: Source, listing: Listing, name: str, order: int, paths: Sequence[tuple[str, str]]) -> Delivery:
    digest = hashlib.sha256()
    files: list[DeliveredFile] = []
    refused: list[RefusedFile] = []
    for path, place in paths:
        digest.update(place.encode())
        if name == _BESIDE:
            # by its name alone: an archive is large, and a log grows every day
            refused.append(RefusedFile(place, "file: lies beside the deliveries, each of which is a folder"))
            continue
        found = _file(source, listing, path, place, digest)
        if isinstance(found, DeliveredFile):
            files.append(found)
        else:
            refused.append(found)
    return Delivery(source.name, name, digest.hexdigest(), order, tuple(files), tuple(refused))


def _file(
    source: Source, listing: Listing, path: str, place: str, digest: "hashlib._Hash"
) -> DeliveredFile | RefusedFile:
    system, feeds = listing.system, feeds_of(source, place)
    unread = RefusedFile(place, "file: no feed reads it")
    if path in listing.tables:
        table = delta_table(system, path, place)
        # the table's id and version stand for its files, which may be many and large
        digest.update(table.columns.encode() if isinstance(table, DeliveredFile) else b"")
        return table if feeds else unread
    info = system.get_file_info(path)
    if info.type == fs.FileType.Unknown:
        return RefusedFile(place, "file: is a pipe or a device")
    try:
        if path in listing.closed:
            raise PermissionError
        with system.open_input_stream(path, compression=None) as stream:
            while chunk := stream.read(_READ_BYTES):
                digest.update(chunk)
    except PermissionError:
        # once it may be read, the delivery is another
        digest.update(b"(closed)")
        return RefusedFile(place, "file: may not be read" if path not in listing.closed else "folder: may not be read")
    return _look_into(source, system, info, place, feeds) if feeds else unread


def feeds_of(source: Source, place: str) -> tuple[Feed, ...]:
    """The feeds that read a file of a delivery."""
    return tuple(feed for feed in source.feeds if any(fnmatchcase(place, pattern) for pattern in feed.patterns))


def format_of(place: str) -> str | None:
    """The format that a file's ending tells: parquet, csv or json; None where it is none that is read."""
    path = PurePosixPath(place)
    if path.suffix in _COMPRESSED:
        inner = _FORMATS.get(PurePosixPath(path.stem).suffix)
        return None if inner == "parquet" else inner
    return _FORMATS.get(path.suffix)


def _look_into(
    source: Source, system: fs.FileSystem, info: fs.FileInfo, place: str, feeds: Sequence[Feed]
) -> DeliveredFile | RefusedFile:
    kind = format_of(place)
    stamp = (info.size, info.mtime_ns)
    if ":" in info.base_name and system.type_name in ("local", "hdfs"):
        # Hadoop takes what stands before it for a scheme
        return RefusedFile(place, "file: Spark reads no file here whose name has a colon")
    try:
        if kind == "parquet":
            with system.open_input_file(info.path) as file:
                footer = pyarrow.parquet.ParquetFile(file)
                schema = footer.schema_arrow
                if _repeats(schema.names):
                    return RefusedFile(place, "file: a column stands twice")
                if nanoseconds := _in_nanoseconds(footer):
                    why = f"{', '.join(nanoseconds)} in nanoseconds, which Spark does not read: write microseconds"
                    return RefusedFile(place, f"file: {why}")
                described = schema.to_string(show_schema_metadata=False)
                return DeliveredFile(info.path, place, kind, described, footer.metadata.num_rows, stamp=stamp)
        if kind == "csv":
            forms = list(dict.fromkeys(source.csv_of(feed) for feed in feeds))
            if len(forms) > 1:
                return RefusedFile(place, f"file: {', '.join(feed.name for feed in feeds)} do not agree on its csv")
            return _csv_file(system, info.path, place, forms[0], stamp)
        if kind == "json":
            return _json_file(system, info.path, place, stamp)
    except (OSError, ValueError, csv.Error) as error:
        name = {"parquet": "Parquet", "csv": "CSV", "json": "JSON lines"}[str(kind)]
        return RefusedFile(place, f"file: no readable {name} ({str(error).splitlines()[0][:200]})")
    suffix = PurePosixPath(place).suffix
    return RefusedFile(place, f"file: {suffix or 'no ending'} is not read; {_READ_ENDINGS}")


def _in_nanoseconds(footer: pyarrow.parquet.ParquetFile) -> list[str]:
    """Columns whose stamps Spark stops at; pandas writes such. Of the old form with 96 bits it reads them."""
    columns = map(footer.schema.column, range(len(footer.schema.names)))
    return [c.path for c in columns if c.physical_type == "INT64" and "nanoseconds" in str(c.logical_type)]


_PYTHON_ENCODINGS = {"utf-8": "utf-8", "windows-1252": "cp1252"}


def _csv_file(
    system: fs.FileSystem, path: str, place: str, form: Csv, stamp: tuple[int, int]
) -> DeliveredFile | RefusedFile:
    encoding = _PYTHON_ENCODINGS.get(form.encoding, form.encoding)
    text = _TextFile(system, path, encoding)
    for _ in text.chunks():
        pass
    header = list(form.header or ())
    if form.header is None:
        # the cut after 64 KiB may fall inside a character
        head = text.head.decode(encoding, errors="replace").removeprefix("\ufeff")
        header = next(_header_reader(head.splitlines(keepends=True), form), [])
        if text.damaged and any("\ufffd" in name for name in header):
            return RefusedFile(place, f"file: its header is not in {form.encoding}")
        if not any(name.strip() for name in header):
            return RefusedFile(place, "file: no header line")
        # many programs end each line with a delimiter
        header = [name if name.strip() else f"{UNNAMED}{number}" for number, name in enumerate(header, 1)]
    if _repeats([*header, "_malformed"]):
        return RefusedFile(place, "file: a column stands twice in the header, or is called _malformed")
    return DeliveredFile(path, place, "csv", _SEPARATOR.join(header), None, csv=form, damaged=text.damaged, stamp=stamp)


def _header_reader(lines: Sequence[str], form: Csv) -> Iterator[list[str]]:
    if len(form.delimiter) > 1:
        names = (line.rstrip("\r\n").split(form.delimiter) for line in lines[:1])
        return iter([[name.strip(form.quote) if form.quote else name for name in line] for line in names])
    if not form.quote:
        return csv.reader(lines, delimiter=form.delimiter, quoting=csv.QUOTE_NONE)
    return csv.reader(lines, delimiter=form.delimiter, quotechar=form.quote)


def _repeats(columns: Sequence[str]) -> bool:
    # Spark tells columns apart without regard to case
    return len({name.lower() for name in columns}) < len(columns)


_HEAD_LINES, _CHUNK_LINES = 1000, 20
"""JSON lines whose keys are looked at: of the first MiB, and of each further one."""


def _json_file(system: fs.FileSystem, path: str, place: str, stamp: tuple[int, int]) -> DeliveredFile | RefusedFile:
    text = _TextFile(system, path, "utf-8")
    keys: dict[str, bool] = {}
    for number, chunk in enumerate(text.chunks()):
        # a first and a last line may be cut
        lines = chunk.split(b"\n", _HEAD_LINES if number == 0 else _CHUNK_LINES)[:-1] or [chunk]
        for line in lines:
            for key, is_nested in _keys(line):
                keys[key] = keys.get(key, False) or is_nested
    head = text.head.removeprefix(codecs.BOM_UTF8).lstrip()
    if head.startswith(b"["):
        return RefusedFile(place, "file: is one JSON array; want one object a line")
    if head.split(b"\n", 1)[0].strip() == b"{":
        return RefusedFile(place, "file: its objects go over several lines; want one object a line")
    nested = tuple(key for key, is_nested in keys.items() if is_nested)
    told = _SEPARATOR.join(keys)
    return DeliveredFile(path, place, "json", told, None, damaged=text.damaged, stamp=stamp, nested=nested)


def _keys(line: bytes) -> Iterable[tuple[str, bool]]:
    """The keys of a line, each with whether an object or an array is under it."""
    try:
        found = json.loads(line.removeprefix(codecs.BOM_UTF8))
    except (ValueError, RecursionError):
        return ()
    # a name with a quote or backtick in it cannot be asked for
    told = found.items() if isinstance(found, dict) else ()
    return ((key, isinstance(value, dict | list)) for key, value in told if not set(key) & set('"`\\'))


@dataclass
class _TextFile:
    """A text file read through once: unpacked, so that a cut or flipped archive is found here, and decoded."""

    system: fs.FileSystem
    path: str
    encoding: str
    head: bytes = b""
    damaged: bool = False

    def chunks(self) -> Iterator[bytes]:
        """Its bytes; raises OSError where an archive cannot be unpacked to its end."""
        decoder = codecs.getincrementaldecoder(self.encoding)()
        with self.system.open_input_stream(self.path, compression="detect") as stream:
            while True:
                chunk = stream.read(_READ_BYTES)
                if not self.damaged:
                    try:
                        decoder.decode(chunk, final=not chunk)
                    except UnicodeDecodeError:
                        self.damaged = True
                if not chunk:
                    return
                if len(self.head) < _LONGEST_HEADER:
                    self.head += chunk[: _LONGEST_HEADER - len(self.head)]
                yield chunk


def delta_table(system: fs.FileSystem, path: str, place: str) -> DeliveredFile | RefusedFile:
    """A Delta table at its newest version, by its log alone."""
    try:
        return _by_its_log(system, path, place)
    except (OSError, ValueError, KeyError) as error:
        return RefusedFile(place, f"file: no readable Delta table ({str(error).splitlines()[0][:200]})")


def _by_its_log(system: fs.FileSystem, path: str, place: str) -> DeliveredFile | RefusedFile:
    log = f"{path}/{_DELTA_LOG}"
    names = [PurePosixPath(info.path).name for info in system.get_file_info(fs.FileSelector(log))]
    versions = [int(name[:20]) for name in names if re.match(r"^[0-9]{20}\.(json|checkpoint)", name)]
    commits = sorted((name for name in names if re.match(r"^[0-9]{20}\.json$", name)), reverse=True)
    metadata: dict[str, str] | None = None
    for name in commits:
        with system.open_input_stream(f"{log}/{name}", compression=None) as stream:
            lines = stream.read().splitlines()
        metadata = next((json.loads(line)["metaData"] for line in lines if line.startswith(b'{"metaData"')), None)
        if metadata is not None:
            break
    else:
        for name in sorted((name for name in names if name.endswith(".parquet")), reverse=True):
            with system.open_input_file(f"{log}/{name}") as file:
                rows = pyarrow.parquet.read_table(file, columns=["metaData"])["metaData"].drop_null()
            if len(rows):
                metadata = rows[0].as_py()
                break
    if metadata is None or not versions:
        return RefusedFile(place, "file: no readable Delta table")
    version = max(versions)
    told = _SEPARATOR.join((metadata["id"], str(version), metadata["schemaString"]))
    return DeliveredFile(path, place, "delta", told, None, version=version)


def columns_of(file: DeliveredFile) -> list[str]:
    """The columns of a CSV file, in its order; of a JSON lines file, the keys that were seen."""
    return [name for name in file.columns.split(_SEPARATOR) if name]


def groups_by_schema(files: Iterable[DeliveredFile]) -> list[list[DeliveredFile]]:
    """Files that can be read together: of one format, with the same columns, written alike.

    JSON lines go together whatever their keys: a key that is not there is a null.
    """
    groups: dict[tuple[object, ...], list[DeliveredFile]] = {}
    for file in files:
        columns = "" if file.format == "json" else file.columns
        groups.setdefault((file.format, columns, file.csv, file.damaged), []).append(file)
    return list(groups.values())
