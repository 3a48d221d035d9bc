from __future__ import annotations

from pathlib import Path

import pytest

from gadget.diffusion.networks.unet import UNetConfig
from gadget.errors import ConfigError
from gadget.training.config import TrainingConfig, read_training_config


@pytest.fixture
def recipe(tmp_path):
    """Writes a recipe."""

    def write(text: str | bytes):
        path = tmp_path / "recipe.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_a_recipe_is_read(recipe):
    path = recipe('name = "knee-1"\nsteps = 10\nseed = 3\n[network]\nwidths = [8, 16]\n')
    config = read_training_config(path)
    expected = TrainingConfig(name="knee-1", steps=10, seed=3, network=UNetConfig(widths=(8, 16)))
    assert config == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('name = "a"', r"'steps' is missing"),
        ('name = "a"\nsteps = 0', r"'steps' .*greater than or equal to 1, got 0"),
        ('name = "a"\nsteps = "ten"', r"'steps' .*integer.*, got 'ten'"),
        ('name = "../a"\nsteps = 1', r"'name' .*match pattern.*, got '\.\./a'"),
        ('name = "a"\nsteps = 1\nlr = 2', r"Key 'lr' is not known: known are "),
        (
            'name = "a"\nsteps = 1\n[network]\nkind = "vit"',
            r"'network\.kind' must be 'unet'",
        ),
        (
            'name = "a"\nsteps = 1\nprecision = "float16"',
            r"'precision' must be 'float32' or",
        ),
        ('name = "a"\nsteps = 1\nlearning_rate = inf', r"'learning_rate' .*finite number"),
        ('name = "a"\nsteps = 1\nlog_sigma_mean = nan', r"'log_sigma_mean' .*finite number"),
        ('name = "a"\nsteps = 1\nsigma_data = inf', r"'sigma_data' .*finite number"),
        ('name = "a"\nsteps = 1\nsigma_max = inf', r"'sigma_max' .*finite number"),
        (
            'name = "losses.csv"\nsteps = 1',
            r"'name' .*something else of the same name.*, got 'losse",
        ),
        (f'name = "a"\nsteps = 1\nseed = {10**23}', r"'seed' .*less than 18446744073709551616"),
        (
            'name = "a"\nsteps = 1\n[network]\nwidths = [0, 8]',
            r"'network\.widths\.0' .*greater than or equal to 1, got 0",
        ),
        (
            'name = "a"\nsteps = 1\n[network]\ncolour = 1',
            r"Key 'network\.colour' is not known: leave it out\.",
        ),
        (
            'name = "a"\nsteps = 1\n[network]\nwidths = [8, -4]',
            r"'network\.widths\.1' .*greater than or equal to 1, got -4",
        ),
        ('name = "a"\nsteps = 1\npatch = 8', r"'patch' .*greater than or equal to 16"),
        ('name = "a"\nsteps = 1\npatch = 65536', r"'patch' .*less than or equal to 32768"),
        ('name = "a"\nsteps = 1\npatch = 100', r"patch must be a multiple of 16.*got 100"),
        (
            'name = "a"\nsteps = 1\nsigma_min = 3\nsigma_max = 2',
            r"sigma_min must be below sigma_max, got 3\.0 and 2\.0\.$",
        ),
    ],
)
def test_what_is_wrong_is_named(recipe, text, sentence):
    with pytest.raises(ConfigError, match=rf"recipe\.toml is not usable\. .*{sentence}"):
        read_training_config(recipe(text))


def test_a_recipe_that_is_no_toml(recipe):
    with pytest.raises(ConfigError, match=r"not valid TOML: .*line 2"):
        read_training_config(recipe("name = 'a'\nsteps 10"))
    with pytest.raises(ConfigError, match=r"not valid TOML: .*decode"):
        read_training_config(recipe(b"\xff\xfe"))


def test_recipes_of_the_models_are_recipes():
    recipes = sorted((Path(__file__).parents[2] / "models").glob("*/training.toml"))
    assert [read_training_config(path).name for path in recipes] == [p.parent.name for p in recipes]
    assert len(recipes) >= 2


def test_a_recipe_that_is_missing(tmp_path):
    with pytest.raises(ConfigError, match=r"nothing\.toml cannot be read: No such file"):
        read_training_config(tmp_path / "nothing.toml")
