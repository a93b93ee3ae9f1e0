"""The classifiers and the texts they are asked about."""

from __future__ import annotations

from collections import Counter

import pytest

from crossfade.sandbox.model import LANGDETECT, PY3LANGID, Model, estimate_tokens, find_model, load_models
from crossfade.sandbox.texts import LANGDETECT_LACKS, LANGUAGES, SHARED, labelled_texts


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return load_models()


def _accuracy(model: Model, texts: list[tuple[str, str]]) -> float:
    return sum(model.answer(text) == language for text, language in texts) / len(texts)


def test_py3langid_is_more_accurate_over_all_sixty_languages(models: dict[str, Model]) -> None:
    texts = labelled_texts(7)[:600]
    assert _accuracy(models[LANGDETECT], texts) == pytest.approx(0.77, abs=0.06)
    assert _accuracy(models[PY3LANGID], texts) == pytest.approx(0.98, abs=0.03)


def test_both_are_accurate_over_the_languages_both_know(models: dict[str, Model]) -> None:
    texts = labelled_texts(7, SHARED)[:400]
    assert _accuracy(models[LANGDETECT], texts) > 0.94
    assert _accuracy(models[PY3LANGID], texts) > 0.94


def test_the_same_text_always_has_the_same_answer(models: dict[str, Model]) -> None:
    for text, _ in labelled_texts(3)[:30]:
        assert len({models[LANGDETECT].answer(text) for _ in range(3)}) == 1


@pytest.mark.parametrize("text", ["", " ", "12345", "!?"])
def test_a_text_without_letters_has_an_answer_all_the_same(models: dict[str, Model], text: str) -> None:
    for model in models.values():
        assert isinstance(model.answer(text), str)


def test_every_model_says_that_it_is_no_language_model(models: dict[str, Model]) -> None:
    assert all("not a language model" in model.name for model in models.values())


def test_an_id_that_only_looks_like_a_model_is_none(models: dict[str, Model]) -> None:
    for model_id in ("", "echo", "xx.crossfade.echo-v1:0", "crossfade.echo-v2:0", "us.us.crossfade.echo-v1:0"):
        assert find_model(models, model_id) is None


def test_tokens_are_counted_by_four_characters() -> None:
    assert [estimate_tokens("x" * length) for length in (0, 1, 4, 5, 8)] == [1, 1, 1, 2, 2]


def test_there_are_a_thousand_texts_in_each_of_sixty_languages() -> None:
    counts = Counter(language for _, language in labelled_texts(0))
    assert set(counts) == LANGUAGES
    assert set(counts.values()) == {1000}
    assert len(LANGUAGES) == 60
    assert LANGDETECT_LACKS < LANGUAGES


def test_the_seed_fixes_the_order() -> None:
    assert labelled_texts(1)[:50] == labelled_texts(1)[:50]
    assert labelled_texts(1)[:50] != labelled_texts(2)[:50]


def test_langdetect_has_no_profile_for_the_languages_it_is_said_to_lack() -> None:
    from langdetect import detector_factory

    detector_factory.init_factory()
    known = {code.partition("-")[0] for code in detector_factory._factory.get_lang_list()}
    assert LANGUAGES - known == LANGDETECT_LACKS
