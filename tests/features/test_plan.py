import dataclasses

import keras
import pytest

import kertl
from kertl.features import _plan, plan
from tests.families import small_classifier
from tests.messages import assert_names

GB = 10**9


@pytest.fixture
def parts():
    return kertl.split(small_classifier(), "mid")  # 8 x 8 x 16 float32 cross: 4,096 bytes


@pytest.fixture
def room(monkeypatch):
    """Sets what is free."""

    def free(memory, disk=0):
        monkeypatch.setattr(_plan, "free_memory", lambda: memory)
        monkeypatch.setattr(_plan, "free_disk", lambda folder: disk)

    return free


def choice(parts, images=1000, **options):
    return plan(*parts, images, (32, 32, 3), **{"epochs": 10, **options})


def test_the_sums_are_those_of_what_crosses(parts, room):
    room(GB, 2 * GB)
    found = choice(parts, views=3, dtype="float16", cache_dir="cache")
    assert (found.bytes_per_image, found.bytes_needed) == (8 * 8 * 16 * 2, 8 * 8 * 16 * 2 * 1000 * 3)
    assert (found.images, found.epochs, found.views) == (1000, 10, 3)
    assert (found.memory_free, found.disk_free) == (GB, 2 * GB)


@pytest.mark.parametrize(
    ("memory", "disk", "options", "chosen", "named"),
    [
        (10**7, 0, {}, "memory", ("4.1 MB", "memory")),
        (10**6, 10**7, {"cache_dir": "c"}, "disk", ("4.1 MB", "memory", "disk")),
        (10**6, 10**6, {"cache_dir": "c"}, "live", ("4.1 MB", "memory", "disk")),
        (10**6, 0, {}, "live", ("4.1 MB", "memory", "no folder")),
        (10**9, 0, {"cache_bytes": 10**6}, "live", ("4.1 MB", "cache_bytes", "1.0 MB")),
        (10**9, 0, {"cache": False}, "live", ("cache=False",)),
        (10**9, 0, {"cache": True, "epochs": 1}, "memory", ("cache=True", "4.1 MB", "memory")),
        (10**9, 0, {"epochs": 1}, "memory", ("4.1 MB", "memory")),
        (10**9, 0, {"epochs": 4, "views": 4, "augmented": True}, "live", ("4 epochs", "4 versions")),
        (10**9, 0, {"epochs": 5, "views": 4, "augmented": True}, "memory", ("16.4 MB", "memory")),
        (10**9, 0, {"augmented": True}, "live", ("each epoch", "`views`")),
    ],
)
def test_the_choice_follows_from_bytes_epochs_and_versions(parts, room, memory, disk, options, chosen, named):
    room(memory, disk)
    found = choice(parts, **options)
    assert found.choice == chosen
    assert_names(found.reason, *named)


def test_the_choice_does_not_follow_from_times(parts, room, monkeypatch):
    room(GB)
    for seconds in (1e-9, 1e9):
        monkeypatch.setattr(_plan, "_timed", lambda *_, seconds=seconds: seconds)
        assert choice(parts).choice == "memory"


def test_what_has_no_room_is_refused_where_it_is_asked_for(parts, room):
    room(10**6)
    with pytest.raises(ValueError, match="`cache`") as caught:
        choice(parts, cache=True)
    assert_names(caught.value, "`cache`", "cache=True", "4.1 MB", "`cache_dir`", "`cache_bytes`")
    with pytest.raises(ValueError, match="`views`") as caught:
        choice(parts, cache=True, augmented=True)
    assert_names(caught.value, "`views`", "views=0", "cache=True", "views=4", "augment='none'", "cache=False")


def test_the_seconds_are_those_of_the_two_parts(parts, room, monkeypatch):
    room(GB)
    prefix, suffix = parts
    monkeypatch.setattr(_plan, "_timed", lambda model, inputs: {prefix.name: 3.2, suffix.name: 0.32}[model.name])
    found = choice(parts, images=100, views=2, epochs=5)
    assert found.images_per_second == pytest.approx(10)
    assert found.seconds_cached == pytest.approx(100 * (2 * 0.1 + 5 * 3 * 0.01))
    assert found.seconds_live == pytest.approx(100 * 5 * (0.1 + 3 * 0.01))


def test_a_plan_is_measured_and_prints_its_sums(parts, room):
    room(3 * GB, 50 * GB)
    found = choice(parts, cache_dir="cache", views=2)
    assert 0 < found.seconds_cached < found.seconds_live
    found = dataclasses.replace(found, images_per_second=1234.4, seconds_cached=34.56, seconds_live=600)
    assert found.lines() == [
        "1000 images in 2 versions, 4.1 kB each at the boundary: 8.2 MB (3.0 GB of memory free, 50.0 GB of disk free)",
        "the frozen part runs at 1,234 images/s; 10 epochs: about 34.6 s on cached features, 10.0 min on images",
        "Features are cached in memory: they take 8.2 MB, at most half of the free memory",
    ]


def test_both_tensors_that_cross_are_counted(room):
    room(GB)
    inputs = keras.Input((8,))
    prefix = keras.Model(inputs, [keras.layers.Dense(3)(inputs), keras.layers.Dense(5)(inputs)])
    crossing = [keras.Input((3,)), keras.Input((5,))]
    suffix = keras.Model(crossing, keras.layers.Concatenate()(crossing))
    assert plan(prefix, suffix, 10, (8,), epochs=2).bytes_needed == 10 * 8 * 4
