"""Verification in parts, resumed, at a rate; damage set aside; repair from wherever a good copy is."""

import os
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from modelhub.core import config
from modelhub.core.errors import InvalidInput
from modelhub.core.events import Problem, Progress, Result
from modelhub.services.hub import Hub, open_hub
from modelhub.services.repair import Repaired, places_under
from modelhub.services.verify import Scope, Verified, parse_subset
from tests import build
from tests.conftest import finish, scan
from tests.services.test_upkeep import blob_of, flip


def verify(hub: Hub, scope: Scope | None = None) -> tuple[Verified, list[Problem]]:
    events = list(hub.verifier.verify(scope or Scope()))
    value = next(event.value for event in events if isinstance(event, Result))
    return value, [event for event in events if isinstance(event, Problem)]


def repair(hub: Hub, *places: Path, dry_run: bool = False) -> Repaired:
    sources = [places_under(str(place)) for place in places]
    done: Repaired = finish(hub.repairer.repair(sources, dry_run=dry_run))
    return done


@pytest.fixture
def damaged(hub: Hub, downloads: Path) -> Path:
    """Where a content was that has one flipped bit; a good copy is in `good`."""
    scan(hub, downloads)
    blob = blob_of(hub, "detail.safetensors")
    good = downloads.parent / "good/deep"
    good.mkdir(parents=True)
    shutil.copy(blob, good / "other name.safetensors")
    flip(blob, 300)
    return blob


# Damage


def test_damage_is_set_aside_and_the_links_to_it_are_named(hub: Hub, damaged: Path, downloads: Path) -> None:
    value, problems = verify(hub)
    assert (value.problems, value.quarantined, value.good) == (1, 1, 2)
    assert "1 place used it" in problems[0].message
    assert str(downloads / "detail.safetensors") in problems[0].message
    assert not damaged.exists()
    assert (hub.places.quarantine / damaged.parent.name / damaged.name).exists()
    assert hub.models.resolve("detail.safetensors").missing
    assert [problem.code for problem in verify(hub)[1]] == ["quarantined"]


def test_a_hub_that_can_only_be_read_is_verified_and_nothing_is_moved(hub: Hub, damaged: Path) -> None:
    places = hub.places
    hub.close()
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    for folder in (places.root, places.models, damaged.parent):
        folder.chmod(0o555)
    with open_hub(config.load({}, hub=str(places.root))) as reader:
        assert verify(reader)[0].problems == 1
    assert damaged.exists()


