"""What TensorBoard shows of a sweep's settings."""

from pathlib import Path

from tensorboard.plugins.hparams import api_pb2, metadata

from wgf.run.loggers.hparams import experiment, group


def test_rows_stand_in_natural_order(tmp_path: Path):
    names = [f"width-{width}_dt-{dt}" for width in (4, 8, 16, 128) for dt in (0.05, 0.1)]
    rows = [group(tmp_path / name) for name in names]
    assert sorted(rows) == rows
    assert " ".join(rows[0].split()).startswith("width- 4_dt- 0.05 (")  # as a browser shows it
    assert group(tmp_path / "a" / "8") != group(tmp_path / "b" / "8")  # else two runs would share a row


def test_the_five_numbers_that_tensorboard_shows_are_those_that_matter():
    summary = experiment([{}], {"steps", "evaluations", "energy", "w1_error", "w2_error", "w2_bound", "wall_s"})
    content = metadata.parse_experiment_plugin_data(summary.value[0].metadata.plugin_data.content)
    names = [metric.name.tag.removeprefix("final/") for metric in content.metric_infos]
    assert names[:5] == ["w1_error", "w2_error", "w2_bound", "evaluations", "wall_s"]


def test_columns_of_mixed_values_are_texts():
    summary = experiment([{"a": "null", "b": True}, {"a": 3, "b": False}, {"a": 2.5, "b": True}], {"steps", "a"})
    content = metadata.parse_experiment_plugin_data(summary.value[0].metadata.plugin_data.content)
    a, b = content.hparam_infos
    assert (a.type, b.type) == (api_pb2.DATA_TYPE_STRING, api_pb2.DATA_TYPE_BOOL)
    assert [v.bool_value for v in b.domain_discrete.values] == [False, True]
    assert [getattr(v, v.WhichOneof("kind")) for v in a.domain_discrete.values] == [2.5, 3, "null"]
    assert [metric.name.tag for metric in content.metric_infos] == ["final/steps"]
