"""Files: exact, atomic, and nothing in a hostile one that does more than raise one clear error."""

from __future__ import annotations

import io
import json
import os
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastrnn import saving
from fastrnn.layers import LSTM, Dense, Embedding
from fastrnn.models import Sequential, load_model

CONTENT = {"text": "é\u2028", "number": 1 / 3, "nested": [None, {"a": [1, 2]}], "big": 2**100}


def some_arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "float32": rng.standard_normal((3, 4)).astype(np.float32),
        "a/b.c": rng.standard_normal(5),
        "nan": np.array([np.nan, -0.0, np.inf, 5e-324]),
        "scalar": np.array(-7),
        "bytes": np.arange(256, dtype=np.uint8),
        "empty": np.zeros((0, 3), np.float32),
        "../../path": np.ones(2),
    }


def npy(array: np.ndarray, version: tuple[int, int] = (1, 0)) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version)
    return buffer.getvalue()


def text(**changes: Any) -> bytes:
    content = {"format": "fastrnn", "version": 1} | changes
    return npy(np.frombuffer(json.dumps(content).encode(), np.uint8))


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


# ---- what write promises


def test_everything_comes_back_to_the_bit(tmp_path: Path) -> None:
    path, arrays = tmp_path / "file", some_arrays()
    saving.write(path, CONTENT, arrays)
    content, back = saving.read(path)
    assert content == CONTENT
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        assert (back[name].dtype, back[name].shape) == (array.dtype, array.shape)
        assert back[name].tobytes() == array.tobytes()


def test_any_layout_and_byte_order_can_be_written(tmp_path: Path) -> None:
    matrix = np.arange(12.0).reshape(3, 4)
    saving.write(tmp_path / "file", {}, {"f": matrix.T, "s": matrix[::2, ::-1], "b": matrix.astype(">f8")})
    _, back = saving.read(tmp_path / "file")
    np.testing.assert_array_equal(back["f"], matrix.T)
    np.testing.assert_array_equal(back["s"], matrix[::2, ::-1])
    np.testing.assert_array_equal(back["b"], matrix)
    assert back["b"].dtype == np.float64


def test_numpy_can_look_inside(tmp_path: Path) -> None:
    saving.write(tmp_path / "file", CONTENT, some_arrays())
    with np.load(tmp_path / "file", allow_pickle=False) as file:
        assert json.loads(bytes(file["fastrnn"])) == {"format": "fastrnn", "version": 1} | CONTENT
        np.testing.assert_array_equal(file["float32"], some_arrays()["float32"])


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        saving.write(tmp_path / name, CONTENT, some_arrays())
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize(
    ("content", "arrays", "error", "message"),
    [
        ({}, {"x": np.array([None])}, TypeError, "x must be float32, float64, int64 or uint8, got object"),
        ({}, {"x": np.ones(2, complex)}, TypeError, "got complex128"),
        ({}, {"fastrnn": np.ones(2)}, ValueError, "cannot be named 'fastrnn'"),
        ({"x": object()}, {}, TypeError, "JSON"),
    ],
)
def test_what_cannot_be_written(
    tmp_path: Path, content: Any, arrays: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        saving.write(tmp_path / "file", content, arrays)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", ["write_array", "fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "file"
    saving.write(path, {"old": True}, {})
    before = path.read_bytes()

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(np.lib.format if step == "write_array" else os, step, fail)
        with pytest.raises(OSError, match="no space left"):
            saving.write(path, {"old": False}, some_arrays())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_interruption_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "file"
    path.write_bytes(b"precious")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            saving.write(path, {}, some_arrays())
    assert path.read_bytes() == b"precious" and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="links and modes of POSIX")
def test_links_and_modes_are_kept(tmp_path: Path) -> None:
    path, link = tmp_path / "file", tmp_path / "link"
    saving.write(path, {}, {})
    path.chmod(0o600)
    link.symlink_to(path)
    saving.write(link, {"new": True}, {})
    assert link.is_symlink() and path.stat().st_mode & 0o777 == 0o600
    assert saving.read(path)[0] == saving.read(link)[0] == {"new": True}


