"""The model card of an imported checkpoint."""

from __future__ import annotations

from pathlib import Path

from gadget.diffusion.model_folder import ModelConfig
from gadget.diffusion.published_checkpoint import PublishedNetwork

ASSUMED = (
    "sde = vesde, nonlinearity = swish, skip_rescale = True, fir_kernel = [1, 3, 3, 1], "
    "scale_by_sigma = True, data.centered = False"
)
"""Options of the authors that leave no trace in the weights, with the values of their `configs`."""


def model_card(config: ModelConfig, published: PublishedNetwork, checkpoint: Path) -> str:
    """Return the text of a model card."""
    network = published.network
    levels = "".join(f"at level {level}, " for level in network.attention)
    return f"""# {config.name}

Imported from `{checkpoint.name}`, a score-MRI checkpoint, by `score-gadget model import`.

| | |
| --- | --- |
| network | NCSN++ on real images, widths {", ".join(map(str, network.widths))}, \
{network.blocks} residual blocks a level, attention {levels}in the middle |
| noise levels | {published.sigma_min:g} to {published.sigma_max:g} in units of its images, \
variance exploding |
| image scale | bright tissue is at {config.input_scale:g} in its images (`--input-scale`) |
| training | {published.steps:,} updates |

## Taken for granted

Some options of a training leave no trace in its weights. They are taken as in the published
configurations:

{ASSUMED}

Where the checkpoint's own configuration differs in one of them, the images of this model are wrong.

## Data, quality, where it fails

Not known here: see where the checkpoint is from. It is measured by
`score-gadget evaluate FOLDER -o report -m fast --model {config.name}`.
"""
