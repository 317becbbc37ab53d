"""The spectrum: NumPy's FFT, spots where they belong, and what must not change it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bravaismap.errors import InputError
from bravaismap.spectrum import COLUMNS, REACH, ROWS, amplitude, mirrored, quarter_turned, spectrum, taper

RNG = np.random.default_rng(11)
NAMES = ("window", "paper")


def seen(image: np.ndarray, preprocessing: str = "window") -> np.ndarray:
    return spectrum(torch.from_numpy(np.asarray(image, np.float32))[None], preprocessing)[0].numpy()


def wave(size: int, ky: float, kx: float, phase: float = 0.3) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return np.cos(2 * np.pi * (ky * y + kx * x) + phase)


def reference(image: np.ndarray) -> np.ndarray:
    """Return the whole plane of the amplitude as the definition says it, k = 0 at the centre."""
    height, width = image.shape
    hann = [0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(n) + 1) / (n + 1)) for n in image.shape]
    weight = np.outer(*hann)
    plane = np.abs(np.fft.fft2((image - (image * weight).sum() / weight.sum()) * weight))
    half = plane[:, : width // 2 + 1]
    assert half.shape == (height, width // 2 + 1)
    return np.fft.fftshift(plane / half.mean())


def test_taper_is_a_hann_window_without_its_zeros() -> None:
    for size in (16, 33):
        expected = np.hanning(size + 2)[1:-1]
        np.testing.assert_allclose(taper(size).numpy(), expected, atol=1e-6)
        assert taper(size).min() > 0


@pytest.mark.parametrize("shape", [(128, 128), (64, 64), (33, 33), (32, 47), (101, 64), (200, 200)])
def test_amplitude_is_that_of_numpy(shape: tuple[int, int]) -> None:
    image = RNG.normal(5, 2, shape)
    found = amplitude(torch.from_numpy(image.astype(np.float32))[None])[0].numpy()
    expected = (
        reference(image)[:, shape[1] // 2 :] if shape[1] % 2 else np.roll(reference(image), shape[1] // 2, axis=1)
    )
    expected = expected[:, : shape[1] // 2 + 1]
    np.testing.assert_allclose(found, expected, atol=2e-3 * expected.max())
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.999999
    assert found.mean() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("preprocessing", "size"), [("window", 128), ("paper", 256)])
def test_spectrum_is_the_stretched_logarithm_of_the_central_part(preprocessing: str, size: int) -> None:
    image = RNG.normal(0, 1, (size, size)) + 2 * wave(size, 0.06, 0.04)
    plane = reference(image)
    part = np.log1p(plane[size // 2 - 32 : size // 2 + 32, size // 2 : size // 2 + 32])
    expected = (part - part.min()) / (part.max() - part.min())
    np.testing.assert_allclose(seen(image, preprocessing), expected, atol=1e-4)


@pytest.mark.parametrize(("preprocessing", "size"), [("window", 64), ("paper", 128), ("paper", 64)])
def test_enlarged_spectrum_holds_the_fft_pixels_where_they_are(preprocessing: str, size: int) -> None:
    image = RNG.normal(0, 1, (size, size)) + 2 * wave(size, 0.09, 0.03)
    zoom = round(ROWS / (2 * REACH[preprocessing] * size))
    plane, reach = reference(image), ROWS // 2 // zoom
    middle = size // 2
    part = np.log1p(plane[middle - reach : middle + reach, middle : middle + reach])
    found = seen(image, preprocessing)[::zoom, ::zoom]
    assert found.shape == part.shape
    gain, offset = np.polyfit(part.ravel(), found.ravel(), 1)
    assert gain > 0
    np.testing.assert_allclose(found, gain * part + offset, atol=1e-4)


@pytest.mark.parametrize("preprocessing", NAMES)
@pytest.mark.parametrize("size", [16, 33, 64, 100, 128, 129, 200, 333, 512])
def test_shape_range_and_dtype(preprocessing: str, size: int) -> None:
    found = seen(RNG.normal(0, 1, (size, size)), preprocessing)
    assert found.shape == (ROWS, COLUMNS) == (64, 32)
    assert found.dtype == np.float32
    assert found.min() == 0
    assert found.max() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("preprocessing", NAMES)
@pytest.mark.parametrize("size", [64, 100, 127, 128, 200, 255, 333, 512])
@pytest.mark.parametrize("direction", [0.0, 25.0, 60.0, 90.0, -40.0, -75.0])
def test_spot_lies_at_its_frequency(preprocessing: str, size: int, direction: float) -> None:
    k = 0.7 * REACH[preprocessing]
    ky, kx = k * np.sin(np.deg2rad(direction)), k * np.cos(np.deg2rad(direction))
    found = seen(wave(size, ky, kx), preprocessing)
    scale = ROWS / (2 * REACH[preprocessing])
    if abs(kx) < 1e-12:  # k and −k lie in the same column: both are seen
        assert np.abs(found[: ROWS // 2, 0].argmax() - (ROWS // 2 - k * scale)) <= 1
        found[: ROWS // 2] = 0
    # Where spots are broader than a pixel, or a run of pixels shares the highest amplitude, their centre counts.
    rows, columns = np.nonzero(found > 0.97 * found.max())
    blur = max(1.0, 2 * REACH[preprocessing] * ROWS / size / 2)
    assert abs(rows.mean() - (ROWS // 2 + ky * scale)) <= blur
    assert abs(columns.mean() - kx * scale) <= blur


@settings(deadline=None, max_examples=30)
@given(st.floats(0.01, 100), st.floats(-3, 3), st.booleans(), st.sampled_from([64, 128, 150]), st.sampled_from(NAMES))
def test_contrast_offset_and_inversion_do_not_matter(
    gain: float, offset: float, inverted: bool, size: int, preprocessing: str
) -> None:
    image = np.random.default_rng(size).normal(0, 1, (size, size)) + wave(size, 0.07, 0.05)
    changed = (-gain if inverted else gain) * (image + offset)
    np.testing.assert_allclose(seen(changed, preprocessing), seen(image, preprocessing), atol=2e-3)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 40), st.integers(0, 40))
def test_translation_hardly_matters(down: int, right: int) -> None:
    big = wave(200, 0.09, 0.02) + wave(200, -0.05, 0.08, 1.0) + 0.2 * np.random.default_rng(0).normal(size=(200, 200))
    first, moved = seen(big[:128, :128]), seen(big[down : down + 128, right : right + 128])
    spots = first > 0.9
    assert spots.sum() >= 2
    np.testing.assert_allclose(moved[spots], first[spots], atol=0.05)


@pytest.mark.parametrize("size", [33, 65, 101])
def test_rotation_by_a_quarter_turn_rotates_the_plane(size: int) -> None:
    def plane(image: np.ndarray) -> np.ndarray:
        half = amplitude(torch.from_numpy(image.astype(np.float32).copy())[None])[0].numpy()
        whole = np.concatenate([half[::-1, :0:-1], half], axis=1)  # A(−k) = A(k)
        return whole / whole.mean()

    image = RNG.normal(0, 1, (size, size))
    turned, expected = plane(np.rot90(image)), np.rot90(plane(image))
    np.testing.assert_allclose(turned, expected, atol=2e-4 * expected.max())


@pytest.mark.parametrize("preprocessing", NAMES)
@pytest.mark.parametrize("size", [100, 128, 300])
def test_rotation_by_half_a_turn_changes_nothing(preprocessing: str, size: int) -> None:
    image = RNG.normal(0, 1, (size, size)) + wave(size, 0.04, 0.03)
    np.testing.assert_allclose(seen(image[::-1, ::-1].copy(), preprocessing), seen(image, preprocessing), atol=1e-3)


@pytest.mark.parametrize("preprocessing", NAMES)
def test_mirror_image_mirrors_the_spectrum(preprocessing: str) -> None:
    for size in (100, 128, 129, 300):
        image = RNG.normal(0, 1, (size, size)) + wave(size, 0.04, 0.03)
        found, mirrored = seen(image, preprocessing), seen(image[::-1].copy(), preprocessing)
        np.testing.assert_allclose(mirrored[1:], found[:0:-1], atol=1e-3)


@pytest.mark.parametrize("size", [100, 128, 129])
def test_turned_and_mirrored_spectra_are_those_of_turned_and_mirrored_images(size: int) -> None:
    image = RNG.normal(0, 1, (size, size)) + 2 * wave(size, 0.04, 0.13) + wave(size, -0.11, 0.02)
    given = spectrum(torch.from_numpy(image.astype(np.float32))[None])
    # The first row, k_y = −32, has no counterpart.
    np.testing.assert_allclose(mirrored(given)[0, 1:], seen(image[::-1].copy())[1:], atol=2e-3)
    turned = quarter_turned(given)[0].numpy()
    for turns in (1, 3):
        np.testing.assert_allclose(turned[1:], seen(np.rot90(image, turns).copy())[1:], atol=5e-3)
    back = quarter_turned(quarter_turned(given))
    np.testing.assert_allclose(back[0, 1:, :-1], given[0, 1:, :-1], atol=1e-4)


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0, -3.7, 255.0, 65535.0])
@pytest.mark.parametrize("size", [64, 128, 301])
def test_constant_image_has_no_spectrum(value: float, size: int) -> None:
    image = np.full((size, size), value, np.float32)
    for preprocessing in NAMES:
        assert not seen(image, preprocessing).any()


def test_weak_signal_on_a_high_offset_is_still_seen() -> None:
    image = 1000 + RNG.normal(0, 1, (128, 128)) + 3 * wave(128, 0.1, 0.1)
    found = seen(image)
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert (abs(row - (32 + 12.8)), abs(column - 12.8)) <= (1, 1)


def test_an_image_is_seen_alike_alone_and_in_a_batch() -> None:
    images = torch.from_numpy(RNG.normal(0, 1, (5, 90, 90)).astype(np.float32))
    for preprocessing in NAMES:
        batch = spectrum(images, preprocessing)
        alone = torch.cat([spectrum(image[None], preprocessing) for image in images])
        torch.testing.assert_close(batch, alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.float64])
def test_any_type_of_pixel(dtype: torch.dtype) -> None:
    image = torch.from_numpy(RNG.integers(0, 100, (1, 64, 64))).to(dtype)
    torch.testing.assert_close(spectrum(image), spectrum(image.float()))


def test_images_that_are_not_square_and_unknown_names() -> None:
    with pytest.raises(InputError, match=r"\(1, 20, 30\).*\(n, size, size\)"):
        spectrum(torch.zeros(1, 20, 30))
    with pytest.raises(InputError, match=r"\(20, 20\)"):
        spectrum(torch.zeros(20, 20))
    with pytest.raises(InputError, match=r"'quarter'.*window, paper"):
        spectrum(torch.zeros(1, 20, 20), "quarter")
