"""The gate before an answer: films of several sources, their distortions, the fit and what it is worth."""
