# ruff: noqa: INP001 - a script beside its Makefile, not a package
"""Builds the embedding model: all-MiniLM-L6-v2 as an ONNX graph for one prompt at a time.

The graph takes the token ids of one unpadded prompt, shape `(tokens,)` int64, and gives its sentence embedding, shape
`(384,)` float32. One prompt has no padding to mask, so attention needs no mask and the masked mean over the tokens is
the plain mean. Three things are folded into the weights: token type 0 into the position table, 1/sqrt(head size) into
the query projection, and query, key and value into one product. The word table is stored as float16 and widened row by
row; all arithmetic is float32. onnxruntime optimises the graph here, so that opening it later costs no time, and puts
the weights in a file of their own, which it maps into memory.

The same source gives the same bytes, whatever the day or the folder.
"""

import argparse
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from safetensors.numpy import load_file
from tokenizers import Tokenizer

SOURCE = "sentence-transformers/all-MiniLM-L6-v2"
SOURCE_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
OUTPUTS = ("model.onnx", "model.onnx.data", "tokenizer.json")
LAYERS, HEADS, DIMENSIONS, MAX_TOKENS = 6, 12, 384, 256
HEAD_SIZE = DIMENSIONS // HEADS
EPSILON = 1e-12
OPSET = 20
IR_VERSION = 10
GOLDEN_FILE = Path(__file__).with_name("golden_components.json")
GOLDEN_TOLERANCE = 1e-4

Array = NDArray[Any]


class Graph:
    """Collects nodes and weights; every operation is named by what it computes and returns that name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, name: str, values: Array) -> str:
        """Add a constant and return its name."""
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def op(self, kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        """Add an operation with one output and return that output's name."""
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def linear(self, name: str, x: str, matrix: Array, bias: Array) -> str:
        """Add `x @ matrix + bias`."""
        return self.op("Gemm", name, x, self.weight(f"{name}.weight", matrix), self.weight(f"{name}.bias", bias))

    def norm(self, name: str, x: str, source: dict[str, Array], key: str) -> str:
        """Add the layer normalisation whose scale and bias the source has under `key`."""
        scale = self.weight(f"{name}.weight", source[f"{key}.weight"])
        bias = self.weight(f"{name}.bias", source[f"{key}.bias"])
        return self.op("LayerNormalization", name, x, scale, bias, axis=-1, epsilon=EPSILON)


def dense(source: dict[str, Array], key: str) -> tuple[Array, Array]:
    """Return the matrix of a dense layer, shape `(in, out)`, and its bias."""
    return source[f"{key}.weight"].T, source[f"{key}.bias"]


def merged_projection(source: dict[str, Array], key: str) -> tuple[Array, Array]:
    """Return query, key and value as one dense layer, the query already divided by sqrt(head size)."""
    scale = np.float32(HEAD_SIZE**-0.5)
    (query, query_bias), *others = (dense(source, f"{key}.{part}") for part in ("query", "key", "value"))
    matrices, biases = zip((query * scale, query_bias * scale), *others, strict=True)
    return np.concatenate(matrices, axis=1), np.concatenate(biases)


def add_embeddings(graph: Graph, source: dict[str, Array]) -> str:
    """Add the normalised sum of word, position and token-type embeddings, shape `(tokens, 384)`."""
    table = graph.weight("words.table", source["embeddings.word_embeddings.weight"].astype(np.float16))
    words = graph.op("Cast", "words", graph.op("Gather", "words.half", table, "input_ids"), to=onnx.TensorProto.FLOAT)
    token_type = source["embeddings.token_type_embeddings.weight"][0]
    table = graph.weight("positions.table", source["embeddings.position_embeddings.weight"][:MAX_TOKENS] + token_type)
    start, axis = graph.weight("positions.start", np.array([0])), graph.weight("positions.axis", np.array([0]))
    positions = graph.op("Slice", "positions", table, start, graph.op("Shape", "tokens", "input_ids"), axis)
    return graph.norm("embeddings", graph.op("Add", "embeddings.sum", words, positions), source, "embeddings.LayerNorm")


def add_attention(graph: Graph, source: dict[str, Array], x: str, layer: int) -> str:
    """Add self-attention softmax(Q K^T / sqrt(d)) V over all heads, then its output projection."""
    name, key = f"layer{layer}.attention", f"encoder.layer.{layer}.attention"
    merged = graph.linear(f"{name}.qkv", x, *merged_projection(source, f"{key}.self"))
    parts = [f"{name}.{part}" for part in ("query", "key", "value")]
    graph.nodes.append(helper.make_node("Split", [merged], parts, axis=-1, num_outputs=len(parts)))
    query, keys, value = (
        graph.op("Transpose", f"{part}.heads", graph.op("Reshape", f"{part}.split", part, "head_shape"), perm=perm)
        for part, perm in zip(parts, ([1, 0, 2], [1, 2, 0], [1, 0, 2]), strict=True)
    )
    weights = graph.op("Softmax", f"{name}.weights", graph.op("MatMul", f"{name}.scores", query, keys), axis=-1)
    context = graph.op("MatMul", f"{name}.context", weights, value)
    context = graph.op("Transpose", f"{name}.tokens", context, perm=[1, 0, 2])
    context = graph.op("Reshape", f"{name}.joined", context, "token_shape")
    return graph.linear(f"{name}.output", context, *dense(source, f"{key}.output.dense"))


