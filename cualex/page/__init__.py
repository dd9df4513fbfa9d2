"""`cualex explore`: a page on which an image flows through a network, computed by cualex.

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
"""
