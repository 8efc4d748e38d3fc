"""The questions of the batch that is measured, against the cache's embedding model and verifier."""

import numpy as np

from llm_router.adapters.onnx_embedder import OnnxEmbedder
from llm_router.prompt import canonicalise
from llm_router.verification import PairVerifier
from tests.batch_load import load
from tests.benchmarks.bench_batch import LINES, SEED
from tests.evaluation.embedding import MODEL_DIR, THRESHOLD


def test_questions_that_share_an_answer() -> None:
    """A question is answered by what is stored for its rewording, and by what is stored for no other question."""
    night = load(LINES, seed=SEED)
    embedder, verifier = OnnxEmbedder(MODEL_DIR), PairVerifier()
    texts = [canonicalise(text) for text in (*night.originals, *night.rewordings.values())]
    vectors = np.asarray([embedder.embed(text) for text in texts])
    similarities = vectors @ vectors.T
    shared = {
        (texts[asked], texts[answered])
        for asked, answered in np.argwhere(similarities >= THRESHOLD)
        if asked != answered
        and verifier.refusal(texts[asked], texts[answered], float(similarities[asked, answered])) is None
    }
    same = {(canonicalise(one), canonicalise(other)) for one, other in night.rewordings.items()}

    assert same | {(other, one) for one, other in same} == shared
