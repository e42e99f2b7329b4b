"""Entries on disk: what comes back, what does not, and the cache's bounds."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from mimverify.support import disk_cache
from mimverify.support.disk_cache import DiskCache, cache_folder

KEY = {"function": "f", "settings": {"noise": 0.5}}
ARRAY = np.array([1.0, np.nan, -0.0])


def test_an_entry_comes_back_to_the_bit(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "new" / "folder")
    assert cache.get(KEY) is None
    cache.put(KEY, {"value": 0.1 + 0.2, "text": "é"}, {"a0": ARRAY})
    found = cache.get(KEY)
    assert found is not None
    content, arrays = found
    assert content == {"value": 0.1 + 0.2, "text": "é"}
    assert arrays["a0"].tobytes() == ARRAY.tobytes()
    assert cache.get(KEY | {"function": "g"}) is None


@pytest.mark.parametrize("damage", ["cut", "changed", "emptied", "foreign", "folder"])
def test_a_damaged_entry_counts_as_none(tmp_path: Path, damage: str) -> None:
    cache = DiskCache(tmp_path)
    cache.put(KEY, {"value": 1.5}, {"a0": ARRAY})
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[:-100])
    elif damage == "changed":
        place = whole.index(b"1.5")
        path.write_bytes(whole[:place] + b"2.5" + whole[place + 3 :])
    elif damage == "emptied":
        path.write_bytes(b"")
    elif damage == "foreign":  # a pickle is never opened
        np.save(tmp_path / "x.npy", np.array([{}], dtype=object), allow_pickle=True)
        path.write_bytes((tmp_path / "x.npy").read_bytes())
    else:
        path.unlink()
        path.mkdir()
    assert cache.get(KEY) is None
    if damage != "folder":
        cache.put(KEY, {"value": 1.5}, {"a0": ARRAY})
        assert cache.get(KEY) is not None


def test_the_entry_of_another_key_in_its_file_is_not_taken(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    cache.put(KEY, {"value": 1.0}, {})
    (path,) = tmp_path.iterdir()
    cache.put({"other": 1}, {"value": 2.0}, {})
    (other,) = set(tmp_path.iterdir()) - {path}
    path.write_bytes(other.read_bytes())
    assert cache.get(KEY) is None


def test_the_oldest_entries_go_and_no_file_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    monkeypatch.setattr(disk_cache, "COUNT", 3)
    (tmp_path / "notes.txt").write_text("kept")
    cache = DiskCache(tmp_path)
    for k in range(5):
        cache.put({"k": k}, {"k": k}, {})
        for path in tmp_path.glob("*.kept.npz"):  # all so far are older than the next one
            os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns - 10**9))
        if k == 2:
            assert cache.get({"k": 0}) is not None  # used: the newest now
    left = [k for k in range(5) if cache.get({"k": k}) is not None]
    assert left == [0, 3, 4]
    assert (tmp_path / "notes.txt").exists()


def test_bytes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = DiskCache(tmp_path)
    cache.put(KEY, {}, {"a0": np.zeros(disk_cache.LARGEST)})
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(disk_cache, "TOTAL", 20_000)
    for k in range(5):
        cache.put({"k": k}, {}, {"a0": np.zeros(1000)})
    assert len(list(tmp_path.iterdir())) == 2


def test_several_writers_at_once(tmp_path: Path) -> None:
    wrong: list[object] = []

    def work() -> None:
        cache = DiskCache(tmp_path)
        for _ in range(20):
            cache.put(KEY, {"value": 1.0}, {"a0": ARRAY})
            found = cache.get(KEY)
            if found is None or found[0] != {"value": 1.0}:
                wrong.append(found)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(list(tmp_path.iterdir())) == 1


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = DiskCache(tmp_path / "file" / "below")
    cache.put(KEY, {}, {})
    assert cache.get(KEY) is None


def test_the_folder_follows_the_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIMVERIFY_CACHE", "OFF")
    assert cache_folder() is None
    monkeypatch.setenv("MIMVERIFY_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("MIMVERIFY_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "mimverify"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "mimverify"
