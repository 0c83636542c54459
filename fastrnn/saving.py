"""One file for a model or a training checkpoint: named arrays and a JSON text, and nothing that could be executed.

The file is an uncompressed .npz, so `numpy.load(path)` shows what is inside:

    fastrnn.npy      uint8      the JSON text: {"format": "fastrnn", "version": 1, ...}
    <name>.npy       arrays     little-endian float32, float64, int64 or uint8, in C order

Writing is atomic: a crash leaves the old file or the new one, whole. Reading trusts nothing: it takes exactly what
`write` makes. Names are keys and never paths; nothing is unpickled, imported or evaluated; and as nothing is
compressed, no file can unfold to more than its own size.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import re
import shutil
import struct
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

FORMAT = "fastrnn"
VERSION = 1

# the JSON text's member
TEXT = "fastrnn"

DTYPES = {descr: np.dtype(descr) for descr in ("<f4", "<f8", "<i8", "|u1")}

# far above what models have: a layer makes about nine arrays, with Adam's
MOST_ARRAYS = 100_000

# what numpy.lib.format writes before an array in version 1.0; padded with spaces to a multiple of 64 bytes
HEADER = re.compile(
    rb"\{'descr': '(?P<descr>[<|][fiu][148])', 'fortran_order': False, "
    rb"'shape': \((?P<shape>|\d{1,18},|\d{1,18}(?:, \d{1,18})+)\), \} *\n"
)
MAGIC = b"\x93NUMPY\x01\x00"

# what zipfile, json and the checks below raise at damaged files; RuntimeError: encrypted, or nested too deeply
DAMAGE = (zipfile.BadZipFile, struct.error, EOFError, OSError, RuntimeError, ArithmeticError, LookupError, ValueError)


def write(path: str | os.PathLike[str], content: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a file, atomically.

    Parameters
    ----------
    path : path-like
        A file there is replaced when the new one is complete and on the disk, and otherwise left as it was.
    content : mapping
        Whatever JSON can hold; "format" and "version" are added.
    arrays : mapping of str to ndarray
        float32, float64, int64 or uint8, by name.

    Raises
    ------
    TypeError
        An array has another dtype, or JSON cannot hold the content.
    ValueError
        An array's name is the reserved one.
    OSError
        From the file system.
    """
    if TEXT in arrays:
        raise ValueError(f"an array cannot be named {TEXT!r}: that is the name of the JSON text")
    text = json.dumps({"format": FORMAT, "version": VERSION, **content})
    members = {TEXT: np.frombuffer(text.encode(), np.uint8)}
    for name, array in arrays.items():
        dtype = array.dtype.newbyteorder("<")
        if dtype not in DTYPES.values():
            raise TypeError(f"{name} must be float32, float64, int64 or uint8, got {array.dtype}")
        members[name] = np.asarray(array, dtype, order="C")

    with replacing(path) as file:
        _write_members(file, members)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[io.BufferedWriter]:
    """A new file to write to, which takes the place of the one at `path` if the block ends well.

    Whatever happens, the old file or the new one is there, whole, and nothing else.
    """
    path = os.path.realpath(path)  # a link keeps pointing at the file
    # next to the target, so that the replacement is a rename; opened exclusively, so that nothing is followed
    temporary = os.path.join(os.path.dirname(path), f".{FORMAT}-{os.urandom(8).hex()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(temporary, flags, 0o666)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, path) from None  # of the file that was asked for
    try:
        with open(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            shutil.copymode(path, temporary)  # a private file stays private
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(os.path.dirname(path))


def _write_members(file: io.BufferedWriter, members: Mapping[str, np.ndarray]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in members.items():
            # ZipInfo's own date, 1980, stays: the same content gives the same bytes
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)


def _sync_folder(folder: str) -> None:
    """Make the rename itself durable, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some file systems refuse; the file itself is whole either way
            os.fsync(handle)
    finally:
        os.close(handle)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a file that `write` wrote.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    content : dict
    arrays : dict of str to ndarray
        Read-only.

    Raises
    ------
    ValueError
        Naming the file and what is wrong: not such a file, of another version, damaged or cut off, or with members
        that `write` does not make.
    OSError
        From the file system.
    """
    with open(path, "rb") as file:
        if file.read(4) != b"PK\x03\x04":
            raise refusal(path, "it does not begin as a zip archive")
        file.seek(0)
        data = file.read()
    try:
        members = _read_members(data)
        content = json.loads(members.pop(TEXT).tobytes())
    except DAMAGE as error:
        raise refusal(path, str(error) or type(error).__name__) from error
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise refusal(path, f"its JSON does not say {FORMAT!r}")
    version = content.pop("version", None)
    if version != VERSION:
        raise refusal(path, f"it has version {version!r} of the format, and this release reads version {VERSION}")
    return content, members


@contextlib.contextmanager
def refusing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Whatever is raised in the block, over a content that does not fit, becomes a `refusal`."""
    try:
        yield
    except KeyError as error:
        raise refusal(path, f"{error.args[0]!r} is missing") from error
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RuntimeError) as error:
        raise refusal(path, str(error)) from error


def refusal(path: str | os.PathLike[str], rule: str) -> ValueError:
    """The one error of a file that cannot be taken."""
    return ValueError(f"cannot load {os.fspath(path)!r}: {rule}")


def _read_members(data: bytes) -> dict[str, np.ndarray]:
    """All arrays of an archive, the JSON text among them."""
    members: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        if len(entries) > MOST_ARRAYS:
            raise ValueError(f"it has more than {MOST_ARRAYS} members")
        # members that overlap could add up to more than the file
        if sum(entry.file_size for entry in entries) > len(data):
            raise ValueError("its members are larger than the file")
        for entry in entries:
            name = entry.filename.removesuffix(".npy")
            if name == entry.filename or name in members:
                raise ValueError(f"the member {entry.filename!r} is not an array, or there twice")
            if entry.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"the member {entry.filename!r} is compressed")
            members[name] = _read_array(entry.filename, archive.read(entry))
    if TEXT not in members or members[TEXT].dtype != np.uint8:
        raise ValueError(f"it has no JSON text {TEXT!r}")
    return members


def _read_array(name: str, data: bytes) -> np.ndarray:
    """One .npy of version 1.0, of the few dtypes that `write` uses; its shape must account for every byte."""
    if data[:8] != MAGIC or len(data) < 10:
        raise ValueError(f"the member {name!r} is not an .npy of version 1.0")
    begin = 10 + int.from_bytes(data[8:10], "little")
    header = HEADER.fullmatch(data[10:begin])
    if header is None or header["descr"].decode() not in DTYPES:
        raise ValueError(f"the member {name!r} must hold float32, float64, int64 or uint8 in C order")
    dtype = DTYPES[header["descr"].decode()]
    shape = tuple(int(size) for size in header["shape"].replace(b",", b" ").split())
    if math.prod(shape) * dtype.itemsize != len(data) - begin:
        raise ValueError(f"the member {name!r} has shape {shape} but {len(data) - begin} bytes")
    array = np.frombuffer(data, dtype, offset=begin).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)
