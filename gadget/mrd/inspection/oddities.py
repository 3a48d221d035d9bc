"""Warnings about unusual or inconsistent raw data, as sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gadget.mrd.inspection.facts import EncodingFacts
from gadget.mrd.inspection.sampling import Sampling
from gadget.mrd.inspection.survey import COUNTERS, HEADER_NAMES, LINES, Survey


def oddities(
    encodings: Sequence[EncodingFacts],
    survey: Survey,
    sampling: Mapping[int, Sampling],
    warnings: Sequence[str],
) -> list[str]:
    """Return warnings about a file.

    Parameters
    ----------
    encodings
        Facts on the encoding spaces that the header describes.
    survey
        What the headers of the readouts say.
    sampling
        Lines of the images, by encoding space.
    warnings
        Warnings of the gatherer.
    """
    return [
        *_of_readouts(survey),
        *(one for facts in encodings for one in _of_encoding(facts, survey)),
        *(one for number, lines in sampling.items() for one in _of_images(number, lines, survey)),
        *warnings,
    ]


def _of_readouts(survey: Survey) -> Iterator[str]:
    if survey.not_finite:
        yield (
            f"{_readouts(survey.not_finite)} with samples that are not finite (NaN or infinite); "
            "such lines count as not measured."
        )
    if survey.empty:
        yield (
            f"{_readouts(survey.empty)} with nothing but zeros; such lines count as not measured."
        )
    if survey.encodings and not survey.ended:
        yield (
            "No readout is flagged as the last of its slice, repetition or measurement: images are "
            "complete when the next repetition begins, or at the end."
        )
    coils, noise = set(), survey.noise.values["active_channels"]
    for group in survey.encodings.values():
        coils |= group.values["active_channels"]
    if noise and coils - noise:
        yield (
            f"The noise scan has {_listed(noise)} coils: readouts of {_listed(coils - noise)} "
            "coils cannot be whitened."
        )
    if survey.noise.readouts and 0 in survey.noise.dwell_us:
        yield "The noise scan does not tell its dwell time: its noise is taken as it is."


def _of_encoding(facts: EncodingFacts, survey: Survey) -> Iterator[str]:
    where = f"Encoding {facts.encoding}"
    if facts.trajectory != "cartesian":
        yield f"{where} is '{facts.trajectory}', not Cartesian, and cannot be reconstructed."
    group = survey.encodings.get(facts.encoding)
    if group is None:
        yield f"{where} is in the header, but no readout belongs to it."
        return
    if len(facts.coils) > 1:
        yield f"{where} has readouts of {_listed(facts.coils)} coils; one image takes one number."
    if len(facts.samples) > 1:
        yield f"{where} has readouts of {_listed(facts.samples)} samples."
    for name in (*LINES, *COUNTERS):
        limit = facts.limits.get(HEADER_NAMES.get(name, name))
        beyond = {v for v in group.values[name] if limit and not limit[0] <= v <= limit[1]}
        if limit and beyond:
            yield (
                f"{where} has readouts with {name} {_range(beyond)}, beyond the encodingLimits of "
                f"{limit[0]} to {limit[1]}."
            )


def _of_images(number: int, lines: Sampling, survey: Survey) -> Iterator[str]:
    incomplete = lines.incomplete_images()
    if incomplete:
        yield f"Images with fewer lines than the others: {incomplete}."
    averages = len(survey.encodings[number].values["average"])
    if lines.averages > averages:
        yield (
            f"Encoding {number} has lines that were measured {lines.averages} times, and "
            f"{averages} averages: such lines are averaged."
        )


def _readouts(count: int) -> str:
    return "There is 1 readout" if count == 1 else f"There are {count} readouts"


def _listed(values: Sequence[int] | set[int]) -> str:
    return " and ".join(map(str, sorted(values)))


def _range(values: set[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"
