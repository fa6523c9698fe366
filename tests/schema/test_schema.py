import copy
import json
import pickle
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skwing.geometry import apply, reflect, similarity
from skwing.schema import (
    AFLW19,
    COFW29,
    IBUG68,
    SCHEMAS,
    WFLW98,
    LandmarkSchema,
    check_schema,
    mirror_from_names,
)

# Mean faces of the four training sets, x0 y0 x1 y1 ... in thousandths of the face box, rounded
# from the meanface.txt files of PIPNet (github.com/jhb86253817/PIPNet, MIT licence). They tell
# where each landmark lies without saying a word about names or mirroring.
MEAN_FACES = {
    "aflw19": """
        252 229 341 209 431 228 563 225 658 201 749 218 293 316 358 312 420 319 582 316
        645 306 711 308 404 533 496 508 598 531 384 692 503 704 626 687 510 932
    """,
    "cofw29": """
        93 154 932 140 400 155 624 151 235 101 237 143 784 93 789 133 170 240 864 231 378
        245 657 241 278 201 276 266 757 194 764 258 279 230 758 223 383 493 661 489 519
        471 523 540 325 665 730 659 523 627 526 662 527 698 529 752 535 946
    """,
    "ibug68": """
        56 238 59 359 74 479 100 596 147 704 218 797 306 875 402 937 510 952 616 931 709
        867 794 788 863 693 907 584 930 466 941 346 943 226 133 149 189 96 267 81 349 93
        423 125 562 118 639 85 720 72 799 88 853 138 496 215 497 293 498 370 500 449 407
        503 452 520 500 533 547 518 589 502 224 228 273 199 331 200 380 238 329 249 271
        250 609 235 660 194 718 193 765 221 723 242 666 244 329 650 393 622 457 608 499
        619 547 607 612 621 674 644 614 708 553 736 502 742 455 738 392 712 355 652 457
        647 500 651 548 645 648 648 549 678 500 685 456 680
    """,
    "wflw98": """
        80 392 83 435 87 478 91 521 98 564 109 606 123 648 142 688 167 726 197 762 231 795
        269 825 310 853 354 878 401 898 453 911 508 915 562 909 612 895 657 874 699 848
        739 820 775 789 808 756 836 720 859 681 877 641 890 600 899 558 905 516 908 473
        910 431 912 388 185 351 241 312 300 308 360 314 417 324 417 353 360 344 300 339
        241 341 571 321 631 310 690 304 749 307 803 344 749 335 689 334 630 340 571 350
        495 402 496 459 496 516 498 570 407 598 454 606 501 612 545 604 588 596 243 407
        278 391 318 384 362 390 397 411 359 420 318 424 279 419 594 409 630 386 677 381
        715 388 748 403 716 415 680 420 636 418 339 697 400 676 472 668 503 668 534 667
        602 674 659 693 619 728 567 755 503 765 437 757 381 732 351 699 425 691 503 691
        577 690 647 695 580 719 502 729 422 721 322 404 675 400
    """,
}

# Pairs that swap, counted from 1 for the first three and from 0 for WFLW: the table in
# lib/utils/transforms.py of HRNet-Facial-Landmark-Detection (github.com/HRNet), which agrees
# with configs/_base_/datasets/{aflw,cofw,300w,wflw}.py of mmpose.
SWAPS = {
    "aflw19": (1, "1-6 2-5 3-4 7-12 8-11 9-10 13-15 16-18"),
    "cofw29": (1, "1-2 5-7 3-4 6-8 9-10 11-12 13-15 17-18 14-16 19-20 23-24"),
    "ibug68": (
        1,
        "1-17 2-16 3-15 4-14 5-13 6-12 7-11 8-10 18-27 19-26 20-25 21-24 22-23 32-36 33-35 "
        "37-46 38-45 39-44 40-43 41-48 42-47 49-55 50-54 51-53 62-64 61-65 68-66 59-57 60-56",
    ),
    "wflw98": (
        0,
        "0-32 1-31 2-30 3-29 4-28 5-27 6-26 7-25 8-24 9-23 10-22 11-21 12-20 13-19 14-18 15-17 "
        "33-46 34-45 35-44 36-43 37-42 38-50 39-49 40-48 41-47 60-72 61-71 62-70 63-69 64-68 "
        "65-75 66-74 67-73 55-59 56-58 76-82 77-81 78-80 87-83 86-84 88-92 89-91 95-93 96-97",
    ),
}

