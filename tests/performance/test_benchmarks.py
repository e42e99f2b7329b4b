"""asv_benchmarks: that all of it runs, and that its fits find what they should."""

import ast
import importlib
import importlib.util
import inspect
import itertools
import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
import timeit
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mimverify.backends import BACKENDS, REQUIRED_BACKENDS, backend_class

ROOT = Path(__file__).parents[2] / "asv_benchmarks"
MODULES = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py") if path.stem[0] != "_")
_KINDS = ("time_", "timeraw_", "peakmem_", "track_")

# The last commit before the packages were rearranged: benchmarks measure older ones, too.
_OLD_LAYOUT = "61842e2"

# Of each family the classes that are run here; the others differ by sizes, or take too long.
_RUN = [
    ("stage1", "Step"),
    ("stage1", "Fit"),
    ("stages", "Sampling"),
    ("stages", "Centring"),
    ("stages", "Readout"),
    ("stages", "TestError"),
    ("designs", "Streamed"),
    ("designs", "Lazy"),
    ("end_to_end", "RunStored"),
]


@pytest.fixture(scope="module")
def benchmarks():
    """The benchmarks' modules by name, imported as asv does."""
    sys.path.insert(0, str(ROOT))
    try:
        yield {name: importlib.import_module(f"benchmarks.{name}") for name in MODULES}
    finally:
        sys.path.remove(str(ROOT))
        for name in [name for name in sys.modules if name.split(".")[0] == "benchmarks"]:
            del sys.modules[name]


def classes(module):
    for name, found in inspect.getmembers(module, inspect.isclass):
        if found.__module__ == module.__name__ and not inspect.isabstract(found) and name[0] != "_":
            yield name, found


def methods(found):
    return [
        (name, method)
        for name, method in inspect.getmembers(found, inspect.isfunction)
        if name.startswith(_KINDS)
    ]


def all_benchmarks(modules):
    """Class, method, and the lists and names of its parameters."""
    for module in modules.values():
        for _, found in classes(module):
            for name, method in methods(found):
                params = getattr(method, "params", getattr(found, "params", ()))
                names = getattr(method, "param_names", getattr(found, "param_names", ()))
                yield found, name, params, names


def test_each_benchmark_pins_its_version_and_names_its_parameters(benchmarks):
    found = list(all_benchmarks(benchmarks))
    assert {cls.__module__ for cls, *_ in found} == {
        f"benchmarks.{name}" for name in MODULES if name not in {"common", "bare", "backend_files"}
    }
    for cls, name, params, names in found:
        where = f"{cls.__name__}.{name}"
        assert isinstance(cls.version, str), where
        assert cls.timeout > 0, where
        assert len(params) == len(names), where
        method = getattr(cls, name)
        cached = hasattr(cls, "setup_cache")
        assert all(isinstance(values, list) and values for values in params), where
        arguments = [
            p
            for p in inspect.signature(method).parameters.values()
            if p.kind is not p.VAR_POSITIONAL
        ]
        if not name.endswith("_work"):
            assert len(arguments) == 1 + cached + len(params), where


def test_no_cache_is_inherited(benchmarks):
    # asv identifies caches by file and line: an inherited one would be the parent's.
    for module in benchmarks.values():
        for name, found in classes(module):
            if hasattr(found, "setup_cache"):
                assert "setup_cache" in vars(found), name
                assert found.setup_cache.timeout > 0, name


@pytest.mark.parametrize("name", MODULES)
def test_nothing_is_imported_before_setup(name):
    # Otherwise all benchmarks would fail at a commit without that module.
    heavy = {"mimverify", "numpy", "scipy", "torch"}
    for node in ast.parse((ROOT / "benchmarks" / f"{name}.py").read_text()).body:
        for inner in ast.walk(node) if not isinstance(node, ast.FunctionDef | ast.ClassDef) else ():
            if isinstance(inner, ast.Import):
                assert not heavy & {alias.name.split(".")[0] for alias in inner.names}
            elif isinstance(inner, ast.ImportFrom) and not inner.level:
                assert (inner.module or "").split(".")[0] not in heavy


