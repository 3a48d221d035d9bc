"""Settings in a pipeline are checked and overridden before anything runs."""

from __future__ import annotations

import pytest

from gadget.cohort.node_settings import override, own_settings
from gadget.errors import ConfigError
from gadget.stream.host.pipeline import find_pipeline, parse_pipeline


def pipeline(properties: str, place='<execute name="{0}" target="{1}" type="python"/>') -> bytes:
    place = place.format("gadget.nodes.reconstruct", "reconstruct")
    return (
        f"<configuration><version>2</version><stream><external>{place}"
        f"<configuration>{properties}</configuration></external></stream></configuration>"
    ).encode()


def settings(text: str) -> dict[str, object]:
    return {name: value for one in own_settings(text) for name, value in one}


def test_settings_go_to_the_nodes_that_know_them():
    text = find_pipeline("score_hybrid.xml").read_bytes()
    changed = settings(override(text, {"method": "sense", "output": "phase", "seed": "3"}, "It"))
    assert (changed["method"], changed["output"], changed["seed"]) == ("sense", "phase", 3)
    assert changed["model"] == "auto"


@pytest.mark.parametrize(
    "old",
    [
        "<property name='method' value='fft'/>",
        "<property><name>method</name><value>fft</value></property>",
        "",
    ],
)
def test_a_new_value_takes_the_place_of_the_old_one(old):
    text = override(pipeline(old + "<property name='seed' value='2'/>"), {"method": "paper"}, "It")
    assert text.count("method") == 1
    (node,) = parse_pipeline(text.encode())
    assert b'name="method" value="paper"' in node.configuration
    assert settings(text)["seed"] == 2


def test_spaces_around_names_are_ignored_as_in_a_run():
    text = pipeline("", '<execute name=" {0} " target=" {1} " type="python"/>')
    (node,) = parse_pipeline(text)
    assert (node.module, node.target) == ("gadget.nodes.reconstruct", "reconstruct")
    assert settings(override(text, {"samples": "4"}, "It"))["samples"] == 4


def test_a_node_without_configuration_gets_one():
    text = pipeline("").replace(b"<configuration></configuration>", b"")
    assert settings(override(text, {"samples": "4"}, "It"))["samples"] == 4


@pytest.mark.parametrize(
    ("properties", "values", "sentence"),
    [
        ("", {"methud": "fft"}, "It has no setting 'methud': did you mean 'method'"),
        ("", {"colour": "1"}, "no setting 'colour': known are corrector_steps, .*, steps"),
        ("", {"method": "magic"}, "It, node reconstruct: Property 'method' must be 'fast'"),
        ("<property name='steps' value='0'/>", {}, "'steps' must be greater than or equal to 1"),
        ("<property name='steps' value='0'/>", {"seed": "1"}, "'steps' must be"),
        ("<oops/>", {}, "node reconstruct: Expected only <property>"),
    ],
)
def test_what_is_wrong_is_a_sentence(properties, values, sentence):
    with pytest.raises(ConfigError, match=sentence):
        override(pipeline(properties), values, "It")


@pytest.mark.parametrize("name", ["gadget.nodes.reconstrukt", "gadget.nodes.finish"])
def test_a_node_that_is_not_there(name):
    text = pipeline("", f'<execute name="{name}" target="reconstruct" type="python"/>')
    with pytest.raises(ConfigError, match=f"names 'reconstruct' of {name}: no such node"):
        override(text, {}, "It")


def test_nodes_of_others_are_left_alone():
    text = pipeline(
        "<property name='x' value='1'/>", '<execute name="x" target="y" type="python"/>'
    )
    assert settings(override(text, {}, "It")) == {}
    with pytest.raises(ConfigError, match="known are none"):
        override(text, {"x": "2"}, "It")


def test_a_node_that_runs_elsewhere_may_be_ours():
    text = pipeline("<property name='theirs' value='1'/>", '<connect port="18000"/>')
    assert b"theirs" in parse_pipeline(override(text, {}, "It").encode())[0].configuration
    ours = pipeline("<property name='seed' value='1'/>", '<connect port="18000"/>')
    (node,) = parse_pipeline(override(ours, {"method": "sense"}, "It").encode())
    assert b'value="sense"' in node.configuration
    with pytest.raises(ConfigError, match="node at port 18000: Property 'theirs' is not known"):
        override(text, {"seed": "1"}, "It")
