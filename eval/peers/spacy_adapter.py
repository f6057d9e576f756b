"""The packaged spaCy classifiers of prompts. `adult`: whatever is not for everybody; `youth`: whatever shows youth."""

import importlib
import sys

from stdio import serve, version


def opened(options):
    classify = importlib.import_module(sys.argv[1].replace("-", "_")).load()

    def score(text):
        given = classify(text[:100_000]).cats
        return {"adult": given["adult"] + given["cp"], "youth": given["underage_safe"] + given["cp"]}

    return score


serve(opened, [version(sys.argv[1]), version("spacy")], ["adult", "youth"])
