"""Inspection of a raw data file, and of what a pipeline makes of it."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gadget.errors import DataError
from gadget.mrd.inspection.facts import (
    EncodingFacts,
    FileFacts,
    NoiseFacts,
    PipelineFacts,
    SpaceFacts,
)
from gadget.mrd.inspection.oddities import oddities
from gadget.mrd.inspection.pipeline_preview import PipelinePreview
from gadget.mrd.inspection.survey import COUNTERS, ReadoutStatistics, Survey
from gadget.mrd.raw.raw_file import RawFile
from gadget.mrd.readouts.dead_coils import DeadCoils
from gadget.mrd.xml_header.elements import children, header_root, text, to_number
from gadget.mrd.xml_header.header import Header, Space
from gadget.mrd.xml_header.header_reader import parse_header
from gadget.mrd.xml_header.schema import sanitize_header
from gadget.text import encodable


@dataclass(frozen=True)
class Inspection:
    """Facts on a file, and the sampling masks of the first image of each encoding space."""

    facts: FileFacts
    masks: dict[int, NDArray[np.bool_]]
    """Measured points `[kz, ky, kx]` by encoding space."""


def inspect_file(path: Path, group: str | None = None) -> Inspection:
    """Inspect a file, reading it block by block.

    Parameters
    ----------
    path
        HDF5 file of raw data.
    group
        Group of the measurement, as for `RawFile`.

    Raises
    ------
    ConfigError
        There is no such file or group.
    DataError
        The file cannot be read, or its header is none.
    """
    with RawFile(path, group) as raw:
        header, problem = read_header(raw.header_xml)
        surveys = Survey(), Survey(coil_correction=True)
        preview = PipelinePreview(header, problem)
        dead_coils = DeadCoils(preview.warnings.append)
        for heads, _, samples in raw.readouts():
            with np.errstate(invalid="ignore"):  # damaged samples are counted below
                pairs = zip(heads, samples, strict=True)
                sums = np.array([_sum_of_magnitudes(*pair, dead_coils) for pair in pairs])
            finite, empty = np.isfinite(sums), sums == 0
            for survey in surveys:
                survey.add(heads, finite, empty)
            preview.add(heads, finite, empty)
        preview.finish()
        survey = surveys[0] if surveys[0].kinds["image"] else surveys[1]
        facts = _file_facts(raw, header, survey, preview)
    return Inspection(facts, {number: one.first for number, one in preview.sampling.items()})


def _sum_of_magnitudes(
    head: NDArray[np.void], samples: NDArray[np.float32], dead_coils: DeadCoils
) -> np.float64:
    """Sum up the samples of a readout, real and imaginary parts in a row, of coils that work."""
    parts = np.ascontiguousarray(samples, np.float32)
    shape = int(head["active_channels"]), int(head["number_of_samples"])
    found = dead_coils.silenced(parts.view(np.complex64).reshape(shape), int(head["flags"]))
    return np.abs(found.view(np.float32)).sum(dtype=np.float64)


def read_header(xml: bytes) -> tuple[Header, str | None]:
    """Return the header, and why a pipeline refuses it, which scans that are not Cartesian are.

    Raises
    ------
    DataError
        The header is none, or describes no possible encoding.
    """
    root = header_root(xml)
    names = []
    for encoding in children(root, "encoding"):
        names.append((text(encoding, "trajectory") or "cartesian").lower())
        for node in children(encoding, "trajectory"):
            node.text = "cartesian"
    header = parse_header(ElementTree.tostring(root))
    try:
        parse_header(xml)
        sanitize_header(xml)
        problem = None
    except DataError as error:
        problem = str(error)
    encodings = zip(header.encodings, names, strict=True)
    return replace(
        header, encodings=tuple(replace(one, trajectory=name) for one, name in encodings)
    ), problem


def _file_facts(
    raw: RawFile, header: Header, survey: Survey, preview: PipelinePreview
) -> FileFacts:
    root = header_root(raw.header_xml)
    system, measurement = "acquisitionSystemInformation", "measurementInformation"
    hertz = to_number(text(root, "experimentalConditions", "H1resonanceFrequency_Hz"))
    encodings = [
        _encoding_facts(index, header, survey.encodings.get(index, ReadoutStatistics()), preview)
        for index in range(len(header.encodings))
    ]
    return FileFacts(
        path=encodable(raw.path),
        format=raw.format,
        group=encodable(raw.group),
        file_bytes=raw.path.stat().st_size,
        vendor=text(root, system, "systemVendor"),
        model=text(root, system, "systemModel"),
        field_strength_t=to_number(text(root, system, "systemFieldStrength_T")),
        h1_frequency_mhz=hertz / 1e6 if hertz else None,
        protocol=header.protocol_name,
        series_description=header.series_description,
        measurement_id=header.measurement_id,
        patient_position=text(root, measurement, "patientPosition"),
        readouts=survey.readouts,
        kinds={kind: count for kind, count in survey.kinds.items() if count},
        waveforms=raw.number_of_waveforms,
        noise=_noise_facts(survey.noise) if survey.noise.readouts else None,
        encodings=encodings,
        pipeline=_pipeline_facts(preview),
        oddities=oddities(encodings, survey, preview.sampling, preview.warnings),
    )


def _noise_facts(noise: ReadoutStatistics) -> NoiseFacts:
    return NoiseFacts(
        readouts=noise.readouts,
        coils=sorted(noise.values["active_channels"]),
        samples=sorted(noise.values["number_of_samples"]),
        dwell_us=sorted(noise.dwell_us),
    )


def _pipeline_facts(preview: PipelinePreview) -> PipelineFacts:
    return PipelineFacts(
        images=sum(one.images for one in preview.series),
        series=preview.series,
        kspace_bytes=preview.kspace_bytes,
        problem=preview.problem,
    )


def _encoding_facts(
    number: int, header: Header, readouts: ReadoutStatistics, preview: PipelinePreview
) -> EncodingFacts:
    encoding = header.encodings[number]
    sampling = preview.sampling.get(number)
    samples = max(readouts.values["number_of_samples"], default=encoding.encoded.matrix[0])
    removed = samples <= encoding.recon_readout
    oversampling = 1.0 if removed else encoding.encoded.matrix[0] / encoding.recon_readout
    return EncodingFacts(
        encoding=number,
        trajectory=encoding.trajectory,
        encoded=_space_facts(encoding.encoded),
        recon=_space_facts(encoding.recon),
        limits={
            name: (limit.minimum, limit.maximum, limit.center)
            for name, limit in encoding.limits.items()
        },
        declared_acceleration=encoding.acceleration,
        calibration_mode=encoding.calibration_mode,
        image_readouts=readouts.image,
        calibration_readouts=readouts.calibration,
        shared_readouts=readouts.shared,
        reversed_readouts=readouts.reversed,
        counters={name: len(readouts.values[name]) for name in COUNTERS},
        coils=sorted(readouts.values["active_channels"]),
        samples=sorted(readouts.values["number_of_samples"]),
        dwell_us=sorted(readouts.dwell_us),
        readout_oversampling=round(oversampling, 3),
        echo=round(readouts.echo, 3),
        sampling=sampling.facts() if sampling is not None else None,
    )


def _space_facts(space: Space) -> SpaceFacts:
    return SpaceFacts(matrix=space.matrix, field_of_view_mm=space.field_of_view_mm)
