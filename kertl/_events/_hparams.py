"""The hyperparameters of a training, for TensorBoard's table of trainings."""

import time
from collections.abc import Mapping
from typing import Any


def session_start(name: str, values: Mapping[str, Any]) -> Any:
    """What begins a training, as a summary.

    Args:
        name: What tells it from other trainings.
        values: Hyperparameters: numbers, True and False, and anything else as its text.
    """
    from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

    info = SessionStartInfo(group_name=name, start_time_secs=time.time())
    for key, value in values.items():
        kind = "bool" if isinstance(value, bool) else "number" if isinstance(value, int | float) else "string"
        setattr(info.hparams[key], f"{kind}_value", str(value) if kind == "string" else value)
    return _summary(SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=info))


def session_end(*, failed: bool = False) -> Any:
    """What ends a training, as a summary."""
    from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
    from tensorboard.plugins.hparams.metadata import SESSION_END_INFO_TAG
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

    info = SessionEndInfo(status=STATUS_FAILURE if failed else STATUS_SUCCESS, end_time_secs=time.time())
    return _summary(SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=info))


def _summary(tag: str, data: Any) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.metadata import NULL_TENSOR, create_summary_metadata

    return Summary(value=[Summary.Value(tag=tag, tensor=NULL_TENSOR, metadata=create_summary_metadata(data))])
