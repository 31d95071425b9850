"""Degrade a picture as light, lens, sensor and JPEG do. All functions return a uint8 BGR image.

`strength` scales the probability and the strength of each damage; 0 leaves the picture unchanged.
"""

from __future__ import annotations

import cv2
import numpy as np

from edgessd.data.synth.textures import Field, Image, noise_crop, smooth_noise

_LIGHT_SCALE = 4  # light fields are smooth, so they are computed at a quarter of the size


def degrade(rng: np.random.Generator, image: Image, strength: float = 1.0) -> Image:
    """Apply light, blur, sensor and compression, in the order in which they affect a photo."""
    image = light(rng, image, strength)
    image = blur(rng, image, strength)
    image = resample(rng, image, strength)
    image = tone(rng, image, strength)
    image = noise(rng, image, strength)
    return compress(rng, image, strength)


def light(rng: np.random.Generator, image: Image, strength: float) -> Image:
    """Add gradients, vignettes, shadows and glare."""
    if rng.random() > 0.65 * strength:
        return image
    height, width = image.shape[:2]
    size = (max(2, width // _LIGHT_SCALE), max(2, height // _LIGHT_SCALE))
    low = 1 - 0.6 * strength * rng.random() ** 1.5
    gain: Field = np.float32(low) + np.float32(1.1 - low) * smooth_noise(
        rng, size, (int(rng.integers(2, 4)), int(rng.integers(2, 4)))
    )
    if rng.random() < 0.3:
        gain *= _shadow(rng, size)
    if rng.random() < 0.2:
        y, x = np.ogrid[-1 : 1 : size[1] * 1j, -1 : 1 : size[0] * 1j]
        gain *= (1 - rng.uniform(0.1, 0.5) * (x * x + y * y) / 2).astype(np.float32)
    lit = cv2.multiply(image, _three(cv2.resize(gain, (width, height))), dtype=cv2.CV_8U)
    if rng.random() < 0.22:
        glare = cv2.resize(_glare(rng, size), (width, height))
        lit = cv2.add(lit, _three(glare), dtype=cv2.CV_8U)
    return lit


def _three(field: Field) -> Field:
    return cv2.merge([field, field, field])


def _shadow(rng: np.random.Generator, size: tuple[int, int]) -> Field:
    """Shadow of a polygon with a soft or hard edge."""
    mask: Field = np.zeros((size[1], size[0]), np.float32)
    center = rng.random(2) * size
    angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 7))))
    reach = max(size) * rng.uniform(0.2, 0.9, (len(angles), 1))
    points = np.stack([np.cos(angles), np.sin(angles)], axis=-1) * reach + center
    cv2.fillPoly(mask, [points.astype(np.int32)], 1.0)
    sigma = float(max(size) * rng.uniform(0.003, 0.06)) + 0.5
    mask = cv2.GaussianBlur(mask, (0, 0), sigma)
    shaded: Field = 1 - np.float32(rng.uniform(0.2, 0.65)) * mask
    return shaded


def _glare(rng: np.random.Generator, size: tuple[int, int]) -> Field:
    """Reflection of a lamp: an oriented bright spot, in pixel values."""
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float32)
    center = rng.random(2) * size
    angle = rng.uniform(0, np.pi)
    reach = max(size) * rng.uniform(0.03, 0.25, 2)
    along = ((x - center[0]) * np.cos(angle) + (y - center[1]) * np.sin(angle)) / reach[0]
    across = ((y - center[1]) * np.cos(angle) - (x - center[0]) * np.sin(angle)) / reach[1]
    spot = np.exp(-(along**2 + across**2)) * rng.uniform(40, 230)
    glare: Field = spot.astype(np.float32)
    return glare


