"""The film reviews: small archives against a second computation in plain Python, the cache, and what is refused."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastrnn import saving
from fastrnn.datasets import imdb
from fastrnn.preprocessing import pad_sequences
from fastrnn.preprocessing.text import text_to_word_sequence

# (part, mood, number, stars): text. Ties in frequency, capitals, tags, words of the test alone, nothing but gaps
REVIEWS = {
    ("train", "pos", 0, 9): "The best film.<br /><br />The BEST, isn't it?",
    ("train", "pos", 10, 7): "Été à Paris: bel ÉTÉ\x85film\n\tzoo",
    ("train", "pos", 2, 10): "the film the zoo ape film",
    ("train", "neg", 0, 1): "The worst film... it's the worst (ape)!",
    ("train", "neg", 1, 4): "bad bad bad",
    ("test", "pos", 0, 8): "unseen best film unseen",
    ("test", "pos", 3, 7): "!!! ---",
    ("test", "neg", 12, 2): "The zoo, the unseen été",
}


def name_of(key: tuple[str, str, int, int]) -> str:
    part, mood, number, stars = key
    return f"{part}/{mood}/{number}_{stars}.txt"


def archive(
    path: Path, reviews: dict[str, bytes] | None = None, change: Callable[[tarfile.TarFile], None] | None = None
) -> Path:
    """An archive laid out like the original, in an order of its own, with what else is in there."""
    if reviews is None:
        reviews = {name_of(key): text.encode() for key, text in reversed(REVIEWS.items())}
    with tarfile.open(path, "w:gz") as tar:
        for name, content in {"README": b"a", "train/labeledBow.feat": b"b", "train/unsup/0_0.txt": b"c"}.items():
            add(tar, name, content)
        folder = tarfile.TarInfo("aclImdb/train/pos")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in reviews.items():
            add(tar, name, content)
        if change:
            change(tar)
    return path


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(f"aclImdb/{name}")
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def folder(path: Path) -> Path:
    for key, text in REVIEWS.items():
        file = path / "aclImdb" / name_of(key)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
    (path / "aclImdb" / "train" / "pos" / ".DS_Store").write_bytes(b"\0")
    return path


def by_hand(
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int = 3,
) -> list[tuple[list[list[int]], list[int]]]:
    """As Keras's load_data goes, list by list, from words ranked by frequency and code points."""
    words = {key: text_to_word_sequence(text) for key, text in REVIEWS.items()}
    counts = Counter(word for key, each in words.items() if key[0] == "train" for word in each)
    rank = {word: number for number, word in enumerate(sorted(counts, key=lambda word: (-counts[word], word)), 1)}
    rng = np.random.RandomState(seed)
    splits = []
    for part in ("train", "test"):
        keys = sorted((key[1], key[2], key) for key in words if key[0] == part)
        xs = [[rank[word] for word in words[key] if word in rank] for _, _, key in keys]
        ys = [int(mood == "pos") for mood, _, _ in keys]
        indices = np.arange(len(xs))
        rng.shuffle(indices)
        xs, ys = [xs[i] for i in indices], [ys[i] for i in indices]
        xs = [([] if start_char is None else [start_char]) + [w + index_from for w in x] for x in xs]
        if maxlen is not None:
            kept = [len(x) < maxlen for x in xs]
            xs, ys = ([each for each, keep in zip(old, kept, strict=True) if keep] for old in (xs, ys))
        stop = 2**31 if num_words is None else num_words
        if oov_char is None:
            xs = [[w for w in x if skip_top <= w < stop] for x in xs]
        else:
            xs = [[w if skip_top <= w < stop else oov_char for w in x] for x in xs]
        splits.append((xs, ys))
    return splits


