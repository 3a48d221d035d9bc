"""What the pipelines and their documentation promise."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree.ElementTree import tostring

import numpy as np
import pytest
from wire_bytes import messages_in

from gadget.mrd.buffers.gather import Gatherer
from gadget.mrd.raw.raw_file import RawFile
from gadget.mrd.readouts import flags
from gadget.mrd.simulation.simulate import write_simulation
from gadget.mrd.simulation.simulated_scan import SimulatedScan
from gadget.mrd.xml_header.header_reader import parse_header
from gadget.mri.noise.level import estimate_noise_std
from gadget.nodes.documentation import NODES, TABLE, rewrite, settings_of, settings_table
from gadget.stream.configuration import parse_xml
from gadget.stream.host.pipeline import read_pipeline
from gadget.stream.node import find_node
from gadget.stream.settings import read_settings
from gadget.stream.wire.codec import decode

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "pipelines"
PIPELINES = sorted(FOLDER.glob("*.xml"))
README = (FOLDER / "README.md").read_text()
GADGETRON_LIBRARIES = {
    "gadgetron_core_readers",
    "gadgetron_core_writers",
    "gadgetron_core_parallel",
    "gadgetron_core_distributed",
    "gadgetron_mricore",
}


def test_the_table_of_settings_is_current():
    message = "run python -m gadget.nodes.documentation pipelines/README.md"
    assert TABLE.findall(README) == [settings_table()], message


def test_a_table_is_written_anew(tmp_path):
    document = tmp_path / "README.md"
    document.write_text(README.replace("| `finish` | `output` |", "| `finish` | `input` |"))
    rewrite(document)
    assert document.read_text() == README


def test_nodes_without_settings_are_told():
    silent = [node for node in NODES if not settings_of(node)]
    assert " and ".join(f"`{node}`" for node in silent) + " have no settings" in README


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_every_pipeline_is_listed_and_says_what_it_is_for(path):
    assert f"| [{path.name}]({path.name}) |" in README
    head = path.read_text().partition("<configuration>")[0]
    (comment,) = re.findall(r"<!--(.*?)-->", head, re.DOTALL)
    assert len(comment) > 100


def test_nothing_is_listed_that_is_not_there():
    listed = re.findall(r"^\| \[(\w+\.xml)\]", README, re.M)
    assert len(listed) == len(PIPELINES)
    assert set(listed) == {path.name for path in PIPELINES}


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_nodes_and_properties_exist(path):
    root = parse_xml(path.read_bytes(), path.name)
    for node in root.iter("external"):
        execute = node.find("execute")
        if execute is None:
            assert int(node.find("connect").get("port")) > 1024
            continue
        found = find_node(execute.get("name"), execute.get("target"))
        configuration = tostring(node.find("configuration"))
        read_settings(found.settings_model, configuration)


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_what_gadgetron_loads_is_named_as_gadgetron_names_it(path):
    root = parse_xml(path.read_bytes(), path.name)
    assert (root.tag, root.findtext("version")) == ("configuration", "2")
    assert {library.text for library in root.iter("dll")} <= GADGETRON_LIBRARIES
    for node in root.iter("gadget"):
        for value in node.iter("property"):
            # A value with @ would be taken for a reference to another gadget's property.
            assert "@" not in value.get("value", "")


def test_the_default_runs_in_the_embedded_host():
    nodes = read_pipeline(FOLDER / "score_hybrid.xml")
    assert [(node.module, node.target) for node in nodes] == [
        (f"gadget.nodes.{name}", name) for name in NODES
    ]


@pytest.fixture
def whitened(tmp_path):
    """The first buffer of a simulated scan, after Gadgetron's NoiseAdjustGadget.

    Its whitening, rewritten: covariance of the noise readouts, Cholesky factor, and the square root
    of 2 * dwell time of the data / dwell time of the noise * relative bandwidth.
    """
    path = tmp_path / "raw.h5"
    write_simulation(path, SimulatedScan(matrix=128, slices=1))
    with RawFile(path) as raw:
        header = parse_header(raw.header_xml)
        readouts = [decode(one) for block in raw.messages() for one in messages_in(block)]
    noise = [one for one in readouts if one.flags & flags.NOISE]
    samples = np.concatenate([one.data for one in noise], axis=1).astype(np.complex128)
    covariance = samples @ samples.conj().T / (samples.shape[1] - 1)
    matrix = np.linalg.inv(np.linalg.cholesky(covariance))
    gatherer = Gatherer(header)
    buffers = []
    for readout in readouts[len(noise) :]:
        dwell = readout.sample_time_us / noise[0].sample_time_us
        scale = np.sqrt(2 * dwell * header.relative_noise_bandwidth)
        readout.data[:] = scale * matrix @ readout.data
        buffers += gatherer.add(readout)
    return buffers[0].kspace


def test_the_level_of_noise_that_gadgetron_has_whitened_is_found(whitened):
    assert estimate_noise_std(whitened) == pytest.approx(np.sqrt(2), rel=0.07)