each_schema = pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)


def mean_face(schema):
    return np.array(MEAN_FACES[schema.name].split(), dtype=float).reshape(-1, 2)


def test_names_of_the_four():
    assert {name: s.n_landmarks for name, s in SCHEMAS.items()} == {
        "aflw19": 19,
        "cofw29": 29,
        "ibug68": 68,
        "wflw98": 98,
    }
    assert all(SCHEMAS[s.name] is s for s in (AFLW19, COFW29, IBUG68, WFLW98))


@each_schema
def test_mirror_equals_the_published_table(schema):
    first, pairs = SWAPS[schema.name]
    expected = list(range(schema.n_landmarks))
    for pair in pairs.split():
        a, b = (int(i) - first for i in pair.split("-"))
        expected[a], expected[b] = b, a
    assert schema.mirror == tuple(expected)


@each_schema
def test_mirror_is_what_geometry_says(schema):
    """Reflect the mean face and lay it back on itself: the nearest point is the partner."""
    face = mean_face(schema)
    reflected = apply(reflect(1000), face)
    reflected = apply(similarity(schema.mirror_points(reflected), face), reflected)
    distance = np.linalg.norm(face[:, None] - reflected, axis=-1)
    assert tuple(distance.argmin(1)) == schema.mirror


@each_schema
def test_mirroring_twice_changes_nothing(schema):
    points = np.random.default_rng(0).normal(size=(3, schema.n_landmarks, 2))
    once = schema.mirror_points(points)
    assert not np.array_equal(once, points)
    np.testing.assert_array_equal(schema.mirror_points(once), points)


@each_schema
def test_fixed_points_are_the_names_without_a_side(schema):
    for i, name in enumerate(schema.landmark_names):
        assert (schema.mirror[i] == i) == ("left" not in name and "right" not in name), name


@each_schema
def test_names_tell_where_the_point_is(schema):
    face = dict(zip(schema.landmark_names, mean_face(schema), strict=True))
    middle = np.mean([x for x, _ in face.values()])
    n_compared = 0
    for name, (x, y) in face.items():
        if "left" in name:
            assert x < middle < face[name.replace("left", "right")][0], name
        below = face.get(name.replace("_top", "_bottom"))
        if "_top" in name and below is not None:
            assert y < below[1], name
            n_compared += 1
        inner = face.get(name.replace("_outer", "_inner"))
        if "_outer" in name and inner is not None:
            assert abs(x - middle) > abs(inner[0] - middle), name
            n_compared += 1
    assert n_compared >= 4
    assert face["chin"][1] == max(y for _, y in face.values())


@each_schema
def test_contours_are_short_walks(schema):
    """A contour that skips or jumps is longer than the same points in any swapped order."""
    face = mean_face(schema)
    names = [name for name, _, _ in schema.contours]
    assert len(set(names)) == len(names)
    for name, indices, closed in schema.contours:
        assert len(set(indices)) == len(indices)

        def length(order, closed=closed):
            line = face[[*order, order[0]] if closed else list(order)]
            return np.linalg.norm(np.diff(line, axis=0), axis=1).sum()

        for i in range(1, len(indices) - 2):
            swapped = list(indices)
            swapped[i], swapped[i + 1] = swapped[i + 1], swapped[i]
            assert length(indices) < length(swapped), (name, indices[i])


