"""Tests of the streamed design and its sources of rows."""

from __future__ import annotations

import builtins
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from mimverify.backends import base, get_backend
from mimverify.designs import (
    IterableRows,
    ModelRows,
    NpyRows,
    ParquetRows,
    RowSource,
    StoredDesign,
    StreamedDesign,
    npy_labels,
    parquet_labels,
    streamed,
)
from mimverify.problems import MultiIndexModel
from mimverify.support.errors import InputError
from mimverify.training import LayerwiseTrainer

Array = NDArray[Any]


def read(source: RowSource, dtype: str = "float64", threads: int = 2) -> Array:
    """All rows, through the design's own read-ahead."""
    design = StreamedDesign(source, get_backend("numpy", dtype), threads=threads)
    return np.concatenate([block.copy() for _, block in design.blocks()])


def reading_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("mimverify-rows")]


def numbers(n: int, d: int) -> Array:
    return np.random.default_rng(n * 1000 + d).standard_normal((n, d))


def in_blocks(X: Array, *heights: int) -> Callable[[], Iterator[Array]]:
    """A factory of row blocks of these heights in turn, until X ends."""

    def blocks() -> Iterator[Array]:
        start, turn = 0, 0
        while start < len(X):
            yield X[start : start + heights[turn % len(heights)]]
            start += heights[turn % len(heights)]
            turn += 1

    return blocks


# -- bit for bit -----------------------------------------------------------------------------


@pytest.mark.parametrize("in_threads", [True, False])
@pytest.mark.parametrize(
    ("n", "d"), [(1, 3), (100, 5), (3001, 64), (2049, 300), (1030, 1000), (40_000, 4)]
)
def test_passes_are_those_of_the_stored_design_bit_for_bit(
    n: int, d: int, library: str, dtype: str, in_threads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever does the arithmetic: the threads that draw, or the caller."""
    monkeypatch.setattr(streamed, "current_threads", lambda: 1 if in_threads else 2)
    model, backend = MultiIndexModel("cos2z", d, seed=3), get_backend(library, dtype)
    stored = StoredDesign(model.sample(n, dtype=dtype).X, backend)
    design = StreamedDesign(ModelRows(model, n), backend, threads=3)
    assert design._work_in_threads == (in_threads or backend.block_per_thread)
    assert (design.n_samples, design.dim) == (n, d)
    V = backend.asarray(numbers(7, d))

    def rho(P: Any, rows: slice) -> Any:
        assert tuple(P.shape) == (rows.stop - rows.start, len(V))
        return (P**3)[:, :5] + rows.start

    for _ in range(2):
        expected, result = (backend.to_numpy(X.one_pass(V, rho)) for X in (stored, design))
        np.testing.assert_array_equal(result, expected)
        assert result.dtype == np.dtype(dtype)
    expected, result = (backend.to_numpy(X.project(V)) for X in (stored, design))
    np.testing.assert_array_equal(result, expected)
    for (rows, _), (same, _) in zip(stored.projections(V), design.projections(V), strict=True):
        assert rows == same


def test_blocks_taller_than_what_a_thread_reads(
    library: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a device: several threads fill one block."""
    monkeypatch.setattr(base, "_BLOCK_BYTES", 1 << 23)
    monkeypatch.setattr(base, "_MAX_ROWS", 1 << 20)
    monkeypatch.setattr(streamed, "_CHUNK_BYTES", 1 << 12)
    model, backend = MultiIndexModel("cos2z", 100, seed=1), get_backend(library, dtype)
    stored = StoredDesign(model.sample(20_001, dtype=dtype).X, backend)
    design = StreamedDesign(ModelRows(model, 20_001), backend, threads=3)
    assert design._chunking.buffer == design._rows > design._chunking.chunk
    V = backend.asarray(numbers(4, 100))
    expected, result = (
        backend.to_numpy(X.one_pass(V, lambda P, _: P * P)) for X in (stored, design)
    )
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    "options",
    [
        {"activation": "log-cosh"},
        {"activation": "softplus", "remove_linear_part": True, "readout": "gradient-descent"},
    ],
)
def test_training_is_that_on_the_stored_matrix_bit_for_bit(
    options: dict[str, Any], library: str, dtype: str
) -> None:
    model, backend = MultiIndexModel("tanh3", 24, seed=5, noise=0.1), get_backend(library, dtype)
    trainers = []
    for streaming in (False, True):
        trainer = LayerwiseTrainer(
            neurons=6, steps=3, readout_neurons=12, backend=library, **options
        )
        for purpose, n in (("stage1", 7001), ("stage2", 6003)):
            data = model.sample(n, purpose=purpose, dtype=dtype)
            source = ModelRows(model, n, purpose=purpose)
            labels = source.labels(dtype, threads=2)
            np.testing.assert_array_equal(labels, data.y)
            X = StreamedDesign(source, backend, threads=2) if streaming else data.X
            (trainer.fit_first_layer if purpose == "stage1" else trainer.fit_readout)(X, labels)
        trainers.append(trainer)
    stored, design = trainers
    np.testing.assert_array_equal(design.network_.W, stored.network_.W)
    np.testing.assert_array_equal(design.readout_.weights, stored.readout_.weights)
    assert design.centring_ == stored.centring_
    assert design.readout_.constant == stored.readout_.constant


