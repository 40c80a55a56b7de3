"""A knowledge graph of labels, MeSH terms, diseases and RadLex terms; where its labels lie; what that does for ranking.

Only building places needs PyKEEN (the extra ``graph``); a file of places is read without it.
"""

from lingula_lab.graph.places import MODELS, Places, place_labels
from lingula_lab.graph.rerank import graph_similarity, rerank
from lingula_lab.graph.triples import Triple, build_triples

__all__ = ["MODELS", "Places", "Triple", "build_triples", "graph_similarity", "place_labels", "rerank"]