def add_layer(graph: Graph, source: dict[str, Array], x: str, layer: int) -> str:
    """Add one encoder layer: attention and feed-forward, each with a residual sum and a normalisation."""
    name, key = f"layer{layer}", f"encoder.layer.{layer}"
    x = graph.op("Add", f"{name}.attended", add_attention(graph, source, x, layer), x)
    x = graph.norm(f"{name}.attended.norm", x, source, f"{key}.attention.output.LayerNorm")
    wide = graph.linear(f"{name}.wide", x, *dense(source, f"{key}.intermediate.dense"))
    wide = graph.op("Gelu", f"{name}.gelu", wide)
    narrow = graph.linear(f"{name}.narrow", wide, *dense(source, f"{key}.output.dense"))
    return graph.norm(f"{name}.norm", graph.op("Add", f"{name}.fed", narrow, x), source, f"{key}.output.LayerNorm")


def build_graph(source: dict[str, Array]) -> onnx.ModelProto:
    """Return the whole model: encoder, mean over the tokens, division by the L2 norm."""
    graph = Graph()
    graph.weight("head_shape", np.array([-1, HEADS, HEAD_SIZE]))
    graph.weight("token_shape", np.array([-1, DIMENSIONS]))
    x = add_embeddings(graph, source)
    for layer in range(LAYERS):
        x = add_layer(graph, source, x, layer)
    axis = graph.weight("first_axis", np.array([0]))
    mean = graph.op("ReduceMean", "mean", x, axis, keepdims=0)
    graph.op("Div", "sentence_embedding", mean, graph.op("ReduceL2", "norm", mean, axis, keepdims=1))
    inputs = [helper.make_tensor_value_info("input_ids", onnx.TensorProto.INT64, ["tokens"])]
    outputs = [helper.make_tensor_value_info("sentence_embedding", onnx.TensorProto.FLOAT, [DIMENSIONS])]
    body = helper.make_graph(graph.nodes, "all-MiniLM-L6-v2", inputs, outputs, graph.weights)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


def save_optimised(model: onnx.ModelProto, folder: Path) -> None:
    """Write the graph as onnxruntime optimises it for any CPU, with the weights in `model.onnx.data`."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(folder / "model.onnx")
    options.log_severity_level = 3  # it warns that an optimised model suits this machine; EXTENDED is CPU-neutral
    prefix = "session.optimized_model_external_initializers"
    options.add_session_config_entry(f"{prefix}_file_name", "model.onnx.data")
    options.add_session_config_entry(f"{prefix}_min_size_in_bytes", "1024")
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def save_tokenizer(source: Path, folder: Path) -> None:
    """Write the tokenizer with the reference's limit of 256 tokens and without padding (it ships with 128 of both)."""
    tokenizer = Tokenizer.from_file(str(source))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)


def check_golden(folder: Path) -> None:
    """Embed the golden sentences with the files just written.

    Raises:
        SystemExit: a component differs from the reference implementation's by more than the tolerance.
    """
    session = ort.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text, expected in json.loads(GOLDEN_FILE.read_text(encoding="utf-8")).items():
        ids = np.array(tokenizer.encode(text).ids, dtype=np.int64)
        actual = np.asarray(session.run(None, {"input_ids": ids})[0])
        error = float(np.abs(actual[: len(expected)] - expected).max())
        if error > GOLDEN_TOLERANCE:
            raise SystemExit(f"the built model is wrong: {text!r} is {error:.2g} away from the reference")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_source(source: Path) -> None:
    """Refuse weights or a tokenizer other than the pinned ones.

    Raises:
        SystemExit: a file is missing or has another SHA-256.
    """
    for name, expected in SOURCE_SHA256.items():
        path = source / name
        if not path.is_file():
            raise SystemExit(f"{path} is missing")
        if sha256(path) != expected:
            raise SystemExit(f"{path} is not {SOURCE}'s: its SHA-256 should be {expected}")


def manifest(folder: Path) -> dict[str, Any]:
    """Describe the model folder; `version` changes whenever a file in it does."""
    files = {name: {"sha256": sha256(folder / name), "bytes": (folder / name).stat().st_size} for name in OUTPUTS}
    digest = hashlib.sha256("".join(str(file["sha256"]) for file in files.values()).encode())
    return {
        "version": f"minilm-l6-v2-{digest.hexdigest()[:12]}",
        "source": {"name": SOURCE, "sha256": SOURCE_SHA256},
        "dimensions": DIMENSIONS,
        "max_tokens": MAX_TOKENS,
        "opset": OPSET,
        "onnxruntime": ort.__version__,
        "files": files,
    }


def build(source: Path, output: Path) -> None:
    """Build the model folder `output`; its files are replaced only when all of them are right.

    Args:
        source: Folder with the pinned `model.safetensors` and `tokenizer.json`.
        output: Folder for the graph, its weights, the tokenizer and `manifest.json`.
    """
    check_source(source)
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent) as name:
        folder = Path(name)
        save_optimised(build_graph(load_file(source / "model.safetensors")), folder)
        save_tokenizer(source / "tokenizer.json", folder)
        check_golden(folder)
        text = json.dumps(manifest(folder), indent=2)
        (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")
        for file in (*OUTPUTS, "manifest.json"):
            (folder / file).replace(output / file)


def main() -> None:
    """Read the command line and build."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--source", type=Path, required=True, help="folder with model.safetensors and tokenizer.json")
    parser.add_argument("--output", type=Path, required=True, help="model folder to write")
    arguments = parser.parse_args()
    build(arguments.source, arguments.output)


if __name__ == "__main__":
    main()
