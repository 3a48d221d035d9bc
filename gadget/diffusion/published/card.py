"""The model card of an imported checkpoint."""

from __future__ import annotations

from pathlib import Path

from gadget.diffusion.model_folder import ModelConfig
from gadget.diffusion.networks.ncsnpp import NCSNppConfig
from gadget.diffusion.published import dds, score_mri
from gadget.diffusion.published.network import PublishedNetwork
from gadget.text import encodable


def taken_for_granted(published: PublishedNetwork) -> str:
    """Return the options of a training that leave no trace in its weights."""
    is_ncsnpp = isinstance(published.network, NCSNppConfig)
    return score_mri.ASSUMED if is_ncsnpp else dds.ASSUMED


def model_card(config: ModelConfig, published: PublishedNetwork, checkpoint: Path) -> str:
    """Return the text of a model card."""
    network = published.network
    levels = "".join(f"at level {level}, " for level in network.attention)
    images = "real images" if network.channels == 1 else "complex images"
    if isinstance(network, NCSNppConfig):
        origin, name, diffusion = "score-MRI", "NCSN++", "variance exploding"
    else:
        origin, name, diffusion = "DDS", "ADM", "of a variance-preserving diffusion"
    training = f"{published.steps:,} updates" if published.steps else "not known"
    return f"""# {config.name}

Imported from `{encodable(checkpoint.name)}`, a {origin} checkpoint, by `score-gadget model import`.

| | |
| --- | --- |
| network | {name} on {images}, widths {", ".join(map(str, network.widths))}, \
{network.blocks} residual blocks a level, attention {levels}in the middle |
| noise levels | {published.sigma_min:g} to {published.sigma_max:g} in units of its images, \
{diffusion} |
| image scale | bright tissue is at {config.input_scale:g} in its images (`--input-scale`) |
| training | {training} |

## Taken for granted

Some options of a training leave no trace in its weights. They are taken as in the published
configurations:

{taken_for_granted(published)}

Where the checkpoint's own configuration differs in one of them, the images of this model are wrong.

## Data, quality, where it fails

Not known here: see where the checkpoint is from. It is measured by
`score-gadget evaluate FOLDER -o report -m fast --model {config.name}`.
"""
