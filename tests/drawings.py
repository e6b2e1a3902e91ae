"""Digits as strokes, for the tests that draw."""

from PIL import Image, ImageDraw

# One way to write each digit: its strokes as corners on the pad of 280×280 pixels.
STROKES = {
    0: [
        [(140, 60), (95, 95), (85, 165), (120, 225), (165, 225), (195, 165), (140, 60)]
    ],
    1: [[(140, 50), (140, 230)]],
    2: [
        [(90, 100), (110, 65), (160, 60), (185, 95), (170, 140), (90, 225), (195, 225)]
    ],
    3: [
        [(95, 70), (150, 55), (185, 85), (130, 138), (190, 190), (160, 225), (95, 220)]
    ],
    4: [[(105, 55), (90, 150), (195, 150)], [(170, 60), (165, 235)]],
    5: [
        [(185, 60), (105, 60), (100, 130), (150, 125), (188, 160), (175, 210)],
        [(175, 210), (130, 228), (95, 215)],
    ],
    6: [
        [
            (165, 55),
            (95, 165),
            (110, 220),
            (155, 225),
            (182, 190),
            (165, 155),
            (98, 185),
        ]
    ],
    7: [[(90, 65), (190, 65), (130, 230)]],
    8: [
        [(145, 135), (105, 100), (115, 62), (160, 58), (178, 95), (145, 135)],
        [(145, 135), (105, 170), (105, 215), (150, 230), (185, 200), (145, 135)],
    ],
    9: [
        [
            (180, 95),
            (110, 75),
            (105, 115),
            (140, 135),
            (182, 90),
            (175, 160),
            (150, 230),
        ]
    ],
}


def drawing(digit):
    """Return a digit drawn with a pen as a PIL image of 280×280 pixels, black on white."""
    sheet = Image.new("L", (280, 280), "white")
    for stroke in STROKES[digit]:
        ImageDraw.Draw(sheet).line(stroke, "black", 22, "curve")
        for x, y in stroke:
            ImageDraw.Draw(sheet).ellipse([x - 11, y - 11, x + 11, y + 11], "black")
    return sheet


def moved(strokes, rng):
    """Return strokes as another hand would draw them: every corner a little elsewhere."""
    return [
        [(x + rng.uniform(-8, 8), y + rng.uniform(-8, 8)) for x, y in stroke]
        for stroke in strokes
    ]


# Forms that MNIST's writers hardly used: {name: (digit, strokes)}.
FOREIGN = {
    "1 with a long upstroke": (1, [[(70, 170), (165, 50), (165, 235)]]),
    "9 with a small loop and a curled tail": (
        9,
        [
            [
                *((170, 65), (145, 55), (130, 72), (145, 88), (172, 70), (195, 150)),
                *((165, 220), (110, 232), (65, 205)),
            ]
        ],
    ),
    "7 with a low bar": (
        7,
        [[(80, 60), (195, 60), (120, 220)], [(80, 200), (185, 200)]],
    ),
}
