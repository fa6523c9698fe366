import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skwing.datasets._formats.deeplabcut import read_deeplabcut, write_deeplabcut
from skwing.images import BoxedImages
from skwing.schema import LandmarkSchema

NAN = np.nan
MISSING = [NAN, NAN]

ONE = (
    "scorer,Ann,Ann,Ann,Ann,Ann,Ann\n"
    "bodyparts,snout,snout,leftear,leftear,rightear,rightear\n"
    "coords,x,y,x,y,x,y\n"
    "labeled-data/trial1/img005.png,1.5,2,3,4,,\n"
    "labeled-data\\trial2\\img010.png,,,,,5,6\n"
)
THREE = (
    "scorer,,,Ann,Ann,Ann,Ann,Ann,Ann\n"
    "bodyparts,,,snout,snout,leftear,leftear,rightear,rightear\n"
    "coords,,,x,y,x,y,x,y\n"
    "labeled-data,trial1,img005.png,1.5,2,3,4,,\n"
    "labeled-data,trial2,img010.png,,,,,5,6\n"
)
SEVERAL = (
    "scorer,,,Ann,Ann,Ann,Ann,Ann,Ann,Ann,Ann,Ann,Ann\n"
    "individuals,,,m1,m1,m1,m1,m2,m2,m2,m2,single,single\n"
    "bodyparts,,,nose,nose,tail,tail,nose,nose,tail,tail,corner,corner\n"
    "coords,,,x,y,x,y,x,y,x,y,x,y\n"
    "labeled-data,trial1,a.png,1,2,3,4,5,6,,,9,9\n"
    "labeled-data,trial1,b.png,,,,,7,8,9,10,9,9\n"
)
RESULTS = (
    "scorer,net,net,net,net,net,net\n"
    "bodyparts,nose,nose,nose,tail,tail,tail\n"
    "coords,x,y,likelihood,x,y,likelihood\n"
    "0,1,2,0.9,3,4,0.2\n"
    "2,5,6,1e-3,7,8,0.5\n"
)


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "mice" / "labeled-data" / "trial1"
    folder.mkdir(parents=True)
    return tmp_path / "mice"


def write(project, text, name="CollectedData_Ann.csv"):
    path = project / "labeled-data" / "trial1" / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("text", [ONE, THREE, THREE.replace("\n", "\r\n"), "\ufeff" + ONE])
def test_annotations_of_one_animal(project, text):
    path = write(project, text)
    mice = read_deeplabcut(path)
    np.testing.assert_array_equal(
        mice.target, [[[1.5, 2], [3, 4], MISSING], [MISSING, MISSING, [5, 6]]]
    )
    names = ["labeled-data/trial1/img005.png", "labeled-data/trial2/img010.png"]
    assert mice.names.tolist() == names
    assert list(mice.data.paths) == [str(project / name) for name in names]
    assert mice.groups.tolist() == ["labeled-data/trial1", "labeled-data/trial2"]
    assert mice.schema is mice.data.schema
    assert mice.schema.landmark_names == ("snout", "leftear", "rightear")
    assert mice.schema.mirror == (0, 2, 1)
    assert mice.individuals.tolist() == ["", ""]
    assert "likelihood" not in mice
    other = read_deeplabcut(path, images="elsewhere")
    assert list(other.data.paths) == [os.path.join("elsewhere", *n.split("/")) for n in names]
    _, target = read_deeplabcut(path, return_X_y=True)
    np.testing.assert_array_equal(target, mice.target)


def test_folder_of_the_images(project):
    # The joint file of a training set, and one that lies beside its images.
    folder = project / "training-datasets" / "iteration-0" / "UnaugmentedDataSet"
    folder.mkdir(parents=True)
    (folder / "CollectedData_Ann.csv").write_text(ONE)
    mice = read_deeplabcut(folder / "CollectedData_Ann.csv")
    assert mice.data.paths[0] == str(project / "labeled-data" / "trial1" / "img005.png")
    path = write(project, ONE.replace("labeled-data/trial1/", ""))
    assert read_deeplabcut(path).data.paths[0] == str(path.with_name("img005.png"))