def test_errors_of_the_file_system_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        saving.read(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        saving.write(tmp_path / "none" / "file", {}, {})
    with pytest.raises(OSError):
        saving.read(tmp_path)
    with pytest.raises(OSError):
        saving.write(tmp_path, {}, {})
    assert list(tmp_path.iterdir()) == []


# ---- what read refuses


class Exploit:
    """Would leave a trace if anything unpickled it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.putenv, ("FASTRNN_EXPLOITED", "1")


def object_array() -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.array([Exploit()], object), allow_pickle=True)
    return buffer.getvalue()


def doubled_name() -> bytes:
    data = archive({"fastrnn.npy": text(), "a.npy": npy(np.ones(2)), "b.npy": npy(np.ones(2))})
    return data.replace(b"b.npy", b"a.npy")


def many_views_of_one_member() -> bytes:
    """A zip bomb that needs no compression: entries that overlap."""
    data = bytearray(archive({"fastrnn.npy": text(), "a.npy": npy(np.ones(4000))}))
    begin = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    entry = bytes(data[data.index(b"PK\x01\x02", begin + 4) : end])
    more = b"".join(entry.replace(b"a.npy", b"%c.npy" % letter) for letter in b"bcdefgh")
    tail = bytearray(data[end:])
    tail[8:10] = tail[10:12] = (9).to_bytes(2, "little")
    tail[12:16] = (end - begin + len(more)).to_bytes(4, "little")
    return bytes(data[:end] + more + tail)


HUGE = npy(np.ones(2)).replace(b"(2,), }" + 14 * b" ", b"(1" + 14 * b"0" + b",), }")
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "does not begin as a zip"),
    "text": (lambda: b"hello, world", "does not begin as a zip"),
    "pickle": (lambda: pickle.dumps(Exploit()), "does not begin as a zip"),
    "npy": (lambda: npy(np.ones(3)), "does not begin as a zip"),
    "only the first bytes of a zip": (lambda: b"PK\x03\x04", "zip file"),
    "an empty zip": (lambda: archive({}), "does not begin as a zip"),
    "no text": (lambda: archive({"a.npy": npy(np.ones(2))}), "no JSON text"),
    "text of another dtype": (lambda: archive({"fastrnn.npy": npy(np.ones(2))}), "no JSON text"),
    "no JSON": (lambda: archive({"fastrnn.npy": npy(np.frombuffer(b"{", np.uint8))}), "Expecting"),
    "no UTF-8": (lambda: archive({"fastrnn.npy": npy(np.full(9, 255, np.uint8))}), "codec can't decode"),
    "deep JSON": (lambda: archive({"fastrnn.npy": npy(np.full(200_000, ord("["), np.uint8))}), "recursion"),
    "a JSON list": (lambda: archive({"fastrnn.npy": npy(np.frombuffer(b"[1]", np.uint8))}), "does not say 'fastrnn'"),
    "another format": (lambda: archive({"fastrnn.npy": text(format="other")}), "does not say 'fastrnn'"),
    "a later version": (lambda: archive({"fastrnn.npy": text(version=2)}), "version 2 .* reads version 1"),
    "no version": (lambda: archive({"fastrnn.npy": text(version=None)}), "version None"),
    "compressed": (lambda: archive({"fastrnn.npy": text()}, zipfile.ZIP_DEFLATED), "is compressed"),
    "a bomb": (
        lambda: archive({"fastrnn.npy": text(), "a.npy": npy(np.zeros(10**6))}, zipfile.ZIP_DEFLATED),
        "larger than the file",
    ),
    "overlapping members": (many_views_of_one_member, "larger than the file"),
    "another member": (lambda: archive({"fastrnn.npy": text(), "run.py": b"boom"}), "'run.py' is not an array"),
    "a folder": (lambda: archive({"fastrnn.npy": text(), "a/": b""}), "'a/' is not an array"),
    "a name twice": (doubled_name, "there twice"),
    "objects": (lambda: archive({"fastrnn.npy": text(), "a.npy": object_array()}), "'a.npy' must hold float32"),
    "pickle as member": (lambda: archive({"fastrnn.npy": text(), "a.npy": pickle.dumps(Exploit())}), "not an .npy"),
    "records": (lambda: archive({"fastrnn.npy": text(), "a.npy": npy(np.zeros(2, "f4,i8"))}), "must hold float32"),
    "big endian": (lambda: archive({"fastrnn.npy": text(), "a.npy": npy(np.ones(2, ">f4"))}), "must hold float32"),
    "Fortran order": (lambda: archive({"fastrnn.npy": text(), "a.npy": npy(np.ones((2, 3)).T)}), "in C order"),
    "npy 2.0": (lambda: archive({"fastrnn.npy": text(), "a.npy": npy(np.ones(2), (2, 0))}), "version 1.0"),
    "an empty member": (lambda: archive({"fastrnn.npy": text(), "a.npy": b""}), "not an .npy"),
    "a short member": (lambda: archive({"fastrnn.npy": text(), "a.npy": npy(np.ones(2))[:-1]}), "but 15 bytes"),
    "a long member": (lambda: archive({"fastrnn.npy": text(), "a.npy": npy(np.ones(2)) + b"x"}), "but 17 bytes"),
    "a huge shape": (lambda: archive({"fastrnn.npy": text(), "a.npy": HUGE}), r"shape .100000000000000,. but"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_get_one_clear_error(tmp_path: Path, name: str) -> None:
    make, message = HOSTILE[name]
    path = tmp_path / "hostile"
    path.write_bytes(make())
    tracemalloc.start()
    try:
        for load in (saving.read, load_model):
            with pytest.raises(ValueError, match=f"(?s)cannot load '.*hostile': .*{message}"):
                load(path)
        assert tracemalloc.get_traced_memory()[1] < 20 * path.stat().st_size + 3_000_000
    finally:
        tracemalloc.stop()


def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saving.write(tmp_path / "file", {}, some_arrays())
    monkeypatch.setattr(saving, "MOST_ARRAYS", 3)
    with pytest.raises(ValueError, match="more than 3 members"):
        saving.read(tmp_path / "file")


def small_model(path: Path) -> Sequential:
    model = Sequential([Embedding(3, 2, seed=1), LSTM(2, stateful=True, seed=2), Dense(2, seed=3)])
    model.compile("adam", "mse")
    model.train_on_batch(np.zeros((1, 2), int), np.ones((1, 2)))
    model.save(path)
    return model


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model"
    small_model(path)
    data = path.read_bytes()
    for size in [*range(0, len(data), 97), len(data) - 1]:
        path.write_bytes(data[:size])
        with pytest.raises(ValueError, match="cannot load"):
            load_model(path)


def test_a_damaged_file_is_refused_or_means_the_same(tmp_path: Path) -> None:
    """Every change of a byte either raises ValueError or is in a place that means nothing, as a date."""
    path = tmp_path / "model"
    model = small_model(path)
    data, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for place in rng.permutation(len(data))[:700]:
        damaged = bytearray(data)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            loaded = load_model(path)
        except ValueError as error:
            refused += "cannot load" in str(error)
            continue
        assert loaded.get_config() == model.get_config()
        for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
            assert ours.tobytes() == theirs.tobytes()
    assert refused > 500


def change(path: Path, edit: Callable[[dict[str, Any], dict[str, np.ndarray]], Any]) -> None:
    """A well-formed file whose content is not what a model writes."""
    content, arrays = saving.read(path)
    edit(content, arrays)
    saving.write(path, content, arrays)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c, a: c.pop("model"), "'model' is missing"),
        (lambda c, a: c.update(model=[]), ""),
        (lambda c, a: c["model"].update(layers=[]), "has no layers"),
        (lambda c, a: c["model"].update(name=None), "name must be a string"),
        (lambda c, a: c["model"].update(input_shape=[None, -1]), "input_shape must be at least 0"),
        (lambda c, a: c["model"].update(input_shape=None), "belongs to other variables"),
        (lambda c, a: (c["model"].update(input_shape=None), c.update(compiled=None)), "takes .*weights/dense/bias"),
        (lambda c, a: c["model"]["layers"][1].update({"class": "os.system"}), "layer must be one of"),
        (lambda c, a: c["model"]["layers"][1].update({"class": ["LSTM"]}), "layer must be one of"),
        (lambda c, a: c["model"]["layers"][1]["config"].update(units=10**12), "must be float32 of shape"),
        (lambda c, a: c["model"]["layers"][1]["config"].update(units="2"), "units must be a whole number"),
        (lambda c, a: c["model"]["layers"][1]["config"].update(num_layers=10**12), "must be float32|missing"),
        (lambda c, a: c["model"]["layers"][1]["config"].update(path="/etc/passwd"), "unexpected keyword"),
        (lambda c, a: c["model"]["layers"][0]["config"].update(input_dim=10**12), "must be float32 of shape"),
        (lambda c, a: c["model"]["layers"][2]["config"].update(units=10**12), "must be float32 of shape"),
        (lambda c, a: c["model"]["layers"][2]["config"].update(activation="eval"), "activation must be one of"),
        (lambda c, a: c["model"]["layers"][2]["config"].update(name="../../x"), "name must be letters"),
        (lambda c, a: a.pop("weights/dense/kernel"), "needs the weight 'kernel', which is missing"),
        (lambda c, a: a.update({"weights/dense/more": np.ones(2)}), "no weight named more"),
        (lambda c, a: a.update({"more": np.ones(2)}), "nothing in the model takes more"),
        (lambda c, a: a.update({"weights/dense/bias": np.ones(3, np.float32)}), r"shape \(2,\), got float32 \(3,\)"),
        (lambda c, a: a.update({"weights/dense/bias": np.ones(2)}), r"float32 of shape \(2,\), got float64"),
        (lambda c, a: a.update({"carried/dense/h": np.ones(2)}), "dense carries no state"),
        (lambda c, a: a.update({"carried/lstm/state0": np.ones((1, 3), np.float32)}), "lstm|state"),
        (lambda c, a: a.pop("carried/lstm/state1"), "lstm|state"),
        (lambda c, a: a.pop("carried/lstm/dropout"), "lstm"),
        (lambda c, a: a.update({"carried/lstm/other": np.ones(2)}), "other"),
        (lambda c, a: c["compiled"]["optimizer"].update({"class": "eval"}), "optimizer must be one of"),
        (lambda c, a: c["compiled"]["optimizer"]["config"].update(learning_rate="fast"), "learning_rate must be"),
        (lambda c, a: c["compiled"]["loss"].update({"class": "eval"}), "loss must be one of"),
        (lambda c, a: c["compiled"].pop("loss"), "'loss' is missing"),
        (lambda c, a: c.update(compiled=None), "nothing in the model takes optimizer/"),
        (lambda c, a: a.pop("optimizer/0/velocity"), "0/velocity is missing"),
        (lambda c, a: a.update({"optimizer/0/velocity": np.ones(7, np.float32)}), "belongs to other variables"),
        (lambda c, a: a.update({"optimizer/iterations": np.ones(3)}), "iterations"),
        (lambda c, a: a.update({"optimizer/learning_rate": np.array(-1.0)}), "learning_rate must be"),
        (lambda c, a: a.update({"optimizer/learning_rate": np.ones(2)}), ""),
    ],
)
def test_well_formed_files_of_no_model(tmp_path: Path, edit: Any, message: str) -> None:
    path = tmp_path / "model"
    small_model(path)
    change(path, edit)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=f"(?s)cannot load '.*model': .*({message})"):
            load_model(path)
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


def test_a_checkpoint_that_is_no_model_is_refused_as_one(tmp_path: Path) -> None:
    saving.write(tmp_path / "file", {"position": 3}, some_arrays())
    with pytest.raises(ValueError, match="'model' is missing"):
        load_model(tmp_path / "file")
