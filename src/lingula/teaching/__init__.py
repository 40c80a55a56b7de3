"""Teaching with a library: sets of studies, quiz, pairs, marks on films, written impressions, results, repetition."""
