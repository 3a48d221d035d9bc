from __future__ import annotations

import pytest

from gadget.diffusion.installed_models import available_models
from gadget.diffusion.reconstruct import Reconstructor
from gadget.mrd.buffers.gather import Gatherer
from gadget.mrd.readouts.prewhiten import Prewhitener
from gadget.mrd.simulation.simulate import Simulation, xml_header
from gadget.mrd.xml_header.header_reader import parse_header
from gadget.nodes.settings import ReconstructSettings
from gadget.stream.resident.warm_up import CONFIGURATION, SCAN
from gadget.stream.settings import read_settings


@pytest.mark.parametrize("model", [folder.name for folder in available_models()])
def test_the_warm_up_of_a_sound_server_is_no_error_in_its_log(model):
    """With so few steps, errors are far above the last noise levels."""
    header = parse_header(xml_header(SCAN))
    readouts = Prewhitener(header).whiten(Simulation(SCAN).readouts())
    (buffer,) = Gatherer(header).gather(readouts)
    settings = read_settings(ReconstructSettings, CONFIGURATION, {"model": model}).sampler()
    assert Reconstructor(settings).reconstruct(buffer.kspace).fallback is None
