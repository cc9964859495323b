"""Drives that are away: what is on them is offline, never missing, and nothing of it is dropped."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelhub.core import config
from modelhub.files.volumes import Volumes
from modelhub.services.hub import Hub, open_hub
from modelhub.services.verify import Scope
from tests import build
from tests.conftest import finish, scan

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells its mounts in this way")

MOUNTS = """\
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 22 0:40 / /mnt/nas rw,relatime - nfs4 nas:/models rw
31 22 0:41 / /mnt/win\\040share rw - cifs //box/share rw
32 22 8:17 /sub /mnt/usb rw,noatime - ext4 /dev/sdb1 rw
33 22 0:42 / /mnt/ssh rw - fuse.sshfs me@host:/x rw
34 22 0:43 / /tmp rw - tmpfs tmpfs rw
"""


@pytest.fixture
def told(tmp_path: Path) -> Volumes:
    path = tmp_path / "mountinfo"
    path.write_text(MOUNTS)
    return Volumes(str(path))


def test_a_path_is_on_the_innermost_volume(told: Volumes) -> None:
    assert told.of("/mnt/nas/a/b").id == "nfs4:nas:/models"
    assert told.of("/mnt/nas2/a").id == "ext4:/dev/sda1"
    assert told.of("/mnt/win share/x").label == "win share"
    assert told.of("/mnt/usb").id == "ext4:/dev/sdb1[/sub]"
    assert not told.of("/mnt/usb/x").tells_opening


def test_shares_are_told_from_disks(told: Volumes) -> None:
    network = {place for place in ("/mnt/nas", "/mnt/win share", "/mnt/ssh", "/mnt/usb", "/") if told.of(place).network}
    assert network == {"/mnt/nas", "/mnt/win share", "/mnt/ssh"}


def test_what_is_mounted_below_a_folder_is_known(told: Volumes) -> None:
    assert [one.mount for one in told.below("/mnt")] == ["/", "/mnt/nas", "/mnt/win share", "/mnt/usb", "/mnt/ssh"]


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Path]:
    """A real file system of its own; unmounted by the test, and again after it."""
    place = tmp_path / "drive"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(place)]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    yield place
    unplug(place)


def unplug(place: Path) -> None:
    subprocess.run(["umount", "-l", place], capture_output=True, check=False)


def test_nothing_is_dropped_because_a_drive_is_away(hub: Hub, drive: Path, tmp_path: Path) -> None:
    build.safetensors(drive / "lora.safetensors", build.SD15_LORA)
    hub.targets.change("comfyui", enabled=True, path=str(tmp_path / "comfy"))
    scan(hub, tmp_path, adopt="reference")
    finish(hub.deployment.apply(hub.deployment.plan()))
    link = tmp_path / "comfy/loras/lora.safetensors"
    assert link.is_symlink()
    unplug(drive)

    with open_hub(config.load({}, hub=str(hub.places.root))) as again:
        assert again.models.resolve("lora").condition == "offline"
        seen = scan(again, tmp_path, adopt="reference")
        assert [problem.code for problem in seen.problems] == ["offline"]
        assert seen.summary.missing == 0
        assert again.models.details("lora").locations[0].present
        assert [(one.online, one.files) for one in again.drives.all() if one.mount == str(drive)] == [(False, 1)]
        value = finish(again.verifier.verify(Scope()))
        assert (value.problems, value.offline) == (0, 1)
        plan = again.deployment.plan()
        assert [skip.code for skip in plan.skips] == ["offline"]
        assert plan.removals == ()
        assert link.is_symlink()


def test_a_drive_that_is_back_is_online_again(hub: Hub, drive: Path, tmp_path: Path) -> None:
    build.safetensors(drive / "lora.safetensors", build.SD15_LORA)
    scan(hub, tmp_path, adopt="reference")
    unplug(drive)
    with open_hub(config.load({}, hub=str(hub.places.root))) as again:
        assert again.models.resolve("lora").offline
    subprocess.run(["mount", "-t", "tmpfs", "none", str(drive)], check=True)
    with open_hub(config.load({}, hub=str(hub.places.root))) as again:
        assert not again.models.resolve("lora").offline
        assert scan(again, tmp_path, adopt="reference").summary.missing == 1, (
            "it is another file system with nothing on it"
        )


def test_a_file_that_is_gone_from_a_drive_that_is_there_is_missing(hub: Hub, drive: Path, tmp_path: Path) -> None:
    path = build.safetensors(drive / "lora.safetensors", build.SD15_LORA)
    scan(hub, tmp_path, adopt="reference")
    path.unlink()
    assert scan(hub, tmp_path, adopt="reference").summary.missing == 1
    assert hub.models.resolve("lora").condition == "missing"