def package_names(*, without=()):
    """(module, name) of everything that the benchmarks take from mimverify; "": the module alone.

    Code in strings counts, as some benchmarks run it in another process.
    """
    found: set[tuple[str, str]] = set()
    for path in (ROOT / "benchmarks").glob("*.py"):
        if path.name in without:
            continue
        tree = ast.parse(path.read_text())
        code: list[ast.AST] = [tree]
        for node in ast.walk(tree):
            text = str(node.value) if isinstance(node, ast.Constant) else ""
            if re.fullmatch(r"mimverify(\.\w+)*", text):  # modules of `imports`
                found.add((text, ""))
            elif "mimverify" in text:
                with suppress(SyntaxError):  # text that is no code
                    code.append(ast.parse(text))
        modules: dict[str, str] = {}  # as they are called in this file
        for node in itertools.chain.from_iterable(map(ast.walk, code)):
            if isinstance(node, ast.Import):
                modules |= {alias.asname or alias.name: alias.name for alias in node.names}
                found |= {(alias.name, "") for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found |= {(node.module or "", alias.name) for alias in node.names}
        # In the text, since some of the calls stand in strings.
        for called, name in re.findall(r"\b(\w+)\.(\w+)\(", path.read_text()):
            found.add((modules.get(called, ""), name))
    return sorted(pair for pair in found if pair[0].partition(".")[0] == "mimverify")


def test_the_package_has_what_benchmarks_import():
    names = package_names()
    assert ("mimverify.experiment", "run_experiment") in names  # in a string
    assert ("mimverify.theory", "predict_trajectory") in names
    assert ("mimverify", "LayerwiseTrainer") in names
    for module, name in names:
        imported = importlib.import_module(module)
        if not name or hasattr(imported, name):
            continue
        assert importlib.util.find_spec(f"{module}.{name}"), f"{module}.{name}"


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_older_commits_have_what_benchmarks_import():
    def git(*arguments):
        return subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )

    listed = git("ls-tree", "-r", "--name-only", "--full-tree", _OLD_LAYOUT)
    if listed.returncode:
        pytest.skip(f"no commit {_OLD_LAYOUT} here: a shallow clone, or no repository")
    files = set(listed.stdout.split())
    for module, name in package_names(without=["sweeps.py"]):  # older commits have no sweeps
        stem = module.replace(".", "/")
        path = next((p for p in (f"{stem}.py", f"{stem}/__init__.py") if p in files), None)
        assert path is not None, module
        if not name or {f"{stem}/{name}.py", f"{stem}/{name}/__init__.py"} & files:
            continue
        bound = set()
        for node in ast.walk(ast.parse(git("show", f"{_OLD_LAYOUT}:{path}").stdout)):
            if isinstance(node, ast.ImportFrom):
                bound |= {alias.asname or alias.name for alias in node.names}
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                bound.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                bound.add(node.id)
        assert name in bound, f"{module}.{name}"


@pytest.mark.parametrize(("module", "name"), _RUN, ids=lambda value: value)
def test_smallest_size_runs(benchmarks, module, name):
    found = getattr(benchmarks[module], name)
    skipped = getattr(found, "skip_params", ())
    params = next(p for p in itertools.product(*found.params) if p not in skipped)
    benchmark = found()
    benchmark.setup(*params)
    benchmark.setup(*params)  # as asv does before each call
    benchmark.time_work(*params)


def test_ci_runs_the_smallest_of_each_family(benchmarks):
    smallest = re.compile(r"\('(numpy|torch)', 128\)")
    selected = {
        cls.__module__.split(".")[1]
        for cls, _, params, _ in all_benchmarks(benchmarks)
        if any(smallest.search(repr(p)) for p in itertools.product(*params))
    }
    assert selected == {"stage1", "stages", "designs", "end_to_end"}


