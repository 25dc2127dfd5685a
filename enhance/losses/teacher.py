"""Losses of MAGE-Net and T-MAGE-Net: segmentation at several scales, and a mean teacher on unlabelled images.

Source: Guo et al., T-MAGE-Net, IEEE TMI 42(8), 2023; Tarvainen and Valpola, "Mean teachers", NeurIPS 2017.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from enhance.losses.arguments import at_least_float32, check_same_length, check_same_shape


def multi_scale_segmentation(logits: Sequence[Tensor], labels: Tensor) -> Tensor:
    """sum_k L_s^k: cross-entropy between the segmentation at each scale and the labels.

    Args:
        logits: one (B, N, H, W) per scale, four in the paper, N classes, brought to the size of the labels.
        labels: (B, H, W) int64, the class of each pixel in [0, N).

    Returns:
        a scalar. The paper's weight for it, 0.5, is the trainer's.

    Source: T-MAGE-Net, L_sup; the four side outputs are AG-Net's (Zhang et al., MICCAI 2019).

    >>> logits = [torch.zeros(2, 2, 16, 16), torch.zeros(2, 2, 16, 16)]
    >>> multi_scale_segmentation(logits, torch.zeros(2, 16, 16, dtype=torch.int64))
    tensor(1.3863)
    """
    check_same_length(logits=logits)
    if labels.ndim != 3 or labels.dtype != torch.int64:
        raise ValueError(f"labels must be (B, H, W) int64; got {tuple(labels.shape)} {labels.dtype}")
    for scale in logits:
        if scale.ndim != 4 or (len(scale), *scale.shape[-2:]) != labels.shape:
            raise ValueError(
                f"logits must be (B, N, H, W) each for labels {tuple(labels.shape)}; one is {tuple(scale.shape)}"
            )
    return torch.stack([functional.cross_entropy(at_least_float32(scale), labels) for scale in logits]).sum()


def consistency(
    student: Sequence[Tensor],
    teacher: Sequence[Tensor],
    student_logits: Sequence[Tensor] = (),
    teacher_logits: Sequence[Tensor] = (),
) -> Tensor:
    """L_con = sum_s |ŷ_s^S - ŷ_s^T|^2 + sum_k |m_k^S - m_k^T|^2, m = softmax over the classes; means over the pixels.

    The teacher is a target: no gradient goes to it.

    Args:
        student, teacher: the enhanced images, one (B, C, H, W) per stage.
        student_logits, teacher_logits: the segmentations, one (B, N, h, w) per scale, or none.

    Returns:
        a scalar.

    Source: T-MAGE-Net, L_con, with the mean squared error that the paper gives for mean teachers.

    >>> consistency([torch.ones(1, 3, 8, 8)], [torch.zeros(1, 3, 8, 8)])
    tensor(1.)
    """
    check_same_length(student=student, teacher=teacher)
    if student_logits or teacher_logits:
        check_same_length(student_logits=student_logits, teacher_logits=teacher_logits)
    pairs = [(at_least_float32(s), at_least_float32(t.detach())) for s, t in zip(student, teacher, strict=True)]
    for s, t in zip(student_logits, teacher_logits, strict=True):
        pairs.append((at_least_float32(s).softmax(dim=1), at_least_float32(t.detach()).softmax(dim=1)))
    for s, t in pairs:
        check_same_shape(student=s, teacher=t)
    return torch.stack([(s - t).square().mean() for s, t in pairs]).sum()


def gaussian_ramp_up(step: int, length: int) -> float:
    """exp(-5 (1 - t/T)^2) up to step T, then 1: the weight of `consistency`, apart from its maximum.

    Args:
        step: t, counted from 0.
        length: T, the steps that the ramp takes; 0 means no ramp.

    Returns:
        a number in [exp(-5), 1].

    Source: Laine and Aila, ICLR 2017; the "time-dependent Gaussian warming-up" of T-MAGE-Net.

    >>> [round(gaussian_ramp_up(step, 100), 4) for step in (0, 50, 100, 200)]
    [0.0067, 0.2865, 1.0, 1.0]
    """
    if step < 0 or length < 0:
        raise ValueError(f"step = {step}, length = {length}: allowed are whole numbers from 0")
    if step >= length:
        return 1.0
    return math.exp(-5 * (1 - step / length) ** 2)
