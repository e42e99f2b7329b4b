"""The public Hypothesis strategies: what they promise of every draw."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, seed, settings
from hypothesis import strategies as st

from mimverify import InputError, LayerwiseTrainer, MultiIndexModel, get_link
from mimverify.strategies import (
    ARRAY_KINDS,
    FAMILIES,
    ODD_FAMILIES,
    adversarial_arrays,
    choices,
    configurations,
    family_link,
    lies_inside,
    links,
    models,
    networks,
)
from mimverify.theory import inspect_link
from mimverify.trial import exact_step, step_envelope

# The same draws at every run; analyses of links take their time.
FIXED = settings(
    max_examples=25,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
FEW = settings(FIXED, max_examples=2)


def draws(strategy: st.SearchStrategy, count: int = 40) -> list:
    """What `count` examples of a strategy are."""
    found: list = []

    @seed(1)
    @settings(FIXED, max_examples=count, derandomize=False)
    @given(strategy)
    def collect(value):
        found.append(value)

    collect()
    return found


@FIXED
@given(links())
def test_a_link_comes_back_by_its_name(link):
    z = np.random.default_rng(0).standard_normal((50, link.rank))
    again = get_link(link.name)
    assert again.name == link.name
    assert again.rank == link.rank
    np.testing.assert_array_equal(again(z), link(z))


def test_a_link_by_name_is_the_same_in_another_process():
    names = [family_link(family, 2, 11).name for family in (*FAMILIES, *ODD_FAMILIES)]
    program = (
        "import sys, numpy as np\n"
        "from mimverify import get_link\n"
        "z = np.arange(8.0).reshape(4, 2) / 5 - 0.7\n"
        "print([get_link(name)(z).tolist() for name in sys.argv[1:]])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, *names], capture_output=True, text=True, check=True
    )
    z = np.arange(8.0).reshape(4, 2) / 5 - 0.7
    assert run.stdout.strip() == str([get_link(name)(z).tolist() for name in names])


def test_all_families_are_drawn():
    heads = {link.name.partition("_r")[0].partition(":rank")[0] for link in draws(links(), 120)}
    ours = "mimverify.strategies.families:"
    assert heads == {
        "polynomial", "relu-network", f"{ours}trigonometric", f"{ours}composition",
        f"{ours}odd_polynomial", f"{ours}sine",
    }  # fmt: skip


@pytest.mark.parametrize("rank", [1, 3])
def test_the_rank_asked_for(rank):
    assert {link.rank for link in draws(links(rank=rank))} == {rank}


def test_members_of_a_family_differ():
    z = np.linspace(-2, 2, 9)[:, None]
    for family in (*FAMILIES, *ODD_FAMILIES):
        first, second = (family_link(family, 1, k)(z) for k in (3, 4))
        assert np.abs(first - second).max() > 1e-3, family


@FEW
@given(links(True, rank=1))
def test_links_inside_are_inside_for_the_full_analysis_too(link):
    assumptions = inspect_link(link, "huber").assumptions
    assert assumptions["generic"].holds
    assert assumptions["bounded-transform"].holds


@FEW
@given(links(False, rank=1))
def test_links_outside_are_outside_for_the_full_analysis_too(link):
    assumptions = inspect_link(link, "huber").assumptions
    assert assumptions["generic"].holds is False


@pytest.mark.parametrize(
    ("link", "loss", "inside"),
    [
        ("cos2z", "squared", True),
        ("cos2z", "huber", True),
        ("he3", "huber", False),  # Λ = 0
        ("phase-retrieval", "squared", False),  # T unbounded
        ("phase-retrieval", "huber", True),
    ],
)
def test_inside_and_outside(link, loss, inside):
    assert lies_inside(link, loss) is inside


def test_a_constant_link_lies_outside():
    from mimverify.problems import Link

    assert lies_inside(Link("constant", 1, lambda z: np.ones(len(z)))) is False


@FIXED
@given(models(), st.data())
def test_models_label_what_they_draw(model, data):
    assert isinstance(model, MultiIndexModel)
    assert model.rank <= model.dim
    n = data.draw(choices((1, 5, 40)))
    sample = model.sample(n)
    assert sample.X.shape == (n, model.dim)
    assert np.isfinite(sample.y).all()
    assume(model.noise == 0)
    np.testing.assert_allclose(sample.y, model.link(sample.X @ model.subspace.T), rtol=1e-12)


def test_models_of_full_rank_are_drawn():
    assert any(model.rank == model.dim for model in draws(models(dims=(1, 2))))


@FIXED
@given(networks(7, kind="symmetric"))
def test_symmetric_networks_have_no_output(network):
    half = len(network.a) // 2
    np.testing.assert_array_equal(network.W[:half], network.W[half:])
    np.testing.assert_array_equal(network.a[:half], -network.a[half:])
    assert not network.b.any()


def test_networks_of_both_kinds_are_drawn():
    drawn = draws(networks(5, dtype="float32"))
    assert {network.W.dtype.name for network in drawn} == {"float32"}
    assert {bool(network.b.any()) for network in drawn} == {True, False}
    assert len({network.W.shape for network in drawn}) > 2


@FIXED
@given(configurations(1e6))
def test_configurations_cost_no_more_than_asked(config):
    resolved = config.resolved()
    assert 4 * resolved.steps * resolved.neurons * resolved.samples * resolved.dim <= 1e6
    assert resolved.samples > resolved.dim


@FEW
@given(configurations(1e6, link=links(rank=1)))
def test_configurations_can_be_run(config):
    from mimverify.experiment import run_experiment

    result = run_experiment(config)
    assert len(result.to_json()["alignment"]) == config.steps + 1


def test_a_cost_that_nothing_has_is_refused():
    with pytest.raises(InputError, match="cost=1"):
        configurations(1.0)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", ARRAY_KINDS)
def test_awkward_arrays_are_what_they_are_called(kind, dtype):
    for arrays in draws(adversarial_arrays(kinds=[kind], dtype=dtype), 8):
        (n, d), m = arrays.X.shape, len(arrays.a)
        assert arrays.kind == kind
        for name in ("X", "y", "W", "a", "b"):
            array = getattr(arrays, name)
            assert array.dtype.name == dtype
            assert np.isfinite(array).all()
            if kind == "strided":
                assert array.size < 2 or not array.flags.c_contiguous
            if kind == "read-only":
                assert not array.flags.writeable
        assert arrays.y.shape == (n,)
        assert arrays.W.shape == (m, d)
        squares = arrays.y.astype(dtype) ** 2
        assert np.isfinite(squares).all()
        assert (squares >= np.finfo(dtype).tiny).all()
        holds = {
            "barely-tall": n == d + 1,
            "wide": n < d,
            "one-row": n == 1,
            "two-neurons": m == 2,
            "many-neurons": m > d,
            "huge": np.abs(arrays.y).max() > 1e6,
            "tiny": np.abs(arrays.y).max() < 1e-6,
            "duplicated": len(np.unique(arrays.X, axis=0)) == (n + 1) // 2,
            "fortran": arrays.X.flags.f_contiguous and not arrays.X.flags.c_contiguous,
        }
        assert holds.get(kind, True)


@pytest.mark.parametrize("kind", [k for k in ARRAY_KINDS if k != "huge"])
def test_the_reference_trainer_steps_through_awkward_arrays(kind):
    options: dict[str, Any] = {"eta": 0.3, "beta": 0.1, "activation": "log-cosh", "loss": "squared"}
    for arrays in draws(adversarial_arrays(kinds=[kind]), 8):
        X, y, W, a, b = arrays.X, arrays.y, arrays.W, arrays.a, arrays.b
        got = LayerwiseTrainer().trajectory(W, a, b, X, y, steps=1, **options)[1]
        allowed = step_envelope(W, a, b, X, y, dtype="float64", **options)
        assert (np.abs(got - exact_step(W, a, b, X, y, **options)) <= allowed).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: links(rank=0),
        lambda: links(loss="no such loss"),
        lambda: models(dims=(0,)),
        lambda: models(noises=(-1.0,)),
        lambda: networks(4, kind="asymmetric"),
        lambda: networks(4, neurons=(3,)),
        lambda: adversarial_arrays(kinds=("wobbly",)),
        lambda: adversarial_arrays(dtype="float16"),
        lambda: choices(()),
        lambda: family_link("polynomials"),
        lambda: family_link("sine", seed=-1),
    ],
)
def test_bad_arguments_are_named_at_once(make):
    with pytest.raises(InputError):
        make()


def test_an_unknown_member_is_no_attribute():
    with pytest.raises(InputError, match="has no attribute"):
        get_link("mimverify.strategies.families:sine_r0_s1", rank=1)
