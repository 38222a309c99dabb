"""Real inputs for the demonstration, made on the spot: tables, an observation, an image, models, and three broken objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from infra.demo import measurement_set
from infra.demo.measurement_set import Observation


def digits(folder: Path) -> tuple[Path, Path]:
    """The 1797 handwritten digits bundled with scikit-learn, 64 pixels and a label each, as CSV and as Parquet."""
    import pyarrow
    from pyarrow import csv, parquet

    images, labels = _digits()
    columns = {f"pixel_{number:02}": pyarrow.array(images[:, number].astype("i4")) for number in range(images.shape[1])}
    table = pyarrow.table(columns | {"label": pyarrow.array(labels.astype("i4"))})
    as_csv, as_parquet = folder / "digits.csv", folder / "digits.parquet"
    csv.write_csv(table, as_csv)
    parquet.write_table(table, as_parquet, row_group_size=256, compression="zstd")
    return as_csv, as_parquet


def observation(folder: Path, what: Observation | None = None) -> Path:
    """A MeasurementSet of about 23 MB, zipped without compression."""
    made = measurement_set.write(folder / "observation.ms", what)
    return measurement_set.pack(made, folder / "observation.ms.zip")


def image(folder: Path, size: int = 512) -> Path:
    """A FITS image of twelve stars over noise, with celestial coordinates, stored as scaled 16-bit integers."""
    from astropy.io import fits
    from astropy.wcs import WCS

    rng = np.random.default_rng(7)
    y, x = np.mgrid[:size, :size]
    sky = rng.normal(10.0, 1.0, (size, size))
    for across, up, flux in rng.uniform((0, 0, 50), (size, size, 900), (12, 3)):
        sky += flux * np.exp(-((x - across) ** 2 + (y - up) ** 2) / (2 * 2.5**2))
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [83.633, 22.014], [size / 2, size / 2], [-0.0005, 0.0005]
    hdu = fits.PrimaryHDU(sky.astype("f4"), wcs.to_header())
    hdu.header["OBJECT"], hdu.header["TELESCOP"], hdu.header["BUNIT"] = "CRAB", "SYNTHETIC", "adu"
    hdu.header["DATE-OBS"] = "2026-01-15T21:30:00"
    hdu.scale("int16", "minmax")
    path = folder / "image.fits"
    hdu.writeto(path, overwrite=True)
    return path


def models(folder: Path) -> tuple[Path, Path]:
    """Two versions of a classifier of the digits as ONNX: logistic regression, then a network with one hidden layer.

    Both take ``pixels`` (float32 [N, 64], 0 to 16) and give ``label`` and ``probabilities``; their accuracy on digits that they
    never saw is in the model's properties.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    images, labels = _digits()
    train, test, train_labels, test_labels = train_test_split(images / 16, labels, test_size=0.25, random_state=0)
    paths = []
    linear = LogisticRegression(C=0.01, max_iter=200).fit(train, train_labels)
    network = MLPClassifier((48,), max_iter=60, random_state=0, tol=1e-2).fit(train, train_labels)
    for version, model, layers in (
        ("1", linear, [(linear.coef_.T, linear.intercept_)]),
        ("2", network, list(zip(network.coefs_, network.intercepts_, strict=True))),
    ):
        path = folder / f"v{version}" / "digits.onnx"
        path.parent.mkdir(exist_ok=True)
        accuracy = float(model.score(test, test_labels))
        path.write_bytes(_onnx(layers, type(model).__name__, accuracy))
        paths.append(path)
    return paths[0], paths[1]


def broken(folder: Path, whole_image: Path) -> tuple[Path, Path, Path]:
    """A FITS image that was cut off, an empty object, and a zip that is called a MeasurementSet but is none."""
    import zipfile

    cut, empty, other = folder / "truncated.fits", folder / "empty.csv", folder / "no-measurement-set.ms.zip"
    cut.write_bytes(whole_image.read_bytes()[: whole_image.stat().st_size * 2 // 3])
    empty.write_bytes(b"")
    with zipfile.ZipFile(other, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("holiday/readme.txt", "No visibilities here.\n")
        archive.writestr("holiday/beach.txt", "Sand.\n")
    return cut, empty, other


def _digits() -> tuple[Any, Any]:
    from sklearn.datasets import load_digits

    found = load_digits()
    return found.data, found.target


def _onnx(layers: list[tuple[Any, Any]], producer: str, accuracy: float) -> bytes:
    """Dense layers with ReLU between them and a softmax at the end, over pixels scaled to 0..1."""
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes = [helper.make_node("Div", ["pixels", "sixteen"], ["x0"])]
    weights = [numpy_helper.from_array(np.array(16, dtype="f4"), "sixteen")]
    for number, (matrix, bias) in enumerate(layers):
        weights.append(numpy_helper.from_array(matrix.astype("f4"), f"w{number}"))
        weights.append(numpy_helper.from_array(bias.astype("f4"), f"b{number}"))
        nodes.append(helper.make_node("Gemm", [f"x{number}", f"w{number}", f"b{number}"], [f"y{number}"]))
        if number < len(layers) - 1:
            nodes.append(helper.make_node("Relu", [f"y{number}"], [f"x{number + 1}"]))
    last = f"y{len(layers) - 1}"
    nodes.append(helper.make_node("Softmax", [last], ["probabilities"], axis=1))
    nodes.append(helper.make_node("ArgMax", [last], ["label"], axis=1, keepdims=0))
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 64])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 10]),
        ],
        weights,
    )
    model = helper.make_model(graph, producer_name="sluice-demo", opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {"accuracy": f"{accuracy:.4f}", "estimator": producer, "dataset": "digits"})
    checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
