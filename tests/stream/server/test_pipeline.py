"""Which pipeline a client gets, and what it may not have."""

from __future__ import annotations

from pathlib import Path

import pytest

from gadget.errors import ConfigError
from gadget.nodes.settings import FinishSettings, ReconstructSettings
from gadget.stream.host.pipeline import Connect, Execute, find_pipeline, read_pipeline
from gadget.stream.server.pipeline import choose_pipeline
from gadget.stream.settings import read_settings
from gadget.stream.wire.address import Address

EMPTY = b'<?xml version="1.0"?>\n'
OWN = [Execute("site_nodes", "theirs", EMPTY)]
HYBRID = ["prewhiten", "gather", "reconstruct", "finish"]


def text(*nodes: str) -> str:
    return f"<configuration><version>2</version><stream>{''.join(nodes)}</stream></configuration>"


def external(module: str, target: str, properties: str = "") -> str:
    return (
        f'<external><execute name="{module}" target="{target}" type="python"/>'
        f"<configuration>{properties}</configuration></external>"
    )


@pytest.mark.parametrize("name", ["score_hybrid.xml", "score_hybrid"])
def test_the_name_of_an_installed_pipeline(name):
    nodes = choose_pipeline(name, {}, OWN)
    assert nodes == read_pipeline(find_pipeline("score_hybrid.xml"))
    assert [node.target for node in nodes] == HYBRID


@pytest.mark.parametrize("name", ["", "default", "openrecon", "pipelines", "..", "a b", "ä"])
def test_other_names_get_the_servers_own_pipeline_and_a_line_in_the_log(name, caplog):
    caplog.set_level("INFO", "gadget")
    assert choose_pipeline(name, {}, OWN) == OWN
    assert f"The pipeline '{name}' is not one of this server's" in caplog.text


def test_a_byte_order_mark_is_no_part_of_a_pipeline():
    nodes = choose_pipeline("\ufeff" + text(external("gadget.nodes.gather", "gather")), {}, OWN)
    assert [node.target for node in nodes] == ["gather"]


@pytest.mark.parametrize("sent", ["\ufffd\ufffd<", "a\x01b", "x" * 201])
def test_what_is_neither_a_name_nor_a_pipeline_is_told(sent):
    with pytest.raises(ConfigError, match="the name of a pipeline or its XML text in UTF-8"):
        choose_pipeline(sent, {}, OWN)


def test_half_a_surrogate_is_no_error_of_ours():
    with pytest.raises(ConfigError, match="not well-formed"):
        choose_pipeline("", {"config": "<\ud800"}, OWN)


