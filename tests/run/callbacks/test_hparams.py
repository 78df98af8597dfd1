"""What TensorBoard shows of a sweep's settings."""

from tensorboard.plugins.hparams import api_pb2, metadata

from wgf.run.callbacks.hparams import experiment


def test_columns_of_mixed_values_are_texts():
    summary = experiment([{"a": "null", "b": True}, {"a": 3, "b": False}, {"a": 2.5, "b": True}], {"steps", "a"})
    content = metadata.parse_experiment_plugin_data(summary.value[0].metadata.plugin_data.content)
    a, b = content.hparam_infos
    assert (a.type, b.type) == (api_pb2.DATA_TYPE_STRING, api_pb2.DATA_TYPE_BOOL)
    assert [v.bool_value for v in b.domain_discrete.values] == [False, True]
    assert [getattr(v, v.WhichOneof("kind")) for v in a.domain_discrete.values] == [2.5, 3, "null"]
    assert [metric.name.tag for metric in content.metric_infos] == ["final/steps"]