def test_a_read_that_went_wrong_once_is_no_damage(hub: Hub, downloads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from modelhub.files import digest

    scan(hub, downloads)
    real, wrong = digest.sha256_of, iter([True])
    monkeypatch.setattr(digest, "sha256_of", lambda *given: "0" * 64 if next(wrong, False) else real(*given))
    assert verify(hub)[0].problems == 0


def test_whatever_else_lies_in_the_store_is_named(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    (hub.places.models / "notes.txt").write_text("mine")
    (blob_of(hub, "ae.safetensors").parent / "folder").mkdir()
    assert sorted(problem.code for problem in verify(hub)[1]) == ["extra", "foreign"]


# Parts


@pytest.mark.parametrize("text", ["0%", "101%", "5", "0/3", "4/3", "x/2", "-1%", "%", "1/99999"])
def test_a_part_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no part"):
        parse_subset(text)


def test_fixed_parts_together_are_the_whole(hub: Hub, downloads: Path) -> None:
    for number in range(12):
        build.safetensors(downloads / f"more{number}.safetensors", build.SD15_LORA, mark=str(number))
    scan(hub, downloads)
    sizes = [verify(hub, parse_subset(f"{part}/4"))[0].contents for part in range(1, 5)]
    assert sum(sizes) == 15
    assert max(sizes) < 15


def test_a_share_takes_what_was_read_longest_ago(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    database = sqlite3.connect(hub.places.library)
    database.execute("UPDATE blobs SET verified_at = '2020-01-01 00:00:00' WHERE name = 'ae.safetensors'")
    database.commit()
    database.close()
    flip(blob_of(hub, "ae.safetensors"), 200)
    value, problems = verify(hub, parse_subset("30%"))
    assert (value.contents, [problem.item for problem in problems]) == (1, ["ae.safetensors"])


def test_an_interrupted_verification_goes_on_where_it_was(hub: Hub, downloads: Path) -> None:
    for number in range(40):
        build.safetensors(downloads / f"more{number}.safetensors", build.SD15_LORA, mark=str(number))
    scan(hub, downloads)
    database = sqlite3.connect(hub.places.library)
    database.execute("UPDATE blobs SET verified_at = '2020-01-01 00:00:00'")
    database.commit()
    database.close()
    running = hub.verifier.verify(Scope())
    for event in running:
        if isinstance(event, Progress) and event.done > 2_000_000:
            break
    running.close()
    value, _ = verify(hub, Scope(resume=True))
    assert value.skipped > 0
    assert value.contents + value.skipped == 43
    assert value.good == value.contents
    assert verify(hub, Scope(resume=True))[0].contents == 43, "a finished one is not gone on with"


def test_a_rate_is_kept(hub: Hub, downloads: Path) -> None:
    path = build.safetensors(downloads / "big.safetensors", {"a": (1 << 20,)}, mark="big")
    path.write_bytes(path.read_bytes()[:-4_000_000] + os.urandom(4_000_000))
    scan(hub, path.parent)
    started = time.monotonic()
    verify(hub, Scope(rate=4_000_000))
    assert time.monotonic() - started > 0.5


def test_doctor_reminds_of_contents_that_were_not_read_for_long(hub: Hub, downloads: Path) -> None:
    def reminded() -> list[str]:
        return [check.message for check in hub.upkeep.doctor() if check.name == "verify"]

    scan(hub, downloads)
    assert reminded() == []
    database = sqlite3.connect(hub.places.library)
    database.execute("UPDATE blobs SET created_at = '2020-01-01 00:00:00'")
    database.commit()
    assert reminded() == ["The contents were never read whole since they came."]
    verify(hub)
    assert reminded() == []
    database.execute("UPDATE meta SET value = '2020-01-01 00:00:00' WHERE key = 'verified_whole_at'")
    database.commit()
    database.close()
    assert "days ago" in reminded()[0]


# Repair


def test_what_was_set_aside_comes_back_from_a_folder(hub: Hub, damaged: Path, downloads: Path, tmp_path: Path) -> None:
    verify(hub)
    good = downloads.parent / "good"
    assert (repair(hub, good, dry_run=True).repaired, damaged.exists()) == (1, False)
    done = repair(hub, good)
    assert done == Repaired(1, 1, damaged.stat().st_size, dry_run=False)
    assert (downloads / "detail.safetensors").resolve() == damaged
    assert verify(hub)[0].problems == 0
    assert not hub.models.resolve("detail.safetensors").missing


def test_a_copy_that_a_scan_left_in_its_place_is_good_enough(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads, adopt="copy")
    blob = blob_of(hub, "ae.safetensors")
    shutil.rmtree(blob.parent)
    assert repair(hub).repaired == 1
    assert blob.exists()


def test_another_hub_is_asked_by_address(hub: Hub, damaged: Path, downloads: Path, tmp_path: Path) -> None:
    with open_hub(config.load({}, hub=str(tmp_path / "other"))) as other:
        scan(other, downloads.parent / "good")
    verify(hub)
    assert repair(hub, tmp_path / "other").repaired == 1


def test_a_file_of_the_same_size_and_other_content_is_no_copy(hub: Hub, damaged: Path, tmp_path: Path) -> None:
    verify(hub)
    wrong = tmp_path / "wrong/detail.safetensors"
    wrong.parent.mkdir()
    shutil.copy(hub.places.quarantine / damaged.parent.name / damaged.name, wrong)
    events = list(hub.repairer.repair([places_under(str(wrong.parent))]))
    assert [event.code for event in events if isinstance(event, Problem)] == ["missing"]
    assert not damaged.exists()
