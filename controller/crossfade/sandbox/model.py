"""The models behind the sandbox, each said to be what it is: classifiers and an echo, no language models.

A model takes the text of the last user message and answers a short text. The classifiers answer the ISO
639-1 code of the text's language (`und` when they cannot tell); system prompts and earlier turns are not
read. Where a library names a language more finely than `texts.py` labels it, the answer is the wider name:
zh-cn and zh-tw are `zh`, nn and nb (Norwegian) are `no`, sdh (Southern Kurdish) is `ku`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_WIDER = {"zh-cn": "zh", "zh-tw": "zh", "nb": "no", "nn": "no", "sdh": "ku"}
_READ = 10_000
"""Characters a classifier reads; langdetect stops there by itself."""
_PROFILE = re.compile(r"^(us|eu|apac|jp|au|ca|us-gov|global)\.(crossfade\..+)$")
_ECHO = re.compile(r"^crossfade\.echo(-[a-z0-9]+)*-v1:0$")
_ARN = re.compile(r"^arn:aws[a-z-]*:bedrock:[a-z0-9-]*:\d*:[a-z-]+/(.+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """`name` says what it really is; `answer` maps the prompt's text to the answer's."""

    model_id: str
    name: str
    answer: Callable[[str], str]


def _load_langdetect() -> Callable[[str], str]:
    import langdetect

    langdetect.DetectorFactory.seed = 0  # it draws n-grams at random; seeded, the same text has the same answer
    langdetect.detector_factory.init_factory()

    def answer(text: str) -> str:
        try:
            code: str = langdetect.detect(text)
        except langdetect.LangDetectException:  # a text without a letter
            return "und"
        return _WIDER.get(code, code)

    return answer


def _load_py3langid() -> Callable[[str], str]:
    from py3langid import langid

    langid.classify("warm")  # reads the model file

    def answer(text: str) -> str:
        code: str = langid.classify(text[:_READ])[0]
        return _WIDER.get(code, code)

    return answer


def _echo(text: str) -> str:
    return text


LANGDETECT = "crossfade.langdetect-v1:0"
PY3LANGID = "crossfade.py3langid-v1:0"
ECHO = "crossfade.echo-v1:0"
NAMES = ("langdetect", "py3langid", "echo")


def load_models(names: tuple[str, ...] = NAMES) -> dict[str, Model]:
    """Load the named models, once, by model id. langdetect takes about 0.3 s and py3langid 0.5 s."""
    models: dict[str, Model] = {}
    for name in names:
        match name:
            case "langdetect":
                models[LANGDETECT] = Model(
                    model_id=LANGDETECT,
                    name="langdetect 1.0.9, a naive Bayes language classifier (not a language model)",
                    answer=_load_langdetect(),
                )
            case "py3langid":
                models[PY3LANGID] = Model(
                    model_id=PY3LANGID,
                    name="py3langid 0.4.0, a naive Bayes language classifier (not a language model)",
                    answer=_load_py3langid(),
                )
            case "echo":
                models[ECHO] = Model(
                    model_id=ECHO,
                    name="echo: answers the text it was sent (not a language model)",
                    answer=_echo,
                )
            case _:
                raise ValueError(f"unknown model {name!r}; known are {', '.join(NAMES)}")
    return models


def base_id(model_id: str) -> str:
    """The model id behind an inference profile id or an ARN; any other id as it is.

    `us.crossfade.echo-v1:0` and `arn:aws:bedrock:us-east-1::foundation-model/crossfade.echo-v1:0` both
    stand for `crossfade.echo-v1:0`.
    """
    found = _ARN.match(model_id)
    if found:
        model_id = found[1]
    found = _PROFILE.match(model_id)
    return found[2] if found else model_id


def find_model(models: dict[str, Model], model_id: str) -> Model | None:
    """The model behind an id, profile id or ARN. `crossfade.echo-ANYTHING-v1:0` are all echoes, so that a
    test can have as many models as it needs."""
    base = base_id(model_id)
    return models.get(base) or (models.get(ECHO) if _ECHO.match(base) else None)


def estimate_tokens(text: str) -> int:
    """Tokens of a text: one for each four characters begun, at least one. An estimate, the same for all models."""
    return max(1, (len(text) + 3) // 4)