@each_schema
def test_contours_mirror_onto_contours(schema):
    sets = {frozenset(indices) for _, indices, _ in schema.contours}
    assert {frozenset(schema.mirror[i] for i in group) for group in sets} == sets


@each_schema
def test_normalizing_points_mirror_onto_each_other(schema):
    assert set(schema.normalizers) == {"inter_pupil", "inter_ocular"}
    for left, right in schema.normalizers.values():
        assert {schema.mirror[i] for i in left} == set(right)
        assert mean_face(schema)[list(left), 0].max() < mean_face(schema)[list(right), 0].min()


def test_normalizing_points_of_the_published_protocols():
    # 300-W pupils: the six points around each eye, the author's word in issue 1 of his
    # repository; the rest: compute_nme of HRNet-Facial-Landmark-Detection and eval_NME of
    # BeierZhu/Sturcture-Coherency-Face-Alignment. AFLW marks the middle of each eye.
    assert dict(IBUG68.normalizers) == {
        "inter_pupil": ((36, 37, 38, 39, 40, 41), (42, 43, 44, 45, 46, 47)),
        "inter_ocular": ((36,), (45,)),
    }
    assert dict(COFW29.normalizers) == {
        "inter_pupil": ((16,), (17,)),
        "inter_ocular": ((8,), (9,)),
    }
    assert dict(WFLW98.normalizers) == {
        "inter_pupil": ((96,), (97,)),
        "inter_ocular": ((60,), (72,)),
    }
    assert dict(AFLW19.normalizers) == {
        "inter_pupil": ((7,), (10,)),
        "inter_ocular": ((6,), (11,)),
    }


def test_mirrored_300w_shapes_look_like_shapes(data_dir):
    """The mean of real shapes, built from the files themselves, is its own mirror image."""
    files = sorted((data_dir / "300w" / "lfpw" / "trainset").glob("*.pts"))[:200]
    assert files
    shapes = []
    for file in files:
        rows = file.read_text("latin-1").split("{")[1].split("}")[0].split()
        points = np.array(rows, dtype=float).reshape(68, 2)
        shapes.append((points - points.mean(0)) / points.std())
    mean = np.mean(shapes, 0)
    mirrored = IBUG68.mirror_points(mean * [-1, 1])
    fitted = apply(similarity(mirrored, mean), mirrored)
    assert np.linalg.norm(fitted - mean, axis=1).max() < 0.05  # of the shape's own spread
    unpermuted = apply(similarity(mean * [-1, 1], mean), mean * [-1, 1])
    assert np.linalg.norm(unpermuted - mean, axis=1).max() > 0.5


def test_numpy_and_torch_are_renamed_alike():
    points = np.random.default_rng(0).normal(size=(2, 19, 2))
    renamed = AFLW19.mirror_points(torch.from_numpy(points))
    assert isinstance(renamed, torch.Tensor)
    np.testing.assert_array_equal(renamed.numpy(), AFLW19.mirror_points(points))


@each_schema
def test_schemas_are_values(schema):
    for twin in (pickle.loads(pickle.dumps(schema)), copy.deepcopy(schema)):
        assert twin == schema and hash(twin) == hash(schema) and twin is not schema
    assert len({schema, *SCHEMAS.values()}) == 4


