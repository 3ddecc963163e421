"""Trees as ONNX: one TreeEnsembleRegressor (ai.onnx.ml, version 3), a target a class, that gives the logits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.errors import BadArtefact, ExportFailed
from metier.students.exports import write_bytes
from metier.students.trees.boosting import Forest, Values

MODEL_FILE = "trees.onnx"
INPUT, OUTPUT = "values", "logits"
_OPSETS = {"": 17, "ai.onnx.ml": 3}
_IR_VERSION = 8  # the oldest that holds these operators, for the oldest onnxruntime
# The file adds up in 32 bits what scikit-learn adds up in 64. A tree that took another turn would be off by a leaf, which
# is some hundredths at the least.
_TOLERANCE = 1e-3
_MOST_COMPARED = 2000


def write_trees(forest: Forest, path: Path) -> None:
    """Write the trees: values (n, n_features) float32, NaN where absent, to logits (n, k) float32."""
    import onnx
    from onnx import TensorProto, helper

    n_classes = len(forest.base)
    attributes: dict[str, Any] = {
        "n_targets": n_classes,
        "aggregate_function": "SUM",
        "post_transform": "NONE",
        "base_values": list(forest.base),
        **_columns(forest),
    }
    node = helper.make_node("TreeEnsembleRegressor", [INPUT], [OUTPUT], domain="ai.onnx.ml", **attributes)
    graph = helper.make_graph(
        [node],
        "trees",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, forest.n_features])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, n_classes])],
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSETS.items()]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="metier")
    onnx.checker.check_model(model)
    write_bytes(path, model.SerializeToString(deterministic=True))


def _columns(forest: Forest) -> dict[str, list[Any]]:
    """The operator's attributes: a column of all nodes of all trees for each."""
    nodes = [(tree, place, node) for tree, (_, nodes) in enumerate(forest.trees) for place, node in enumerate(nodes)]
    leaves = [(tree, place, node) for tree, place, node in nodes if node.is_leaf]
    return {
        "nodes_treeids": [tree for tree, _, _ in nodes],
        "nodes_nodeids": [place for _, place, _ in nodes],
        "nodes_modes": ["LEAF" if node.is_leaf else "BRANCH_LEQ" for _, _, node in nodes],
        "nodes_featureids": [0 if node.is_leaf else node.feature for _, _, node in nodes],
        "nodes_values": [0.0 if node.is_leaf else below(node.threshold) for _, _, node in nodes],
        "nodes_truenodeids": [0 if node.is_leaf else node.left for _, _, node in nodes],
        "nodes_falsenodeids": [0 if node.is_leaf else node.right for _, _, node in nodes],
        "nodes_missing_value_tracks_true": [int(node.absent_left and not node.is_leaf) for _, _, node in nodes],
        "target_treeids": [tree for tree, _, _ in leaves],
        "target_nodeids": [place for _, place, _ in leaves],
        "target_ids": [forest.trees[tree][0] for tree, _, _ in leaves],
        "target_weights": [node.value for _, _, node in leaves],
    }


def below(threshold: float) -> float:
    """The largest float32 that is not above `threshold`: values of 32 bits fall to the same sides of both."""
    nearest = np.float32(threshold)
    return float(nearest if float(nearest) <= threshold else np.nextafter(nearest, np.float32(-np.inf)))


@dataclass(frozen=True)
class TreeSession:
    """An onnxruntime session over exported trees."""

    session: Any
    n_features: int
    n_classes: int

    def logits(self, row: Values) -> npt.NDArray[np.float32]:
        """(k,) of one row (n_features,): alone, so that an answer never depends on its company."""
        found: npt.NDArray[np.float32] = self.session.run(None, {INPUT: row[None, :]})[0][0]
        return found


def open_trees(path: Path) -> TreeSession:
    """Raises BadArtefact where the file is nothing that onnxruntime can run."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    # Some tens of microseconds of work: handing it to other threads takes longer.
    settings.intra_op_num_threads = 1
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    except Exception as problem:  # onnxruntime raises classes of its own that share no public base
        raise BadArtefact(f"{path} holds no trees that onnxruntime can run: {problem}") from None
    return TreeSession(session, int(session.get_inputs()[0].shape[1]), int(session.get_outputs()[0].shape[1]))


def check_parity(session: TreeSession, rows: Values, logits: npt.NDArray[np.float64]) -> float:
    """The largest difference of the file's logits from scikit-learn's (n, k), on some thousand rows (n, n_features).

    Raises ExportFailed where it is more than rounding.
    """
    places = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MOST_COMPARED)).astype(int))
    found = np.array([session.logits(rows[place]) for place in places])
    apart = float(np.abs(found - logits[places]).max())
    if not apart <= _TOLERANCE:
        raise ExportFailed(
            f"the exported trees give other logits than scikit-learn's, by up to {apart:.3g} on {len(places):,} train "
            f"examples ({_TOLERANCE:g} is allowed). Please report the versions of scikit-learn and onnxruntime"
        )
    return apart