def test_annotations_of_several_animals(project):
    path = write(project, SEVERAL)
    mice = read_deeplabcut(path)
    np.testing.assert_array_equal(
        mice.target, [[[1, 2], [3, 4]], [[5, 6], MISSING], [[7, 8], [9, 10]]]
    )
    assert mice.individuals.tolist() == ["m1", "m2", "m2"]
    assert mice.names.tolist() == [
        "labeled-data/trial1/a.png m1",
        "labeled-data/trial1/a.png m2",
        "labeled-data/trial1/b.png m2",
    ]
    assert [os.path.basename(p) for p in mice.data.paths] == ["a.png", "a.png", "b.png"]
    assert mice.schema.landmark_names == ("nose", "tail")
    only = read_deeplabcut(path, individuals="m1")
    np.testing.assert_array_equal(only.target, [[[1, 2], [3, 4]], [MISSING, MISSING]])
    corner = read_deeplabcut(path, individuals=["single"])
    assert corner.schema.landmark_names == ("corner",)
    with pytest.raises(ValueError, match="'m1' and 'single' have different body parts"):
        read_deeplabcut(path, individuals=["m1", "single"])
    with pytest.raises(ValueError, match=r"\['m3'\] are not all among \['m1', 'm2', 'single'\]"):
        read_deeplabcut(path, individuals=["m3"])


def test_results_of_a_video(project):
    path = write(project, RESULTS, "trial1DLC_net.csv")
    frames = [f"img{i:03d}.png" for i in range(3)]
    mice = read_deeplabcut(path, images=frames)
    np.testing.assert_array_equal(mice.target, [[[1, 2], [3, 4]], [[5, 6], [7, 8]]])
    assert list(mice.data.paths) == ["img000.png", "img002.png"]
    assert mice.names.tolist() == ["0", "2"]
    assert mice.groups.tolist() == ["trial1DLC_net"] * 2
    np.testing.assert_array_equal(mice.likelihood, [[0.9, 0.2], [1e-3, 0.5]])
    sure = read_deeplabcut(path, images=frames, min_likelihood=0.5)
    np.testing.assert_array_equal(sure.target, [[[1, 2], MISSING], [MISSING, [7, 8]]])
    video = np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((8, 9), np.uint8)
    assert read_deeplabcut(path, images=video).data.decode(1)[0, 0].tolist() == [2, 2, 2]
    with pytest.raises(ValueError, match=r"numbers the frames of a video.*pass images="):
        read_deeplabcut(path)
    with pytest.raises(ValueError, match="line 5: found frame '2', expected a number below 2"):
        read_deeplabcut(path, images=frames[:2])
    with pytest.raises(ValueError, match="images is a BoxedImages"):
        read_deeplabcut(path, images=BoxedImages(frames))


# ---------------------------------------------------------------------------------------
# Writing
# ---------------------------------------------------------------------------------------
def test_written_as_newer_versions_do(project):
    path = project / "labeled-data" / "trial1" / "CollectedData_Ann.csv"
    schema = LandmarkSchema("mouse", ["snout", "leftear", "rightear"])
    files = [project / "labeled-data" / f"trial{i}" / f"img{5 * i:03d}.png" for i in (1, 2)]
    points = [[[1.5, 2], [3, 4], MISSING], [MISSING, MISSING, [5, 6]]]
    write_deeplabcut(path, BoxedImages(files, schema=schema), points, scorer="Ann")
    assert path.read_text() == THREE
    write_deeplabcut(path, [path.with_name("b.png"), project / "c.png"], [[1, 2]] * 2, names=["n"])
    assert path.read_text().splitlines()[3:] == [
        "labeled-data/trial1/b.png,1,2",
        f"{(project / 'c.png').as_posix()},1,2",
    ]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Schema")
