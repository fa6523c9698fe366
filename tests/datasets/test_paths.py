import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skwing.datasets._paths import finder_in, inside, relative_path

few = settings(max_examples=30, deadline=None)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jpg", "a.jpg"),
        ("./a//b.jpg", "a/b.jpg"),
        ("a\\b.jpg", "a/b.jpg"),
        ("a/../b.jpg", "b.jpg"),
        ("a/b/../../c/d.jpg", "c/d.jpg"),
        ("...jpg", "...jpg"),
        ("ab:c.jpg", "ab:c.jpg"),
    ],
)
def test_paths_below_the_folder(name, expected):
    assert inside("root", name, "x") == os.path.join("root", *expected.split("/"))


@pytest.mark.parametrize(
    "name",
    ["/a.jpg", "\\a.jpg", "\\\\host\\a.jpg", "C:\\a.jpg", "c:a.jpg", "../a.jpg", "a/../../b.jpg"],
)
def test_paths_that_leave_the_folder(name):
    with pytest.raises(ValueError, match=r"^labels.csv, line 3: .* leaves the folder root"):
        inside("root", name, "labels.csv, line 3")


@pytest.mark.parametrize("name", ["C:\\photos\\a.jpg", "/photos/a.jpg"])
def test_the_error_about_a_path_of_another_computer_tells_what_to_do(name):
    with pytest.raises(ValueError, match=r"folder \.: replace it in the file by a path relative"):
        inside("", name, "specimens.tps, line 1")


OF_OTHERS = ["C:\\data\\left\\a.jpg", "d:/data/left/a.jpg", "\\\\host\\left\\a.jpg"]


@pytest.mark.parametrize("anywhere", [False, True])
@pytest.mark.parametrize("name", OF_OTHERS)
def test_an_image_of_another_computer_is_the_longest_end_of_its_path_that_exists(
    tmp_path, name, anywhere
):
    def found():
        return finder_in(tmp_path, anywhere=anywhere)(name, "line 1")

    assert found() == str(tmp_path / "a.jpg")  # which need not exist
    (tmp_path / "a.jpg").touch()
    assert found() == str(tmp_path / "a.jpg")
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / "a.jpg").touch()
    assert found() == str(tmp_path / "left" / "a.jpg")


def test_a_folder_is_searched_for_absolute_paths_that_do_not_exist_here(tmp_path):
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
    name = str(tmp_path / "there" / "a.jpg")
    find = finder_in(tmp_path / "here")
    assert find(name, "line 1") == str(tmp_path / "here" / "a.jpg")
    assert finder_in(tmp_path / "here", anywhere=True)(name, "line 1") == name
    (tmp_path / "there" / "a.jpg").touch()  # it is of this computer, and outside of the folder
    with pytest.raises(ValueError, match="leaves the folder"):
        find(name, "line 1")


@pytest.mark.parametrize("name", ["../photos/a.jpg", "..\\photos\\a.jpg", "./../photos/a.jpg"])
def test_a_relative_path_that_leads_out_is_looked_up_in_the_folder_of_the_images(tmp_path, name):
    with pytest.raises(ValueError, match=r"leaves the folder .*: pass the folder of the images"):
        finder_in(tmp_path, anywhere=True)(name, "line 1")
    find = finder_in(tmp_path)
    assert find(name, "line 1") == str(tmp_path / "a.jpg")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    assert find(name, "line 1") == str(tmp_path / "photos" / "a.jpg")
    with pytest.raises(ValueError, match="both end as"):
        find("../../photos/a.jpg", "line 2")


def test_two_images_of_another_computer_are_never_one():
    find = finder_in("photos")
    assert find("C:\\a\\1.jpg", "line 1") == find("C:\\a\\1.jpg", "line 2")
    with pytest.raises(ValueError, match=r"^line 3: .*b.*1\.jpg' both end as"):
        find("C:\\b\\1.jpg", "line 3")


@pytest.mark.parametrize("name", ["C:\\", "C:\\a\\", "C:\\..\\a.jpg", "\\\\"])
def test_absolute_paths_of_no_file(name):
    with pytest.raises(ValueError, match=r"^here: found .* expected the path of an image"):
        finder_in("root")(name, "here")


@pytest.mark.parametrize("name", ["", ".", "a/..", "a/", "a\0.jpg", None, 3])
def test_paths_of_no_file(name):
    with pytest.raises(ValueError, match=r"^here: found .* expected the path of an image"):
        inside("root", name, "here")


@few
@given(st.lists(st.sampled_from(["..", ".", "a", "b", ""]), max_size=8))
def test_inside_agrees_with_the_system_on_what_leaves(parts):
    name = "/".join(parts)
    full = os.path.normpath(os.path.join("/root", name))
    # What leaves and comes back would depend on the name of the folder.
    steps = np.cumsum([{"..": -1, ".": 0, "": 0}.get(part, 1) for part in parts] or [0])
    if name.startswith("/") or steps.min() < 0 or full == "/root" or name.endswith("/"):
        with pytest.raises(ValueError):
            inside("/root", name, "here")
    else:
        assert inside("/root", name, "here") == full


def test_paths_are_written_relative_to_the_file(tmp_path):
    assert relative_path(tmp_path / "a" / "b.jpg", tmp_path) == "a/b.jpg"
    elsewhere = tmp_path.parent / (tmp_path.name + "2") / "b.jpg"
    written = relative_path(elsewhere, tmp_path)
    assert os.path.isabs(written)
    assert os.path.normpath(written) == str(elsewhere)