# -- sources ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [slice(0, 3000), slice(1024, None), slice(1500, 2700)])
@pytest.mark.parametrize("dim", [7, 100])  # a block is drawn at once, and in two parts
def test_model_rows_are_those_of_the_sample(dim: int, rows: slice, dtype: str) -> None:
    model = MultiIndexModel("he2", dim, seed=2)
    sample = model.sample(3000, purpose="stage2", dtype=dtype, seed=9)
    source = ModelRows(model, 3000, purpose="stage2", seed=9)
    np.testing.assert_array_equal(read(source[rows], dtype), sample.X[rows])
    np.testing.assert_array_equal(source.labels(dtype), sample.y)


@pytest.mark.parametrize("kind", ["float64", "float32", "int16", ">f8", "fortran"])
def test_npy_rows(tmp_path: Path, kind: str, dtype: str) -> None:
    X = (10 * numbers(2500, 6)).astype("float64" if kind == "fortran" else kind)
    np.save(tmp_path / "X.npy", np.asfortranarray(X) if kind == "fortran" else X)
    source = NpyRows(tmp_path / "X.npy")
    np.testing.assert_array_equal(read(source, dtype), X.astype(dtype))
    np.testing.assert_array_equal(read(source[700:2400], dtype), X[700:2400].astype(dtype))


def test_parquet_rows(tmp_path: Path, dtype: str) -> None:
    """Row groups of any height, columns of several types, in an order of the user's."""
    a, b = numbers(2500, 2).T
    c = np.arange(2500)
    table = pa.table({"a": a, "label": -a, "b": b.astype(np.float32), "c.d": c})
    pq.write_table(table, tmp_path / "X.parquet", row_group_size=301)
    source = ParquetRows(tmp_path / "X.parquet", exclude="label")
    assert source.columns == ["a", "b", "c.d"]
    X = np.column_stack([a, b.astype(np.float32), c]).astype(dtype)
    np.testing.assert_array_equal(read(source, dtype), X)
    np.testing.assert_array_equal(read(source[1000:2000], dtype), X[1000:2000])
    np.testing.assert_array_equal(read(source[301:602], dtype), X[301:602])
    turned = ParquetRows(tmp_path / "X.parquet", ["c.d", "a"])
    np.testing.assert_array_equal(read(turned, dtype), X[:, [2, 0]])
    np.testing.assert_array_equal(parquet_labels(tmp_path / "X.parquet", "label"), -a)


@pytest.mark.parametrize("heights", [(1,), (5, 0, 2000), (1024,), (4000,)])
def test_iterable_rows(heights: tuple[int, ...], dtype: str) -> None:
    X = numbers(2500, 3)
    for source in (
        IterableRows(in_blocks(X, *heights), n_rows=2500, dim=3),
        IterableRows(in_blocks(X, *heights)),
        IterableRows(list(in_blocks(X, *heights)())),
    ):
        assert (source.n_rows, source.dim) == (2500, 3)
        np.testing.assert_array_equal(read(source, dtype), X.astype(dtype))
        np.testing.assert_array_equal(read(source[900:2100], dtype), X[900:2100].astype(dtype))


