import enum
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from kertl import _checks

NAN, INF = float("nan"), float("inf")


class Kind(str, enum.Enum):  # noqa: UP042 (the text of a StrEnum is its value)
    CAT = "cat"
    AVG = "avg"


class Uncertain:
    """Compares as pandas' missing value does."""

    def __eq__(self, other):
        return self

    def __hash__(self):
        return 0

    def __bool__(self):
        raise TypeError("boolean value is ambiguous")


@pytest.mark.parametrize(
    ("value", "bounds"),
    [
        (1, {}),
        (1.5, {"above": 1}),
        (1, {"at_least": 1}),
        (0.99, {"below": 1}),
        (1, {"at_most": 1}),
        (np.float32(0.5), {"at_least": 0, "below": 1}),
        (np.int64(3), {"above": 2}),
    ],
)
def test_a_number_inside_its_bounds_comes_back_unchanged(value, bounds):
    assert _checks.number("rate", value, **bounds) is value


@pytest.mark.parametrize(
    ("value", "bounds", "accepted"),
    [
        (1, {"above": 1}, "a number > 1"),
        (0.9, {"at_least": 1}, "a number >= 1"),
        (1, {"below": 1}, "a number < 1"),
        (1.1, {"at_most": 1}, "a number <= 1"),
        (2, {"at_least": 0, "below": 1}, "a number >= 0 and < 1"),
        (NAN, {}, "a number"),
        (NAN, {"above": 0}, "a number > 0"),
        (INF, {}, "a number"),
        (-INF, {"below": 0}, "a number < 0"),
        (True, {}, "a number"),
        ("1", {}, "a number"),
        (None, {"above": 0}, "a number > 0"),
        (1j, {}, "a number"),
        ([1], {}, "a number"),
    ],
)
def test_what_is_no_number_or_out_of_bounds_is_refused(value, bounds, accepted):
    with pytest.raises(ValueError, match="Received") as caught:
        _checks.number("rate", value, **bounds)
    assert str(caught.value) == f"`rate` must be {accepted}. Received: rate={value!r}. [range]"


@pytest.mark.parametrize("value", [0, -3, 5, np.int32(7)])
def test_a_whole_number_comes_back_unchanged(value):
    assert _checks.integer("count", value) is value


@pytest.mark.parametrize("value", [1.0, "1", None, True, NAN, 0])
def test_what_is_no_whole_number_or_too_small_is_refused(value):
    with pytest.raises(ValueError, match="Received") as caught:
        _checks.integer("count", value, at_least=1)
    assert str(caught.value) == f"`count` must be a whole number >= 1. Received: count={value!r}. [range]"
    if value != 0:
        with pytest.raises(ValueError, match=r"must be a whole number\. Received"):
            _checks.integer("count", value)


def test_a_whole_number_that_is_too_large_is_refused():
    assert _checks.integer("count", 4, at_least=1, at_most=4) == 4
    with pytest.raises(ValueError, match="Received") as caught:
        _checks.integer("count", 5, at_least=1, at_most=4)
    assert str(caught.value) == "`count` must be a whole number >= 1 and <= 4. Received: count=5. [range]"


def test_one_of_gives_the_value_or_names_the_choices_and_the_nearest():
    assert _checks.one_of("mode", "avg", ("avg", "max")) == "avg"
    with pytest.raises(ValueError, match="Received") as caught:
        _checks.one_of("mode", "maxx", ("avg", "max"))
    assert str(caught.value) == "`mode` must be 'avg' or 'max'. Received: mode='maxx'. Did you mean 'max'? [choice]"
    with pytest.raises(ValueError, match="Received") as caught:
        _checks.one_of("mode", ["avg"], ("avg", "max"))
    assert str(caught.value).startswith("`mode` must be 'avg' or 'max'. Received: mode=['avg'].")


def test_the_nearest_are_found_whatever_their_case_and_none_where_nothing_resembles():
    assert _checks.nearest("RESNET50", ["ResNet50", "VGG16"]) == "Did you mean 'ResNet50'?"
    assert _checks.nearest("qqq", ["ResNet50", "VGG16"]) == ""
    assert _checks.nearest(None, ["ResNet50"]) == ""
    assert _checks.nearest("vgg1", ["VGG16", "VGG19"]).count(" or ") == 1


def test_a_pair_comes_back_as_a_tuple_of_two_whole_numbers():
    assert _checks.pair("size", [3, 4]) == (3, 4)
    assert _checks.pair("size", (1, 1)) == (1, 1)
    for sizes in ((np.int64(3), np.int32(4)), np.array([3, 4])):
        found = _checks.pair("size", sizes)
        assert (found, {type(side) for side in found}) == ((3, 4), {int})


@pytest.mark.parametrize(
    "value", [3, (3,), (3, 4, 5), (3.0, 4), (0, 4), (True, 4), "34", None, (None, None), np.array([3, 4.5])]
)
def test_what_is_no_pair_is_refused(value):
    with pytest.raises(ValueError, match="Received") as caught:
        _checks.pair("size", value)
    expected = f"`size` must be (height, width), two whole numbers >= 1. Received: size={value!r}. [argument]"
    assert str(caught.value) == expected


def test_the_pixels_of_an_image_size_are_bounded():
    assert _checks.pair("size", (4096, 4096)) == (4096, 4096)
    with pytest.raises(ValueError, match=r"at most 16,777,216 pixels in all\. Received: size=\(16000, 16000\)"):
        _checks.pair("size", (16000, 16000))


