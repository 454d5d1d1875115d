from uad_eval.page import page


def test_a_page_follows_the_readers_scheme_and_width():
    text = page("a < b", "<p>here</p>")
    assert text.startswith("<!doctype html>")
    assert "<title>a &lt; b</title>" in text
    assert "<p>here</p>" in text
    for needed in ("prefers-color-scheme: dark", "width=device-width", "max-width: 100%", "overflow-x: auto"):
        assert needed in text
    assert "http" not in text
    assert "<script" not in text
