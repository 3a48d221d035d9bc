"""Pipeline files are read as Gadgetron reads them, or a sentence says why not."""

from __future__ import annotations

import pytest
from wire_bytes import messages_in

import gadget
from gadget.errors import ConfigError
from gadget.stream.host.pipeline import find_pipeline, parse_pipeline, read_pipeline
from gadget.stream.wire.address import Address


def pipeline(stream: str, version: str = "2") -> bytes:
    return (
        f'<?xml version="1.0"?><configuration><version>{version}</version><readers/><writers/>'
        f"<stream>{stream}</stream></configuration>"
    ).encode()


def external(configuration: str = "", attributes: str = 'target="b" type="python"') -> str:
    return f'<external><execute name="a" {attributes}/>{configuration}</external>'


def test_nodes_in_order():
    one, two = parse_pipeline(
        pipeline(external() + external(attributes='target="c" type="Python"'))
    )
    assert (one.module, one.target, one.configuration) == ("a", "b", b'<?xml version="1.0"?>\n')
    assert two.target == "c"


def test_a_node_that_is_a_server():
    text = '<configuration><property name="steps" value="30"/></configuration>'
    here, there = parse_pipeline(
        pipeline(
            f'<external><connect port="18000"/>{text}</external>'
            '<external><connect address="10.0.0.7" port="1"/></external>'
        )
    )
    assert (here.address, there.address) == (Address("localhost", 18000), Address("10.0.0.7", 1))
    assert here.configuration == parse_pipeline(pipeline(external(text)))[0].configuration
    assert there.configuration == b'<?xml version="1.0"?>\n'


def test_configuration_is_the_text_that_gadgetron_sends(recording):
    text = '<configuration><property name="steps" value="30"/></configuration>'
    (node,) = parse_pipeline(pipeline(external(text)))
    assert node.configuration == next(iter(messages_in(recording("acq")))).payload[4:]


def test_configuration_in_the_layout_of_gadgetron():
    text = (
        "<configuration><!-- why --><property>\n  <name>n</name><value>&lt;&amp;'\"</value>"
        "</property><property name='a' value='&quot;&lt;'/><empty/></configuration>"
    )
    (node,) = parse_pipeline(pipeline(external(text)))
    assert node.configuration.decode() == (
        '<?xml version="1.0"?>\n<configuration>\n\t<property>\n\t\t<name>n</name>\n'
        "\t\t<value>&lt;&amp;'\"</value>\n\t</property>\n"
        '\t<property name="a" value="&quot;&lt;" />\n\t<empty />\n</configuration>\n'
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            pipeline(
                "<gadget><dll>gadgetron_mricore</dll><classname>NoiseAdjustGadget</classname>"
                "</gadget>"
            ),
            "C\\+\\+ gadget NoiseAdjustGadget of gadgetron_mricore. That needs a Gadgetron server",
        ),
        (pipeline('<external><connect port="http"/></external>'), "port 'http'"),
        (pipeline('<external><connect port="65536"/></external>'), "port '65536'"),
        (pipeline('<external><connect address="gpu"/></external>'), "port ''"),
        (pipeline("<distributed/>"), "uses <distributed>. That needs a Gadgetron server"),
        (pipeline("<parallel/>"), "uses <parallel>. That needs a Gadgetron server"),
        (pipeline("<external/>"), "without <execute> or <connect>"),
        (pipeline(external(attributes='target="b" type="matlab"')), "of type 'matlab'"),
        (pipeline(external(attributes='type="python"')), "target ''"),
        (pipeline(""), "no nodes"),
        (pipeline(external(), version="1"), "<version>2</version>"),
        (b"<gadgetronStreamConfiguration/>", "old format"),
        (b"<configuration>", "not well-formed"),
        (b"\x89HDF\r\n", "not well-formed"),
    ],
)
def test_what_the_host_cannot_run_is_a_sentence(text, sentence):
    with pytest.raises(ConfigError, match=sentence):
        parse_pipeline(text)


@pytest.mark.parametrize("name", ["bucket", "buffer"])
def test_recorded_pipelines_need_a_server(test_data, name):
    path = test_data / "reference" / "gadgetron_wire" / f"{name}.xml"
    with pytest.raises(ConfigError, match="RemoveROOversamplingGadget of gadgetron_mricore"):
        read_pipeline(path)


def test_pipelines_are_found_by_path_and_by_name(tmp_path, monkeypatch):
    file = tmp_path / "pipelines" / "score_example.xml"
    file.parent.mkdir()
    file.write_bytes(pipeline(external()))
    monkeypatch.setattr(gadget, "__file__", str(tmp_path / "gadget" / "__init__.py"))
    assert find_pipeline(str(file)) == file
    assert find_pipeline("score_example") == file
    assert find_pipeline("score_example.xml") == file
    with pytest.raises(ConfigError, match=r"did you mean 'score_example\.xml'"):
        find_pipeline("score_exmple")


@pytest.mark.parametrize("packages", [".", "lib/python3.11/site-packages"])
def test_pipelines_are_found_where_they_are_installed(tmp_path, monkeypatch, packages):
    file = tmp_path / "share" / "gadgetron" / "config" / "score_example.xml"
    file.parent.mkdir(parents=True)
    file.write_bytes(pipeline(external()))
    monkeypatch.setattr(gadget, "__file__", str(tmp_path / packages / "gadget" / "__init__.py"))
    assert find_pipeline("score_example") == file


def test_unreadable_pipeline_is_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_pipeline(tmp_path)
