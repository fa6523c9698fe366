"""Data sets: readers and writers of annotation formats, published sets, generated faces."""

from skwing.datasets._dataset import Dataset
from skwing.datasets._drawn.faces import make_faces
from skwing.datasets._formats.coco import read_coco
from skwing.datasets._formats.coco_write import write_coco
from skwing.datasets._formats.csv import read_csv
from skwing.datasets._formats.csv_write import write_csv
from skwing.datasets._formats.dataframe import from_dataframe
from skwing.datasets._formats.deeplabcut import read_deeplabcut, write_deeplabcut
from skwing.datasets._formats.dlib_xml import read_dlib_xml, write_dlib_xml
from skwing.datasets._formats.pts import read_pts, read_pts_folder, write_pts, write_pts_folder
from skwing.datasets._formats.sleap import from_sleap_io, to_sleap_io
from skwing.datasets._formats.tps import read_tps
from skwing.datasets._formats.tps_write import write_tps
from skwing.datasets._published.aflw import load_aflw
from skwing.datasets._published.cofw import load_cofw
from skwing.datasets._published.ibug import load_300w
from skwing.datasets._published.wflw import load_wflw
from skwing.detection._detect import detect_all, detect_boxes
from skwing.detection._detectors import SkimageCascade, YuNet

__all__ = [
    "Dataset",
    "SkimageCascade",
    "YuNet",
    "detect_all",
    "detect_boxes",
    "from_dataframe",
    "from_sleap_io",
    "load_300w",
    "load_aflw",
    "load_cofw",
    "load_wflw",
    "make_faces",
    "read_coco",
    "read_csv",
    "read_deeplabcut",
    "read_dlib_xml",
    "read_pts",
    "read_pts_folder",
    "read_tps",
    "to_sleap_io",
    "write_coco",
    "write_csv",
    "write_deeplabcut",
    "write_dlib_xml",
    "write_pts",
    "write_pts_folder",
    "write_tps",
]

# Pickles refer to the public name.
Dataset.__module__ = __name__
