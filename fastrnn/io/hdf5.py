"""HDF5 files, read without trusting them. Needs h5py, which is optional: `pip install "fastrnn[hdf5]"`.

Taken are groups, text in attributes, and arrays that lie whole in the file. Refused is all that could reach out of the
file, or unfold to more than the file holds: external and soft links, an object under two names, virtual and external
arrays, compressed ones, and sizes that no bytes stand behind. What is left to trust is the HDF5 library itself.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

# far above what models have: a layer makes about ten objects, with its optimizer's
MOST_OBJECTS = 100_000
MOST_LEVELS = 32

# bytes of text that one attribute may become; a model of a hundred layers has some 100 kB
MOST_TEXT = 1 << 28

# Texts of any length lie in collections of them. A collection begins with these bytes, three more, and its size in 8;
# every text in it with a number in 2, 6 more, and its size in 8
COLLECTION = b"GCOL\x01"
HEAD = 16


def require() -> Any:
    """The module h5py.

    Raises
    ------
    ImportError
        It is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise ImportError('files in HDF5 need h5py: pip install "fastrnn[hdf5]"') from None
    return h5py


class Tree:
    """What an open HDF5 file holds, by path: "model_weights/lstm".

    A backslash in a name, as Keras wrote it on Windows, counts as a slash.

    Parameters
    ----------
    file : h5py.File
    data : bytes
        The same file.

    Attributes
    ----------
    groups, arrays : dict of str to h5py.Group, h5py.Dataset
        In the order of the file.
    """

    def __init__(self, file: Any, data: bytes) -> None:
        self.groups: dict[str, Any] = {"": file}
        self.arrays: dict[str, Any] = {}
        self._h5py = require()
        self._unread = len(data)  # bytes of arrays that the file can still have
        self._longest = longest_text(data)
        self._seen = {self._identity(file)}
        self._walk(file, "", 0)

    def _identity(self, thing: Any) -> tuple[int, int]:
        info = self._h5py.h5o.get_info(thing.id)
        return info.fileno, info.addr

    def _walk(self, group: Any, prefix: str, level: int) -> None:
        if level > MOST_LEVELS:
            raise ValueError(f"its groups are nested more than {MOST_LEVELS} deep")
        for name in group:
            if not isinstance(name, str):
                raise ValueError(f"the name {name!r} is not UTF-8")
            path = (prefix + name).replace("\\", "/")
            if not isinstance(group.get(name, getlink=True), self._h5py.HardLink):
                raise ValueError(f"{path!r} is a link to somewhere else")
            try:
                thing = group[name]
            except KeyError as error:
                raise ValueError(f"{path!r} cannot be read: {error.args[0]}") from error
            identity = self._identity(thing)
            if identity in self._seen or path in self.groups or path in self.arrays:
                raise ValueError(f"{path!r} is there twice")
            self._seen.add(identity)
            if len(self._seen) > MOST_OBJECTS:
                raise ValueError(f"it has more than {MOST_OBJECTS} objects")
            if isinstance(thing, self._h5py.Group):
                self.groups[path] = thing
                self._walk(thing, path + "/", level + 1)
            elif isinstance(thing, self._h5py.Dataset):
                self.arrays[path] = thing
            else:
                raise ValueError(f"{path!r} is neither a group nor an array")

    def text(self, group: str, name: str) -> str | None:
        """A group's attribute of one text, or None if it has none of that name."""
        values = self._attribute(group, name)
        if values is None:
            return None
        if values.shape:
            raise ValueError(f"the attribute {name!r} must be one text, got shape {values.shape}")
        return _decoded(values[()])

    def names(self, group: str, name: str) -> list[str]:
        """A group's attribute of several texts; name0, name1, ... put together where one would have been too large."""
        values = self._attribute(group, name)
        if values is not None:
            if values.ndim != 1:
                raise ValueError(f"the attribute {name!r} must be a row of texts, got shape {values.shape}")
            return [_decoded(value) for value in values]
        parts: list[str] = []
        number = 0
        while (values := self._attribute(group, f"{name}{number}")) is not None:
            parts += [_decoded(value) for value in values.reshape(-1)]
            number += 1
        if number == 0:
            raise ValueError(f"{group!r} has no attribute {name!r}")
        return parts

    def _attribute(self, group: str, name: str) -> np.ndarray | None:
        """The attribute's texts, as an array of str or bytes; an empty attribute may have any type."""
        if group not in self.groups:
            raise ValueError(f"the group {group!r} is missing")
        attributes = self.groups[group].attrs
        if name not in attributes:
            return None
        stored = attributes.get_id(name)
        if math.prod(stored.shape) == 0:
            return np.zeros(stored.shape, object)
        kind = self._h5py.check_string_dtype(stored.dtype)
        if kind is None:
            raise ValueError(f"the attribute {name!r} must be text, got {stored.dtype}")
        # texts of any length lie elsewhere in the file, where one may stand for many
        length = self._longest if kind.length is None else kind.length
        if math.prod(stored.shape) * length > MOST_TEXT:
            raise ValueError(f"the attribute {name!r} may hold more than {MOST_TEXT} bytes")
        return np.asarray(attributes[name])

    def array(self, path: str) -> np.ndarray:
        """An array of floating-point or whole numbers, in native byte order.

        Raises
        ------
        ValueError
            It is not there, or has another type, or its bytes are not all in the file.
        """
        if path not in self.arrays:
            raise ValueError(f"the array {path!r} is missing")
        stored = self.arrays[path]
        if stored.external or stored.is_virtual:
            raise ValueError(f"the array {path!r} lies in another file")
        if stored.id.get_create_plist().get_nfilters():
            raise ValueError(f"the array {path!r} is compressed")
        if stored.dtype.kind not in "fiu" or stored.dtype.itemsize > 8 or stored.shape is None:
            raise ValueError(f"the array {path!r} must hold numbers, got {stored.dtype}")
        size = math.prod(stored.shape) * stored.dtype.itemsize
        if size > stored.id.get_storage_size() or size > self._unread:
            raise ValueError(f"the array {path!r} has shape {stored.shape}, but not that many bytes")
        self._unread -= size
        values = np.asarray(stored[()])
        return values.astype(values.dtype.newbyteorder("="), copy=False)


