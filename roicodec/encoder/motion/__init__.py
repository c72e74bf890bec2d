"""Motion search: hierarchical between any two pictures, refined by what vectors predict and cost.

``search.search_pair(current, reference, step=..., start=None, previous=None, sweeps=1,
weight=0.35)`` gives the field of a picture against any other, up to 16 frames away: int16
``[Hp / 8, Wp / 8, 2]`` in quarter samples. ``search.SearchPlane(luma)`` holds what searches need of
a picture and is given in place of its luma where it is searched more than once.
``search.refine_pair`` refines both fields of a B frame on the average of their predictions;
``search.match_of`` tells a new scene.
"""
