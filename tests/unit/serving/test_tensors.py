"""Tensors as JSON lists and as raw bytes: what goes in comes out, and what does not fit is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from infra.serving import tensors
from infra.serving.tensors import BadTensor

VALUES = {
    "b": st.booleans(), "i": st.integers(-(2**7), 2**7 - 1), "u": st.integers(0, 2**8 - 1),
    "f": st.floats(width=16, allow_nan=False, allow_infinity=False), "O": st.text(max_size=4),
}  # fmt: skip


@given(st.data(), st.sampled_from(sorted(tensors.NUMPY)))
def test_tensors_survive_both_ways(data, datatype):
    dtype = tensors.DTYPES[datatype]
    shape = data.draw(arrays.array_shapes(min_dims=0, max_dims=3, max_side=3))
    array = np.empty(shape, dtype)
    array[...] = np.array(
        data.draw(st.lists(VALUES[dtype.kind], min_size=array.size, max_size=array.size)), dtype=dtype
    ).reshape(shape)
    back = tensors.from_bytes("x", datatype, list(shape), memoryview(tensors.to_bytes(array)))
    listed = tensors.from_list("x", datatype, list(shape), json.loads(json.dumps(array.ravel().tolist())))
    for found in (back, listed):
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)
    assert tensors.name_of(array) == datatype


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("UINT8", [True]),
        ("FP64", [True]),
        ("FP16", ["1"]),
        ("BOOL", [None]),
        ("BYTES", [True]),
        ("UINT8", [256]),
        ("INT64", [1.5]),
        ("BOOL", [2]),
        ("BYTES", [1]),
        ("FP16", [1e6]),
        ("INT8", ["1"]),
        ("UINT64", [-1]),
        ("UINT64", [2**64]),
        ("INT64", [2**63]),
        ("INT64", [10**400]),
        ("FP32", [10**400]),
    ],
)
def test_values_that_do_not_fit_are_refused(datatype, data):
    with pytest.raises(BadTensor):
        tensors.from_list("x", datatype, [1], data)


def test_a_raw_truth_value_is_0_or_1():
    for data in (b"", b"\0\1\1"):
        found = tensors.from_bytes("x", "BOOL", [len(data)], memoryview(data))
        assert found.tolist() == [bool(each) for each in data]
    for bad in (b"\2\0\1", b"\0\1\xff"):
        with pytest.raises(BadTensor, match="'x' is no BOOL: its bytes must be 0 or 1"):
            tensors.from_bytes("x", "BOOL", [3], memoryview(bad))


@pytest.mark.parametrize(
    ("datatype", "data"),
    [("UINT64", [[2**64 - 1, 0]]), ("INT64", [[-(2**63), 2**63 - 1]]), ("UINT8", [[0, 255]]), ("FP16", [[65504, -0.0]])],
)
def test_the_most_extreme_values_survive_in_nested_lists_too(datatype, data):
    found = tensors.from_list("x", datatype, [1, 2], data)
    assert (found.dtype, found.tolist()) == (tensors.DTYPES[datatype], data)
