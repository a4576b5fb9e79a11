"""Points that 3D Slicer saved, as its versions write them."""

import json

import numpy as np
import pytest

from tf_lungreg.errors import InputError, MissingFileError
from tf_lungreg.tables.landmarks import read_landmarks
from tf_lungreg.tables.table import write_table

FCSV = """# Markups fiducial file version = {version}
# CoordinateSystem = {system}
# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID
vtkMRMLMarkupsFiducialNode_0,10.5,-20,30,0,0,0,1,1,1,0,carina,,vtkMRMLScalarVolumeNode1
vtkMRMLMarkupsFiducialNode_1,1,2,3,0,0,0,1,1,1,0,"apex, left",,
"""


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def markups(system="LPS", points=None, **more):
    if points is None:
        points = [
            {
                "id": "1",
                "label": "carina",
                "position": [10.5, -20, 30],
                "positionStatus": "defined",
            },
            {"id": "2", "label": "apex, left", "position": [1, 2, 3]},
            {"id": "3", "label": "later", "position": [0, 0, 0], "positionStatus": "undefined"},
        ]
    node = {"type": "Fiducial", "coordinateSystem": system, "controlPoints": points, **more}
    return json.dumps({"@schema": "https://example.org/markups-schema#", "markups": [node]})


@pytest.mark.parametrize("flag", ["ras", "lps"])
@pytest.mark.parametrize(
    ("version", "system", "sign"),
    [("4.10", "0", 1), ("4.10", "1", -1), ("4.11", "LPS", -1), ("4.13", "RAS", 1)],
)
def test_fcsv_in_its_own_system(tmp_path, version, system, sign, flag):
    path = write(tmp_path / "F.fcsv", FCSV.format(version=version, system=system))
    points = read_landmarks(path, flag).mean()
    assert list(points) == ["carina", "apex, left"]
    np.testing.assert_allclose(points["carina"], [sign * 10.5, -sign * 20, 30])


@pytest.mark.parametrize("flag", ["ras", "lps"])
@pytest.mark.parametrize(("system", "sign"), [("LPS", -1), ("RAS", 1)])
def test_json_in_its_own_system(tmp_path, system, sign, flag):
    text = markups(system, coordinateUnits=["mm", "UCUM", "millimeter"])
    read_landmarks(write(tmp_path / "F.json", text), flag)  # renamed
    points = read_landmarks(write(tmp_path / "F.mrk.json", text), flag).mean()
    assert list(points) == ["carina", "apex, left"]  # the third has no position yet
    np.testing.assert_allclose(points["carina"], [sign * 10.5, -sign * 20, 30])


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.fcsv", FCSV.format(version="4.10", system="2"), "coordinate system '2'; RAS or LPS"),
        ("a.fcsv", "name,x,y,z\na,1,2,3\n", "coordinate system ''"),
        ("a.fcsv", "# CoordinateSystem = LPS\n", "holds no points"),
        ("a.fcsv", "# CoordinateSystem = LPS\n1,2,3\n", "not a readable file of points"),
        ("a.mrk.json", markups("IJK"), "coordinate system 'IJK'"),
        ("a.mrk.json", markups(coordinateUnits="um"), "coordinates in um; mm are needed"),
        ("a.mrk.json", markups(points=[]), "holds no points"),
        ("a.mrk.json", markups(points=[{"label": "a"}]), "not a readable file of points"),
        ("a.mrk.json", markups(points=[{"label": "a", "position": [1, 2]}]), "not a readable"),
        ("a.mrk.json", markups(points=[{"label": "a", "position": [1, 2, "x"]}]), "finite numbers"),
        ("a.mrk.json", markups(points=[{"label": "", "position": [1, 2, 3]}]), "without a name"),
        ("a.mrk.json", "{}", "not a readable file of points"),
        ("a.json", "{}", "not a readable file of points"),
        ("a.mrk.json", "[1]", "not a readable file of points"),
        ("a.mrk.json", "name,x,y,z", "not a readable file of points"),
        pytest.param("a.mrk.json", "[" * 100_000, "not a readable file of points", id="deep"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, name, text, words):
    path = write(tmp_path / name, text)
    with pytest.raises(InputError) as caught:
        read_landmarks(path)
    assert str(path) in str(caught.value) and words in str(caught.value), str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_such_file_and_none_written(tmp_path):
    with pytest.raises(MissingFileError, match="no such file"):
        read_landmarks(tmp_path / "a.mrk.json")
    with pytest.raises(InputError, match=r"a\.fcsv: .*end the name in \.csv"):
        write_table(tmp_path / "a.fcsv", [{"name": "a"}])
