"""Losses against values worked out by hand, naive twins and their own properties."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from lingula_lab.training.losses import contrastive, focal_bce, graph_alignment, label_overlap, side_loss

NAN = float("nan")


def test_focal_at_gamma_zero_is_bce() -> None:
    logits, targets = torch.randn(7, 5), torch.randint(2, (7, 5)).float()
    torch.testing.assert_close(focal_bce(logits, targets), F.binary_cross_entropy_with_logits(logits, targets))


@pytest.mark.parametrize(
    ("target", "value"),
    [
        (1.0, 0.2**2 * -math.log(0.8)),  # p_t = 0.8: 0.04 * 0.223144 = 0.008926
        (0.0, 0.8**2 * -math.log(0.2)),  # p_t = 0.2: 0.64 * 1.609438 = 1.030040
    ],
)
def test_focal_by_hand(target: float, value: float) -> None:
    logit = torch.tensor([[math.log(4)]])  # p = 0.8
    assert focal_bce(logit, torch.tensor([[target]]), gamma=2.0).item() == pytest.approx(value, rel=1e-5)


def test_focal_treats_positives_and_negatives_alike() -> None:
    logits, targets = torch.randn(6, 4), torch.randint(2, (6, 4)).float()
    one, other = focal_bce(logits, targets, gamma=1.5), focal_bce(-logits, 1 - targets, gamma=1.5)
    torch.testing.assert_close(one, other)


def test_asymmetric_by_hand() -> None:
    """p = 0.8. A positive: 0.2 * 0.223144 = 0.044629. A negative: p - 0.3 = 0.5, 0.5^4 * -log(0.5) = 0.043322."""
    logit = torch.tensor([[math.log(4)]])
    asked = {"gamma": 1.0, "negative": 4.0, "margin": 0.3}
    for target, value in ((1.0, 0.2 * -math.log(0.8)), (0.0, 0.5**4 * -math.log(0.5))):
        found = focal_bce(logit, torch.tensor([[target]]), **asked).item()
        assert found == pytest.approx(value, rel=1e-5)


def test_asymmetric_loss_forgets_easy_negatives_and_becomes_focal() -> None:
    logits, targets = torch.randn(6, 4), torch.randint(2, (6, 4)).float()
    alike = focal_bce(logits, targets, gamma=1.5, negative=1.5)
    torch.testing.assert_close(alike, focal_bce(logits, targets, gamma=1.5))
    easy = torch.tensor([[-4.0, 4.0]], requires_grad=True)  # p = 0.018 and 0.982
    focal_bce(easy, torch.zeros(1, 2), negative=2.0, margin=0.05).backward()
    assert easy.grad is not None
    assert easy.grad[0, 0] == 0
    assert easy.grad[0, 1] > 0.1


def test_unknown_labels_teach_nothing() -> None:
    logits = torch.randn(3, 2, requires_grad=True)
    targets = torch.tensor([[1.0, NAN], [NAN, NAN], [0.0, 1.0]])
    focal_bce(logits, targets, gamma=1.0).backward()
    assert logits.grad is not None
    assert (logits.grad[targets.isnan()] == 0).all()
    assert (logits.grad[~targets.isnan()] != 0).all()
    known = ~targets.isnan()
    alone = focal_bce(logits.detach()[known], targets[known], gamma=1.0)
    torch.testing.assert_close(focal_bce(logits.detach(), targets, gamma=1.0), alone)
    assert focal_bce(logits, torch.full((3, 2), NAN), gamma=1.0).item() == 0


def test_focal_gradient_is_finite_where_the_answer_is_certain() -> None:
    logits = torch.tensor([[80.0, -80.0, 80.0, -80.0]], requires_grad=True)
    focal_bce(logits, torch.tensor([[1.0, 0.0, 0.0, 1.0]]), gamma=0.5).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def _unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape), dim=-1)


SAME = torch.tensor([[1, 0, 1, 0, 0], [0, 1, 0, 0, 0], [1, 0, 1, 0, 1]]).float()
ALL = torch.ones(3, 5, dtype=torch.bool)


def test_contrastive_against_a_double_loop() -> None:
    """Rows with two, one and two partners among five candidates, of which the last row does not look at the fifth."""
    one, others, scale = _unit(3, 6), _unit(5, 6), torch.tensor(7.0)
    known, weights = ALL.clone(), SAME.clone()
    known[2, 4] = False
    weights[0, 2] = 0.5
    total = 0.0
    for i in range(3):
        scores = [scale.item() * float(one[i] @ others[j]) for j in range(5)]
        seen = [j for j in range(5) if known[i, j]]
        norm = math.log(sum(math.exp(scores[j]) for j in seen))
        share = sum(float(weights[i, j]) for j in seen)
        total += sum(float(weights[i, j]) * (norm - scores[j]) for j in seen) / share
    assert contrastive(one, others, scale, weights, known).item() == pytest.approx(total / 3, rel=1e-5)


def test_who_has_no_partner_teaches_nothing() -> None:
    one = _unit(3, 6).requires_grad_()
    contrastive(one, _unit(5, 6), torch.tensor(7.0), SAME * torch.tensor([[1.0], [0.0], [1.0]]), ALL).backward()
    assert one.grad is not None
    assert (one.grad.abs().sum(1) > 0).tolist() == [True, False, True]


def test_duplicates_attract() -> None:
    """Candidate 2 is row 0's partner too: drawing it to row 0 lowers the loss, unless nobody knows of it."""
    one, others, scale = torch.eye(3), torch.eye(3), torch.tensor(5.0)
    closer = others.clone()
    closer[2] = F.normalize(others[2] + 0.3 * one[0], dim=0)

    def gain(same: torch.Tensor) -> float:
        known = torch.ones(3, 3, dtype=torch.bool)
        losses = [contrastive(one, candidates, scale, same, known) for candidates in (others, closer)]
        return (losses[0] - losses[1]).item()

    plain, soft = torch.eye(3), torch.eye(3)
    soft[0, 2] = soft[2, 0] = 0.5
    assert gain(plain) < 0 < gain(soft) < gain(soft.ceil())


