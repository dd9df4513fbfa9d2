"""Pages for the browser: `cualex explore`, `cualex report`, and what notebooks show.

`cualex explore`, on which an image flows through a network, computed by cualex:
description.py  the network as plain values, read from its list of layers
changes.py      the network with parts switched off
seeing.py       what the page asks: maps, probabilities, filters, heat maps
gallery.py      example images, and which of them excite a map most
live.py         the weights of a run, again whenever it has saved new ones
answers.py      answers to all of these, for several networks; images are held by their content
app.py          the HTTP interface; guard.py, who may use it, and how much at once
static/         the page: HTML, CSS and plain JavaScript modules, without a build step

`cualex tour`: the same page as one file.

tour.py         the file: the page, the network's weights or its answers
bundle.py       the page's modules as one script
offline/        what answers in the browser: server.js in place of the server's, engine.js computes

`cualex report`, a training as one file:
report.py       what it is about: model, run, evaluation, mistakes, profile
sections.py     head, sections on the training, order; measured.py, sections on what the network does
markup.py       pieces of HTML; charts.py, curves, images and plots

notebook.py     what Jupyter shows of models, networks, runs and results, and live curves
"""
