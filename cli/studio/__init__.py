"""`degrade studio`: a page in the browser that shows what a recipe does, and where its parameters can be changed.

The page is plain HTML, CSS and JavaScript, served by Python's own http.server to this machine alone. A framework for
such pages (Gradio, Streamlit) would bring about a hundred packages and fetch fonts and scripts, and its page could not
have what this one is for: a dragged divider, a slider per parameter with its unit, and the recipe as text. So it
needs no extra, works offline, and can be looked through in an hour.

What it shows is a function of a `State` that the page sends (`picture.answer`); only opened images are kept.
"""
