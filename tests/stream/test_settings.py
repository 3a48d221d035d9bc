"""Settings from XML: right, or a sentence that says what is wrong."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field

from gadget.errors import ConfigError
from gadget.stream.configuration import parse_properties
from gadget.stream.settings import NodeSettings, read_settings


class Example(NodeSettings):
    steps: int = Field(30, ge=1, le=2000)
    method: Literal["fast", "paper"] = "fast"
    snr: float = Field(0.16, gt=0)


def configuration(*properties: str) -> bytes:
    return (
        '<?xml version="1.0"?>\n<configuration>' + "".join(properties) + "</configuration>"
    ).encode()


def short(name: str, value: str) -> str:
    return f'<property name="{name}" value="{value}" />'


def test_both_spellings():
    long = "<property><name> method </name><value>paper</value></property>"
    settings = read_settings(Example, configuration(short("steps", "50"), long))
    assert (settings.steps, settings.method) == (50, "paper")


@pytest.mark.parametrize(
    "text", [b'<?xml version="1.0"?>', b'<?xml version="1.0"?>\n', b"", configuration()]
)
def test_absent_configuration_means_defaults(text):
    assert read_settings(Example, text) == Example()


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("step", "5", "Property 'step' is not known: did you mean 'steps'?"),
        ("qqq", "5", "known are method, snr, steps"),
        ("steps", "ten", "Property 'steps' must be a valid integer.*got 'ten'"),
        ("steps", "2.5", "Property 'steps' must be a valid integer.*got '2.5'"),
        ("steps", "0", "'steps' must be greater than or equal to 1, got '0'"),
        ("steps", "", "'steps' must be a valid integer"),
        ("snr", "nan", "'snr' must be a finite number, got 'nan'"),
        ("method", "quick", "'method' must be 'fast' or 'paper', got 'quick'"),
        ("method", "&#9;quick&#9;slow", r"got 'quick\\tslow'"),
    ],
)
def test_wrong_settings_are_sentences(name, value, sentence):
    with pytest.raises(ConfigError, match=sentence):
        read_settings(Example, configuration(short(name, value)))


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(ConfigError, match=r"'steps'.*'snr'"):
        read_settings(Example, configuration(short("steps", "0"), short("snr", "-1")))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (configuration(short("steps", "1"), short("steps", "2")), "given twice"),
        (configuration("<parameter/>"), "only <property>"),
        (configuration("<version>2</version><stream/>"), "A whole pipeline came"),
        (configuration('<property name="steps"/>'), "Expected <property name="),
        (
            configuration('<property name="a" value="1"><name>b</name><value>2</value></property>'),
            "Expected <property name=",
        ),
        (b"<configuration>", "not well-formed"),
        (b'<?xml version="1.0" encoding="klingon"?><configuration/>', "not well-formed"),
        (b'<?xml version="1.0" encoding="utf-7"?><configuration/>', "not well-formed"),
        (b"<settings/>", "got <settings>"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><configuration/>', "document type"),
    ],
)
def test_other_configurations_are_sentences(text, sentence):
    with pytest.raises(ConfigError, match=sentence):
        parse_properties(text)


def test_empty_values_are_kept():
    assert parse_properties(configuration(short("model", ""))) == {"model": ""}