def test_whole_runs_of_every_design_are_measured(benchmarks):
    from mimverify.experiment import DESIGNS

    runs = {found.design: name for name, found in classes(benchmarks["end_to_end"])}
    assert runs == {design: f"Run{design.title()}" for design in DESIGNS}
    assert benchmarks["end_to_end"].designs() == list(DESIGNS)


def test_a_new_design_takes_five_lines(benchmarks):
    class Few(benchmarks["designs"].FirstLayer):  # type: ignore[misc]
        def make(self):
            X, y = benchmarks["common"].problem(self.dim, self.samples)
            return benchmarks["common"].stored(X, "numpy"), y

    benchmark = Few()
    benchmark.setup("numpy", 32)
    benchmark.time_work("numpy", 32)


@pytest.mark.parametrize("backend", REQUIRED_BACKENDS)
@pytest.mark.parametrize("start", ["general", "symmetric"])
def test_steps_and_products_alternate(benchmarks, backend, start, monkeypatch):
    ratios = benchmarks["ratios"]
    monkeypatch.setattr(ratios, "_ROUNDS", 2)
    benchmark = ratios.StepOverProducts()
    benchmark.setup(backend, 64, 16, start)
    try:
        found = ratios.interleaved(
            benchmark.trainer, benchmark.design, benchmark.y, benchmark.products
        )
        assert len(found) == 2
        assert 0 < min(found) <= max(found) < math.inf
        assert 0 < benchmark.track_ratio(backend, 64, 16, start) < math.inf
    finally:
        benchmark.teardown(backend, 64, 16, start)


@pytest.mark.parametrize("backend", REQUIRED_BACKENDS)
def test_bare_products_are_those_of_a_step(benchmarks, backend):
    products = benchmarks["bare"].PRODUCTS[backend](40, 8, 6)
    products()
    X, directions = np.asarray(products.X), np.asarray(products.directions)
    np.testing.assert_allclose(np.asarray(products.projections), X @ directions, atol=1e-5)
    np.testing.assert_allclose(np.asarray(products.gradient), np.ones((40, 6)).T @ X, atol=1e-4)


@pytest.mark.skipif(not Path("/proc").exists(), reason="the state of a process is read there")
def test_the_process_of_the_products_is_stopped_while_idle(benchmarks):
    products = benchmarks["bare"].BareProducts("numpy", 40, 8, 6)
    try:
        stat = Path(f"/proc/{products._process.pid}/stat")

        def state():
            return stat.read_text().rsplit(")", 1)[1].split()[0]

        assert products.seconds(2, warm=1) > 0
        for _ in range(1000):  # a signal takes a moment
            if state() == "T":
                break
            time.sleep(0.01)
        assert state() == "T"
        products._process.kill()
        with pytest.raises((RuntimeError, BrokenPipeError)):
            products.seconds(1, warm=0)
    finally:
        products.close()


def test_statements_of_the_theory_benchmarks_run_under_timeit(benchmarks):
    for _, found in classes(benchmarks["theory"]):
        statement, setup = found().timeraw_answer("cos2z", "squared")
        compile(statement, "statement", "eval")
        timeit.Timer(statement, setup)  # compiles it within a function
    assert timeit.Timer(*benchmarks["theory"].Alignment().timeraw_answer("cos2z", "huber")).timeit(
        1
    )


def test_backends_are_those_of_the_package(benchmarks):
    common = benchmarks["common"]
    assert list(REQUIRED_BACKENDS) == common.BACKENDS
    there = [name for name in BACKENDS if backend_class(name).missing() is None]
    assert there == common.ALL_BACKENDS


def test_backends_of_a_commit_that_did_not_say_what_they_need(tmp_path, monkeypatch):
    """Their names are found, and nothing is imported."""
    folder = tmp_path / "mimverify" / "backends"
    folder.mkdir(parents=True)
    (tmp_path / "mimverify" / "__init__.py").write_text("raise ImportError")
    (folder / "torch_backend.py").write_text("class B(Backend):\n    name = 'torch'\n")
    (folder / "numpy_backend.py").write_text("import numpy\nclass B(C):\n    name = 'numpy'\n")
    (folder / "base.py").write_text("class Backend(ABC):\n    name: str\n    n = f(2)\n")
    program = "from benchmarks.backend_files import backend_names; print(backend_names())"
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": path}, cwd=tmp_path,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "(['numpy', 'torch'], [])"


