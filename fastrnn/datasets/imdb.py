"""Film reviews from IMDB, and whether they praise the film: 25,000 to train on and 25,000 to test on.

A. L. Maas, R. E. Daly, P. T. Pham, D. Huang, A. Y. Ng & C. Potts, "Learning Word Vectors for Sentiment Analysis", ACL
2011. The archive, aclImdb_v1.tar.gz, is at https://ai.stanford.edu/~amaas/data/sentiment/; it holds a file for each
review, aclImdb/{train,test}/{pos,neg}/<number>_<stars>.txt, and is read as it is, without being unpacked to the disk.

Words are those of `fastrnn.preprocessing.Tokenizer`: small letters, punctuation but the apostrophe is a gap, so that a
"<br />" is a word "br". A word's rank is its frequency's in the training reviews, 1 the most frequent; words of one
frequency are ranked in the order of their code points.
"""

from __future__ import annotations

import io
import itertools
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastrnn import validate
from fastrnn.preprocessing.text import FILTERS

Path = str | os.PathLike[str]
Split = tuple[np.ndarray, np.ndarray]

SOURCE = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"

# what is told apart in the archive and its folder; all else (unlabelled reviews, bags of words, a README) is left alone
PARTS = ("train", "test")
REVIEW = re.compile(r"(?:.*/)?(train|test)/(neg|pos)/([^/]+)")
NAME = re.compile(r"(\d{1,9})_(\d{1,2})\.txt")

# the longest review has 14,000 bytes; a file that claims a gigabyte is not read
MOST_BYTES = 1 << 20

# of a cache; another one when words, ranks or what is kept of them change
KIND = "imdb reviews 1"

# in bytes, which for ASCII is what str.lower and str.translate give, 1.5 times as fast over the archive
SPLIT = bytes.maketrans(
    FILTERS.encode() + bytes(range(ord("A"), ord("Z") + 1)), b" " * len(FILTERS) + bytes(range(ord("a"), ord("z") + 1))
)


def load_data(
    path: Path | None = None,
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int = 3,
    *,
    cache: Path | None = None,
    verbose: bool = True,
) -> tuple[Split, Split]:
    """The reviews as word numbers, with Keras's arguments and rules.

    Parameters
    ----------
    path : path-like
        aclImdb_v1.tar.gz, or the folder that it unpacks to.
    num_words : int, optional
        Numbers from here on become `oov_char`.
    skip_top : int
        So do numbers below this, `start_char` among them.
    maxlen : int, optional
        Reviews of this many numbers or more, `start_char` included, are left out.
    seed : int
        Of the order of the reviews, which is the same on every machine.
    start_char : int or None
        Stands before every review.
    oov_char : int or None
        Stands for the words left out by `num_words` and `skip_top`; None leaves no trace of them. Words that are in no
        training review leave none in any case.
    index_from : int
        A word's number is its rank and this. 0, 1 and 2 are thereby left for padding, `start_char` and `oov_char`.
    cache : path-like, optional
        A file to keep what was read in, 50 MB, for the next time; it is written if it is not there, and nothing is
        without this argument. It holds no code and belongs to this one archive or folder, by its checksum (the folder's
        is that of its files' names and sizes).
    verbose : bool
        Show on standard error how far the reading is, which takes some seconds.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        x: ndarray of objects, (N,), each an int32 array of the review's length (Keras: lists), as
        `fastrnn.preprocessing.sequence.pad_sequences` takes them. y: int64 (N,), 1 for praise (7 to 10 stars), 0 for
        blame (1 to 4).

    Raises
    ------
    TypeError, ValueError
        An argument is out of its range, the path is neither, the archive is damaged, or no review is shorter than
        `maxlen`.
    OSError
        From the file system.

    Examples
    --------
    >>> (x_train, y_train), (x_test, y_test) = load_data("aclImdb_v1.tar.gz", num_words=10_000)  # doctest: +SKIP
    """
    limit = None if num_words is None else _number("num_words", num_words, 1)
    skip_top = _number("skip_top", skip_top)
    longest = None if maxlen is None else _number("maxlen", maxlen, 1)
    start = None if start_char is None else _number("start_char", start_char)
    oov = None if oov_char is None else _number("oov_char", oov_char)
    index_from = _number("index_from", index_from)
    # as in Keras, which is also the generator whose numbers NumPy keeps for all time
    rng = np.random.RandomState(_number("seed", seed, high=2**32))
    reviews = _reviews(path, cache, verbose)
    splits = []
    for part in PARTS:
        ends, labels = reviews[f"{part}/ends"], reviews[f"{part}/labels"]
        numbers = reviews[f"{part}/ranks"] + np.int32(index_from)
        if start is not None:
            numbers = np.insert(numbers, _begins(ends), start)
            ends = ends + np.arange(1, len(ends) + 1)
        order = rng.permutation(len(ends))
        if longest is not None:
            lengths = ends - _begins(ends)
            order = order[lengths[order] < longest]
            if not len(order):
                raise ValueError(f"maxlen must be above {lengths.min()}, the shortest review's length, got {longest}")
        left_out = numbers < skip_top
        if limit is not None:
            left_out |= numbers >= limit
        if oov is not None:
            numbers[left_out] = oov
        else:
            numbers, ends = _without(left_out, numbers, ends)
        begins = _begins(ends)
        x = np.empty(len(order), object)
        for place, review in enumerate(order):
            x[place] = numbers[begins[review] : ends[review]]
        splits.append((x, labels[order]))
    return splits[0], splits[1]


