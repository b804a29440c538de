"""Texts of a figure, as drawn."""

import matplotlib.text


def drawn_texts(figure, monkeypatch):
    """Every text that is drawn, with its extent in pixels."""
    texts = []
    draw = matplotlib.text.Text.draw

    def record(self, renderer):
        if self.get_visible() and self.get_text().strip():
            texts.append((self.get_text(), self.get_window_extent(renderer)))
        return draw(self, renderer)

    with monkeypatch.context() as patch:
        patch.setattr(matplotlib.text.Text, "draw", record)
        figure.canvas.draw()
    return texts


def check_texts(figure, monkeypatch):
    """No text lies on another, is cut off or small; the figure is not too wide for a page."""
    sizes = {
        text.get_fontsize() for text in figure.findobj(matplotlib.text.Text) if text.get_text()
    }
    assert min(sizes) >= 8
    texts = drawn_texts(figure, monkeypatch)
    assert len(texts) > 10
    width, height = figure.canvas.get_width_height()
    assert width <= 9 * 80
    for i, (name, a) in enumerate(texts):
        assert -1 <= a.x0 and -1 <= a.y0 and a.x1 <= width + 1 and a.y1 <= height + 1, name
        for other, b in texts[:i]:
            apart = a.x0 >= b.x1 or b.x0 >= a.x1 or a.y0 >= b.y1 or b.y0 >= a.y1
            assert apart, (name, other)
