"""The settings and results of a sweep in TensorBoard."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from run_folders import result
from small_sweeps import HERE
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, metadata

from wgf.settings.flat import leaves
from wgf.sweep import collate as sweep


def summaries(folder: Path) -> tuple[dict[str, Any], EventAccumulator]:
    """The HPARAMS summaries of a run by TensorBoard's own reader."""
    reader = EventAccumulator(str(folder))
    reader.Reload()
    content = reader.PluginTagToContent(metadata.PLUGIN_NAME)
    parsers = {
        metadata.EXPERIMENT_TAG: metadata.parse_experiment_plugin_data,
        metadata.SESSION_START_INFO_TAG: metadata.parse_session_start_info_plugin_data,
        metadata.SESSION_END_INFO_TAG: metadata.parse_session_end_info_plugin_data,
    }
    return {tag: parsers[tag](text) for tag, text in content.items()}, reader


def test_hparams(wgf, tmp_path: Path):
    """Every job tells its settings and figures, the root which of them are columns."""
    words = ["network=spline,two_sided_relu", "logger=tensorboard", "figures=false", "saves=1"]
    assert wgf("-m", *HERE, *words)[0] == 0
    assert wgf("s", main=sweep.main)[0] == 0  # again: it takes the place of the first
    assert len(list((tmp_path / "s").glob("events*"))) == 1
    root, _ = summaries(tmp_path / "s")
    (experiment,) = root.values()
    columns = {column.name: list(column.domain_discrete.values) for column in experiment.hparam_infos}
    assert {"network", "network.train"} <= set(columns)
    assert "integrator" not in columns  # it does not vary
    assert [value.string_value for value in columns["network"]] == ["Spline", "TwoSidedReLU"]
    shown = {metric.name.tag for metric in experiment.metric_infos}
    for folder in sweep.jobs(tmp_path / "s"):
        found, reader = summaries(folder)
        start = found[metadata.SESSION_START_INFO_TAG]
        expected = leaves(yaml.safe_load((folder / "config.yaml").read_text()))
        assert {name: value(start.hparams[name]) for name in start.hparams} == expected
        assert found[metadata.SESSION_END_INFO_TAG].status == api_pb2.STATUS_SUCCESS
        known = {tag: end for tag in shown if (end := result(folder)[tag.removeprefix("final/")]) is not None}
        assert shown - known.keys() <= {"final/breakpoints"}  # only a spline has them
        assert {tag: reader.Scalars(tag)[0].value for tag in known} == pytest.approx(known, rel=1e-6)


def value(message: Any) -> Any:
    """What a protobuf value holds."""
    return getattr(message, message.WhichOneof("kind"))
