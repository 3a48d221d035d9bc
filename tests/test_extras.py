from __future__ import annotations

import pytest

from gadget.errors import ConfigError
from gadget.extras import optional_import


@pytest.mark.parametrize(
    ("error", "missing"),
    [
        (ModuleNotFoundError("No module named 'nibabel'", name="nibabel"), "nibabel"),
        (ImportError("NumPy 2.0 or less"), "NumPy 2.0 or less"),
    ],
)
def test_a_missing_package_is_named_with_what_installs_it(error, missing):
    sentence = f"^NIfTI files need {missing}: pip install 'score-gadget\\[nifti\\]'.$"
    with pytest.raises(ConfigError, match=sentence), optional_import("NIfTI files need", "nifti"):
        raise error