def test_what_is_written_reads_back(project):
    names = st.text("abLR_ 019,'\"\u00e9", min_size=1, max_size=6).filter(lambda s: s == s.strip())
    numbers = st.floats(-1e6, 1e6) | st.integers(0, 9).map(float)
    folders = st.sampled_from(["labeled-data/trial1", "labeled-data/t 2", "labeled-data/trial1/x"])

    @settings(max_examples=30, deadline=None)
    @given(st.data())
    def check(data):
        n, parts = data.draw(st.integers(1, 4)), data.draw(st.lists(names, min_size=1, unique=True))
        size = n * len(parts) * 2
        points = np.array(data.draw(st.lists(numbers, min_size=size, max_size=size)))
        points = points.reshape(n, -1, 2)
        points[data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), -1] = NAN
        files = [str(project / data.draw(folders) / f"{data.draw(names)}{i}.png") for i in range(n)]
        schema = LandmarkSchema("any", parts)
        path = project / "labeled-data" / "trial1" / "CollectedData_Ann.csv"
        write_deeplabcut(path, BoxedImages(files, schema=schema), points)
        again = read_deeplabcut(path)
        assert list(again.data.paths) == files
        np.testing.assert_array_equal(again.target, points)
        if again.schema is not None:
            assert again.schema.landmark_names == schema.landmark_names

    check()


def test_what_cannot_be_written_is_an_error(project):
    path = project / "a.csv"
    for options, message in (
        ({"names": ["a", "b"]}, "expected 1"),
        ({"names": ["a;b"]}, "'a;b' cannot be written"),
        ({"scorer": ""}, "'' cannot be written"),
    ):
        with pytest.raises(ValueError, match=message):
            write_deeplabcut(path, ["a.png"], [[1, 2]], **options)
    with pytest.raises(ValueError, match=r"sample 0 .*cannot be written"):
        write_deeplabcut(path, [project / "12"], [[1, 2]])  # would be a frame's number
    with pytest.raises(ValueError, match="target has x and no y"):
        write_deeplabcut(path, ["a.png"], [[1, NAN]])
    assert not path.exists()


# ---------------------------------------------------------------------------------------
# What can be wrong
# ---------------------------------------------------------------------------------------
HEAD = "scorer,A,A\nbodyparts,nose,nose\ncoords,x,y\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no header of DeepLabCut"),
        ("scorer,A,A\n", "no header of DeepLabCut"),
        ("image,nose_x,nose_y\na.png,1,2\n", "line 1: found 'image', expected the header"),
        ("scorer,A,A\nscorer,A,A\n", "line 2: found 'scorer'"),
        (HEAD, "a header and no frame"),
        (HEAD.replace("coords,x,y", "coords,x"), r"have \[3, 3, 2\] columns"),
        ("scorer\nbodyparts\ncoords\na.png\n", "one body part at least"),
        (HEAD.replace("x,y", "x,z") + "a.png,1,2\n", "column 3: found 'z'"),
        (HEAD.replace("x,y", "x,x") + "a.png,1,2\n", "column 3: x of 'nose' is there twice"),
        (HEAD.replace("nose,nose", "nose,tail") + "a.png,1,2\n", "needs x and y"),
        (HEAD.replace("nose,nose", "nose,") + "a.png,1,2\n", "column 3: the body part has no name"),
        (HEAD + "a.png,1\n", "line 4: found 2 fields, expected 3"),
        (HEAD + "a.png,1,two\n", "line 4, column 'nose y': found 'two'"),
        (HEAD + "a.png,1,-inf\n", "line 4, column 'nose y': found -inf"),
        (HEAD + "a.png,1,\n", "line 4: landmark 'nose' has x and no y"),
        (HEAD + "../a.png,1,2\n", "line 4: .*leaves the folder"),
        (HEAD + ",1,2\n", "line 4: found '', expected the path"),
        (HEAD + 'a.png,1,2\n"b.png,1,2\n', "line 5: .*quotation mark"),
        (HEAD + "a.png,1,2\n7,1,2\n" + "\0", "NUL"),
    ],
)
def test_malformed_file_is_an_error_that_names_file_and_line(project, text, message):
    path = write(project, text)
    with pytest.raises(ValueError, match=rf"CollectedData_Ann\.csv.*{message}"):
        read_deeplabcut(path)


def test_wrong_option_is_an_error(project):
    path = write(project, ONE)
    with pytest.raises(ValueError, match="has no likelihood"):
        read_deeplabcut(path, min_likelihood=0.5)
    with pytest.raises(ValueError, match="images must be their folder"):
        read_deeplabcut(path, images=["a.png"])
    with pytest.raises(ValueError, match="'ibug68' has 68 landmarks, the data have 3"):
        read_deeplabcut(path, schema="ibug68")
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        read_deeplabcut(project / "none.csv")
