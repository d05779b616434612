import time

import numpy as np
import pytest
from PIL import Image

import kertl.data
from kertl.data._look_alikes import _hashes, look_alikes, thumbnail
from tests.data.faults import encoded, scene
from tests.messages import assert_names

SIDE = 200


@pytest.fixture
def folder(tmp_path):
    """Two classes of twenty different images each."""
    for name, first in (("cat", 0), ("dog", 100)):
        (tmp_path / name).mkdir()
        for k in range(20):
            scene(SIDE, SIDE, seed=first + k).save(tmp_path / name / f"{k:02}.bmp")
    return tmp_path


def issues(folder, **options):
    return [str(issue) for issue in read(folder, **options).issues]


def read(folder, **options):
    return kertl.data.from_directory(folder, image_size=(4, 4), **options)


def test_different_images_do_not_look_alike(folder):
    assert issues(folder) == []


@pytest.mark.parametrize(
    ("kind", "side", "options"),
    [
        ("JPEG", SIDE, {"quality": 60}),
        ("JPEG", SIDE // 2, {"quality": 85}),
        ("JPEG", SIDE // 3, {"quality": 85}),
        ("JPEG", SIDE * 2, {}),
        ("WEBP", SIDE, {"quality": 80}),
        ("JPEG", SIDE, {"quality": 30}),
        ("TIFF", SIDE - 7, {}),
    ],
)
def test_a_resized_or_reencoded_copy_is_found(folder, kind, side, options):
    copies = [scene(SIDE, SIDE, seed=k).resize((side, side), Image.Resampling.LANCZOS) for k in range(20)]
    for k, copy in enumerate(copies):
        (folder / "cat" / f"{k:02}_copy").write_bytes(encoded(copy, kind, **options))
    found = issues(folder, validation=0, test=0)
    assert len(found) == 20
    for k, issue in enumerate(found):
        assert_names(issue, f"'cat/{k:02}_copy'", f"'cat/{k:02}.bmp'")


def test_a_copy_in_gray_is_found_and_a_turned_or_cropped_one_is_not(folder):
    scene(SIDE, SIDE, seed=3).convert("L").save(folder / "cat" / "gray.png")
    scene(SIDE, SIDE, seed=4).rotate(90).save(folder / "cat" / "turned.png")
    scene(SIDE, SIDE, seed=5).crop((0, 0, 150, 150)).save(folder / "cat" / "cropped.png")
    (issue,) = issues(folder, validation=0, test=0)
    assert_names(issue, "'cat/gray.png'", "'cat/03.bmp'")


def test_a_likeness_across_parts_or_classes_says_so_and_nothing_is_grouped(folder):
    for k in range(20):
        (folder / "dog" / f"{k:02}_of_cat.jpg").write_bytes(encoded(scene(SIDE, SIDE, seed=k), "JPEG"))
    data = read(folder)
    part = {record.file: record.split for record in data.records}
    found = {issue.path: issue.reason for issue in data.issues}
    assert len(data.issues) == len(found) == 20
    apart = 0
    for k in range(20):
        copy, source = f"dog/{k:02}_of_cat.jpg", f"cat/{k:02}.bmp"
        assert_names(found[copy], repr(source), "'cat'")
        if part[source] == part[copy]:
            assert part[copy] not in found[copy]
        else:
            assert_names(found[copy], part[source], part[copy])
            apart += 1
    assert 3 < apart < 17
    assert not any(issue.left_out for issue in data.issues)


def test_a_likeness_is_no_error_even_where_strict(folder):
    (folder / "cat" / "copy.jpg").write_bytes(encoded(scene(SIDE, SIDE, seed=7), "JPEG"))
    (issue,) = issues(folder, strict=True, validation=0, test=0)
    assert_names(issue, "'cat/copy.jpg'", "'cat/07.bmp'")


def test_files_of_the_same_content_are_reported_once(folder):
    content = (folder / "cat" / "00.bmp").read_bytes()
    (folder / "cat" / "same.bmp").write_bytes(content)
    (issue,) = issues(folder)
    assert_names(issue, "'cat/same.bmp'", "same content", "'cat/00.bmp'")


def test_images_without_contrast_look_like_none():
    flat = [thumbnail(Image.new("RGB", (50, 40), (gray,) * 3)) for gray in (9, 10, 10, 200)]
    assert look_alikes(flat) == {}
    assert look_alikes([]) == {}


def test_of_a_large_image_some_pixels_are_enough():
    large = scene(400, 600).resize((6000, 4000), Image.Resampling.BICUBIC)

    def seconds(work):
        start = time.process_time()
        work()
        return time.process_time() - start

    def from_all_pixels():
        large.resize((18, 16), Image.Resampling.BILINEAR, reducing_gap=4.0)

    quick = min(seconds(lambda: thumbnail(large)) for _ in range(5))
    assert quick < min(seconds(from_all_pixels) for _ in range(5)) / 2  # about a fifth
    exact = np.asarray(large.resize((18, 16), Image.Resampling.BOX).convert("L"), int)
    assert abs(np.frombuffer(thumbnail(large), np.uint8).reshape(16, 18) - exact).mean() < 2


def test_fine_lines_do_not_hide_a_copy():
    def lined(seed):
        pixels = np.asarray(scene(300, 300, seed=seed)).copy()
        rows, columns = np.random.default_rng(seed).integers(7, 14, 2)
        pixels[::rows] = 20
        pixels[:, ::columns] = 235
        return Image.fromarray(pixels)

    images = [lined(seed) for seed in range(40)]
    copies = [image.resize((210, 210), Image.Resampling.LANCZOS) for image in images]
    found = look_alikes([thumbnail(image) for image in (*images, *copies)])
    assert all(later == earlier + 40 for later, earlier in found.items())
    assert len(found) > 25


def soft(count, seed=0):
    """Thumbnails of so many different soft pictures."""
    patches = np.random.default_rng(seed).integers(0, 256, (count, 4, 5), np.uint8)
    return np.stack([np.asarray(Image.fromarray(p).resize((18, 16), Image.Resampling.BICUBIC)) for p in patches])


def grained(thumbnails, seed=0):
    noise = np.random.default_rng(seed).normal(0, 1, thumbnails.shape)
    return (thumbnails + noise).clip(0, 255).round().astype(np.uint8)


def test_copies_are_found_among_many_and_nothing_else():
    originals = soft(10_000)
    rows = np.random.default_rng(1).choice(10_000, 500, replace=False)
    everything = [t.tobytes() for t in (*originals, *grained(originals[rows]))]
    assert look_alikes(everything) == {10_000 + k: row for k, row in enumerate(rows.tolist())}


def test_pictures_of_one_subject_are_not_taken_for_copies():
    difference = soft(2000, seed=1) * (30 / 255)
    thumbnails = grained(soft(1) + difference - 15)
    hashes = _hashes(thumbnails.reshape(2000, -1))
    assert (np.bitwise_count(hashes ^ hashes[0]) <= 6).mean() > 0.3
    assert len(look_alikes([t.tobytes() for t in thumbnails])) < 20


def test_the_time_stays_in_bounds_where_all_images_are_alike():
    alike = [t.tobytes() for t in grained(np.repeat(soft(1), 20_000, axis=0))]
    start = time.process_time()
    found = look_alikes(alike)
    assert time.process_time() - start < 10  # about half a second; each with each would be 200 million comparisons
    assert len(found) > 19_800
    assert all(earlier < later for later, earlier in found.items())
