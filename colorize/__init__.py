"""Automatic image colorization in PyTorch.

``from colorize import ...`` gives the public names, which ``__init__.pyi`` lists. Each is imported
when it is first asked for, so that ``import colorize`` is quick and does nothing else.
"""

import lazy_loader

from colorize.version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
