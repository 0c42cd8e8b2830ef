"""How far a judge can be trusted: agreement, calibration, certificates and the quality of a project, from blind labels.

Everything here is computed from plain numbers; who gathers the labels, and how, is decided elsewhere. What every
function assumes: the labels are blind (the person did not see the judge), and which tasks were labelled was drawn at
random before anyone looked.
"""
