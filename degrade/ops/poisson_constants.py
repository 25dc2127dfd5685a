"""Constants of the Poisson quantile (`poisson`), for the definition and its compiled twins."""

LARGEST_RATE = 1e6
"""Largest rate for which counts are right."""

SMALL = 6.0
"""Rates below are summed term by term."""

# w / (2 u - 1) as a rational function of z / 4, where z^2 = 1 - ln(4 u (1 - u)): to 1e-8 on average, 6e-5 up to
# |w| = 6.5, 5e-4 for the smallest float64
NUMERATOR = (
    0.928727765, -2.20780729, 6.61503934, 0.61710442, -30.6739784, 117.668862, -169.461662, 133.299151,
)  # fmt: skip
DENOMINATOR = (1.0, -2.73783374, 6.32643713, -10.987591, 23.5319211, -29.8791332, 23.5645793)

TEMME_A = (
    0.16666186, -0.0139186088, 0.00382327186, -0.000966650655, -1.0043594e-05, -0.00120570198, 0.00119088903,
    0.000658895701, -0.000843160314, -6.52417478e-05, 0.00026809876, -8.99981673e-05, 9.26316913e-06,
)  # fmt: skip
TEMME_B = (0.333338327, -0.027693716, 0.00826420641, -0.0050598362, 0.00286451952, 0.000565880747, 0.000198881416)
TEMME_C = (-0.0197184796, 0.018137193, -0.00873554303, 0.0170040353, -0.0234896048)
TEMME_D = (-0.00233977282, -0.00708412235, 0.0181663676)
