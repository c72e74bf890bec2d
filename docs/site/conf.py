"""Configuration of Sphinx; ``make docs`` runs it on the pages that docs.site.pages writes."""

from roicodec import __version__

project = "roicodec"
author = "The roicodec authors"
project_copyright = "the roicodec authors"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
exclude_patterns = ["readme.md"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_use_ivar = True
html_theme = "furo"
html_title = f"roicodec {__version__}"
html_show_sphinx = False
html_copy_source = False
python_maximum_signature_line_length = 88
smartquotes_action = "D"  # dashes alone: quotes are those of the source
pygments_style = "friendly"
pygments_dark_style = "monokai"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#b84a00", "color-brand-content": "#a04000"},
    "dark_css_variables": {"color-brand-primary": "#ff9a52", "color-brand-content": "#ffa869"},
}
html_static_path: list[str] = []
