from types import SimpleNamespace

import numpy as np
import pytest

from kertl import _checks

NAN, INF = float("nan"), float("inf")


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


@pytest.mark.parametrize("value", [3, (3,), (3, 4, 5), (3.0, 4), (0, 4), (True, 4), "34", None, (None, None)])
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
    assert _checks.names("classes", None) is None
    assert _checks.names("classes", "ab") == "ab"
    with pytest.raises(ValueError, match="`classes` must be a list of names"):
        _checks.names("classes", [1])