def test_a_name_is_no_path(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", "gadget")
    file = tmp_path / "evil.xml"
    file.write_text(text(external("evil", "run")))
    monkeypatch.chdir(tmp_path)
    relative = Path("..") / tmp_path.name / "evil.xml"
    for name in ("evil.xml", "evil", str(file), str(relative), f"../{file}", "./evil.xml"):
        assert choose_pipeline(name, {}, OWN) == OWN


def test_the_parameters_of_openrecon_name_the_pipeline_too():
    by_config = choose_pipeline("openrecon", {"customconfig": "", "config": "score_hybrid"}, OWN)
    assert [node.target for node in by_config] == HYBRID
    other = {"customconfig": "default", "config": "score_hybrid"}
    assert choose_pipeline("score_hybrid", other, OWN) == OWN


def test_the_text_of_a_pipeline_may_start_nodes_of_this_package():
    properties = '<property name="steps" value="3"/>'
    nodes = choose_pipeline(
        text(
            external("gadget.nodes.gather", "gather"),
            external("gadget.nodes.reconstruct", "reconstruct", properties),
        ),
        {},
        OWN,
    )
    assert [(node.module, node.target) for node in nodes] == [
        ("gadget.nodes.gather", "gather"),
        ("gadget.nodes.reconstruct", "reconstruct"),
    ]
    assert read_settings(ReconstructSettings, nodes[1].configuration).steps == 3


@pytest.mark.parametrize(
    ("module", "target"),
    [
        ("os", "system"),
        ("evil", "run"),
        ("gadget.nodes.gather.evil", "run"),
        ("gadget.nodes.absent", "run"),
        ("gadget.nodes.gather", "absent"),
        ("gadget.nodes.gather", "annotations"),
        ("gadget.nodes.settings", "Field"),
        ("gadget.nodes..gather", "gather"),
        ("gadget.nodes.gather\n", "gather\nx"),
    ],
)
def test_the_text_of_a_pipeline_may_start_nothing_else(module, target):
    with pytest.raises(ConfigError, match=r"something else than the nodes of gadget\.nodes"):
        choose_pipeline(text(external(module, target)), {}, OWN)


def test_the_text_of_a_pipeline_may_not_connect_anywhere():
    node = '<external><connect address="10.0.0.1" port="22"/></external>'
    with pytest.raises(ConfigError, match=r"gadget\.nodes, 10\.0\.0\.1:22"):
        choose_pipeline(text(node), {}, OWN)


@pytest.mark.parametrize("value", ["/etc/passwd", "..", ".", "a/b", "a\\b", "~", "ä", "a b"])
def test_no_setting_from_the_network_is_a_path(value):
    properties = f'<property name="model" value="{value}"/>'
    sent = text(external("gadget.nodes.reconstruct", "reconstruct", properties))
    with pytest.raises(ConfigError, match=r"'model' has the value .* and no paths"):
        choose_pipeline(sent, {}, OWN)
    with pytest.raises(ConfigError, match=r"'model' has the value .* and no paths"):
        choose_pipeline("score_hybrid", {"model": value}, OWN)


def test_the_text_of_a_pipeline_is_bounded():
    node = external("gadget.nodes.gather", "gather")
    assert len(choose_pipeline(text(*[node] * 16), {}, OWN)) == 16
    with pytest.raises(ConfigError, match="has 17 nodes, more than the 16"):
        choose_pipeline(text(*[node] * 17), {}, OWN)
    with pytest.raises(ConfigError, match="characters, more than the 1048576"):
        choose_pipeline("<" + " " * 2**20, {}, OWN)
    deep = external("gadget.nodes.gather", "gather", "<a>" * 50_000 + "</a>" * 50_000)
    with pytest.raises(ConfigError, match="too deeply nested"):
        choose_pipeline(text(deep), {}, OWN)


def test_parameters_reach_the_settings_of_that_name_however_they_are_spelt(caplog):
    parameters = {"jointEvery": "5", "image_series": "7", "output": "uint16", "gain": "3"}
    nodes = choose_pipeline("score_hybrid", parameters, OWN)
    reconstruct = read_settings(ReconstructSettings, nodes[2].configuration)
    assert (reconstruct.joint_every, reconstruct.image_series) == (5, 7)
    assert reconstruct.method == "fast"
    assert read_settings(FinishSettings, nodes[3].configuration).output == "uint16"
    assert nodes[:2] == read_pipeline(find_pipeline("score_hybrid"))[:2]
    assert caplog.text.count("is no setting of the pipeline: ignored") == 1
    assert "'gain'" in caplog.text


def test_parameters_replace_what_the_pipeline_says():
    nodes = choose_pipeline("score_hybrid", {"seed": "3", "method": "fft"}, OWN)
    settings = read_settings(ReconstructSettings, nodes[2].configuration)
    assert (settings.seed, settings.method) == (3, "fft")


def test_parameters_reach_a_resident_server_but_no_nodes_of_others(caplog):
    connect = Connect(Address("localhost", 18000), EMPTY)
    foreign, resident = choose_pipeline("", {"steps": "9"}, [*OWN, connect])
    assert foreign == OWN[0]
    assert resident.address == connect.address
    assert read_settings(ReconstructSettings, resident.configuration).steps == 9
    choose_pipeline("", {"steps": "9"}, OWN)
    assert "'steps' is no setting" in caplog.text


def test_parameters_that_are_empty_were_not_set(caplog):
    empty = {"seed": "", "method": "", "gain": ""}
    nodes = choose_pipeline("score_hybrid", empty, OWN)
    assert nodes == choose_pipeline("score_hybrid", {}, OWN)
    assert "'seed'" not in caplog.text
    assert "'gain' is no setting" in caplog.text


def test_a_wrong_value_is_an_error_before_anything_is_started():
    with pytest.raises(ConfigError, match=r"Property 'steps' must be .* got 'many'"):
        choose_pipeline("score_hybrid", {"steps": "many"}, OWN)
    with pytest.raises(ConfigError, match=r"'method' has the value '\[\"fft\"\]'"):
        choose_pipeline("score_hybrid", {"method": '["fft"]'}, OWN)


def test_lists_under_names_that_no_node_has_are_ignored(caplog):
    choose_pipeline("score_hybrid", {"gain": "[1, 2]"}, OWN)
    assert "'gain' is no setting of the pipeline: ignored" in caplog.text


def test_an_installed_pipeline_that_only_gadgetron_can_run_is_not_taken(
    tmp_path, monkeypatch, caplog
):
    """Beside a Gadgetron there is one of the name that FIRE scanners send."""
    (tmp_path / "default.xml").write_text(text("<gadget><classname>A</classname></gadget>"))
    monkeypatch.setattr("gadget.stream.host.pipeline._folders", lambda: (tmp_path,))
    assert choose_pipeline("default", {}, OWN) == OWN
    assert "This server takes its own pipeline" in caplog.text
    assert "needs a Gadgetron server" in caplog.text
