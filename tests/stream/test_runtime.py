"""Results of buffers, some of which cannot be reconstructed."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import numpy as np
import pytest

from gadget.diffusion.reconstruction import Reconstruction
from gadget.errors import DataError
from gadget.stream.runtime import successful


def test_an_image_has_the_number_of_its_buffer(caplog):
    session = SimpleNamespace(log=logging.getLogger("gadget.node.test"))
    good = Reconstruction(np.zeros((1, 2, 2), np.complex64), None, "fft")
    caplog.set_level(logging.INFO)
    results = successful(session, [("first", DataError("All is NaN.")), ("second", good)])
    assert next(results) == ("second", good)
    with pytest.raises(DataError, match="All is NaN"):
        next(results)
    assert caplog.messages == ["image 1: All is NaN.", "image 2: method fft"]