def longest_text(data: bytes) -> int:
    """An upper bound of the lengths of texts in an HDF5 file, which are told apart from their places elsewhere.

    Raises
    ------
    ValueError
        A collection is damaged, over which the library could walk without an end.
    """
    longest, place = 0, data.find(COLLECTION)
    while place >= 0:
        here = place + HEAD
        end = place + int.from_bytes(data[place + 8 : here], "little")
        if end > len(data):
            raise ValueError("a collection of texts in it is larger than the file")
        while here + HEAD <= end:
            number = int.from_bytes(data[here : here + 2], "little")
            size = int.from_bytes(data[here + 8 : here + HEAD], "little")
            # what is free has number 0, and a size that counts its head
            step = HEAD + -(-size // 8) * 8 if number else size
            if step < HEAD or here + step > end:
                raise ValueError("a collection of texts in it is damaged")
            longest = max(longest, size)
            here += step
        place = data.find(COLLECTION, place + 1)
    return longest


@contextlib.contextmanager
def reading(data: bytes) -> Iterator[Tree]:
    """Everything in an HDF5 file, given as its bytes.

    Raises
    ------
    ValueError
        It is no HDF5 file, or one that is refused.
    """
    h5py = require()
    try:
        file = h5py.File(io.BytesIO(data), "r")
    except OSError as error:
        raise ValueError(f"it is not a whole HDF5 file: {error}") from error
    with file:
        if file.id.get_create_plist().get_sizes() != (8, 8):
            raise ValueError("its addresses and sizes must have 8 bytes")
        yield Tree(file, data)


def _decoded(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
