"""Each loss against its value, by automatic derivatives, and its conjugate."""

import numpy as np
import pytest
import torch

from sklearn_twolayer._losses.loss import (
    LOGISTIC,
    LONGEST_STEP,
    SOFTMAX,
    class_loss,
    class_targets,
    scores_basis,
)


def problem(n_classes, seed=0, size=3.0):
    """A loss, and outputs and targets of some rows."""
    generator = np.random.default_rng(seed)
    number = generator.integers(n_classes, size=7)
    n_outputs = 1 if n_classes == 2 else n_classes - 1
    outputs = size * generator.standard_normal((7, n_outputs))
    targets = torch.from_numpy(class_targets(number, n_classes))
    return class_loss(n_classes), torch.from_numpy(outputs), targets, number


CLASSES = pytest.mark.parametrize("n_classes", [2, 3, 5])


@CLASSES
def test_value_is_the_log_loss(n_classes):
    loss, outputs, targets, number = problem(n_classes)
    if n_classes == 2:
        scores = np.column_stack([np.zeros(7), outputs[:, 0]])
    else:
        scores = outputs.numpy() @ scores_basis(n_classes - 1).numpy().T
    share = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    expected = -np.log(share[np.arange(7), number])
    np.testing.assert_allclose(loss.value(outputs, targets), expected, rtol=1e-12)


@CLASSES
def test_derivatives_are_those_of_the_value(n_classes):
    loss, outputs, targets, _ = problem(n_classes)

    def total(values):
        return loss.value(values, targets).sum()

    gradient = torch.autograd.functional.jacobian(total, outputs)
    torch.testing.assert_close(loss.gradient(outputs, targets), gradient)
    hessian = torch.autograd.functional.hessian(total, outputs)
    changes = torch.from_numpy(np.random.default_rng(1).standard_normal(outputs.shape))
    product = torch.einsum("ijkl,kl->ij", hessian, changes)
    torch.testing.assert_close(loss.product(outputs, targets, changes), product)
    own = torch.stack([hessian[i, :, i] for i in range(len(outputs))])
    mean = torch.linalg.eigvalsh(own).mean(dim=1)
    torch.testing.assert_close(loss.curvature(outputs, targets), mean)


@CLASSES
def test_conjugate_meets_the_loss_where_the_slope_is_its_derivative(n_classes):
    """Fenchel: f.p <= loss(f) + conjugate(p), with equality at the derivative."""
    loss, outputs, targets, _ = problem(n_classes)
    slopes = loss.gradient(outputs, targets)
    both = loss.value(outputs, targets) + loss.conjugate(slopes, targets)
    torch.testing.assert_close(both, (outputs * slopes).sum(dim=1))
    for shrink in (0.0, 0.3, 0.9):
        conjugate = loss.conjugate(shrink * slopes, targets)
        others = problem(n_classes, seed=3)[1]
        least = (shrink * others * slopes).sum(dim=1) - loss.value(others, targets)
        assert (conjugate >= least - 1e-12).all()
        # The supremum is finite, and reached where the slope is the derivative.
        assert torch.isfinite(conjugate).all()


@CLASSES
@pytest.mark.parametrize("size", [1.0, 100.0])
def test_working_targets_are_newton_steps_that_are_not_too_long(n_classes, size):
    loss, outputs, targets, _ = problem(n_classes, size=size)
    weights, steps = loss.working(outputs, targets)
    assert (weights > 0.0).all()
    assert (torch.linalg.vector_norm(steps, dim=1) <= LONGEST_STEP * (1 + 1e-12)).all()
    slopes = loss.gradient(outputs, targets)
    torch.testing.assert_close(-weights[:, None] * steps, slopes)
    curvature = loss.curvature(outputs, targets).clamp_min(1e-12)
    is_newton = torch.linalg.vector_norm(slopes, dim=1) <= LONGEST_STEP * curvature
    assert is_newton.any()
    torch.testing.assert_close(weights[is_newton], curvature[is_newton])


@CLASSES
def test_probabilities_near_zero_keep_their_digits(n_classes):
    loss, _, targets, _ = problem(n_classes)
    right = 40.0 * targets if n_classes > 2 else 80.0 * targets - 40.0
    slopes = loss.gradient(right, targets)
    assert (torch.linalg.vector_norm(slopes, dim=1) < 1e-12).all()
    if n_classes == 2:
        assert (slopes != 0.0).all()
    values = loss.value(right, targets)
    assert (values.abs() < 1e-12).all()


def test_basis_is_orthonormal_and_sums_to_zero():
    for n_outputs in (1, 2, 6):
        basis = scores_basis(n_outputs).numpy()
        np.testing.assert_allclose(basis.T @ basis, np.eye(n_outputs), atol=1e-15)
        np.testing.assert_allclose(basis.sum(axis=0), 0.0, atol=1e-15)


def test_dispersion_of_classes_is_known():
    assert LOGISTIC.dispersion == SOFTMAX.dispersion == 1.0
