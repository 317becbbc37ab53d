"""The window that suits a movie."""

from __future__ import annotations

import numpy as np
import pytest

from bravaismap.classify.settings import Settings
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.movie import as_movie
from bravaismap.phases.first_look import WindowChoice, cell_side, choose_window, settled, window_for
from bravaismap.simulate.crystal import gaussian_atoms, lattice_sites


def crystal(basis: np.ndarray, shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    sites = lattice_sites(basis, shape, np.zeros(2), 20.0)
    width = np.full(len(sites), 0.18 * np.sqrt(abs(np.linalg.det(basis))))
    image = gaussian_atoms(sites, np.ones(len(sites)), width, shape)
    return image + 0.1 * np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("spacing", [5.0, 11.0, 16.0])
def test_window_holds_ten_cells(spacing: float) -> None:
    basis = basis_from_cell(spacing, spacing, np.radians(60), 0.3)
    movie = as_movie(np.stack([crystal(basis, (288, 320), seed) for seed in range(2)]))
    choice = choose_window(movie)
    assert choice.window == window_for(basis, 288)
    assert choice.window % 8 == 0
    assert choice.step == choice.window // 8
    assert 9 <= choice.window / np.sqrt(abs(np.linalg.det(basis))) <= 12
    assert f"{spacing:.0f}." in choice.reason or f"{spacing - 0.1:.1f}" in choice.reason


def test_window_is_turned_and_scaled_with_the_lattice() -> None:
    basis = basis_from_cell(10.0, 17.0, np.radians(80), 0.1)
    turned = basis_from_cell(10.0, 17.0, np.radians(80), 1.3)
    assert window_for(basis, 600) == window_for(turned, 600) == 136
    assert window_for(2 * basis, 600) == 264
    assert window_for(0.1 * basis, 600) == 32
    assert window_for(10 * basis, 2000) == 512
    assert window_for(10 * basis, 300) == 300


def test_window_of_a_frame_of_few_cells_leaves_room_for_a_second_grain() -> None:
    basis = basis_from_cell(20.0, 20.0, np.pi / 2)
    assert window_for(basis, 340) == 200  # ten cells
    assert window_for(basis, 240) == 144  # three fifths of the frame
    assert window_for(basis, 150) == 120  # six cells
    assert window_for(basis, 100) == 100  # all there are


def test_slender_cell_has_five_of_its_long_side() -> None:
    assert window_for(basis_from_cell(8.0, 40.0, np.pi / 2), 600) == 200


def test_nothing_is_found_in_noise() -> None:
    noise = np.random.default_rng(3).standard_normal((3, 160, 160))
    assert cell_side(as_movie(noise)) == 12.8
    assert choose_window(as_movie(noise)) == WindowChoice(128, 16, "no lattice in frames 0, 1 and 2", 12.8)
    assert choose_window(as_movie(noise[:1, :64])).window == 64


def test_frames_without_a_lattice_are_not_said_to_show_it() -> None:
    frames = np.random.default_rng(3).standard_normal((3, 160, 160))
    frames[0] = crystal(basis_from_cell(11.0, 11.0, np.pi / 2), (160, 160))
    assert choose_window(as_movie(frames)).reason.endswith("found in frame 0")


def test_step_of_the_pixels_is_the_same_whether_the_window_is_given() -> None:
    basis = basis_from_cell(12.5, 12.5, np.pi / 2, 0.2)
    movie = as_movie(np.stack([crystal(basis, (128, 128), seed) for seed in range(3)]))
    assert cell_side(movie) == pytest.approx(12.5, rel=0.02)
    assert choose_window(movie).cell == cell_side(movie)
    for window in ("auto", 64):
        assert settled(Settings(window=window), movie).pixel_step == 3
    assert settled(Settings(window=64, pixel_step=2), movie).pixel_step == 2
    assert settled(Settings(window=64, pixels=False), movie).pixel_step is None


def test_frame_without_a_lattice_does_not_speak() -> None:
    basis = basis_from_cell(12.0, 12.0, np.pi / 2, 0.2)
    noise = np.random.default_rng(5).standard_normal((200, 200))
    movie = as_movie(np.stack([noise, crystal(basis, (200, 200)), crystal(basis, (200, 200), 1)]))
    assert choose_window(movie).window == window_for(basis, 200)


def test_pixels_that_were_never_measured_do_not_matter() -> None:
    basis = basis_from_cell(12.0, 12.0, np.pi / 3, 0.2)
    image = crystal(basis, (256, 256))
    image[200:] = np.nan
    assert choose_window(as_movie(image)).window == window_for(basis, 256)
