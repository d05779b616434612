from kertl._terminal import printable
from kertl.data import Issue
from kertl.data._issues import advice_on, summary_of


def test_no_issues_are_said_to_be_none():
    assert summary_of([]) == "no issues"


def test_files_that_were_left_out_come_first():
    issues = [Issue("b", "holds 3 images; the first is used", left_out=False), Issue("a", "is empty (0 bytes)")]
    assert summary_of(issues) == (
        "2 issues, 1 of them files that were left out\n'a' is empty (0 bytes)\n'b' holds 3 images; the first is used"
    )


def test_issues_that_say_the_same_do_not_crowd_out_the_others():
    issues = [Issue(f"{k}.jpg", f"looks like '{k}.png'", left_out=False) for k in range(1000)]
    issues += [Issue(f"{k}.gif", f"holds {k} images; the first is used", left_out=False) for k in range(2, 9)]
    issues += [Issue("a.png", "has the same content as \"it's.png\" of another class, 'dog'", left_out=False)]
    assert summary_of(issues) == (
        "1008 issues, 0 of them files that were left out\n"
        "'0.jpg' looks like '0.png'\n"
        "'1.jpg' looks like '1.png'\n"
        "'2.jpg' looks like '2.png'\n"
        "'3.jpg' looks like '3.png'\n"
        "'2.gif' holds 2 images; the first is used\n"
        "'3.gif' holds 3 images; the first is used\n"
        "'4.gif' holds 4 images; the first is used\n"
        "'5.gif' holds 5 images; the first is used\n"
        "'a.png' has the same content as \"it's.png\" of another class, 'dog'\n"
        "and 999 more: `issues` has all, and --verbose shows them\n" + advice_on(issues)
    )


def test_files_with_the_content_of_another_class_come_with_what_to_do():
    one = Issue("a.png", "has the same content as 'b.png' of another class, 'dog'", left_out=False)
    other = Issue("c.png", "has the same content as 'd.png' with another label, 'dog;cat'", left_out=False)
    assert summary_of([one, other]).splitlines()[-1] == advice_on([one, other])
    assert advice_on([one, other]).startswith("2 files have the content of one with another label, ")
    assert "Remove the wrong copies" in advice_on([one])
    twin = Issue("a.png", "has the same content as 'of another class, .png'; they stay on one side of the split", False)
    assert advice_on([twin, Issue("a", "looks like 'b' of another class, 'dog'", False)]) == ""


def test_a_summary_has_at_most_twenty_of_them():
    issues = [Issue("a", reason) for reason in "abcdefghijklmnopqrstuvwxyz"]
    assert len(summary_of(issues).splitlines()) == 22
    assert summary_of(issues).endswith("'a' t\nand 6 more: `issues` has all, and --verbose shows them")


def test_what_would_disturb_a_terminal_is_escaped():
    assert str(Issue("a\n\x1b[31m\udcff.png", "is empty (0 bytes)")) == (r"'a\n\x1b[31m\udcff.png' is empty (0 bytes)")
    assert printable("Zürich\n\x1b[31m\udcff 犬 🐶 %20 'x'") == r"Zürich\n\x1b[31m\udcff 犬 🐶 %20 'x'"
