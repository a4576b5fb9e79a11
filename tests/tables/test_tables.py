import numpy as np
import pytest

from tf_lungreg.errors import InputError, MissingFileError
from tf_lungreg.tables.landmarks import match_landmarks, read_landmarks
from tf_lungreg.tables.table import read_table, write_table


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_cells_are_stripped_and_kept_as_text(tmp_path):
    path = write(tmp_path / "a.csv", '\ufeff name , x,note\r\n a ,1,"one, two"\r\n\r\nb, 2 ,\r\n')
    assert read_table(path, ("x", "name")) == [
        {"name": "a", "x": "1", "note": "one, two"},
        {"name": "b", "x": "2", "note": ""},
    ]


def test_the_delimiter_follows_the_suffix_or_the_caller(tmp_path):
    assert read_table(write(tmp_path / "a.tsv", "a,b\tc\n1\t2\n")) == [{"a,b": "1", "c": "2"}]
    assert read_table(write(tmp_path / "a.txt", "a,b\n1,2\n")) == [{"a": "1", "b": "2"}]
    assert read_table(write(tmp_path / "b.txt", "a;b\n1;2\n"), ["b"], ";") == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["no rows"]),
        ("\n \n", ["no rows"]),
        ("name,x\n", ["no rows", "needed"]),
        ("name;x\na;1\n", ["separated by semicolons", "commas are needed"]),
        ("name\tx\na\t1\n", ["separated by tabs", "commas are needed in a .csv file"]),
        ("name;y\na;1\n", ["no column 'name', 'x'", "among the 1 of", "commas"]),
        ("name,X\na,1\n", ["no column 'x'", "small letters"]),
        ("name,x,x\na,1,2\n", ["'x' appears twice"]),
        ("name,x\na,1\nb\n", ["line 3", "1 cells", "2 are needed"]),
        ("name,x\na,1,5\n", ["line 2", "3 cells"]),
        (b"name,x\na,\xff\xfe\n", ["UTF-8"]),
        (b"\x1f\x8b\x08\x00\x9c", ["UTF-8"]),
        ('name,x\n"a,1\n', ["a quotation mark is opened and not closed"]),
        ('name,x\n"a"b,1\n', ["not a readable table"]),
    ],
)
def test_bad_tables(tmp_path, text, words):
    path = write(tmp_path / "a.csv", text)
    with pytest.raises(InputError) as caught:
        read_table(path, ["name", "x"])
    assert all(word in str(caught.value) for word in [str(path), *words]), str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_tsv_with_commas(tmp_path):
    path = write(tmp_path / "participants.tsv", "participant_id,diagnosis\n001,ssc\n")
    words = r"participants\.tsv: the columns are separated by commas; tabs are needed in a \.tsv"
    with pytest.raises(InputError, match=words):
        read_table(path, ("participant_id",))


@pytest.mark.parametrize("text", ["root:x:0:0:root\nroot:y\n", "root,root\na,b\n"])
def test_errors_do_not_repeat_a_header_that_is_no_tables(tmp_path, text):
    path = write(tmp_path / "passwd", text)
    for read in (read_landmarks, lambda p: read_table(p, ["fixed", "moving"])):
        with pytest.raises(InputError) as caught:
            read(path)
        assert "root" not in str(caught.value).replace(str(path), "")