def test_every_backend_has_products(benchmarks):
    assert list(benchmarks["bare"].PRODUCTS) == benchmarks["common"].BACKENDS


def test_fit_finds_the_exponent_of_exact_times(benchmarks):
    dims = [512, 724, 1024, 1448]
    law = benchmarks["exponents"].fit_power_law(dims, [3e-9 * d**2 for d in dims])
    assert law["slope"] == pytest.approx(2, abs=1e-12)
    assert law["half_width"] == pytest.approx(0, abs=1e-9)
    assert law["prefactor"] == pytest.approx(3e-9)


def test_interval_of_the_exponent_has_its_nominal_coverage(benchmarks):
    rng = np.random.default_rng(0)
    dims = np.array([512, 724, 1024, 1448, 2048])
    covered = 0
    for _ in range(1000):
        law = benchmarks["exponents"].fit_power_law(
            dims, dims**2.0 * np.exp(0.05 * rng.standard_normal(len(dims)))
        )
        covered += abs(law["slope"] - 2) <= law["half_width"]
    # 95 % of 1000, with five standard deviations to either side.
    assert 915 <= covered <= 985


def test_fit_wants_three_dimensions(benchmarks):
    with pytest.raises(ValueError, match="three or more"):
        benchmarks["exponents"].fit_power_law([1, 2], [1, 4])


def test_step_exponent_is_measured(benchmarks):
    exponents = benchmarks["exponents"]
    for start in ("general", "symmetric"):
        seconds = exponents.step_seconds("numpy", [32, 48, 64], 1, start=start)
        assert len(seconds) == 3
        assert min(seconds) > 0


def test_operations_grow_as_the_square(benchmarks, monkeypatch):
    exponents = benchmarks["exponents"].OperationExponents
    monkeypatch.setattr(exponents, "dims", [32, 64, 128])
    laws = exponents().setup_cache()
    for backend in benchmarks["common"].BACKENDS:
        assert exponents().track_exponent(laws, backend, "stage 1") == 1.0
        assert exponents().track_half_width(laws, backend, "stage 1") == 0.0


def test_a_whole_run_is_measured_in_a_process_of_its_own(benchmarks):
    found = benchmarks["exponents"].run_apart("numpy", 256)
    assert found["seconds"] > 0
    assert 0 < found["bytes"] < 1 << 28


def test_margins_of_the_trial(benchmarks):
    trial = benchmarks["trial"]
    found = trial.try_claims("numpy", "quick", ["antisymmetry", "span-recovery"])
    assert set(found) == {"seconds", "antisymmetry", "span-recovery"}
    assert 0 <= found["antisymmetry"] <= 1
    assert 1 <= found["span-recovery"] < 2

    def old(statistic, evidence):  # a verdict of commits before evidence was typed
        return SimpleNamespace(statistic=statistic, evidence=evidence)

    assert math.isnan(trial.used_up(old(None, {})))
    law = {"statistic": "Kolmogorov–Smirnov distance", "detectable": {"value": 0.25}}
    assert trial.used_up(old(0.05, law)) == pytest.approx(0.2)
    slope = old(0.02, {"statistic": "distance of a slope"})
    assert trial.used_up(slope) == pytest.approx(1.02)


def test_margins_are_those_of_the_quick_claims(benchmarks):
    from mimverify.trial import select_claims

    assert sorted(select_claims(None, "quick")) == benchmarks["trial"].CLAIMS


def test_each_commit_is_installed_from_a_wheel_of_its_own():
    conf = json.loads((ROOT / "asv.conf.json").read_text())
    assert conf["repo"] == ".."
    assert conf["branches"] == ["HEAD"]
    assert "--force-reinstall" in conf["install_command"][0]
