"""Real labelled text for the classifiers: sentences in 60 languages, from the package `eld` 1.0.6.

Source: `eld/tests/data/big-test.txt` inside eld's wheel (github.com/nitotm/efficient-language-detector-py,
Apache-2.0), the author's benchmark "Big test": 1000 sentences in each of 60 languages, one a line, ISO 639-1
code and text separated by a tab. Nothing is downloaded or copied.

langdetect 1.0.9 has no profile for 13 of the languages (LANGDETECT_LACKS) and so never names them;
py3langid 0.4.0 knows all 60. Over all 60 langdetect is right for 77 % and py3langid for 98 %; over the 47
that both know it is 98 % against 99 %.
"""

from __future__ import annotations

import random
from collections.abc import Set
from importlib.resources import files

from crossfade.errors import SetupError

_CODES = (
    "am ar az be bg bn ca cs da de el en es et eu fa fi fr gu he hi hr hu hy is it ja ka kn ko ku lo lt lv ml mr "
    "ms nl no or pa pl pt ro ru sk sl sq sr sv ta te th tl tr uk ur vi yo zh"
)
LANGUAGES = frozenset(_CODES.split())
LANGDETECT_LACKS = frozenset(("am", "az", "be", "eu", "hy", "is", "ka", "ku", "lo", "ms", "or", "sr", "yo"))
SHARED = LANGUAGES - LANGDETECT_LACKS


def labelled_texts(seed: int, languages: Set[str] = LANGUAGES) -> list[tuple[str, str]]:
    """(text, language) of every sentence in `languages`, shuffled by `seed`: the same seed, the same order.

    Raises SetupError if eld or its file is missing.
    """
    try:
        lines = files("eld").joinpath("tests/data/big-test.txt").read_text(encoding="utf-8").split("\n")
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise SetupError(f"the labelled texts are missing ({error}); install Crossfade with its extra [demo]") from None
    pairs = [(text, language) for language, _, text in (line.partition("\t") for line in lines) if text]
    kept = [pair for pair in pairs if pair[1] in languages]
    random.Random(seed).shuffle(kept)
    return kept