def test_missing_tables(tmp_path):
    with pytest.raises(MissingFileError, match=r"none\.csv: no such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(InputError, match=f"{tmp_path}: is a folder; a table is needed"):
        read_table(tmp_path)
    with pytest.raises(MissingFileError, match=r"none\.csv"):
        read_landmarks(tmp_path / "none.csv")


@pytest.mark.parametrize("name", ["new/a.csv", "new/a.tsv"])
def test_written_tables_come_back(tmp_path, name):
    path = tmp_path / name
    write_table(path, [{"name": "a,\tb", "x": 0.1}, {"name": 'c"', "y": None, "x": np.float32(3)}])
    assert read_table(path) == [
        {"name": "a,\tb", "x": "0.1", "y": "n/a"},
        {"name": 'c"', "x": "3.0", "y": "n/a"},
    ]
    with pytest.raises(InputError, match=rf"{path}: already exists"):
        write_table(path, [{"name": "z"}])
    write_table(path, [{"name": "z"}], overwrite=True)
    assert read_table(path) == [{"name": "z"}]
    write_table(path, [{"a": 1, "b": 2}], ";", overwrite=True)
    assert path.read_text() == "a;b\n1;2\n"
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_nothing_to_write(tmp_path):
    with pytest.raises(InputError, match=r"a\.csv: no rows"):
        write_table(tmp_path / "a.csv", [])
    assert not list(tmp_path.iterdir())


def test_landmarks_without_observers(tmp_path):
    marks = read_landmarks(write(tmp_path / "a.csv", "name,x,y,z\ncarina,1,-2.5,3e1\napex,4,5,6\n"))
    assert marks.names == ["carina", "apex"] and list(marks.points) == [""]
    np.testing.assert_array_equal(marks.points[""]["carina"], [1, -2.5, 30])
    np.testing.assert_array_equal(marks.mean()["apex"], [4, 5, 6])


def test_landmarks_in_lps(tmp_path):
    path = write(tmp_path / "a.csv", "name,x,y,z\na,1,-2.5,3\n")
    np.testing.assert_array_equal(read_landmarks(path, "lps").mean()["a"], [-1, 2.5, 3])
    with pytest.raises(InputError, match="coordinates: 'ras' or 'lps' is needed, not 'RAI'"):
        read_landmarks(path, "RAI")


FIXED = "x,z,y,name,observer\n1,3,2,a,one\n3,5,4,a,two\n7,9,8,b,two\n5,5,5,d,one\n"
MOVING = "name,x,y,z\nc,0,0,0\nb,10,20,30\na,-1,-2,-3\n"


def test_landmarks_are_joined_by_name_and_averaged_over_observers(tmp_path):
    fixed = read_landmarks(write(tmp_path / "f.csv", FIXED))
    moving = read_landmarks(write(tmp_path / "m.csv", MOVING))
    assert set(fixed.points) == {"one", "two"} and fixed.names == ["a", "d", "b"]
    names, in_fixed, in_moving = match_landmarks(fixed, moving)
    assert names == ["a", "b"]
    np.testing.assert_array_equal(in_fixed, [[2, 3, 4], [7, 8, 9]])
    np.testing.assert_array_equal(in_moving, [[-1, -2, -3], [10, 20, 30]])
    names, back, _ = match_landmarks(moving, fixed)
    assert names == ["b", "a"] and back.shape == (2, 3)


def test_no_landmark_in_common(tmp_path):
    fixed = read_landmarks(write(tmp_path / "f.csv", FIXED))
    moving = read_landmarks(write(tmp_path / "m.csv", "name,x,y,z\nA,1,2,3\n"))
    with pytest.raises(InputError, match=r"f\.csv and .*m\.csv: no landmark in common"):
        match_landmarks(fixed, moving)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("a,1,2,three\n", ["'a'", "1, 2, three", "numbers"]),
        ("a,1,2,\n", ["'a'", "numbers"]),
        ("a,1,nan,3\n", ["'a'", "nan", "finite"]),
        ("a,1,inf,3\n", ["'a'", "finite"]),
        (",1,2,3\n", ["without a name"]),
        ("a,1,2,3\nb,1,2,3\na,4,5,6\n", ["'a' appears twice"]),
        ("a,1,2\n", ["line 2"]),
    ],
)
def test_bad_landmarks(tmp_path, rows, words):
    path = write(tmp_path / "marks.csv", "name,x,y,z\n" + rows)
    with pytest.raises(InputError) as caught:
        read_landmarks(path)
    assert all(word in str(caught.value) for word in [str(path), *words]), str(caught.value)


def test_a_name_twice_for_one_observer(tmp_path):
    text = "name,x,y,z,observer\na,1,2,3,one\na,1,2,3,two\na,1,2,3,two\n"
    with pytest.raises(InputError, match=r"m\.csv: .*'a' appears twice for the observer 'two'"):
        read_landmarks(write(tmp_path / "m.csv", text))