def test_schemas_are_immutable():
    with pytest.raises(AttributeError):
        IBUG68.name = "other"
    with pytest.raises(TypeError):
        IBUG68.normalizers["inter_pupil"] = ((0,), (1,))
    loose = {"size": ([0], [1])}
    schema = LandmarkSchema("s", ["a", "b"], np.array([1, 0]), normalizers=loose)
    loose["size"] = ([1], [0])
    assert schema.normalizers["size"] == ((0,), (1,))
    assert schema.mirror == (1, 0)
    assert schema == LandmarkSchema("s", ("a", "b"), (1, 0), (), {"size": ((0,), (1,))})
    assert schema != LandmarkSchema("s", ("a", "b"), (1, 0))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"landmark_names": ()}, "names"),
        ({"landmark_names": ("a", "a", "b")}, "unique"),
        ({"mirror": (1, 0)}, "3"),
        ({"mirror": (1, 2, 0)}, "own inverse"),
        ({"mirror": (0, 1, 3)}, "own inverse"),
        ({"mirror": (0, 1, -1)}, "own inverse"),
        ({"contours": [("nose", (0, 3), False)]}, "nose"),
        ({"contours": [("nose", (), False)]}, "nose"),
        ({"normalizers": {"span": ((0,), (5,))}}, "right of 'span'"),
        ({"normalizers": {"span": ((), (1,))}}, "left of 'span'"),
    ],
)
def test_a_wrong_schema_is_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        LandmarkSchema(**{"name": "s", "landmark_names": ("a", "b", "c")} | parts)


def test_mirror_points_refuses():
    with pytest.raises(ValueError, match="no mirror"):
        LandmarkSchema("s", ("a", "b")).mirror_points(np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"19 landmarks; got .*\(4, 18, 2\)"):
        AFLW19.mirror_points(np.zeros((4, 18, 2)))


def test_mirror_from_names():
    assert mirror_from_names(["right eye", "tip", "left eye"]) == (2, 1, 0)
    assert mirror_from_names(["cleft", "bright", "left-1", "right-1"]) == (0, 1, 3, 2)
    assert mirror_from_names([]) == ()
    with pytest.raises(ValueError, match=r"Landmark 1, 'left_toe'.*'right_toe'"):
        mirror_from_names(["nose", "left_toe"])


@pytest.mark.parametrize(
    "pair",
    [
        "left_eye right_eye",
        "eye_left eye_right",
        "Left-Eye Right-Eye",
        "LEFT_EYE RIGHT_EYE",
        "leftEye rightEye",
        "EyeLeft EyeRight",
        "eye.left.1 eye.right.1",
        "left1 right1",
        "Left_Wrist Right-Wrist",
        "leftEye right_eye",
        "left_of_right right_of_left",
        "L_eye R_eye",
        "eye_l eye_r",
        "eye-L eye-R",
        "LEye REye",
        "lEye rEye",
        "eyeL eyeR",
        "L1 R1",
        "wing_L2_tip wing_R2_tip",
        "lefteye righteye",
        "eyeleft eyeright",
        "lwing rwing",
        "wingl wingr",
        "\u00f6hrL \u00f6hrR",
    ],
)
def test_pairs_of_names(pair):
    names = ["nose", *pair.split()]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert LandmarkSchema.from_names("s", names).mirror == (0, 2, 1)
        # Pairs by surer signs do not hide those by weaker ones.
        more = [*names, "left_ear", "L_ear", "right_ear", "R_ear"]
        assert LandmarkSchema.from_names("s", more).mirror == (0, 2, 1, 5, 6, 3, 4)


@pytest.mark.parametrize(
    "names",
    [
        ["tip", "stem"],
        ["cleft", "bright", "rightful"],
        ["L1", "L2", "L3", "T12"],  # vertebrae
        ["lip", "rim", "liver", "river_2"],
        ["R", "G", "B"],
        ["0", "1"],
    ],
)
def test_names_without_sides_tell_of_no_mirror(names):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert LandmarkSchema.from_names("s", names).mirror is None
        both = LandmarkSchema.from_names("s", [*names, "left_ear", "right_ear"])
    n = len(names)
    assert both.mirror == (*range(n), n + 1, n)


@pytest.mark.parametrize(
    ("names", "lonely"),
    [
        (["left_eye", "nose"], "'left_eye' has no 'right_eye'"),
        (["left_eye", "right_ear"], "'left_eye' has no 'right_eye', 'right_ear' has no"),
        (["eye_L", "eye_R", "wing_L"], "'wing_L' has no 'wing_r'"),
        (["left_eye", "leftEye", "right_eye"], "'left_eye' has no"),  # which of the two?
        (["left", "right_eye", "right eye"], "'left' has no 'right'"),
    ],
)
def test_names_that_find_no_partner_are_told(names, lonely):
    with pytest.warns(UserWarning, match=lonely):
        assert LandmarkSchema.from_names("s", names).mirror is None