def test_a_part_of_a_part() -> None:
    X = numbers(3000, 2)
    part = IterableRows([X])[500:2500][-1000:]
    np.testing.assert_array_equal(read(part), X[1500:2500])
    for rows in (slice(5, 5), slice(0, 10, 2), slice(4000, None)):
        with pytest.raises(InputError, match="expected a range"):
            part[rows]


def test_labels_in_a_file(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", np.arange(5, dtype=np.float32))
    np.testing.assert_array_equal(npy_labels(tmp_path / "y.npy"), np.arange(5))
    np.save(tmp_path / "bad.npy", [0.0, np.inf])
    with pytest.raises(InputError, match=r"bad\.npy\[1\]=inf"):
        npy_labels(tmp_path / "bad.npy")
    np.save(tmp_path / "flags.npy", [True, False])
    with pytest.raises(InputError, match="dtype bool"):
        npy_labels(tmp_path / "flags.npy")


# -- what can be wrong with a user's rows --------------------------------------------------------


def test_a_number_that_is_not_finite_is_named() -> None:
    """By source, range, row and column of the whole data set, the earliest row first."""
    X = numbers(3000, 4)
    X[2500, 1] = np.inf
    X[1700, 3] = np.nan
    message = r"rows of blocks: row 1700, column 3 is nan \(in rows 1700 to 1799\): expected finite"
    with pytest.raises(InputError, match=message):
        read(IterableRows(in_blocks(X, 100), dim=4))
    with pytest.raises(InputError, match="row 1700, column 3 is nan"):
        read(IterableRows(in_blocks(X, 100), dim=4)[1650:1800])
    assert reading_threads() == []


def test_a_number_too_large_for_the_dtype() -> None:
    X = numbers(10, 2)
    X[3, 1] = 1e200
    np.testing.assert_array_equal(read(IterableRows([X])), X)
    with pytest.raises(
        InputError, match=r"row 3, column 1 is 1e\+200 .* finite numbers of float32"
    ):
        read(IterableRows([X]), "float32")


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (
            [np.ones((3, 2)), np.ones((3, 3))],
            r"the block at row 3 has shape \(3, 3\): .*\(rows, 2\)",
        ),
        ([np.ones((3, 2)), np.ones(2)], r"at row 3 has shape \(2,\)"),
        ([np.ones((3, 2)), [[1.0], [1.0, 2.0]]], "at row 3 is no array of numbers"),
        ([np.ones((3, 2)), np.array([["a", "b"]])], "dtype <U1 in rows 3 to 3: expected real"),
        ([np.ones((3, 2)), np.array([[1, None]])], "dtype object in rows 3 to 3: expected real"),
        ([np.ones((3, 2), dtype=complex)], "dtype complex128 in rows 0 to 2"),
        ([np.ones((3, 2))], "ended after 3 rows: expected 4 at every pass"),
        ([np.ones((3, 2)), np.ones((2, 2))], "goes on after row 3: expected 4 rows at every pass"),
    ],
)
def test_a_wrong_block_is_named(blocks: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(IterableRows(blocks, n_rows=4, dim=2))
    assert reading_threads() == []


def test_what_can_be_read_only_once_is_refused() -> None:
    with pytest.raises(InputError, match="an iterator can be read only once"):
        IterableRows(in_blocks(numbers(5, 2), 2)(), n_rows=5, dim=2)
    once = in_blocks(numbers(5, 2), 2)()
    design = StreamedDesign(
        IterableRows(lambda: once, n_rows=5, dim=2), get_backend("numpy", "float64")
    )
    V = numbers(1, 2)
    design.project(V)
    with pytest.raises(InputError, match="ended after 0 rows: expected 5 at every pass"):
        design.project(V)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (3, "blocks=3: expected a function"),
        (lambda: 3, "returned int: expected an iterator"),
        ([], "ended after 0 rows"),
        ([np.ones((0, 2))], "ended after 0 rows"),
    ],
)
def test_no_rows(blocks: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        IterableRows(blocks)


def test_a_source_is_needed() -> None:
    with pytest.raises(InputError, match="source=ndarray: expected a RowSource"):
        StreamedDesign(numbers(5, 2), get_backend("numpy", "float64"))  # type: ignore[arg-type]


def test_a_truncated_npy_file(tmp_path: Path) -> None:
    path = tmp_path / "X.npy"
    np.save(path, numbers(100, 4))
    path.write_bytes(path.read_bytes()[:-1])
    message = r"X\.npy: truncated: its header promises shape \(100, 4\) .* 3328 bytes .* has 3327"
    with pytest.raises(InputError, match=message):
        NpyRows(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a .npy file"),
        (b"not an array at all", "expected a .npy file"),
        (np.array([[1, None]], dtype=object), "holds Python objects: expected real numbers"),
        (np.array([["a"]]), "has dtype <U1"),
        (np.ones(3), r"has shape \(3,\): expected \(rows, columns\)"),
        (np.ones((0, 3)), r"has shape \(0, 3\)"),
    ],
)
def test_no_npy_file_of_rows(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "X.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    with pytest.raises(InputError, match=message):
        NpyRows(path)


def test_no_file(tmp_path: Path) -> None:
    for kind in (NpyRows, ParquetRows):
        with pytest.raises(InputError, match="cannot be read"):
            kind(tmp_path / "missing")
        with pytest.raises(InputError, match="expected a file"):
            kind(tmp_path)


def test_a_file_that_changes_between_passes(tmp_path: Path) -> None:
    X, V = numbers(2000, 3), numbers(1, 3)
    np.save(tmp_path / "X.npy", X)
    pq.write_table(pa.table({"a": X[:, 0]}), tmp_path / "X.parquet")
    backend = get_backend("numpy", "float64")
    npy = StreamedDesign(NpyRows(tmp_path / "X.npy"), backend)
    parquet = StreamedDesign(ParquetRows(tmp_path / "X.parquet"), backend)
    npy.project(V)
    parquet.project(V[:, :1])
    np.save(tmp_path / "X.npy", X[:1000])
    pq.write_table(pa.table({"a": X[:1000, 0]}), tmp_path / "X.parquet")
    with pytest.raises(InputError, match="has changed since it was opened"):
        npy.project(V)
    with pytest.raises(InputError, match="has changed since it was opened"):
        parquet.project(V[:, :1])


def test_wrong_parquet_files(tmp_path: Path) -> None:
    path = tmp_path / "X.parquet"
    path.write_bytes(b"PAR1 this is none")
    with pytest.raises(InputError, match=r"X\.parquet: cannot be read as Parquet"):
        ParquetRows(path)
    pq.write_table(pa.table({"a": [1.0, None], "b": [1, None], "c": ["x", "y"]}), path)
    with pytest.raises(InputError, match="column 'c' has type string: expected real numbers"):
        ParquetRows(path)
    with pytest.raises(
        InputError, match="has no column 'z': expected one; its columns are a, b, c"
    ):
        ParquetRows(path, ["z"])
    with pytest.raises(InputError, match=r"\['a'\] are given twice"):
        ParquetRows(path, ["a", "a"])
    for column in ("a", "b"):
        with pytest.raises(InputError, match="row 1, column 0 is nan"):
            read(ParquetRows(path, [column]))
        with pytest.raises(InputError, match=f"column '{column}'.1.=nan"):
            parquet_labels(path, column)
    with pytest.raises(InputError, match="0 columns"):
        ParquetRows(path, [])


def test_a_parquet_file_with_a_damaged_page(tmp_path: Path) -> None:
    path = tmp_path / "X.parquet"
    pq.write_table(pa.table({"a": numbers(5000, 1)[:, 0]}), path, compression="gzip")
    content = bytearray(path.read_bytes())
    content[1000:3000] = b"\xff" * 2000
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        read(ParquetRows(path))


def test_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "X.parquet"
    pq.write_table(pa.table({"a": [1.0]}), path)
    original = builtins.__import__

    def refuse(name: str, *arguments: Any, **settings: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return original(name, *arguments, **settings)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InputError, match=r"pip install 'mimverify\[parquet\]'"):
        ParquetRows(path)


# -- threads, memory, progress -----------------------------------------------------------------


class Failing(RowSource):
    """Raises from the second block on."""

    n_rows, dim, name = 10**9, 4, "failing"

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.requested: list[int] = []

    def begin(self, start: int) -> Callable[[slice, Array], None]:
        def fill(rows: slice, out: Array) -> None:
            self.requested.append(rows.start)
            if rows.start:
                raise self.error
            out[...] = 1.0

        return fill


@pytest.mark.parametrize("error", [OSError("disk on fire"), KeyboardInterrupt()])
def test_what_a_reader_raises_ends_the_pass(error: BaseException) -> None:
    source = Failing(error)
    design = StreamedDesign(source, get_backend("numpy", "float64"), threads=2)
    with pytest.raises(type(error)):
        design.one_pass(np.ones((1, 4)), lambda P, _: P)
    assert reading_threads() == []
    assert len(source.requested) * design._chunking.buffer < source.n_rows  # the rest was given up


@pytest.mark.parametrize("in_threads", [True, False])
def test_what_the_caller_raises_leaves_no_thread(
    in_threads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamed, "current_threads", lambda: 1 if in_threads else 2)
    model = MultiIndexModel("he2", 4)
    design = StreamedDesign(ModelRows(model, 200_000), get_backend("numpy", "float64"), threads=2)

    def rho(P: Array, rows: slice) -> Array:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        design.one_pass(np.ones((1, 4)), rho)
    assert reading_threads() == []
    assert caught.tb is not None  # the frames of the pass are still alive
    parts = design.projections(np.ones((1, 4)))
    next(parts)
    parts.close()
    assert reading_threads() == []


def test_rows_in_order_are_read_by_one_thread() -> None:
    seen = set()

    def blocks() -> Iterator[Array]:
        for start in range(0, 9000, 100):
            seen.add(threading.current_thread().name)
            yield np.full((100, 50), float(start))

    X = read(IterableRows(blocks, n_rows=9000, dim=50), threads=4)
    assert len(seen) == 1
    np.testing.assert_array_equal(X[::100, 0], np.arange(0, 9000, 100))


def test_errors_of_arithmetic_are_handled_as_in_the_caller() -> None:
    """NumPy's error state is the caller's, also where threads do the work."""
    model = MultiIndexModel("he2", 4)
    design = StreamedDesign(ModelRows(model, 5000), get_backend("numpy", "float64"), threads=2)
    assert design._work_in_threads
    V = np.zeros((1, 4))
    with np.errstate(divide="ignore", invalid="ignore"):
        design.one_pass(V, lambda P, _: 1 / P)
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        design.one_pass(V, lambda P, _: 1 / P)


def test_progress_is_told_after_each_block() -> None:
    reported: list[tuple[int, int]] = []
    model = MultiIndexModel("he2", 300)
    design = StreamedDesign(
        ModelRows(model, 5001),
        get_backend("numpy", "float64"),
        threads=2,
        on_progress=lambda done, rows: reported.append((done, rows)),
    )
    V = numbers(1, 300)
    design.one_pass(V, lambda P, _: P)
    expected = [(rows.stop, 5001) for rows, _ in design.projections(V)]
    assert reported == 2 * expected
    assert len(expected) > 3
    assert expected[-1] == (5001, 5001)


@pytest.mark.parametrize("kind", ["model", "npy", "parquet", "iterable"])
def test_memory_does_not_grow_with_the_rows(kind: str, tmp_path: Path) -> None:
    """The bound: a buffer for each thread, the one that waits and the one in work, each of
    `buffer` rows; and as much again for a block of normals, the user's block or Arrow's."""
    d = 128

    def peak(n: int) -> tuple[int, int]:
        source: RowSource
        if kind == "model":
            source = ModelRows(MultiIndexModel("he2", d), n)
        elif kind == "npy":
            np.save(tmp_path / f"{n}.npy", np.zeros((n, d)))
            source = NpyRows(tmp_path / f"{n}.npy")
        elif kind == "parquet":
            table = pa.table({str(k): np.zeros(n) for k in range(d)})
            pq.write_table(table, tmp_path / f"{n}.parquet", row_group_size=2000)
            source = ParquetRows(tmp_path / f"{n}.parquet")
        else:
            source = IterableRows(
                lambda: (np.zeros((500, d)) for _ in range(n // 500)), n_rows=n, dim=d
            )
        design = StreamedDesign(source, get_backend("numpy", "float64"), threads=2)
        V = np.ones((2, d))
        tracemalloc.start()
        try:
            design.one_pass(V, lambda P, _: P)
            return tracemalloc.get_traced_memory()[1], design._chunking.buffer * d * 8
        finally:
            tracemalloc.stop()

    (few, block), (many, _) = peak(16_000), peak(64_000)
    assert many <= 8 * block < 64_000 * d * 8
    assert many <= few + block
