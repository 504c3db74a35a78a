"""The files of a ledger as they were delivered: which there are, what is in them, which cannot be read."""

import csv
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import pyarrow.parquet
from pyarrow import fs

from conf.errors import UserError
from conf.source import Feed, Source

_READ_BYTES = 1 << 20
_NAME = re.compile(r"^[A-Za-z0-9._=-]+$")
_LONGEST_HEADER = 1 << 16


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

    @property
    def delivery_id(self) -> str:
        return f"{self.source}/{self.name}@{self.digest[:12]}"


def find_deliveries(source: Source, root: str, first: str | None, through: str | None) -> list[Delivery]:
    """List the deliveries under `root`, in order of name, those from `first` to `through` alone.

    Every file is read once, for its digest; a file whose footer or header cannot be read is refused with a reason.
    Raises UserError when there is nothing at `root` or a folder's name cannot be that of a delivery.
    """
    system, base = _file_system(root)
    selected = system.get_file_info(fs.FileSelector(base, recursive=True)) if _is_folder(system, base) else []
    if not selected and not _is_folder(system, base):
        raise UserError(f"--input {root}: is no folder that can be read")
    by_delivery: dict[str, list[tuple[str, str]]] = {}
    for info in selected:
        inside = PurePosixPath(info.path).relative_to(base)
        if any(part.startswith((".", "_")) for part in inside.parts):
            continue
        name, place = _delivery_of(source, inside)
        if info.type == fs.FileType.Directory:
            if source.deliveries == "folders" and len(inside.parts) == 1:
                by_delivery.setdefault(inside.parts[0], [])
            continue
        if name is not None and not any(fnmatchcase(place, pattern) for pattern in source.ignore):
            by_delivery.setdefault(name, []).append((info.path, place))
    if source.deliveries == "whole":
        by_delivery.setdefault("whole", [])
    wrong = sorted(name for name in by_delivery if not _NAME.match(name))
    if wrong:
        raise UserError(
            [f"{root}: folder {name!r}: a delivery's name has letters, digits and . _ = - only" for name in wrong]
        )
    wanted = sorted(
        name for name in by_delivery if (first is None or name >= first) and (through is None or name <= through)
    )
    return [_delivery(source, system, name, order, sorted(by_delivery[name])) for order, name in enumerate(wanted)]


def _file_system(root: str) -> tuple[fs.FileSystem, str]:
    if "://" in root:
        return fs.FileSystem.from_uri(root)
    return fs.LocalFileSystem(), base_of(root)


def base_of(root: str) -> str:
    """The input's absolute path, or its address on another file system."""
    return root.rstrip("/") if "://" in root else str(Path(root).resolve())


def _is_folder(system: fs.FileSystem, path: str) -> bool:
    return system.get_file_info(path).type == fs.FileType.Directory


def _delivery_of(source: Source, inside: PurePosixPath) -> tuple[str | None, str]:
    if source.deliveries == "whole":
        return "whole", str(inside)
    if len(inside.parts) == 1:
        return None, str(inside)
    return inside.parts[0], str(PurePosixPath(*inside.parts[1:]))


def _delivery(
    source: Source, system: fs.FileSystem, name: str, order: int, paths: Sequence[tuple[str, str]]
) -> Delivery:
    digest = hashlib.sha256()
    files: list[DeliveredFile] = []
    refused: list[RefusedFile] = []
    for path, place in paths:
        digest.update(place.encode())
        with system.open_input_stream(path) as stream:
            while chunk := stream.read(_READ_BYTES):
                digest.update(chunk)
        if not feeds_of(source, place):
            refused.append(RefusedFile(place, "file: no feed reads it"))
            continue
        found = _look_into(system, path, place)
        if isinstance(found, DeliveredFile):
            files.append(found)
        else:
            refused.append(found)
    return Delivery(source.name, name, digest.hexdigest(), order, tuple(files), tuple(refused))


def feeds_of(source: Source, place: str) -> tuple[Feed, ...]:
    """The feeds that read a file of a delivery."""
    return tuple(feed for feed in source.feeds if fnmatchcase(place, feed.files))


def _look_into(system: fs.FileSystem, path: str, place: str) -> DeliveredFile | RefusedFile:
    suffix = PurePosixPath(place).suffix
    if suffix == ".parquet":
        try:
            with system.open_input_file(path) as file:
                footer = pyarrow.parquet.ParquetFile(file)
                return DeliveredFile(
                    path,
                    place,
                    "parquet",
                    footer.schema_arrow.to_string(show_schema_metadata=False),
                    footer.metadata.num_rows,
                )
        except (OSError, ValueError) as error:
            return RefusedFile(place, f"file: no readable Parquet ({str(error).splitlines()[0][:200]})")
    if suffix == ".csv":
        with system.open_input_stream(path) as stream:
            head = stream.read(_LONGEST_HEADER)
        try:
            first = head.decode("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            # the cut at 64 KiB may fall inside a character
            first = head[: error.start].decode("utf-8-sig").splitlines()
        header = next(csv.reader(first[:1]), [])
        if not header or not all(name.strip() for name in header):
            return RefusedFile(place, "file: no header line")
        if len(set(header)) < len(header):
            return RefusedFile(place, "file: a column stands twice in the header")
        return DeliveredFile(path, place, "csv", "\x1f".join(header), None)
    return RefusedFile(place, f"file: {suffix or 'no ending'} is not read; want .parquet or .csv")


def header_of(file: DeliveredFile) -> list[str]:
    """The columns of a CSV file, in its order."""
    return file.columns.split("\x1f")


def groups_by_schema(files: Iterable[DeliveredFile]) -> dict[tuple[str, str], list[DeliveredFile]]:
    """Files that can be read together, by format and columns."""
    groups: dict[tuple[str, str], list[DeliveredFile]] = {}
    for file in files:
        groups.setdefault((file.format, file.columns), []).append(file)
    return groups
