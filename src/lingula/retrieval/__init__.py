"""Search that does what the words say: questions in words, studies and filters, answered from image, report and labels.

Needs no model and no torch: whoever reads a question or study passes its embeddings in as arrays.
"""

from lingula.retrieval.answer import Answer
from lingula.retrieval.ask import Asked, ask
from lingula.retrieval.conditions import Judge, Searched
from lingula.retrieval.gallery import ReadyGallery
from lingula.retrieval.query import Query, Wanted

__all__ = ["Answer", "Asked", "Judge", "Query", "ReadyGallery", "Searched", "Wanted", "ask"]