def test_stated_pairs_are_the_pairs():
    names = ["left_eye", "right_ear", "nose"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for pairs in ([("left_eye", "right_ear")], [[1, 0]], [("right_ear", 0)]):
            assert LandmarkSchema.from_names("s", names, pairs=pairs).mirror == (1, 0, 2)
        assert LandmarkSchema.from_names("s", names, pairs=()).mirror == (0, 1, 2)
    lines, lengths = [("line", (0, 1), False)], {"span": ((0,), (1,))}
    schema = LandmarkSchema.from_names("s", "ab", contours=lines, normalizers=lengths)
    assert schema == LandmarkSchema("s", "ab", None, lines, lengths)
    for pairs in (["ab"], [("nose",)], [("nose", "nose")], [("nose", 3)], [("nose", -1)]):
        with pytest.raises(ValueError, match="must consist of two of its landmarks"):
            LandmarkSchema.from_names("s", names, pairs=pairs)
    with pytest.raises(ValueError, match="contain 'nose' twice"):
        LandmarkSchema.from_names("s", names, pairs=[(0, 2), (1, 2)])
    with pytest.raises(ValueError, match="unique"):
        LandmarkSchema.from_names("s", ["a", "a"])


@each_schema
def test_the_four_follow_from_their_names(schema):
    parts = {"contours": schema.contours, "normalizers": schema.normalizers}
    assert LandmarkSchema.from_names(schema.name, schema.landmark_names, **parts) == schema


@st.composite
def schemas(draw):
    names = draw(st.lists(st.text(), min_size=1, max_size=8, unique=True))
    some = st.lists(st.integers(0, len(names) - 1), min_size=1, max_size=4)
    order = draw(st.permutations(range(len(names))))
    mirror = list(range(len(names)))
    for i, j in zip(order[::2], order[1::2], strict=False):
        mirror[i], mirror[j] = j, i
    return LandmarkSchema(
        draw(st.text()),
        names,
        draw(st.sampled_from([None, mirror])),
        draw(st.lists(st.tuples(st.text(), some, st.booleans()), max_size=3)),
        draw(st.dictionaries(st.text(), st.tuples(some, some), max_size=3)),
    )


@settings(max_examples=30)
@given(schemas())
def test_saving_then_loading_changes_nothing(schema):
    assert LandmarkSchema.from_json(schema.to_json()) == schema


@each_schema
def test_schemas_go_through_files(schema, tmp_path):
    path = tmp_path / "schema.json"
    assert schema.to_json(path) is None
    assert LandmarkSchema.from_json(path) == LandmarkSchema.from_json(str(path)) == schema
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert LandmarkSchema.from_json(path) == schema


def test_what_is_left_out_of_the_json_has_its_default():
    assert LandmarkSchema.from_json('{"name": "s", "landmark_names": ["a"]}') == LandmarkSchema(
        "s", ["a"]
    )


def json_with(**parts):
    return json.dumps({"name": "s", "landmark_names": ["a", "b"]} | parts)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting"),
        ('{"name": NaN}', "found NaN"),
        ('{"a":' * 100_000, "nested too deep|Expecting"),
        ('{"name": {"a": ' + "[" * 100_000, "nested too deep|Expecting"),
        ('{"name": ' + "9" * 5000 + "}", "digits"),
        ('{"name": "a", "name": "b"}', "'name' occurs twice"),
        ("{}", "the key 'name' is missing"),
        ('{"name": "s"}', "the key 'landmark_names' is missing"),
        (json_with(colour=1), "the key 'colour' is unknown"),
        (json_with(version=2), "of version 2, expected 1"),
        (json_with(name=3), "'name' is 3, expected a text"),
        (json_with(landmark_names="ab"), "expected a list of texts"),
        (json_with(landmark_names=["a", "a"]), "unique"),
        (json_with(landmark_names=[]), "names"),
        (json_with(mirror=[1, 0.0]), "'mirror' is .* whole numbers, or null"),
        (json_with(mirror=[True, 0]), "'mirror' is"),
        (json_with(mirror=[1, 1]), "is its own inverse"),
        (json_with(mirror=[1, 10**30]), "is its own inverse"),
        (json_with(contours=[["line", [0]]]), "'contours' is"),
        (json_with(contours=[["line", [0, 2], False]]), "line.* 0..1"),
        (json_with(contours={"line": 1}), "'contours' is"),
        (json_with(normalizers=[1]), "'normalizers' is"),
        (json_with(normalizers={"span": [[0]]}), "'normalizers' is"),
        (json_with(normalizers={"span": [[0], [2]]}), "right of 'span'"),
    ],
)
def test_a_wrong_json_is_refused(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        LandmarkSchema.from_json(text)
    assert "the JSON text is not a landmark schema" in str(caught.value)


def test_a_wrong_json_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError):
        LandmarkSchema.from_json(tmp_path / "no.json")
    for content in (b"", b"[]", b'{"name": "\xff"}', b"\xff\xfe{\0}\0"):
        (tmp_path / "s.json").write_bytes(content)
        with pytest.raises(ValueError, match=r"s\.json is not a landmark schema: "):
            LandmarkSchema.from_json(tmp_path / "s.json")