def test_a_long_value_is_shown_by_its_beginning_and_its_end():
    message = str(_checks.complain("a", "b", (np.arange(4000).reshape(20, 20, 10), "the end")))
    assert len(message) < 500
    assert message.count("\n") == 0
    assert message.startswith("`a` must be b. Received: a=(array([[[ 0, 1, 2,")
    assert message.endswith("'the end'). [argument]")


def test_a_complaint_says_what_to_do_where_that_is_known():
    assert str(_checks.complain("a", "b", 3)) == "`a` must be b. Received: a=3. [argument]"
    assert str(_checks.complain("a", "b", 3, "Do c.")) == "`a` must be b. Received: a=3. Do c. [argument]"


def test_json_is_read_up_to_a_depth_that_nothing_stumbles_over():
    assert _checks.parse_json('{"a": [1, null]}') == {"a": [1, None]}
    assert repr(_checks.parse_json("[" * 99 + '{"a": 1}' + "]" * 99)).count("[") == 99
    with pytest.raises(ValueError, match="Expecting"):
        _checks.parse_json('{"a": ')


@pytest.mark.parametrize("depth", [102, 900, 100_000])
def test_json_that_is_nested_too_deeply_is_no_recursion_error(depth):
    for text in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
        with pytest.raises(ValueError, match="nested more than 100 deep"):
            _checks.parse_json(text)


@pytest.mark.parametrize("name", ["functional", "functional_12", "sequential", "model_3"])
def test_a_model_whose_name_keras_made_up_is_called_as_its_file(name):
    assert _checks.named(SimpleNamespace(name=name)) == repr(name)
    assert _checks.named(SimpleNamespace(name=name, file_name="photos/theirs.h5")) == "'photos/theirs.h5'"
    assert _checks.named(SimpleNamespace(name="cells", file_name="photos/theirs.h5")) == "'cells'"


def test_names_are_kept_however_they_come():
    assert _checks.names("classes", (name for name in "ab")) == ["a", "b"]
    assert _checks.names("classes", np.unique(["b", "a"])) == ["a", "b"]
    assert {type(name) for name in _checks.names("classes", [np.str_("a"), Kind.CAT])} == {str}
    assert _checks.names("classes", [Kind.CAT]) == ["cat"]
    assert _checks.class_names(None) is None


@pytest.mark.parametrize("value", [[1], "ab", b"ab", {"a", "b"}, frozenset("ab"), 5, np.array("ab"), np.array([["a"]])])
def test_names_without_an_order_and_what_is_no_name_are_refused(value):
    with pytest.raises(
        ValueError, match=r"`class_names` must be a list of names, in the order of the labels\. Received"
    ):
        _checks.class_names(value)


@pytest.mark.parametrize("value", [np.array(["avg"]), np.array([True]), np.array([1, 2]), [], {}, Uncertain()])
def test_what_cannot_be_compared_is_none_of_the_choices(value):
    for choices in (("avg", "max"), (True, False), (None, "avg")):
        assert not _checks.among(value, choices)
        with pytest.raises(ValueError, match=r"`mode` must be .*Received: mode="):
            _checks.one_of("mode", value, choices)


@pytest.mark.parametrize("value", ["avg", np.str_("avg"), Kind.AVG, None, np.bool_(True), 1])
def test_a_choice_is_found_in_every_form_that_equals_it(value):
    assert _checks.one_of("mode", value, ("avg", None, True)) is value


@pytest.mark.parametrize("digits", [400, 5000])
def test_a_number_too_large_for_a_machine_is_refused_in_words(digits):
    with pytest.raises(ValueError, match=r"`rate` must be a number > 0 and <= 1\.79\d+e\+308\. Received"):
        _checks.number("rate", 10**digits, above=0)
    with pytest.raises(ValueError, match=r"`rate` must be a number < 1\. Received"):
        _checks.number("rate", 10**digits, below=1)
    with pytest.raises(ValueError, match=r"`seed` must be a whole number >= 0 and <= 9223372036854775807\. Received"):
        _checks.integer("seed", 10**digits, at_least=0)


def test_an_address_is_no_path_of_this_machine():
    with pytest.raises(
        ValueError, match=r"`cache_dir` must be a path on this machine\. Received: cache_dir='gs://b/c'"
    ):
        _checks.check_cache_dir("gs://b/c")
    with pytest.raises(ValueError, match=r"`run_dir` must be a path\..*pass an address as a text"):
        _checks.path("run_dir", Path("gs://bucket/run"))
    assert _checks.path("run_dir", Path("C:/runs")) == Path("C:/runs")  # of Windows
    assert _checks.check_cache_dir(None) is None


def test_a_file_is_no_folder_for_features_and_a_set_no_list_of_paths(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="`cache_dir` must be a folder"):
        _checks.check_cache_dir(tmp_path / "file")
    for value in ({"a", "b"}, b"folder", None):
        with pytest.raises(ValueError, match="`paths` must be a file, a folder, or a list of them"):
            _checks.paths("paths", value)


def test_an_empty_path_is_refused():
    assert _checks.path("run_dir", ".") == Path()
    with pytest.raises(ValueError, match=r"`run_dir` must be a path\. Received: run_dir=''\. Pass '\.' for"):
        _checks.path("run_dir", "")
