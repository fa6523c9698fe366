"""Messages of the library in the words of the command line.

The library speaks of its parameters and methods. Where the command line has an option for the
same, its messages name the option; where it has none, they name the function of Python.
"""

# Parts of messages, as they stand in the source of the library, and their replacements.
REPLACED = {
    # prediction
    "X has no boxes, but the regressor was trained with boxes": "the images have no boxes, but "
    "the model was trained with boxes",
    "skwing.detection.detect_boxes finds boxes, X.with_boxes sets them.": "--detect (of train and "
    "evaluate) detects faces, predict without --whole too.",
    "or pass a detector, such as skwing.detection.YuNet(model_file) or any function of an RGB "
    "image that returns boxes (x, y, width, height)": "or use OpenCV's by --yunet MODEL_FILE",
    # training
    "Use mirror=None in the schema to disable mirroring, or augmentation__mirror=(0.5, 0) in the "
    "regressor to keep this behaviour without the warning": "--set augmentation__mirror=0 disables "
    'mirroring, --set "augmentation__mirror=(0.5, 0)" keeps this behaviour without the warning',
    "The regressor is fitted with": "The model is that of",
    "With warm_start=True, fit continues": "train --start MODEL continues",
    "The same fit continues from": "The same command continues from",
    "is that of another fit": "is that of another training",
    "continue with the same parameters and data": "repeat the command with the same options and "
    "data",
    ": pass X_val and y_val": "",
    "all landmarks of y lie": "all landmarks lie",
    "pixels (medians): y must be": "pixels (medians): they must be",
    "every third column of y contains": "every third column contains",
    "Drop them, with NaN for missing landmarks: y.reshape(len(y), ": "Name the columns of the "
    "coordinates x0, y0, x1, ..., or drop the visibilities: ",
    "the columns of y varies": "the columns varies",
    ", or y have the shape (n_samples, n_landmarks, 2)": "",
    "If so, pass y[..., ::-1] for y of shape (n_samples, n_landmarks, 2)": "If so, name the "
    "columns accordingly",
    "of the landmarks of y are outside": "of the landmarks are outside",
    "the landmarks of y fit": "the landmarks fit",
    "If so, pass y with height - 1 - y for the second coordinate": "If so, convert the file to "
    "height - 1 - y",
    "samples); y must be in pixels": "samples); landmarks must be in pixels",
    ", for y of shape (n_samples, n_landmarks, 2): ": " or an empty cell: ",
    "y has the same landmarks for all": "there are the same landmarks for all",
    "mean shape of y": "mean shape",
    ": pass the pairs (pairs= of LandmarkSchema.from_names)": ": names that differ in left "
    "and right only are pairs",
    "If these are corners, subtract: boxes[:, 2:] -= boxes[:, :2]": "If these are corners, "
    "subtract x1 from x2 and y1 from y2 in the file",
    # export
    "precision='int8' needs calibration: images with boxes from": "--precision int8 needs "
    "--calibration: annotated images from",
    "calibration has no effect with precision='float32': pass precision='int8' or 'float16'": ""
    "without --precision int8 or float16, --calibration has no effect: pass one of them",
    "with precision='int8', 200 or more": "with --precision int8, 200 or more",
    # files
    "holds no .pts files.": "holds no .pts files: name a file of annotations (.csv, .tps, .json, "
    ".xml), or a folder of .pts files.",
    "If a reader returned this path, pass it the folder of the images.": "If a file of annotations "
    "names this image, --images names the folder of the images.",
    "pass the folder of the images to the reader": "--images names the folder of the images",
    "Pass the pairs (pairs=...), or () if there are none.": "Samples are not mirrored; "
    "--schema names a schema with mirror pairs.",
    "choose one with category=, or a list of them that share their keypoints": "choose one with "
    "--category",
    "If the landmarks are known, pass their schema=.": "If the landmarks are known, name their "
    "--schema.",
    "boxes='landmarks' or None ignores the boxes of the file.": "In Python, "
    "read_coco(boxes='landmarks') ignores the boxes of the file.",
    "or pass boxes=() for no boxes.": "or, in Python, read_csv(boxes=()) ignores them.",
    ". schema.select makes the schema of some of the landmarks, LandmarkSchema.from_names that of "
    "others; X.with_schema gives it to the images.": "",
    "pass landmarks= with the names of the landmarks to read.": "in Python, read_csv("
    "landmarks=...) selects columns.",
    "say with landmarks= which columns to take.": "in Python, read_csv(landmarks=...) selects "
    "columns.",
    " landmarks=() reads a table without.": "",
    ", or pass landmarks=[(": "; in Python, read_csv(landmarks=[(",
    ")] to read each row as a separate sample.": ")]) reads each row as a separate sample.",
    "for decimal commas pass decimal=','": "in Python, read_csv(decimal=',') reads decimal commas",
    "pass the folder of the images or image_height.": "--images names the folder of the images.",
    " curves=False leaves the curves out.": " In Python, read_tps(curves=False) leaves them out.",
    "or does y point down (y_up=False)?": "or does y point down (in Python: read_tps(y_up=False))?",
    "Pass names of the landmarks: part_names, or data with a schema.": "--schema names the "
    "landmarks.",
    "Pass other names=.": "Rename them in the file.",
    "say with individuals= which to read.": "in Python, read_deeplabcut(individuals=...) selects "
    "some.",
    "; pass images=, a sequence with the image, or the path of the image, of each frame.": "; in "
    "Python, read_deeplabcut(images=...) takes the image of each frame.",
    "give each a name, by names.": "rename one of them.",
}


def in_options(message):
    """Replace parameters of the library in a message by options of the command line.

    Examples
    --------
    >>> from skwing._cli.wording import in_options
    >>> in_options("b.tps: no such image. If the landmarks are known, pass their schema=.")
    'b.tps: no such image. If the landmarks are known, name their --schema.'
    """
    for old, new in REPLACED.items():
        message = message.replace(old, new)
    return message
