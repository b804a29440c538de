import numpy as np
import pytest

from sebre.place.error_bars import angle_between, fit_error_bar
from sebre.place.plane_fit import fit_plane, refit

N = 16


def square(matrix, rng=None, noise=0.0):
    """Places of the cells of a plane: from (x, y, 1) to ap, dv, and ml without its side."""
    steps = (np.arange(N) + 0.5) / N
    x, y = np.meshgrid(steps, steps)
    places = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.array(matrix, float).T
    if rng is not None:
        places = places + noise * rng.standard_normal(places.shape)
    places[..., 2] = np.abs(places[..., 2])
    return places


CORONAL = [[0, 0.5, 6], [0, 8, 0], [10, 0, -5]]
HALF = [[0, 0, 6], [0, 8, 0], [5, 0, 0.2]]
SAGITTAL = [[12, 0, 0.5], [0, 11, -1], [0, 0.3, 1.2]]
OBLIQUE = [[5, 2, 3], [-2, 7, 1], [6, 0, -2]]


@pytest.mark.parametrize("matrix", [CORONAL, HALF, SAGITTAL, OBLIQUE])
def test_a_plane_is_found(matrix):
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:N, :N] / (N - 1) - 0.5
    tissue = (x**2 + y**2 < 0.2).astype(float)
    found = fit_plane(square(matrix, rng, 0.3), np.full((N, N, 3), 0.3), tissue)
    matrix = np.array(matrix, float)
    wanted = np.cross(matrix[:, 0], matrix[:, 1])
    assert angle_between(found.normal, wanted / np.linalg.norm(wanted)) < 3
    place = matrix @ [0.5, 0.5, 1]
    assert found.center_mm == pytest.approx([*place[:2], abs(place[2])], abs=0.25)
    assert found.crosses == (matrix[2] @ [0.1, 0.5, 1] < -0.5)
    assert found.misfit_mm < 1


def test_some_wrong_cells_do_not_matter():
    places = square(SAGITTAL)
    places[:3, :3] += 5
    found = fit_plane(places, np.full((N, N, 3), 0.3), np.ones((N, N)))
    assert found.center_mm == pytest.approx(np.array(SAGITTAL) @ [0.5, 0.5, 1], abs=0.1)


def test_hardly_any_tissue_has_no_plane():
    tissue = np.zeros((N, N))
    tissue[3, 3:6] = 1
    assert fit_plane(square(CORONAL), np.ones((N, N, 3)), tissue) is None


def test_other_places_keep_the_sides():
    places, tissue = square(CORONAL), np.ones((N, N))
    found = fit_plane(places, np.full((N, N, 3), 0.3), tissue)
    again = refit(found, places + [1, 0, 0], tissue)
    assert again.center_mm - found.center_mm == pytest.approx([1, 0, 0], abs=0.02)
    assert again.normal == pytest.approx(found.normal, abs=0.01)


def test_angles_leave_out_the_side():
    normal = np.array([0.6, 0.0, 0.8])
    assert angle_between(normal, -normal) == pytest.approx(0, abs=1e-3)
    assert angle_between(normal, normal * [1, 1, -1]) == pytest.approx(0, abs=1e-3)
    assert angle_between(np.eye(3)[0], np.eye(3)[1]) == pytest.approx(90)


def test_nine_of_ten_errors_are_inside_their_bar():
    rng = np.random.default_rng(2)
    signs = rng.standard_normal((4000, 5))
    errors = np.exp(0.7 * signs[:, 0] - 0.2) * np.abs(rng.standard_normal(4000))
    bar = fit_error_bar(signs[:2000], errors[:2000], 0.05)
    inside = errors[2000:] <= bar.bar(signs[2000:])
    assert inside.mean() == pytest.approx(0.9, abs=0.02)
    # Where the sign says more, the bar is longer; and as often right.
    high = signs[2000:, 0] > 0
    assert bar.bar(signs[2000:])[high].mean() > 2 * bar.bar(signs[2000:])[~high].mean()
    assert inside[high].mean() == pytest.approx(0.9, abs=0.04)
    assert type(bar).from_array(bar.to_array()).bar(signs) == pytest.approx(bar.bar(signs))