def test_check_schema():
    assert check_schema(None) is None and check_schema(None, 5) is None
    assert check_schema("wflw98") is WFLW98
    assert check_schema(IBUG68, 68) is IBUG68
    with pytest.raises(ValueError, match="'aflw19', 'cofw29', 'ibug68', 'wflw98'"):
        check_schema("68")
    with pytest.raises(ValueError, match=r"'ibug68' has 68 landmarks.* 98"):
        check_schema("ibug68", 98)
    with pytest.raises(TypeError, match="LandmarkSchema"):
        check_schema(68)


def paired(names):
    mirror = LandmarkSchema.from_names("any", names).mirror
    return {names[i]: names[j] for i, j in enumerate(mirror) if i < j}


def test_the_side_of_the_face_and_the_side_of_the_part_both_change():
    names = ["Left_eye_L", "Left_eye_R", "Left_eye", "Right_eye_L", "Right_eye_R", "Right_eye"]
    names += ["Nose", "Lip_R", "Lip_L"]
    assert paired(names) == {
        "Left_eye_L": "Right_eye_R",
        "Left_eye_R": "Right_eye_L",
        "Left_eye": "Right_eye",
        "Lip_R": "Lip_L",
    }
    first = ["l_eye_left", "l_eye_right", "r_eye_left", "r_eye_right"]
    assert paired(first) == {"l_eye_left": "r_eye_right", "l_eye_right": "r_eye_left"}
    outer = ["left_eye_l", "right_eye_r"]
    assert paired(outer) == {"left_eye_l": "right_eye_r"}


