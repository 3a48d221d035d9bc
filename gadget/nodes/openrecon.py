"""The OpenRecon label of the container, in JSON: `python -m gadget.nodes.openrecon` prints it.

Open Recon (Siemens Healthineers) reads a JSON text from a label of the container, version 1.1.0 of
its format: who made it, what it needs, and which parameters the scanner's console offers.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from gadget import __version__
from gadget.nodes.documentation import settings_of

LABELS = {"method": "Method", "samples": "Posterior samples", "seed": "Random seed"}
"""Settings of `reconstruct` that the console offers, with their labels."""

PORT = 9002
MAX_INT = 2**31 - 1
HOST_MEMORY_MB, GPU_MEMORY_MB, CPU_CORES = 8192, 4096, 4
VENDOR = "score-gadget"
WARNING = "Research software, not a medical device: not for diagnosis or treatment."


def metadata() -> dict[str, Any]:
    """Return the content of the label."""
    return {
        "general": {
            "name": {"en": "score-gadget"},
            "version": __version__,
            "vendor": VENDOR,
            "information": {"en": f"Diffusion reconstruction of Cartesian raw data. {WARNING}"},
            "id": "scoregadget",
            "regulatory_information": {
                "device_trade_name": "score-gadget",
                "production_identifier": __version__,
                "manufacturer_address": "",
                "made_in": "",
                "manufacture_date": "",
                "material_number": f"scoregadget_{__version__}",
                "gtin": "",
                "udi": "",
                "safety_advices": WARNING,
                "special_operating_instructions": "",
                "additional_relevant_information": "",
            },
        },
        "reconstruction": {
            "transfer_protocol": {"protocol": "ISMRMRD", "version": "1.4.1"},
            "port": PORT,
            "emitter": "raw",
            "injector": "compleximage",
            "can_process_adjustment_data": False,
            "can_use_gpu": True,
            "min_count_required_gpus": 0,
            "min_required_gpu_memory": GPU_MEMORY_MB,
            "min_required_memory": HOST_MEMORY_MB,
            "min_count_required_cpu_cores": CPU_CORES,
            "content_qualification_type": "RESEARCH",
            # The noise level is estimated at the edge of k-space, which a filter would attenuate.
            "require_readout_filter_off": True,
        },
        "parameters": [_parameter(name, label) for name, label in LABELS.items()],
    }


def _parameter(name: str, label: str) -> dict[str, Any]:
    schema = settings_of("reconstruct")[name]
    parameter = {
        "id": name,
        "label": {"en": label},
        "information": {"en": schema["description"].replace("`", "")},
        "default": schema["default"],
    }
    if "enum" in schema:
        values = [{"id": value, "name": {"en": value}} for value in schema["enum"]]
        return parameter | {"type": "choice", "values": values}
    maximum = min(schema.get("maximum", MAX_INT), MAX_INT)
    return parameter | {"type": "int", "minimum": schema["minimum"], "maximum": maximum}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(metadata(), indent=2) + "\n")
