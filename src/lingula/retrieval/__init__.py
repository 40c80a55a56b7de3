"""Search that does what the words say: questions in words, studies and filters, answered from image, report and labels.

Needs no model and no torch: whoever reads a question or study passes its embeddings in as arrays.
"""

from lingula.retrieval.answer import Answer
from lingula.retrieval.matching import Judge, Searched
from lingula.retrieval.query import Query, Wanted
from lingula.retrieval.ranking import QueryEmbedding, ask

__all__ = ["Answer", "Judge", "Query", "QueryEmbedding", "Searched", "Wanted", "ask"]
