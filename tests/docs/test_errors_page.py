"""docs/errors.md explains every Code of the gate and of the client, in both languages."""

import re

import pytest

from tests.docs.pages import DOCS, ROOT, STATUSES, quoted, rows, skeleton

PAGES = {"en": (DOCS / "errors.md").read_text(), "zh": (DOCS / "errors.zh-CN.md").read_text()}
BULLETS = {"en": ["When", "Client", "Show", "Operator"], "zh": ["何时", "客户端", "提示", "运维"]}
TYPES = (ROOT / "miniprogram/miniprogram_dist/index.d.ts").read_text()
CHINESE_SENTENCE = re.compile(r"[\u4e00-\u9fff，]+")

both = pytest.mark.parametrize("language", PAGES)


def sections(language: str) -> dict[tuple[str, int], dict[str, str]]:
    """(Code, status) → bullet → its text."""
    found = re.findall(r"^### (\w+) · (\d+)\n((?:[- ].*\n)+)", PAGES[language], re.MULTILINE)
    return {
        (code, int(status)): dict(re.findall(r"- \*\*(\w+)\*\*[:：] ?(.*)", text))
        for code, status, text in found
    }


@both
def test_every_code_of_the_gate_is_explained(language: str) -> None:
    assert sections(language).keys() == STATUSES.items()
    for code, bullets in sections(language).items():
        assert list(bullets) == BULLETS[language], code


@both
def test_every_code_of_the_client_is_explained(language: str) -> None:
    union = TYPES.partition("export type Code =")[2].partition("\n\n")[0]
    codes = re.findall(r"['`](\w+)", union)
    told = [quoted(cell)[0] for cell, *_ in rows(PAGES[language], "code")]
    assert [code.replace("<Code>", "") for code in told] == codes
    assert len(codes) > 10


def test_both_pages_show_the_user_the_same_chinese_sentences() -> None:
    said = {}
    for language, (_, _, show, _) in BULLETS.items():
        of_the_gate = [bullets[show] for bullets in sections(language).values()]
        of_the_client = [row[2] for row in rows(PAGES[language], "code")[:-1]]
        said[language] = [*of_the_gate, *of_the_client]
    assert said["en"] == said["zh"]
    assert all(CHINESE_SENTENCE.fullmatch(it) for it in said["en"] if it != "–")
    assert skeleton(PAGES["en"]) == skeleton(PAGES["zh"])
