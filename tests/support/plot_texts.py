"""The texts of a plot, which in its file are pixels or paths."""


def record(monkeypatch):
    """Return a list that holds the texts of the plot that was written last."""
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    texts, save = [], Figure.savefig

    def saved(figure, *args, **kwargs):
        texts[:] = [each.get_text() for each in figure.findobj(Text) if each.get_text()]
        return save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", saved)
    return texts
