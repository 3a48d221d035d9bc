"""The settings of the nodes, read from the `<property>` elements of a pipeline."""

from __future__ import annotations

from pydantic import Field

from gadget.diffusion.settings import SamplerSettings
from gadget.mrd.images.pixels import Output
from gadget.stream.settings import NodeSettings


class PrewhitenSettings(NodeSettings):
    """`prewhiten` has no settings: the noise scan decides."""


class GatherSettings(NodeSettings):
    """`gather` has no settings: the headers decide."""


class ReconstructSettings(NodeSettings, SamplerSettings):
    """Settings of `reconstruct`."""

    image_series: int = Field(
        0,
        ge=0,
        le=60_000,
        description="Number of the image series. Further encoding spaces count on from it; "
        "standard deviations are series + 100.",
    )
    prewhiten: bool = Field(
        False,
        description="Whether to whiten the readouts, as the node `prewhiten` does, where neither "
        "it nor a gadget stands before this one.",
    )
    output: Output | None = Field(
        None,
        description="Pixels of the images, as of `finish`, where that does not follow. None: "
        "complex images, for what follows.",
    )

    def sampler(self) -> SamplerSettings:
        """The settings that concern the reconstruction itself."""
        return SamplerSettings(**self.model_dump(include=set(SamplerSettings.model_fields)))


class FinishSettings(NodeSettings):
    """Settings of `finish`."""

    output: Output = Field(
        "magnitude",
        description="`magnitude` (float32), `uint16` (scaled magnitude), `phase` (float32, "
        "radians) or `complex`.",
    )