def blur(rng: np.random.Generator, image: Image, strength: float) -> Image:
    """Apply Gaussian, motion or defocus blur, in proportion to the picture's size."""
    draw = rng.random()
    if draw > 0.5 * strength:
        return image
    reach = max(image.shape[:2]) / 400 * (0.3 + 1.5 * rng.random() ** 2) * strength
    if draw < 0.25 * strength:
        return cv2.GaussianBlur(image, (0, 0), max(0.3, reach * 0.8))
    size = 2 * int(np.ceil(reach * 1.5)) + 1
    kernel = np.zeros((size, size), np.float32)
    middle = size // 2
    if draw < 0.38 * strength:
        direction = rng.uniform(0, np.pi)
        shift = (middle * np.cos(direction), middle * np.sin(direction))
        start = (round((middle - shift[0]) * 16), round((middle - shift[1]) * 16))
        end = (round((middle + shift[0]) * 16), round((middle + shift[1]) * 16))
        cv2.line(kernel, start, end, 1.0, 1, cv2.LINE_8, 4)
    else:
        y, x = np.mgrid[:size, :size] - middle
        kernel = np.clip(reach * 1.2 + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
        kernel[middle, middle] = max(kernel[middle, middle], 0.2)
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def resample(rng: np.random.Generator, image: Image, strength: float) -> Image:
    """Reduce the resolution as a sensor with fewer pixels does, or sharpen as phones do."""
    draw = rng.random()
    height, width = image.shape[:2]
    if draw < 0.16 * strength:
        ratio = rng.uniform(0.45, 0.9)
        small = cv2.resize(
            image,
            (max(8, int(width * ratio)), max(8, int(height * ratio))),
            interpolation=cv2.INTER_AREA if rng.random() < 0.5 else cv2.INTER_LINEAR,
        )
        return cv2.resize(
            small,
            (width, height),
            interpolation=cv2.INTER_LINEAR if rng.random() < 0.7 else cv2.INTER_NEAREST,
        )
    if draw < 0.36 * strength:
        amount = rng.uniform(0.3, 1.4)
        soft = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.6, 1.6))
        return cv2.addWeighted(image, 1 + amount, soft, -amount, 0)
    return image


def tone(rng: np.random.Generator, image: Image, strength: float) -> Image:
    """Change exposure, contrast, gamma and color cast; sometimes remove all color."""
    if rng.random() > 0.8 * strength:
        return image
    levels = np.linspace(0, 1, 256)
    contrast = 1 + strength * rng.uniform(-0.45, 0.25)
    brightness = strength * rng.uniform(-0.18, 0.15)
    gamma = np.exp(strength * rng.normal(0, 0.25))
    cast = np.exp(strength * rng.normal(0, 0.07, 3))
    curve = (levels**gamma - 0.5) * contrast + 0.5 + brightness
    table = np.clip(curve[:, None] * cast[None] * 255, 0, 255).astype(np.uint8)
    toned = cv2.LUT(image, table.reshape(256, 1, 3))
    if rng.random() < 0.08 * strength:
        toned = cv2.cvtColor(cv2.cvtColor(toned, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return toned


def noise(rng: np.random.Generator, image: Image, strength: float) -> Image:
    """Add gray or colored noise: read noise, and shot noise whose variance grows with the light."""
    if rng.random() > 0.6 * strength:
        return image
    height, width = image.shape[:2]
    read = strength * 9.0 * rng.random() ** 2
    shot = strength * 9.0 * rng.random() ** 2
    levels = np.arange(256, dtype=np.float32) / 255
    deviation = np.sqrt(read**2 + shot**2 * levels).astype(np.float32)
    grain = noise_crop(rng, (width, height), gray=bool(rng.random() < 0.5))
    grain = cv2.multiply(cv2.LUT(image, deviation.reshape(256, 1)), grain)
    return cv2.add(image, grain, dtype=cv2.CV_8U)


def compress(rng: np.random.Generator, image: Image, strength: float) -> Image:
    """Compress as JPEG of a random quality, down to visible blocks."""
    if rng.random() > 0.35 * strength:
        return image
    quality = int(95 - 70 * strength * rng.random() ** 1.5)
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
