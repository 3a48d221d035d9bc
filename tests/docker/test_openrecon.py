"""What an OpenRecon host is told, held against the rules of its format (version 1.1.0)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from gadget.nodes.openrecon import metadata
from gadget.nodes.settings import ReconstructSettings
from gadget.stream.host.pipeline import read_pipeline
from gadget.stream.server.pipeline import choose_pipeline
from gadget.stream.server.setup import parse_parameters
from gadget.stream.settings import read_settings

FOLDER = Path(__file__).resolve().parents[2] / "docker" / "openrecon"
COMMITTED = json.loads((FOLDER / "openrecon.json").read_text())
REQUIRED = {
    "general": {"name", "version", "vendor", "information", "id", "regulatory_information"},
    "reconstruction": {
        "transfer_protocol",
        "port",
        "emitter",
        "injector",
        "can_use_gpu",
        "min_required_memory",
        "min_count_required_cpu_cores",
    },
}
OPTIONAL = {
    "license_string",
    "can_process_adjustment_data",
    "min_count_required_gpus",
    "min_required_gpu_memory",
    "content_qualification_type",
    "require_readout_filter_off",
    "channel_compression",
}
REGULATORY = {
    "device_trade_name",
    "production_identifier",
    "manufacturer_address",
    "made_in",
    "manufacture_date",
    "material_number",
    "gtin",
    "udi",
    "safety_advices",
    "special_operating_instructions",
    "additional_relevant_information",
}


def test_the_committed_text_is_current():
    assert metadata() == COMMITTED, "run python -m gadget.nodes.openrecon"


@pytest.mark.parametrize("section", REQUIRED)
def test_sections_have_what_the_format_asks_for_and_nothing_unknown(section):
    assert REQUIRED[section] <= set(COMMITTED[section]) <= REQUIRED[section] | OPTIONAL


def test_sections_hold_allowed_values():
    assert set(COMMITTED) == {"general", "reconstruction", "parameters"}
    general, needs = COMMITTED["general"], COMMITTED["reconstruction"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", general["version"])
    assert set(general["regulatory_information"]) == REGULATORY
    assert all(isinstance(text, str) for text in general["regulatory_information"].values())
    assert needs["transfer_protocol"] == {"protocol": "ISMRMRD", "version": "1.4.1"}
    assert needs["emitter"] in ("raw", "image")
    assert needs["injector"] in ("image", "compleximage")
    assert needs["content_qualification_type"] == "RESEARCH"


def test_parameters_follow_the_rules():
    parameters = COMMITTED["parameters"]
    assert 0 < len(parameters) <= 14
    assert len({one["id"] for one in parameters}) == len(parameters)
    for one in parameters:
        assert re.fullmatch("[A-Za-z0-9]{1,14}", one["id"])
        assert one["label"]["en"]
        assert one["information"]["en"]
        known = {"id", "type", "label", "information", "default"}
        if one["type"] == "choice":
            assert one["default"] in [value["id"] for value in one["values"]]
            assert set(one) == known | {"values"}
        else:
            assert one["type"] == "int"
            assert -(2**31) <= one["minimum"] <= one["default"] <= one["maximum"] < 2**31
            assert set(one) == known | {"minimum", "maximum"}


def test_what_the_console_offers_arrives_in_the_node():
    chosen = {
        one["id"]: one["values"][-1]["id"] if "values" in one else str(one["maximum"])
        for one in COMMITTED["parameters"]
    }
    told = json.dumps({"version": "1.1.0", "parameters": {"config": "openrecon", **chosen}})
    pipeline = read_pipeline(FOLDER / "score_openrecon.xml")
    nodes = choose_pipeline("openrecon", parse_parameters(told), pipeline)
    assert [node.target for node in nodes] == [node.target for node in pipeline]
    (node,) = [node for node in nodes if node.target == "reconstruct"]
    settings = read_settings(ReconstructSettings, node.configuration)
    assert {name: str(getattr(settings, name)) for name in chosen} == chosen