def test_label_overlap_by_hand() -> None:
    labels = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, NAN], [NAN, NAN, NAN], [0.0, 1.0, 1.0]])
    expected = [[1, 1 / 2, 0, 1 / 3], [1 / 2, 1, 0, 0], [0, 0, 0, 0], [1 / 3, 0, 0, 1]]
    torch.testing.assert_close(label_overlap(labels, labels), torch.tensor(expected))
    torch.testing.assert_close(label_overlap(labels[:1], labels[1:]), torch.tensor(expected)[:1, 1:])


def test_graph_alignment_by_hand_and_by_what_it_wants() -> None:
    prototypes = torch.tensor([[2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    states = torch.tensor([[3.0, 0.0], [0.0, 0.5], [1.0, 1.0]])
    labels = torch.tensor([[1.0, 0.0, NAN], [0.0, 1.0, 1.0], [0.0, 0.0, NAN]])  # the last has none and teaches nothing
    first = math.log(math.e**2 + 1 + math.e**-2) - 2
    second = math.log(1 + math.e**2 + 1) - (2 + 0) / 2
    found = graph_alignment(states, labels, prototypes, torch.tensor(2.0))
    assert found.item() == pytest.approx((first + second) / 2, rel=1e-5)
    torch.testing.assert_close(graph_alignment(7 * states, labels, 3 * prototypes, torch.tensor(2.0)), found)
    assert graph_alignment(states, torch.full((3, 3), NAN), prototypes, torch.tensor(2.0)).item() == 0


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(3)


def test_side_loss_by_hand_and_by_what_it_wants() -> None:
    maps = torch.tensor([[[1.0, 9.0, 3.0], [2.0, 7.0, 2.0], [0.0, 5.0, 4.0]]])  # the middle column counts for neither
    deviation = maps.std().item()
    left, right = (math.log(sum(math.exp(v / deviation) for v in side)) for side in ((1, 2, 0), (3, 2, 4)))
    by_hand = math.log1p(math.exp(-(right - left)))
    assert side_loss(maps, torch.tensor([1])).item() == pytest.approx(by_hand, rel=1e-5)
    assert side_loss(maps.flip(2), torch.tensor([-1])).item() == pytest.approx(by_hand, rel=1e-5)
    assert side_loss(maps, torch.tensor([-1])) > side_loss(maps, torch.tensor([1]))  # patient's left is image right
    learnt = torch.zeros(1, 4, 4, requires_grad=True)
    side_loss(learnt + torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([-1])).backward()
    assert learnt.grad is not None
    assert (learnt.grad[..., :2] < 0).all()  # descent raises image left
    assert (learnt.grad[..., 2:] > 0).all()
