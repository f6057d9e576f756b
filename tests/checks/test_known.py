"""The check of known pictures: copies are found, others pass, and a change of the bank is seen while it runs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from guardrail.checks import Tools
from guardrail.checks.bank import Bank, Entry
from guardrail.checks.known import KnownImage, bank_of, probability
from guardrail.errors import CheckError, ConfigError
from guardrail.inference.image import pdq
from guardrail.inference.image.decode import picture
from guardrail.inference.weights import Models
from guardrail.pipeline.looking import Looker
from guardrail.types import Artifact, Kind, Unknown
from tests.checks.pictures import encoded, scene
from tests.checks.test_store import Clock
from tests.inference.image.pictures import animation

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def shown(data: bytes) -> Artifact:
    return Artifact(Kind.OUTPUT, "data[0]", data=data)


def score(check: KnownImage, data: bytes) -> float | Unknown:
    return check.score([shown(data)])[0]["known"]


def bank_with(tmp_path: Path, *scenes: int) -> Bank:
    bank = Bank(tmp_path / "bank")
    bank.add([Entry(pdq=pdq.hash_of(scene(one)).hex) for one in scenes], now=NOW)
    return bank


def test_31_bits_is_a_match_at_one_half_and_32_is_none() -> None:
    assert probability(0) == 1.0
    assert probability(31) == 0.5
    assert probability(32) == 0.0
    assert all(probability(bits) > probability(bits + 1) for bits in range(32))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_copy_in_any_format_is_known_and_another_picture_is_not(tmp_path: Path, form: str) -> None:
    check = KnownImage(bank_with(tmp_path, 1))
    copy = score(check, encoded(scene(1), form))
    assert isinstance(copy, float)
    assert copy > 0.5
    assert score(check, encoded(scene(2), form)) == 0.0


def test_a_frame_that_hides_in_a_film_is_known(tmp_path: Path) -> None:
    blocks = [np.random.default_rng(seed).integers(0, 2, (8, 8, 3), np.uint8) * 255 for seed in range(12)]
    decoys = [Image.fromarray(np.kron(one, np.ones((60, 80, 1), np.uint8))) for one in blocks]
    pages = [*decoys[:6], Image.fromarray(scene(1)), *decoys[6:]]
    check, film = KnownImage(bank_with(tmp_path, 1)), shown(animation(pages, "TIFF"))
    assert 6 not in {frame.index for frame in picture(film).frames}
    found = check.score([film])[0]["known"]
    assert isinstance(found, float)
    assert found > 0.5


def test_a_smaller_mirrored_copy_is_known(tmp_path: Path) -> None:
    copy = np.asarray(Image.fromarray(scene(1)).resize((320, 240)))[:, ::-1]
    assert score(KnownImage(bank_with(tmp_path, 1)), encoded(np.ascontiguousarray(copy))) > 0.5  # type: ignore[operator]


def test_every_shown_frame_is_looked_up(tmp_path: Path) -> None:
    frames = [Image.fromarray(scene(seed)) for seed in (2, 3, 1, 4)]
    path = tmp_path / "moving.webp"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100, lossless=True)
    data = path.read_bytes()
    assert score(KnownImage(bank_with(tmp_path, 1)), data) > 0.5  # type: ignore[operator]
    assert score(KnownImage(bank_with(tmp_path / "other", 9)), data) == 0.0


def test_a_palette_copy_is_known(tmp_path: Path) -> None:
    palette = Image.fromarray(scene(1)).quantize(64)
    path = tmp_path / "palette.png"
    palette.save(path)
    assert score(KnownImage(bank_with(tmp_path, 1)), path.read_bytes()) > 0.5  # type: ignore[operator]


def test_a_file_with_a_listed_sha256_is_known_even_when_it_is_flat(tmp_path: Path) -> None:
    flat = encoded(np.full((64, 64, 3), 200, np.uint8))
    bank = Bank(tmp_path / "bank")
    bank.add([Entry(sha256=shown(flat).sha256.hex())], now=NOW)
    check = KnownImage(bank)
    assert score(check, flat) == 1.0
    assert score(check, encoded(np.full((64, 64, 3), 201, np.uint8))) == 0.0


def test_a_flat_picture_matches_no_hash(tmp_path: Path) -> None:
    assert score(KnownImage(bank_with(tmp_path, 1)), encoded(np.zeros((300, 300, 3), np.uint8))) == 0.0


def test_a_picture_that_cannot_be_read_is_unknown_and_not_clean(tmp_path: Path) -> None:
    check = KnownImage(bank_with(tmp_path, 1))
    said = check.score([shown(b"no picture"), shown(encoded(scene(1)))])
    assert isinstance(said[0]["known"], Unknown)
    assert said[1]["known"] == 1.0  # its neighbour does not suffer for it


def test_an_empty_bank_scores_zero_and_says_so_in_the_receipt(tmp_path: Path) -> None:
    check = KnownImage(Bank(tmp_path / "bank"))
    assert score(check, encoded(scene(1))) == 0.0
    assert check.models == ("pdq@1", "bank@0")


def test_a_withdrawn_hash_stops_matching_in_a_running_check(tmp_path: Path) -> None:
    bank, clock = bank_with(tmp_path, 1), Clock()
    check = KnownImage(bank, clock=clock)
    data = encoded(scene(1))
    assert score(check, data) == 1.0
    before = check.models
    bank.withdraw([pdq.hash_of(scene(1)).hex], now=NOW)
    clock.now = 1.0
    assert score(check, data) == 0.0
    assert check.models == ("pdq@1", "bank@0")
    assert before[1].startswith("bank@")


def test_a_hash_that_was_added_matches_in_a_running_check(tmp_path: Path) -> None:
    clock = Clock()
    bank = Bank(tmp_path / "bank")
    check = KnownImage(bank, clock=clock)
    assert score(check, encoded(scene(1))) == 0.0
    bank.add([Entry(pdq=pdq.hash_of(scene(1)).hex)], now=NOW)
    clock.now = 1.0
    assert score(check, encoded(scene(1))) == 1.0


def test_a_bank_that_can_no_longer_be_read_stops_the_check(tmp_path: Path) -> None:
    bank, clock = bank_with(tmp_path, 1), Clock()
    check = KnownImage(bank, clock=clock)
    bank.file.path.unlink()
    clock.now = 1.0
    with pytest.raises(CheckError, match="is gone"):
        score(check, encoded(scene(2)))
    assert check.models == ("pdq@1", "bank@unreadable")


def test_it_opens_from_the_operators_home_and_refuses_a_broken_bank(tmp_path: Path) -> None:
    tools = Tools(models=Models(tmp_path / "models"), home=tmp_path, key=lambda purpose: bytes(32))
    bank_with(tmp_path, 1)
    assert score(KnownImage.open(tools), encoded(scene(1))) == 1.0
    (tmp_path / "bank" / "bank.sqlite").write_bytes(b"broken" * 1000)
    with pytest.raises(ConfigError, match="cannot be used"):
        KnownImage.open(tools)


# Named banks


def test_a_named_bank_has_a_signal_of_its_own_beside_the_common_one(tmp_path: Path) -> None:
    check = KnownImage(bank_with(tmp_path / "common", 1), {"acme": bank_with(tmp_path / "acme", 2)})
    assert check.factors == {"known", "known.acme"}
    assert check.score([shown(encoded(scene(1)))]) == [{"known": 1.0, "known.acme": 0.0}]
    assert check.score([shown(encoded(scene(2)))]) == [{"known": 0.0, "known.acme": 1.0}]
    assert [label.partition("@")[0] for label in check.models] == ["pdq", "bank", "bank.acme"]


def test_a_named_bank_that_cannot_be_read_does_not_blind_the_common_one(tmp_path: Path) -> None:
    clock, acme = Clock(), bank_with(tmp_path / "acme", 2)
    check = KnownImage(bank_with(tmp_path / "common", 1), {"acme": acme}, clock=clock)
    acme.file.path.unlink()
    clock.now = 1.0
    (said,) = check.score([shown(encoded(scene(1)))])
    assert said["known"] == 1.0
    assert isinstance(said["known.acme"], Unknown)
    assert check.models[-1] == "bank.acme@unreadable"


def test_a_picture_that_cannot_be_read_is_unknown_to_every_bank_that_holds_something(tmp_path: Path) -> None:
    check = KnownImage(Bank(tmp_path / "empty"), {"acme": bank_with(tmp_path / "acme", 2)})
    (said,) = check.score([shown(b"no picture")])
    assert said["known"] == 0.0
    assert isinstance(said["known.acme"], Unknown)


def tools(tmp_path: Path, **options: object) -> Tools:
    return Tools(models=Models(tmp_path / "models"), home=tmp_path, key=lambda purpose: bytes(32), options=options)


def test_the_banks_of_the_settings_are_opened_and_tell_their_signals_before_they_hold_anything(tmp_path: Path) -> None:
    check = KnownImage.open(tools(tmp_path, banks=["acme", "b-2"]))
    assert check.factors == {"known", "known.acme", "known.b-2"}
    bank_of(tmp_path, "acme").add([Entry(pdq=pdq.hash_of(scene(1)).hex)], now=NOW)
    assert (tmp_path / "bank" / "acme" / "bank.sqlite").exists()
    assert KnownImage.open(tools(tmp_path, banks=["acme"])).score([shown(encoded(scene(1)))])[0]["known.acme"] == 1.0


@pytest.mark.parametrize("name", ["", "..", "a/b", "Acme", "a.b", "-a", "a" * 33, "a b"])
def test_a_bank_whose_name_could_leave_its_folder_or_no_signal_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="1 to 32 lower-case"):
        KnownImage.open(tools(tmp_path, banks=[name]))


@pytest.mark.parametrize("options", [{"bank": ["a"]}, {"banks": "acme"}, {"banks": [1]}, {"banks": ["a"] * 65}])
def test_an_option_that_is_not_understood_is_refused(tmp_path: Path, options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"checks\.options\.known"):
        KnownImage.open(tools(tmp_path, **options))


def test_no_verdict_is_remembered_past_a_backup_that_is_put_back_and_changed(tmp_path: Path) -> None:
    """Both banks had two changes, and under the second nothing was looked at yet."""
    bank = bank_with(tmp_path, 1)
    backup = bank.file.path.read_bytes()
    bank.add([Entry(pdq=pdq.hash_of(scene(2)).hex)], now=NOW)
    looker = Looker([KnownImage(bank, every_s=0.0)], threads=1, deadline_s=20.0, cache=8)

    def known() -> float | None:
        [[signal]] = asyncio.run(looker.look([shown(encoded(scene(3)))]))
        return signal.score

    try:
        assert known() == 0.0
        fresh = tmp_path / "fresh"
        fresh.write_bytes(backup)
        fresh.replace(bank.file.path)
        bank.add([Entry(pdq=pdq.hash_of(scene(3)).hex)], now=NOW)
        assert known() == 1.0
    finally:
        looker.close()