OPTIONS: list[dict[str, Any]] = [
    {},
    {"num_words": 8},
    {"num_words": 6, "skip_top": 5},
    {"skip_top": 4, "oov_char": None},
    {"num_words": 7, "oov_char": None, "start_char": None, "index_from": 0},
    {"maxlen": 6, "seed": 5},
    {"maxlen": 5, "start_char": None},
    {"start_char": 0, "oov_char": 99, "index_from": 10, "num_words": 14},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("source", ["archive", "folder", "its folder"])
def test_against_plain_python(
    options: dict[str, Any], source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if source == "archive":
        path = archive(tmp_path / "some.tar.gz")
    else:
        path = folder(tmp_path) / ("" if source == "folder" else "aclImdb")
    before = sorted(map(str, tmp_path.rglob("*")))
    result = imdb.load_data(path, **options, verbose=False)
    for (x, y), (xs, ys) in zip(result, by_hand(**options), strict=True):
        assert x.dtype == object and x.shape == y.shape and y.dtype == np.int64
        assert [each.tolist() for each in x] == xs
        assert {each.dtype for each in x} == {np.dtype(np.int32)}
        assert y.tolist() == ys
    assert sorted(map(str, tmp_path.rglob("*"))) == before  # nothing is unpacked
    assert capsys.readouterr() == ("", "")


def test_word_index_and_padding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = archive(tmp_path / "some.tar.gz")
    index = imdb.get_word_index(path)
    assert "reading reviews" in capsys.readouterr().err
    # counted by hand: the 6, film 4, bad 3, then by code points those that come twice, then the others
    assert list(index)[:8] == ["the", "film", "bad", "ape", "best", "br", "worst", "zoo"]
    assert list(index)[-3:] == ["à", "été", "été\x85film"]
    assert list(index.values()) == list(range(1, len(index) + 1))
    (x, y), _ = imdb.load_data(path, seed=1)
    words = {number + 3: word for word, number in index.items()} | {1: "^"}
    told = {" ".join(words[number] for number in review): label for review, label in zip(x, y, strict=True)}
    assert told["^ été à paris bel été\x85film zoo"] == 1 and told["^ bad bad bad"] == 0
    padded = pad_sequences(x, maxlen=5)
    assert padded.shape == (5, 5) and padded.dtype == np.int32


def test_order_of_the_reviews_is_fixed(tmp_path: Path) -> None:
    """1 0 3 2 4 of five and 1 0 2 of three, by the generator and the seed of Keras: the same on every machine."""
    (x, y), (x_test, y_test) = imdb.load_data(archive(tmp_path / "some.tar.gz"), verbose=False)
    assert ([len(each) for each in x], y.tolist()) == ([4, 8, 7, 10, 7], [0, 0, 1, 1, 1])
    assert ([len(each) for each in x_test], y_test.tolist()) == ([3, 5, 1], [1, 0, 1])


# ---- the cache


def same(one: Any, other: Any) -> bool:
    pairs = [(a, b) for s, t in zip(one, other, strict=True) for a, b in zip(s, t, strict=True)]
    return all(len(a) == len(b) and all(np.array_equal(i, j) for i, j in zip(a, b, strict=True)) for a, b in pairs)


@pytest.mark.parametrize("source", ["archive", "folder"])
def test_cache_gives_the_same(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "some.tar.gz") if source == "archive" else folder(tmp_path)
    cache = tmp_path / "cache.npz"
    plain, index = imdb.load_data(path, verbose=False), imdb.get_word_index(path, verbose=False)
    assert not cache.exists()
    first = imdb.load_data(path, cache=cache, verbose=False)
    with np.load(cache, allow_pickle=False) as file:
        assert {file[name].dtype.kind for name in file.files} == {"u", "i"}

    def no_more(*args: Any) -> None:
        raise AssertionError("read once more")

    monkeypatch.setattr(imdb, "_parse", no_more)
    again = imdb.load_data(path, cache=cache, num_words=8, verbose=False)
    monkeypatch.undo()
    assert same(plain, first) and same(again, imdb.load_data(path, num_words=8, verbose=False))
    assert imdb.get_word_index(path, cache=cache) == index


def test_cache_of_something_else(tmp_path: Path) -> None:
    path, cache = archive(tmp_path / "some.tar.gz"), tmp_path / "cache.npz"
    imdb.load_data(path, cache=cache, verbose=False)
    content, kept = cache.read_bytes(), dict(saving.read(cache)[1])
    source = saving.read(cache)[0]["source"]
    other = archive(tmp_path / "other.tar.gz", {name_of(key): b"other" for key in REVIEWS})
    with pytest.raises(ValueError, match=r"cannot load .*cache.npz.*it is the cache of another archive or folder"):
        imdb.load_data(other, cache=cache, verbose=False)
    assert cache.read_bytes() == content

    def refused(message: str, kind: str = imdb.KIND, **changes: Any) -> None:
        arrays = {name: array for name, array in (kept | changes).items() if array is not None}
        saving.write(cache, {"kind": kind, "source": source}, arrays)
        with pytest.raises(ValueError, match=rf"cannot load .*cache.npz.*{message}"):
            imdb.load_data(path, cache=cache, verbose=False)

    refused("it is not a cache of reviews of this release", kind="imdb reviews 0")
    refused("it must hold test/ends, .*", words=None)
    refused("it must hold test/ends, .*", more=np.zeros(1))
    refused("it must hold test/ends, .*", words=np.zeros((1, 1), np.uint8))
    refused("it must hold test/ends, .*", **{"test/ends": kept["test/ends"].astype(np.float64)})
    refused("ranks must be in", **{"train/ranks": np.zeros_like(kept["train/ranks"])})
    refused("ranks must be in", **{"train/ranks": np.full_like(kept["train/ranks"], 127)})
    refused("", **{"train/ranks": kept["train/ranks"][:-1]})
    refused("train/ends must be the ends of 5 reviews", **{"train/ranks": kept["train/ranks"][:-4]})
    refused("test/ends must be the ends of 3 reviews", **{"test/ends": kept["test/ends"][::-1]})
    refused("test/ends must be the ends of 2 reviews", **{"test/labels": kept["test/labels"][:-1]})
    refused("labels must be in", **{"test/labels": kept["test/labels"] + 1})
    refused("", words=np.array([255], np.uint8))
    cache.write_bytes(content[:-50])
    with pytest.raises(ValueError, match=r"cannot load .*cache.npz"):
        imdb.load_data(path, cache=cache, verbose=False)


# ---- refusals


def refusal(path: Path, message: str) -> None:
    for read in (imdb.load_data, imdb.get_word_index):
        with pytest.raises(ValueError, match=rf"path must be aclImdb_v1.tar.gz .* or its folder, got .*: {message}"):
            read(path, verbose=False)


def test_what_is_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"text")
    refusal(path, "it is not compressed by gzip")
    path.write_bytes(b"")
    refusal(path, "it is not compressed by gzip")
    path.write_bytes(gzip.compress(b"text" * 1000))
    refusal(path, "it is damaged or cut off, or not an archive")
    path.write_bytes(b"\x1f\x8bnot really")
    refusal(path, "it is damaged or cut off, or not an archive")
    with tarfile.open(path, "w:gz") as tar:
        add(tar, "README", b"a")
    refusal(path, r"it has no reviews train/neg/")
    refusal(tmp_path, "the folder has no train/neg")
    with pytest.raises(FileNotFoundError):
        imdb.load_data(tmp_path / "nothing", verbose=False)
    for nothing in (None, 3):
        with pytest.raises(TypeError, match=r"path must be the path of aclImdb_v1.tar.gz \(https://.*got"):
            imdb.load_data(nothing)  # type: ignore[arg-type]


def test_damaged_archives(tmp_path: Path) -> None:
    """Cut off anywhere, or a byte changed: refused, and never other reviews."""
    whole = archive(tmp_path / "some.tar.gz")
    data, expected = whole.read_bytes(), imdb.load_data(whole, verbose=False)
    path = tmp_path / "damaged.tar.gz"
    for size in range(10, len(data) - 1, 37):
        path.write_bytes(data[:size])
        refusal(path, "it is damaged or cut off, or not an archive")
    for place in range(10, len(data), 7):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        try:
            result = imdb.load_data(path, verbose=False)
        except ValueError:
            continue
        assert same(result, expected)
    path.write_bytes(data + gzip.compress(bytes(2 << 20)))
    refusal(path, "something follows the archive")


def test_members_that_are_no_reviews(tmp_path: Path) -> None:
    reviews = {name_of(key): text.encode() for key, text in REVIEWS.items()}
    path = tmp_path / "some.tar.gz"
    refusal(archive(path, reviews | {"train/pos/great.txt": b""}), "train/pos/great.txt is not named as a review")
    refusal(archive(path, reviews | {"test/neg/1_9.txt.gz": b""}), "test/neg/1_9.txt.gz is not named as a review")
    refusal(archive(path, reviews | {"test/neg/7_1.txt": b"\xff"}), "test/neg/7_1.txt is not UTF-8")
    refusal(archive(path, reviews, lambda tar: add(tar, "train/neg/1_4.txt", b"")), "train/neg/1_4.txt is there twice")
    refusal(archive(path, reviews | {"train/neg/3_4.txt": bytes(2 << 20)}), "aclImdb/train/neg/3_4.txt is longer than")
    refusal(archive(path, {n: t for n, t in reviews.items() if "test/pos" not in n}), "it has no reviews test/pos/")

    def link(tar: tarfile.TarFile) -> None:
        member = tarfile.TarInfo("aclImdb/train/pos/5_9.txt")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)

    refusal(archive(path, reviews, link), "aclImdb/train/pos/5_9.txt is not a file")
    archive(path, reviews | {"train/pos/._0_9.txt": b"\0", "../../train/x": b"d"})
    assert len(imdb.load_data(path, verbose=False)[0][0]) == 5


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_words": 0}, ValueError, "num_words must be at least 1, got 0"),
        ({"num_words": "9"}, TypeError, "num_words must be a whole number"),
        ({"skip_top": -1}, ValueError, "skip_top must be at least 0, got -1"),
        ({"seed": 2**32}, ValueError, "seed must be below 4294967296"),
        ({"index_from": 2**31}, ValueError, "index_from must be below 1073741824"),
        ({"start_char": 1.5}, TypeError, "start_char must be a whole number"),
        ({"maxlen": 1}, ValueError, "maxlen must be above 4, the shortest review's length, got 1"),
    ],
)
def test_bad_arguments(options: dict[str, Any], error: type[Exception], message: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=message):
        imdb.load_data(archive(tmp_path / "some.tar.gz"), **options, verbose=False)


@pytest.mark.skipif("FASTRNN_IMDB" not in os.environ, reason="FASTRNN_IMDB does not name aclImdb_v1.tar.gz")
def test_the_archive_itself() -> None:
    (x, y), (x_test, y_test) = imdb.load_data(os.environ["FASTRNN_IMDB"], num_words=10_000, verbose=False)
    for reviews, labels in ((x, y), (x_test, y_test)):
        assert len(reviews) == len(labels) == 25_000 and labels.sum() == 12_500
        assert all(review[0] == 1 for review in reviews)
    numbers = np.concatenate(x)
    assert numbers.max() == 9_999 and set(range(4, 10_000)) <= set(numbers.tolist()) and 3 not in numbers