def test_a_letter_that_stays_is_no_side():
    names = ["left_l1", "left_l2", "right_l1", "right_l2"]
    assert paired(names) == {"left_l1": "right_l1", "left_l2": "right_l2"}
    assert paired(["left_x_l", "right_x_l"]) == {"left_x_l": "right_x_l"}


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_selection_is_the_schema_of_the_selected_landmarks(data):
    schema = SCHEMAS[data.draw(st.sampled_from(sorted(SCHEMAS)))]
    everything = range(schema.n_landmarks)
    rows = data.draw(st.lists(st.sampled_from(everything), min_size=1, unique=True))
    if data.draw(st.booleans()):  # both sides
        rows = list(dict.fromkeys(i for row in rows for i in (row, schema.mirror[row])))
    names = [schema.landmark_names[row] for row in rows]
    part = schema.select(data.draw(st.sampled_from([rows, names])))
    assert part.landmark_names == tuple(names) and part.name == schema.name
    points = np.arange(2.0 * schema.n_landmarks).reshape(-1, 2)
    if {schema.mirror[row] for row in rows} == {*rows}:
        wanted = schema.mirror_points(points)[rows]
        np.testing.assert_array_equal(part.mirror_points(points[rows]), wanted)
    else:
        assert part.mirror is None

    def of_names(schema, indices):
        return [schema.landmark_names[i] for i in indices]

    there = {
        key: [of_names(schema, group) for group in groups]
        for key, groups in schema.normalizers.items()
        if {*groups[0], *groups[1]} <= {*rows}
    }
    kept = {key: [of_names(part, g) for g in groups] for key, groups in part.normalizers.items()}
    assert kept == there
    lines = [(n, of_names(schema, i), c) for n, i, c in schema.contours if {*i} <= {*rows}]
    assert [(n, of_names(part, i), c) for n, i, c in part.contours] == lines


@pytest.mark.parametrize(
    ("landmarks", "told"),
    [
        (["beak"], "no landmark 'beak'"),
        ([68], r"no landmark 68; expected one of its names or an index in 0\.\.67"),
        ([-1], "no landmark -1"),
        ([3, 5, 3], "'left_jaw_3' is selected twice"),
        ([], "no landmark is selected"),
    ],
)
def test_what_cannot_be_selected_is_an_error(landmarks, told):
    with pytest.raises(ValueError, match=told):
        IBUG68.select(landmarks)


@pytest.mark.parametrize(
    "landmarks",
    [[False, True], np.arange(2) > 0, torch.arange(2) > 0, [1.0], 1, "left_eye", slice(0, 1)],
)
def test_a_mask_is_no_selection_of_indices(landmarks):
    eyes = LandmarkSchema("eyes", ("left_eye", "right_eye"), (1, 0))
    with pytest.raises(TypeError, match=r"landmarks must be .*names or indices, got"):
        eyes.select(landmarks)
    for indices in (np.array([1]), torch.tensor([1]), [np.int8(1)], iter([1])):
        assert eyes.select(indices).landmark_names == ("right_eye",)


@pytest.mark.parametrize(
    "wrong", [[True, False], np.array([True, False]), [0.7, 1.2], [np.nan], [np.True_]]
)
@pytest.mark.parametrize("where", ["mirror", "contours", "normalizers"])
def test_a_mask_or_fractions_are_no_indices_of_a_schema(wrong, where):
    def schema(indices):
        parts = {
            "mirror": indices,
            "contours": [("line", indices, False)],
            "normalizers": {"length": (indices, [1])},
        }
        return LandmarkSchema("eyes", ("left_eye", "right_eye"), **{where: parts[where]})

    with pytest.raises(TypeError, match="indices of landmarks must be whole numbers, got"):
        schema(wrong)
    for right in (np.array([1, 0]), [1.0, 0.0], torch.tensor([1, 0]), iter([1, 0])):
        assert schema(right) == schema([1, 0])


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"mirror": 1}, "expected a sequence of indices of landmarks, got 1"),
        ({"contours": [(0, 1)]}, r"a contour must be \(name, indices, is_closed\), got \(0, 1\)"),
        ({"contours": {"line": (0, 1)}}, "a contour must be .* got 'line'"),
        ({"normalizers": {"width": (0, 1)}}, "expected a sequence of indices of landmarks, got 0"),
        ({"normalizers": {"width": [(0,)]}}, "normalizer 'width' must be two groups"),
        ({"normalizers": [((0,), (1,))]}, "normalizers must be a mapping"),
    ],
)
def test_parts_of_another_form_are_named(parts, message):
    with pytest.raises(TypeError, match=message):
        LandmarkSchema(**{"name": "line", "landmark_names": ("a", "b"), **parts})
