"""The embedding layer's model on onnxruntime: one prompt, one thread."""

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
from tokenizers import Encoding, Tokenizer

from llm_router.errors import EmbeddingError

MAX_CHARACTERS = 5_000
"""Text beyond this is not tokenised, which would cost 50 ms for 120,000 characters.

The model reads 254 tokens between its two markers, and the longest word of its vocabulary has 18 letters; with a space
after each that is 4,826 characters. The cut therefore removes nothing the model would read, unless the text has runs of
white space or words of over 100 letters (which the tokenizer reads as one unknown word each).
"""


_MARKERS = 2
"""Every text stands between two tokens of its own."""


class OnnxEmbedder:
    """An `Embedder`: token ids to a unit vector of `dimensions` numbers, with the files that `build_model.py` wrote.

    Args:
        model_dir: Folder with `manifest.json`, `model.onnx` and its weights, and `tokenizer.json`.

    Raises:
        EmbeddingError: a file is missing or broken.
    """

    def __init__(self, model_dir: Path) -> None:
        try:
            manifest = json.loads((model_dir / "manifest.json").read_text(encoding="utf-8"))
            self.version: str = manifest["version"]
            self.dimensions: int = manifest["dimensions"]
            self._tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
            self._session = _open_session(model_dir / "model.onnx")
        except Exception as error:
            raise EmbeddingError("the embedding model is missing or broken") from error
        self._unknown_id = self._tokenizer.token_to_id("[UNK]")

    def sees(self, text: str) -> bool:
        """Whether the vector of `text` is about all of it.

        The model reads 254 tokens, takes every word and character it does not know (emoji, most scripts) for one and
        the same, and does not see characters without a width at all.

        Raises:
            EmbeddingError: the text is not valid Unicode.
        """
        encoding = self._encode(text)
        only_markers = len(encoding.ids) <= _MARKERS
        return not (
            len(text) > MAX_CHARACTERS or encoding.overflowing or only_markers or self._unknown_id in encoding.ids
        )

    def embed(self, text: str) -> list[float]:
        """Return the L2-normalised embedding of the first 256 tokens of `text`, as 384 numbers.

        Raises:
            EmbeddingError: the text is not valid Unicode, or the model failed.
        """
        ids = self._encode(text).ids
        try:
            outputs = self._session.run(None, {"input_ids": np.array(ids, dtype=np.int64)})
        except Exception as error:
            raise EmbeddingError("the text could not be embedded") from error
        embedding: list[float] = np.asarray(outputs[0]).tolist()
        return embedding

    def _encode(self, text: str) -> Encoding:
        try:
            return self._tokenizer.encode(text[:MAX_CHARACTERS])
        except Exception as error:
            raise EmbeddingError("the text could not be embedded") from error


def version_in(model_dir: Path) -> str | None:
    """Return the version that a model folder names, even where the rest of it is broken; None where it names none."""
    try:
        version: str = json.loads((model_dir / "manifest.json").read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return version


def _open_session(model: Path) -> ort.InferenceSession:
    """Open an already optimised graph for one thread, as many as a function with under two vCPUs can use."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
