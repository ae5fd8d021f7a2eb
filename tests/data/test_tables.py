"""Tables: kinds of columns, missing values, scaling by the training part alone, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kerasflow.data import Data, Preparation, load
from kerasflow.errors import DataError
from kerasflow.spec.data import DataSpec

Load = Callable[..., Data]


def test_numbers_then_one_hot_categories(table: pd.DataFrame, load_csv: Load) -> None:
    data = load_csv(table, spec={"split": {"test": 0, "validation": 0}})
    x = data.train.x[:]
    assert x.dtype == np.float32
    assert x.shape == (60, 3 + 3)
    assert np.array_equal(x[:, :3], table[["age", "fare", "alone"]].to_numpy(np.float32))
    assert np.array_equal(x[:, 3:].argmax(axis=1), table["port"].astype("category").cat.codes)
    assert x[:, 3:].sum(axis=1).tolist() == [1.0] * 60
    assert data.preparation.classes == ("lost", "saved")
    assert data.preparation.n_outputs == 1
    assert data.validation is None
    assert data.test is None


def test_the_summary_is_json_and_counts(table: pd.DataFrame, load_csv: Load) -> None:
    summary = load_csv(table).summary
    assert json.loads(json.dumps(summary)) == summary
    assert summary["rows"] == {"train": 42, "validation": 6, "test": 12}
    assert summary["balance"] == {
        "train": {"lost": 14, "saved": 28},
        "validation": {"lost": 2, "saved": 4},
        "test": {"lost": 4, "saved": 8},
    }


def test_a_parquet_table_is_the_same_data(table: pd.DataFrame, load_csv: Load, tmp_path: Path) -> None:
    table["port"] = table["port"].astype("category")
    table.to_parquet(tmp_path / "table.parquet")
    source = {"parquet": {"path": str(tmp_path / "table.parquet"), "target": "fate"}}
    parquet, csv = load(DataSpec(source=source), 0), load_csv(table)
    assert np.array_equal(parquet.train.x[:], csv.train.x[:])
    assert parquet.fingerprint == csv.fingerprint


@pytest.mark.parametrize("scale", ["unit", "standard"])
def test_scaling_knows_the_training_part_alone(table: pd.DataFrame, load_csv: Load, scale: str) -> None:
    table["age"] = table["age"].astype(float)
    plain = load_csv(table)
    assert plain.test is not None
    # Held-out rows that dwarf all others must change nothing in the training part.
    held_out = table["age"].isin(plain.test.x[:][:, 0])
    rest = table["age"].isin(plain.train.x[:][:, 0])
    loud = table.assign(age=table["age"].where(rest | ~held_out, 1e6))
    quiet_train = load_csv(table, spec={"scale": scale}).train.x[:]
    assert np.array_equal(load_csv(loud, spec={"scale": scale}).train.x[:], quiet_train)
    ages = quiet_train[:, 0]
    if scale == "unit":
        assert (ages.min(), ages.max()) == (0.0, pytest.approx(1.0))
    else:
        assert ages.mean() == pytest.approx(0.0, abs=1e-6)
        assert ages.std() == pytest.approx(1.0, abs=1e-6)


def with_holes(table: pd.DataFrame) -> pd.DataFrame:
    table["fare"] = table["fare"].where(np.arange(60) != 3, 1e39).where(np.arange(60) != 5)
    table["port"] = table["port"].where(np.arange(60) != 5)
    table["alone"] = table["alone"].astype(object).where(np.arange(60) != 8)
    return table


def test_missing_values_are_never_silent(table: pd.DataFrame, load_csv: Load) -> None:
    with pytest.raises(DataError, match=r"'fare' \(2\), 'alone' \(1\), 'port' \(1\), the first in row 3, 5, 8"):
        load_csv(with_holes(table))


def test_rows_with_missing_values_are_dropped_and_counted(table: pd.DataFrame, load_csv: Load) -> None:
    data = load_csv(with_holes(table), missing="drop")
    assert data.summary["dropped_rows"] == 3
    assert sum(data.summary["rows"].values()) == 57


def test_missing_values_are_filled_from_the_training_part(table: pd.DataFrame, load_csv: Load) -> None:
    spec = {"split": {"test": 0, "validation": 0}}
    data = load_csv(with_holes(table), missing="impute", spec=spec)
    assert data.summary["imputed"] == {"fare": 2, "alone": 1, "port": 1}
    fare = table["fare"].where(table["fare"] < 1e39)
    assert data.train.x[:][3, 1] == pytest.approx(fare.median())
    assert data.train.x[:][5, 3:].argmax() == sorted(table["port"].dropna().unique()).index(table["port"].mode()[0])


def test_a_category_of_held_out_rows_alone_is_counted(table: pd.DataFrame, load_csv: Load) -> None:
    test = load_csv(table.assign(row=np.arange(60.0)), features=["row"]).test
    assert test is not None
    row = int(test.x[:][0, 0])
    table.loc[row, "port"] = "Nome"
    data = load_csv(table)
    assert data.summary["unknown_categories"] == {"test": {"port": 1}}
    assert data.test is not None
    assert data.test.x[:][0, 3:].tolist() == [0.0, 0.0, 0.0]


def test_several_targets(table: pd.DataFrame, load_csv: Load) -> None:
    table["cold"] = np.tile([0, 1], 30)
    table["wet"] = np.tile([0, 0, 1], 20)
    labels = load_csv(table, target=["cold", "wet"], drop=["fate"])
    assert (labels.preparation.task, labels.preparation.n_outputs) == ("multilabel", 2)
    assert labels.train.y.dtype == np.float32
    assert set(np.unique(labels.train.y)) == {0.0, 1.0}
    numbers = load_csv(table, target=["age", "fare"], drop=["fate"])
    assert (numbers.preparation.task, numbers.train.y.shape) == ("regression", (42, 2))


def test_new_rows_are_treated_alike_after_a_reload(table: pd.DataFrame, load_csv: Load, tmp_path: Path) -> None:
    data = load_csv(table, spec={"scale": "standard", "split": {"test": 0, "validation": 0}})
    data.preparation.save(tmp_path / "preparation.skops")
    assert [file.name for file in tmp_path.glob("preparation*")] == ["preparation.skops"]
    loaded = Preparation.load(tmp_path / "preparation.skops")
    shuffled = table[["port", "fare", "age", "alone"]].assign(remark="not learned from")
    shuffled.to_csv(tmp_path / "new.csv", index=False)
    table.to_parquet(tmp_path / "new.parquet")
    for name in ("new.csv", "new.parquet"):
        x, index = loaded.read(tmp_path / name)
        assert np.array_equal(x[:], data.train.x[:])
        assert (index.name, index.tolist()) == ("row", list(range(60)))
    assert (loaded.task, loaded.classes, loaded.targets) == ("binary", ("lost", "saved"), ("fate",))
    assert (loaded.input_shape, loaded.n_outputs) == ((6,), 1)


def test_new_rows_follow_the_policy_for_missing_values(table: pd.DataFrame, load_csv: Load, tmp_path: Path) -> None:
    holes = with_holes(table.copy())
    holes.to_csv(tmp_path / "new.csv", index=False)
    dropping = load_csv(table, missing="drop").preparation
    x, index = dropping.read(tmp_path / "new.csv")
    assert len(x) == 57
    assert {3, 5, 8}.isdisjoint(index)
    with pytest.raises(DataError, match="missing or infinite"):
        load_csv(table).preparation.read(tmp_path / "new.csv")


def test_an_unknown_category_warns_and_counts_as_none(table: pd.DataFrame, load_csv: Load, tmp_path: Path) -> None:
    preparation = load_csv(table).preparation
    table.head(2).assign(port=["Nome", "Cherbourg"]).to_csv(tmp_path / "new.csv", index=False)
    with pytest.warns(UserWarning, match=r"1 row\(s\) of column 'port' hold a category unknown"):
        x, _ = preparation.read(tmp_path / "new.csv")
    assert x[:][:, 3:].tolist() == [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]


def test_categories_that_look_like_numbers_stay_text(load_csv: Load, tmp_path: Path) -> None:
    frame = pd.DataFrame({"deck": ["1", "2", "A"] * 10, "fate": ["lost", "saved"] * 15})
    preparation = load_csv(frame).preparation
    frame.head(2).to_csv(tmp_path / "new.csv", index=False)
    x, _ = preparation.read(tmp_path / "new.csv")
    assert x[:].tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


def drop(name: str) -> Callable[[pd.DataFrame], Any]:
    return lambda table: table.drop(columns=name)


def put(name: str, values: Any) -> Callable[[pd.DataFrame], Any]:
    return lambda table: table.assign(**{name: values})


@pytest.mark.parametrize(
    ("change", "source", "message"),
    [
        (drop("fate"), {"target": "fatte"}, "no target column 'fatte'; its columns are 'age', 'fare'"),
        (put("fate", "lost"), {"target": "fat"}, "no target column 'fat'; .*, did you mean 'fate'"),
        (drop("fare"), {"features": ["age", "fair"]}, "no feature column 'fair'"),
        (drop("fare"), {"drop": ["agee"]}, "no column to drop 'agee'; .*, did you mean 'age'"),
        (put("fate", "lost"), {}, "only one class, 'lost'"),
        (put("fate", [None, *["lost", "saved"] * 29, "lost"]), {}, r"in the target, 'fate' \(1\), the first in row 0"),
        (put("fate", [np.inf, *range(59)]), {}, "target column 'fate': 1 NaN or infinite values in 1 row"),
        (put("fate", range(60)), {"spec": {"task": "classification"}}, "every class needs at least 3"),
        (put("day", pd.date_range("2020", periods=60)), {}, "column 'day' holds dates"),
        (put("id", [f"p{n}" for n in range(60)]), {}, "'id' holds 60 different texts in 60 rows"),
        (put("empty", np.nan), {}, "column 'empty' holds no value"),
        (put("Unnamed: 0", range(60)), {}, "'Unnamed: 0' has no name in the header"),
        (lambda table: table[["fate"]], {}, "no column is left"),
        (lambda table: table.head(0), {}, "holds no rows"),
        (lambda table: table.assign(fare=np.nan, age=1), {"missing": "drop", "features": ["fare"]}, "holds no value"),
    ],
)
def test_a_table_that_cannot_be_learned_from(
    table: pd.DataFrame, load_csv: Load, change: Any, source: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_csv(change(table), **source)
    assert "\n" not in str(caught.value)
    assert "table.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file"),
        (b"", "cannot be read as a table"),
        (b"a,b,y\n1,2,p\n1,2,3,4,q\n", "cannot be read as a table"),
        (b"a,y\n1,2,p\n1,2,q\n", "cannot be read as a table"),
        (b"a,a,y\n1,2,p\n", "more than one column named 'a'"),
        (b"a;y\n1;p\n2;q\n", "has no target column 'y'.*is the separator right"),
        (b"\xff\xfe\x00,y\n\x80,2\n", "cannot be read as a table"),
    ],
)
def test_a_file_that_is_no_table(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "table.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(DataSpec(source={"csv": {"path": str(path), "target": "y"}}), 0)


def test_a_file_that_is_no_parquet(tmp_path: Path) -> None:
    (tmp_path / "table.parquet").write_bytes(b"a,y\n1,2\n")
    with pytest.raises(DataError, match="cannot be read as a table"):
        load(DataSpec(source={"parquet": {"path": str(tmp_path / "table.parquet"), "target": "y"}}), 0)


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ("age,fare,alone\n1,2,True\n", "has no feature column 'port'"),
        ("age,fare,alone,port\nold,2,True,Cherbourg\n", "column 'age' must hold numbers, got 'old'"),
    ],
)
def test_new_rows_that_do_not_fit(table: pd.DataFrame, load_csv: Load, tmp_path: Path, new: str, message: str) -> None:
    (tmp_path / "new.csv").write_text(new)
    with pytest.raises(DataError, match=message):
        load_csv(table).preparation.read(tmp_path / "new.csv")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"target": ["a", "a"]}, "target must name each column once"),
        ({"target": []}, "at least one column"),
        ({"target": "a", "features": ["b", "b"]}, "features must name each column once"),
        ({"target": "a", "features": ["a", "b"]}, "features must not hold the target"),
    ],
)
def test_the_spec_names_each_column_once(source: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataSpec(source={"csv": {"path": "table.csv", **source}})
