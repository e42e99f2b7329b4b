"""Design matrices behind the one-pass interface (`Design`)."""

from mimverify.designs.base import Design, RowFunction
from mimverify.designs.counted import CountedDesign, OperationCounts
from mimverify.designs.file_rows import NpyRows, ParquetRows, npy_labels, parquet_labels
from mimverify.designs.lazy import LazyGaussianDesign, lazy_bytes
from mimverify.designs.rows import IterableRows, ModelRows, RowSource, SequentialRows
from mimverify.designs.sharded import ShardedDesign, shard_rows
from mimverify.designs.stored import StoredDesign
from mimverify.designs.streamed import StreamedDesign

__all__ = [
    "CountedDesign",
    "Design",
    "IterableRows",
    "LazyGaussianDesign",
    "ModelRows",
    "NpyRows",
    "OperationCounts",
    "ParquetRows",
    "RowFunction",
    "RowSource",
    "SequentialRows",
    "ShardedDesign",
    "StoredDesign",
    "StreamedDesign",
    "lazy_bytes",
    "npy_labels",
    "parquet_labels",
    "shard_rows",
]
