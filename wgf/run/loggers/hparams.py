"""Summaries for TensorBoard's HPARAMS tab: one row per run, one column per setting that varies.

A run writes its settings at the start and its status at the end. A sweep writes the list of columns once, at its root.
(SummaryWriter.add_hparams would create an extra run for every row.)
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection
from pathlib import Path

import yaml
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from wgf.result import compared
from wgf.settings.flat import Leaf, leaves

FIRST = ("w1_error", "w2_error", "w2_bound", "evaluations", "wall_s")  # TensorBoard hides all but five numbers
PADDED = 6  # digits


def group(folder: Path) -> str:
    """Name of a row: the folder, with numbers padded because TensorBoard sorts rows by name; then where it lies.

    A browser shows one of several spaces.
    """
    name = re.sub(r"(?<![\d.])\d+", lambda found: found[0].rjust(PADDED), folder.name)
    return f"{name} ({'/'.join(folder.resolve().parent.parts[-2:])})"  # equal names would become one row


def session_start(config_text: str, group: str = "") -> Summary:
    """Summary of the settings of a run, for its start; `group` names its row."""
    info = SessionStartInfo(start_time_secs=time.time(), group_name=group)
    for name, value in leaves(yaml.safe_load(config_text)).items():
        kind = "bool_value" if isinstance(value, bool) else "string_value" if isinstance(value, str) else "number_value"
        setattr(info.hparams[name], kind, value)
    return _summary(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=info))


def session_end(completed: bool) -> Summary:
    """Summary of the status of a run, for its end."""
    status = api_pb2.STATUS_SUCCESS if completed else api_pb2.STATUS_FAILURE
    info = SessionEndInfo(status=status, end_time_secs=time.time())
    return _summary(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=info))


def experiment(runs: list[dict[str, Leaf]], known: Collection[str]) -> Summary:
    """Summary of the columns of a sweep: the settings that vary among its runs, and the compared numbers in `known`."""
    names = dict.fromkeys(name for settings in runs for name in settings)
    varying = [name for name in names if len({settings.get(name) for settings in runs}) > 1]
    content = api_pb2.Experiment(
        time_created_secs=time.time(),
        hparam_infos=[_column(name, [run[name] for run in runs if name in run]) for name in varying],
        metric_infos=[
            api_pb2.MetricInfo(name=api_pb2.MetricName(tag=f"final/{name}"), display_name=text)
            for name, text in sorted(compared().items(), key=_rank)
            if name in known
        ],
    )
    return _summary(metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=content))


def _rank(entry: tuple[str, str]) -> int:
    """Place of a number among all: those in FIRST lead."""
    return FIRST.index(entry[0]) if entry[0] in FIRST else len(FIRST)


def _column(name: str, values: list[Leaf]) -> api_pb2.HParamInfo:
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        column = api_pb2.HParamInfo(name=name, type=api_pb2.DATA_TYPE_BOOL)
    elif kinds <= {int, float}:
        column = api_pb2.HParamInfo(name=name, type=api_pb2.DATA_TYPE_FLOAT64)
    else:
        column = api_pb2.HParamInfo(name=name, type=api_pb2.DATA_TYPE_STRING)
    column.domain_discrete.extend(sorted(set(values), key=lambda value: (isinstance(value, str), value)))
    return column


def _summary(tag: str, content: HParamsPluginData) -> Summary:
    summary = Summary()
    summary.value.add(tag=tag, metadata=metadata.create_summary_metadata(content), tensor=metadata.NULL_TENSOR)
    return summary


def write_experiment(root: Path, runs: list[dict[str, Leaf]], known: Collection[str]) -> None:
    """Write the summary of a sweep whose runs have the numbers `known` to its root; replaces an earlier one."""
    for path in root.glob("events.out.tfevents.*"):
        path.unlink()
    writer = EventFileWriter(str(root))
    writer.add_event(Event(wall_time=time.time(), summary=experiment(runs, known)))
    writer.close()