def get_word_index(path: Path | None = None, *, cache: Path | None = None, verbose: bool = True) -> dict[str, int]:
    """The rank of every word of the training reviews, in the order of the ranks.

    In `load_data` a word's number is its rank and `index_from`. The arguments are those of `load_data`.
    """
    words = _reviews(path, cache, verbose)["words"].tobytes().decode().split("\n")
    return {word: rank for rank, word in enumerate(words, 1)}


def _number(name: str, value: Any, low: int = 0, high: int = 2**30) -> int:
    """A whole number in [low, high); by default one that is an int32 with every rank added to it."""
    result = validate.count(name, value, minimum=low)
    if result >= high:
        raise ValueError(f"{name} must be below {high}, got {result}")
    return result


def _begins(ends: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(1, np.int64), ends[:-1]])


def _without(left_out: np.ndarray, numbers: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and ends of the reviews without some of the numbers."""
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(left_out)])
    return numbers[~left_out], ends - before[ends]


# ---- from files to ranks

# "words": the words in the order of their ranks, a line each, as bytes; and of either part, with R reviews by label and
# number and W words in all, "part/ranks" int32 (W,), "part/ends" int64 (R,), the end of each review among the ranks,
# and "part/labels" int64 (R,)
Reviews = dict[str, np.ndarray]


def _reviews(path: Path | None, cache: Path | None, verbose: bool) -> Reviews:
    """From the cache if there is one, otherwise from the files, and then into the cache if one is wanted."""
    if path is None or not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be the path of aclImdb_v1.tar.gz ({SOURCE}) or of its folder, got {path!r}")
    if cache is None:
        return _parse(path, verbose)
    cache = validate.path("cache", cache)
    source = _checksum(path)
    if os.path.exists(cache):
        return _read_cache(cache, source)
    reviews = _parse(path, verbose)
    _write_cache(cache, source, reviews)
    return reviews


def _parse(path: Path, verbose: bool) -> Reviews:
    """Every review's words, numbered as they come, and then by rank."""
    # a word not yet seen gets the next number, without a loop in Python; the blank between two gaps has number 0
    number_of: defaultdict[bytes, int] = defaultdict(itertools.count().__next__)
    number_of[b""]
    found: dict[str, dict[tuple[int, int, int], np.ndarray]] = {part: {} for part in PARTS}
    for part, mood, name, text in _files(path, verbose):
        named = NAME.fullmatch(name)
        if named is None:
            raise _refusal(path, f"{part}/{mood}/{name} is not named as a review, <number>_<stars>.txt")
        key = (int(mood == "pos"), int(named[1]), int(named[2]))
        if key in found[part]:
            raise _refusal(path, f"{part}/{mood}/{name} is there twice")
        if not text.isascii():
            try:
                text = text.decode().lower().encode()
            except UnicodeDecodeError as error:
                raise _refusal(path, f"{part}/{mood}/{name} is not UTF-8: {error}") from None
        words = text.translate(SPLIT).split(b" ")
        found[part][key] = np.fromiter(map(number_of.__getitem__, words), np.int32, len(words))
    for part in PARTS:
        for label, mood in enumerate(("neg", "pos")):
            if not any(key[0] == label for key in found[part]):
                raise _refusal(path, f"it has no reviews {part}/{mood}/<number>_<stars>.txt")

    keys = {part: sorted(found[part]) for part in PARTS}
    flat = {part: np.concatenate([found[part][key] for key in keys[part]]) for part in PARTS}
    counts = np.bincount(flat["train"], minlength=len(number_of)).tolist()
    counts[0] = 0
    words = [word for word, number in number_of.items() if counts[number]]
    words.sort(key=lambda word: (-counts[number_of[word]], word))  # the order of UTF-8 is that of the code points
    rank_of = np.zeros(len(number_of), np.int32)
    rank_of[[number_of[word] for word in words]] = np.arange(1, len(words) + 1)
    reviews = {"words": np.frombuffer(b"\n".join(words), np.uint8)}
    for part in PARTS:
        ranks = rank_of[flat[part]]
        ends = np.cumsum([len(found[part][key]) for key in keys[part]])
        reviews[f"{part}/ranks"], reviews[f"{part}/ends"] = _without(ranks == 0, ranks, ends)
        reviews[f"{part}/labels"] = np.array([key[0] for key in keys[part]])
    return reviews


def _files(path: Path, verbose: bool) -> Iterator[tuple[str, str, str, bytes]]:
    """(part, mood, name, text) of each review."""
    return _of_folder(path, verbose) if os.path.isdir(path) else _of_archive(path, verbose)


def _of_folder(path: Path, verbose: bool) -> Iterator[tuple[str, str, str, bytes]]:
    listed = _listed(path)
    with _progress(len(listed), "reviews", verbose) as bar:
        for part, mood, entry in listed:
            with open(entry.path, "rb") as file:
                yield part, mood, entry.name, _text(path, file, entry.path)
            bar.advance(1)


def _listed(path: Path) -> list[tuple[str, str, os.DirEntry[str]]]:
    """(part, mood, file) of each review of a folder, sorted."""
    root = os.fspath(path)
    if not os.path.isdir(os.path.join(root, "train")):
        root = os.path.join(root, "aclImdb")
    listed = []
    for part, mood in itertools.product(PARTS, ("neg", "pos")):
        try:
            entries = sorted(os.scandir(os.path.join(root, part, mood)), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            raise _refusal(path, f"the folder has no {part}/{mood}") from None
        listed += [(part, mood, entry) for entry in entries if not entry.name.startswith(".")]
    return listed


def _of_archive(path: Path, verbose: bool) -> Iterator[tuple[str, str, str, bytes]]:
    import gzip
    import tarfile
    import zlib

    with open(path, "rb") as raw:
        size = os.fstat(raw.fileno()).st_size
        if raw.read(2) != b"\x1f\x8b":
            raise _refusal(path, "it is not compressed by gzip")
        raw.seek(0)
        try:
            with (
                gzip.GzipFile(fileobj=raw) as unpacked,
                # read once from begin to end: it cannot seek
                tarfile.open(fileobj=unpacked, mode="r|") as archive,
                _progress(size, "bytes", verbose) as bar,
            ):
                shown = 0
                for member in archive:
                    archive.members = []  # type: ignore[attr-defined]  # it would keep all 100,000
                    place = REVIEW.fullmatch(member.name)
                    if place is None or member.isdir() or place[3].startswith("."):
                        continue
                    file = archive.extractfile(member) if member.isreg() else None
                    if file is None:
                        raise _refusal(path, f"{member.name} is not a file")
                    yield place[1], place[2], place[3], _text(path, file, member.name)
                    bar.advance(raw.tell() - shown)
                    shown = raw.tell()
                # what fills up the last block; at its end gzip compares the checksum
                if len(unpacked.read(MOST_BYTES)) == MOST_BYTES:
                    raise _refusal(path, "something follows the archive")
        except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise _refusal(path, f"it is damaged or cut off, or not an archive: {error}") from error


def _text(path: Path, file: Any, name: str) -> bytes:
    text: bytes = file.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise _refusal(path, f"{name} is longer than {MOST_BYTES} bytes")
    return text


def _progress(total: int, unit: str, verbose: bool) -> Any:
    from fastrnn.progress import Progress

    return Progress(total, label="reading reviews", unit=unit, file=None if verbose else io.StringIO())


def _refusal(path: Path, rule: str) -> ValueError:
    return ValueError(f"path must be aclImdb_v1.tar.gz ({SOURCE}) or its folder, got {os.fspath(path)!r}: {rule}")


# ---- the cache


def _checksum(path: Path) -> str:
    """Of an archive; of a folder's names and sizes."""
    import hashlib

    if not os.path.isdir(path):
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    lines = [f"{part}/{mood}/{entry.name} {entry.stat().st_size}\n" for part, mood, entry in _listed(path)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _write_cache(cache: Path, source: str, reviews: Reviews) -> None:
    from fastrnn import saving

    # the file knows no int32: its bytes
    arrays = {name: a.astype("<i4").view(np.uint8) if name.endswith("ranks") else a for name, a in reviews.items()}
    saving.write(cache, {"kind": KIND, "source": source}, arrays)


def _read_cache(cache: Path, source: str) -> Reviews:
    """What `_write_cache` wrote, every number checked."""
    from fastrnn import saving

    content, arrays = saving.read(cache)
    if content.get("kind") != KIND:
        raise saving.refusal(cache, "it is not a cache of reviews of this release")
    if content.get("source") != source:
        raise saving.refusal(cache, "it is the cache of another archive or folder than path; delete it or name another")
    names = {"words": "u1"}
    for part in PARTS:
        names |= {f"{part}/ranks": "u1", f"{part}/ends": "i8", f"{part}/labels": "i8"}
    if {name: array.dtype for name, array in arrays.items()} != names or any(a.ndim != 1 for a in arrays.values()):
        raise saving.refusal(cache, f"it must hold {', '.join(sorted(names))}")
    reviews = dict(arrays)
    try:
        words = arrays["words"].tobytes().decode().count("\n") + 1
        for part in PARTS:
            ranks = arrays[f"{part}/ranks"].view("<i4").astype(np.int32, copy=False)
            ends, labels = arrays[f"{part}/ends"], arrays[f"{part}/labels"]
            validate.integers(f"{part}/ranks", ranks, 1, words + 1)
            validate.integers(f"{part}/labels", labels, 0, 2)
            lengths = np.diff(ends, prepend=0)
            if len(ends) != len(labels) or not len(ends) or ends[-1] != len(ranks) or lengths.min() < 0:
                raise ValueError(f"{part}/ends must be the ends of {len(labels)} reviews")
            reviews[f"{part}/ranks"] = ranks
    except ValueError as error:
        raise saving.refusal(cache, str(error)) from None
    return reviews
