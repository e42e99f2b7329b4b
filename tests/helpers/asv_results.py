"""Results folders as asv 0.6.6 writes them, of made-up measurements."""

from __future__ import annotations

import json
import math
from itertools import product

import numpy as np

DIMS = (256, 512, 1024, 2048)
HASHES = tuple(f"{k:02x}" + "5ac0ffee" * 4 + "abcdef" for k in range(12))
WORSE_AT = 8  # the commit from which Torch's step takes 1.5 times as long
MISSING_AT = 3
STEP, RATIO, IMPORT = "stage1.Step.time_work", "ratios.Step.track_ratio", "package.time_import"
ENVIRONMENT = "virtualenv-py3.11-torch"
COLUMNS = [
    "result", "params", "version", "started_at", "duration", "stats_ci_99_a", "stats_ci_99_b",
    "stats_q_25", "stats_q_75", "stats_number", "stats_repeat", "samples", "profile",
]  # fmt: skip
STEP_PARAMS = [["'numpy'", "'torch'"], [str(dim) for dim in DIMS]]
BENCHMARKS = {
    STEP: (["backend", "dim"], STEP_PARAMS, "seconds", "1"),
    RATIO: (["backend"], [["'numpy'", "'torch'"]], "ratio", "1"),
    IMPORT: ([], [], "seconds", "1"),
    "package.peakmem_import": ([], [], "bytes", "2"),
}


class Asv:
    """Writes result files as asv 0.6.6 does.

    `others`: benchmarks → names and values of other parameters than those in `BENCHMARKS`.
    """

    def __init__(self, folder, others=None):
        self.folder = folder
        self.benchmarks = dict(BENCHMARKS)
        for name, (names, params) in (others or {}).items():
            self.benchmarks[name] = (names, params, *BENCHMARKS[name][2:])
        (folder / "lab").mkdir(parents=True)
        described = {
            name: {
                "name": name, "param_names": names, "params": params, "unit": unit,
                "type": "time", "version": version, "code": "", "timeout": 60,
            }
            for name, (names, params, unit, version) in self.benchmarks.items()
        }  # fmt: skip
        self._write("benchmarks.json", described | {"version": 2})
        self._write("lab/machine.json", {"machine": "lab", "version": 1})

    def commit(self, index, results, started=1):
        """`results`: benchmark → values, lows, highs. `started`: identifies the run."""
        rows = {}
        for name, (values, lows, highs) in results.items():
            run = started + index * 1000
            rows[name] = [values, self.benchmarks[name][1], "1", run, 1.0, lows, highs]
        content = {
            "commit_hash": HASHES[index], "env_name": ENVIRONMENT,
            "date": 1_700_000_000_000 + index * 86_400_000,
            "params": {"machine": "lab"}, "python": "3.11", "requirements": {}, "env_vars": {},
            "result_columns": COLUMNS, "results": rows, "durations": {}, "version": 2,
        }  # fmt: skip
        self._write(f"lab/{HASHES[index][:8]}-{ENVIRONMENT}.json", content)

    def _write(self, name, content):
        (self.folder / name).write_text(json.dumps(content))


def step_values(rng, index):
    """d² with 1 % noise; Torch gets worse, and one value is missing."""
    values: list[float | None] = []
    for backend, dim in product(("numpy", "torch"), DIMS):
        level = 1e-8 * (1.5 if backend == "torch" and index >= WORSE_AT else 1.0)
        values.append(level * dim**2 * math.exp(0.01 * rng.standard_normal()))
    if index == MISSING_AT:
        values[1] = None
        values[5] = math.nan
    lows, highs = ([factor * v if v else None for v in values] for factor in (0.95, 1.05))
    return values, lows, highs


def write_results(folder, ratio=(0.8, 0.9)):
    """Twelve commits; `ratio` is that of the latest."""
    asv, rng = Asv(folder), np.random.default_rng(7)
    for index in range(len(HASHES)):
        latest = index == len(HASHES) - 1
        ratios = list(ratio) if latest else [0.8 + 0.004 * (index % 3), 0.9]
        results = {
            STEP: step_values(rng, index),
            RATIO: (ratios, None, None),
            IMPORT: ([0.2 + 0.001 * (index % 2)], [0.19], [0.21]),
            # Measured by an older version of the benchmark: not comparable.
            "package.peakmem_import": ([1e8], None, None),
        }
        if index == 5:
            results[IMPORT] = ([None], None, None)
        asv.commit(index, results)
    return asv


def write_ratios(folder, values, *more):
    """Results of ratios of NumPy, with those of Torch constant; `more`: other benchmarks."""
    asv = Asv(folder)
    for index, value in enumerate(values):
        results = {RATIO: ([value, 0.9], None, None)}
        for benchmark, of in more:
            results[benchmark] = of(index)
        asv.commit(index, results)
    return asv
