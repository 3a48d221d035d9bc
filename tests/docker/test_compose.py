"""The compose file and the pipelines that the containers bring along."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

import gadget
from gadget.stream.configuration import parse_xml

DOCKER = Path(__file__).resolve().parents[2] / "docker"
PIPELINES = DOCKER.parent / "pipelines"


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())


def stream(path: Path) -> list[str]:
    """The nodes of a pipeline as text, without comments and layout."""
    nodes = parse_xml(path.read_bytes(), path.name).find("stream")
    return [ElementTree.canonicalize(ElementTree.tostring(one), strip_text=True) for one in nodes]


def test_images_are_pinned_and_ours_is_built_from_the_dockerfile(compose):
    ours, gadgetron = (compose["services"][name] for name in ("reconstruct", "gadgetron"))
    assert ours["image"] == f"score-gadget:{gadget.__version__}"
    context = (DOCKER / ours["build"]["context"]).resolve()
    assert (context / ours["build"]["dockerfile"]).samefile(DOCKER / "Dockerfile")
    assert gadgetron["image"].endswith("/ubuntu22.04_rt_nocuda:4.7.2")


def test_only_gadgetron_is_reached_and_from_this_machine_alone(compose):
    services = compose["services"]
    assert "ports" not in services["reconstruct"]
    assert services["gadgetron"]["ports"] == ["${GADGETRON_ADDRESS:-127.0.0.1}:9002:9002"]
    assert services["reconstruct"]["networks"] == ["inside"]
    assert compose["networks"]["inside"]["internal"] is True
    assert "inside" in services["gadgetron"]["networks"]


def test_pipelines_are_mounted_where_gadgetron_looks(compose):
    for mount in compose["services"]["gadgetron"]["volumes"]:
        source, target, mode = mount.split(":")
        assert (DOCKER / source).is_file()
        folder = "/opt/conda/envs/gadgetron/share/gadgetron/config"
        assert (target, mode) == (f"{folder}/{Path(source).name}", "ro")


def test_gadgetron_connects_to_the_service(compose, dockerfile):
    pipeline = parse_xml((DOCKER / "score_compose.xml").read_bytes(), "score_compose.xml")
    (connect,) = pipeline.iter("connect")
    assert connect.get("address") in compose["services"]
    (command,) = [one.words for one in dockerfile("docker/Dockerfile") if one.name == "CMD"]
    assert command[-1] == f"0.0.0.0:{connect.get('port')}"
    assert list(pipeline.iter("execute")) == []


def test_the_pipeline_is_the_cpp_one_around_the_node():
    ours = stream(DOCKER / "score_compose.xml")
    original = stream(PIPELINES / "score_hybrid_cpp.xml")
    differing = [one for one, other in zip(ours, original, strict=True) if one != other]
    assert len(differing) == 1
    assert "<connect" in differing[0]


def test_the_pipeline_of_openrecon_is_ours_with_complex_images():
    ours = stream(DOCKER / "openrecon" / "score_openrecon.xml")
    original = stream(PIPELINES / "score_hybrid.xml")
    assert ours == [one.replace('"magnitude"', '"complex"') for one in original]
    assert ours != original
