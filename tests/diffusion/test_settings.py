from __future__ import annotations

import pytest
from pydantic import ValidationError

from gadget.diffusion.settings import SamplerSettings
from gadget.errors import ConfigError
from gadget.nodes.settings import ReconstructSettings
from gadget.stream.settings import make_settings


def test_defaults():
    settings = SamplerSettings()
    assert (settings.method, settings.model, settings.seed) == ("fast", "auto", 0)
    assert (settings.step_count(), settings.step_count(from_centre=False)) == (30, 40)
    assert SamplerSettings(method="paper").step_count() == 500
    assert SamplerSettings(method="paper", steps=7).step_count() == 7


@pytest.mark.parametrize("setting", sorted(SamplerSettings.model_fields))
def test_every_setting_says_what_it_is(setting):
    assert SamplerSettings.model_fields[setting].description


def test_settings_cannot_be_changed_afterwards():
    with pytest.raises(ValidationError, match="frozen"):
        SamplerSettings().seed = 3


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("method", "quick", "Property 'method' must be 'fast', 'paper', 'sense' or 'fft'"),
        ("steps", "0", "Property 'steps' must be greater than or equal to 1, got '0'"),
        ("steps", "ten", "Property 'steps' must be a valid integer.*, got 'ten'"),
        ("corrector_steps", "-1", "greater than or equal to 0"),
        ("joint_every", "-1", "greater than or equal to 0"),
        ("lam_start", "1.1", "less than or equal to 1"),
        ("lam_end", "nan", "must be a finite number"),
        ("snr", "0", "greater than 0"),
        ("seed", str(2**32), "less than 4294967296"),
        ("samples", "65", "less than or equal to 64"),
        ("noise_std", "0", "greater than 0"),
        ("noise_std", "inf", "must be a finite number"),
        ("sead", "1", "Property 'sead' is not known: did you mean 'seed'"),
        ("image_series", "65000", "less than or equal to 60000"),
    ],
)
def test_wrong_settings_of_a_pipeline_are_sentences(name, value, sentence):
    with pytest.raises(ConfigError, match=sentence):
        make_settings(ReconstructSettings, {name: value})


def test_settings_of_a_pipeline_reach_the_sampler():
    values = {"method": "paper", "steps": "30", "lam_end": "0.5", "samples": "2"}
    settings = make_settings(ReconstructSettings, {**values, "image_series": "4"})
    assert settings.image_series == 4
    assert settings.sampler() == SamplerSettings(method="paper", steps=30, lam_end=0.5, samples=2)


def test_unknown_settings_of_python_callers_are_refused():
    with pytest.raises(ValidationError, match="Extra inputs"):
        SamplerSettings(image_series=4)
